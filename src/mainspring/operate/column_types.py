"""Values of the log and the types that columns are declared with, which may be others than when a value was logged."""

from __future__ import annotations

__all__ = ["as_numbers", "held_as", "holds", "series_of", "unfitting"]

from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

_PLAIN: dict[str, set[type]] = {
    "BYTES": {str},
    "BOOL": {bool},
    "FP32": {int, float, bool},
    "FP64": {int, float, bool},
}
"""Types of which every value fits; of integers any."""


def holds(dtype: str, value: object) -> bool:
    """Whether a column of a type holds a value: a truth value may be 0 or 1, and 2.0 is an integer.

    Examples
    --------
    >>> holds("INT64", 2.0), holds("INT64", 2.5), holds("INT64", "2"), holds("BYTES", 2)
    (True, False, False, False)
    """
    match dtype:
        case "BYTES":
            return isinstance(value, str)
        case "BOOL":
            return not isinstance(value, str) and value in (0, 1)
        case "FP32" | "FP64":
            return isinstance(value, int | float)
        case _:
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def unfitting(values: Iterable[object], dtype: str) -> int:
    """Count the values that a column of a type does not hold; what is missing fits everywhere.

    Examples
    --------
    >>> unfitting([1.5, None, "late"], "FP64")
    1
    """
    values = list(values)
    if {*map(type, values)} <= {NoneType, *_PLAIN.get(dtype, (int, bool))}:
        return 0
    return sum(value is not None and not holds(dtype, value) for value in values)


def held_as(values: Sequence[object], dtype: str) -> str:
    """Give the type of a column that holds values which were to be of a type: that type, or else numbers, or texts.

    Examples
    --------
    >>> held_as([1, None], "INT64"), held_as([1, 2.5], "INT64"), held_as([1, "late"], "INT64")
    ('INT64', 'FP64', 'BYTES')
    """
    wider = (dtype, "BYTES") if dtype == "BOOL" else (dtype, "FP64", "BYTES")
    return next((each for each in wider if not unfitting(values, each)), "BYTES")


def series_of(name: str, values: Sequence[object], dtype: str) -> pl.Series:
    """Make a column of a type that holds the values; in one of texts, numbers and truth values are as in JSON."""
    import polars as pl

    if dtype == "BYTES":
        values = [
            value if value is None or isinstance(value, str) else str(value).lower() for value in values
        ]
    types: dict[str, Any] = {"BYTES": pl.String, "BOOL": pl.Boolean, "FP64": pl.Float64, "FP32": pl.Float64}
    return pl.Series(name, values, types.get(dtype, pl.Int64), strict=False)


def as_numbers(rows: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Read columns of the log as numbers where they hold texts, since they were declared so at another time.

    A text that is no number is missing.

    Parameters
    ----------
    rows : polars.DataFrame
    names : iterable of str
        The columns that a version takes as numbers or truth values.
    """
    import polars as pl

    texts = [name for name in names if rows.schema[name] == pl.String]
    return rows.with_columns(
        pl.col(texts).replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)
    )
