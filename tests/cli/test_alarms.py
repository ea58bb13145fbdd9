"""`mainspring alarms …`: what people see of alarms and do to them, and the exit code that each answer has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.operate.watching import live, moved
from tests.sinks.receiving import Receiver, receiver

from mainspring.workspace import open_workspace


@pytest.fixture(scope="session")
def noticed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("noticed") / "root"))
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 12), moved)
    return folder


@pytest.fixture
def alarmed(noticed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(noticed, tmp_path / "alarmed"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("LOGNAME", "grace")
    return copy


@pytest.fixture
def heard() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def test_an_alarm_is_listed_shown_and_replayed(alarmed: Path, mainspring: Command) -> None:
    listed = mainspring("alarms", "list", "tiny", "--json").json
    (drift,) = [each for each in listed if each["monitor"] == "input_drift"]
    assert drift["alarm_id"] in mainspring("alarms", "list", "tiny").out
    told = mainspring("alarms", "show", drift["alarm_id"])
    assert told.code == 0
    for part in ("is confirmed", "amount", "what to do", "share of rows", "alarm.raised by input_drift"):
        assert part in told.out
    shown = mainspring("alarms", "show", drift["alarm_id"], "--json").json
    assert shown["alarm"] == drift
    assert shown["alarm"]["change"]["blame"][0]["effect"] > 0.02
    replayed = mainspring("alarms", "replay", drift["alarm_id"], "--json")
    assert (replayed.code, replayed.json["same"]) == (0, True)
    assert mainspring("alarms", "replay", drift["alarm_id"]).out.startswith("The same, bit for bit, from ")


def test_an_alarm_that_comes_out_otherwise_is_told_with_exit_code_1(
    alarmed: Path, mainspring: Command
) -> None:
    with open_workspace(alarmed) as workspace, workspace.database.write() as tx:
        alarm = tx.monitoring.alarms("tiny")[0]
        tx.monitoring.put_alarm(replace(alarm, evidence="nothing to see"))
    said = mainspring("alarms", "replay", alarm.alarm_id)
    assert (said.code, said.out) == (1, "")
    assert "raised with: nothing to see" in said.err


def test_an_alarm_is_acknowledged_and_snoozed_by_name(alarmed: Path, mainspring: Command) -> None:
    alarm = mainspring("alarms", "list", "tiny", "--json").json[0]["alarm_id"]
    assert mainspring("alarms", "acknowledge", alarm, "--reason", "seen").out.endswith("by grace.\n")
    assert mainspring("alarms", "acknowledge", alarm, "--reason", "seen").code == 4
    assert mainspring("alarms", "acknowledge", alarm).code == 2
    assert mainspring("alarms", "snooze", alarm, "--for", "2d", "--reason", "friday").code == 0
    until = ("--until", "2030-01-01T00:00:00Z")
    said = mainspring("alarms", "snooze", alarm, *until, "--reason", "later", "--json")
    assert said.json["snoozed_until"] == "2030-01-01T00:00:00Z"
    for wrong in ((), (*until, "--for", "2d"), ("--for", "soon"), ("--until", "noon"), ("--for", "0s")):
        assert mainspring("alarms", "snooze", alarm, *wrong, "--reason", "x").code == 2
    assert "acknowledged by grace, snoozed until 2030-01-01 00:00" in mainspring("alarms", "list", "tiny").out


def test_the_budget_is_shown_by_monitor_and_in_the_status(alarmed: Path, mainspring: Command) -> None:
    rows = mainspring("alarms", "budget", "tiny", "--json").json
    assert [row["monitor"] for row in rows] == [
        "input_drift",
        "prediction_drift",
        "quality:log_loss",
        "staleness",
    ]
    assert [row["declared"] for row in rows] == [pytest.approx(1 / 3)] * 3 + [0]
    said = mainspring("alarms", "budget", "tiny").out
    assert said.splitlines()[0].split()[:4] == ["Monitor", "Declared", "Spent", "Left"]
    total = said.splitlines()[-1].split()
    assert total[:4] == ["all", "of", "them", "1"]
    assert float(total[4]) == pytest.approx(sum(row["spent"] for row in rows), rel=1e-3)
    assert int(total[7]) == sum(row["raised"] for row in rows)
    assert "of 1 false alarms in 30 days spent by looking" in mainspring("status", "tiny").out


def test_what_does_not_exist_is_exit_code_3(root: Path, mainspring: Command) -> None:
    assert mainspring("alarms", "list", "tiny").out == "No monitor has spoken.\n"
    for command in (("show", "x"), ("replay", "x"), ("list", "nothing"), ("budget", "nothing")):
        assert mainspring("alarms", *command).code == 3


def test_the_alert_routes_are_listed_and_tested(
    alarmed: Path, mainspring: Command, heard: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mainspring("alerts", "list").out.startswith("No alert route is declared.")
    assert mainspring("alerts", "test").code == 0
    routes = {"good": {"to": "webhook", "url": heard.url}, "bad": {"to": "slack", "url": "${NOT_THERE}"}}
    monkeypatch.setenv("MAINSPRING_ALERTS", json.dumps(routes))
    said = mainspring("alerts", "test", "--json")
    assert (said.code, said.json["good"]) == (5, "sent")
    assert said.json["bad"].startswith("not delivered: The environment has no NOT_THERE")
    assert mainspring("alerts", "test", "good").code == 0
    assert [document["type"] for document in heard.documents] == ["mainspring.alert.test"] * 2
    assert mainspring("alerts", "test", "none").code == 3
    rows = mainspring("alerts", "list", "--json").json
    assert [(row["route"], row["to"], row["waiting"]) for row in rows] == [
        ("good", "webhook", 0),
        ("bad", "slack", 0),
    ]
    assert "NOT_THERE" not in mainspring("alerts", "list").out
