"""Where data comes from: files of every kind that is taken, and what is told of them."""

from __future__ import annotations

__all__ = ["NoSuchSource", "add_source"]

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.data import Change
from mainspring.errors import NotFound
from mainspring.operate.publish import Adding, add_batch

if TYPE_CHECKING:
    from mainspring.data import Batch
    from mainspring.workspace import Workspace


class NoSuchSource(NotFound):
    """A source that is not there."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        return f"There is no file or folder {self.source}. Name a Parquet, Arrow, CSV or NDJSON file."


def add_source(
    workspace: Workspace,
    dataset: str,
    source: str,
    *,
    actor: str,
    reason: str = "",
    change: Change | None = None,
    adding: Adding = Adding(),  # noqa: B008 - a frozen value
) -> Batch:
    """Add what a path leads to, as the next version of a dataset.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    source : str
        A file.
    actor, reason : str
        Who adds it, and why.
    change : Change, optional
        What becomes of the rows of before; by default they stay.
    adding : Adding
        How else it is added.

    Raises
    ------
    NoSuchSource
        Nothing is there; and as `add_batch` does.
    """
    path = Path(source)
    if not path.is_file():
        raise NoSuchSource(source)
    adding = replace(adding, change=change or Change.APPEND, source=path.name)
    return add_batch(workspace, dataset, path, actor=actor, reason=reason, adding=adding)
