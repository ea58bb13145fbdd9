"""The profile of numbers: buckets for all of them, and each value by itself where there are few whole ones."""

from __future__ import annotations

__all__ = ["EXACT", "Interval", "Kind", "NumberProfile", "value_text"]

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profiles.buckets import GREATEST, LEAST, bucket_counts, bucket_ends
from mainspring.monitoring.profiles.errors import EmptyWindow, ProfileMismatch

EXACT = 1024
"""Distinct values of a column that are counted one by one; beyond, there are buckets alone."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Whole numbers that span no more are counted in an array by their distance from the least.
_SPAN = 1 << 16
# Rows that are looked at first: where they have too many distinct values, so has the whole.
_PROBE = 8 * EXACT

Pairs = tuple[tuple[int, int], ...]
Values = tuple[tuple[float, int], ...]


class Kind(StrEnum):
    """What the numbers of a column mean."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    """Microseconds since the beginning of 1970, UTC."""


def value_text(value: float, kind: Kind) -> str:
    """Print a value of a column to four digits, or to the minute.

    Examples
    --------
    >>> value_text(1704067200e6, Kind.DATETIME), value_text(12.34567, Kind.NUMBER)
    ('2024-01-01 00:00', '12.35')
    """
    if kind is Kind.DATETIME and math.isfinite(value):
        try:
            return f"{_EPOCH + timedelta(microseconds=round(value)):%Y-%m-%d %H:%M}"
        except OverflowError:  # no such year
            pass
    return f"{value:.4g}"


class Interval(NamedTuple):
    """A figure of the rows themselves, told from their profile: it lies from `low` to `high`, to rounding."""

    value: float
    low: float
    high: float


class NumberProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="number"):
    """Numbers of one column.

    Attributes
    ----------
    kind : Kind
        What they mean; integers and booleans are counted by value while there are at most 1,024 distinct ones.
    offset : float
        Taken from each value before it is put in a bucket.
    limits : tuple of float or None
        The range seen at the reference; None where none was.
    nulls, nans, mistyped : int
        Rows without a value, whose value is not a number, and whose value is of another type.
    below, above : int
        Rows outside the limits, infinities included.
    low, high : float or None
        Least and greatest finite value; None where there is none.
    buckets : tuple of (int, int)
        Key and rows of each bucket that is not empty, infinities among them, from the least to the greatest.
    values : tuple of (float, int) or None
        Rows of each finite value, from the least to the greatest; None where they are not counted one by one.
    """

    kind: Kind = Kind.NUMBER
    offset: float = 0.0
    limits: tuple[float, float] | None = None
    nulls: int = 0
    nans: int = 0
    mistyped: int = 0
    below: int = 0
    above: int = 0
    low: float | None = None
    high: float | None = None
    buckets: Pairs = ()
    values: Values | None = None

    @classmethod
    def none(
        cls, kind: Kind = Kind.NUMBER, *, offset: float = 0.0, limits: tuple[float, float] | None = None
    ) -> NumberProfile:
        """Give the profile of no rows."""
        values: Values | None = () if kind in (Kind.INTEGER, Kind.BOOLEAN) else None
        return cls(kind=kind, offset=offset, limits=limits, values=values)

    @property
    def empty(self) -> NumberProfile:
        """The profile of no rows, in the same frame."""
        return self.none(self.kind, offset=self.offset, limits=self.limits)

    @property
    def parts(self) -> dict[str, NumberProfile]:
        """Itself, as the only part."""
        return {"": self}

    @property
    def rows(self) -> int:
        """All rows, those without a value included."""
        return self.missing + self.valid

    @property
    def valid(self) -> int:
        """Rows with a number, infinities included."""
        return sum(count for _, count in self.buckets)

    @property
    def missing(self) -> int:
        """Rows with no number: nulls, NaN and values of another type."""
        return self.nulls + self.nans + self.mistyped

    @property
    def infinities(self) -> int:
        """Rows with an infinite value."""
        return sum(count for key, count in self.buckets if key in (LEAST, GREATEST))

    def count(self, values: NDArray[Any], *, nulls: int = 0, mistyped: int = 0) -> NumberProfile:
        """Profile rows in this one's frame.

        Parameters
        ----------
        values : ndarray of bool, int or float, shape (n,)
            Those that are not null.
        nulls, mistyped : int
            Rows besides.

        Returns
        -------
        NumberProfile
            Of these rows alone.
        """
        numbers = np.ascontiguousarray(values, dtype=np.float64)
        keys, counts = bucket_counts(numbers, self.offset)
        number = (keys >= LEAST) & (keys <= GREATEST)
        nans = int(counts[~number].sum())
        keys, counts = keys[number], counts[number]
        infinite = keys.size and (keys[0] == LEAST or keys[-1] == GREATEST)
        # A value that overflowed only as the offset was taken away is in a bucket of an infinity, and finite.
        finite = numbers[np.isfinite(numbers)] if nans or infinite else numbers
        # A sum with 0.0 makes -0.0 positive: which of the two is the least would depend on the order.
        low = finite.min().item() + 0.0 if finite.size else None
        high = finite.max().item() + 0.0 if finite.size else None
        below = above = 0
        if self.limits is not None:
            if infinite or (low is not None and low < self.limits[0]):
                below = int((numbers < self.limits[0]).sum())
            if infinite or (high is not None and high > self.limits[1]):
                above = int((numbers > self.limits[1]).sum())
        return NumberProfile(
            kind=self.kind,
            offset=self.offset,
            limits=self.limits,
            nulls=nulls,
            nans=nans,
            mistyped=mistyped,
            below=below,
            above=above,
            low=low,
            high=high,
            buckets=tuple(zip(keys.tolist(), counts.tolist(), strict=True)),
            values=None if self.empty.values is None else _count_distinct(finite),
        )

    def merge(self, other: NumberProfile) -> NumberProfile:
        """Summarise the rows of both; exact, in any order. Raises `ProfileMismatch` where the frames differ."""
        for what in ("kind", "offset", "limits"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise ProfileMismatch(None, f"their {what} is {mine} here and {theirs} there")
        values: Values | None = None
        if self.values is not None and other.values is not None:
            merged = _merged(self.values, other.values)
            values = merged if len(merged) <= EXACT else None
        return NumberProfile(
            kind=self.kind,
            offset=self.offset,
            limits=self.limits,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            mistyped=self.mistyped + other.mistyped,
            below=self.below + other.below,
            above=self.above + other.above,
            low=min((x for x in (self.low, other.low) if x is not None), default=None),
            high=max((x for x in (self.high, other.high) if x is not None), default=None),
            buckets=_merged(self.buckets, other.buckets),
            values=values,
        )

    def at_most(self, key: int) -> int:
        """Rows in the buckets up to `key`: the exact rank of `edge(key)`."""
        return sum(count for bucket, count in self.buckets if bucket <= key)

    def edge(self, key: int) -> float:
        """Largest value of bucket `key`."""
        return self.offset + bucket_ends(np.array([key]))[1].item()

    def key_at(self, share: float) -> int:
        """Key of the bucket that holds the `share` quantile: the least with at least that share up to it."""
        if not self.buckets:
            raise EmptyWindow("quantile")
        reached = np.cumsum([count for _, count in self.buckets])
        return self.buckets[int(np.searchsorted(reached, _rank(share, self.valid)))][0]

    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and greatest value that a row of each bucket may have, each of shape (n_buckets,)."""
        lower, upper = bucket_ends(np.array([key for key, _ in self.buckets], dtype=np.int64))
        finite = np.isfinite(lower)
        if self.offset:
            with np.errstate(over="ignore", invalid="ignore"):
                # The offset was taken away, and comes back, with a rounding each.
                slack = np.maximum(np.maximum(np.abs(lower), np.abs(upper)), abs(self.offset)) * 2.0**-51
                lower = np.where(finite, lower + self.offset - slack, lower)
                upper = np.where(finite, upper + self.offset + slack, upper)
        if self.low is not None and self.high is not None:
            lower = np.where(finite, lower.clip(self.low, self.high), lower)
            upper = np.where(finite, upper.clip(self.low, self.high), upper)
        return lower, upper

    def cells(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Least and greatest value, and rows, of what is told apart: the values, or else the buckets, in order."""
        if self.values is None:
            return *self.ends(), np.array([count for _, count in self.buckets], dtype=np.int64)
        rows = dict(self.buckets)
        infinite = [
            (value, rows[key]) for value, key in ((-math.inf, LEAST), (math.inf, GREATEST)) if key in rows
        ]
        pairs = sorted([*self.values, *infinite])
        points = np.array([value for value, _ in pairs], dtype=np.float64)
        return points, points, np.array([count for _, count in pairs], dtype=np.int64)

    def quantile(self, share: float) -> tuple[float, float]:
        """Interval that holds the `share` quantile of the values: a bucket, or one value where they are counted so.

        Parameters
        ----------
        share : float
            From 0 to 1; the quantile is the least value with at least this share of rows at or below it.

        Returns
        -------
        tuple of float
            Least and greatest value that it may have.

        Raises
        ------
        EmptyWindow
            No row has a value.

        Examples
        --------
        >>> NumberProfile.none().count(np.array([3.0, 5.0, 8.1, np.nan])).quantile(0.5)
        (5.0, 5.249999999999999)
        >>> NumberProfile.none(Kind.INTEGER).count(np.array([3, 5, 8])).quantile(0.5)
        (5.0, 5.0)
        """
        lower, upper, counts = self.cells()
        if not counts.size:
            raise EmptyWindow("quantile")
        position = int(np.searchsorted(counts.cumsum(), _rank(share, self.valid)))
        return lower[position].item(), upper[position].item()

    def mean(self) -> Interval:
        """Mean of the finite values; raises `EmptyWindow` where there is none."""
        lower, upper, shares = self._finite("mean")
        return Interval(float((lower / 2 + upper / 2) @ shares), float(lower @ shares), float(upper @ shares))

    def deviation(self) -> Interval:
        """Standard deviation of the finite values, over n; raises `EmptyWindow` where there is none.

        It is a norm of the centred values: with each value moved to the middle of its bucket, it changes by at most
        the root of the mean squared move.
        """
        lower, upper, shares = self._finite("standard deviation")
        # In units of the largest value, so that no square overflows.
        unit = float(np.maximum(np.abs(lower), np.abs(upper)).max()) or 1.0
        middle, half = lower / unit / 2 + upper / unit / 2, upper / unit / 2 - lower / unit / 2
        value, moved = math.sqrt(shares @ (middle - shares @ middle) ** 2), math.sqrt(shares @ half**2)
        return Interval(value * unit, max(0.0, value - moved) * unit, (value + moved) * unit)

    def _finite(self, question: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Ends of cells without the infinite ones, and their shares of the rows."""
        lower, upper, counts = self.cells()
        kept = np.isfinite(lower)
        if not kept.any():
            raise EmptyWindow(question)
        return lower[kept], upper[kept], counts[kept] / counts[kept].sum()


def _rank(share: float, rows: int) -> int:
    return max(1, math.ceil(share * rows))


Key = TypeVar("Key", int, float)


def _merged(
    first: tuple[tuple[Key, int], ...], second: tuple[tuple[Key, int], ...]
) -> tuple[tuple[Key, int], ...]:
    counts = Counter(dict(first))
    counts.update(dict(second))
    return tuple(sorted(counts.items()))


def _count_distinct(finite: NDArray[np.float64]) -> Values | None:
    """Count each value, or give None where there are too many."""
    if len(np.unique(finite[:_PROBE])) > EXACT:
        return None
    distinct, rows = _whole(finite) or np.unique(finite + 0.0, return_counts=True)
    if len(distinct) > EXACT:
        return None
    return tuple(zip(distinct.tolist(), rows.tolist(), strict=True))


def _whole(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Count whole numbers in an array by their distance from the least, or give None where they are others."""
    if not values.size:
        return None
    least, greatest = values.min().item(), values.max().item()
    if greatest - least >= _SPAN or abs(least) >= 2**53:
        return None
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        return None
    start = int(least)
    counts = np.bincount(whole - start)
    found = np.flatnonzero(counts)
    return (found + start).astype(np.float64), counts[found]
