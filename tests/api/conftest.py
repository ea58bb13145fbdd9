"""The control plane's application over a workspace of this module's own, asked without a socket."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.operate.tiny import train_first

from mainspring.api import build_app
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("trained") / "root")


@pytest.fixture(scope="module")
def workspace(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("api") / "root"
    with open_workspace(Path(shutil.copytree(trained, folder))) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def api(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(build_app(workspace)) as client:
        yield client
