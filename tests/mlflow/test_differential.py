"""What MLflow's clients are told here is what MLflow's server tells them, but for what docs/mlflow.md lists."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.mlflow.conftest import ROOT, mainspring_server, mlflow_server, python_of

CLIENT = Path(__file__).parent / "client"
DOCUMENT = ROOT / "docs" / "mlflow.md"

# Fields of other editions of MLflow, which its server fills with nothing.
_EMPTY = {"workspace", "trace_location", "effective_trace_archival_retention"}
_NAMES = {
    r"[0-9a-f]{32}": "<id>",
    r"http://127\.0\.0\.1:\d+": "<uri>",
    r"^[a-z]+-[a-z]+-\d+$": "<name>",
    r"^\d{13}$": "<moment>",
}


def told(generation: str, uri: str, answers: Path) -> dict[str, Any]:
    """What a client is told by a server: answers by scenario and step."""
    ran = subprocess.run(
        [python_of(generation), CLIENT, uri, answers], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    scenarios = json.loads(answers.read_text())
    return {
        f"{scenario}: {step}": normal(answer)
        for scenario, steps in scenarios.items()
        for step, answer in steps.items()
    }


def normal(value: Any) -> Any:
    """Put names in the place of ids, moments and tokens, and what has no order in one."""
    if isinstance(value, dict):
        fields = {name: normal(each) for name, each in value.items() if name not in _EMPTY}
        return fields | ({"next_page_token": "<token>"} if "next_page_token" in fields else {})
    if isinstance(value, list):
        points = [normal(each) for each in value]
        if points and all(isinstance(each, dict) and {"key", "step"} <= each.keys() for each in points):
            points.sort(key=lambda each: (each["key"], each["timestamp"], each["step"]))
        return points
    if isinstance(value, int) and not isinstance(value, bool) and value > 1_600_000_000_000:
        return "<moment>"
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, str):
        for pattern, name in _NAMES.items():
            value = re.sub(pattern, name, value)
    return value


def documented() -> set[str]:
    """The steps that docs/mlflow.md says are answered otherwise, as `scenario: step` in the first column."""
    rows = re.findall(r"^\| ((?:`[^`]+: [^`]+`(?:<br>)?)+) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    return {step for row in rows for step in re.findall("`([^`]+)`", row)}


@pytest.mark.server("mlflow")
@pytest.mark.parametrize("generation", ["3", "2"])
def test_a_client_is_told_what_mlflows_server_tells_it(generation: str, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "mlflow") as theirs, mainspring_server(tmp_path / "root") as ours:
        asked = {"theirs": theirs, "ours": ours}
        with ThreadPoolExecutor() as both:
            answers = dict(
                zip(
                    asked,
                    both.map(lambda who: told(generation, asked[who], tmp_path / f"{who}.json"), asked),
                    strict=True,
                )
            )
    assert answers["ours"].keys() == answers["theirs"].keys()
    differ = {step for step in answers["ours"] if answers["ours"][step] != answers["theirs"][step]}
    unlisted = {step: {who: answers[who][step] for who in asked} for step in sorted(differ - documented())}
    assert unlisted == {}, "these are answered otherwise, and docs/mlflow.md does not say so"
    if generation == "3":
        assert sorted(documented() - differ) == [], "docs/mlflow.md lists these, and they are answered alike"
