"""Rows that were set aside: kept as they came, listed with what they failed, and let in when a person says so."""

from __future__ import annotations

__all__ = ["BatchNotFound", "SetAside", "find_batch", "release", "rows_set_aside", "set_aside"]

from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.data import Change
from mainspring.data.validate import FAILED, ROW
from mainspring.digest import Digest
from mainspring.errors import Invalid, NotFound
from mainspring.operate.data.datasets import UnknownDataset, known_datasets
from mainspring.operate.data.publish import SET_ASIDE, Adding, add_batch, answered, release_digest
from mainspring.ref import DataRef

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data import Batch
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class BatchNotFound(NotFound):
    """A batch that was not handed in, or the beginning of the digests of several."""

    def __init__(self, dataset: str, batch: str, found: int) -> None:
        super().__init__(dataset, batch, found)
        self.dataset, self.batch, self.found = dataset, batch, found

    def __str__(self) -> str:
        which = f"{self.found} batches" if self.found else "No batch"
        return (
            f"{which} of dataset {self.dataset!r} {'have' if self.found else 'has'} a digest that begins with "
            f"{self.batch!r}. `mainspring data list {self.dataset} --json` shows them."
        )


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a batch that were set aside.

    Attributes
    ----------
    dataset, batch : str
        Of which batch, by its digest.
    ref : str
        The version that the others of its rows are in.
    at : datetime
    actor : str
    rows : int
    failures : list of dict
        The checks that set them aside.
    released : str or None
        The version that they were let in with.
    """

    dataset: str
    batch: str
    ref: str
    at: datetime
    actor: str
    rows: int
    failures: list[dict[str, Any]]
    released: str | None


def set_aside(workspace: Workspace, dataset: str | None = None) -> list[SetAside]:
    """List the rows that were set aside, oldest first.

    Raises
    ------
    UnknownDataset
    """
    with workspace.database.read() as tx:
        known = known_datasets(workspace, tx)
        if dataset is not None and dataset not in known:
            raise UnknownDataset(dataset, known)
        return [
            _told(tx, batch)
            for name in (known if dataset is None else (dataset,))
            for batch in tx.data.batches(name)
            if batch.report.set_aside
        ]


def rows_set_aside(workspace: Workspace, dataset: str, batch: str) -> pl.DataFrame:
    """Give the rows of a batch that were set aside, with their position in it and the checks that they failed.

    Raises
    ------
    BatchNotFound
    Invalid
        None of its rows was set aside.
    """
    import polars as pl

    with workspace.database.read() as tx:
        found = _with_rows(tx, dataset, batch)
    return pl.read_parquet(BytesIO(workspace.blobs.get(Digest(found.report.set_aside))))


def release(workspace: Workspace, dataset: str, batch: str, *, actor: str, reason: str) -> Batch:
    """Let rows in that were set aside: they become the next version of the branch that their batch was added on.

    They are judged again. What set them aside is now told and no more; a null where none may be, a key that has been
    published meanwhile, and what refuses a batch refuse them. Let in again, they get the same answer.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    batch : str
        The digest of their batch, or the beginning of it.
    actor, reason : str
        Who lets them in, and why.

    Returns
    -------
    Batch
        As of `add_batch`.

    Raises
    ------
    BatchNotFound
    Invalid
        None of its rows was set aside, or there is no reason.
    """
    if not reason.strip():
        raise Invalid("Say why these rows are let in although they fail a check: the ledger keeps it.")
    rows = rows_set_aside(workspace, dataset, batch).drop(ROW, FAILED)
    with workspace.database.read() as tx:
        found = _with_rows(tx, dataset, batch)
        version = tx.data.get(DataRef(dataset, found.version or 0))
    content = BytesIO()
    rows.write_parquet(content)
    adding = Adding(
        change=Change.UPSERT if version.change is Change.UPSERT else Change.APPEND,
        branch=version.branch,
        source=f"{SET_ASIDE} {version.ref}",
        released=found.digest,
    )
    return add_batch(workspace, dataset, content.getvalue(), actor=actor, reason=reason, adding=adding)


def find_batch(tx: Transaction, dataset: str, batch: str) -> Batch:
    """Find a batch by its digest or the beginning of it; raises `BatchNotFound`."""
    found = [each for each in tx.data.batches(dataset) if each.digest.startswith(batch)]
    if len(found) != 1:
        raise BatchNotFound(dataset, batch, len(found))
    return found[0]


def _with_rows(tx: Transaction, dataset: str, batch: str) -> Batch:
    found = find_batch(tx, dataset, batch)
    if not found.report.set_aside:
        raise Invalid(f"No rows of the batch {found.digest[:12]} of dataset {dataset!r} were set aside.")
    return found


def _told(tx: Transaction, batch: Batch) -> SetAside:
    _, answer = answered(tx, batch.dataset, release_digest(batch.digest), None)
    released = answer.version if answer is not None else None
    return SetAside(
        dataset=batch.dataset,
        batch=batch.digest,
        ref=str(DataRef(batch.dataset, batch.version or 0)),
        at=batch.at,
        actor=batch.actor,
        rows=batch.report.quarantined,
        failures=[
            msgspec.to_builtins(each) for each in batch.report.failures if each.severity == "quarantine"
        ],
        released=str(DataRef(batch.dataset, released)) if released else None,
    )
