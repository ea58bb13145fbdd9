"""Publishing data: from a batch of bytes to a validated, immutable version, or to a refusal that says why."""

from __future__ import annotations

__all__ = [
    "SET_ASIDE",
    "Adding",
    "CannotAdd",
    "add_batch",
    "answered",
    "around_of",
    "check_zone",
    "one_at_a_time",
    "release_digest",
    "renew_snapshots",
    "target",
]

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from mainspring.contract import References
from mainspring.data import MAIN, Batch, Change, DataVersion
from mainspring.data.plain import DatasetKind, PlainDataset
from mainspring.digest import digest_of_json
from mainspring.errors import Invalid
from mainspring.events import Event, EventType
from mainspring.features.online import snapshot_name
from mainspring.operate.data.add import add_data
from mainspring.operate.data.datasets import (
    UnknownDataset,
    dataset_key,
    head,
    known_datasets,
    plain_dataset,
    record_plain,
)
from mainspring.operate.data.incoming import kept
from mainspring.operate.materialize import keep_up
from mainspring.operate.snapshots import (
    TakenSnapshot,
    in_memory,
    name_snapshots,
    online_views,
    snapshots_in_force,
    take_snapshots,
)
from mainspring.operate.tasks import AddBatch, Added, Around
from mainspring.ref import DataRef, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mainspring.digest import Digest
    from mainspring.product import FeatureViewSpec, ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


SET_ASIDE = "set aside from"
"""How the source begins of a version of rows that a person let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """How a batch is added.

    Attributes
    ----------
    change : Change
        Whether its rows come beside those of before, in place of all of them, or of those that have their key.
    branch : str
        On which branch.
    new : bool
        Whether a dataset is begun that no product reads; `kind` and `key` are then its.
    kind : DatasetKind
    key : tuple of str
        The columns that name a row of it.
    time_zone : str
        Of moments that have none, such as Europe/Berlin.
    source : str
        Where the rows came from, for people.
    pushed : bool
        Whether rows that do not say when they became known, where the dataset has a column for that, did so now.
    released : Digest, optional
        The batch of which a person lets in the rows that were set aside.
    """

    change: Change = Change.APPEND
    branch: str = MAIN
    new: bool = False
    kind: DatasetKind = DatasetKind.TABLE
    key: tuple[str, ...] = ()
    time_zone: str = ""
    source: str = ""
    pushed: bool = False
    released: Digest | None = None


class CannotAdd(Invalid):
    """A batch that cannot be added to its dataset in this way, whatever its rows are."""


def add_batch(
    workspace: Workspace,
    dataset: str,
    content: bytes | Path,
    *,
    actor: str,
    reason: str = "",
    adding: Adding = Adding(),
) -> Batch:
    """Validate a batch and publish the next version of its dataset.

    Handed in again, the same bytes get the same answer and change nothing. Those that a contract refused are judged
    anew once the contract, or what it compares with, is another.

    Parameters
    ----------
    workspace : Workspace
        Where to.
    dataset : str
        Its name, as a product declares it, or as it was begun without one.
    content : bytes or Path
        A Parquet, Arrow, NDJSON or CSV file.
    actor, reason : str
        Who adds it, and why.
    adding : Adding
        How it is added.

    Returns
    -------
    Batch
        With the version that it made, or with a report that says why it was refused; nothing of a refused batch is
        kept, and the version before goes on. Where it changes nothing, with the version that stays.

    Raises
    ------
    UnknownDataset, mainspring.data.DataNameNotFound
        There is no such dataset or branch.
    CannotAdd
        The dataset has no key to upsert by, or is of another kind.
    SourceUnreadable, SourceChanged
        The file cannot be read as it is.
    """
    batch = _add_batch(workspace, dataset, content, actor, reason, adding)
    if batch.version is not None and adding.branch == MAIN:
        keep_up(workspace, dataset)
    return batch


def _add_batch(
    workspace: Workspace, dataset: str, content: bytes | Path, actor: str, reason: str, adding: Adding
) -> Batch:
    with workspace.database.read() as tx:
        plain = target(workspace, tx, check_name(dataset), adding)
        key = dataset_key(workspace, tx, dataset) if plain is None else plain.key
    if adding.change is Change.UPSERT and not key:
        raise CannotAdd(f"Dataset {dataset!r} has no key to upsert by. Begin one with `--new --key COLUMN`.")
    check_zone(adding.time_zone)
    with one_at_a_time(workspace), kept(workspace.settings.state / "incoming", content) as (file, digest):
        with workspace.database.read() as tx:
            before = head(tx, dataset, adding.branch)
            newest = tx.data.newest(dataset, None)
            named = _name(tx, dataset, digest, before, plain, adding)
            around = None
            if plain is None:
                around = around_of(workspace, tx, dataset, before, _came(tx, before, adding))
            answers = [answered(tx, dataset, each, around) for each in named]
            digest, earlier = next((each for each in answers if each[1] is not None), answers[0])
        if earlier is not None and (adding.change is Change.APPEND or _answers(earlier, before)):
            return earlier
        task = AddBatch(
            dataset=dataset,
            file=str(file),
            table_version=before.table_version if before else None,
            key=key,
            plain=plain is not None,
            change=adding.change,
            time_zone=adding.time_zone,
            known=workspace.clock.now() if adding.pushed else None,
            around=around,
            released=adding.released is not None,
        )
        # Where no code of a user's has a say, no worker is needed, which takes seconds to begin.
        added = (
            workspace.workers.ask(task, Added) if plain is None else add_data(task, None, workspace.tables)
        )
        taken = {}
        if adding.branch == MAIN:
            taken = _snapshots(workspace, added, newest.number if newest else 0, dataset)
        return _record(
            workspace, dataset, answers[0][0], added, before, newest, actor, reason, adding, plain, taken
        )


def target(workspace: Workspace, tx: Transaction, dataset: str, adding: Adding) -> PlainDataset | None:
    """Give the dataset that is added to, None for one that a product declares; raises as `add_batch` does."""
    if any(each.name == dataset for spec in workspace.specs(tx).values() for each in spec.datasets):
        if adding.kind is DatasetKind.FILES:
            raise CannotAdd(f"Dataset {dataset!r} is a table that a product reads: name a file with rows.")
        return None
    known = plain_dataset(tx, dataset)
    if known is None:
        if not adding.new:
            raise UnknownDataset(dataset, known_datasets(workspace, tx))
        if tx.data.newest(dataset, None) is not None:
            raise CannotAdd(f"{dataset!r} has the answers of scorings: give the new dataset another name.")
        return PlainDataset(dataset, adding.kind, adding.key)
    if known.kind is not adding.kind:
        raise CannotAdd(
            f"Dataset {dataset!r} is of the kind {known.kind.value}, and the source {adding.kind.value}."
        )
    if adding.key and adding.key != known.key:
        has = f"the key {', '.join(known.key)}" if known.key else "no key"
        raise CannotAdd(f"Dataset {dataset!r} has {has}, which cannot be changed: leave --key out.")
    return known


def answered(
    tx: Transaction, dataset: str, digest: Digest, around: Around | None
) -> tuple[Digest, Batch | None]:
    """Give the last answer that a batch has, or None and the digest to record it under.

    A refusal by a contract is an answer only as long as what it rests on is the same.
    """
    while (earlier := tx.data.find_batch(dataset, digest)) is not None and earlier.report.judged_under:
        following = digest_of_json([digest, "again"])
        if tx.data.find_batch(dataset, following) is None:
            same = around is not None and around.digest == earlier.report.judged_under
            return (digest, earlier) if same else (following, None)
        digest = following
    return digest, earlier


def release_digest(batch: Digest) -> Digest:
    """Give the digest under which it is recorded that rows of a batch that were set aside are let in."""
    return digest_of_json([batch, "released"])


def around_of(
    workspace: Workspace,
    tx: Transaction,
    dataset: str,
    before: DataVersion | None,
    rows_before: int | None,
) -> Around:
    """Give what a batch of a dataset that a product declares is judged beside."""
    declared = [
        each for spec in workspace.specs(tx).values() for each in spec.datasets if each.name == dataset
    ]
    wanted = {check.dataset for each in declared for check in each.checks if isinstance(check, References)}
    newest = {name: tx.data.newest(name) for name in sorted(wanted)}
    others = {name: version.table_version for name, version in newest.items() if version is not None}
    looks_back = before is not None and any(each.checks for each in declared)
    rests_on = [[each.contract for each in declared], others, before.number if before and looks_back else 0]
    return Around(
        now=workspace.clock.now(), rows_before=rows_before, others=others, digest=digest_of_json(rests_on)
    )


def _came(tx: Transaction, before: DataVersion | None, adding: Adding) -> int | None:
    """Say how many rows came with the version before, as they are counted of what is added now.

    Versions of rows that a person let in do not count.
    """
    while before is not None and before.source.startswith(SET_ASIDE) and before.parent is not None:
        before = tx.data.get(DataRef(before.dataset, before.parent))
    if before is None:
        return None
    beside = (Change.APPEND, Change.UPSERT)
    if adding.change in beside and before.change in beside:
        return before.rows_added + before.rows_changed
    return before.rows


def check_zone(zone: str) -> None:
    """Raise `CannotAdd` where there is no such time zone."""
    try:
        if zone:
            ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CannotAdd(f"There is no time zone {zone!r}: name one such as UTC or Europe/Berlin.") from None


def _name(
    tx: Transaction,
    dataset: str,
    digest: Digest,
    before: DataVersion | None,
    plain: PlainDataset | None,
    adding: Adding,
) -> list[Digest]:
    """Say under which digest a batch is recorded; the second, where there is one, is that of the same act before.

    The same bytes are another batch when they are added in another way, or after rows of before were replaced.
    """
    if adding.released is not None:
        return [release_digest(adding.released)]
    how: list[object] = [
        adding.change.value,
        adding.branch,
        adding.time_zone,
        list(plain.key) if plain else [],
    ]
    if adding.change is not Change.APPEND:
        earlier = [before.number, before.parent] if before else [None]
        return [digest_of_json([digest, *how, each]) for each in earlier]
    since = tx.data.last_rewritten(dataset, adding.branch)
    if how == [Change.APPEND.value, MAIN, "", []] and since is None:
        return [digest]
    return [digest_of_json([digest, *how, since])]


def _answers(earlier: Batch, before: DataVersion | None) -> bool:
    """Whether a batch that takes the place of rows has its answer already: nothing else has come since."""
    return earlier.version is None or (before is not None and earlier.version == before.number)


def _snapshots(workspace: Workspace, added: Added, newest: int, dataset: str) -> dict[str, TakenSnapshot]:
    """Make the snapshots of the version that a batch is about to make."""
    if added.table_version is None:
        return {}
    with workspace.database.read() as tx:
        views = in_memory(online_views(tx, workspace.specs(tx).values()))
    return take_snapshots(
        workspace,
        [view for view in views if view.source == dataset],
        table_version=added.table_version,
        version=newest + 1,
    )


def _record(
    workspace: Workspace,
    dataset: str,
    digest: Digest,
    added: Added,
    before: DataVersion | None,
    newest: DataVersion | None,
    actor: str,
    reason: str,
    adding: Adding,
    plain: PlainDataset | None,
    snapshots: dict[str, TakenSnapshot],
) -> Batch:
    now, report = workspace.clock.now(), added.report
    number = (newest.number if newest else 0) + 1
    same = before is not None and added.table_version == before.table_version
    batch = Batch(
        dataset=dataset,
        digest=digest,
        at=now,
        actor=actor,
        report=report,
        version=None if added.table_version is None else before.number if before and same else number,
    )
    found = {"batch": digest, **msgspec.to_builtins(report), **_told(adding)}
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
        if same:
            if before is not None and report.quarantined:
                why = f"{report.quarantined:,} rows were set aside, and the others change nothing"
                tx.ledger.append(
                    Event(
                        type=EventType.DATA_SET_ASIDE,
                        subject=str(before.ref),
                        at=now,
                        actor=actor,
                        reason=why,
                        data=found,
                    )
                )
            return batch
        kept_rows = before.rows - added.removed if before else 0
        version = DataVersion(
            dataset=dataset,
            number=number,
            digest=digest_of_json([before.digest if before else "", digest, msgspec.to_builtins(report)]),
            rows=kept_rows + added.rows,
            rows_added=added.rows,
            published_at=now,
            table_version=added.table_version,
            branch=adding.branch,
            parent=before.number if before else None,
            change=adding.change,
            rows_changed=added.changed,
            rows_removed=added.removed,
            source=adding.source,
        )
        tx.data.add(version)
        if plain is not None:
            record_plain(tx, plain)
        name_snapshots(tx, snapshots)
        changes = {"rows_changed": added.changed, "rows_removed": added.removed}
        tx.ledger.append(
            Event(
                type=EventType.DATA_VERSION_PUBLISHED,
                subject=str(version.ref),
                at=now,
                actor=actor,
                reason=reason or _why(added, adding),
                data={"digest": version.digest, "rows": version.rows, "rows_added": added.rows, **found}
                | {name: count for name, count in changes.items() if count}
                | (
                    {"snapshots": {name: taken.digest for name, taken in snapshots.items()}}
                    if snapshots
                    else {}
                ),
            )
        )
    return batch


def _why(added: Added, adding: Adding) -> str:
    if adding.change is Change.APPEND:
        return f"{added.rows:,} rows passed validation, {added.report.quarantined:,} were set aside"
    return f"{added.rows:,} rows are new, {added.changed:,} have changed, {added.removed:,} are gone"


def _told(adding: Adding) -> dict[str, str]:
    """What the ledger tells of how a batch was added, where that is not the usual way."""
    told = {"change": adding.change.value, "branch": adding.branch, "time_zone": adding.time_zone}
    usual = {"change": Change.APPEND.value, "branch": MAIN, "time_zone": ""}
    return {
        name: value
        for name, value in (told | {"source": adding.source, "released": adding.released or ""}).items()
        if value != usual.get(name, "")
    }


def renew_snapshots(workspace: Workspace, specs: Sequence[ProductSpec]) -> None:
    """Make the snapshots that are missing, or older than the newest version of their source.

    What the online store lacks is written into it.
    """
    keep_up(workspace, specs=specs)
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
        views = in_memory(online_views(tx, specs))
        known = snapshots_in_force(tx) if views else {}
        for view in views:
            newest, taken = tx.data.newest(view.source), known.get(snapshot_name(view))
            if newest is not None and (taken is None or taken.version != newest.number):
                found.setdefault(view.source, []).append(view)
    return found


@contextmanager
def one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Keep other publishers out: a version builds on the one before, and two would both build on the same one."""
    with (workspace.settings.state / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
