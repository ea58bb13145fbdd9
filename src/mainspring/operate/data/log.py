"""What people are told of data versions: the history of a dataset, and one version with its columns."""

from __future__ import annotations

__all__ = [
    "ColumnRow",
    "DataVersionRow",
    "ShownVersion",
    "data_log",
    "show_version",
    "type_name",
    "version_row",
]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.data import NameKind
from mainspring.events import EventType
from mainspring.operate.data.datasets import UnknownDataset, find_version, known_datasets
from mainspring.operate.status import DataRow, batch_row
from mainspring.ref import DataRef

if TYPE_CHECKING:
    import polars as pl

    from mainspring.data import DataVersion
    from mainspring.ref import DataAddress
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class DataVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A data version, with the tags that name it; `branch` is where it was published."""

    ref: str
    digest: str
    branch: str
    tags: list[str]
    published_at: datetime
    actor: str
    reason: str
    change: str
    follows: str | None
    rows: int
    rows_added: int
    rows_changed: int
    rows_removed: int
    source: str
    retired_at: datetime | None


class ColumnRow(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a version. `distinct` is estimated; the least and the greatest value are cut at 40 characters."""

    name: str
    type: str
    nulls: int
    distinct: int | None = None
    least: str | None = None
    greatest: str | None = None
    mean: float | None = None


class ShownVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version, the batch that made it where one did, and its columns, none where its rows were given up."""

    version: DataVersionRow
    batch: DataRow | None
    columns: list[ColumnRow]


def data_log(
    workspace: Workspace, dataset: str, *, branch: str | None = None, limit: int = 50
) -> list[DataVersionRow]:
    """Give the versions of a dataset, newest first.

    Parameters
    ----------
    workspace : Workspace
    dataset : str
    branch : str, optional
        Only those that the newest version of this branch follows, and itself.
    limit : int
        How many at most.

    Raises
    ------
    UnknownDataset, mainspring.data.DataNameNotFound
        There is no such dataset or branch.
    """
    from mainspring.operate.data.datasets import head

    with workspace.database.read() as tx:
        versions = tx.data.versions(dataset)
        if not versions and dataset not in known_datasets(workspace, tx):
            raise UnknownDataset(dataset, known_datasets(workspace, tx))
        if branch is not None:
            by_number, line = {each.number: each for each in versions}, []
            at = head(tx, dataset, branch)
            while at is not None:
                line.append(at)
                at = by_number.get(at.parent or 0)
            versions = tuple(reversed(line))
        return [_row(tx, each) for each in versions[: -limit - 1 : -1]]


def version_row(workspace: Workspace, ref: DataRef) -> DataVersionRow:
    """Tell of one version; raises `mainspring.data.DataVersionNotFound`."""
    with workspace.database.read() as tx:
        return _row(tx, tx.data.get(ref))


def show_version(workspace: Workspace, address: DataAddress) -> ShownVersion:
    """Tell all of one version, with statistics of its columns; raises as `find_version` does."""
    with workspace.database.read() as tx:
        version = find_version(tx, address, readable=False)
        row = _row(tx, version)
        batches = tx.data.batches(version.dataset)
        batch = next((batch_row(each) for each in batches if each.version == version.number), None)
    columns = []
    if version.retired_at is None:
        columns = _columns(workspace.tables.scan(version.dataset, version.table_version))
    return ShownVersion(version=row, batch=batch, columns=columns)


def _row(tx: Transaction, version: DataVersion) -> DataVersionRow:
    told = [
        entry
        for entry in tx.ledger.newest(limit=20, subject=str(version.ref))
        if entry.type == EventType.DATA_VERSION_PUBLISHED and entry.subject == str(version.ref)
    ]
    return DataVersionRow(
        ref=str(version.ref),
        digest=version.digest,
        branch=version.branch,
        tags=[
            each.name
            for each in tx.data_names.names(version.dataset)
            if each.kind is NameKind.TAG and each.number == version.number
        ],
        published_at=version.published_at,
        actor=told[-1].actor if told else "",
        reason=told[-1].reason if told else "",
        change=version.change.value,
        follows=str(DataRef(version.dataset, version.parent)) if version.parent else None,
        rows=version.rows,
        rows_added=version.rows_added,
        rows_changed=version.rows_changed,
        rows_removed=version.rows_removed,
        source=version.source,
        retired_at=version.retired_at,
    )


def _columns(rows: pl.LazyFrame) -> list[ColumnRow]:
    import polars as pl

    schema = rows.collect_schema()
    asked: list[pl.Expr] = []
    for place, (name, dtype) in enumerate(schema.items()):
        column = pl.col(name)
        asked.append(column.null_count().alias(f"{place} nulls"))
        if not dtype.is_nested() and dtype != pl.Binary:
            asked += [
                column.approx_n_unique().alias(f"{place} distinct"),
                column.min().cast(pl.String).alias(f"{place} least"),
                column.max().cast(pl.String).alias(f"{place} greatest"),
            ]
        if dtype.is_numeric() or dtype == pl.Boolean:
            asked.append(column.mean().cast(pl.Float64).alias(f"{place} mean"))
    if not asked:
        return []
    found = rows.select(asked).collect().row(0, named=True)

    def short(text: str | None) -> str | None:
        return text if text is None or len(text) <= 40 else text[:39] + "…"

    return [
        ColumnRow(
            name=name,
            type=type_name(dtype),
            nulls=found[f"{place} nulls"],
            distinct=found.get(f"{place} distinct"),
            least=short(found.get(f"{place} least")),
            greatest=short(found.get(f"{place} greatest")),
            mean=found.get(f"{place} mean"),
        )
        for place, (name, dtype) in enumerate(schema.items())
    ]


def type_name(dtype: pl.DataType) -> str:
    """Print a column's type for people."""
    import polars as pl

    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_zone or 'no zone'})"
    return str(dtype)
