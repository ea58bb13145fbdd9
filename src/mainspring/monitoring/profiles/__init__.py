"""Mergeable summaries of rows: the profile of a union is the merge of the profiles, bit for bit, in any order."""

from mainspring.monitoring.profiles.category import CategoryProfile
from mainspring.monitoring.profiles.composite import EmbeddingProfile, ListProfile, TextProfile
from mainspring.monitoring.profiles.errors import EmptyWindow, ProfileMismatch
from mainspring.monitoring.profiles.number import Interval, Kind, NumberProfile, value_text
from mainspring.monitoring.profiles.rows import frame, profile, profile_slices
from mainspring.monitoring.profiles.window import (
    AtomProfile,
    ColumnProfile,
    Frame,
    Profile,
    ProfileKey,
    ProfileSet,
    merge,
    merge_columns,
)

__all__ = [
    "AtomProfile",
    "CategoryProfile",
    "ColumnProfile",
    "EmbeddingProfile",
    "EmptyWindow",
    "Frame",
    "Interval",
    "Kind",
    "ListProfile",
    "NumberProfile",
    "Profile",
    "ProfileKey",
    "ProfileMismatch",
    "ProfileSet",
    "TextProfile",
    "frame",
    "merge",
    "merge_columns",
    "profile",
    "profile_slices",
    "value_text",
]
