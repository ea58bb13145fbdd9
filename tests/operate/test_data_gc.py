"""Garbage collection: what something refers to stays readable, what nothing does is freed, and a dry run says so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import Change
from mainspring.governance import verify
from mainspring.operate.data.datasets import VersionRetired, find_version
from mainspring.operate.data.give_up import collect_data, compact_data
from mainspring.operate.data.names import begin_branch, tag_version, unname
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.data.sources import add_source
from mainspring.ref import DataAddress
from mainspring.workspace import Workspace

DAY = timedelta(days=1)


def replace(workspace: Workspace, x: int, branch: str = "main") -> None:
    content = parquet(pl.DataFrame({"id": range(1000), "x": [x] * 1000}))
    adding = Adding(new=True, key=("id",), change=Change.REPLACE, branch=branch)
    assert add_batch(workspace, "wx", content, actor="ana", adding=adding).version is not None
    workspace.advance(workspace.clock.now() + DAY)


def readable(workspace: Workspace, dataset: str = "wx") -> list[int]:
    """Read every version that is not retired; give their numbers."""
    with workspace.database.read() as tx:
        versions = [each for each in tx.data.versions(dataset) if each.retired_at is None]
        assert verify(tx.ledger.entries()).sound
    for each in versions:
        assert workspace.tables.read(dataset, each.table_version).height == each.rows
    return [each.number for each in versions]


def parquet_files(workspace: Workspace, dataset: str = "wx") -> dict[str, int]:
    folder = workspace.tables.folder(dataset)
    return {file.name: file.stat().st_size for file in folder.glob("*.parquet")}


def test_versions_that_nothing_refers_to_are_given_up_after_a_while(empty: Workspace) -> None:
    for x in range(4):
        replace(empty, x)
    tag_version(empty, DataAddress("wx", 2), "golden", actor="ana")
    before, files = head(empty), parquet_files(empty)
    assert collect_data(empty, actor="ana").bytes_freed == 0
    dry = collect_data(empty, older_than="1d", dry_run=True, actor="ana")
    assert (dry.retired, dry.table_files) == (["wx@v1", "wx@v3"], 2)
    assert (head(empty), parquet_files(empty), readable(empty)) == (before, files, [1, 2, 3, 4])
    done = collect_data(empty, older_than="1d", actor="ana")
    assert (done.retired, done.table_files, done.bytes_freed) == (dry.retired, 2, dry.bytes_freed)
    assert sum(files.values()) - sum(parquet_files(empty).values()) == done.bytes_freed > 0
    assert readable(empty) == [2, 4]
    with empty.database.read() as tx, pytest.raises(VersionRetired, match="given up"):
        find_version(tx, DataAddress("wx", 1))
    again = collect_data(empty, older_than="1d", actor="ana")
    assert (again.retired, again.bytes_freed) == ([], 0)
    replace(empty, 9)
    assert readable(empty) == [2, 4, 5]


def test_young_versions_and_those_of_branches_stay(empty: Workspace) -> None:
    replace(empty, 0)
    begin_branch(empty, DataAddress("wx"), "trial", actor="ana")
    for x in (1, 2):
        replace(empty, x, "trial")
    replace(empty, 3)
    replace(empty, 4)
    assert collect_data(empty, older_than="30d", actor="ana").retired == []
    assert collect_data(empty, older_than="1h", actor="ana").retired == ["wx@v2", "wx@v4"]
    assert readable(empty) == [1, 3, 5]
    unname(empty, "wx", "trial", actor="ana")
    assert collect_data(empty, older_than="1h", actor="ana").retired == ["wx@v1", "wx@v3"]
    assert readable(empty) == [5]


def test_what_a_model_was_trained_on_is_kept(workspace: Workspace) -> None:
    workspace.advance(workspace.clock.now() + 400 * DAY)
    rows = orders(FIRST + 40 * DAY, days=2)
    for seed in (1, 2):
        content = parquet(rows.with_columns(amount=pl.lit(float(seed))))
        adding = Adding(change=Change.REPLACE)
        assert add_batch(workspace, "orders", content, actor="ana", adding=adding).version is not None
        workspace.advance(workspace.clock.now() + DAY)
    # v1 trained the champion; v2 nobody has read.
    assert collect_data(workspace, older_than="1h", actor="ana").retired == ["orders@v2"]
    assert readable(workspace, "orders") == [1, 3]


def test_what_killed_and_refused_writers_left_is_freed(empty: Workspace) -> None:
    replace(empty, 0)
    empty.tables.append("wx", pl.DataFrame({"id": [7], "x": [7]}), commit_id=None)  # never recorded
    (empty.settings.state / "incoming" / "left").write_bytes(b"half a batch")
    found = collect_data(empty, actor="ana")
    assert (found.table_files, found.incoming) == (1, 1)
    assert readable(empty) == [1]
    replace(empty, 1)
    assert readable(empty) == [1, 2]


def test_contents_of_files_go_with_the_last_version_that_has_them(empty: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, text in enumerate(("one", "two", "three")):
        (folder / "a").write_text(text)
        (folder / f"{number}").write_text(f"stays {number}")
        add_source(empty, "photos", str(folder), actor="ana", adding=Adding(new=True))
        empty.advance(empty.clock.now() + DAY)
    assert collect_data(empty, actor="ana").contents == 0
    done = collect_data(empty, older_than="1d", actor="ana")
    assert (done.retired, done.contents) == (["photos@v1", "photos@v2"], 2)
    kept = {path.read_text() for path in (empty.settings.state / "files").glob("[0-9a-f]*/*")}
    assert kept == {"three", "stays 0", "stays 1", "stays 2"}


def test_small_files_are_put_together_and_the_version_stays_what_it_is(
    empty: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for piece in range(10):
        content = parquet(pl.DataFrame({"id": [piece], "x": [piece]}))
        add_batch(empty, "wx", content, actor="ana", adding=Adding(new=True, key=("id",)))
    with empty.database.read() as tx:
        before = find_version(tx, DataAddress("wx"))
    rows = empty.tables.read("wx", before.table_version).sort("id")
    (done,) = compact_data(empty, actor="ana")
    assert (done.ref, done.files_before, done.files_now) == ("wx@v10", 10, 1)
    with empty.database.read() as tx:
        now = find_version(tx, DataAddress("wx"))
    assert (now.number, now.digest, now.rows) == (before.number, before.digest, before.rows)
    assert empty.tables.read("wx", now.table_version).sort("id").equals(rows)
    assert readable(empty) == list(range(1, 11))
    assert compact_data(empty, actor="ana") == []
    # The next batch follows the compacted files.
    content = parquet(pl.DataFrame({"id": [10], "x": [10]}))
    assert add_batch(empty, "wx", content, actor="ana").version == 11
    assert len(parquet_files(empty)) == 12
    empty.advance(empty.clock.now() + 9 * DAY)
    kept = collect_data(empty, older_than="1d", actor="ana")
    assert len(kept.retired) == 10
    assert kept.table_files == 0  # somebody may still read the files of before
    monkeypatch.setattr("mainspring.operate.data.give_up._READING_S", 0)
    assert collect_data(empty, actor="ana").table_files == 10
    assert readable(empty) == [11]
