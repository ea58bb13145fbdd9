"""What a worker does with a batch: read it, check it, and make the table's next version of it."""

from __future__ import annotations

__all__ = ["add_data"]

from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from mainspring.contract import SchemaEvolution
from mainspring.data import BatchReport, Change, columns_of, judge
from mainspring.data.plain import check_plain, in_utc
from mainspring.data.validate import Judged, withhold
from mainspring.errors import Fault
from mainspring.operate.data.beside import Before, beside
from mainspring.operate.data.read_table import Unreadable, scan_table, unreadable
from mainspring.operate.tasks import AddBatch, Added
from mainspring.stores.tables import DeltaTables, TableRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from mainspring.contract import DatasetCheck
    from mainspring.product import Dataset
    from mainspring.stores.blobs import FileBlobs

_OTHER_KEY = Fault("its key", "is of other types than the table's.", "Replace the dataset's rows instead.")


_PIECE_ROWS = 1_000_000
"""As many rows are in memory at a time while a batch is appended."""


def add_data(
    task: AddBatch, declared: Dataset | None, tables: DeltaTables, blobs: FileBlobs | None = None
) -> Added:
    """Check a batch and make the table's next version of it.

    Parameters
    ----------
    task : AddBatch
    declared : Dataset or None
        With the schema that a product declares, None for a dataset without a product.
    tables : DeltaTables
    blobs : FileBlobs, optional
        Where rows that are set aside are kept; there are none without a declared schema.

    Returns
    -------
    Added
        What became of it. Nothing of a refused batch is in the table.
    """
    import polars as pl

    name, before = task.dataset, task.table_version
    held = tables.scan(name, before) if before is not None else None
    schema = held.collect_schema() if held is not None else pl.Schema()
    texts = [each for each, dtype in schema.items() if dtype == pl.String]
    if declared is not None:
        texts = [column.name for column in columns_of(declared) if column.dtype == "BYTES"]
    file = Path(task.file)
    try:
        batch, failures = in_utc(scan_table(file, texts), task.time_zone)
        if failures:
            why = "; ".join(f"{each.column}: {each.check}" for each in failures)
            told = withhold(failures, declared) if declared is not None else tuple(failures)
            return _refused(BatchReport(_height(batch), 0, told, why))
        if task.known is not None and declared is not None and declared.known_at is not None:
            batch = _known_since(batch, declared.known_at, task.known)
        judged = _judge(task, declared, batch, held, tables)
    except Unreadable as error:
        return _refused(BatchReport(0, 0, (), error.why))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # Damage in the midst of a file comes up when it is read, here or, where no check looks at it, below.
        return _refused(BatchReport(0, 0, (), unreadable(file, error).why))
    report = judged.report
    if report.refusal:
        return _refused(report, task)
    if judged.set_aside is not None:
        assert blobs is not None, "only a declared schema sets rows aside"
        content = BytesIO()
        judged.set_aside.write_parquet(content, compression="zstd")
        judged = replace(judged, report=structs.replace(report, set_aside=blobs.put(content.getvalue())))
    try:
        if before is None and tables.folder(name).is_symlink():  # of a reference that was never recorded
            tables.folder(name).unlink()
        tables.restore(name, before)
        return _change(task, judged, held, tables, widen=declared is not None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return _refused(BatchReport(report.rows, 0, (), unreadable(file, error).why))
    except TableRefused as error:
        why = "; ".join(map(str, error.faults))
        why = f"it does not fit the table: {why}"
        return _refused(BatchReport(report.rows, 0, report.failures, why), task)


def _known_since(batch: pl.LazyFrame, column: str, known: datetime) -> pl.LazyFrame:
    """Say of rows that do not that they became known at an instant."""
    import polars as pl

    since, schema = pl.lit(known, pl.Datetime("us", "UTC")), batch.collect_schema()
    if column not in schema or not batch.select(pl.col(column).count()).collect().item():
        return batch.with_columns(since.alias(column))
    if not isinstance(schema[column], pl.Datetime):
        return batch  # which validation tells of
    return batch.with_columns(pl.col(column).fill_null(since))


def _judge(
    task: AddBatch,
    declared: Dataset | None,
    batch: pl.LazyFrame,
    held: pl.LazyFrame | None,
    tables: DeltaTables,
) -> Judged:
    published = None
    if held is not None and task.key and task.change is Change.APPEND:
        published = partial(_same_keys, held, key=list(task.key))
    if declared is None:
        known = None if held is None or task.change is Change.REPLACE else held.collect_schema()
        rows, report = check_plain(batch.collect(), task.key, schema=known, published=published)
        return Judged(rows.lazy(), report)
    if task.released:  # how many rows come, and of when, is no matter of those that a person lets in
        declared = replace(declared, checks=tuple(map(_only_told, declared.checks)))
    replaced = task.change is Change.REPLACE
    asks = None
    if task.around is not None:
        asks = beside(declared, Before(around=task.around, held=held, replaced=replaced, tables=tables))
    judged = judge(batch, declared, published=published, beside=asks, released=task.released)
    if held is None or judged.report.refusal or replaced:
        return judged
    new = [each for each in columns_of(declared) if each.name not in held.collect_schema()]
    if not (needed := [each.name for each in new if not each.nullable]):
        return judged
    why = f"{', '.join(needed)}: is new and not nullable, and the rows of before have no value there"
    return replace(judged, report=structs.replace(judged.report, quarantined=0, refusal=why))


def _only_told(check: DatasetCheck) -> DatasetCheck:
    return check if isinstance(check, SchemaEvolution) else structs.replace(check, severity="warn")


def _height(rows: pl.LazyFrame) -> int:
    import polars as pl

    return int(rows.select(pl.len()).collect().item())


def _refused(report: BatchReport, by_contract: AddBatch | None = None) -> Added:
    if by_contract is not None and by_contract.around is not None:
        report = structs.replace(report, judged_under=by_contract.around.digest)
    return Added(report=report, rows=0, table_version=None)


def _change(
    task: AddBatch, judged: Judged, held: pl.LazyFrame | None, tables: DeltaTables, *, widen: bool
) -> Added:
    """Make the next version of the table, unless it would be the same as the one before."""
    name, key, report = task.dataset, list(task.key), judged.report
    if held is None or task.change is Change.APPEND:
        come = report.rows - report.quarantined
        if held is not None and not come:
            return Added(report=report, rows=0, table_version=task.table_version)
        version = tables.append(name, judged.pieces(_PIECE_ROWS), commit_id=None, widen=widen)
        return Added(report=report, rows=come, table_version=version)
    (rows,) = judged.pieces(report.rows)
    if task.change is Change.UPSERT:
        matched = _same_keys(held, rows.lazy(), key)
        if matched is None:
            raise TableRefused(f"What was to be added to {name!r}", (_OTHER_KEY,))
        fresh, changed = _difference(rows, matched, key)
        if not fresh.height and not changed.height:
            return Added(report=report, rows=0, table_version=task.table_version)
        if changed.height:
            tables.remove(name, changed.select(key))
        version = tables.append(name, changed.vstack(fresh), commit_id=None, widen=widen)
        return Added(report=report, rows=fresh.height, changed=changed.height, table_version=version)
    old = held.collect()
    if not key or any(old.schema.get(each) != rows.schema[each] for each in key):
        version = tables.replace(name, [rows])
        return Added(report=report, rows=rows.height, removed=old.height, table_version=version)
    fresh, changed = _difference(rows, old, key)
    removed = old.join(rows, on=key, how="anti").height
    if not (fresh.height or changed.height or removed) and old.schema == rows.schema:
        return Added(report=report, rows=0, table_version=task.table_version)
    version = tables.replace(name, [rows])
    return Added(
        report=report, rows=fresh.height, changed=changed.height, removed=removed, table_version=version
    )


def _same_keys(held: pl.LazyFrame, batch: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame | None:
    """Give the rows of a table whose key stands in a batch; None where the batch's keys are of other types.

    Whole pieces of the table are left out by the least and greatest values that their files tell: rows that continue
    a table cost no reading of it.
    """
    import polars as pl

    schema, given = held.collect_schema(), batch.collect_schema()
    if any(given.get(each) != schema.get(each) for each in key):
        return None
    ends = batch.select(
        *(pl.col(each).min().alias(f"least {each}") for each in key),
        *(pl.col(each).max().alias(f"greatest {each}") for each in key),
    ).collect(engine="streaming")
    within = [
        pl.col(each).is_between(pl.lit(ends[f"least {each}"].item()), pl.lit(ends[f"greatest {each}"].item()))
        for each in key
    ]
    return held.filter(*within).join(batch.select(key), on=list(key), how="semi").collect(engine="streaming")


def _difference(rows: pl.DataFrame, old: pl.DataFrame, key: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tell which rows have a new key, and which have a known one and other values."""
    fresh, known = rows.join(old, on=key, how="anti"), rows.join(old, on=key, how="semi")
    if dict(old.schema) != dict(rows.schema):
        return fresh, known
    same = known.join(old, on=rows.columns, how="semi", nulls_equal=True)
    return fresh, known.join(same, on=key, how="anti")
