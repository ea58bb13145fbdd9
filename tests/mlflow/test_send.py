"""What is here is all on an MLflow server after an export, which goes on where it was and doubles nothing."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.conftest import mlflow_server
from tests.mlflow.test_bring import fill, seen
from tests.operate.tiny import begin

from mainspring.cli.up import running
from mainspring.operate.mlflow.send import send
from mainspring.operate.mlflow.server import MlflowServer
from mainspring.operate.mlflow.tally import Moved
from mainspring.workspace import Workspace, open_workspace


def sent(workspace: Workspace, uri: str, **asked: bool) -> Moved:
    with MlflowServer.at(uri) as server:
        return send(workspace, server, actor="ada", **asked)


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
        found = sent(workspace, uri)
        assert found.differences == []
        assert "tiny" in "".join(found.left)
        again = sent(workspace, uri)
        assert (again.differences, again.counts) == ([], found.counts)
        theirs = seen(uri, "3")
    assert without_ids(theirs) == without_ids(ours)
