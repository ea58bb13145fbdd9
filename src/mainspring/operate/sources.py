"""Where data comes from: files of every kind that is taken, and what is told of them."""

from __future__ import annotations

__all__ = ["NoSuchSource", "add_source"]

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.data import Change
from mainspring.errors import NotFound
from mainspring.operate.folders import add_archive, add_folder, is_archive
from mainspring.operate.publish import Adding, add_batch

if TYPE_CHECKING:
    from mainspring.data import Batch
    from mainspring.operate.folders import Progress
    from mainspring.workspace import Workspace


class NoSuchSource(NotFound):
    """A source that is not there."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        kinds = "a Parquet, Arrow, CSV or NDJSON file, a folder or an archive"
        return f"There is no file or folder {self.source}. Name {kinds}."


def add_source(
    workspace: Workspace,
    dataset: str,
    source: str,
    *,
    actor: str,
    reason: str = "",
    change: Change | None = None,
    adding: Adding = Adding(),  # noqa: B008 - a frozen value
    progress: Progress | None = None,
) -> Batch:
    """Add what a path leads to, as the next version of a dataset.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    source : str
        A file with a table, a folder of files, or an archive of them.
    actor, reason : str
        Who adds it, and why.
    change : Change, optional
        What becomes of the rows of before; by default they stay, and a folder takes their place.
    adding : Adding
        How else it is added.
    progress : callable, optional
        Is told how many of how many files of a folder are done.

    Raises
    ------
    NoSuchSource
        Nothing is there; and as `add_batch` does.
    """
    path = Path(source)
    if path.is_dir() or (path.is_file() and is_archive(path)):
        add = add_folder if path.is_dir() else add_archive
        return add(
            workspace,
            dataset,
            path,
            actor=actor,
            reason=reason,
            change=change,
            adding=adding,
            progress=progress,
        )
    if not path.is_file():
        raise NoSuchSource(source)
    adding = replace(adding, change=change or Change.APPEND, source=path.name)
    return add_batch(workspace, dataset, path, actor=actor, reason=reason, adding=adding)
