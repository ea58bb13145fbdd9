"""Tags of a git repository in the form of Git Tag Ops (GTO), which say what was registered and where it stands.

`late-orders@v7.0.0` registers a version, `late-orders#champion#12` assigns a stage to the version of its commit, and
`late-orders#champion!#13` takes it away; the last number counts the model's assignments.
"""

from __future__ import annotations

__all__ = ["GitTag", "TagName", "assigned", "can_be_named"]

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_NAME = r"[a-z0-9](?:[a-z0-9/-]*[a-z0-9])?"
_TAG = re.compile(
    rf"(?P<model>{_NAME})"
    rf"(?:@v(?P<version>[0-9]+\.[0-9]+\.[0-9]+)|#(?P<stage>{_NAME})(?P<cancels>!?)(?:#(?P<count>[0-9]{{1,9}}))?)"
)


def can_be_named(name: str) -> bool:
    """Whether a model or an alias of this name can stand in such a tag.

    Examples
    --------
    >>> can_be_named("late-orders"), can_be_named("Late_Orders")
    (True, False)
    """
    return re.fullmatch(_NAME, name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagName:
    """The name of a tag, read.

    Attributes
    ----------
    model : str
    number : int or None
        Of a version that is registered: that of `v7.0.0` is 7, and other versions have none.
    stage : str
        What is assigned; empty where a version is registered.
    cancels : bool
        Whether the stage is taken away.
    count : int
        Of the assignment, 0 where it has none.

    Examples
    --------
    >>> str(TagName(model="late-orders", number=7)), str(TagName(model="late-orders", stage="champion", count=2))
    ('late-orders@v7.0.0', 'late-orders#champion#2')
    """

    model: str
    number: int | None = None
    stage: str = ""
    cancels: bool = False
    count: int = 0

    @classmethod
    def read(cls, text: str) -> TagName | None:
        """Read the name of a tag; None where it is of another form."""
        found = _TAG.fullmatch(text)
        if found is None:
            return None
        major, _, rest = (found["version"] or "").partition(".")
        return cls(
            model=found["model"],
            number=int(major) if rest == "0.0" and major != "0" else None,
            stage=found["stage"] or "",
            cancels=bool(found["cancels"]),
            count=int(found["count"] or 0),
        )

    def __str__(self) -> str:
        if not self.stage:
            return f"{self.model}@v{self.number}.0.0"
        return f"{self.model}#{self.stage}{'!' if self.cancels else ''}#{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitTag:
    """An annotated tag of this form.

    Attributes
    ----------
    name : TagName
    object_id, commit : str
        Of the tag itself, and what it points to.
    at : datetime
    message : str
    """

    name: TagName
    object_id: str
    commit: str
    at: datetime
    message: str


def assigned(tags: Iterable[GitTag]) -> dict[tuple[str, str], GitTag]:
    """Give the tag in force for each model and stage: the one that was made last, and of a moment counts most."""
    found: dict[tuple[str, str], GitTag] = {}
    for tag in sorted(tags, key=lambda tag: (tag.at, tag.name.count)):
        if tag.name.stage:
            found[tag.name.model, tag.name.stage] = tag
    return found
