"""What two versions of a dataset differ in: columns, rows, and how the values of each column are distributed."""

from __future__ import annotations

__all__ = ["ChangedColumn", "DataDiff", "diff_versions"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid
from mainspring.operate.data.datasets import dataset_key, find_version, plain_dataset
from mainspring.operate.data.folders import MANIFEST_KEY
from mainspring.operate.data.log import type_name
from mainspring.operate.profiling import ProfileRow, profile_data
from mainspring.ref import DataAddress, DataRef
from mainspring.stores.table_files import apart

if TYPE_CHECKING:
    import polars as pl

    from mainspring.workspace import Workspace

_EXAMPLES = 10
_COUNT = "\0rows"


class ChangedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of either version: its type in each, None where it is not there, and in how many rows it has changed."""

    name: str
    before: str | None
    now: str | None
    rows_changed: int = 0


class DataDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What a version has that another has not, and the other way round.

    Attributes
    ----------
    before, now : str
        The versions.
    key : list of str
        The columns that tell which rows are the same; without them a row that has changed is one removed and one added.
    rows_before, rows_now, rows_added, rows_changed, rows_removed : int
    columns : list of ChangedColumn
        Those that are new, gone, of another type, or changed in some row.
    added, changed, removed : list of str
        Keys of some of these rows, as texts.
    shift : ProfileRow or None
        How far the distributions are apart, where that was asked for.
    """

    before: str
    now: str
    key: list[str]
    rows_before: int
    rows_now: int
    rows_added: int
    rows_changed: int
    rows_removed: int
    columns: list[ChangedColumn]
    added: list[str]
    changed: list[str]
    removed: list[str]
    shift: ProfileRow | None


def diff_versions(
    workspace: Workspace, now: DataAddress, before: DataAddress | None = None, *, shift: bool = False
) -> DataDiff:
    """Compare a version with another, by default with the one that it follows.

    Files that both versions are made of are not read, so that it costs what the change did.

    Parameters
    ----------
    workspace : Workspace
    now, before : DataAddress
        Of one dataset.
    shift : bool
        Whether the distributions of all rows are compared, too; for that they are read.

    Raises
    ------
    mainspring.data.DataVersionNotFound, mainspring.data.DataNameNotFound, VersionRetired
        A version cannot be read.
    Invalid
        There is nothing to compare with.
    """
    with workspace.database.read() as tx:
        newer = find_version(tx, now)
        if before is None and newer.parent is None:
            raise Invalid(f"{newer.ref} follows no version: name two to compare.")
        older = find_version(tx, before or DataAddress(newer.dataset, newer.parent))
        plain = plain_dataset(tx, newer.dataset)
        key = [*(dataset_key(workspace, tx, newer.dataset))]
    if older.dataset != newer.dataset:
        raise Invalid(f"{older.ref} and {newer.ref} are of two datasets: name two versions of one.")
    gone, come = (
        each.collect()
        for each in apart(workspace.tables, newer.dataset, older.table_version, newer.table_version)
    )
    if any(gone.schema.get(each) is None or gone.schema.get(each) != come.schema.get(each) for each in key):
        key = []
    added, removed, changed, columns = _by_key(gone, come, key) if key else _by_rows(gone, come)
    retyped = [
        ChangedColumn(
            name=name, before=_type(gone, name), now=_type(come, name), rows_changed=columns.get(name, 0)
        )
        for name in {**gone.schema, **come.schema}
        if gone.schema.get(name) != come.schema.get(name) or columns.get(name)
    ]
    files = plain is not None and plain.key == MANIFEST_KEY
    return DataDiff(
        before=str(older.ref),
        now=str(newer.ref),
        key=key,
        rows_before=older.rows,
        rows_now=newer.rows,
        rows_added=_total(added),
        rows_changed=_total(changed),
        rows_removed=_total(removed),
        columns=retyped,
        added=_keys(added, key),
        changed=_keys(changed, key),
        removed=_keys(removed, key),
        shift=_shift(workspace, older.ref, newer.ref) if shift and not files else None,
    )


def _by_key(
    gone: pl.DataFrame, come: pl.DataFrame, key: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Give the rows that came, went and changed, and in how many of these each column did."""
    import polars as pl

    added, removed = come.join(gone, on=key, how="anti"), gone.join(come, on=key, how="anti")
    both = [name for name in come.columns if name in gone.columns and name not in key]
    same_type = [name for name in both if come.schema[name] == gone.schema[name]]
    pairs = come.join(gone.select(*key, *(pl.col(name).alias(f"\0{name}") for name in same_type)), on=key)
    differ = pairs.select(
        *key, *(pl.col(name).ne_missing(pl.col(f"\0{name}")).alias(f"\1{name}") for name in same_type)
    )
    marks = [f"\1{name}" for name in same_type]
    other = gone.schema != come.schema
    changed = differ if other else differ.filter(pl.any_horizontal(marks)) if marks else differ.clear()
    counts = {name: int(differ[f"\1{name}"].sum()) for name in same_type}
    return added, removed, changed.select(key), counts


def _by_rows(
    gone: pl.DataFrame, come: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Give the rows that came and went where nothing names a row: each as often as it stands on one side alone."""
    import polars as pl

    if gone.schema != come.schema:
        return come, gone, come.clear(), {}
    sides = [each.group_by(each.columns).len(_COUNT) for each in (gone, come)]

    def more(side: pl.DataFrame, than: pl.DataFrame) -> pl.DataFrame:
        paired = side.join(than, on=come.columns, how="left", nulls_equal=True, suffix=" there")
        left = (pl.col(_COUNT).cast(pl.Int64) - pl.col(f"{_COUNT} there").fill_null(0)).alias(_COUNT)
        return paired.with_columns(left).filter(pl.col(_COUNT) > 0).drop(f"{_COUNT} there")

    return more(sides[1], sides[0]), more(sides[0], sides[1]), come.clear(), {}


def _total(rows: pl.DataFrame) -> int:
    return int(rows[_COUNT].sum()) if _COUNT in rows.columns else rows.height


def _keys(rows: pl.DataFrame, key: list[str]) -> list[str]:
    if not key:
        return []
    some = rows.select(key).sort(key).head(_EXAMPLES)
    return [", ".join(map(str, row)) for row in some.iter_rows()]


def _type(rows: pl.DataFrame, name: str) -> str | None:
    return type_name(rows.schema[name]) if name in rows.columns else None


def _shift(workspace: Workspace, before: DataRef, now: DataRef) -> ProfileRow:
    return profile_data(workspace, DataAddress.parse(str(now)), against=DataAddress.parse(str(before)))[0]
