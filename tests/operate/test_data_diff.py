"""Differences between versions, and versions as files: both say what the rows say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.products.tiny.orders import parquet

from mainspring.data import Change
from mainspring.errors import Invalid
from mainspring.operate.data.checkout import check_out
from mainspring.operate.data.diff import _by_key, _by_rows, diff_versions
from mainspring.operate.data.log import data_log, show_version
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.ref import DataAddress
from mainspring.stores.table_files import apart
from mainspring.workspace import Workspace


def add(
    workspace: Workspace, change: Change = Change.APPEND, key: tuple[str, ...] = ("id",), **columns: Any
) -> None:
    adding = Adding(new=True, key=key, change=change)
    batch = add_batch(workspace, "wx", parquet(pl.DataFrame(columns)), actor="ana", adding=adding)
    assert batch.version is not None


def diff(workspace: Workspace, now: str, before: str | None = None, **how: Any) -> Any:
    return diff_versions(
        workspace, DataAddress.parse(now), DataAddress.parse(before) if before else None, **how
    )


def test_rows_are_told_apart_by_their_key(empty: Workspace) -> None:
    add(empty, id=[1, 2, 3], x=[1.0, None, 3.0], y=["a", "b", "c"])
    add(empty, Change.REPLACE, id=[2, 3, 4, 5], x=[2.0, 3.0, 4.0, 5.0], y=["b", "z", "d", "e"])
    found = diff(empty, "wx")
    assert (found.before, found.now) == ("wx@v1", "wx@v2")
    assert (found.rows_added, found.rows_changed, found.rows_removed) == (2, 2, 1)
    assert (found.added, found.changed, found.removed) == (["4", "5"], ["2", "3"], ["1"])
    assert {each.name: each.rows_changed for each in found.columns} == {"x": 1, "y": 1}
    back = diff(empty, "wx@v1", "wx@v2")
    assert (back.rows_added, back.rows_changed, back.rows_removed) == (1, 2, 2)


def test_columns_that_came_went_or_have_another_type_are_told(empty: Workspace) -> None:
    add(empty, id=[1], x=[1], y=["a"])
    add(empty, Change.REPLACE, id=[1], x=[1.5], z=[True])
    columns = {each.name: (each.before, each.now) for each in diff(empty, "wx").columns}
    assert columns == {"x": ("Int64", "Float64"), "y": ("String", None), "z": (None, "Boolean")}


def test_without_a_key_rows_are_counted(empty: Workspace) -> None:
    add(empty, key=(), id=[1, 1, 2], x=[None, None, 2])
    add(empty, Change.REPLACE, (), id=[1, 2, 2, 3], x=[None, 2, 2, 3])
    found = diff(empty, "wx")
    assert (found.rows_added, found.rows_changed, found.rows_removed) == (2, 0, 1)


def test_files_of_both_versions_are_not_read(empty: Workspace) -> None:
    add(empty, id=list(range(100)), x=[0] * 100)
    add(empty, id=[100, 101], x=[0, 0])
    gone, come = apart(empty.tables, "wx", 0, 1)
    assert (gone.collect().height, come.collect().height) == (0, 2)
    assert diff(empty, "wx").rows_added == 2
    same = diff(empty, "wx", "wx@v2")
    assert (same.rows_added, same.rows_changed, same.rows_removed) == (0, 0, 0)


def test_the_shift_of_each_column_is_told_where_it_is_asked_for(empty: Workspace) -> None:
    add(empty, id=list(range(500)), x=[float(i % 10) for i in range(500)])
    add(empty, Change.REPLACE, id=list(range(500)), x=[float(i % 10) + 5 for i in range(500)])
    assert diff(empty, "wx").shift is None
    (shift,) = [each for each in diff(empty, "wx", shift=True).shift.columns if each.column == "x"]
    assert shift.effects["kolmogorov_smirnov"][0] == pytest.approx(0.5)


def test_what_cannot_be_compared_is_told(empty: Workspace) -> None:
    add(empty, id=[1], x=[1])
    with pytest.raises(Invalid, match="follows no version"):
        diff(empty, "wx")


def test_a_version_is_shown_with_its_columns_and_its_history(empty: Workspace) -> None:
    add(empty, id=[1, 2, 3], x=[1.0, None, 3.0])
    add(empty, id=[4], x=[9.0])
    shown = show_version(empty, DataAddress.parse("wx@v1"))
    x = next(each for each in shown.columns if each.name == "x")
    assert (x.nulls, x.distinct, x.least, x.greatest, x.mean) == (1, 3, "1.0", "3.0", 2.0)
    assert (shown.version.ref, shown.version.follows, shown.batch and shown.batch.rows) == ("wx@v1", None, 3)
    assert [(row.ref, row.rows_added, row.actor) for row in data_log(empty, "wx")] == [
        ("wx@v2", 1, "ana"),
        ("wx@v1", 3, "ana"),
    ]


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "ndjson"])
def test_a_version_comes_back_as_a_file(empty: Workspace, tmp_path: Path, form: str) -> None:
    add(empty, id=[2, 1], x=["b", None])
    add(empty, id=[3], x=["c"])
    file = tmp_path / f"rows.{form}"
    check_out(empty, DataAddress.parse("wx@v1"), file)
    read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv, "ndjson": pl.read_ndjson}[
        form
    ]
    assert read(file).rows() == [(1, None), (2, "b")]
    with pytest.raises(Invalid, match="says no form"):
        check_out(empty, DataAddress("wx"), tmp_path / "rows.xls")


CELLS = st.none() | st.integers(0, 2)


@given(before=st.dictionaries(st.integers(0, 6), CELLS), now=st.dictionaries(st.integers(0, 6), CELLS))
def test_a_difference_by_key_is_that_of_dictionaries(
    before: dict[int, int | None], now: dict[int, int | None]
) -> None:
    schema = {"id": pl.Int64, "x": pl.Int64}
    sides = [
        pl.DataFrame({"id": list(each), "x": list(each.values())}, schema=schema) for each in (before, now)
    ]
    added, removed, changed, counts = _by_key(sides[0], sides[1], ["id"])
    assert set(added["id"]) == now.keys() - before.keys()
    assert set(removed["id"]) == before.keys() - now.keys()
    assert set(changed["id"]) == {key for key in before.keys() & now.keys() if before[key] != now[key]}
    assert counts["x"] == changed.height


@given(before=st.lists(st.tuples(CELLS, CELLS)), now=st.lists(st.tuples(CELLS, CELLS)))
def test_a_difference_without_a_key_is_that_of_bags(
    before: list[tuple[int | None, int | None]], now: list[tuple[int | None, int | None]]
) -> None:
    from collections import Counter

    schema = {"x": pl.Int64, "y": pl.Int64}
    sides = [pl.DataFrame(each, schema=schema, orient="row") for each in (before, now)]
    added, removed, _, _ = _by_rows(sides[0], sides[1])
    assert {row[:2]: row[2] for row in added.rows()} == dict(Counter(now) - Counter(before))
    assert {row[:2]: row[2] for row in removed.rows()} == dict(Counter(before) - Counter(now))
