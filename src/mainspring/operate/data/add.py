"""What a worker does with a batch: read it, check it, and make the table's next version of it."""

from __future__ import annotations

__all__ = ["add_data"]

from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.data import BatchReport, Change, columns_of, validate
from mainspring.data.plain import check_plain, in_utc
from mainspring.errors import Fault
from mainspring.operate.data.read_table import Unreadable, read_table
from mainspring.operate.tasks import AddBatch, Added
from mainspring.stores.tables import DeltaTables, TableRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from mainspring.product import Dataset

_OTHER_KEY = Fault("its key", "is of other types than the table's.", "Replace the dataset's rows instead.")


def add_data(task: AddBatch, declared: Dataset | None, tables: DeltaTables) -> Added:
    """Check a batch and make the table's next version of it.

    Parameters
    ----------
    task : AddBatch
    declared : Dataset or None
        With the schema that a product declares, None for a dataset without a product.
    tables : DeltaTables

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
    try:
        batch = read_table(Path(task.file), texts)
    except Unreadable as error:
        return _refused(BatchReport(0, 0, (), error.why))
    batch, failures = in_utc(batch, task.time_zone)
    if failures:
        why = "; ".join(f"{each.column}: {each.check}" for each in failures)
        return _refused(BatchReport(batch.height, 0, tuple(failures), why))
    if task.known is not None and declared is not None and declared.known_at is not None:
        batch = _known_since(batch, declared.known_at, task.known)
    key, published = list(task.key), None
    if held is not None and key and task.change is Change.APPEND:
        published = _same_keys(held, batch, key)
    if declared is not None:
        rows, report = validate(batch, declared, published_keys=published)
    else:
        known = None if held is None or task.change is Change.REPLACE else schema
        rows, report = check_plain(batch, task.key, schema=known, published_keys=published)
    if report.refusal:
        return _refused(report)
    try:
        if before is None and tables.folder(name).is_symlink():  # of a reference that was never recorded
            tables.folder(name).unlink()
        tables.restore(name, before)
        return _change(task, rows, report, held, tables)
    except TableRefused as error:
        why = "; ".join(map(str, error.faults))
        return _refused(BatchReport(report.rows, 0, report.failures, f"it does not fit the table: {why}"))


def _known_since(batch: pl.DataFrame, column: str, known: datetime) -> pl.DataFrame:
    """Say of rows that do not that they became known at an instant."""
    import polars as pl

    since = pl.lit(known, pl.Datetime("us", "UTC"))
    if column not in batch.columns or batch[column].null_count() == batch.height:
        return batch.with_columns(since.alias(column))
    if not isinstance(batch.schema[column], pl.Datetime):
        return batch  # which validation tells of
    return batch.with_columns(pl.col(column).fill_null(since))


def _refused(report: BatchReport) -> Added:
    return Added(report=report, rows=0, table_version=None)


def _change(
    task: AddBatch, rows: pl.DataFrame, report: BatchReport, held: pl.LazyFrame | None, tables: DeltaTables
) -> Added:
    """Make the next version of the table, unless it would be the same as the one before."""
    name, key = task.dataset, list(task.key)
    if held is None or task.change is Change.APPEND:
        version = tables.append(name, rows, commit_id=None)
        return Added(report=report, rows=rows.height, table_version=version)
    if task.change is Change.UPSERT:
        matched = _same_keys(held, rows, key)
        if matched is None:
            raise TableRefused(f"What was to be added to {name!r}", (_OTHER_KEY,))
        fresh, changed = _difference(rows, matched, key)
        if not fresh.height and not changed.height:
            return Added(report=report, rows=0, table_version=task.table_version)
        if changed.height:
            tables.remove(name, changed.select(key))
        version = tables.append(name, changed.vstack(fresh), commit_id=None)
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


def _same_keys(held: pl.LazyFrame, batch: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame | None:
    """Give the rows of a table whose key stands in a batch; None where the batch's keys are of other types.

    Whole pieces of the table are left out by the least and greatest values that their files tell: rows that continue
    a table cost no reading of it.
    """
    import polars as pl

    schema = held.collect_schema()
    if any(batch.schema.get(each) != schema.get(each) for each in key):
        return None
    if not batch.height:
        return held.clear().collect()
    within = [pl.col(each).is_between(pl.lit(batch[each].min()), pl.lit(batch[each].max())) for each in key]
    return held.filter(*within).join(batch.select(key).unique().lazy(), on=list(key), how="semi").collect()


def _difference(rows: pl.DataFrame, old: pl.DataFrame, key: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tell which rows have a new key, and which have a known one and other values."""
    fresh, known = rows.join(old, on=key, how="anti"), rows.join(old, on=key, how="semi")
    if dict(old.schema) != dict(rows.schema):
        return fresh, known
    same = known.join(old, on=rows.columns, how="semi", nulls_equal=True)
    return fresh, known.join(same, on=key, how="anti")
