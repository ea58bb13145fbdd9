"""Many writers of one dataset, and writers that are killed: nothing is lost, and each version is whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import parquet

from mainspring.data import Change
from mainspring.governance import verify
from mainspring.operate.data.add import add_data
from mainspring.operate.data.checkout import check_out
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.data.sources import add_source
from mainspring.operate.tasks import AddBatch
from mainspring.ref import DataAddress
from mainspring.stores.files import FileContents
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import Workspace, open_workspace

HERE = Path(__file__).parents[2]
KILLED = -signal.SIGKILL


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.operate.add_and_die", *map(str, arguments)]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(file: Path, ids: range, x: int) -> Path:
    pl.DataFrame({"id": ids, "x": [x] * len(ids)}, schema={"id": pl.Int64, "x": pl.Int64}).write_parquet(file)
    return file


def sound(workspace: Workspace, dataset: str) -> list[int]:
    """Read every version, hold it against what is recorded of it, and give how many rows each has."""
    with workspace.database.read() as tx:
        versions = tx.data.versions(dataset)
        assert verify(tx.ledger.entries()).sound
    assert [each.number for each in versions] == list(range(1, len(versions) + 1))
    found = [workspace.tables.read(dataset, each.table_version) for each in versions]
    assert [each.height for each in found] == [each.rows for each in versions]
    return [each.height for each in found]


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing_and_each_version_is_whole(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        begun = write(tmp_path / "begun", range(10), 0)
        add_source(workspace, "wx", str(begun), actor="ana", adding=Adding(new=True, key=("id",)))
        writers = [
            start("add", tmp_path / "root", write(tmp_path / f"w{n}", range(n * 10, n * 10 + n), n), "wx", 0)
            for n in range(1, 9)
        ]
        ended = [(each.communicate(timeout=300), each.returncode) for each in writers]
        assert [code for _, code in ended] == [0] * 8, ended
        assert sorted(int(out) for (out, _), _ in ended) == list(range(2, 10))
        assert sound(workspace, "wx")[-1] == 10 + sum(range(1, 9))
        with workspace.database.read() as tx:
            newest = tx.data.newest("wx")
        assert newest is not None
        rows = workspace.tables.read("wx", newest.table_version)
        assert rows["id"].n_unique() == rows.height
        assert sorted(rows.group_by("x").len().rows()) == [(0, 10), *((n, n) for n in range(1, 9))]


@pytest.mark.slow
@pytest.mark.parametrize("how", [Change.APPEND, Change.UPSERT, Change.REPLACE])
def test_a_worker_that_is_killed_at_any_step_leaves_the_version_before_and_the_batch_can_come_again(
    tmp_path: Path, how: Change
) -> None:
    first = AddBatch(
        dataset="wx",
        file=str(write(tmp_path / "1", range(20), 1)),
        table_version=None,
        key=("id",),
        plain=True,
    )
    version = add_data(first, None, DeltaTables(tmp_path / "tables")).table_version
    assert version is not None
    ids = range(20, 30) if how is Change.APPEND else range(10, 30)
    task = AddBatch(
        dataset="wx",
        file=str(write(tmp_path / "2", ids, 2)),
        table_version=version,
        key=("id",),
        plain=True,
        change=how,
    )
    kept = {} if how is Change.REPLACE else dict.fromkeys(range(20), 1)
    wanted = sorted((kept | dict.fromkeys(ids, 2)).items())
    for step in range(1, 100, 2):
        copy = Path(shutil.copytree(tmp_path / "tables", tmp_path / f"{step}-tables"))
        child = start("change", copy, task.file, version, how.value, step)
        out, err = child.communicate(timeout=120)
        if child.returncode == 0:
            assert step > 5, "it was to be killed several times"
            break
        assert child.returncode == KILLED, (out, err)
        tables = DeltaTables(copy)
        assert sorted(tables.read("wx", version).rows()) == [(key, 1) for key in range(20)]
        again = add_data(task, None, tables)
        assert sorted(tables.read("wx", again.table_version).rows()) == wanted
    else:
        pytest.fail("it never came to its end")


@pytest.mark.slow
def test_an_adder_of_files_that_is_killed_at_any_step_leaves_the_old_version_or_the_new(
    tmp_path: Path,
) -> None:
    root, folder = tmp_path / "root", tmp_path / "photos"
    folder.mkdir()
    for n in range(3):
        (folder / str(n)).write_text(f"picture {n}")
    begin(root).close()
    killed = 0
    for step in (*range(1, 12, 3), *range(12, 60, 8), 0):
        (folder / "last").write_text(f"step {step}")
        child = start("add", root, folder, "photos", step)
        out, err = child.communicate(timeout=120)
        killed += child.returncode == KILLED
        assert child.returncode in (0, KILLED), (out, err)
        with open_workspace(root) as workspace:
            for number, rows in enumerate(sound(workspace, "photos"), 1):
                to = tmp_path / f"out-{step}-{number}"
                check_out(workspace, DataAddress("photos", number), to)
                assert len(list(to.iterdir())) == rows == 4
    assert killed >= 3
    with open_workspace(root) as workspace:
        check_out(workspace, DataAddress("photos"), tmp_path / "end")
        assert (tmp_path / "end" / "last").read_text() == "step 0"
        contents = FileContents(workspace.settings.state / "files")
        with workspace.database.read() as tx:
            tables = [each.table_version for each in tx.data.versions("photos")]
        referred = {
            digest for each in tables for digest in workspace.tables.read("photos", each)["digest"].to_list()
        }
        with contents.alone():
            contents.sweep(referred, dry_run=False)
        assert {path.name for path in contents.root.glob("[0-9a-f]*/*")} == referred
        assert not list((contents.root / ".parts").iterdir())


@pytest.mark.slow
def test_a_collector_that_is_killed_at_any_step_leaves_what_is_referred_to_and_the_next_ends_its_work(
    tmp_path: Path,
) -> None:
    root, folder = tmp_path / "root", tmp_path / "photos"
    folder.mkdir()
    begin(root).close()
    for step in (*range(1, 10, 2), 0):
        with open_workspace(root) as workspace:
            for n in range(3):
                (folder / "a").write_text(f"{step} {n}")
                add_source(workspace, "photos", str(folder), actor="ana", adding=Adding(new=True))
                workspace.advance(workspace.clock.now() + timedelta(days=1))
        child = start("collect", root, step)
        out, err = child.communicate(timeout=120)
        assert child.returncode == (KILLED if step else 0), (out, err)
        with open_workspace(root) as workspace, workspace.database.read() as tx:
            left = [each for each in tx.data.versions("photos") if each.retired_at is None]
            assert left[-1].rows == 1
            for each in left:
                to = tmp_path / f"{step}-{each.number}"
                check_out(workspace, DataAddress("photos", each.number), to)
                assert len(list(to.iterdir())) == 1
    assert len(left) == 1
    assert len(list((root / ".mainspring" / "files").glob("[0-9a-f]*/*"))) == 1
    assert len(list((root / ".mainspring" / "tables" / "photos").glob("*.parquet"))) == 1


@pytest.mark.slow
def test_writers_that_are_killed_at_any_moment_leave_whole_versions(tmp_path: Path) -> None:
    moments = random.Random(7)
    with begin(tmp_path / "root") as workspace:
        content = parquet(pl.DataFrame({"id": range(10)}))
        add_batch(workspace, "wx", content, actor="ana", adding=Adding(new=True, key=("id",)))
        for turn in range(1, 7):
            file = tmp_path / str(turn)
            pl.DataFrame({"id": range(turn * 10, turn * 10 + 10)}).write_parquet(file)
            child = start("add", tmp_path / "root", file, "wx", 0)
            time.sleep(moments.uniform(0.5, 4))
            os.kill(child.pid, signal.SIGKILL)
            child.communicate(timeout=60)
            assert set(sound(workspace, "wx")) == set(range(10, 10 * len(sound(workspace, "wx")) + 1, 10))
            # Killed before or after, the batch handed in again is there once.
            assert add_source(workspace, "wx", str(file), actor="ana").version == turn + 1
        assert sound(workspace, "wx") == [10, 20, 30, 40, 50, 60, 70]
