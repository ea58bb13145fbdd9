"""What an MLflow server holds is all here after an import, and what could not be brought is told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mlflow.conftest import mlflow_server, python_of
from tests.operate.tiny import begin

from mainspring.operate.mlflow.bring import Brought, bring
from mainspring.operate.mlflow.server import MlflowServer
from mainspring.workspace import Workspace

FILL = Path(__file__).parent / "client" / "fill.py"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with begin(tmp_path / "root") as workspace:
        yield workspace


def fill(uri: str, generation: str) -> None:
    ran = subprocess.run([python_of(generation), FILL, uri], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-4000:]


def brought(workspace: Workspace, uri: str, **asked: bool) -> Brought:
    with MlflowServer.at(uri) as server:
        return bring(workspace, server, actor="ada", **asked)


@pytest.mark.server("mlflow")
@pytest.mark.parametrize("generation", ["3", "2"])
def test_all_that_a_server_holds_is_here_afterwards(generation: str, workspace: Workspace, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow", generation) as uri:
        fill(uri, generation)
        found = brought(workspace, uri)
        print(found.counts, found.left)
        assert found.differences == []
        assert brought(workspace, uri).differences == []
        again = brought(workspace, uri, afresh=True)
        assert again.differences == []
        assert again.counts == found.counts
