"""In a replay the callers say what time it is, and two replays leave the same log."""

from __future__ import annotations

from pathlib import Path

from tests.gateway.conftest import Workspace, body, column, model, running

from mainspring.monitoring.store import LogCursor
from mainspring.stores import segments

START = "2013-02-01T00:00:00Z"


def test_the_callers_time_is_the_logs_time_and_never_runs_back(workspace: Workspace) -> None:
    with running(workspace, START) as gateway:
        for moment in ("2013-02-01T05:00:00Z", "2013-02-01T04:00:00Z", "2013-02-01T08:00:00+02:00"):
            assert gateway.infer(body(), mainspring_now=moment).status_code == 200
        assert gateway.infer(body()).status_code == 200
        for moment in ("soon", "2013-02-01T05:00:00", "0001-01-01T00:00:00+10:00"):
            reply = gateway.infer(body(), mainspring_now=moment)
            assert reply.status_code == 400
            assert reply.json()["error"].startswith("Mainspring-Now: ")
    assert [each.at.hour for each in workspace.predictions] == [5, 5, 6, 6]


def test_a_route_is_in_force_from_the_next_moment_on(workspace: Workspace) -> None:
    second = workspace.add_version(2, model(bias=1.0))
    with running(workspace, START) as gateway:

        def version_at(moment: str) -> int:
            return column(gateway.infer(body(), mainspring_now=moment), "model_version")[0]

        assert version_at("2013-02-01T01:00:00Z") == 1
        workspace.put_route(2, second)
        assert version_at("2013-02-01T01:00:00Z") == 1
        assert version_at("2013-02-01T01:00:01Z") == 2
        workspace.put_route(3, workspace.add_version(1, model()))
        gateway.client.post(
            "/v1/labels", json={"labels": []}, headers={"mainspring-now": "2013-02-01T02:00:00Z"}
        )
        assert version_at("2013-02-01T02:00:00Z") == 1


def test_a_caller_without_a_time_is_answered_by_the_route_of_now(workspace: Workspace) -> None:
    with running(workspace, START) as gateway:
        workspace.put_route(2, workspace.add_version(2, model()))
        assert column(gateway.infer(body()), "model_version") == [2]


def test_two_replays_leave_the_same_segments(tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        workspace = Workspace(tmp_path / name)
        workspace.folder.mkdir()
        workspace.put_route(
            1, workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0)), share=0.5
        )
        with running(workspace, START) as gateway:
            for hour in range(48):
                moment = f"2013-02-{1 + hour // 24:02}T{hour % 24:02}:00:00Z"
                request = {**body(3, carrier=["UA", f"C{hour}", None]), "id": f"hour-{hour}"}
                ids = column(gateway.infer(request, mainspring_now=moment), "prediction_id")
                labels = {"labels": [{"prediction_id": ids[0], "value": True}]}
                gateway.client.post("/v1/labels", json=labels)
        contents.append({path.name: path.read_bytes() for path in workspace.log.iterdir()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == ["00000001.log", "00000002.log"]
    records, _ = segments.read(workspace.log, LogCursor(2))
    assert {each.at.day for each in records} == {2}
