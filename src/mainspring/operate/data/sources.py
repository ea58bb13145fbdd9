"""Where data comes from: files of every kind that is taken, and what is told of them."""

from __future__ import annotations

__all__ = ["NoSuchSource", "add_source"]

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mainspring.data import Change
from mainspring.errors import NotFound
from mainspring.operate.data.by_reference import add_reference, is_delta
from mainspring.operate.data.folders import add_archive, add_folder, is_archive
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.data.query import fetch, is_database

if TYPE_CHECKING:
    from mainspring.data import Batch
    from mainspring.operate.data.folders import Progress
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
    query: str = "",
    adding: Adding = Adding(),  # noqa: B008 - a frozen value
    progress: Progress | None = None,
) -> Batch:
    """Add what a path or URL leads to, as the next version of a dataset.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    source : str
        A file with a table, a folder of files, an archive of them, the URL of a database, or the folder of a Delta
        table, which is not copied.
    actor, reason : str
        Who adds it, and why.
    change : Change, optional
        What becomes of the rows of before; by default they stay, and a folder takes their place.
    query : str
        What a database is asked for.
    adding : Adding
        How else it is added.
    progress : callable, optional
        Is told how many of how many files of a folder are done.

    Raises
    ------
    NoSuchSource
        Nothing is there; and as `add_batch` does.
    """
    if query or is_database(source):
        with TemporaryDirectory() as folder:
            file = Path(folder) / "rows.parquet"
            asked = fetch(source, query, file)
            adding = replace(adding, change=change or Change.APPEND, source=asked)
            return add_batch(workspace, dataset, file, actor=actor, reason=reason, adding=adding)
    path = Path(source)
    if path.is_dir() and is_delta(path):
        return add_reference(workspace, dataset, path, actor=actor, reason=reason, adding=adding)
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
