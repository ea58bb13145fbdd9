"""Mergeable summaries of a window of rows: the profile of a union is the merge of the profiles, bit for bit.

A number falls in the bucket named by the top 16 bits of its float64 (sign, exponent, four bits of mantissa) after a
column's offset is taken away; there are no edges to configure, ranks are exact at bucket edges, and a bucket is 1/32 to
1/16 as wide as its distance from the offset. A scale would move exponents only, so there is none. A category is
counted by name, and by a hash of the name where a column has too many.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid

__all__ = [
    "CategoryProfile",
    "ColumnProfile",
    "EmptyWindow",
    "Frame",
    "NumberProfile",
    "Profile",
    "ProfileMismatch",
    "frame",
    "merge",
    "profile",
]

Frame = Mapping[str, float]
"""The offset of each numeric column, frozen at the reference; a column that it does not name has offset 0."""

_FORMAT = 1
_NAMED = 4096
_INFINITY = 0x7FF0
# A bucket's key is in the order of the values: 0x8000 plus the bits of a positive number, 0x7FFF minus those of a
# negative one without its sign. NaN keys lie beyond both infinities.
_LEAST, _GREATEST = 0x7FFF - _INFINITY, 0x8000 + _INFINITY


class ProfileMismatch(Invalid):
    """Two profiles of one column that cannot be merged or compared."""

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason

    def __str__(self) -> str:
        which = "one column" if self.column is None else f"column {self.column!r}"
        return (
            f"The profiles of {which} cannot be put together: {self.reason}. "
            "Profile both windows with the frame of the reference, after the same casts."
        )


class EmptyWindow(Invalid):
    """A question about a window that has no rows to answer it from."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question

    def __str__(self) -> str:
        return f"No {self.question}: a window has no rows with a value. Wait for rows, or choose a longer window."


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberProfile:
    """Numbers of one column.

    Parameters
    ----------
    offset : float
        Taken from each value before it is put in a bucket.
    nulls, nans : int
        Rows without a value, and rows whose value is not a number.
    low, high : float or None
        Least and greatest finite value; None where there is none.
    buckets : tuple of (int, int)
        Key and rows of each bucket that is not empty, infinities among them, from the least to the greatest.
    """

    offset: float = 0.0
    nulls: int = 0
    nans: int = 0
    low: float | None = None
    high: float | None = None
    buckets: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> int:
        """All rows, those without a value included."""
        return self.nulls + self.nans + self.valid

    @property
    def valid(self) -> int:
        """Rows with a number, infinities included."""
        return sum(count for _, count in self.buckets)

    @property
    def missing(self) -> int:
        """Rows with no number: nulls and NaN."""
        return self.nulls + self.nans

    def merge(self, other: NumberProfile) -> NumberProfile:
        """Summarise the rows of both; exact, in any order."""
        if self.offset != other.offset:
            raise ProfileMismatch(None, f"their offsets are {self.offset} and {other.offset}")
        counts = Counter(dict(self.buckets))
        counts.update(dict(other.buckets))
        return NumberProfile(
            offset=self.offset,
            nulls=self.nulls + other.nulls,
            nans=self.nans + other.nans,
            low=min((x for x in (self.low, other.low) if x is not None), default=None),
            high=max((x for x in (self.high, other.high) if x is not None), default=None),
            buckets=tuple(sorted(counts.items())),
        )

    def at_most(self, key: int) -> int:
        """Rows in the buckets up to `key`: the exact rank of `edge(key)`."""
        return sum(count for bucket, count in self.buckets if bucket <= key)

    def edge(self, key: int) -> float:
        """Largest value of bucket `key`."""
        return self.offset + _ends(np.array([key]))[1].item()

    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and greatest value that a row of each bucket may have, each of shape (n_buckets,)."""
        lower, upper = _ends(np.array([key for key, _ in self.buckets], dtype=np.int64))
        low, high = (
            (-math.inf if self.low is None else self.low),
            (math.inf if self.high is None else self.high),
        )
        lower, upper = lower + self.offset, upper + self.offset
        finite = np.isfinite(lower)
        return np.where(finite, lower.clip(low, high), lower), np.where(finite, upper.clip(low, high), upper)

    def key_at(self, share: float) -> int:
        """Key of the bucket that holds the `share` quantile: the least with at least that share up to it."""
        if not self.buckets:
            raise EmptyWindow("quantile")
        need = max(1, math.ceil(share * self.valid))
        reached = np.cumsum([count for _, count in self.buckets])
        return self.buckets[int(np.searchsorted(reached, need))][0]

    def quantile(self, share: float) -> tuple[float, float]:
        """Interval that holds the `share` quantile of the values, as wide as its bucket.

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
        >>> wind = profile({"wind": np.array([3.0, 5.0, 8.1, np.nan])}).columns["wind"]
        >>> wind.quantile(0.5)
        (5.0, 5.249999999999999)
        """
        key = self.key_at(share)
        position = [bucket for bucket, _ in self.buckets].index(key)
        lower, upper = self.ends()
        return lower[position].item(), upper[position].item()


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryProfile:
    """Categories of one column.

    Categories are counted by name while there are at most 4,096. Beyond, only those are whose 64-bit hash is below
    2^(64 - level), at the least level that leaves at most 4,096; the rest are counted in 256 buckets by the low
    byte of the hash. The level is a function of the set of names seen, not of their order, and so is the whole
    profile: a part has seen fewer names, so its level is at most the whole's and it has lost nothing that the
    whole names.

    Parameters
    ----------
    nulls : int
        Rows without a value.
    level : int
        How often the space of named hashes was halved; 0 where all categories are named.
    named : tuple of (str, int)
        Rows of each named category, by name.
    folded : tuple of (int, int)
        Rows of each bucket of the rest, by the low byte of their hash.
    """

    nulls: int = 0
    level: int = 0
    named: tuple[tuple[str, int], ...] = ()
    folded: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> int:
        """All rows, those without a value included."""
        return self.nulls + self.valid

    @property
    def valid(self) -> int:
        """Rows with a category."""
        return sum(count for _, count in self.named) + sum(count for _, count in self.folded)

    @property
    def missing(self) -> int:
        """Rows without a category."""
        return self.nulls

    def merge(self, other: CategoryProfile) -> CategoryProfile:
        """Summarise the rows of both; exact, in any order."""
        named, folded = Counter(dict(self.named)), Counter(dict(self.folded))
        named.update(dict(other.named))
        folded.update(dict(other.folded))
        return _fold(self.nulls + other.nulls, max(self.level, other.level), named, folded)

    def bounds(self, category: str) -> tuple[int, int]:
        """Least and greatest rows that `category` may have; equal where it is named."""
        code = _hash(category)
        if _is_named(code, self.level):
            count = dict(self.named).get(category, 0)
            return count, count
        return 0, dict(self.folded).get(code & 0xFF, 0)

    def surely_unseen(self, known: CategoryProfile) -> int:
        """Rows whose category is certainly none that `known` has seen."""
        if known.level:
            return 0
        seen = dict(known.named)
        shared = {code & 0xFF for code in map(_hash, seen) if not _is_named(code, self.level)}
        unnamed = sum(count for bucket, count in self.folded if bucket not in shared)
        return unnamed + sum(count for name, count in self.named if name not in seen)


ColumnProfile = NumberProfile | CategoryProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A window of rows, column by column.

    Parameters
    ----------
    rows : int
        Rows of the window.
    columns : mapping of str to ColumnProfile
        Never changed once made.
    """

    rows: int
    columns: Mapping[str, ColumnProfile]

    @property
    def frame(self) -> Frame:
        """Offsets of its numeric columns, to profile the windows that shall be compared with it."""
        return {
            name: column.offset for name, column in self.columns.items() if isinstance(column, NumberProfile)
        }

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal profiles."""
        columns: dict[str, Any] = {}
        for name, column in self.columns.items():
            if isinstance(column, NumberProfile):
                keys = [key for key, _ in column.buckets]
                columns[name] = {
                    "offset": column.offset,
                    "missing": [column.nulls, column.nans],
                    "range": [column.low, column.high],
                    # Steps are shorter to write than keys: neighbours are mostly 1 apart.
                    "steps": [key - last for last, key in zip([0, *keys], keys, strict=False)],
                    "counts": [count for _, count in column.buckets],
                }
            else:
                columns[name] = {
                    "nulls": column.nulls,
                    "level": column.level,
                    "named": dict(column.named),
                    "folded": [list(pair) for pair in column.folded],
                }
        document = {"format": _FORMAT, "rows": self.rows, "columns": columns}
        return json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ProfileMismatch
            It is of another format than this version's.
        """
        document = json.loads(text)
        if document["format"] != _FORMAT:
            raise ProfileMismatch(
                None, f"the text has format {document['format']}, this version reads {_FORMAT}"
            )
        columns: dict[str, ColumnProfile] = {}
        for name, column in document["columns"].items():
            if "offset" in column:
                keys = np.cumsum(column["steps"], dtype=np.int64).tolist()
                columns[name] = NumberProfile(
                    offset=column["offset"],
                    nulls=column["missing"][0],
                    nans=column["missing"][1],
                    low=column["range"][0],
                    high=column["range"][1],
                    buckets=tuple(zip(keys, column["counts"], strict=True)),
                )
            else:
                columns[name] = CategoryProfile(
                    nulls=column["nulls"],
                    level=column["level"],
                    named=tuple(sorted(column["named"].items())),
                    folded=tuple((bucket, count) for bucket, count in column["folded"]),
                )
        return cls(rows=document["rows"], columns=columns)


def frame(columns: Mapping[str, NDArray[Any] | Sequence[str | None]]) -> Frame:
    """Choose the offsets of numeric columns from the rows of a reference.

    A column whose median is further from zero than two interquartile ranges gets its median, rounded to at most an
    interquartile range, so that buckets are narrow against its spread; all others keep 0.

    Parameters
    ----------
    columns : mapping of str to array
        As for `profile`.

    Returns
    -------
    mapping of str to float
        Of the numeric columns.

    Examples
    --------
    >>> dict(frame({"year": np.array([2011.0, 2012.0, 2013.0, 2014.0]), "wind": np.array([0.0, 1.0, 3.0, 9.0])}))
    {'year': 2012.0, 'wind': 0.0}
    """
    offsets = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            values = _numbers(name, column)[0]
            values = values[np.isfinite(values)]
            offsets[name] = 0.0
            if values.size:
                quartiles = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf")
                first, median, third = quartiles.tolist()
                if third > first and abs(median) > 2 * (third - first):
                    # A power of two makes the offset a short number, and one that a few rows more leave as it is.
                    step = 2.0 ** math.floor(math.log2(third - first))
                    offsets[name] = round(median / step) * step
    return offsets


def profile(
    columns: Mapping[str, NDArray[Any] | Sequence[str | None]], frame: Frame | None = None
) -> Profile:
    """Summarise a window of rows.

    Parameters
    ----------
    columns : mapping of str to array
        Columns of equal length. A numpy array holds numbers (where masked, nulls); any other sequence holds
        categories as text, with None for null.
    frame : mapping of str to float, optional
        Offsets, of the reference that this window shall be compared with; without, 0.

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
    >>> january = profile({"wind": np.array([3.0, 5.0]), "carrier": ["UA", None]})
    >>> february = profile({"wind": np.array([np.inf]), "carrier": ["B6"]})
    >>> year = merge(january, february)
    >>> year.rows, year.columns["carrier"].missing, year.columns["carrier"].bounds("UA")
    (3, 1, (1, 1))
    """
    rows = len(next(iter(columns.values()), ()))
    profiles: dict[str, ColumnProfile] = {}
    for name in sorted(columns):
        column = columns[name]
        if len(column) != rows:
            raise ProfileMismatch(name, f"it has {len(column)} rows, and the first column {rows}")
        if isinstance(column, np.ndarray):
            profiles[name] = _profile_numbers(name, column, (frame or {}).get(name, 0.0))
        else:
            counts = Counter(column)
            nulls = counts.pop(None, 0)
            profiles[name] = _fold(nulls, 0, Counter({str(key): n for key, n in counts.items()}), Counter())
    return Profile(rows=rows, columns=profiles)


def merge(first: Profile, *others: Profile) -> Profile:
    """Summarise the rows of all; exact, in any order. A column counts as absent where a profile does not have it.

    Raises
    ------
    ProfileMismatch
        A column is of numbers here and of categories there, or has two offsets.
    """
    return reduce(_merge_two, others, first)


def _merge_two(a: Profile, b: Profile) -> Profile:
    columns: dict[str, ColumnProfile] = {}
    for name in sorted({*a.columns, *b.columns}):
        mine, theirs = a.columns.get(name), b.columns.get(name)
        if mine is None:
            columns[name] = b.columns[name]
        elif theirs is None:
            columns[name] = mine
        elif isinstance(mine, NumberProfile) and isinstance(theirs, NumberProfile):
            if mine.offset != theirs.offset:
                raise ProfileMismatch(name, f"their offsets are {mine.offset} and {theirs.offset}")
            columns[name] = mine.merge(theirs)
        elif isinstance(mine, CategoryProfile) and isinstance(theirs, CategoryProfile):
            columns[name] = mine.merge(theirs)
        else:
            raise ProfileMismatch(name, "one is of numbers, the other of categories")
    return Profile(rows=a.rows + b.rows, columns=columns)


def _numbers(name: str, column: NDArray[Any]) -> tuple[NDArray[np.float64], int]:
    """Values that are not null as float64, and the number of nulls."""
    if column.dtype.kind not in "biuf" or column.ndim != 1:
        raise ProfileMismatch(
            name, f"it is an array of {column.dtype} with {column.ndim} dimensions, not of numbers"
        )
    if isinstance(column, np.ma.MaskedArray):
        kept = column.compressed()
        return kept.astype(np.float64), len(column) - len(kept)
    return column.astype(np.float64, copy=False), 0


def _profile_numbers(name: str, column: NDArray[Any], offset: float) -> NumberProfile:
    values, nulls = _numbers(name, column)
    # A value may overflow where the offset is taken away, and a signalling NaN complains: both are counted.
    with np.errstate(over="ignore", invalid="ignore"):
        by_bits = np.bincount(_bits(values - offset), minlength=0x10000)
    counts = np.concatenate([by_bits[:0x7FFF:-1], by_bits[:0x8000]])
    outside = counts[_LEAST], counts[_GREATEST]
    nans = int(counts[:_LEAST].sum() + counts[_GREATEST + 1 :].sum())
    counts[:_LEAST] = counts[_GREATEST + 1 :] = 0
    finite = values[np.isfinite(values)] if nans or any(outside) else values
    keys = np.flatnonzero(counts)
    return NumberProfile(
        offset=offset,
        nulls=nulls,
        nans=nans,
        # A sum with 0.0 makes -0.0 positive: which of the two is the least would depend on the order.
        low=finite.min().item() + 0.0 if finite.size else None,
        high=finite.max().item() + 0.0 if finite.size else None,
        buckets=tuple(zip(keys.tolist(), counts[keys].tolist(), strict=True)),
    )


def _bits(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Top 16 bits of each value.

    The sum with 0.0 makes -0.0 positive, and a signalling NaN quiet, which has its mark within the top bits.
    """
    return (values + 0.0).astype("<f8", copy=False).view("<u2")[3::4]


def _ends(keys: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest float of each bucket."""
    keys = keys.astype(np.uint64)
    negative = keys < 0x8000
    bits = np.where(negative, np.uint64(0x7FFF) - keys, keys - np.uint64(0x8000)).astype(np.uint64)
    near = (bits << np.uint64(48)).view(np.float64)
    # Infinity shares its bits with the NaN beyond it, and ends where it begins.
    width = np.where(bits == _INFINITY, np.uint64(0), np.uint64((1 << 48) - 1))
    far = ((bits << np.uint64(48)) | width).view(np.float64)
    return np.where(negative, -far, near), np.where(negative, -near, far)


def _hash(category: str) -> int:
    return int.from_bytes(blake2b(category.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _is_named(code: int, level: int) -> bool:
    return code < 1 << (64 - level)


def _fold(nulls: int, level: int, named: Counter[str], folded: Counter[int]) -> CategoryProfile:
    if level or len(named) > _NAMED:
        codes = {name: _hash(name) for name in named}
        while sum(_is_named(code, level) for code in codes.values()) > _NAMED:
            level += 1
        for name, code in codes.items():
            if not _is_named(code, level):
                folded[code & 0xFF] += named.pop(name)
    return CategoryProfile(
        nulls=nulls, level=level, named=_sorted(named.items()), folded=tuple(sorted(folded.items()))
    )


def _sorted(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(pairs))
