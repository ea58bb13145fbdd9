"""Tables: an append is a version, happens once, and changes nothing that was kept before."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mainspring.ref import InvalidName
from mainspring.stores.tables import DeltaTables, TableNotFound, TableRefused

ROWS = pl.DataFrame(
    {
        "flight_id": [1, 2, 3],
        "carrier": ["UA", None, "B6"],
        "day": [date(2013, 2, 1), date(2013, 2, 2), date(2013, 2, 1)],
        "delay": [0.1 + 0.2, None, -3.5],
        "seen_at": [datetime(2013, 2, 1, 3, 0, 0, 123456, tzinfo=UTC)] * 3,
    }
)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path / "tables")


def test_rows_come_back_as_they_went_in(tables: DeltaTables) -> None:
    assert not tables.exists("flights")
    assert tables.append("flights", ROWS, commit_id=None) == 0
    assert tables.exists("flights")
    assert_frame_equal(tables.read("flights"), ROWS)


def test_every_append_is_a_version_and_versions_stay(tables: DeltaTables) -> None:
    for number in range(3):
        assert tables.append("flights", ROWS, commit_id=None) == number
    assert tables.version("flights") == 2
    assert [tables.read("flights", version).height for version in range(3)] == [3, 6, 9]
    assert tables.scan("flights", 0).select(pl.len()).collect().item() == 3


@pytest.mark.parametrize("partition_by", [(), ("day",)])
def test_an_append_happens_once(tables: DeltaTables, partition_by: tuple[str, ...]) -> None:
    def append(rows: pl.DataFrame, *commit_id: object) -> int:
        return tables.append("flights", rows, commit_id=commit_id, partition_by=partition_by)  # type: ignore[arg-type]

    assert tables.committed("flights", "log-1") == 0
    assert append(ROWS, "log-1", 1) == 0
    assert append(ROWS, "log-1", 1) == 0
    assert append(ROWS, "log-1", 2) == 1
    assert append(ROWS, "log-1", 1) == 1
    assert append(ROWS, "log-2", 1) == 2
    assert DeltaTables(tables.root).append("flights", ROWS, commit_id=("log-1", 2)) == 2
    assert tables.read("flights").height == 9
    assert [tables.committed("flights", f"log-{number}") for number in (1, 2, 3)] == [2, 1, 0]


def test_several_writers_of_one_commit_append_it_once(tables: DeltaTables) -> None:
    def append_all(_: int) -> None:
        own = DeltaTables(tables.root)
        for number in range(10):
            own.append("flights", ROWS.with_columns(flight_id=pl.lit(number)), commit_id=("log", number))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(append_all, range(3)))
    assert tables.version("flights") == 9
    assert sorted(tables.read("flights")["flight_id"]) == sorted(list(range(10)) * 3)


def test_several_writers_lose_nothing(tables: DeltaTables) -> None:
    def append_all(writer: int) -> list[int]:
        own = DeltaTables(tables.root)
        return [own.append("flights", ROWS, commit_id=(f"log-{writer}", number)) for number in range(10)]

    with ThreadPoolExecutor(3) as threads:
        versions = list(threads.map(append_all, range(3)))
    assert sorted(chain.from_iterable(versions)) == list(range(30))
    assert tables.version("flights") == 29
    assert tables.read("flights").height == 90


def test_days_are_split_into_folders(tables: DeltaTables) -> None:
    tables.append("flights", ROWS, commit_id=None, partition_by=("day",))
    tables.append("flights", ROWS.select(reversed(ROWS.columns)), commit_id=None)
    folders = {path.parent.name for path in tables.root.rglob("*.parquet")}
    assert folders == {"day=2013-02-01", "day=2013-02-02"}
    found = tables.read("flights")
    assert_frame_equal(found, pl.concat([ROWS, ROWS]), check_row_order=False)
    february = tables.scan("flights").filter(pl.col("day") == date(2013, 2, 2)).collect()
    assert february["flight_id"].to_list() == [2, 2]


def test_what_was_appended_before_a_checkpoint_is_read_after_it(tables: DeltaTables) -> None:
    rows = pl.DataFrame({"n": [1]})
    for number in range(60):
        tables.append("numbers", rows, commit_id=("log", number))
    assert list((tables.root / "numbers" / "_delta_log").glob("*.checkpoint.parquet"))
    anew = DeltaTables(tables.root)
    assert anew.append("numbers", rows, commit_id=("log", 3)) == 59
    assert (anew.read("numbers").height, anew.read("numbers", 7).height) == (60, 8)


def test_types_that_delta_lacks_are_kept_without_loss(tables: DeltaTables) -> None:
    rows = pl.DataFrame(
        {
            "category": pl.Series(["a", "b"], dtype=pl.Categorical),
            "small": pl.Series([0, 255], dtype=pl.UInt8),
            "large": pl.Series([0, 2**32 - 1], dtype=pl.UInt32),
            "local": pl.Series([datetime(2013, 2, 1, 17, tzinfo=UTC)] * 2).dt.convert_time_zone(
                "America/New_York"
            ),
            "many": [[1.5], None],
            "pair": [{"code": 1, "name": "a"}, None],
            "price": [Decimal("1.50"), None],
            "flag": [True, None],
        }
    )
    for _ in range(2):
        tables.append("mixed", rows, commit_id=None)
    found = tables.read("mixed", 0)
    assert found["category"].to_list() == ["a", "b"]
    assert found["small"].to_list() == [0, 255]
    assert found["large"].to_list() == [0, 2**32 - 1]
    assert found["local"].to_list() == [datetime(2013, 2, 1, 17, tzinfo=UTC)] * 2
    assert found["many"].to_list() == [[1.5], None]
    assert found["pair"].to_list()[0] == {"code": 1, "name": "a"}
    assert found["price"].to_list() == [Decimal("1.50"), None]
    assert found["flag"].to_list() == [True, None]


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        (ROWS.drop("delay"), "delay"),
        (ROWS.with_columns(wind=1.0), "wind"),
        (ROWS.with_columns(flight_id=pl.lit(1.5)), "flight_id"),
        (ROWS.with_columns(flight_id=pl.lit("UA 1")), "flight_id"),
        (ROWS.with_columns(delay=pl.lit(timedelta(minutes=1))), "delay"),
        (ROWS.with_columns(day=pl.lit(None, pl.Date)), "day"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_column(
    tables: DeltaTables, rows: pl.DataFrame, column: str
) -> None:
    tables.append("flights", ROWS, commit_id=("log", 1), partition_by=("day",))
    with pytest.raises(TableRefused) as refused:
        tables.append("flights", rows, commit_id=("log", 2))
    assert [fault.where for fault in refused.value.faults] == [column]
    assert tables.version("flights") == 0
    assert tables.append("flights", ROWS, commit_id=("log", 2)) == 1


def test_a_table_is_not_begun_with_columns_that_it_cannot_keep(tables: DeltaTables) -> None:
    rows = pl.DataFrame(
        {"wait": [timedelta(1)], "nothing": [None], "huge": pl.Series([2**63], dtype=pl.UInt64)}
    )
    with pytest.raises(TableRefused) as refused:
        tables.append("waits", rows, commit_id=None)
    assert [fault.where for fault in refused.value.faults] == ["wait", "nothing"]
    with pytest.raises(TableRefused):
        tables.append("waits", rows.select("huge"), commit_id=None)
    assert not tables.exists("waits")


def test_a_column_without_values_fits_every_type(tables: DeltaTables) -> None:
    tables.append("flights", ROWS, commit_id=None)
    tables.append("flights", ROWS.with_columns(delay=None), commit_id=None)
    tables.append("flights", ROWS.clear(), commit_id=None)
    assert tables.read("flights")["delay"].null_count() == 4
    assert tables.read("flights").schema == ROWS.schema


def test_rows_of_any_arrow_library_are_taken(tables: DeltaTables) -> None:
    class Foreign:
        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            return ROWS.__arrow_c_stream__(requested_schema)

    tables.append("flights", Foreign(), commit_id=None)
    assert_frame_equal(tables.read("flights"), ROWS)


def test_what_was_not_recorded_elsewhere_is_taken_back(tables: DeltaTables) -> None:
    tables.restore("flights", None)
    assert not tables.exists("flights")
    tables.append("flights", ROWS, commit_id=None)
    recorded = tables.append("flights", ROWS, commit_id=None)
    tables.append("flights", ROWS.head(1), commit_id=None)
    tables.restore("flights", recorded)
    assert_frame_equal(tables.read("flights"), pl.concat([ROWS, ROWS]), check_row_order=False)
    after = tables.append("flights", ROWS.tail(1), commit_id=None)
    assert tables.read("flights", after).height == 7
    tables.restore("flights", None)
    assert tables.read("flights").height == 0
    assert tables.read("flights", after).height == 7


def test_rows_can_be_replaced_by_others_with_other_columns_and_versions_stay(tables: DeltaTables) -> None:
    assert tables.replace("scores", [ROWS, ROWS.reverse()]) == 0
    assert tables.replace("scores", (ROWS.drop("delay").with_columns(wind=wind) for wind in (1.0, 2.0))) == 1
    assert tables.replace("scores", [ROWS.head(1)]) == 2
    assert_frame_equal(tables.read("scores", 0), pl.concat([ROWS, ROWS.reverse()]))
    assert tables.read("scores", 1)["wind"].to_list() == [1.0] * 3 + [2.0] * 3
    assert_frame_equal(tables.read("scores"), ROWS.head(1))
    assert DeltaTables(tables.root).append("scores", ROWS, commit_id=None) == 3


def test_a_replacement_that_does_not_fit_together_changes_nothing(tables: DeltaTables) -> None:
    for pieces in ([ROWS, ROWS.drop("delay")], [ROWS.with_columns(delay=pl.lit(timedelta(1)))]):
        with pytest.raises(TableRefused) as refused:
            tables.replace("scores", pieces)
        assert [fault.where for fault in refused.value.faults] == ["delay"]
        assert not tables.exists("scores")
    tables.replace("scores", [ROWS])
    with pytest.raises(TableRefused):
        tables.replace("scores", [ROWS, ROWS.drop("delay")])
    assert_frame_equal(tables.read("scores"), ROWS)


def test_what_is_not_there_is_named(tables: DeltaTables) -> None:
    with pytest.raises(TableNotFound, match="'flights'"):
        tables.read("flights")
    with pytest.raises(TableNotFound, match="'flights'"):
        tables.version("flights")
    tables.append("flights", ROWS, commit_id=None)
    for version in (1, -1):
        with pytest.raises(TableNotFound, match=f"version {version} of table 'flights'"):
            tables.read("flights", version)


@pytest.mark.parametrize("name", ["../flights", "", "Flights", "a/b", "."])
def test_a_name_never_leaves_the_folder(tables: DeltaTables, name: str) -> None:
    with pytest.raises(InvalidName):
        tables.append(name, ROWS, commit_id=None)
    with pytest.raises(InvalidName):
        tables.read(name)


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import polars as pl
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.tables import DeltaTables

tables = DeltaTables(Path(sys.argv[1]))
tables.append("numbers", pl.DataFrame({"n": [1]}), commit_id=("log", 1))
many = pl.DataFrame({"n": pl.Series(range(100_000)).shuffle(seed=1)})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    tables.append("numbers", many, commit_id=("log", 2))
except StoreUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert tables.read("numbers").height == 1
assert tables.append("numbers", many, commit_id=("log", 2)) == 1
assert tables.read("numbers").height == 100_001
"""


def test_an_append_that_the_disk_has_no_room_for_is_refused_whole(tables: DeltaTables) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tables.root)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing of this act was kept" in done.stdout
