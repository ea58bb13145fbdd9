"""A data version, the batch that made it, and what validation said of the batch."""

from __future__ import annotations

__all__ = [
    "MAIN",
    "Batch",
    "BatchOutcome",
    "BatchReport",
    "Change",
    "CheckFailure",
    "CheckPassed",
    "DataStore",
    "DataVersion",
    "DataVersionNotFound",
]

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from mainspring.contract import Severity
from mainspring.errors import NotFound
from mainspring.ref import DataRef

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.digest import Digest


MAIN = "main"
"""The branch that products read."""


class Change(StrEnum):
    """What a version does with the rows of the one that it follows."""

    APPEND = "append"
    REPLACE = "replace"
    UPSERT = "upsert"
    MERGE = "merge"


class DataVersionNotFound(NotFound):
    """A data version that was never published."""

    def __init__(self, dataset: str, number: int | None, newest: int | None) -> None:
        super().__init__(dataset, number, newest)
        self.dataset, self.number, self.newest = dataset, number, newest

    def __str__(self) -> str:
        has = "it has no versions yet" if self.newest is None else f"its newest is v{self.newest}"
        which = "No version" if self.number is None else f"No version v{self.number}"
        mend = f"To publish one, run `mainspring data add {self.dataset} SOURCE`."
        return f"{which} of dataset {self.dataset!r}: {has}. {mend}"


class BatchOutcome(StrEnum):
    """What became of a batch."""

    PUBLISHED = "published"
    REFUSED = "refused"


class CheckFailure(msgspec.Struct, frozen=True):
    """A check that rows of a batch failed.

    Attributes
    ----------
    column : str
        The column, or several joined by `, `.
    check : str
        What was asked of it.
    rows : int
        How many rows failed.
    examples : tuple of (int, str)
        Some of them: the row's position in the batch, from 0, and the value found.
    severity : str
        Whether this alone refuses the batch, sets the rows aside, or is only told.
    keys : tuple of str
        The keys of the examples, in their order; empty where the dataset has no key.
    """

    column: str
    check: str
    rows: int
    examples: tuple[tuple[int, str], ...]
    severity: Severity = "quarantine"
    keys: tuple[str, ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether this alone refuses the batch."""
        return self.severity == "refuse"


class CheckPassed(msgspec.Struct, frozen=True):
    """A check that a batch passed; `found` says what there was to see, where that is more than that all rows hold."""

    column: str
    check: str
    found: str = ""


class BatchReport(msgspec.Struct, frozen=True):
    """What validation found in a batch.

    Attributes
    ----------
    rows : int
        Rows in the batch.
    quarantined : int
        Rows set aside; 0 for a refused batch, of which nothing is kept.
    failures : tuple of CheckFailure
        Every check that failed.
    refusal : str
        Why the batch as a whole was refused; empty when it was not.
    passed : tuple of CheckPassed
        Every other check: together with the failures these are all that were asked.
    set_aside : str
        The digest under which the rows that were set aside are kept; empty when there are none.
    judged_under : str
        Of a refusal by a contract, the digest of what it rests on: the contract, the version before, other datasets.
        Under another one the same bytes are judged anew.
    """

    rows: int
    quarantined: int
    failures: tuple[CheckFailure, ...]
    refusal: str = ""
    passed: tuple[CheckPassed, ...] = ()
    set_aside: str = ""
    judged_under: str = ""

    @property
    def outcome(self) -> BatchOutcome:
        """Refused when there is a reason to."""
        return BatchOutcome.REFUSED if self.refusal else BatchOutcome.PUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that was handed in, by the digest of its bytes: handed in again, it gets the same answer.

    `version` is the number of the data version that it made, None when it was refused.
    """

    dataset: str
    digest: Digest
    at: datetime
    actor: str
    report: BatchReport
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVersion:
    """An immutable state of a dataset.

    Attributes
    ----------
    dataset : str
        Which dataset.
    number : int
        Counted 1, 2, 3… within the dataset.
    digest : Digest
        Of the digests of its batches, in order, and of the rows set aside.
    rows, rows_added : int
        Rows in all, and those that the version before does not have, as far as a key tells.
    published_at : datetime
        By the workspace's clock.
    table_version : int
        The version of the table that holds it.
    branch : str
        On which branch it was published; products read `main`.
    parent : int or None
        The number of the version that it follows, None for the first.
    change : Change
        What it does with the rows of that one.
    rows_changed, rows_removed : int
        Rows of that one that have other values now, and those that are gone.
    source : str
        Where the rows came from, for people.
    retired_at : datetime or None
        When its rows were given up; None while they can be read.
    """

    dataset: str
    number: int
    digest: Digest
    rows: int
    rows_added: int
    published_at: datetime
    table_version: int
    branch: str = MAIN
    parent: int | None = None
    change: Change = Change.APPEND
    rows_changed: int = 0
    rows_removed: int = 0
    source: str = ""
    retired_at: datetime | None = None

    @property
    def ref(self) -> DataRef:
        """The address for people."""
        return DataRef(self.dataset, self.number)


class DataStore(Protocol):
    """Where batches and data versions are recorded."""

    def add_batch(self, batch: Batch) -> None:
        """Record a batch; raises `mainspring.errors.Conflict` when its digest is recorded for this dataset already."""
        ...

    def find_batch(self, dataset: str, digest: Digest) -> Batch | None:
        """Give the batch with these bytes, if it was handed in before."""
        ...

    def batches(self, dataset: str) -> tuple[Batch, ...]:
        """Give every batch of a dataset, oldest first."""
        ...

    def add(self, version: DataVersion) -> None:
        """Record a version; raises `mainspring.errors.Conflict` when its number is taken."""
        ...

    def get(self, ref: DataRef) -> DataVersion:
        """Give one version; raises `DataVersionNotFound`."""
        ...

    def newest(self, dataset: str, branch: str | None = MAIN) -> DataVersion | None:
        """Give the newest version that was published on a branch, or on any, None before the first."""
        ...

    def last_rewritten(self, dataset: str, branch: str) -> int | None:
        """Give the number of the newest version on a branch that did more than append, None where none did."""
        ...

    def put(self, version: DataVersion) -> None:
        """Record where a version is now, or that it was retired; nothing else of it changes. Raises as `get` does."""
        ...

    def versions(self, dataset: str | None = None) -> tuple[DataVersion, ...]:
        """Give every version, of one dataset or of all, ordered by dataset and number."""
        ...
