"""Datasets that no product declares: their key, and what is checked where there is no schema of a person's."""

from __future__ import annotations

__all__ = ["DatasetKind", "PlainDataset", "check_plain", "in_utc"]

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.data.shape import key_failures, shape
from mainspring.data.version import BatchReport, CheckFailure

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data.validate import Published

_EXAMPLES = 5
_MOMENT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d"
_OFFSET = r"(?:[Zz]|[+-]\d\d:?\d\d)$"


class DatasetKind(StrEnum):
    """What a dataset without a product holds."""

    TABLE = "table"
    FILES = "files"
    REFERENCE = "reference"


class PlainDataset(msgspec.Struct, frozen=True):
    """A dataset that no product declares.

    Attributes
    ----------
    name : str
    kind : DatasetKind
        Rows of a table; files, each a row with its path and digest; or a Delta table that others write.
    key : tuple of str
        The columns that name a row, none where nothing does.
    """

    name: str
    kind: DatasetKind = DatasetKind.TABLE
    key: tuple[str, ...] = ()


def check_plain(
    batch: pl.DataFrame,
    key: tuple[str, ...],
    *,
    schema: Mapping[str, Any] | None = None,
    published: Published | None = None,
) -> tuple[pl.DataFrame, BatchReport]:
    """Check a batch of a dataset without a schema of its own.

    Parameters
    ----------
    batch : polars.DataFrame
        The rows.
    key : tuple of str
        The columns that name a row.
    schema : mapping of str to data type, optional
        Columns of the table that the rows go to, None where there is none yet.
    published : callable, optional
        Gives, of rows in the types of the table, the key columns of those that are published already.

    Returns
    -------
    polars.DataFrame
        The rows, in the types of the table; empty when the batch is refused.
    BatchReport
        All that speaks against it: columns that do not fit, moments without a time zone, keys that are null, repeated
        or published already.
    """
    rows, failures = batch, list[CheckFailure]()
    if schema is not None:
        shaped, failures = shape(batch.lazy(), schema)
        rows = batch if failures else shaped.collect()
    if not failures:
        failures += [each for name in rows.columns for each in _without_zone(rows[name])]
        missing = [name for name in key if name not in rows.columns]
        failures += [
            CheckFailure(name, "is in the batch", rows.height, (), severity="refuse") for name in missing
        ]
        if key and not missing:
            failures += key_failures(rows.lazy(), key, published(rows.lazy()) if published else None)
    refusal = "; ".join(f"{each.column}: {each.check}" for each in failures)
    if not failures and not batch.height:
        refusal = "it has no rows"
    report = BatchReport(batch.height, 0, tuple(failures), refusal)
    return (rows.clear() if refusal else rows), report


def in_utc(batch: pl.LazyFrame, zone: str) -> tuple[pl.LazyFrame, list[CheckFailure]]:
    """Read moments without a zone as those of a named one, and tell of those that could not be kept as they are.

    Parameters
    ----------
    batch : polars.LazyFrame
    zone : str
        Such as Europe/Berlin; empty, moments without a zone stay as they are.

    Returns
    -------
    polars.LazyFrame
        With moments to the microsecond.
    list of CheckFailure
        Moments between two microseconds, and those that a change of clocks has left out or made ambiguous.
    """
    import polars as pl

    failures: list[CheckFailure] = []
    changed = []
    for name, dtype in batch.collect_schema().items():
        if not isinstance(dtype, pl.Datetime):
            continue
        column, kept = pl.col(name), pl.col(name).dt.cast_time_unit("us")
        if dtype.time_unit == "ns":
            check = "is a moment to the microsecond: round it first"
            failures += _lost(batch, name, check, column.dt.timestamp("ns") % 1000 != 0)
        if zone and dtype.time_zone is None:
            there = kept.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
            check = f"is one moment in {zone}: clocks were put forward or back then; give it in UTC"
            failures += _lost(batch, name, check, there.is_null() & column.is_not_null())
            kept = there.dt.convert_time_zone("UTC")
        changed.append(kept)
    return batch.with_columns(changed), failures


def _lost(batch: pl.LazyFrame, name: str, check: str, failing: pl.Expr) -> list[CheckFailure]:
    import polars as pl

    column = batch.select(pl.col(name).dt.cast_time_unit("us"), failing.alias("failing")).collect()
    return _told(column[name], check, column["failing"])


def _without_zone(column: pl.Series) -> list[CheckFailure]:
    import polars as pl

    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        check = "has a time zone: say which one with `--time-zone`, such as UTC or Europe/Berlin"
        return _told(column, check, column.is_not_null()) or [
            CheckFailure(column.name, check, 0, (), severity="refuse")
        ]
    if column.dtype == pl.String and column.len():
        moments = column.str.contains(_MOMENT)
        if moments.all() and column.null_count() < column.len():
            zoned = column.str.contains(_OFFSET)
            if zoned.any() and not zoned.all():
                return _told(column, "has a time zone in every row, as it has in some", ~zoned)
    return []


def _told(column: pl.Series, check: str, failing: pl.Series) -> list[CheckFailure]:
    rows = failing.fill_null(False).arg_true()
    if rows.is_empty():
        return []
    examples = tuple((row, str(column[row])) for row in rows.head(_EXAMPLES))
    return [CheckFailure(column.name, check, rows.len(), examples, severity="refuse")]
