"""The prediction log as tables: what becomes of each record, and which label of a prediction is the truth."""

from __future__ import annotations

__all__ = [
    "LABELS",
    "STRAYS",
    "frames",
    "input_column",
    "label_text",
    "outcome",
    "predictions_table",
    "truth",
]

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.digest import digest_of_json
from mainspring.monitoring.record import Column, LabelRecord, LogRecord, PredictionRecord, listed
from mainspring.operate.column_types import held_as, series_of
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from mainspring.product import ColumnSpec, ProductSpec

LABELS = "labels"
STRAYS = "strays"
"""Records of products that were not declared when their segment was compacted, and damaged ones; each as in JSON."""

_FIRST = {"prediction_id", "at", "day", "version", "route", "unit", "score", "failures"}
_LATER = {"pinned", "shadow", "trace", "latency_s", "features_at", "redacted", "sampled", "row", "took"}


def label_text(value: bool | int | float | str) -> str:
    """A label as text, the same for equal values: true, 1 and 1.0 are one.

    Examples
    --------
    >>> label_text(True), label_text(1.0), label_text("late")
    ('1', '1', 'late')
    """
    return value if isinstance(value, str) else f"{float(value):.17g}"


def predictions_table(spec: ProductSpec) -> str:
    """Name of the table of a product's predictions; when its inputs change, a table of new columns begins."""
    return _table(spec.name, _asked(spec))


def _table(product: str, asked: Sequence[ColumnSpec]) -> str:
    inputs = msgspec.to_builtins(asked)
    for each in inputs:
        for unrelated in ("pii", "forbidden"):  # no matter of columns
            each.pop(unrelated, None)
    # A table of 0.1 may have given such a name to an input.
    taken = sorted(_LATER & {each.name for each in asked})
    return f"{product}-{digest_of_json([*inputs, *taken])[:8]}"


def input_column(name: str) -> str:
    """Name of an input's column: its own, if no column of the log itself has that.

    Examples
    --------
    >>> input_column("carrier"), input_column("score")
    ('carrier', 'input_score')
    """
    return f"input_{name}" if name in _FIRST | _LATER else name


def frames(records: Iterable[LogRecord], specs: dict[str, ProductSpec]) -> dict[str, dict[str, pl.DataFrame]]:
    """Give the rows that records make, by what they belong to (a product, `LABELS`, `STRAYS`) and by table.

    There is one table for every product and for the labels, also without rows. It is the one in force, unless a value
    is of another type than its column is declared with now, as while a version serves that was made before that was
    changed: then it is a table whose column holds such values as well.
    """
    by_product: dict[str, list[PredictionRecord]] = {name: [] for name in specs}
    labels: list[LabelRecord] = []
    strays: list[PredictionRecord] = []
    for record in records:
        if isinstance(record, LabelRecord):
            labels.append(record)
        else:
            (by_product.get(record.product, strays) if record.whole else strays).append(record)
    found = {name: dict([_predictions(kept, specs[name])]) for name, kept in sorted(by_product.items())}
    return found | {LABELS: {LABELS: _labels(labels)}, STRAYS: {STRAYS: _strays(strays)}}


def truth(labels: pl.DataFrame, metric: str = "") -> pl.DataFrame:
    """Give the one label of each prediction that counts: the one known last, and of those the one that came first.

    Parameters
    ----------
    labels : polars.DataFrame
        As `prediction_log` gives them.
    metric : str
        Of a business metric its values.

    Returns
    -------
    polars.DataFrame
        `prediction_id`, `value`, and `at`, the moment at which it came.
    """
    import polars as pl

    newest = labels.filter(pl.col("metric") == metric).sort(
        "known_at", "at", "prediction_id", descending=[True, False, False], maintain_order=True
    )
    return newest.unique("prediction_id", keep="first", maintain_order=True).select(
        "prediction_id", "value", "at"
    )


def outcome(spec: ProductSpec) -> pl.Expr:
    """Give the truth that the column `value` of labels tells, as a float; null where it is no value of the label.

    What `mainspring.operate.ingest.fits` leaves out is left out here.
    """
    import polars as pl

    value, task = pl.col("value"), spec.task
    number = value.cast(pl.Float64, strict=False)
    dtype = next((each.dtype for each in spec.data.columns if each.name == task.label), "")
    match dtype:
        case "" | "BYTES":
            fitting = value.is_not_null()
        case "BOOL":
            fitting = number.is_in([0.0, 1.0])
        case "FP32" | "FP64":
            fitting = number.is_finite()
        case _:
            fitting = number.is_finite() & (number == number.floor())
    if isinstance(task, BinaryClassification):
        number = (value == label_text(task.positive)).cast(pl.Float64)
    return pl.when(fitting).then(number).alias("outcome")


def _predictions(records: Sequence[PredictionRecord], spec: ProductSpec) -> tuple[str, pl.DataFrame]:
    """A table, and one row per row that was asked; what nobody could answer has no id, no version and no score."""
    import polars as pl

    asked = _asked(spec)
    columns: dict[str, list[Any]] = defaultdict(list)
    inputs: dict[str, list[Any]] = {column.name: [] for column in asked}
    for record in records:
        rows = len(record.units)
        nothing = [None] * rows
        columns["prediction_id"] += record.ids or nothing
        columns["at"] += [record.at] * rows
        columns["version"] += record.versions or nothing
        columns["route"] += [record.route] * rows
        columns["unit"] += record.units
        columns["score"] += record.scores or nothing
        columns["failures"] += _failures(record)
        columns["pinned"] += [record.pinned] * rows
        columns["shadow"] += [
            [{"version": int(version), "score": scores[row]} for version, scores in record.shadow.items()]
            for row in range(rows)
        ]
        columns["trace"] += [record.trace or None] * rows
        columns["latency_s"] += [record.latency_s] * rows
        columns["features_at"] += [
            [{"view": view, "at": fetched.at[row]} for view, fetched in record.features.items()]
            for row in range(rows)
        ]
        columns["redacted"] += [record.redacted] * rows
        columns["sampled"] += [record.sampled] * rows
        columns["row"] += range(rows)
        took = [{"version": int(version), "s": seconds} for version, seconds in record.took_s.items()]
        columns["took"] += [took if row == 0 else [] for row in range(rows)]
        given = record.columns
        for column in asked:
            inputs[column.name] += given.get(column.name) or nothing
    schema: dict[str, Any] = {
        "prediction_id": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "version": pl.Int64,
        "route": pl.Int64,
        "unit": pl.String,
        "score": pl.Float64,
        "failures": pl.String,
        "pinned": pl.Boolean,
        "shadow": pl.List(pl.Struct({"version": pl.Int64, "score": pl.Float64})),
        "trace": pl.String,
        "latency_s": pl.Float64,
        "features_at": pl.List(pl.Struct({"view": pl.String, "at": pl.Datetime("us", "UTC")})),
        "redacted": pl.List(pl.String),
        "sampled": pl.Float64,
        "row": pl.Int64,
        "took": pl.List(pl.Struct({"version": pl.Int64, "s": pl.Float64})),
    }
    held = [
        msgspec.structs.replace(column, dtype=held_as(inputs[column.name], column.dtype)) for column in asked
    ]
    rows_of = pl.DataFrame({name: columns[name] for name in schema}, schema=schema).with_columns(
        series_of(input_column(column.name), inputs[column.name], column.dtype) for column in held
    )
    return _table(spec.name, held), _by_day(rows_of)


def _asked(spec: ProductSpec) -> tuple[ColumnSpec, ...]:
    """The columns of a request: the inputs, and what says whose features to look up."""
    return (*spec.inputs, *spec.entities)


def _failures(record: PredictionRecord) -> list[str | None]:
    told: list[str | None] = [None] * len(record.units)
    for failure in record.failures:
        before = told[failure.row]
        what = f"{failure.version}: {failure.error}"
        told[failure.row] = what if before is None else f"{before}; {what}"
    return told


def _labels(records: Sequence[LabelRecord]) -> pl.DataFrame:
    import polars as pl

    rows = [
        (entry.prediction_id, label_text(entry.value), entry.known_at, record.at, entry.metric)
        for record in records
        for entry in record.labels
    ]
    schema: dict[str, Any] = {
        "prediction_id": pl.String,
        "value": pl.String,
        "known_at": pl.Datetime("us", "UTC"),
        "at": pl.Datetime("us", "UTC"),
        "metric": pl.String,
    }
    return _by_day(pl.DataFrame(rows, schema=schema, orient="row"))


def _strays(records: Sequence[PredictionRecord]) -> pl.DataFrame:
    import polars as pl

    def readable(record: PredictionRecord) -> str:
        if not record.whole:
            return msgspec.json.encode(record).decode()
        inputs: dict[str, Column] = {name: listed(column) for name, column in record.inputs.items()}
        return msgspec.json.encode(msgspec.structs.replace(record, inputs=inputs)).decode()

    rows = [(record.product, record.at, readable(record)) for record in records]
    schema: dict[str, Any] = {"product": pl.String, "at": pl.Datetime("us", "UTC"), "record": pl.String}
    return _by_day(pl.DataFrame(rows, schema=schema, orient="row"))


def _by_day(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return rows.with_columns(pl.col("at").dt.date().alias("day"))
