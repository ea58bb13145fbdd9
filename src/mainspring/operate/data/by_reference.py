"""Delta tables that others write, as data: judged and named here, read where they are."""

from __future__ import annotations

__all__ = ["add_reference", "is_delta", "judge_table"]

import dataclasses
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from mainspring.data import MAIN, Batch, Change, DataVersion, judge
from mainspring.data.plain import DatasetKind, check_plain
from mainspring.digest import digest_of_json
from mainspring.errors import Invalid
from mainspring.events import Event, EventType
from mainspring.operate.data.beside import Before, beside
from mainspring.operate.data.datasets import dataset_key, record_plain
from mainspring.operate.data.publish import (
    CannotAdd,
    answered,
    around_of,
    one_at_a_time,
    renew_snapshots,
    target,
)
from mainspring.operate.tasks import Added, JudgeTable

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.digest import Digest
    from mainspring.operate.data.publish import Adding
    from mainspring.product import Dataset
    from mainspring.stores.tables import DeltaTables
    from mainspring.workspace import Workspace


def is_delta(folder: Path) -> bool:
    """Say whether a folder is a Delta table."""
    return (folder / "_delta_log").is_dir()


def add_reference(
    workspace: Workspace, dataset: str, folder: Path, *, actor: str, reason: str = "", adding: Adding
) -> Batch:
    """Publish the newest version of a Delta table as the next version of a dataset; none of its rows is copied.

    The contract is judged on all of its rows. A row that breaks it cannot be set aside, so it refuses the whole.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    folder : Path
        Of the table. Its owner must keep the files of versions that are to be read later.
    actor, reason : str
        Who adds it, and why.
    adding : Adding

    Raises
    ------
    UnknownDataset, CannotAdd
        There is no such dataset, or it is of another kind.
    Invalid
        The table cannot be read.
    """
    if adding.branch != MAIN or adding.time_zone:
        raise CannotAdd("A table by reference is read as it is: leave --branch and --time-zone out.")
    adding = dataclasses.replace(adding, kind=DatasetKind.REFERENCE)
    with workspace.database.read() as tx:
        plain = target(workspace, tx, dataset, adding)
        key = dataset_key(workspace, tx, dataset) if plain is None else plain.key
        specs = list(workspace.specs(tx).values())
    with one_at_a_time(workspace):
        version, digest = _newest(folder)
        with workspace.database.read() as tx:
            before = tx.data.newest(dataset)
            around = around_of(workspace, tx, dataset, before, before.rows if before else None)
            digest, earlier = answered(tx, dataset, digest, around)
        if earlier is not None:
            return earlier
        if before is not None and not workspace.tables.folder(dataset).is_symlink():
            raise CannotAdd(f"Dataset {dataset!r} has versions of its own: give the reference another name.")
        task = JudgeTable(
            dataset=dataset,
            folder=str(folder),
            version=version,
            key=key,
            plain=plain is not None,
            before=before.table_version if before else None,
            around=around,
        )
        ask = workspace.workers.ask
        added = ask(task, Added) if plain is None else judge_table(task, None, workspace.tables)
        now = workspace.clock.now()
        number = before.number + 1 if before else 1
        report = added.report
        batch = Batch(
            dataset=dataset,
            digest=digest,
            at=now,
            actor=actor,
            report=report,
            version=None if report.refusal else number,
        )
        found = {
            "batch": digest,
            **msgspec.to_builtins(report),
            "source": str(folder),
            "table_version": version,
        }
        if not report.refusal:
            workspace.tables.refer(dataset, folder)
        with workspace.database.write() as tx:
            tx.data.add_batch(batch)
            if report.refusal:
                tx.ledger.append(
                    Event(
                        type=EventType.BATCH_REFUSED,
                        subject=dataset,
                        at=now,
                        actor=actor,
                        reason=f"the table was refused: {report.refusal}",
                        data=found,
                    )
                )
                return batch
            had = before.rows if before else 0
            made = DataVersion(
                dataset=dataset,
                number=number,
                digest=digest,
                rows=added.rows,
                rows_added=max(0, added.rows - had),
                rows_removed=max(0, had - added.rows),
                published_at=now,
                table_version=version,
                parent=before.number if before else None,
                change=Change.REPLACE,
                source=str(folder),
            )
            tx.data.add(made)
            if plain is not None:
                record_plain(tx, plain)
            tx.ledger.append(
                Event(
                    type=EventType.DATA_VERSION_PUBLISHED,
                    subject=str(made.ref),
                    at=now,
                    actor=actor,
                    reason=reason or f"version {version} of the Delta table was judged, and is referred to",
                    data={"digest": digest, "rows": made.rows, "rows_added": made.rows_added, **found},
                )
            )
    renew_snapshots(workspace, specs)
    return batch


def judge_table(task: JudgeTable, declared: Dataset | None, tables: DeltaTables) -> Added:
    """Hold every row of a table against a contract; for the worker."""
    import polars as pl
    from deltalake import DeltaTable

    def scan(version: int) -> pl.LazyFrame:
        return pl.scan_delta(DeltaTable(task.folder, version=version))

    rows = scan(task.version)
    if declared is None:
        _, report = check_plain(rows.collect(), task.key)
    else:
        asks = None
        if task.around is not None:
            held = scan(task.before) if task.before is not None else None
            asks = beside(declared, Before(around=task.around, held=held, replaced=True, tables=tables))
        judged = judge(rows, declared, beside=asks)
        report = judged.report
        given, kept = rows.collect_schema(), judged.rows.collect_schema()
        if not report.refusal and (other := [name for name in kept if given[name] != kept[name]]):
            why = f"its columns {', '.join(other)} are of other types than the schema's"
            report = replace(report, refusal=why)
        if report.quarantined:
            why = f"{report.quarantined:,} rows fail a check, and rows of a table by reference cannot be set aside"
            report = replace(report, quarantined=0, refusal=why)
    if report.refusal and task.around is not None:
        report = replace(report, judged_under=task.around.digest)
    return Added(report=report, rows=report.rows, table_version=None if report.refusal else task.version)


def _newest(folder: Path) -> tuple[int, Digest]:
    """Give a table's newest version, and a digest of the files that it is made of; raises `Invalid`."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(str(folder))
        actions = table.get_add_actions(flatten=True)
        paths, sizes = actions["path"].to_pylist(), actions["size_bytes"].to_pylist()
    except (DeltaError, OSError) as error:
        why = str(error).splitlines()[0]
        raise Invalid(f"The Delta table in {folder} cannot be read: {why}. Nothing was added.") from error
    return table.version(), digest_of_json(
        ["delta", str(folder.resolve()), sorted(zip(paths, sizes, strict=True))]
    )
