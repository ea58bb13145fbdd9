"""What validation found in a batch, for people: every check, and how the values of its version are spread."""

from __future__ import annotations

__all__ = ["Spread", "ValidationReport", "validation_report"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid, NotFound
from mainspring.operate.data.datasets import UnknownDataset, find_version, known_datasets
from mainspring.operate.data.log import type_name
from mainspring.operate.data.quarantine import find_batch
from mainspring.operate.status import DataRow, batch_row
from mainspring.ref import DataAddress, DataRef

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data import Batch
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_BINS = 24
_NAMED = 12


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How the values of a column are spread.

    Attributes
    ----------
    name, type : str
    bins : list of str
        Ranges of numbers or moments, or the most frequent texts, in order.
    now, before : list of float
        The share of rows in each bin, in the version and in the one that it follows; `before` is empty for the first.
    nulls : float
        The share of rows without a value.
    """

    name: str
    type: str
    bins: list[str]
    now: list[float]
    before: list[float]
    nulls: float


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """A batch with all that was asked of it, and the columns of its version, but for those about persons.

    There are none where it made no version.
    """

    batch: DataRow
    columns: list[Spread]


class NoBatch(NotFound):
    """A dataset or version that no batch was handed in for."""

    def __str__(self) -> str:
        (address,) = self.args
        return f"No batch was handed in for {address}. `mainspring data log` shows what made a version."


def validation_report(workspace: Workspace, address: str, *, batch: str | None = None) -> ValidationReport:
    """Tell what validation found.

    Parameters
    ----------
    workspace : Workspace
    address : str
        A data version; or a dataset, for the batch that was handed in last.
    batch : str, optional
        The digest of a batch of the dataset, or the beginning of it.

    Raises
    ------
    UnknownDataset, BatchNotFound, NoBatch, mainspring.data.DataVersionNotFound
        There is none such.
    """
    asked = DataAddress.parse(address)
    with workspace.database.read() as tx:
        found = _find(workspace, tx, asked, batch)
        version = tx.data.get(DataRef(found.dataset, found.version)) if found.version else None
        parent = tx.data.get(DataRef(found.dataset, version.parent)) if version and version.parent else None
        declared = [each for spec in workspace.specs(tx).values() for each in spec.datasets]
    personal = {
        column.name
        for each in declared
        if each.name == found.dataset
        for column in each.columns
        if column.pii
    }
    columns = []
    if version is not None and version.retired_at is None:
        now = workspace.tables.scan(version.dataset, version.table_version)
        before = None
        if parent is not None and parent.retired_at is None:
            before = workspace.tables.scan(parent.dataset, parent.table_version)
        columns = _spreads(now.drop(personal, strict=False), before)
    return ValidationReport(batch=batch_row(found), columns=columns)


def _find(workspace: Workspace, tx: Transaction, asked: DataAddress, batch: str | None) -> Batch:
    if batch is not None:
        if asked.at is not None:
            raise Invalid("Name a version or a batch, not both.")
        return find_batch(tx, asked.dataset, batch)
    batches = tx.data.batches(asked.dataset)
    if asked.at is None:
        if not batches and asked.dataset not in (known := known_datasets(workspace, tx)):
            raise UnknownDataset(asked.dataset, known)
    else:
        number = find_version(tx, asked, readable=False).number
        batches = tuple(each for each in batches if each.version == number)[:1]
    if not batches:
        raise NoBatch(asked)
    return batches[-1]


def _spreads(now: pl.LazyFrame, before: pl.LazyFrame | None) -> list[Spread]:
    """Count column by column, so that no more than one is in memory."""
    import polars as pl

    found = []
    had = before.collect_schema() if before is not None else {}
    for name, dtype in now.collect_schema().items():
        if dtype.is_nested() or dtype == pl.Binary:
            continue
        values = now.select(name).collect(engine="streaming")[name]
        old = None
        if before is not None and had.get(name) == dtype:
            old = before.select(name).collect(engine="streaming")[name]
        found.append(_spread(values, old))
    return found


def _spread(now: pl.Series, before: pl.Series | None) -> Spread:
    import polars as pl

    dtype = now.dtype
    numbers = dtype.is_numeric() or dtype.is_temporal()
    count = _ranges if numbers else _names
    bins, shares = count([each for each in (now, before) if each is not None])
    return Spread(
        name=now.name,
        type=type_name(pl.Datetime("us", dtype.time_zone) if isinstance(dtype, pl.Datetime) else dtype),
        bins=bins,
        now=shares[0],
        before=shares[1] if before is not None else [],
        nulls=now.null_count() / max(1, now.len()),
    )


def _ranges(columns: list[pl.Series]) -> tuple[list[str], list[list[float]]]:
    import numpy as np

    moments = columns[0].dtype.is_temporal()
    numbers = [each.drop_nulls().to_physical().cast(float).to_numpy() for each in columns]
    numbers = [each[np.isfinite(each)] for each in numbers]
    together = np.concatenate(numbers)
    if not together.size:
        return [], [[] for _ in columns]
    low, high = float(together.min()), float(together.max())
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shares = [np.histogram(each, edges)[0] / max(1, each.size) for each in numbers]
    if moments:
        import polars as pl

        ends = [str(each) for each in pl.Series(edges[:-1].astype("int64")).cast(columns[0].dtype)]
    else:
        ends = [f"from {edge:.4g}" for edge in edges[:-1]]
    return ends, [each.tolist() for each in shares]


def _names(columns: list[pl.Series]) -> tuple[list[str], list[list[float]]]:
    import polars as pl

    counted = [each.drop_nulls().cast(pl.String).alias("value").value_counts() for each in columns]
    most = counted[0].sort(["count", "value"], descending=[True, False]).head(_NAMED)["value"].to_list()
    shares = []
    for counts in counted:
        of = dict(counts.iter_rows())
        total = sum(of.values())
        shares.append([of.get(value, 0) / max(1, total) for value in most])
    return most, shares
