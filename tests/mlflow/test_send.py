"""What is here is all on an MLflow server after an export, which goes on where it was and doubles nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.conftest import mlflow_server
from tests.mlflow.test_bring import fill, seen
from tests.operate.tiny import begin

from mainspring.cli.up import running
from mainspring.operate.mlflow.read import MlflowReader
from mainspring.operate.mlflow.send import send
from mainspring.operate.mlflow.server import MlflowServer
from mainspring.operate.mlflow.tally import Moved
from mainspring.tracking.record import Experiment
from mainspring.workspace import Workspace, open_workspace


def sent(workspace: Workspace, uri: str, **asked: bool) -> Moved:
    with MlflowServer.at(uri) as server:
        return send(workspace, server, actor="ada", **asked)


def killed_midway(root: Path, uri: str) -> None:
    """An export that ends with SIGKILL when the first runs are there."""
    command = [sys.executable, "-m", "mainspring.cli.main", "export", "mlflow", uri, "--root", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not runs_there(uri):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def runs_there(uri: str) -> int:
    with MlflowServer.at(uri) as server:
        reader = MlflowReader(server)
        named = [
            each for each in reader.experiments() if isinstance(each, Experiment) and each.name != "Default"
        ]
        return sum(len(list(reader.runs(each.experiment_id))) for each in named)


def without_ids(told: dict[str, Any]) -> Any:
    """What a client has seen, with runs and models in an order of their own, and without the ids that differ."""
    text = json.dumps({key: value for key, value in told.items() if not re.fullmatch("[0-9a-f]{32}", key)})
    runs = [json.dumps(value) for key, value in told.items() if re.fullmatch("[0-9a-f]{32}", key)]
    marks = r', "mainspring\.\w+": "[^"]*"|"mainspring\.\w+": "[^"]*", |"mainspring\.\w+": "[^"]*"'

    def plain(text: str) -> Any:
        return json.loads(re.sub(r"\b(m-)?[0-9a-f]{32}\b", "<id>", re.sub(marks, "", text)))

    return plain(text), sorted(map(plain, runs), key=json.dumps)


@pytest.mark.slow
@pytest.mark.server("mlflow")
def test_all_that_is_here_is_there_afterwards(tmp_path: Path) -> None:
    begin(tmp_path / "root").close()
    before = signal.getsignal(signal.SIGTERM)
    with open_workspace(tmp_path / "root") as workspace:
        settings = replace(workspace.settings, port=0, gateway_port=0)
    try:
        with running(settings) as up:
            fill(up.url, "3")
            ours = seen(up.url, "3")
    finally:
        signal.signal(signal.SIGTERM, before)
    with mlflow_server(tmp_path / "mlflow") as uri, open_workspace(tmp_path / "root") as workspace:
        dry = sent(workspace, uri, dry_run=True)
        assert dry.counts["runs"] == 6
        killed_midway(tmp_path / "root", uri)
        found = sent(workspace, uri)
        assert found.differences == []
        assert "tiny" in "".join(found.left)
        again = sent(workspace, uri)
        assert (again.differences, again.counts) == ([], found.counts)
        theirs = seen(uri, "3")
    assert without_ids(theirs) == without_ids(ours)
