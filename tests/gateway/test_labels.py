"""Labels come under the ids of answers; of a call with a fault, none is accepted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import Process, Workspace, body, column

from mainspring.gateway.ids import PredictionIds
from mainspring.monitoring.record import LabelEntry, LabelRecord

Shared = tuple[Workspace, Process]


def bring(gateway: Process, *labels: dict[str, Any]) -> httpx.Response:
    return gateway.client.post("/v1/labels", json={"labels": labels})


def test_labels_are_written_down_with_the_moment_at_which_they_were_known(shared: Shared) -> None:
    workspace, gateway = shared
    first, second = column(gateway.infer(body(2)), "prediction_id")
    reply = bring(
        gateway,
        {"prediction_id": first, "value": True, "known_at": "2013-02-01T05:00:00+02:00"},
        {"prediction_id": second, "value": 0.5},
    )
    assert (reply.status_code, reply.json()) == (200, {"accepted": 2})
    record = workspace.records[-1]
    assert isinstance(record, LabelRecord)
    assert record.labels == [
        LabelEntry(first, True, datetime(2013, 2, 1, 3, tzinfo=UTC)),
        LabelEntry(second, 0.5, record.at),
    ]


def test_a_label_for_a_prediction_that_was_never_made_is_refused(shared: Shared) -> None:
    workspace, gateway = shared
    known = column(gateway.infer({**body(), "id": "order-1"}), "prediction_id")[0]
    elsewhere = PredictionIds(b"of another workspace").issue("order-1", 1)[0]
    before = len(workspace.records)
    for unknown in (elsewhere, known.replace("order-1", "order-2"), known[:-1], known + "0", "", ".", "é.é"):
        reply = bring(
            gateway, {"prediction_id": known, "value": True}, {"prediction_id": unknown, "value": True}
        )
        assert reply.status_code == 422
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert [each["where"] for each in problem["faults"]] == ["labels[1].prediction_id"]
        assert "no label was accepted" in problem["detail"]
    assert len(workspace.records) == before


def test_all_faults_of_a_call_are_told_at_once(shared: Shared) -> None:
    _, gateway = shared
    known = column(gateway.infer(body()), "prediction_id")[0]
    reply = bring(
        gateway,
        {"prediction_id": known, "value": None},
        {"prediction_id": 7, "value": [True], "known_at": "yesterday"},
        {"prediction_id": known, "value": 2**64, "known_at": "0001-01-01T00:00:00+10:00"},
        {"prediction_id": known, "value": True, "known_at": 5},
    )
    assert reply.status_code == 422
    assert [each["where"] for each in reply.json()["faults"]] == [
        "labels[0].value",
        "labels[1].prediction_id", "labels[1].value", "labels[1].known_at",
        "labels[2].value", "labels[2].known_at",
        "labels[3].known_at",
    ]  # fmt: skip


def test_a_label_comes_alone_among_many_or_one_a_line(shared: Shared) -> None:
    workspace, gateway = shared
    first, second = column(gateway.infer(body(2)), "prediction_id")
    paid = f'{{"prediction_id": "{first}", "value": 12, "metric": "paid"}}'
    lines = f'{paid}\n\n{{"prediction_id": "{second}", "value": "late"}}\r\n'
    for content, entries in (
        (f'{{"prediction_id": "{first}", "value": false}}', [(first, False, "")]),
        (f'\n {{"value": 2.5, "metric": "paid", "prediction_id":\n "{first}"}}\n', [(first, 2.5, "paid")]),
        (lines, [(first, 12, "paid"), (second, "late", "")]),
    ):
        reply = gateway.client.post(
            "/v1/labels", content=content, headers={"content-type": "application/x-ndjson"}
        )
        assert (reply.status_code, reply.json()) == (200, {"accepted": len(entries)})
        record = workspace.records[-1]
        assert isinstance(record, LabelRecord)
        assert record.labels == [LabelEntry(an_id, value, record.at, name) for an_id, value, name in entries]


def test_of_lines_with_a_fault_none_is_accepted(shared: Shared) -> None:
    workspace, gateway = shared
    [known] = column(gateway.infer(body()), "prediction_id")
    before = len(workspace.records)
    good = f'{{"prediction_id": "{known}", "value": true}}'
    reply = gateway.client.post("/v1/labels", content=f'{good}\n{good[:-1]}\n\n{good}\n{{"value": 1}}')
    assert reply.status_code == 422
    assert [each["where"] for each in reply.json()["faults"]] == ["line 2", "line 5.prediction_id"]
    assert len(workspace.records) == before


def test_a_business_metric_has_a_name_and_a_number(shared: Shared) -> None:
    _, gateway = shared
    [known] = column(gateway.infer(body()), "prediction_id")
    faulty = [
        {"value": "much", "metric": "paid"},
        {"value": -1e200, "metric": "paid"},
        {"value": 1, "metric": "Paid in full"},
        {"value": 1, "metric": 7},
        {"value": 1, "metrics": "paid"},
    ]
    reply = bring(gateway, *({"prediction_id": known, **each} for each in faulty))
    assert reply.status_code == 422
    assert [each["where"] for each in reply.json()["faults"]] == [
        "labels[0].value", "labels[1].value", "labels[2].metric", "labels[3].metric", "labels[4].metrics",
    ]  # fmt: skip
    assert bring(gateway, {"prediction_id": known, "value": 1, "metric": None}).json() == {"accepted": 1}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "[]\n[]", '{"labels": [\n{},\n]}', '{"labels": {}}', '{"labels": [1e999]}'],
)
def test_what_is_no_call_of_labels_is_told_so(shared: Shared, content: str) -> None:
    _, gateway = shared
    reply = gateway.client.post("/v1/labels", content=content)
    assert (reply.status_code, reply.json()["title"]) == (400, "No label was accepted")


def test_no_more_than_ten_thousand_labels_come_at_a_time(shared: Shared) -> None:
    _, gateway = shared
    assert "at most 10000" in bring(gateway, *[{}] * 10_001).json()["detail"]
    assert bring(gateway).json() == {"accepted": 0}
