"""Publishing data: from a batch of bytes to a validated, immutable version, or to a refusal that says why."""

from __future__ import annotations

__all__ = ["UnknownDataset", "add_batch", "one_at_a_time", "renew_snapshots"]

import fcntl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from mainspring.data import Batch, DataVersion
from mainspring.digest import digest_of, digest_of_json
from mainspring.errors import NotFound
from mainspring.events import Event, EventType
from mainspring.features.online import snapshot_name
from mainspring.operate.snapshots import (
    TakenSnapshot,
    name_snapshots,
    online_views,
    snapshots_in_force,
    take_snapshots,
)
from mainspring.operate.tasks import AddBatch, Added
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mainspring.digest import Digest
    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.workspace import Workspace


class UnknownDataset(NotFound):
    """A dataset that no product reads."""

    def __init__(self, dataset: str, known: tuple[str, ...]) -> None:
        super().__init__(dataset, known)
        self.dataset, self.known = dataset, known

    def __str__(self) -> str:
        return f"No product reads a dataset named {self.dataset!r}. There are: {', '.join(self.known) or 'none'}."


def add_batch(workspace: Workspace, dataset: str, content: bytes, *, actor: str, reason: str = "") -> Batch:
    """Validate a batch and publish the next version of its dataset.

    Handed in again, the same bytes get the same answer and change nothing.

    Parameters
    ----------
    workspace : Workspace
        Where to.
    dataset : str
        Its name, as a product declares it.
    content : bytes
        A Parquet, NDJSON or CSV file.
    actor, reason : str
        Who adds it, and why.

    Returns
    -------
    Batch
        With the version that it made, or with a report that says why it was refused; nothing of a refused batch is
        kept, and the version before goes on.

    Raises
    ------
    UnknownDataset
        No product reads it.
    """
    with workspace.database.read() as tx:
        known = {each.name for spec in workspace.specs(tx).values() for each in spec.datasets}
    if dataset not in known:
        raise UnknownDataset(dataset, tuple(sorted(known)))
    digest = digest_of(content)
    with one_at_a_time(workspace):
        with workspace.database.read() as tx:
            earlier = tx.data.find_batch(dataset, digest)
            newest = tx.data.newest(dataset)
        if earlier is not None:
            return earlier
        with _kept(workspace.settings.state / "incoming" / digest, content) as file:
            task = AddBatch(
                dataset=dataset, file=str(file), table_version=newest.table_version if newest else None
            )
            added = workspace.workers.ask(task, Added)
        return _record(
            workspace,
            dataset,
            digest,
            added,
            newest,
            actor,
            reason,
            _snapshots(workspace, added, newest, dataset),
        )


def _snapshots(
    workspace: Workspace, added: Added, newest: DataVersion | None, dataset: str
) -> dict[str, TakenSnapshot]:
    """Make the snapshots of the version that a batch is about to make."""
    if added.table_version is None:
        return {}
    with workspace.database.read() as tx:
        views = online_views(tx, workspace.specs(tx).values())
    return take_snapshots(
        workspace,
        [view for view in views if view.source == dataset],
        table_version=added.table_version,
        version=(newest.number if newest else 0) + 1,
    )


def _record(
    workspace: Workspace,
    dataset: str,
    digest: Digest,
    added: Added,
    newest: DataVersion | None,
    actor: str,
    reason: str,
    snapshots: dict[str, TakenSnapshot],
) -> Batch:
    now, report = workspace.clock.now(), added.report
    number = (newest.number if newest else 0) + 1
    batch = Batch(
        dataset=dataset,
        digest=digest,
        at=now,
        actor=actor,
        report=report,
        version=None if added.table_version is None else number,
    )
    found = {"batch": digest, **msgspec.to_builtins(report)}
    with workspace.database.write() as tx:
        tx.data.add_batch(batch)
        if added.table_version is None:
            why = f"the batch was refused: {report.refusal}"
            tx.ledger.append(
                Event(
                    type=EventType.BATCH_REFUSED, subject=dataset, at=now, actor=actor, reason=why, data=found
                )
            )
            return batch
        version = DataVersion(
            dataset=dataset,
            number=number,
            digest=digest_of_json([newest.digest if newest else "", digest, msgspec.to_builtins(report)]),
            rows=(newest.rows if newest else 0) + added.rows,
            rows_added=added.rows,
            published_at=now,
            table_version=added.table_version,
        )
        tx.data.add(version)
        name_snapshots(tx, snapshots)
        tx.ledger.append(
            Event(
                type=EventType.DATA_VERSION_PUBLISHED,
                subject=str(version.ref),
                at=now,
                actor=actor,
                reason=reason
                or f"{added.rows:,} rows passed validation, {report.quarantined:,} were set aside",
                data={"digest": version.digest, "rows": version.rows, "rows_added": added.rows, **found}
                | (
                    {"snapshots": {name: taken.digest for name, taken in snapshots.items()}}
                    if snapshots
                    else {}
                ),
            )
        )
    return batch


def renew_snapshots(workspace: Workspace, specs: Sequence[ProductSpec]) -> None:
    """Make the snapshots that are missing, or older than the newest version of their source."""
    if not _outdated(workspace, specs):
        return
    with one_at_a_time(workspace):  # so that no version is published meanwhile
        for source, views in _outdated(workspace, specs).items():
            with workspace.database.read() as tx:
                newest = tx.data.newest(source)
            assert newest is not None, "only sources with data are outdated"
            taken = take_snapshots(
                workspace, views, table_version=newest.table_version, version=newest.number
            )
            with workspace.database.write() as tx:
                name_snapshots(tx, taken)


def _outdated(workspace: Workspace, specs: Sequence[ProductSpec]) -> dict[str, list[FeatureViewSpec]]:
    found: dict[str, list[FeatureViewSpec]] = {}
    with workspace.database.read() as tx:
        views = online_views(tx, specs)
        known = snapshots_in_force(tx) if views else {}
        for view in views:
            newest, taken = tx.data.newest(view.source), known.get(snapshot_name(view))
            if newest is not None and (taken is None or taken.version != newest.number):
                found.setdefault(view.source, []).append(view)
    return found


@contextmanager
def _kept(file: Path, content: bytes) -> Iterator[Path]:
    """Hold a batch in a file, where a worker can read it."""
    try:
        try:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        except OSError as error:
            raise disk_refused(file, error) from error
        yield file
    finally:
        with suppress(OSError):
            file.unlink()


@contextmanager
def one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Keep other publishers out: a version builds on the one before, and two would both build on the same one."""
    with (workspace.settings.state / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
