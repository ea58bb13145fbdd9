"""Folders of experiments: listed, moved and archived."""

from __future__ import annotations

__all__ = ["FolderRow", "archive_folder", "folder_rows", "move_folder"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid, Refused
from mainspring.operate.log_runs import rename_experiment
from mainspring.tracking.folders import ARCHIVE, NoFolder, listing, moved

if TYPE_CHECKING:
    from mainspring.workspace import Workspace


class FolderRow(msgspec.Struct, frozen=True):
    """A folder, with how many experiments are in it and below; or an experiment, which counts as one."""

    path: str
    is_folder: bool
    experiments: int


def folder_rows(workspace: Workspace, folder: str = "") -> tuple[FolderRow, ...]:
    """List a folder: those in it first, then the experiments; raises `NoFolder`."""
    folder = folder.strip("/")
    with workspace.database.read() as tx:
        names = sorted(name for _, name, _ in tx.experiments.names())
    found = listing(names, folder)
    if folder and not found.folders and not found.experiments:
        raise NoFolder(folder)
    rows = [FolderRow(path, True, count) for path, count in found.folders.items()]
    return (*rows, *(FolderRow(name, False, 1) for name in found.experiments))


def move_folder(workspace: Workspace, source: str, to: str) -> dict[str, str]:
    """Move an experiment, or a folder with all that are in it; all of them or none.

    Returns
    -------
    dict
        The new name of each by its old one.

    Raises
    ------
    NoFolder, mainspring.tracking.store.ExperimentTaken
        There is none of that name, or there is one already where it would go.
    mainspring.errors.Refused
        A product logs to one of them, by its name.
    """
    now_ms = int(workspace.clock.now().timestamp() * 1000)
    with workspace.database.write() as tx:
        numbers = {name: number for number, name, _ in tx.experiments.names()}
        names = moved(numbers, source, to)
        products = sorted(names.keys() & workspace.specs(tx).keys())
        if products:
            raise Refused(
                f"The product {products[0]!r} logs to the experiment of its name, which cannot be moved."
            )
        for old, new in names.items():
            rename_experiment(tx, numbers[old], new, now_ms)
    return names


def archive_folder(workspace: Workspace, folder: str) -> dict[str, str]:
    """Move an experiment or a folder into the archive, from which it can be moved back; raises as `move_folder`."""
    folder = folder.strip("/")
    if folder == ARCHIVE or folder.startswith(f"{ARCHIVE}/"):
        raise Invalid(f"{folder!r} is in the archive already. To bring it back, run `mainspring runs move`.")
    return move_folder(workspace, folder, f"{ARCHIVE}/{folder}")
