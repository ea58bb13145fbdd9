"""Run events of OpenLineage: of the form that the specification needs, in order, at least once, also after a kill."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST, orders, parquet
from tests.sinks.receiving import Receiver, closed_port, receiver

from mainspring.clock import parse_time
from mainspring.errors import MainspringError
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.request import request_training
from mainspring.operate.score_data import score_data
from mainspring.settings import Settings
from mainspring.sinks.background import Background
from mainspring.sinks.openlineage import lineage_telling, tell_runs
from mainspring.workspace import Workspace, open_workspace

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch and a refused one; a cycle that promotes, and one that fails; a scoring that fails and is tried again."""
    folder = tmp_path_factory.mktemp("told") / "root"
    with begin(folder) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada")
        add_batch(workspace, "orders", b"<b>,&\n1,2\n", actor="ada")
        turn(workspace)
        with pytest.raises(MainspringError):
            score_data(impatient(workspace), "tiny", ["orders"], actor="ana")
        score_data(workspace, "tiny", ["orders"], actor="ana")
        text = (folder / "product.py").read_text()
        broken = text.replace('"""Fit a few small trees."""', 'raise ValueError("no trees")')
        assert broken != text
        (folder / "product.py").write_text(broken)
        declare(workspace, actor="ada")
        request_training(workspace, "tiny", request_id="r", actor="ada", reason="again")
        workspace.advance(FIRST + timedelta(days=31))
        turn(workspace)
    return folder


def impatient(workspace: Workspace) -> Workspace:
    """The workspace with no patience for any part of a scoring."""
    return replace(workspace, settings=replace(workspace.settings, batch_timeout_s=1e-9))


@pytest.fixture
def root(told: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(told, tmp_path / "root"))


@pytest.fixture
def heard() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def opened(root: Path, **settings: Any) -> Workspace:
    return open_workspace(root, replace(Settings.load(root, {}), **settings))


def lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "runs.jsonl").read_bytes().splitlines()]


@pytest.fixture(scope="session")
def events(told: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    root = Path(shutil.copytree(told, tmp_path_factory.mktemp("events") / "root"))
    with opened(root, openlineage_file="runs.jsonl") as workspace:
        tell_runs(workspace, NOW, {})
    return lines(root)


# --- what is told --------------------------------------------------------------------------------------------------


def is_uri(text: str) -> bool:
    return bool(urlsplit(text).scheme) and " " not in text


def facets_of(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(kind, {}).items()


NEEDED = {
    "version": {"datasetVersion": str},
    "datasetType": {"datasetType": str},
    "dataSource": {"name": str, "uri": str},
    "schema": {"fields": list},
    "dataQualityMetrics": {"rowCount": int, "columnMetrics": dict},
    "dataQualityAssertions": {"assertions": list},
    "outputStatistics": {"rowCount": int},
    "jobType": {"processingType": str, "integration": str},
    "parent": {"run": dict, "job": dict},
    "errorMessage": {"message": str, "programmingLanguage": str},
    "test": {"tests": list},
    "mainspring_step": {},
}


def test_every_event_has_what_the_specification_needs(events: list[dict[str, Any]]) -> None:
    """As the JSON schema 2-0-2 says: no field is missing, and each is of its form."""
    assert events
    for event in events:
        assert event["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
        assert parse_time(event["eventTime"])
        assert is_uri(event["producer"])
        assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        assert str(UUID(event["run"]["runId"])) == event["run"]["runId"]
        for named in (event["job"], *event["inputs"], *event["outputs"]):
            assert named["namespace"] == "mainspring"
            assert named["name"]
        for name, facet in facets_of(event):
            assert is_uri(facet["_producer"])
            assert re.fullmatch(r"https://openlineage\.io/spec/.+\.json#/\$defs/\w+", facet["_schemaURL"])
            for field, kind in NEEDED[name].items():
                assert isinstance(facet[field], kind)
        for parent in [facet for name, facet in facets_of(event) if name == "parent"]:
            assert UUID(parent["run"]["runId"])
            assert {"namespace", "name"} <= parent["job"].keys()


def test_every_run_starts_once_and_ends_once_and_none_ends_before_it_starts(
    events: list[dict[str, Any]],
) -> None:
    by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_run[event["run"]["runId"]].append(event)
    for of_run in by_run.values():
        assert of_run[0]["eventType"] == "START"
        assert len(of_run) == 2
        assert of_run[1]["eventType"] in {"COMPLETE", "FAIL", "ABORT"}
        assert of_run[0]["eventTime"] <= of_run[1]["eventTime"]
        assert of_run[0]["job"]["name"] == of_run[1]["job"]["name"]


def test_cycles_steps_scorings_and_ingests_are_told_with_their_ends(events: list[dict[str, Any]]) -> None:
    ends = [(event["job"]["name"], event["eventType"]) for event in events if event["eventType"] != "START"]
    assert ends == [
        ("orders.ingest", "COMPLETE"),
        ("orders.ingest", "FAIL"),
        ("tiny.cycle.examples", "COMPLETE"),
        ("tiny.cycle.recent", "COMPLETE"),
        ("tiny.cycle.train", "COMPLETE"),
        ("tiny.cycle.judge", "COMPLETE"),
        ("tiny.cycle.register", "COMPLETE"),
        ("tiny.cycle", "COMPLETE"),
        ("tiny.scoring", "FAIL"),
        ("tiny.scoring", "COMPLETE"),
        ("tiny.cycle.pipeline", "FAIL"),
        ("tiny.cycle", "FAIL"),
    ]


def test_data_and_models_are_told_with_versions_schema_and_rows(events: list[dict[str, Any]]) -> None:
    of = {
        (event["job"]["name"], event["eventType"]): event for event in reversed(events)
    }  # the first of each
    ingested = of["orders.ingest", "COMPLETE"]["outputs"][0]
    assert (ingested["name"], ingested["facets"]["version"]["datasetVersion"]) == ("orders", "v1")
    assert {"name": "amount", "type": "FP64"} in ingested["facets"]["schema"]["fields"]
    assert ingested["outputFacets"]["outputStatistics"]["rowCount"] == 3_000
    refused = of["orders.ingest", "FAIL"]
    assert refused["run"]["facets"]["errorMessage"]["message"]
    cycle = of["tiny.cycle", "START"]["inputs"][0]
    assert cycle["inputFacets"]["dataQualityMetrics"]["rowCount"] == 3_000
    registered = of["tiny.cycle.register", "COMPLETE"]["outputs"][0]
    assert registered["name"] == "models/tiny"
    assert registered["facets"]["datasetType"]["datasetType"] == "MODEL"
    scored = of["tiny.scoring", "COMPLETE"]
    assert [each["name"] for each in scored["inputs"]] == ["orders", "models/tiny"]
    assert [each["name"] for each in scored["outputs"]] == ["tiny-scores"]
    judged = of["tiny.cycle.judge", "COMPLETE"]["run"]["facets"]["test"]["tests"]
    assert {each["status"] for each in judged} == {"pass"}
    assert judged[0]["expected"] == "0.6"


# --- how it is told ------------------------------------------------------------------------------------------------


def test_a_catalogue_is_told_in_order_and_with_its_key(
    root: Path, heard: Receiver, events: list[dict[str, Any]]
) -> None:
    base = heard.url.removesuffix("/hook")
    with opened(root, openlineage_url=base) as workspace:
        told = tell_runs(workspace, NOW, {"OPENLINEAGE_API_KEY": "secret"})
        assert heard.documents == events
        assert heard.came[0][0]["authorization"] == "Bearer secret"
        assert told["http"].error == ""
        tell_runs(workspace, LATER, {})
        assert len(heard.documents) == len(events)


def test_what_is_down_is_told_later_and_the_file_does_not_wait(
    root: Path, heard: Receiver, events: list[dict[str, Any]]
) -> None:
    down = f"http://127.0.0.1:{closed_port()}/hook"
    with opened(root, openlineage_url=down, openlineage_file="runs.jsonl") as workspace:
        told = tell_runs(workspace, NOW, {})
        assert (told["http"].attempts, told["http"].read) == (1, 1)
        assert "could not be reached" in told["http"].error
        assert lines(root) == events
    heard.statuses = [503]
    with opened(root, openlineage_url=heard.url) as workspace:
        assert tell_runs(workspace, NOW, {})["http"].attempts == 1  # it is not due yet
        assert heard.documents == []
        assert tell_runs(workspace, LATER, {})["http"].attempts == 2
        assert tell_runs(workspace, LATER + timedelta(hours=1), {})["http"].attempts == 0
        assert heard.documents[1:] == events  # the first was answered with 503


def test_an_event_that_is_refused_for_good_is_left_out_and_the_next_are_told(
    root: Path, heard: Receiver, events: list[dict[str, Any]]
) -> None:
    heard.statuses = [422]
    with opened(root, openlineage_url=heard.url) as workspace:
        told = tell_runs(workspace, NOW, {})["http"]
    assert (told.left_out, told.attempts) == (1, 0)
    assert "422" in told.error
    assert [each["job"]["name"] for each in heard.documents[-2:]] == [
        each["job"]["name"] for each in events[-2:]
    ]


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_a_process_that_is_killed_leaves_no_gap_and_no_half_line(
    root: Path, writes: int, events: list[dict[str, Any]]
) -> None:
    """Killed after a write and before it is recorded: the entry is told again, word for word, behind a whole line."""
    program = Path(__file__).parent / "tell_runs.py"
    killed = subprocess.run([sys.executable, program, root, str(writes)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (root / "runs.jsonl").read_bytes().endswith(b"\n")
    with opened(root, openlineage_file="runs.jsonl") as workspace:
        tell_runs(workspace, NOW, {})
    found = lines(root)
    assert len(found) > len(events)
    assert [each for place, each in enumerate(found) if each not in found[:place]] == events


def test_a_file_that_cannot_be_written_is_tried_again(root: Path, events: list[dict[str, Any]]) -> None:
    with opened(root, openlineage_file="none/runs.jsonl") as workspace:
        assert tell_runs(workspace, NOW, {})["file"].attempts == 1
        (root / "none").mkdir()
        tell_runs(workspace, LATER, {})
    assert len((root / "none" / "runs.jsonl").read_bytes().splitlines()) == len(events)


def test_nobody_is_told_where_nothing_is_set(root: Path) -> None:
    with opened(root) as workspace:
        assert tell_runs(workspace, NOW, {}) == {}
        assert isinstance(lineage_telling(workspace), Background)
        assert lineage_telling(workspace).work is None


def test_openlineages_own_variables_are_heeded(root: Path) -> None:
    environment = {"OPENLINEAGE_URL": "http://catalogue:5000", "OPENLINEAGE_NAMESPACE": "shop"}
    settings = Settings.load(root, environment)
    assert (settings.openlineage_url, settings.openlineage_namespace) == ("http://catalogue:5000", "shop")
    own = Settings.load(root, environment | {"MAINSPRING_OPENLINEAGE_URL": "http://own"})
    assert own.openlineage_url == "http://own"
    with pytest.raises(MainspringError, match="openlineage_url"):
        Settings.load(root, {"OPENLINEAGE_URL": "catalogue:5000"})
