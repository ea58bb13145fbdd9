"""Profiles of rows: a data frame, a batch of the prediction log, or a piece of either in a task of its own."""

from __future__ import annotations

__all__ = ["frame", "profile", "profile_slices"]

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profiles.category import NAMED, CategoryProfile
from mainspring.monitoring.profiles.composite import (
    CHARACTERS,
    EmbeddingProfile,
    ListProfile,
    TextProfile,
    norms,
)
from mainspring.monitoring.profiles.errors import ProfileMismatch
from mainspring.monitoring.profiles.number import Kind, NumberProfile
from mainspring.monitoring.profiles.values import (
    categories_of,
    elements_of,
    gaps_of,
    lists_of,
    numbers_of,
    texts_of,
    tokens_of,
    value_counts,
    vectors_of,
)
from mainspring.monitoring.profiles.window import ColumnProfile, Frame, Profile, ProfileKey, ProfileSet

if TYPE_CHECKING:
    import polars as pl

    from mainspring.monitoring.profiles.values import Column

    Columns: TypeAlias = pl.DataFrame | Mapping[str, Column]

_VOCABULARY = 4096
_WORDY = 3


def profile(columns: Columns, frame: Frame | None = None) -> Profile:
    """Summarise a window of rows.

    A value that is not of its column's kind is counted as mistyped: a text in a column of numbers unless it reads as
    one, a vector of another width, a structure.

    Parameters
    ----------
    columns : polars.DataFrame, or mapping of str to array
        Columns of equal length. A numpy array holds numbers (where masked, nulls) or, with two dimensions, vectors; any
        other sequence holds categories, or what the frame says, with None for null.
    frame : mapping of str to ColumnProfile, optional
        Of the reference that this window shall be compared with: `frame` of its rows, or `Profile.frame`. A column that
        it does not name is profiled by its type, without limits and known categories.

    Returns
    -------
    Profile
        The same for the same rows in any order.

    Raises
    ------
    ProfileMismatch
        A column is of another length than the others, or an array is not of numbers.

    Examples
    --------
    >>> from mainspring.monitoring.profiles import merge
    >>> january = profile({"wind": np.array([3.0, 5.0]), "carrier": ["UA", None]})
    >>> february = profile({"wind": np.array([np.inf]), "carrier": ["B6"]})
    >>> year = merge(january, february)
    >>> year.rows, year.columns["carrier"].missing, year.columns["carrier"].bounds("UA")
    (3, 1, (1, 1))
    """
    given = _named(columns)
    rows = len(next(iter(given.values()), ()))
    profiles: dict[str, ColumnProfile] = {}
    for name in sorted(given):
        column = given[name]
        if len(column) != rows:
            raise ProfileMismatch(name, f"it has {len(column)} rows, and the first column {rows}")
        profiles[name] = _count(column, (frame or {}).get(name) or _shape(name, column))
    return Profile(rows=rows, columns=profiles)


def profile_slices(
    rows: pl.DataFrame, frame: Frame, *, segment: str, version: int, by: Mapping[str, Sequence[Any]]
) -> ProfileSet:
    """Profile rows as a whole and by the values of some columns, each of these by itself.

    Parameters
    ----------
    rows : polars.DataFrame
    frame : mapping of str to ColumnProfile
        One for all slices.
    segment, version : str, int
        Where the rows come from: the key of the profiles.
    by : mapping of str to sequence
        Columns, and the values of each that are slices; one is named as in `carrier = UA`.
    """
    profiles = {ProfileKey(segment, version): profile(rows, frame)}
    for name, values in by.items():
        for value in values:
            part = rows.filter(rows[name] == value)
            profiles[ProfileKey(segment, version, f"{name} = {value}")] = profile(part, frame)
    return ProfileSet(dict(sorted(profiles.items())))


def frame(columns: Columns) -> Frame:
    """Freeze what later windows are compared by, from the rows of a reference.

    A number whose median is further from zero than two interquartile ranges gets it as its offset, rounded to at most
    an interquartile range, so that buckets are narrow against its spread; all others keep 0. Numbers have the range
    seen, categories those seen, while they are at most 4,096. A text column, with three words or more in half of its
    rows and most rows distinct, has its 4,096 most frequent tokens as its vocabulary. Lists of floats of one length
    are vectors.

    Parameters
    ----------
    columns : polars.DataFrame, or mapping of str to array
        As for `profile`.

    Returns
    -------
    mapping of str to ColumnProfile
        Profiles of no rows.

    Examples
    --------
    >>> of = frame({"year": np.array([2011, 2012, 2013, 2014]), "wind": np.array([0.0, 1.0, 3.0, 9.0])})
    >>> [(column.kind.value, column.offset, column.limits) for column in of.values()]
    [('integer', 2012.0, (2011.0, 2014.0)), ('number', 0.0, (0.0, 9.0))]
    """
    return {name: _frozen(name, column) for name, column in _named(columns).items()}


def _named(columns: Columns) -> Mapping[str, Column]:
    return columns if isinstance(columns, Mapping) else columns.to_dict()


def _count(column: Column, shape: ColumnProfile) -> ColumnProfile:
    match shape:
        case NumberProfile():
            values, nulls, mistyped = numbers_of(column, shape.kind)
            return shape.count(values, nulls=nulls, mistyped=mistyped)
        case CategoryProfile():
            names, nulls, mistyped = categories_of(column)
            return shape.count(names, nulls=nulls, mistyped=mistyped)
        case TextProfile():
            return _count_texts(column, shape)
        case EmbeddingProfile():
            vectors, nulls, mistyped = vectors_of(column, len(shape.components))
            return shape.count(vectors, nulls=nulls, mistyped=mistyped)
        case ListProfile():
            lists, nulls, mistyped = lists_of(column)
            return ListProfile(
                length=shape.length.count(lists.list.len().to_numpy(), nulls=nulls, mistyped=mistyped),
                elements=_count(elements_of(lists), shape.elements),  # type: ignore[arg-type] # of its own kind
            )


def _count_texts(column: Column, shape: TextProfile) -> TextProfile:
    import polars as pl

    texts, nulls, mistyped = texts_of(column)
    tokens = tokens_of(texts)
    unknown = np.empty(0)
    if shape.vocabulary is not None:
        wordy = tokens.filter(tokens.list.len() > 0)
        strangers = wordy.list.eval(~pl.element().is_in(list(shape.vocabulary))).list.sum()
        unknown = strangers.to_numpy() / wordy.list.len().to_numpy()
    return TextProfile(
        vocabulary=shape.vocabulary,
        length=shape.length.count(texts.str.len_chars().to_numpy(), nulls=nulls, mistyped=mistyped),
        tokens=shape.tokens.count(tokens.list.len().to_numpy()),
        unknown=shape.unknown.count(unknown),
        characters=tuple(
            (name, int(texts.str.count_matches(expression).sum()))
            for name, expression in sorted(CHARACTERS.items())
        ),
    )


def _frozen(name: str, column: Column) -> ColumnProfile:
    shape = _shape(name, column)
    match shape:
        case NumberProfile():
            return _frozen_numbers(numbers_of(column, shape.kind)[0], shape.kind)
        case CategoryProfile():
            names, _, _ = categories_of(column)
            return _frozen_texts(column, len(names)) or _frozen_categories(names)
        case ListProfile(elements=elements):
            lists, _, _ = lists_of(column)
            lengths = lists.list.len()
            widths = lengths.unique().to_list()
            if elements == NumberProfile.none() and len(widths) == 1 and widths[0] > 1:
                return _frozen_vectors(vectors_of(column, widths[0])[0])
            inner = elements_of(lists)
            return ListProfile(
                length=_frozen_numbers(lengths.to_numpy(), Kind.INTEGER),
                elements=_frozen_numbers(numbers_of(inner, elements.kind)[0], elements.kind)
                if isinstance(elements, NumberProfile)
                else _frozen_categories(categories_of(inner)[0]),
            )
        case EmbeddingProfile(components=components):
            return _frozen_vectors(vectors_of(column, len(components))[0])
        case TextProfile():
            return shape


def _frozen_numbers(values: NDArray[Any], kind: Kind) -> NumberProfile:
    # Sorted as a whole, which numpy does sooner than it finds three quartiles; NaN come last.
    numbers = np.sort(values.astype(np.float64, copy=False))
    numbers = numbers[np.searchsorted(numbers, -math.inf, "right") : np.searchsorted(numbers, math.inf)]
    if not numbers.size:
        return NumberProfile.none(kind)
    first, median, third = (numbers[math.ceil(len(numbers) * j / 4) - 1].item() for j in (1, 2, 3))
    offset = 0.0
    if third > first and abs(median) > 2 * (third - first):
        # A power of two makes the offset a short number, and one that a few rows more leave as it is.
        step = 2.0 ** math.floor(math.log2(third - first))
        offset = round(median / step) * step
    # A sum with 0.0 makes -0.0 positive.
    return NumberProfile.none(kind, offset=offset, limits=(numbers[0].item() + 0.0, numbers[-1].item() + 0.0))


def _frozen_categories(names: Mapping[str, int]) -> CategoryProfile:
    return CategoryProfile(known=tuple(sorted(names)) if len(names) <= NAMED else None)


def _frozen_vectors(vectors: NDArray[Any]) -> EmbeddingProfile:
    return EmbeddingProfile(
        norm=_frozen_numbers(norms(vectors), Kind.NUMBER),
        components=tuple(_frozen_numbers(column, Kind.NUMBER) for column in vectors.T),
    )


def _frozen_texts(column: Column, distinct: int) -> TextProfile | None:
    """A profile of no texts with the most frequent tokens, or None where the column looks like categories."""
    if 2 * distinct <= len(column):
        return None
    texts, _, _ = texts_of(column)
    tokens = tokens_of(texts)
    words = tokens.list.len().to_numpy()
    if gaps_of(texts).median() < _WORDY - 1:  # type: ignore[operator] # there is a text
        return None
    counts = value_counts(elements_of(tokens))
    frequent = sorted(counts, key=lambda token: (-counts[token], token))[:_VOCABULARY]
    return TextProfile(
        vocabulary=tuple(sorted(frequent)),
        length=_frozen_numbers(texts.str.len_chars().to_numpy(), Kind.INTEGER),
        tokens=_frozen_numbers(words, Kind.INTEGER),
    )


def _shape(name: str, column: Column) -> ColumnProfile:
    """The profile of no rows that fits a column's type."""
    if isinstance(column, np.ndarray):
        kind = _KINDS.get(column.dtype.kind)
        if kind is None or column.ndim > 2:
            raise ProfileMismatch(
                name, f"it is an array of {column.dtype} with {column.ndim} dimensions, not of numbers"
            )
        if column.ndim == 2:
            return EmbeddingProfile(components=(NumberProfile.none(),) * column.shape[1])
        return NumberProfile.none(kind)
    return _shape_of(column.dtype) if hasattr(column, "dtype") else CategoryProfile()


_KINDS = {"b": Kind.BOOLEAN, "i": Kind.INTEGER, "u": Kind.INTEGER, "f": Kind.NUMBER, "M": Kind.DATETIME}


def _shape_of(dtype: pl.DataType) -> ColumnProfile:
    import polars as pl

    if isinstance(dtype, pl.Array | pl.List):
        inner = _shape_of(dtype.inner)  # type: ignore[arg-type] # of an instance it is one
        if (
            isinstance(dtype, pl.Array)
            and isinstance(inner, NumberProfile)
            and inner.kind is not Kind.DATETIME
        ):
            return EmbeddingProfile(components=(NumberProfile.none(),) * dtype.size)
        return ListProfile(elements=inner if isinstance(inner, NumberProfile) else CategoryProfile())
    if isinstance(dtype, pl.Datetime | pl.Date):
        return NumberProfile.none(Kind.DATETIME)
    if isinstance(dtype, pl.Boolean):
        return NumberProfile.none(Kind.BOOLEAN)
    if dtype.is_integer():
        return NumberProfile.none(Kind.INTEGER)
    return NumberProfile.none() if dtype.is_numeric() else CategoryProfile()
