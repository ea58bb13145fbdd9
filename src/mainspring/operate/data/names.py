"""Naming data versions: tags that stay, branches that are added to apart from `main`, and taking a branch over."""

from __future__ import annotations

__all__ = ["MainHasMoved", "NameInUse", "begin_branch", "merge_branch", "tag_version", "unname"]

from typing import TYPE_CHECKING

from mainspring.data import MAIN, Change, DataName, DataVersion, DataVersionNotFound, NameKind
from mainspring.errors import Conflict, Invalid, Taken
from mainspring.events import Event, EventType
from mainspring.operate.data.datasets import find_version, head, name_not_found
from mainspring.operate.data.publish import one_at_a_time, renew_snapshots
from mainspring.ref import DataAddress, DataRef, check_data_name

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_DOES = {NameKind.TAG: "names", NameKind.BRANCH: "begins at"}


class NameInUse(Taken):
    """A name that the dataset has already."""

    def __init__(self, name: DataName) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        ref = DataRef(self.name.dataset, self.name.number)
        if self.name.kind is NameKind.TAG:
            return f"The tag {self.name.name!r} names {ref} already. To move it, add `--move`."
        return (
            f"{self.name.name!r} is a branch of dataset {self.name.dataset!r} already: choose another name."
        )


class MainHasMoved(Conflict):
    """A branch that cannot be taken over, since `main` has versions that it does not follow."""

    def __init__(self, branch: DataVersion, began: DataRef, main: DataRef) -> None:
        super().__init__(branch, began, main)
        self.branch, self.began, self.main = branch, began, main

    def __str__(self) -> str:
        return (
            f"The branch {self.branch.branch!r} began at {self.began}, and main has moved on to {self.main}. Begin a "
            f"branch there with `mainspring data branch {self.main} NAME`, and add to it what this one has."
        )


def tag_version(
    workspace: Workspace, address: DataAddress, name: str, *, actor: str, reason: str = "", move: bool = False
) -> DataName:
    """Name a version, for as long as nobody moves or drops the name; garbage collection keeps what has one.

    Parameters
    ----------
    workspace : Workspace
    address : DataAddress
        Of the version.
    name : str
    actor, reason : str
        Who names it, and why.
    move : bool
        Whether a tag that is there may be moved.

    Raises
    ------
    NameInUse
        The name is that of another version, or of a branch.
    """
    check_data_name(name)
    with workspace.database.write() as tx:
        version = find_version(tx, address)
        known = _known(tx, address.dataset, name)
        if known is not None and known.number == version.number and known.kind is NameKind.TAG:
            return known
        if known is not None and not (move and known.kind is NameKind.TAG):
            raise NameInUse(known)
        return _put(workspace, tx, version, name, NameKind.TAG, actor, reason, known)


def begin_branch(
    workspace: Workspace, address: DataAddress, name: str, *, actor: str, reason: str = ""
) -> DataName:
    """Begin a branch at a version: what is added on it, no product reads; raises `NameInUse`."""
    check_data_name(name)
    with workspace.database.write() as tx:
        version = find_version(tx, address)
        known = _known(tx, address.dataset, name)
        if known is not None:
            raise NameInUse(known)
        if tx.data.newest(address.dataset, name) is not None:
            raise Conflict(f"There was a branch {name!r} of {address.dataset!r} before: choose another name.")
        return _put(workspace, tx, version, name, NameKind.BRANCH, actor, reason, None)


def unname(workspace: Workspace, dataset: str, name: str, *, actor: str, reason: str = "") -> DataName:
    """Drop a tag or a branch; the versions stay until garbage collection gives them up.

    Raises
    ------
    mainspring.data.DataNameNotFound
        There is none such.
    """
    with workspace.database.write() as tx:
        known = tx.data_names.find(dataset, name)
        if known is None:
            raise name_not_found(tx, dataset, name)
        tx.data_names.drop(dataset, name)
        tx.ledger.append(
            Event(
                type=EventType.DATA_NAME_DROPPED,
                subject=f"{dataset}@{name}",
                at=workspace.clock.now(),
                actor=actor,
                reason=reason or f"the {known.kind.value} is not needed any more",
                data={"kind": known.kind.value, "version": str(DataRef(dataset, known.number))},
            )
        )
        return known


def merge_branch(
    workspace: Workspace, dataset: str, branch: str, *, actor: str, reason: str = ""
) -> DataVersion:
    """Make what a branch has the next version on `main`; no row is written anew.

    Parameters
    ----------
    workspace : Workspace
    dataset, branch : str
    actor, reason : str
        Who takes it over, and why.

    Returns
    -------
    DataVersion
        The newest on `main`: where the branch has nothing of its own, or was taken over, that of before.

    Raises
    ------
    MainHasMoved
        `main` has versions that the branch does not follow.
    mainspring.data.DataNameNotFound
        There is no such branch.
    """
    if branch == MAIN:
        raise Invalid("main is what a branch is merged into: name another branch.")
    with one_at_a_time(workspace), workspace.database.write() as tx:
        ahead, main = head(tx, dataset, branch), tx.data.newest(dataset)
        if ahead is None or main is None:
            raise DataVersionNotFound(dataset, None, None)
        line = [ahead]
        while line[-1].branch != MAIN and line[-1].digest != main.digest and line[-1].parent is not None:
            line.append(tx.data.get(DataRef(dataset, line[-1].parent)))
        began = line.pop()
        if not line:
            return main
        if began.digest != main.digest:
            raise MainHasMoved(ahead, began.ref, main.ref)
        newest = tx.data.newest(dataset, None)
        version = DataVersion(
            dataset=dataset,
            number=(newest or main).number + 1,
            digest=ahead.digest,
            rows=ahead.rows,
            rows_added=sum(each.rows_added for each in line),
            published_at=workspace.clock.now(),
            table_version=ahead.table_version,
            parent=main.number,
            change=Change.MERGE,
            rows_changed=sum(each.rows_changed for each in line),
            rows_removed=sum(each.rows_removed for each in line),
            source=str(ahead.ref),
        )
        tx.data.add(version)
        tx.ledger.append(
            Event(
                type=EventType.DATA_VERSION_PUBLISHED,
                subject=str(version.ref),
                at=version.published_at,
                actor=actor,
                reason=reason or f"the branch {branch} was taken over",
                data={
                    "digest": version.digest,
                    "rows": version.rows,
                    "rows_added": version.rows_added,
                    "change": version.change.value,
                    "merged": str(ahead.ref),
                },
            )
        )
        specs = list(workspace.specs(tx).values())
    renew_snapshots(workspace, specs)
    return version


def _known(tx: Transaction, dataset: str, name: str) -> DataName | None:
    if name == MAIN:
        raise Invalid("main is the branch that products read: choose another name.")
    return tx.data_names.find(dataset, name)


def _put(
    workspace: Workspace,
    tx: Transaction,
    version: DataVersion,
    name: str,
    kind: NameKind,
    actor: str,
    reason: str,
    before: DataName | None,
) -> DataName:
    now = workspace.clock.now()
    named = DataName(
        dataset=version.dataset, name=name, kind=kind, number=version.number, at=now, actor=actor
    )
    tx.data_names.put(named)
    moved = {"moved_from": str(DataRef(before.dataset, before.number))} if before else {}
    tx.ledger.append(
        Event(
            type=EventType.DATA_NAMED,
            subject=f"{version.dataset}@{name}",
            at=now,
            actor=actor,
            reason=reason or f"the {kind.value} {name} {_DOES[kind]} {version.ref}",
            data={"kind": kind.value, "version": str(version.ref), "digest": version.digest, **moved},
        )
    )
    return named
