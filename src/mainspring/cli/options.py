"""What commands have in common: where the workspace is, how to print, who asks."""

from __future__ import annotations

__all__ = ["HERE", "Options", "actor", "declared", "opened"]

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from mainspring.workspace import Workspace


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Options:
    """Options of every command that works on a workspace."""

    root: Annotated[
        Path | None,
        Parameter(help="Folder of the workspace; by default the nearest one upward with product files."),
    ] = None
    json: Annotated[bool, Parameter(negative="", help="Print JSON, for programs.")] = False

    @property
    def folder(self) -> Path:
        """The workspace's folder: the one that was named, or the nearest upward that looks like one."""
        here = Path.cwd()
        return self.root or next((each for each in (here, *here.parents) if _is_root(each)), here)


HERE = Options()


def _is_root(folder: Path) -> bool:
    names = ("product.py", "mainspring.toml")
    return any((folder / name).is_file() for name in names) or any((folder / "products").glob("[!_]*.py"))


@contextmanager
def opened(options: Options) -> Iterator[Workspace]:
    """Open the workspace for the length of a block."""
    from mainspring.workspace import open_workspace

    with open_workspace(options.folder) as workspace:
        yield workspace


@contextmanager
def declared(options: Options) -> Iterator[Workspace]:
    """Open the workspace with its product files read anew."""
    from mainspring.operate.declare import declare

    with opened(options) as workspace:
        declare(workspace, actor=actor())
        yield workspace


def actor() -> str:
    """The login name, under which acts stand in the ledger."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a process without a name, as in a container
        return "unknown"
