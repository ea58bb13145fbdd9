"""The profile of a window of rows, column by column, and profiles of many windows."""

from __future__ import annotations

__all__ = [
    "AtomProfile",
    "ColumnProfile",
    "Frame",
    "Profile",
    "ProfileKey",
    "ProfileSet",
    "merge",
    "merge_columns",
]

import json
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from mainspring.monitoring.profiles.category import CategoryProfile
from mainspring.monitoring.profiles.composite import EmbeddingProfile, ListProfile, TextProfile
from mainspring.monitoring.profiles.errors import ProfileMismatch
from mainspring.monitoring.profiles.number import NumberProfile

AtomProfile: TypeAlias = NumberProfile | CategoryProfile
"""What the others are made of."""

ColumnProfile: TypeAlias = NumberProfile | CategoryProfile | TextProfile | EmbeddingProfile | ListProfile

Frame: TypeAlias = Mapping[str, ColumnProfile]
"""What is frozen at the reference: for each column a profile of no rows, in which the rows of a window are counted."""

_FORMAT = 2
_PLURALS = {
    NumberProfile: "numbers",
    CategoryProfile: "categories",
    TextProfile: "texts",
    EmbeddingProfile: "vectors",
    ListProfile: "lists",
}


class _Head(msgspec.Struct):
    format: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A window of rows, column by column.

    Attributes
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
        """Its columns without rows, to profile the windows that shall be compared with it."""
        return {name: column.empty for name, column in self.columns.items()}

    def parts(self) -> dict[str, AtomProfile]:
        """Numbers and categories by name; of a text, a vector or a list each of its parts, such as `note[length]`."""
        return {
            f"{name}[{part}]" if part else name: profile
            for name, column in self.columns.items()
            for part, profile in column.parts.items()
        }

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal profiles."""
        document = {"format": _FORMAT, "rows": self.rows, "columns": self.columns}
        return msgspec.json.encode(document, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read what `to_json` wrote, or mainspring 0.1 did.

        Raises
        ------
        ProfileMismatch
            It is of another format than this version's.
        """
        match msgspec.json.decode(text, type=_Head).format:
            case 1:
                return _of_first_format(json.loads(text))
            case 2:
                return msgspec.json.decode(text, type=cls)
            case other:
                raise ProfileMismatch(
                    None, f"the text has format {other}, this version reads 1 and {_FORMAT}"
                )


def merge(first: Profile, *others: Profile) -> Profile:
    """Summarise the rows of all; exact, in any order. A column counts as absent where a profile does not have it.

    Raises
    ------
    ProfileMismatch
        A column is of one kind here and of another there, or was profiled in two frames.
    """
    return reduce(_merge_two, others, first)


def _merge_two(a: Profile, b: Profile) -> Profile:
    columns: dict[str, ColumnProfile] = {}
    for name in sorted({*a.columns, *b.columns}):
        mine, theirs = a.columns.get(name), b.columns.get(name)
        if mine is not None and theirs is not None:
            columns[name] = merge_columns(name, mine, theirs)
        else:
            columns[name] = mine or theirs  # type: ignore[assignment] # one of them has it
    return Profile(rows=a.rows + b.rows, columns=columns)


def merge_columns(name: str | None, mine: ColumnProfile, theirs: ColumnProfile) -> ColumnProfile:
    """Merge the profiles of one column; raises `ProfileMismatch`, which names it."""
    if type(mine) is not type(theirs):
        raise ProfileMismatch(
            name, f"one is of {_PLURALS[type(mine)]}, the other of {_PLURALS[type(theirs)]}"
        )
    try:
        return mine.merge(theirs)  # type: ignore[arg-type] # of the same type
    except ProfileMismatch as error:
        raise ProfileMismatch(name, error.reason) from None


class ProfileKey(NamedTuple):
    """What the rows of a profile have in common.

    Attributes
    ----------
    segment : str
        The piece of a log, the day or the batch that they come from.
    version : int
        The model version that answered them, or the data version that they are of.
    slice : str
        Such as `carrier = UA`; empty for all rows. Slices may overlap, and are never added up.
    """

    segment: str
    version: int
    slice: str = ""


class ProfileSet(msgspec.Struct, frozen=True):
    """Profiles by segment, version and slice, all in one frame.

    Attributes
    ----------
    profiles : mapping of ProfileKey to Profile
        Never changed once made.
    """

    profiles: Mapping[ProfileKey, Profile]

    def merge(self, other: ProfileSet) -> ProfileSet:
        """Put the profiles of both together; exact, in any order."""
        both = dict(self.profiles)
        for key, profile in other.profiles.items():
            both[key] = merge(both[key], profile) if key in both else profile
        return ProfileSet(dict(sorted(both.items())))

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal sets."""
        told = [(*key, each) for key, each in sorted(self.profiles.items())]
        return msgspec.json.encode(told, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> ProfileSet:
        """Read what `to_json` wrote."""
        told = msgspec.json.decode(text, type=list[tuple[str, int, str, Profile]])
        return cls({ProfileKey(segment, version, name): each for segment, version, name, each in told})

    def slices(self) -> tuple[str, ...]:
        """Give the slices that there are, in order."""
        return tuple(sorted({key.slice for key in self.profiles}))

    def of_slice(self, slice: str = "") -> Profile:  # noqa: A002 - it is the word for it
        """Summarise a slice over all its segments and versions; of no rows where there are none."""
        chosen = [profile for key, profile in self.profiles.items() if key.slice == slice]
        return reduce(merge, chosen, Profile(rows=0, columns={}))


def _of_first_format(document: dict[str, Any]) -> Profile:
    """Read a profile of mainspring 0.1, which knew numbers by their offset alone, and categories."""
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
    return Profile(rows=document["rows"], columns=columns)
