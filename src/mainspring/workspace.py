"""The composition root: the one place that picks concrete stores, engines and the clock."""

from __future__ import annotations

__all__ = ["NoWorkspace", "Workspace", "open_workspace"]

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.clock import Clock, ClockRefused, DrivenClock, SystemClock, parse_time, time_text
from mainspring.digest import digest_of_json
from mainspring.errors import NotFound
from mainspring.operate.workers import Workers
from mainspring.product import ProductSpec
from mainspring.settings import Settings
from mainspring.stores.artifacts import FileArtifacts
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.online import open_online
from mainspring.stores.sql.database import Database
from mainspring.stores.tables import DeltaTables

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from mainspring.features.store import OnlineStore
    from mainspring.stores.sql.database import Transaction


_LAST_YEAR = 9000  # a cool-down later, the calendar must not have ended


class NoWorkspace(NotFound):
    """A folder in which no workspace was begun."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root

    def __str__(self) -> str:
        return (
            f"There is no workspace in {self.root}: it has neither a product.py nor a products folder. "
            "To begin one, run `mainspring init NAME`; to use one elsewhere, pass `--root FOLDER`."
        )


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything that the acts of mainspring work with.

    Attributes
    ----------
    settings : Settings
        How it is run.
    clock : Clock
        What time it is.
    database : Database
        All state but bytes and rows.
    blobs : FileBlobs
        Models and other bytes, by digest.
    artifacts : FileArtifacts
        Files that runs and models left behind, by path.
    tables : DeltaTables
        Datasets.
    predictions : DeltaTables
        The prediction log, and its labels.
    online : OnlineStore
        Features by entity, for lookups during a prediction.
    workers : Workers
        Where a user's code runs.
    secret : bytes
        Signs prediction ids.
    """

    settings: Settings
    clock: Clock
    database: Database
    blobs: FileBlobs
    artifacts: FileArtifacts
    tables: DeltaTables
    predictions: DeltaTables
    online: OnlineStore
    workers: Workers
    secret: bytes

    @property
    def logs(self) -> Path:
        """The folder with one prediction log per gateway."""
        return self.settings.state / "log"

    def specs(self, tx: Transaction) -> dict[str, ProductSpec]:
        """Every product as it was last declared, by name."""
        return {
            key.removeprefix("product:"): ProductSpec.from_json(text)
            for key, text in sorted(tx.values.items("product:").items())
        }

    def advance(self, to: datetime) -> bool:
        """Drive the clock forward; False when the moment has passed already.

        Raises
        ------
        ClockRefused
            The workspace lives in the system's time, or the moment is beyond the year 9000.
        """
        if not isinstance(self.clock, DrivenClock):
            raise ClockRefused(
                "This workspace lives in the system's time, which cannot be moved. To replay recorded data, "
                'begin a workspace with `clock = "2013-01-01T00:00:00Z"` in mainspring.toml.'
            )
        if to.year > _LAST_YEAR:
            raise ClockRefused(
                f"{time_text(to)} is later than any data could be; the clock could not be moved back."
            )
        moved = self.clock.advance(to)
        if moved:
            with self.database.write() as tx:
                tx.values.put("clock", time_text(to))
        return moved

    def close(self) -> None:
        """End the workers and let go of the database."""
        self.workers.close()
        self.online.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_workspace(root: Path, settings: Settings | None = None, workers: Workers | None = None) -> Workspace:
    """Open the workspace in a folder, making its state at the first time.

    Parameters
    ----------
    root : Path
        The folder with the product files.
    settings : Settings, optional
        Where they have been read already.
    workers : Workers, optional
        Where they have been started already.

    Raises
    ------
    NoWorkspace
        The folder has no product file.
    Faults
        A setting is wrong.
    mainspring.stores.sql.DatabaseOlder, mainspring.stores.sql.DatabaseNewer
        The database was written by another version of mainspring; nothing was changed.
    """
    settings = settings or Settings.load(root)
    if not any(file.is_file() for file in settings.product_files):
        raise NoWorkspace(root)
    settings.state.mkdir(exist_ok=True)
    database = Database.open(settings.database_url)
    return Workspace(
        settings=settings,
        clock=_clock(settings, database),
        database=database,
        blobs=FileBlobs(settings.state / "blobs"),
        artifacts=FileArtifacts(settings.state / "artifacts"),
        tables=DeltaTables(settings.state / "tables"),
        predictions=DeltaTables(settings.state / "predictions"),
        online=open_online(settings.online_url),
        workers=workers or Workers(settings),
        secret=_secret(settings, database),
    )


def _clock(settings: Settings, database: Database) -> Clock:
    if not settings.driven:
        return SystemClock()
    with database.read() as tx:
        reached = tx.values.get("clock")
    return DrivenClock(parse_time(reached or settings.clock), settings.seed)


def _secret(settings: Settings, database: Database) -> bytes:
    with database.read() as tx:
        known = tx.values.get("secret")
    if known is None:
        # A driven workspace must issue the same ids in each replay.
        known = digest_of_json(["secret", settings.seed]) if settings.driven else secrets.token_hex(32)
        with database.write() as tx:
            known = tx.values.get("secret") or known
            tx.values.put("secret", known)
    return bytes.fromhex(known)
