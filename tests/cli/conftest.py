"""A workspace with a first champion, made once and copied for each test, and the program run within the test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.cli.main import answer
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "root"
    with begin(folder) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada", reason="the first month")
        turn(workspace)
    return folder


@pytest.fixture
def root(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a workspace of this test's own, and the present folder."""
    copy = tmp_path / "root"
    shutil.copytree(trained, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("LOGNAME", "grace")
    return copy


@pytest.fixture
def mainspring(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as the program does, without the cost of a process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = answer(arguments)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
