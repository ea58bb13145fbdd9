"""What was deleted long enough ago to be removed for good, and where that is read from and removed."""

from __future__ import annotations

__all__ = ["Deleted", "FreeingStore", "Kind"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What can be deleted, and restored until it is removed."""

    RUN = "run"
    LOGGED_MODEL = "logged model"
    EXPERIMENT = "experiment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Something that a user has deleted.

    Attributes
    ----------
    key, name : str, str
        Its id, and how people call it.
    experiment_id : int
        In which experiment it is, or which it is.
    deleted_ms : int
        When it was deleted, or else the experiment that it is in.
    artifact_uri : str
        Where its files lie; of an experiment, where those of its runs would by default.
    """

    kind: Kind
    key: str
    name: str
    experiment_id: int
    deleted_ms: int
    artifact_uri: str


class FreeingStore(Protocol):
    """Where what was deleted is removed for good."""

    def deleted(self, before_ms: int) -> tuple[Deleted, ...]:
        """Give what was deleted at or before a moment: runs, logged models, then experiments without the first."""
        ...

    def places(self) -> Iterator[tuple[Kind, str, str]]:
        """Give every run and logged model, deleted or not: its kind, its id, and where its files lie."""
        ...

    def sources(self) -> Iterator[tuple[str, str]]:
        """Give the sources of datasets that name artifacts, each with the id of a run that read it."""
        ...

    def filled(self) -> frozenset[int]:
        """Give the ids of experiments in which a run or logged model is, deleted or not."""
        ...

    def remove(self, gone: Sequence[Deleted]) -> None:
        """Remove these with all that was logged to them; an experiment must have become empty."""
        ...
