"""`init` begins a workspace that works, and overwrites nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Command

from mainspring.operate.controller import turn
from mainspring.workspace import open_workspace


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_what_init_begins_trains_a_champion_and_passes_its_own_tests(
    mainspring: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = mainspring("init", "late-orders")
    assert said.code == 0
    assert "mainspring data add orders data/orders-1.csv" in said.out
    folder = tmp_path / "late-orders"
    monkeypatch.chdir(folder)
    assert mainspring("data", "add", "orders", "data/orders-1.csv").code == 0
    with open_workspace(folder) as workspace:
        turn(workspace)
    (status,) = mainspring("status", "--json").json
    assert status["champion"]["ref"] == "late-orders@1"
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert own.returncode == 0, own.stdout


def test_init_writes_a_repository_that_leaves_the_state_out(mainspring: Command, tmp_path: Path) -> None:
    said = mainspring("init", "late-orders", "--json")
    folder = Path(said.json["folder"])
    assert folder == tmp_path / "late-orders"
    assert {Path(file).name for file in said.json["files"]} >= {
        "product.py",
        "test_product.py",
        "pyproject.toml",
    }
    assert ".mainspring/" in (folder / ".gitignore").read_text()
    assert '"late-orders"' in (folder / "product.py").read_text()


def test_the_made_up_data_continues_in_time(mainspring: Command, tmp_path: Path) -> None:
    mainspring("init", "shop")
    subprocess.run([sys.executable, "synthetic.py"], cwd=tmp_path / "shop", check=True, capture_output=True)
    firsts = [
        (tmp_path / "shop" / "data" / f"orders-{month}.csv").read_text().splitlines()[1].split(",")[1]
        for month in (1, 2, 3)
    ]
    assert firsts == sorted(set(firsts))


def test_init_overwrites_nothing(mainspring: Command, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "notes.txt").write_text("mine")
    said = mainspring("init", "shop")
    assert said.code == 4
    assert "nothing was written" in said.err
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("mine")
    assert mainspring("init", "file").code == 4
    (tmp_path / "empty").mkdir()
    assert mainspring("init", "empty").code == 0


@pytest.mark.parametrize("name", ["../out", "Shop", "a b", "-x", ""])
def test_a_name_that_could_be_no_ref_is_misuse(name: str, mainspring: Command, tmp_path: Path) -> None:
    assert mainspring("init", name).code == 2
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_document(mainspring: Command) -> None:
    json.loads(mainspring("init", "shop", "--json").out)
