"""The profile of categories: counted by name, and by a hash of the name where there are too many."""

from __future__ import annotations

__all__ = ["NAMED", "CategoryProfile"]

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from mainspring.monitoring.profiles.errors import ProfileMismatch

NAMED = 4096
"""Categories that are counted by name, besides those known at the reference."""


class CategoryProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="category"):
    """Categories of one column.

    Those that were known at the reference are counted by name. So are the others while there are at most 4,096.
    Beyond, only those are whose 64-bit hash is below 2^(64 - level), at the least level that leaves at most 4,096;
    the rest are counted in 256 buckets by the low byte of the hash. The level is a function of the set of names
    seen, not of their order, and so is the whole profile: a part has seen fewer names, so its level is at most the
    whole's and it has lost nothing that the whole names.

    Attributes
    ----------
    known : tuple of str or None
        All categories of the reference, in order; None where none was, or it had more than 4,096.
    nulls, mistyped : int
        Rows without a value, and rows whose value is a list or a structure.
    level : int
        How often the space of named hashes was halved; 0 where all categories are named.
    named : tuple of (str, int)
        Rows of each named category, by name.
    folded : tuple of (int, int)
        Rows of each bucket of the rest, by the low byte of their hash.
    """

    known: tuple[str, ...] | None = None
    nulls: int = 0
    mistyped: int = 0
    level: int = 0
    named: tuple[tuple[str, int], ...] = ()
    folded: tuple[tuple[int, int], ...] = ()

    @property
    def empty(self) -> CategoryProfile:
        """The profile of no rows, in the same frame."""
        return CategoryProfile(known=self.known)

    @property
    def parts(self) -> dict[str, CategoryProfile]:
        """Itself, as the only part."""
        return {"": self}

    @property
    def rows(self) -> int:
        """All rows, those without a value included."""
        return self.missing + self.valid

    @property
    def valid(self) -> int:
        """Rows with a category."""
        return sum(count for _, count in self.named) + sum(count for _, count in self.folded)

    @property
    def missing(self) -> int:
        """Rows without a category: nulls and values of another type."""
        return self.nulls + self.mistyped

    @property
    def unseen(self) -> int | None:
        """Rows of a category that the reference has not seen; None where it is not known what it has seen."""
        if self.known is None:
            return None
        counts = dict(self.named)
        return self.valid - sum(counts.get(name, 0) for name in self.known)

    def count(self, names: Mapping[str, int], *, nulls: int = 0, mistyped: int = 0) -> CategoryProfile:
        """Profile rows, given by how many each category has, in this one's frame."""
        return _fold(self.known, nulls, mistyped, 0, Counter(names), Counter())

    def merge(self, other: CategoryProfile) -> CategoryProfile:
        """Summarise the rows of both; exact, in any order. Raises `ProfileMismatch` where the frames differ."""
        if self.known != other.known:
            raise ProfileMismatch(None, "they know other categories")
        named, folded = Counter(dict(self.named)), Counter(dict(self.folded))
        named.update(dict(other.named))
        folded.update(dict(other.folded))
        nulls, mistyped = self.nulls + other.nulls, self.mistyped + other.mistyped
        return _fold(self.known, nulls, mistyped, max(self.level, other.level), named, folded)

    def bounds(self, category: str) -> tuple[int, int]:
        """Least and greatest rows that `category` may have; equal where it is named."""
        code = _hash(category)
        if _is_named(code, self.level) or category in (self.known or ()):
            count = dict(self.named).get(category, 0)
            return count, count
        return 0, dict(self.folded).get(code & 0xFF, 0)

    def surely_unseen(self, known: CategoryProfile) -> int:
        """Rows whose category is certainly none that `known` has seen."""
        if known.level:
            return 0
        seen = dict(known.named)
        apart = set(self.known or ())
        shared = {
            code & 0xFF
            for name in seen
            if name not in apart and not _is_named(code := _hash(name), self.level)
        }
        unnamed = sum(count for bucket, count in self.folded if bucket not in shared)
        return unnamed + sum(count for name, count in self.named if name not in seen)

    def at_level(self, level: int) -> CategoryProfile:
        """The same rows, with no more names than a profile of that level has."""
        folded = Counter(dict(self.folded))
        return _fold(
            self.known, self.nulls, self.mistyped, max(level, self.level), Counter(dict(self.named)), folded
        )


def _hash(category: str) -> int:
    return int.from_bytes(blake2b(category.encode(), digest_size=8).digest(), "big")


def _is_named(code: int, level: int) -> bool:
    return code < 1 << (64 - level)


def _fold(
    known: tuple[str, ...] | None,
    nulls: int,
    mistyped: int,
    level: int,
    named: Counter[str],
    folded: Counter[int],
) -> CategoryProfile:
    apart = frozenset(known or ())
    if level or len(named) > NAMED:
        codes = {name: _hash(name) for name in named if name not in apart}
        if len(codes) > NAMED:
            # At level n a hash of up to 64 - n binary digits is named: the first that must not be tells n.
            level = max(level, 65 - sorted(codes.values())[NAMED].bit_length())
        for name, code in codes.items():
            if not _is_named(code, level):
                folded[code & 0xFF] += named.pop(name)
    return CategoryProfile(
        known=known,
        nulls=nulls,
        mistyped=mistyped,
        level=level,
        named=_sorted(named.items()),
        folded=tuple(sorted(folded.items())),
    )


def _sorted(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(pairs))
