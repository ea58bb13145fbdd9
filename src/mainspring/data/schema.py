"""The schema check: what a user's pandera model says of a batch, row by row."""

from __future__ import annotations

__all__ = ["columns_of", "key_failures", "shape", "validate"]

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainspring.data.version import BatchReport, CheckFailure
from mainspring.errors import Fault, Faults
from mainspring.product import ColumnSpec

if TYPE_CHECKING:
    import polars as pl

    from mainspring.product import Dataset

_EXAMPLES = 5


def columns_of(dataset: Dataset) -> tuple[ColumnSpec, ...]:
    """Columns of a dataset's schema, with their types by their Open Inference Protocol names.

    Raises
    ------
    Faults
        The schema is no pandera model, or a column's type has no counterpart.
    """
    columns, faults = [], []
    for name, column in _pandera(dataset).columns.items():
        dtype = _protocol_type(column.dtype.type) if column.dtype is not None else None
        if dtype is None:
            faults.append(
                Fault(
                    f"column {name!r}",
                    f"has the type {column.dtype}, which no model input or time can have.",
                    "Use str, bool, int, float or pl.Datetime.",
                )
            )
            continue
        told = column.metadata or {}
        hidden = told.get("pii", "")
        if hidden == "hash" and dtype != "BYTES":
            faults.append(
                Fault(
                    f"column {name!r}",
                    "is to be hashed, and is no text.",
                    "Leave it out of the log: ms.pii().",
                )
            )
        columns.append(ColumnSpec(name, dtype, bool(column.nullable), told.get("known_at"), hidden))
    if faults:
        raise Faults(f"The schema of dataset {dataset.name!r}", tuple(faults))
    return tuple(columns)


def validate(
    batch: pl.DataFrame, dataset: Dataset, *, published_keys: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, BatchReport]:
    """Check a batch against its dataset's schema.

    A row that fails a check is set aside, as long as the share of such rows stays within the dataset's `quarantine`.
    A missing, unknown or mistyped column, a null or repeated key, and too many failing rows refuse the whole batch.

    Parameters
    ----------
    batch : polars.DataFrame
        The rows, in any column order; whole numbers are taken for a column of floats, and texts with an offset from
        UTC for one of moments.
    dataset : Dataset
        With its pandera model.
    published_keys : polars.DataFrame, optional
        The key columns of the rows that are published already.

    Returns
    -------
    polars.DataFrame
        The rows that passed, columns in the schema's order; empty when the batch is refused.
    BatchReport
        Everything that failed, with examples.
    """
    import pandera.errors
    import polars as pl

    schema = _pandera(dataset)
    batch, shape_failures = shape(batch, {name: each.dtype.type for name, each in schema.columns.items()})
    if shape_failures:
        return batch.clear(), BatchReport(
            rows=batch.height,
            quarantined=0,
            failures=tuple(shape_failures),
            refusal="its columns are not those of the schema",
        )
    failures = key_failures(batch, dataset.key_columns, published_keys)
    failing: set[int] = set()
    try:
        schema.validate(batch, lazy=True)
    except pandera.errors.SchemaErrors as error:
        found = error.failure_cases
        unplaced = found.filter(pl.col("index").is_null())
        failures += [
            CheckFailure(
                row["column"], row["check"], batch.height, ((0, str(row["failure_case"])),), fatal=True
            )
            for row in unplaced.iter_rows(named=True)
        ]
        placed = found.filter(pl.col("index").is_not_null())
        for (column, check), cases in placed.group_by("column", "check", maintain_order=True):
            first = cases.head(_EXAMPLES)
            examples = tuple(
                (row, str(value)) for row, value in zip(first["index"], first["failure_case"], strict=True)
            )
            failures.append(CheckFailure(str(column), str(check), cases.height, examples))
        failing = set(placed["index"].to_list())
    failures.sort(key=lambda each: (not each.fatal, each.column, each.check))
    refusal = _refusal(failures, len(failing), batch.height, dataset.quarantine)
    report = BatchReport(batch.height, 0 if refusal else len(failing), tuple(failures), refusal)
    if refusal:
        return batch.clear(), report
    keep = pl.Series([row not in failing for row in range(batch.height)], dtype=pl.Boolean)
    return batch.filter(keep), report


def _refusal(failures: list[CheckFailure], failing: int, rows: int, quarantine: float) -> str:
    if rows == 0:
        return "it has no rows"
    if any(failure.fatal for failure in failures):
        return "; ".join(f"{each.column}: {each.check}" for each in failures if each.fatal)
    if failing > quarantine * rows:
        return (
            f"{failing:,} of {rows:,} rows fail a check, more than the {quarantine:.1%} that may be set aside"
        )
    return ""


def shape(batch: pl.DataFrame, schema: Mapping[str, Any]) -> tuple[pl.DataFrame, list[CheckFailure]]:
    """Bring the columns into the order and types of a schema, and tell those that do not fit."""
    import polars as pl

    failures = [
        CheckFailure(name, "is in the schema", batch.height, (), fatal=True)
        for name in batch.columns
        if name not in schema
    ]
    columns = []
    for name, wanted in schema.items():
        if name not in batch.columns:
            failures.append(CheckFailure(name, "is in the batch", batch.height, (), fatal=True))
            continue
        given = batch[name]
        read = _read(given, wanted)
        if read is None:
            check, rows = f"has type {wanted}, not {given.dtype}", pl.arange(given.len(), eager=True)
        else:
            check, rows = f"can be read as {wanted}", (read.is_null() & given.is_not_null()).arg_true()
            if rows.is_empty():
                columns.append(read)
                continue
        examples = tuple((row, str(given[row])) for row in rows.head(_EXAMPLES))
        failures.append(CheckFailure(name, check, rows.len(), examples, fatal=True))
    return (batch, failures) if failures else (pl.DataFrame(columns), [])


def _read(given: pl.Series, wanted: Any) -> pl.Series | None:
    """Bring values to the wanted type, null where one does not fit; None where the type as such does not."""
    import polars as pl

    found = given.dtype
    if found == wanted:
        return given
    if given.null_count() == given.len():  # a column without values may have any type, as in CSV
        return pl.Series(given.name, [None] * given.len(), dtype=wanted)
    if (wanted.is_float() and found.is_numeric()) or (wanted.is_integer() and found.is_integer()):
        return given.cast(wanted, strict=False)
    if isinstance(wanted, pl.Datetime) and found == pl.String:  # JSON has no moments: they come as RFC 3339
        plain = given.str.replace("[Zz]$", "+00:00").str.replace("^(.{10})[ t]", "${1}T")
        given = plain.str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False
        )
    elif not isinstance(wanted, pl.Datetime) or getattr(found, "time_zone", None) is None:
        return None
    return given.dt.convert_time_zone(wanted.time_zone or "UTC").cast(wanted)


def key_failures(
    batch: pl.DataFrame, columns: Sequence[str], published: pl.DataFrame | None
) -> list[CheckFailure]:
    """Tell of rows whose key is null, stands in the batch twice, or was published before."""
    import polars as pl

    key = list(columns)
    label = ", ".join(key)
    rows = batch.select(key).with_row_index("row")
    problems = {
        "is never null": rows.filter(pl.any_horizontal(pl.col(key).is_null())),
        "is unique in the batch": rows.drop_nulls().filter(pl.struct(key).is_duplicated()),
    }
    if published is not None and published.height:
        problems["was not published before"] = rows.join(published.select(key), on=key, how="semi")
    return [
        CheckFailure(
            label,
            check,
            found.height,
            tuple(
                (row[0], ", ".join(str(part) for part in row[1:]))
                for row in found.head(_EXAMPLES).iter_rows()
            ),
            fatal=True,
        )
        for check, found in problems.items()
        if found.height
    ]


def _pandera(dataset: Dataset) -> Any:
    try:
        return dataset.schema.to_schema()
    except AttributeError:
        raise Faults(
            f"Dataset {dataset.name!r}",
            (
                Fault(
                    "schema",
                    f"is {dataset.schema!r}, which is no pandera model.",
                    "Write `class Rows(pandera.polars.DataFrameModel): …` and name that class.",
                ),
            ),
        ) from None


def _protocol_type(dtype: Any) -> str | None:
    import polars as pl

    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP"
    names: dict[Any, str] = {
        pl.String: "BYTES",
        pl.Boolean: "BOOL",
        pl.Float64: "FP64",
        pl.Float32: "FP32",
        pl.Int64: "INT64",
        pl.Int32: "INT32",
        pl.Int16: "INT16",
        pl.Int8: "INT8",
    }
    return names.get(dtype if isinstance(dtype, type) else type(dtype))
