"""Tags and branches: names that people give to data versions."""

from __future__ import annotations

__all__ = ["DataName", "DataNameNotFound", "DataNameStore", "NameKind"]

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mainspring.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime


class NameKind(StrEnum):
    """Whether a name stays where it is, or moves with what is added."""

    TAG = "tag"
    BRANCH = "branch"


class DataNameNotFound(NotFound):
    """A tag or branch that a dataset does not have."""

    def __init__(self, dataset: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(dataset, name, known)
        self.dataset, self.name, self.known = dataset, name, known

    def __str__(self) -> str:
        return (
            f"Dataset {self.dataset!r} has no tag or branch {self.name!r}. There are: {', '.join(self.known)}. "
            f"To name a version, run `mainspring data tag {self.dataset}@vN {self.name}`."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataName:
    """A name of a data version.

    Attributes
    ----------
    dataset, name : str
        Unique together.
    kind : NameKind
        A tag names `number`; a branch began there, and names the newest version that was published on it.
    number : int
        Of a version.
    at : datetime
        When it was given or moved.
    actor : str
        By whom.
    """

    dataset: str
    name: str
    kind: NameKind
    number: int
    at: datetime
    actor: str


class DataNameStore(Protocol):
    """Where names are recorded."""

    def put(self, name: DataName) -> None:
        """Record a name, in place of the one that the dataset has under it."""
        ...

    def find(self, dataset: str, name: str) -> DataName | None:
        """Give a name, None where the dataset has none such."""
        ...

    def drop(self, dataset: str, name: str) -> None:
        """Forget a name; one that is not there is fine."""
        ...

    def names(self, dataset: str | None = None) -> tuple[DataName, ...]:
        """Give the names of a dataset, or of all, ordered by dataset and name."""
        ...
