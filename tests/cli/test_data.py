"""Commands on data versions: what each prints, as JSON, and with which exit code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Command
from tests.products.tiny.orders import FIRST as FIRST_DAY
from tests.products.tiny.orders import orders

FIRST = "id,at,x\n1,2024-01-01T00:00:00Z,1.5\n2,2024-01-02T00:00:00Z,2.5\n"
SECOND = "id,at,x\n2,2024-01-02T00:00:00Z,9.5\n3,2024-01-03T00:00:00Z,3.5\n"


@pytest.fixture
def begun(root: Path, mainspring: Command) -> Path:
    Path("first.csv").write_text(FIRST)
    Path("second.csv").write_text(SECOND)
    said = mainspring("data", "add", "wx", "first.csv", "--new", "--key", "id")
    assert (said.code, said.out) == (0, "wx@v1: 2 rows added.\n")
    return root


def test_a_dataset_has_a_history_and_each_version_is_shown(begun: Path, mainspring: Command) -> None:
    said = mainspring("data", "add", "wx", "second.csv", "--mode", "upsert", "--reason", "a correction")
    assert said.out == "wx@v2: 1 rows added, 1 changed.\n"
    listed = mainspring("data", "log", "wx")
    assert all(word in listed.out for word in ("wx@v1", "wx@v2", "upsert", "a correction"))
    rows = mainspring("data", "log", "wx", "--json").json
    assert [(row["ref"], row["rows_changed"]) for row in rows] == [("wx@v2", 1), ("wx@v1", 0)]
    shown = mainspring("data", "show", "wx@v1")
    assert all(word in shown.out for word in ("first.csv", "Datetime(UTC)", "2.5"))
    columns = mainspring("data", "show", "wx", "--json").json["columns"]
    assert [(each["name"], each["nulls"]) for each in columns] == [("id", 0), ("at", 0), ("x", 0)]


def test_versions_are_compared_and_written_to_files(begun: Path, mainspring: Command) -> None:
    mainspring("data", "add", "wx", "second.csv", "--mode", "upsert")
    said = mainspring("data", "diff", "wx@v1", "wx@v2", "--shift")
    assert "wx@v1 → wx@v2: 2 → 3 rows; 1 added, 1 changed, 0 removed by id." in said.out
    assert "Wasserstein" in said.out
    assert mainspring("data", "diff", "wx", "--json").json["changed"] == ["2"]
    assert mainspring("data", "checkout", "wx@v1", "out.csv").out == "wx@v1 is in out.csv: 2 rows.\n"
    assert Path("out.csv").read_text().splitlines()[1].startswith("1,2024-01-01T00:00:00")
    assert mainspring("data", "checkout", "wx", "out.csv").code == 4
    assert mainspring("data", "checkout", "wx", "out.xls").code == 2
    assert mainspring("data", "diff", "wx@v1").code == 2


def test_tags_and_branches_are_named_listed_merged_and_dropped(begun: Path, mainspring: Command) -> None:
    assert mainspring("data", "tag", "wx", "golden").out == "wx@golden is wx@v1.\n"
    assert "begins at wx@v1" in mainspring("data", "branch", "wx@golden", "trial").out
    assert mainspring("data", "add", "wx", "second.csv", "--mode", "replace", "--branch", "trial").code == 0
    assert mainspring("data", "show", "wx", "--json").json["version"]["ref"] == "wx@v1"
    assert mainspring("data", "show", "wx@trial", "--json").json["version"]["ref"] == "wx@v2"
    assert [row["ref"] for row in mainspring("data", "log", "wx", "--branch", "trial", "--json").json] == [
        "wx@v2",
        "wx@v1",
    ]
    assert mainspring("data", "tag", "wx@v2", "golden").code == 4
    assert mainspring("data", "tag", "wx@v2", "golden", "--move").code == 0
    assert mainspring("data", "merge", "wx@trial").out == "wx@v3 has what wx@trial has: 2 rows.\n"
    listed = mainspring("data", "names", "wx")
    assert all(word in listed.out for word in ("wx@golden", "tag", "wx@trial", "branch"))
    assert mainspring("data", "unname", "wx@golden").code == 0
    assert [row["name"] for row in mainspring("data", "names", "--json").json] == ["trial"]
    assert mainspring("data", "show", "wx@golden").code == 3
    assert mainspring("data", "merge", "wx@v1").code == 2


def test_a_folder_becomes_a_dataset_and_a_folder_again(root: Path, mainspring: Command) -> None:
    Path("photos/sub").mkdir(parents=True)
    Path("photos/sub/a").write_text("a")
    assert mainspring("data", "add", "photos", "photos", "--new").out == "photos@v1: 1 rows added.\n"
    Path("photos/link").symlink_to("sub/a")
    refused = mainspring("data", "add", "photos", "photos")
    assert (refused.code, "link: is a symbolic link" in refused.err) == (2, True)
    assert mainspring("data", "checkout", "photos", "copy").code == 0
    assert Path("copy/sub/a").read_text() == "a"


def test_what_would_be_freed_is_told_before_it_is(begun: Path, mainspring: Command) -> None:
    mainspring("data", "add", "wx", "second.csv", "--mode", "replace")
    (begun / ".mainspring" / "incoming" / "left").write_text("left")
    assert mainspring("data", "gc", "--dry-run").out.startswith("Would free 4 bytes:")
    assert mainspring("data", "gc", "--json").json["bytes_freed"] == 4
    assert mainspring("data", "gc").out.startswith("Freed 0 bytes:")
    assert mainspring("data", "gc", "--older-than", "soon").code == 2
    assert mainspring("data", "compact").out == "No dataset has many files.\n"
    assert mainspring("data", "compact", "nope").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["wy", "first.csv"], 3, "--new"),
        (["wx", "nowhere.csv"], 3, "no file or folder"),
        (["wx", "first.csv", "--branch", "nope"], 3, "no tag or branch"),
        (["wx", "first.csv", "--time-zone", "Mars"], 2, "no time zone"),
        (["wx", "first.csv", "--key", "x"], 2, "cannot be changed"),
        (["wx", "sqlite:///nowhere.db", "--query", "SELECT * FROM t"], 2, "no such table"),
        (["Bad Name", "first.csv", "--new"], 2, "not a valid name"),
    ],
)
def test_what_cannot_be_added_is_told_in_one_message(
    begun: Path, mainspring: Command, arguments: list[str], code: int, told: str
) -> None:
    said = mainspring("data", "add", *arguments)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err


def test_what_was_set_aside_is_reported_listed_and_let_in(root: Path, mainspring: Command) -> None:
    rows = orders(FIRST_DAY + timedelta(days=40), days=2)
    broken = pl.when(pl.int_range(pl.len()) == 5).then(-1.0).otherwise("amount")
    rows.with_columns(amount=broken).write_parquet("later.parquet")
    added = mainspring("data", "add", "orders", "later.parquet")
    assert all(
        word in added.out for word in ("1 set aside", "greater_than_or_equal_to(0)", rows["order_id"][5])
    )
    told = mainspring("data", "report", "orders@v2")
    assert all(word in told.out for word in ("1 failed", "set aside", "names each row, once"))
    assert mainspring("data", "report", "orders", "--output", "report.html").code == 0
    assert "<svg" in Path("report.html").read_text()
    batch = mainspring("data", "report", "orders", "--json").json["batch"]["batch"]
    assert batch[:12] in mainspring("data", "quarantine").out
    assert rows["order_id"][5] in mainspring("data", "quarantine", "orders", batch[:6]).out
    assert mainspring("data", "quarantine", "orders", batch, "--output", "rows.csv").code == 0
    assert "amount: greater_than_or_equal_to(0)" in Path("rows.csv").read_text()
    assert mainspring("data", "release", "orders", batch, "--reason", "").code == 2
    let_in = mainspring("data", "release", "orders", batch[:8], "--reason", "a refund")
    assert let_in.out == "orders@v3: 1 rows that were set aside are let in.\n"
    assert mainspring("data", "quarantine", "orders", "--json").json[0]["released"] == "orders@v3"
    assert mainspring("data", "report", "orders", "--batch", "none").code == 3


def test_a_first_contract_is_inferred_from_a_file_or_a_version(begun: Path, mainspring: Command) -> None:
    said = mainspring("data", "infer", "wx", "second.csv", "--output", "wx.py")
    assert (said.code, said.out) == (0, "The contract is in wx.py.\n")
    assert "class Wx(pa.DataFrameModel):" in Path("wx.py").read_text()
    assert mainspring("data", "infer", "wx", "second.csv", "--output", "wx.py").code == 4
    assert "x: float = pa.Field(ge=0, le=5.0)" in mainspring("data", "infer", "wx@v1").out
    assert mainspring("data", "infer", "wx", "--json").json["dataset"] == "wx"
    assert mainspring("data", "infer", "wx", "nowhere.csv").code == 3
