"""What a column holds, whatever it came as: values of the kind that is asked for, nulls, and values of other types."""

from __future__ import annotations

__all__ = [
    "categories_of",
    "elements_of",
    "gaps_of",
    "lists_of",
    "numbers_of",
    "texts_of",
    "tokens_of",
    "value_counts",
    "vectors_of",
]

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profiles.number import Kind

if TYPE_CHECKING:
    import polars as pl

    Column: TypeAlias = NDArray[Any] | pl.Series | Sequence[Any]

_NESTED = (list, tuple, dict, set, np.ndarray)
# In scripts without spaces between words each character stands for itself.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"


def numbers_of(column: Column, kind: Kind) -> tuple[NDArray[Any], int, int]:
    """Values that are not null, in the numbers that a kind has, nulls, and values that are not of the kind."""
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "biuf":
        if isinstance(column, np.ma.MaskedArray):
            values = column.compressed()
            return values, len(column) - len(values), 0
        return column, 0, 0
    if kind is Kind.DATETIME:
        return _moments(column)
    if isinstance(column, Sequence):
        numbers = np.array(
            [number for value in column if (number := _number(value)) is not None], dtype=np.float64
        )
        nulls = sum(value is None for value in column)
        return numbers, nulls, len(column) - nulls - len(numbers)
    import polars as pl

    series = _series(column)
    dtype = series.dtype
    plain = dtype in (pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt32, pl.Boolean)
    readable = dtype.is_numeric() or isinstance(dtype, pl.String | pl.Null)
    kept, nulls, mistyped = _kept(column, series, dtype if plain else pl.Float64, fits=plain or readable)
    return kept.to_numpy(), nulls, mistyped


def categories_of(column: Column) -> tuple[dict[str, int], int, int]:
    """Rows of each category, nulls, and values that are no scalar."""
    if isinstance(column, Sequence):
        counts = Counter(value for value in column if not isinstance(value, _NESTED))
        nulls = counts.pop(None, 0)
        named: Counter[str] = Counter()
        for value, count in counts.items():
            # Half a surrogate pair has no place in UTF-8.
            named[str(value).encode(errors="backslashreplace").decode()] += count
        return named, nulls, len(column) - nulls - named.total()
    texts, nulls, mistyped = texts_of(column)
    return value_counts(texts), nulls, mistyped


def texts_of(column: Column) -> tuple[pl.Series, int, int]:
    """Values as texts, nulls, and values that are no scalar."""
    import polars as pl

    series = _sifted(column, lambda value: not isinstance(value, _NESTED))
    return _kept(column, series, pl.String, fits=not (series.dtype.is_nested() or series.dtype.is_object()))


def value_counts(texts: pl.Series) -> dict[str, int]:
    """Rows of each text."""
    counts = texts.alias("value").value_counts()
    return dict(zip(counts["value"].to_list(), counts["count"].to_list(), strict=True))


def gaps_of(texts: pl.Series) -> pl.Series:
    """Number of places between words in each text."""
    return texts.str.count_matches(rf"\s+|[{_UNSPACED}]")


def tokens_of(texts: pl.Series) -> pl.Series:
    """Tokens of each text, as `TextProfile` has them."""
    return texts.str.to_lowercase().str.extract_all(rf"[{_UNSPACED}]|[\w&&[^{_UNSPACED}]]+")


def lists_of(column: Column) -> tuple[pl.Series, int, int]:
    """Lists, nulls, and values that are no lists."""
    import polars as pl

    series = _sifted(column, lambda value: isinstance(value, list | tuple))
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    listed = isinstance(series.dtype, pl.List)
    return _kept(column, series, series.dtype if listed else pl.List(pl.Float64), fits=listed)


def elements_of(lists: pl.Series) -> pl.Series:
    """Elements of all lists, one after the other."""
    # An empty list would leave a null behind.
    return lists.filter(lists.list.len() > 0).explode()


def vectors_of(column: Column, width: int) -> tuple[NDArray[np.float64], int, int]:
    """Vectors of a width, nulls, and values that are no such vector; of shape (n, width)."""
    import polars as pl

    if isinstance(column, np.ndarray) and column.ndim == 2:
        if column.shape[1] != width:
            return np.empty((0, width)), 0, len(column)
        return column.astype(np.float64, copy=False), 0, 0
    lists, nulls, mistyped = lists_of(column)
    numbers = lists.cast(pl.List(pl.Float64), strict=False)
    whole = numbers.filter(
        (numbers.list.len() == width) & ~numbers.list.eval(pl.element().is_null()).list.any()
    )
    return whole.explode().to_numpy().reshape(-1, width), nulls, mistyped + len(lists) - len(whole)


def _series(column: Column) -> pl.Series:
    """A column as polars has it; values of several types become texts, and what no type holds becomes an object."""
    import polars as pl

    if isinstance(column, pl.Series):
        return column
    try:
        return pl.Series(column if isinstance(column, np.ndarray) else list(column), strict=False)
    except (OverflowError, TypeError, ValueError, pl.exceptions.PolarsError):
        return pl.Series(list(column), dtype=pl.Object)


def _sifted(column: Column, wanted: Callable[[object], bool]) -> pl.Series:
    """A column as polars has it, with null for Python values that are not wanted; with them all would become texts."""
    if isinstance(column, Sequence):
        return _series([value if wanted(value) else None for value in column])
    return _series(column)


def _kept(column: Column, series: pl.Series, dtype: Any, *, fits: bool) -> tuple[pl.Series, int, int]:
    """Values as a type, the number of nulls, and that of other values, which all are where it does not fit."""
    import polars as pl

    nulls = sum(value is None for value in column) if isinstance(column, Sequence) else series.null_count()
    kept = pl.Series(dtype=dtype)
    if fits:
        kept = (series if series.dtype == dtype else series.cast(dtype, strict=False)).drop_nulls()
    return kept, nulls, len(series) - nulls - len(kept)


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | Real | Decimal) else None
    except (ValueError, OverflowError):
        return None


def _moments(column: Column) -> tuple[NDArray[Any], int, int]:
    """Microseconds since 1970, UTC, nulls, and values that are no moments."""
    import polars as pl

    series = _sifted(column, lambda value: isinstance(value, date))
    fits = isinstance(series.dtype, pl.Datetime | pl.Date)
    if isinstance(series.dtype, pl.Date):
        series = series.cast(pl.Datetime("us"))
    dtype = series.dtype if fits else pl.Datetime("us")
    kept, nulls, mistyped = _kept(column, series, dtype, fits=fits)
    return kept.dt.cast_time_unit("us").to_physical().to_numpy(), nulls, mistyped
