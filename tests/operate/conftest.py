"""Workspaces of a test's own with the tiny product: one without data, and one with a champion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operate.tiny import begin, train_first

from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "root"
    begin(folder).close()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("trained") / "root")


@pytest.fixture
def empty(begun: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace in which the product is declared, and nothing else has happened."""
    with open_workspace(Path(shutil.copytree(begun, tmp_path / "root"))) as workspace:
        yield workspace


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with 30 days of orders and a champion trained on them."""
    with open_workspace(Path(shutil.copytree(trained, tmp_path / "root"))) as workspace:
        yield workspace
