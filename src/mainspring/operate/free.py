"""Freeing storage: what was deleted a while ago is removed for good, and files that nobody refers to with it.

First the rows go, and with them, in one transaction, it is written down which files may go and how many bytes they are.
Then the files go. Killed in between, the next call finishes that first.
"""

from __future__ import annotations

__all__ = ["Freed", "free"]

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from mainspring.digest import digest_of_json
from mainspring.errors import NotFound
from mainspring.events import Event, EventType
from mainspring.operate.reachable import Kept, Referred, place_of, referred
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.freeing import Deleted, Kind

if TYPE_CHECKING:
    from mainspring.stores.artifacts import FileArtifacts
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_AT_ONCE = 200
"""Runs that are removed in one transaction: writers wait meanwhile."""
_UNDER_WAY = timedelta(days=1)
"""For so long an upload may go on, and a file may lie before what it belongs to is known."""
_PENDING = "freeing:"
_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Freed:
    """Something that was removed, or would be.

    Attributes
    ----------
    what, key, name : str, str, str
        Its kind, its id or path, and how people call it.
    stays : bool
        Whether it stays itself, since a version comes from it, and only files of it go.
    files, size : int, int
        How many files go, and their bytes.
    """

    what: str
    key: str
    name: str
    files: int
    size: int
    stays: bool = False


class _Pending(msgspec.Struct, frozen=True):
    """Files that may go, since what they belonged to is gone; `keep` are those within that stay."""

    folders: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    sweep_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Doomed:
    deleted: Deleted | None
    folder: ArtifactPath | None
    freed: Freed


def free(
    workspace: Workspace,
    *,
    older_than: timedelta,
    actor: str,
    dry_run: bool = False,
    boundary: Callable[[str], None] = lambda place: None,
) -> tuple[Freed, ...]:
    """Remove runs, logged models and experiments that were deleted a while ago, and files that nobody refers to.

    A file stays while a version names it, or did within that while; so does the run or logged model that a version
    comes from. It may be called beside everything else that goes on.

    Parameters
    ----------
    older_than : timedelta
        How long ago it must have been deleted, or for files that belong to nothing, written.
    actor : str
        Who asks, for the ledger.
    dry_run : bool
        Change nothing, and say what would go.
    boundary : callable
        Told where the work stands.

    Returns
    -------
    tuple of Freed
        What has gone, or would.
    """
    store, since = workspace.artifacts, workspace.clock.now() - older_than
    if not dry_run:
        _finish(workspace, since, boundary)
    # The disk first: whatever is written to it later belongs to something that is known by then.
    strays = tuple(_strays(store, datetime.now(UTC) - max(older_than, _UNDER_WAY)))
    with workspace.database.read() as tx:
        planned = _plan(tx, store, since, strays)
    uploads = Freed(
        "unfinished upload", str(store.aside.name), "", *store.abandoned(datetime.now(UTC) - _UNDER_WAY)
    )
    found = tuple(each.freed for each in planned)
    if dry_run:
        return (*found, uploads) if uploads.files else found
    gone: list[Freed] = []
    for start in range(0, len(planned), _AT_ONCE):
        gone += _remove(workspace, planned[start : start + _AT_ONCE], since, actor, boundary)
        _finish(workspace, since, boundary)
    if uploads.files:
        with workspace.database.write() as tx:
            _note(tx, _Pending(sweep_before=datetime.now(UTC) - _UNDER_WAY))
            _record(tx, workspace, [uploads], actor)
        _finish(workspace, since, boundary)
        gone.append(uploads)
    return tuple(gone)


def _plan(
    tx: Transaction, store: FileArtifacts, since: datetime, strays: Sequence[ArtifactPath]
) -> list[_Doomed]:
    """Say what goes; everything of an experiment goes before it does."""
    deleted, refers = _deleted(tx, since)
    doomed, staying = list[_Doomed](), set[int]()
    for each in deleted:
        folder, stays = _folder(each), refers.to(each.kind, each.key)
        kept = refers.kept
        if each.kind is Kind.EXPERIMENT:
            if each.experiment_id in staying:
                continue
            # What is in it was counted with its runs.
            kept = Kept.of([*kept.paths, *(other.folder for other in doomed if other.folder is not None)])
        elif stays:
            staying.add(each.experiment_id)
        files, size = _weigh(store, folder, kept) if folder else (0, 0)
        if files or not stays:
            freed = Freed(each.kind.value, each.key, each.name, files, size, stays)
            doomed.append(_Doomed(each, folder, freed))
    known = _folders(tx)
    for stray in strays:
        if stray not in known and not refers.kept.holds(stray):
            files, size = _weigh(store, stray, refers.kept)
            if files:
                doomed.append(_Doomed(None, stray, Freed("files of nothing", str(stray), "", files, size)))
    return doomed


def _deleted(tx: Transaction, since: datetime) -> tuple[tuple[Deleted, ...], Referred]:
    deleted = tx.freeing.deleted(int(since.timestamp() * 1000))
    going = [(each.kind, each.key) for each in deleted if each.kind is not Kind.EXPERIMENT]
    return deleted, referred(tx, going, since)


def _folders(tx: Transaction) -> set[ArtifactPath]:
    return {place for _, _, uri in tx.freeing.places() if (place := _root(uri)) is not None}


def _remove(
    workspace: Workspace,
    planned: Sequence[_Doomed],
    since: datetime,
    actor: str,
    boundary: Callable[[str], None],
) -> list[Freed]:
    """Remove some, if they are still deleted and nobody has come to refer to them since they were planned."""
    with workspace.database.write() as tx:
        deleted, refers = _deleted(tx, since)
        still, known, gone = {(each.kind, each.key) for each in deleted}, _folders(tx), list[_Doomed]()
        for each in planned:
            if each.deleted is None:
                if each.folder not in known:
                    gone.append(each)
                continue
            kind, key = each.deleted.kind, each.deleted.key
            if (kind, key) not in still or (refers.to(kind, key) and not each.freed.stays):
                continue
            # An experiment that somebody has logged to since, or of which a run stays, is not empty.
            if kind is Kind.EXPERIMENT and each.deleted.experiment_id in tx.freeing.filled():
                continue
            gone.append(each)
            if not each.freed.stays:
                tx.freeing.remove([each.deleted])
        if not gone:
            return []
        folders = [each.folder for each in gone if each.folder is not None]
        keep = {path for folder in folders for path in refers.kept.within(folder)}
        _note(tx, _Pending(tuple(map(str, folders)), tuple(sorted(map(str, keep)))))
        _record(tx, workspace, [each.freed for each in gone], actor)
        boundary("before the rows are gone")
    boundary("after the rows are gone")
    return [each.freed for each in gone]


def _record(tx: Transaction, workspace: Workspace, freed: Sequence[Freed], actor: str) -> None:
    files, size = sum(each.files for each in freed), sum(each.size for each in freed)
    counts: dict[str, int] = {}
    for each in freed:
        counts[each.what] = counts.get(each.what, 0) + 1
    told = ", ".join(f"{count:,} × {what}" for what, count in counts.items())
    tx.ledger.append(
        Event(
            type=EventType.STORAGE_FREED,
            subject="artifacts",
            at=workspace.clock.now(),
            actor=actor,
            reason=f"{told}: {files:,} files of {size:,} bytes",
            data={
                "files": files,
                "bytes": size,
                "gone": [[each.what, each.key, each.files, each.size] for each in freed if not each.stays],
                "digest": digest_of_json([[each.what, each.key, each.files, each.size] for each in freed]),
            },
        )
    )


def _note(tx: Transaction, pending: _Pending) -> None:
    tx.values.put(f"{_PENDING}{uuid4().hex}", msgspec.json.encode(pending).decode())


def _finish(workspace: Workspace, since: datetime, boundary: Callable[[str], None]) -> None:
    """Remove the files that were written down, also by a call that was killed.

    Since then a run may have been restored, or brought again from another server: its files stay.
    """
    store = workspace.artifacts
    with workspace.database.read() as tx:
        noted = tx.values.items(_PENDING)
        referred_now = _deleted(tx, since)[1].kept.paths if noted else ()
    for key, text in noted.items():
        pending = msgspec.json.decode(text, type=_Pending)
        kept = Kept.of([*map(ArtifactPath.parse, pending.keep), *referred_now])
        for folder in map(ArtifactPath.parse, pending.folders):
            boundary(f"before {folder} is gone")
            _clear(store, folder, kept)
        if pending.sweep_before is not None:
            store.sweep(pending.sweep_before)
        boundary("after files are gone")
        with workspace.database.write() as tx:
            tx.values.remove(key)


def _clear(store: FileArtifacts, path: ArtifactPath, kept: Kept) -> None:
    if kept.holds(path):
        return
    if not kept.reaches_into(path):
        store.delete(path)
        return
    for each in store.list(path):
        _clear(store, path / ArtifactPath((each.name,)), kept)


def _weigh(store: FileArtifacts, path: ArtifactPath, kept: Kept) -> tuple[int, int]:
    """Count the files in a folder that would go, and their bytes."""
    files = size = 0
    if not kept.holds(path):
        for each in store.list(path):
            below = path / ArtifactPath((each.name,))
            if each.size is None:
                inner = _weigh(store, below, kept)
                files, size = files + inner[0], size + inner[1]
            elif not kept.holds(below):
                files, size = files + 1, size + each.size
    return files, size


def _folder(deleted: Deleted) -> ArtifactPath | None:
    """Give the folder in which the files of something lie alone; None where they are elsewhere."""
    place = _root(deleted.artifact_uri)
    # A place that is not called after it may be another's too.
    return place if place is not None and place.name == deleted.key else None


def _root(uri: str) -> ArtifactPath | None:
    def unknown(named: str) -> str:
        raise NotFound(named)

    try:
        place = place_of(uri, unknown)
    except NotFound:
        return None
    return (
        ArtifactPath(place.parts[:-1])
        if place and len(place.parts) > 1 and place.name == "artifacts"
        else place
    )


def _strays(store: FileArtifacts, before: datetime) -> Iterator[ArtifactPath]:
    """Give folders that are named as runs' and logged models' are, in which nothing was written since a moment."""
    for experiment in store.list():
        if not (experiment.is_folder and experiment.name.isdecimal()):
            continue
        of = ArtifactPath((experiment.name,))
        found = [of / ArtifactPath((each.name,)) for each in store.list(of) if _RUN.fullmatch(each.name)]
        models = of / ArtifactPath(("models",))
        found += [
            models / ArtifactPath((each.name,)) for each in store.list(models) if _MODEL.fullmatch(each.name)
        ]
        for folder in found:
            if store.touched(folder) < before:
                yield folder
