"""Alarms over the API: what was said, what it rests on, and what people make of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Api
from tests.operate.watching import live, moved

from mainspring.api import build_app
from mainspring.operate.alarms import AlarmStory, Replayed
from mainspring.sinks.route import Slack
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def alarmed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("alarmed") / "root"))
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 12), moved)
        yield workspace


@pytest.fixture(scope="module")
def asked(alarmed: Workspace) -> Api:
    return Api(build_app(alarmed))


@pytest.fixture
def drift(asked: Api) -> Any:
    rows = asked.get("/v1/products/tiny/alarms").json()
    return next(row for row in rows if row["monitor"] == "input_drift")


def test_an_alarm_is_shown_with_its_story_and_replayed(asked: Api, drift: Any) -> None:
    for path, kind in (("", AlarmStory), ("/replay", Replayed)):
        answer = asked.get(f"/v1/alarms/{drift['alarm_id']}{path}")
        assert isinstance(msgspec.json.decode(answer.content, type=kind), kind)
    story = asked.get(f"/v1/alarms/{drift['alarm_id']}").json()
    assert story["alarm"] == drift
    assert story["events"][0]["data"]["change"] == drift["change"]
    assert story["events"][0]["data"]["grounds"] == drift["grounds"]
    assert asked.get(f"/v1/alarms/{drift['alarm_id']}/replay").json()["same"] is True


def test_an_alarm_is_acknowledged_and_snoozed_by_who_asks(asked: Api, drift: Any) -> None:
    path = f"/v1/alarms/{drift['alarm_id']}"
    done = asked.post(f"{path}/acknowledge", json={"reason": "seen"}, headers={"Mainspring-Actor": "ana"})
    assert (done.status_code, done.json()["acknowledged_by"]) == (200, "ana")
    assert asked.post(f"{path}/acknowledge", json={"reason": "seen"}).status_code == 409
    snoozed = asked.post(f"{path}/snooze", json={"until": "2030-01-01T00:00:00Z", "reason": "later"})
    assert snoozed.json()["snoozed_until"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("acknowledge", {}, 400),
        ("acknowledge", {"reason": "a\0b"}, 400),
        ("snooze", {"reason": "x"}, 400),
        ("snooze", {"reason": "x", "until": "noon"}, 400),
        ("snooze", {"reason": "x", "until": "2013-01-01T00:00:00Z"}, 400),
        ("snooze", {"reason": "x", "until": "2030-01-01T00:00:00Z", "for": "2d"}, 400),
    ],
)
def test_what_is_not_as_described_is_refused(
    asked: Api, alarmed: Workspace, path: str, body: dict[str, str], status: int
) -> None:
    with alarmed.database.read() as tx:
        alarm = tx.monitoring.alarms("tiny")[-1]
    assert asked.post(f"/v1/alarms/{alarm.alarm_id}/{path}", json=body).status_code == status
    with alarmed.database.read() as tx:
        assert tx.monitoring.alarms("tiny")[-1] == alarm


def test_the_budget_of_each_monitor_is_given(asked: Api) -> None:
    rows = asked.get("/v1/products/tiny/alarm-budget").json()
    assert asked.get("/v1/products/tiny").json()["budget"] == rows
    assert sorted({row["declared"] for row in rows}) == [0, pytest.approx(1 / 3)]
    days = asked.get("/v1/products/tiny/alarm-budget/days").json()
    last = {each["monitor"]: (each["looks"], each["spent"]) for each in days}
    assert last == {row["monitor"]: (row["looks"], row["spent"]) for row in rows if row["declared"]}


@pytest.mark.parametrize(
    "path",
    [
        *("alarms/x", "alarms/x/replay", "products/none/alarms"),
        *("products/none/alarm-budget", "products/none/alarm-budget/days"),
    ],
)
def test_what_does_not_exist_is_404(asked: Api, path: str) -> None:
    assert asked.get(f"/v1/{path}").status_code == 404


def test_alert_routes_are_shown_without_their_addresses(alarmed: Workspace) -> None:
    settings = replace(alarmed.settings, alerts={"ops": Slack(url="https://hooks.example.org/secret")})
    with open_workspace(settings.root, settings) as workspace:
        answer = Api(build_app(workspace)).get("/v1/alerts")
    (row,) = answer.json()
    assert (row["route"], row["to"], row["waiting"], row["error"]) == ("ops", "slack", 0, "")
    assert "secret" not in answer.text
