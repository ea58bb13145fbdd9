"""Folders of experiments: what stands before a `/` in their names."""

from __future__ import annotations

__all__ = ["ARCHIVE", "Listing", "NoFolder", "listing", "moved"]

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mainspring.errors import Invalid, NotFound

ARCHIVE = "archive"
"""The folder of what nobody works on any more; it is listed last."""


class NoFolder(NotFound):
    """A folder in which no experiment is, and which is none itself."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"No experiment is called {self.folder!r} or lies in a folder of that name. To see the folders, run "
            "`mainspring runs folders`."
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder.

    Attributes
    ----------
    folders : mapping
        The path of each folder in it, with how many experiments are in that and below.
    experiments : tuple of str
        Names of the experiments that lie in it and in no folder below.
    """

    folders: Mapping[str, int]
    experiments: tuple[str, ...]


def listing(names: Iterable[str], folder: str = "") -> Listing:
    """List a folder; the empty one holds all.

    Examples
    --------
    >>> found = listing(["a", "team/b", "team/deep/c", "archive/d"])
    >>> dict(found.folders), found.experiments
    ({'team': 2, 'archive': 1}, ('a',))
    >>> listing(["team/b", "team/deep/c"], "team").experiments
    ('team/b',)
    """
    folders: dict[str, int] = {}
    here = []
    start = f"{folder}/" if folder else ""
    for name in names:
        if name.startswith(start) and name != start:
            head, slash, rest = name[len(start) :].partition("/")
            if slash and head and rest:
                folders[start + head] = folders.get(start + head, 0) + 1
            else:
                here.append(name)
    ordered = sorted(folders, key=lambda path: (path == ARCHIVE, path))
    return Listing({path: folders[path] for path in ordered}, tuple(here))


def moved(names: Collection[str], source: str, to: str) -> dict[str, str]:
    """Give the new name of each experiment that is moved: that of this name, and those in the folder.

    Raises
    ------
    NoFolder
        There is none.
    mainspring.errors.Invalid
        It would lie in itself, or under no name.

    Examples
    --------
    >>> moved(["team/a", "team/deep/b", "teams/c"], "team", "archive/team")
    {'team/a': 'archive/team/a', 'team/deep/b': 'archive/team/deep/b'}
    """
    source, to = source.rstrip("/"), to.rstrip("/")
    found = [name for name in names if name == source or name.startswith(f"{source}/")] if source else []
    if not found:
        raise NoFolder(source)
    if not to or to == source or to.startswith(f"{source}/"):
        raise Invalid(f"{source!r} cannot be moved to {to!r}: name another place, outside of it.")
    return {name: to + name[len(source) :] for name in found}
