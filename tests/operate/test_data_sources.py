"""Rows of a database and Delta tables by reference: judged as files are, and never written."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import Change, DataVersion
from mainspring.errors import Invalid
from mainspring.operate.data.datasets import find_version
from mainspring.operate.data.give_up import collect_data, compact_data
from mainspring.operate.data.publish import Adding, CannotAdd, add_batch
from mainspring.operate.data.query import QueryFailed
from mainspring.operate.data.sources import add_source
from mainspring.ref import DataAddress
from mainspring.stores.tables import DeltaTables, FilesGone, TableByReference
from mainspring.workspace import Workspace

NEW = Adding(new=True, key=("id",))


def newest(workspace: Workspace, name: str = "wx") -> DataVersion:
    with workspace.database.read() as tx:
        return find_version(tx, DataAddress(name))


def rows(workspace: Workspace, version: DataVersion) -> list[tuple[object, ...]]:
    return sorted(workspace.tables.read(version.dataset, version.table_version).rows())


@pytest.fixture
def shop(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE goods (id INTEGER, name TEXT, price REAL)")
        database.executemany("INSERT INTO goods VALUES (?, ?, ?)", [(1, "a", None), (2, "b", 2.5)])
    database.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_rows_of_a_database_are_added_and_come_again_as_an_upsert(
    empty: Workspace, shop: str, tmp_path: Path
) -> None:
    query = "SELECT * FROM goods"
    assert add_source(empty, "wx", shop, actor="ana", query=query, adding=NEW).version == 1
    assert rows(empty, newest(empty)) == [(1, "a", None), (2, "b", 2.5)]
    assert add_source(empty, "wx", shop, actor="ana", query=query).version == 1
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE goods SET price = 1.5 WHERE id = 1")
    database.close()
    add_source(empty, "wx", shop, actor="ana", query=query, change=Change.UPSERT)
    assert (newest(empty).number, newest(empty).rows_changed) == (2, 1)
    assert newest(empty).source == f"{shop} {query}"


@pytest.mark.parametrize(
    ("url", "query", "told"),
    [
        ("{shop}", "SELECT * FROM nowhere", "no such table"),
        ("{shop}", "", "--query"),
        ("{shop}", "DELETE FROM goods", "gives no table"),
        ("{shop}", "SELECT id, name AS id FROM goods", "several columns are named id"),
        ("{shop}/nowhere/at/all.db", "SELECT 1", "unable to open"),
        ("nosql://host/x", "SELECT 1", "driver"),
        ("postgresql://me:secret@127.0.0.1:1/x", "SELECT 1", "postgresql://me:***@127.0.0.1:1/x"),
    ],
)
def test_a_database_that_gives_no_table_is_told_without_its_password(
    empty: Workspace, shop: str, url: str, query: str, told: str
) -> None:
    before = head(empty)
    with pytest.raises(QueryFailed) as refused:
        add_source(empty, "wx", url.format(shop=shop), actor="ana", query=query, adding=NEW)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)
    assert head(empty) == before


def test_what_a_query_writes_is_not_committed(empty: Workspace, shop: str, tmp_path: Path) -> None:
    query = "DELETE FROM goods RETURNING id"
    add_source(empty, "wx", shop, actor="ana", query=query, adding=NEW)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        assert database.execute("SELECT count(*) FROM goods").fetchone() == (2,)
    database.close()


@pytest.mark.server("postgresql")
def test_rows_of_postgresql_keep_their_moments(empty: Workspace, postgresql_url: str) -> None:
    query = (
        "SELECT 1::bigint AS id, TIMESTAMPTZ '2024-01-01 12:00+02' AS at, 1.5::numeric AS price, 'x' AS name"
    )
    assert add_source(empty, "wx", postgresql_url, actor="ana", query=query, adding=NEW).version == 1
    ((_, at, price, name),) = rows(empty, newest(empty))
    assert (at, float(str(price)), name) == (datetime(2024, 1, 1, 10, tzinfo=UTC), 1.5, "x")


@pytest.fixture
def lake(tmp_path: Path) -> DeltaTables:
    """A table that somebody else writes."""
    tables = DeltaTables(tmp_path / "lake")
    tables.append("trips", pl.DataFrame({"id": [1, 2], "x": ["a", "b"]}), commit_id=None)
    return tables


def test_a_delta_table_is_referred_to_and_versions_stay_what_they_were(
    empty: Workspace, lake: DeltaTables
) -> None:
    folder = lake.folder("trips")
    assert add_source(empty, "wx", str(folder), actor="ana", adding=NEW).version == 1
    first = newest(empty)
    lake.append("trips", pl.DataFrame({"id": [3], "x": ["c"]}), commit_id=None)
    assert rows(empty, newest(empty)) == [(1, "a"), (2, "b")]
    before = head(empty)
    assert add_source(empty, "wx", str(folder), actor="ana").version == 2
    assert head(empty) != before
    assert (newest(empty).rows, newest(empty).rows_added) == (3, 1)
    assert add_source(empty, "wx", str(folder), actor="ana").version == 2
    assert rows(empty, first) == [(1, "a"), (2, "b")]
    assert empty.tables.folder("wx").is_symlink()


def test_a_table_by_reference_is_never_written(empty: Workspace, lake: DeltaTables) -> None:
    folder = lake.folder("trips")
    add_source(empty, "wx", str(folder), actor="ana", adding=NEW)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for act in (
        lambda: empty.tables.append("wx", pl.DataFrame({"id": [9], "x": ["z"]}), commit_id=None),
        lambda: empty.tables.restore("wx", None),
        lambda: empty.tables.compact("wx"),
    ):
        with pytest.raises(TableByReference, match="never writes it"):
            act()
    with pytest.raises(CannotAdd, match="of the kind reference"):
        add_batch(empty, "wx", parquet(pl.DataFrame({"id": [9], "x": ["z"]})), actor="ana")
    compact_data(empty, actor="ana")
    empty.advance(empty.clock.now() + timedelta(days=99))
    collect_data(empty, older_than="1d", actor="ana")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == files


def test_files_that_the_owner_has_removed_are_told(empty: Workspace, lake: DeltaTables) -> None:
    folder = lake.folder("trips")
    add_source(empty, "wx", str(folder), actor="ana", adding=NEW)
    next(folder.glob("*.parquet")).unlink()
    with pytest.raises(FilesGone, match="vacuumed"):
        rows(empty, newest(empty))
    shutil.rmtree(folder / "_delta_log")
    (folder / "_delta_log").mkdir()
    with pytest.raises(Invalid, match="cannot be read"):
        add_source(empty, "wx", str(folder), actor="ana")


def test_the_contract_judges_all_rows_of_a_table_by_reference(empty: Workspace, lake: DeltaTables) -> None:
    lake.append("orders", orders(days=2), commit_id=None)
    folder = lake.folder("orders")
    broken = orders(FIRST + timedelta(days=5), days=1).with_columns(
        amount=pl.when(pl.int_range(pl.len()) == 0).then(-1.0).otherwise("amount")
    )
    assert add_source(empty, "orders", str(folder), actor="ana").version == 1
    version = lake.append("orders", broken, commit_id=None)
    refused = add_source(empty, "orders", str(folder), actor="ana")
    assert refused.version is None
    assert "cannot be set aside" in refused.report.refusal
    assert newest(empty, "orders").number == 1
    lake.restore("orders", version - 1)
    assert newest(empty, "orders").rows == 200


def test_a_dataset_with_rows_of_its_own_cannot_become_a_reference(
    empty: Workspace, lake: DeltaTables
) -> None:
    lake.append("orders", orders(days=2), commit_id=None)
    add_batch(empty, "orders", parquet(orders(days=1)), actor="ana")
    with pytest.raises(CannotAdd, match="versions of its own"):
        add_source(empty, "orders", str(lake.folder("orders")), actor="ana")
