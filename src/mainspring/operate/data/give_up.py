"""Giving up data that nothing refers to, and putting many small files of a table together."""

from __future__ import annotations

__all__ = ["Collected", "Compacted", "collect_data", "compact_data", "referred_versions"]

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_duration
from mainspring.data import NameKind
from mainspring.data.plain import DatasetKind
from mainspring.errors import MainspringError
from mainspring.events import Event, EventType
from mainspring.operate.data.datasets import UnknownDataset, known_datasets, plain_dataset
from mainspring.operate.data.publish import one_at_a_time
from mainspring.ref import DataRef
from mainspring.stores.files import FileContents
from mainspring.stores.table_files import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mainspring.data import DataVersion
    from mainspring.data.plain import PlainDataset
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_REF = re.compile(r"(?<![a-z0-9_@-])([a-z0-9][a-z0-9_-]{0,62})@v([1-9][0-9]{0,8})(?![0-9])")
_NO_REFERENCE = {
    EventType.DATA_NAMED,
    EventType.DATA_NAME_DROPPED,
    EventType.DATA_VERSION_RETIRED,
    EventType.DATA_COMPACTED,
}
_COMPACTED = "compacted:"
_READING_S = 3600
"""How long a reader may need the files that a compaction has replaced."""

_FEW = 8
"""As many files as a table may have before they are put together."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was given up, or would be: versions, files with rows, contents of files, and batches that were left.

    Attributes
    ----------
    dry_run : bool
        Whether all of it is still there.
    retired : list of str
        Versions whose rows were given up.
    table_files, contents, incoming : int
    bytes_freed : int
        Of all of them.
    """

    dry_run: bool
    retired: list[str]
    table_files: int
    contents: int
    incoming: int
    bytes_freed: int


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A version whose rows are in fewer files now."""

    ref: str
    files_before: int
    files_now: int


def referred_versions(tx: Transaction) -> frozenset[DataRef]:
    """Give the versions that something refers to.

    Those are the newest on each branch and where it began, those with a tag, and those that any entry of the ledger
    names but the one that tells of the version itself: of a run, a cycle, a model, a request, a scoring.
    """
    referred: set[DataRef] = set()
    for entry in tx.ledger.entries():
        if entry.type not in _NO_REFERENCE:
            own = entry.type == EventType.DATA_VERSION_PUBLISHED
            text = entry.data if own else f"{entry.subject} {entry.data}"
            referred |= {DataRef(name, int(number)) for name, number in _REF.findall(text)}
    for cycle in tx.loop.cycles(None):
        referred |= {DataRef(name, number) for name, number in cycle.data.items()}
    names = tx.data_names.names()
    for name in names:
        referred.add(DataRef(name.dataset, name.number))
    branches = {(each.dataset, each.name) for each in names if each.kind is NameKind.BRANCH}
    for dataset in {version.dataset for version in tx.data.versions()}:
        for branch in ("main", *(branch for owner, branch in branches if owner == dataset)):
            newest = tx.data.newest(dataset, branch)
            if newest is not None:
                referred.add(newest.ref)
    return frozenset(referred)


def collect_data(
    workspace: Workspace,
    *,
    older_than: str | None = None,
    dry_run: bool = False,
    actor: str,
    reason: str = "",
) -> Collected:
    """Free what nothing refers to, beside writers, who are waited for.

    Parameters
    ----------
    workspace : Workspace
    older_than : str, optional
        Such as `90d`: give up the rows of versions that were published before that, if nothing refers to them.
        Without, no version is given up, and only what no version has is freed: what killed or refused writers left.
    dry_run : bool
        Change nothing.
    actor, reason : str
        Who frees it, and why.

    Returns
    -------
    Collected
    """
    now, age = workspace.clock.now(), parse_duration(older_than) if older_than else None
    contents = FileContents(workspace.settings.state / "files")
    with contents.alone(), one_at_a_time(workspace):
        with workspace.database.read() as tx:
            versions = tx.data.versions()
            referred = referred_versions(tx) if age is not None else frozenset()
            compacted = {
                key.removeprefix(_COMPACTED): msgspec.json.decode(text, type=dict[int, float])
                for key, text in tx.values.items(_COMPACTED).items()
            }
            plain = {each.dataset: plain_dataset(tx, each.dataset) for each in versions}
        old = [
            each
            for each in versions
            if each.retired_at is None
            and age is not None
            and each.published_at < now - age
            and each.ref not in referred
        ]
        if old and not dry_run:
            with workspace.database.write() as tx:
                for version in old:
                    tx.data.put(replace(version, retired_at=now))
                    tx.ledger.append(
                        Event(
                            type=EventType.DATA_VERSION_RETIRED,
                            subject=str(version.ref),
                            at=now,
                            actor=actor,
                            reason=reason or f"it is older than {older_than}, and nothing refers to it",
                            data={"digest": version.digest, "rows": version.rows},
                        )
                    )
        left = [each for each in versions if each.retired_at is None and each not in old]
        files = size = 0
        for dataset in sorted({each.dataset for each in versions}):
            if workspace.tables.folder(dataset).is_symlink():  # what others write is not ours to remove
                continue
            recent = [
                version for version, at in compacted.get(dataset, {}).items() if at > time.time() - _READING_S
            ]
            freed = _sweep(workspace, dataset, left, recent, dry_run=dry_run)
            files, size = files + freed[0], size + freed[1]
        count, of_contents = contents.sweep(_digests(workspace, left, plain), dry_run=dry_run)
        incoming, of_incoming = _sweep_incoming(workspace.settings.state / "incoming", dry_run=dry_run)
    return Collected(
        dry_run=dry_run,
        retired=[str(each.ref) for each in old],
        table_files=files,
        contents=count,
        incoming=incoming,
        bytes_freed=size + of_contents + of_incoming,
    )


def compact_data(
    workspace: Workspace, dataset: str | None = None, *, actor: str, reason: str = ""
) -> list[Compacted]:
    """Put the files of the newest version of datasets together where they are many; rows, number and digest stay.

    What is replaced is freed by `collect_data`, not before an hour has passed: somebody may be reading it.

    Parameters
    ----------
    workspace : Workspace
    dataset : str, optional
        This one alone.
    actor, reason : str
        Who does it, and why.

    Raises
    ------
    UnknownDataset
    """
    with workspace.database.read() as tx:
        known = sorted({each.dataset for each in tx.data.versions()})
        if dataset is not None and dataset not in known:
            raise UnknownDataset(dataset, known_datasets(workspace, tx))
    done = []
    for name in known if dataset is None else [dataset]:
        with one_at_a_time(workspace):
            with workspace.database.read() as tx:
                newest = tx.data.newest(name)
            if newest is None or workspace.tables.folder(name).is_symlink():
                continue
            before = files_of(workspace.tables, name, newest.table_version)
            if len(before) <= _FEW:
                continue
            workspace.tables.restore(name, newest.table_version)
            version = workspace.tables.compact(name)
            now = files_of(workspace.tables, name, version)
            if workspace.tables.rows(name, version) != newest.rows:
                raise MainspringError(
                    f"The files of {newest.ref} put together have other rows: it stays as it is."
                )
            _record(workspace, newest, version, len(before), len(now), actor, reason)
            done.append(Compacted(ref=str(newest.ref), files_before=len(before), files_now=len(now)))
    return done


def _record(
    workspace: Workspace,
    version: DataVersion,
    table_version: int,
    before: int,
    now: int,
    actor: str,
    reason: str,
) -> None:
    key = _COMPACTED + version.dataset
    with workspace.database.write() as tx:
        known = msgspec.json.decode(tx.values.get(key) or "{}", type=dict[int, float])
        # In the system's time, whatever the workspace's clock says: it is readers that are waited for.
        recent = {each: at for each, at in known.items() if at > time.time() - _READING_S}
        replaced = {str(each): at for each, at in {**recent, version.table_version: time.time()}.items()}
        tx.values.put(key, msgspec.json.encode(replaced).decode())
        tx.data.put(replace(version, table_version=table_version))
        tx.ledger.append(
            Event(
                type=EventType.DATA_COMPACTED,
                subject=str(version.ref),
                at=workspace.clock.now(),
                actor=actor,
                reason=reason or f"its rows were in {before} files, and are in {now} now",
                data={"digest": version.digest, "files_before": before, "files_now": now},
            )
        )


def _sweep(
    workspace: Workspace, dataset: str, left: list[DataVersion], recent: list[int], *, dry_run: bool
) -> tuple[int, int]:
    tables = {each.table_version for each in left if each.dataset == dataset} | set(recent)
    kept: set[Path] = set()
    for version in tables:
        kept |= files_of(workspace.tables, dataset, version)
    return workspace.tables.sweep(dataset, kept, dry_run=dry_run)


def _digests(
    workspace: Workspace, left: list[DataVersion], plain: Mapping[str, PlainDataset | None]
) -> set[str]:
    """Give the digests of the contents that versions of files have."""
    referred: set[str] = set()
    for version in left:
        known = plain[version.dataset]
        if known is not None and known.kind is DatasetKind.FILES:
            rows = workspace.tables.scan(version.dataset, version.table_version)
            referred |= set(rows.select("digest").collect()["digest"].to_list())
    return referred


def _sweep_incoming(folder: Path, *, dry_run: bool) -> tuple[int, int]:
    found = [each for each in folder.glob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in found)
    if not dry_run:
        for each in found:
            each.unlink()
    return len(found), size
