"""Datasets without a product, and batches that replace or upsert: each makes a version and tells what it changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import Batch, Change, DataVersion
from mainspring.operate.data.add import add_data
from mainspring.operate.data.datasets import UnknownDataset, find_version
from mainspring.operate.data.publish import Adding, CannotAdd, add_batch
from mainspring.operate.data.read_table import Unreadable, read_table
from mainspring.operate.data.sources import NoSuchSource, add_source
from mainspring.operate.tasks import AddBatch
from mainspring.ref import DataAddress
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import Workspace

NEW = Adding(new=True, key=("id",))
APPEND = Adding()
UPSERT, REPLACE = Adding(change=Change.UPSERT), Adding(change=Change.REPLACE)
AT = datetime(2024, 1, 1, tzinfo=UTC)


def frame(**columns: Any) -> bytes:
    return parquet(pl.DataFrame(columns))


def add(workspace: Workspace, content: bytes | Path, adding: Adding = APPEND, name: str = "wx") -> Batch:
    return add_batch(workspace, name, content, actor="ana", adding=adding)


def newest(workspace: Workspace, address: str = "wx") -> DataVersion:
    with workspace.database.read() as tx:
        return find_version(tx, DataAddress.parse(address))


def rows(workspace: Workspace, address: str = "wx") -> list[tuple[Any, ...]]:
    version = newest(workspace, address)
    return sorted(workspace.tables.read(version.dataset, version.table_version).rows())


def test_a_dataset_without_a_product_is_begun_on_purpose_and_then_known(empty: Workspace) -> None:
    content = frame(id=[1, 2], x=["a", "b"])
    with pytest.raises(UnknownDataset, match="--new"):
        add(empty, content)
    assert add(empty, content, NEW).version == 1
    assert add(empty, content).version == 1
    assert add(empty, frame(id=[3], x=["c"])).version == 2
    assert rows(empty) == [(1, "a"), (2, "b"), (3, "c")]
    assert rows(empty, "wx@v1") == [(1, "a"), (2, "b")]
    with pytest.raises(UnknownDataset, match="orders, wx"):
        add(empty, content, name="wy")


def test_a_refused_first_batch_begins_nothing_and_may_be_mended_by_how_it_is_added(empty: Workspace) -> None:
    naive = frame(id=[1], at=[datetime(2024, 1, 1, 12)])  # noqa: DTZ001
    refused = add(empty, naive, NEW)
    assert refused.version is None
    assert "--time-zone" in refused.report.refusal
    with pytest.raises(UnknownDataset):
        add(empty, naive)
    added = add(empty, naive, Adding(new=True, key=("id",), time_zone="America/New_York"))
    assert added.version == 1
    assert rows(empty) == [(1, datetime(2024, 1, 1, 17, tzinfo=UTC))]


def test_an_upsert_changes_the_rows_of_its_keys_and_tells_how_many(empty: Workspace) -> None:
    add(empty, frame(id=[1, 2, 3], x=[1.0, None, 3.0]), NEW)
    add(empty, frame(id=[2, 3, 4], x=[2.0, 3.0, 4.0]), UPSERT)
    version = newest(empty)
    assert (version.number, version.rows, version.rows_added, version.rows_changed) == (2, 4, 1, 1)
    assert rows(empty) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert len(rows(empty, "wx@v1")) == 3
    before = head(empty)
    same = add(empty, frame(id=[3, 1], x=[3.0, 1.0]), UPSERT)
    assert (same.version, newest(empty).number) == (2, 2)
    assert head(empty) == before


def test_a_replacement_may_have_other_columns_and_what_was_before_stays(empty: Workspace) -> None:
    add(empty, frame(id=[1, 2], x=[1, 2]), NEW)
    add(empty, frame(id=[2, 3], x=[2, 4], y=["p", "q"]), REPLACE)
    version = newest(empty)
    assert (version.rows, version.rows_added, version.rows_changed, version.rows_removed) == (2, 1, 1, 1)
    assert add(empty, frame(id=[5], x=[5], y=["r"])).version == 3
    assert rows(empty) == [(2, 2, "p"), (3, 4, "q"), (5, 5, "r")]
    assert rows(empty, "wx@v1") == [(1, 1), (2, 2)]


def test_the_same_bytes_are_another_batch_once_rows_were_replaced(empty: Workspace) -> None:
    first, second = frame(id=[1], x=[1]), frame(id=[1], x=[2])
    add(empty, first, NEW)
    for content, number in ((second, 2), (second, 2), (first, 3), (second, 4), (second, 4)):
        assert add(empty, content, REPLACE).version == number
    assert add(empty, frame(id=[7], x=[7])).version == 5
    assert add(empty, frame(id=[7], x=[7])).version == 5
    assert add(empty, second, REPLACE).version == 6
    assert add(empty, frame(id=[7], x=[7])).version == 7


def test_the_contract_of_a_product_judges_every_way_of_adding(empty: Workspace) -> None:
    january = orders(days=2)
    add(empty, parquet(january), name="orders")
    broken = january.with_columns(pl.col("amount") * 100)
    for adding in (UPSERT, REPLACE):
        assert add(empty, parquet(broken), adding, "orders").version is None
    changed = january.with_columns(amount=pl.when(pl.int_range(pl.len()) < 5).then(1.0).otherwise("amount"))
    add(empty, parquet(changed), UPSERT, "orders")
    version = newest(empty, "orders")
    assert (version.number, version.rows, version.rows_added, version.rows_changed) == (2, 200, 0, 5)
    assert add(empty, parquet(orders(FIRST + timedelta(days=9), days=1)), REPLACE, "orders").version == 3


def test_what_a_dataset_is_cannot_be_changed_by_adding_to_it(empty: Workspace) -> None:
    add(empty, frame(id=[1], x=[1]), Adding(new=True))
    for adding, told in (
        (UPSERT, "no key to upsert by"),
        (Adding(key=("id",)), "cannot be changed"),
        (Adding(time_zone="Mars/Olympus"), "no time zone"),
    ):
        with pytest.raises(CannotAdd, match=told):
            add(empty, frame(id=[2], x=[1]), adding)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a key twice": (lambda: frame(id=[5, 5], x=["a", "b"], at=[AT, AT]), "id: is unique in the batch"),
    "a key of before": (lambda: frame(id=[1], x=["a"], at=[AT]), "id: was not published before"),
    "a null key": (lambda: frame(id=[None, 5], x=["a", "b"], at=[AT, AT]), "id: is never null"),
    "no key": (lambda: frame(x=["a"], at=[AT]), "id: is in the batch"),
    "another type": (lambda: frame(id=["one"], x=["a"], at=[AT]), "id: has type Int64, not String"),
    "a column more": (lambda: frame(id=[5], x=["a"], at=[AT], y=[1]), "y: is in the schema"),
    "moments without a zone": (lambda: frame(id=[5], x=["a"], at=[AT.replace(tzinfo=None)]), "at: has type"),
    "mixed zones": (
        lambda: b"id,x,at\n5,a,2024-01-01T00:00:00Z\n6,a,2024-01-01T00:00:00\n",
        "at: can be read as",
    ),
    "nanoseconds that would be lost": (
        lambda: frame(
            id=[5], x=["a"], at=pl.Series([1_700_000_000_000_000_001]).cast(pl.Datetime("ns", "UTC"))
        ),
        "at: is a moment to the microsecond",
    ),
    "empty": (lambda: b"", "it is empty"),
    "no rows": (lambda: b"id,x,at\n", "it has no rows"),
    "a Parquet file cut off": (lambda: frame(id=[5], x=["a"], at=[AT])[:-40], "cut off"),
    "a shifted column": (
        lambda: b"id,x,at\n5,2024-01-01T00:00:00Z\n",
        "line 2 has fewer fields (2) than the header (3)",
    ),
    "a comma too many": (lambda: b"id,x,at\n5,a,b,2024-01-01T00:00:00Z\n", "line 2 has more fields (4)"),
    "not UTF-8": (
        lambda: "id,x,at\n5,caf\u00e9,2024-01-01T00:00:00Z\n".encode("latin-1"),
        "not UTF-8: byte 0xe9 in line 2",
    ),
    "semicolons": (lambda: b"id;x;at\n5;a;b\n", "semicolons"),
}  # fmt: skip


def test_bad_input_is_told_in_one_message_and_the_version_before_goes_on(empty: Workspace) -> None:
    add(empty, frame(id=[1, 2], x=["a", "b"], at=[AT, AT]), NEW)
    for fault, (content, told) in BAD.items():
        batch = add(empty, content())
        assert batch.version is None, fault
        assert told in batch.report.refusal, fault
        assert (newest(empty).number, len(rows(empty))) == (1, 2)
    assert add(empty, b"id,x,at\n5,a,2024-01-01T00:00:00Z\n").version == 2


def test_whole_microseconds_in_a_nanosecond_column_are_taken(empty: Workspace) -> None:
    pandas_like = pl.DataFrame({"id": [1], "at": [AT]}, schema_overrides={"at": pl.Datetime("ns", "UTC")})
    add(empty, parquet(pandas_like), NEW)
    assert rows(empty) == [(1, AT)]


def test_moments_that_a_change_of_clocks_left_out_are_refused(empty: Workspace) -> None:
    content = b"id,at\n1,2024-03-31T02:30:00\n2,2024-03-31T12:00:00\n3,2024-10-27T02:30:00\n"
    batch = add(empty, content, Adding(new=True, key=("id",), time_zone="Europe/Berlin"))
    (failure,) = batch.report.failures
    assert (failure.column, [row for row, _ in failure.examples]) == ("at", [0, 2])


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson", "arrow", "stream"])
def test_every_kind_of_file_is_taken_alike(empty: Workspace, tmp_path: Path, kind: str) -> None:
    table = pl.DataFrame(
        {"id": [1, 2], "x": ["a", None], "y": [0.5, 1.0], "at": [AT, AT + timedelta(days=1)]}
    )
    file, buffer = tmp_path / "rows", io.BytesIO()
    match kind:
        case "parquet":
            table.write_parquet(file)
        case "csv":
            table.write_csv(file)
        case "ndjson":
            table.with_columns(pl.col("at").dt.to_string("%+")).write_ndjson(file)
        case "arrow":
            table.write_ipc(file)
        case "stream":
            table.write_ipc_stream(buffer)
            file.write_bytes(buffer.getvalue())
    assert add_source(empty, "wx", str(file), actor="ana", adding=NEW).version == 1
    assert [row[:3] for row in rows(empty)] == [(1, "a", 0.5), (2, None, 1.0)]
    assert newest(empty).source == "rows"


def test_a_source_that_is_not_there_is_told(empty: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NoSuchSource):
        add_source(empty, "wx", str(tmp_path / "nowhere.csv"), actor="ana", adding=NEW)


def test_rows_that_continue_a_table_cost_no_file_of_it(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path / "tables")
    file = tmp_path / "rows"
    version = None
    for piece in range(3):
        pl.DataFrame({"id": range(piece * 10, piece * 10 + 10), "x": [piece] * 10}).write_parquet(file)
        task = AddBatch(dataset="wx", file=str(file), table_version=version, key=("id",), plain=True)
        version = add_data(task, None, tables).table_version
    files = set((tmp_path / "tables" / "wx").glob("*.parquet"))
    pl.DataFrame({"id": [11, 30], "x": [99, 99]}).write_parquet(file)
    task = AddBatch(
        dataset="wx", file=str(file), table_version=version, key=("id",), plain=True, change=Change.UPSERT
    )
    added = add_data(task, None, tables)
    assert (added.rows, added.changed) == (1, 1)
    fresh = set((tmp_path / "tables" / "wx").glob("*.parquet")) - files
    assert sum(pl.read_parquet(each).height for each in fresh) == 11  # the file with key 11, and the new rows


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["parquet", "ipc", "ipc_stream", "csv", "ndjson"]))
def test_any_damage_to_a_file_is_told_or_leaves_a_table(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    buffer = io.BytesIO()
    table = pl.DataFrame({"id": range(50), "x": [str(n) * 5 for n in range(50)], "y": [0.5] * 50})
    getattr(table, f"write_{kind}")(buffer)
    content = bytearray(buffer.getvalue())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[place] = value
    file = tmp_path_factory.mktemp("damaged") / "file"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(Unreadable):
        assert isinstance(read_table(file), pl.DataFrame)


ROWS = st.dictionaries(st.integers(0, 9), st.none() | st.floats(width=32), min_size=1, max_size=8)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from([Change.UPSERT, Change.REPLACE]), ROWS), max_size=5))
def test_any_changes_leave_what_a_dictionary_would_hold(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Change, dict[int, float | None]]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    tables, held, version = DeltaTables(folder), {0: 0.0}, None
    schema = {"id": pl.Int64, "x": pl.Float64}
    for change, given_rows in [(Change.APPEND, dict(held)), *steps]:
        table = pl.DataFrame({"id": list(given_rows), "x": list(given_rows.values())}, schema=schema)
        table.write_parquet(folder / "rows")
        task = AddBatch(
            dataset="wx",
            file=str(folder / "rows"),
            table_version=version,
            key=("id",),
            plain=True,
            change=change,
        )
        added = add_data(task, None, tables)
        after = given_rows if change is Change.REPLACE else held | given_rows
        known = {key: str(value) for key, value in held.items()}
        if version is not None:
            assert added.rows == len(given_rows.keys() - held.keys())
            assert added.removed == len(held.keys() - after.keys())
            changed = [key for key, value in given_rows.items() if key in known and str(value) != known[key]]
            zeros = [key for key in changed if given_rows[key] == held[key] == 0]  # -0.0 is 0.0 to a join
            assert len(changed) - len(zeros) <= added.changed <= len(changed)
        assert added.table_version is not None
        version, held = added.table_version, after
        found = dict(tables.read("wx", version).rows())
        assert {
            key: str(value).lstrip("-") if value == 0 else str(value) for key, value in found.items()
        } == {key: str(value).lstrip("-") if value == 0 else str(value) for key, value in held.items()}
