"""What an MLflow server holds is all here after an import, for a client to find, and for another import to carry on."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.conftest import mlflow_server, python_of
from tests.operate.tiny import begin

from mainspring.cli.up import running
from mainspring.operate.mlflow.bring import bring
from mainspring.operate.mlflow.server import MlflowServer
from mainspring.operate.mlflow.tally import Moved
from mainspring.search import AllOf, Search
from mainspring.workspace import Workspace

FILL = Path(__file__).parent / "client" / "fill.py"


def fill(uri: str, generation: str) -> None:
    ran = subprocess.run([python_of(generation), FILL, uri], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-4000:]


def seen(uri: str, generation: str) -> Any:
    """What a client finds there: everything by its name, and every file's digest."""
    command = [python_of(generation), FILL, uri, "see"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout)


def brought(workspace: Workspace, uri: str, **asked: bool) -> Moved:
    with MlflowServer.at(uri) as server:
        return bring(workspace, server, actor="ada", **asked)


@pytest.mark.slow
@pytest.mark.server("mlflow")
@pytest.mark.parametrize("generation", ["3", "2"])
def test_all_that_a_server_holds_is_here_afterwards(generation: str, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow", generation) as theirs, begin(tmp_path / "root") as workspace:
        fill(theirs, generation)
        told = {"theirs": seen(theirs, generation)}
        dry = brought(workspace, theirs, dry_run=True)
        with workspace.database.read() as tx:
            here = tx.experiments.search(Search(condition=AllOf(()), limit=10)).items
        assert [each.name for each in here] == ["Default"]
        found = brought(workspace, theirs)
        assert found.differences == dry.differences == []
        assert "s3://bucket/model" in "".join(found.left)
        same = ("runs", "params", "datasets", "files", "bytes", "versions", "aliases")
        assert [found.counts[name] for name in same] == [dry.counts[name] for name in same]
        assert found.counts["points"] > 2_500
        for afresh in (False, True):
            again = brought(workspace, theirs, afresh=afresh)
            assert (again.differences, again.counts) == ([], found.counts)
        settings = replace(workspace.settings, port=0, gateway_port=0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with running(settings) as up, begin(tmp_path / "second") as second:
            # As MLflow's client sees it; and once more from here into another workspace.
            told["ours"] = seen(up.url, generation)
            moved = brought(second, up.url)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told["ours"] == told["theirs"]
    (differs,) = moved.differences
    assert differs.startswith("model 'tiny': it was not brought: a product here has its name")
    assert {name: moved.counts[name] for name in found.counts} == found.counts
