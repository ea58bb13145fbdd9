"""Which datasets there are, and which version of one is meant by what people write."""

from __future__ import annotations

__all__ = [
    "UnknownDataset",
    "VersionRetired",
    "dataset_key",
    "find_version",
    "head",
    "known_datasets",
    "name_not_found",
    "plain_dataset",
    "record_plain",
]

from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import time_text
from mainspring.data import MAIN, DataNameNotFound, DataVersionNotFound, NameKind
from mainspring.data.plain import PlainDataset
from mainspring.errors import NotFound, Refused
from mainspring.ref import DataRef

if TYPE_CHECKING:
    from mainspring.data import DataVersion
    from mainspring.ref import DataAddress
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_PLAIN = "dataset:"


class UnknownDataset(NotFound):
    """A dataset that no product reads, and that was not begun without one."""

    def __init__(self, dataset: str, known: tuple[str, ...]) -> None:
        super().__init__(dataset, known)
        self.dataset, self.known = dataset, known

    def __str__(self) -> str:
        return (
            f"No product reads a dataset named {self.dataset!r}. There are: {', '.join(self.known) or 'none'}. "
            f"To begin one without a product, run `mainspring data add {self.dataset} SOURCE --new`."
        )


class VersionRetired(Refused):
    """A data version whose rows were given up."""

    def __init__(self, ref: DataRef, at: str) -> None:
        super().__init__(ref, at)
        self.ref, self.at = ref, at

    def __str__(self) -> str:
        return (
            f"The rows of {self.ref} were given up at {self.at} by `mainspring data gc`, since nothing referred to it. "
            f"`mainspring data log {self.ref.dataset}` shows the versions that can be read."
        )


def known_datasets(workspace: Workspace, tx: Transaction) -> tuple[str, ...]:
    """Give the names of all datasets that data can be added to, in order."""
    declared = {each.name for spec in workspace.specs(tx).values() for each in spec.datasets}
    return tuple(sorted(declared | {key.removeprefix(_PLAIN) for key in tx.values.items(_PLAIN)}))


def plain_dataset(tx: Transaction, name: str) -> PlainDataset | None:
    """Give a dataset that was begun without a product."""
    text = tx.values.get(_PLAIN + name)
    return msgspec.json.decode(text, type=PlainDataset) if text else None


def record_plain(tx: Transaction, dataset: PlainDataset) -> None:
    """Record a dataset without a product."""
    tx.values.put(_PLAIN + dataset.name, msgspec.json.encode(dataset).decode())


def dataset_key(workspace: Workspace, tx: Transaction, name: str) -> tuple[str, ...]:
    """Give the columns that name a row of a dataset; none where nothing does."""
    for spec in workspace.specs(tx).values():
        for each in spec.datasets:
            if each.name == name:
                return each.key
    plain = plain_dataset(tx, name)
    return plain.key if plain else ()


def head(tx: Transaction, dataset: str, branch: str) -> DataVersion | None:
    """Give the version that the next one on a branch follows, None before the first.

    Raises
    ------
    DataNameNotFound
        The dataset has no such branch.
    """
    newest = tx.data.newest(dataset, branch)
    if newest is not None or branch == MAIN:
        return newest
    name = tx.data_names.find(dataset, branch)
    if name is None or name.kind is not NameKind.BRANCH:
        raise name_not_found(tx, dataset, branch)
    return tx.data.get(DataRef(dataset, name.number))


def find_version(tx: Transaction, address: DataAddress, *, readable: bool = True) -> DataVersion:
    """Find the version that is meant by what people write.

    Parameters
    ----------
    tx : Transaction
    address : DataAddress
        A day or a moment means the version of the branch `main` in force at its end; no version at all, the newest
        on `main`.
    readable : bool
        Whether its rows are wanted.

    Raises
    ------
    DataVersionNotFound, DataNameNotFound
        There is none such.
    VersionRetired
        Its rows are wanted, and were given up.
    """
    version = _find(tx, address)
    if readable and version.retired_at is not None:
        raise VersionRetired(version.ref, time_text(version.retired_at))
    return version


def _find(tx: Transaction, address: DataAddress) -> DataVersion:
    dataset, at = address.dataset, address.at
    if isinstance(at, int):
        return tx.data.get(DataRef(dataset, at))
    newest = tx.data.newest(dataset)
    if newest is None and tx.data.newest(dataset, None) is None:
        raise DataVersionNotFound(dataset, None, None)
    if at is None and newest is not None:
        return newest
    if (until := address.until) is not None:
        for version in reversed(tx.data.versions(dataset)):
            if version.branch == MAIN and version.published_at <= until:
                return version
        raise _NoneYet(address)
    if isinstance(at, str) and at.startswith("sha256:"):
        given = at.removeprefix("sha256:")
        found = [each for each in tx.data.versions(dataset) if each.digest.startswith(given)]
        if (
            len({each.digest for each in found}) != 1
        ):  # a branch that was taken over has one digest there and on main
            raise _NotOne(address, tuple(str(each.ref) for each in found))
        return found[0]
    name = tx.data_names.find(dataset, str(at))
    if name is not None and name.kind is NameKind.TAG:
        return tx.data.get(DataRef(dataset, name.number))
    version_of_branch = head(tx, dataset, str(at))
    if version_of_branch is None:
        raise DataVersionNotFound(dataset, None, None)
    return version_of_branch


class _NoneYet(NotFound):
    """A moment before the first version."""

    def __str__(self) -> str:
        (address,) = self.args
        return (
            f"Dataset {address.dataset!r} had no version at {address.at}. "
            f"`mainspring data log {address.dataset}` shows when each was published."
        )


class _NotOne(NotFound):
    """A digest that is that of no version, or the beginning of several."""

    def __str__(self) -> str:
        address, found = self.args
        which = (
            f"{' and '.join(found)} have digests that begin so" if found else "no version has such a digest"
        )
        return f"{address} names no version: {which}. `mainspring data log {address.dataset}` shows them."


def name_not_found(tx: Transaction, dataset: str, name: str) -> DataNameNotFound:
    """Give the error about a name that a dataset does not have, with those that it has."""
    return DataNameNotFound(dataset, name, (MAIN, *(each.name for each in tx.data_names.names(dataset))))
