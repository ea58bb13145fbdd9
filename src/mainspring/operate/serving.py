"""What a gateway reads of a workspace: routes from the database, models from the blobs, and both when it is away."""

from __future__ import annotations

__all__ = ["ServingSource"]

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import SystemClock
from mainspring.digest import Digest
from mainspring.formats.served import Registered
from mainspring.formats.signature import Signature
from mainspring.operate.snapshots import snapshots_in_force
from mainspring.operate.verify_version import check, registered
from mainspring.product import ProductSpec
from mainspring.ref import ModelRef
from mainspring.rollouts import Route
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.durable import replace
from mainspring.stores.errors import StoreUnavailable
from mainspring.workspace import open_workspace

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from mainspring.clock import Clock
    from mainspring.digest import Digest
    from mainspring.registry import ModelVersion
    from mainspring.settings import Settings
    from mainspring.workspace import Workspace

_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct):
    """All that a gateway needs of the database, as it was when it was last read."""

    secret: str
    routes: tuple[Route, ...] = ()
    registered: dict[str, Registered] = {}
    specs: dict[str, ProductSpec] = {}
    snapshots: dict[str, Digest] = {}


@dataclass(slots=True)
class ServingSource:
    """Routes and models of a workspace.

    What was read last is kept in a file beside the blobs. A gateway that is started while the database is away serves
    from there, and looks for the database each time that it is asked for routes.
    """

    settings: Settings
    _kept: _Kept
    _workspace: Workspace | None
    _blobs: FileBlobs = field(init=False)

    def __post_init__(self) -> None:
        self._blobs = FileBlobs(self.settings.state / "blobs")

    @classmethod
    def open(cls, settings: Settings) -> ServingSource:
        """Open the workspace, or what is kept of it.

        Raises
        ------
        StoreUnavailable
            The database is away, and nothing is kept; or recorded data drives the clock, which is in the database.
        """
        try:
            workspace = open_workspace(settings.root, settings)
        except StoreUnavailable as error:
            kept = _read(_file(settings))
            if kept is None or settings.driven:
                raise
            _log.warning("Serving what is kept of the workspace, until its database is back: %s", error)
            return cls(settings, kept, None)
        kept = _read(_file(settings))
        secret = workspace.secret.hex()
        return cls(settings, kept if kept and kept.secret == secret else _Kept(secret), workspace)

    @property
    def secret(self) -> bytes:
        """Signs prediction ids."""
        return bytes.fromhex(self._kept.secret)

    @property
    def clock(self) -> Clock:
        """What time it is."""
        return self._workspace.clock if self._workspace else SystemClock()

    def route_stamp(self) -> str:
        """Give the numbers of the routes in force, which rise with each change, and the digests of the snapshots."""
        routes = " ".join(f"{route.product}:{route.number}" for route in self.routes())
        return " ".join([routes, *self._kept.snapshots.values()])

    def routes(self) -> tuple[Route, ...]:
        """Give the route of every product, and look for new snapshots."""
        if self._workspace is None:
            try:
                self._workspace = open_workspace(self.settings.root, self.settings)
            except StoreUnavailable:
                return self._kept.routes
        with self._workspace.database.read() as tx:
            routes = tx.rollouts.routes()
            snapshots = {name: taken.digest for name, taken in snapshots_in_force(tx).items()}
        if routes != self._kept.routes or snapshots != self._kept.snapshots:
            self._keep(routes, snapshots)
        return routes

    def snapshots(self) -> dict[str, Digest]:
        """Give the snapshots in force when routes were last asked for, by the name of what they hold."""
        return self._kept.snapshots

    def blob(self, digest: Digest) -> bytes:
        """Give the bytes of a model or of its sample, verified against their digest."""
        return self._blobs.get(digest)

    def registered(self, product: str, version: int) -> Registered:
        """Give what was registered of a version."""
        kept = self._kept.registered[f"{product}@{version}"]
        return msgspec.structs.replace(kept, allow_code=self.settings.allows_code(product))

    def check(self, product: str, version: int, artifact: Digest) -> None:
        """Raise `mainspring.operate.verify_version.VersionChanged` unless a version is all that was registered."""
        kept = self._kept.registered[f"{product}@{version}"]
        expected = {"artifact": artifact} | ({"sample": kept.sample} if kept.sample else {})
        check(ModelRef(product, version), kept.manifest, expected, blobs=self._blobs, secret=self.secret)

    def spec(self, product: str) -> ProductSpec:
        """Give a product's declaration."""
        return self._kept.specs[product]

    def close(self) -> None:
        """Let go of the workspace."""
        if self._workspace is not None:
            self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self, routes: tuple[Route, ...], snapshots: dict[str, Digest]) -> None:
        assert self._workspace is not None  # routes were read from it
        with self._workspace.database.read() as tx:
            specs = self._workspace.specs(tx)
            refs = [ModelRef(route.product, each.version) for route in routes for each in route.variants]
            versions = {str(ref): _registered(tx.registry.get(ref), self.settings) for ref in refs}
        kept = _Kept(self._kept.secret, routes, versions, specs, snapshots)
        self._kept = kept
        try:
            replace(_file(self.settings), msgspec.json.encode(kept))
        except (
            OSError
        ) as error:  # it is needed by a gateway that starts without the database, and by no other
            _log.warning("What is served could not be kept beside the database: %s", error)


def _registered(version: ModelVersion, settings: Settings) -> Registered:
    served: Any = version.lineage.get("served") or {}  # versions of 0.1 have none
    batching = served.get("batching", {})
    # Who asks at the same time is chance: in a replay company must not change the last bit of an answer.
    alike = batching.get("max_abs_diff") == 0 if settings.driven else True
    return Registered(
        signature=Signature.from_json(version.signature),
        rowwise=batching.get("proved", False) and alike,
        sample=served.get("sample") or None,
        manifest=registered(version)[0],
    )


def _file(settings: Settings) -> Path:
    return settings.state / "serving.json"


def _read(file: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, ValueError) as error:
        _log.warning("%s cannot be read, and is written anew: %s", file, error)
        return None
