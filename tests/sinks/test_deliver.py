"""Alerts come at least once, grouped and not too often; a route that is down is tried again and holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.operate.watching import DAY
from tests.sinks.conftest import NOW, Open, no_picture
from tests.sinks.receiving import Mailbox, Receiver, closed_port

from mainspring.events import Event, EventType
from mainspring.operate.alarms import acknowledge, snooze
from mainspring.operate.controller import turn
from mainspring.operate.request import request_training
from mainspring.sinks.deliver import alerting, deliver, route_rows
from mainspring.sinks.route import Email, PagerDuty, Slack, Stdout, Webhook
from mainspring.web.alarms import picture_of
from mainspring.workspace import Workspace, open_workspace

MINUTE = timedelta(minutes=1)


def told(workspace: Workspace) -> list[str]:
    """Ids of the events that are to be told, in order."""
    kinds = (
        EventType.ALARM_RAISED,
        EventType.ALARM_CONFIRMED,
        EventType.ALARM_ACKNOWLEDGED,
        EventType.ALARM_OVER,
    )
    with workspace.database.read() as tx:
        return [entry.event_id for entry in tx.ledger.entries() if entry.type in kinds]


def ids(heard: Receiver) -> list[str]:
    return [document["id"] for document in heard.documents]


def test_what_was_said_is_told_once_in_order(opened: Open, heard: Receiver) -> None:
    workspace = opened(ops=Webhook(url=heard.url))
    for minute in range(20):
        deliver(workspace, no_picture, NOW + minute * MINUTE)
    assert ids(heard) == told(workspace)
    (row,) = route_rows(workspace)
    assert (row.waiting, row.error, row.last_sent_at) == (0, "", NOW)


def test_alarms_of_one_product_come_in_one_message_with_links_to_their_pages(
    opened: Open, heard: Receiver
) -> None:
    workspace = opened(ops=Slack(url=heard.url))
    deliver(workspace, no_picture, NOW)
    (document,) = heard.documents
    assert document["text"].count("https://ml.example.org/products/tiny/alarms/") == len(told(workspace)) > 1


def test_a_mail_has_the_plots_of_its_alarms(opened: Open, box: Mailbox) -> None:
    route = Email(server=box.server, sender="ml@example.org", recipients=("o@example.org",), security="none")
    deliver(opened(ops=route), picture_of, NOW)
    ((_, mail),) = box.mails
    assert len(list(mail.iter_attachments())) >= 2
    for attached in mail.iter_attachments():
        assert attached.get_content().startswith(b"<svg xmlns=")


def test_whom_a_mail_has_not_reached_is_shown_until_the_next(opened: Open, box: Mailbox) -> None:
    box.codes["TO:<gone@example.org>"] = "550"
    route = Email(
        server=box.server,
        sender="ml@example.org",
        recipients=("gone@example.org", "o@example.org"),
        security="none",
    )
    workspace = opened(ops=route)
    deliver(workspace, no_picture, NOW)
    (row,) = route_rows(workspace)
    assert (row.waiting, row.error) == (0, "Refused by the mail server: gone@example.org.")


def test_a_route_begins_with_what_happens_after_it_was_declared(opened: Open, heard: Receiver) -> None:
    workspace = opened(new=Webhook(url=heard.url, every="1s"))
    deliver(workspace, no_picture, NOW)
    deliver(workspace, no_picture, NOW)
    assert heard.came == []
    with workspace.database.read() as tx:
        alarm = tx.monitoring.alarms("tiny")[0]
    acknowledge(workspace, alarm.alarm_id, actor="ana", reason="seen")
    deliver(workspace, no_picture, NOW)
    (document,) = heard.documents
    assert (document["type"], document["data"]["actor"]) == ("mainspring.alarm.acknowledged", "ana")


def note(workspace: Workspace, *kinds: EventType) -> None:
    with workspace.database.write() as tx:
        for kind in kinds:
            event = Event(
                type=kind, subject="tiny@1", at=workspace.clock.now(), actor="loop", reason="so it is"
            )
            tx.ledger.append(event)


def test_who_must_approve_is_told_and_with_which_words(opened: Open, heard: Receiver) -> None:
    workspace = opened(new=Webhook(url=heard.url, every="1s"))
    deliver(workspace, no_picture, NOW)
    note(workspace, EventType.APPROVAL_ASKED, EventType.ROLLOUT_APPROVAL_ASKED)
    deliver(workspace, no_picture, NOW)
    first, second = heard.documents
    assert (first["type"], first["subject"]) == ("mainspring.approval.asked", "tiny@1")
    assert first["data"]["url"] == "https://ml.example.org/products/tiny"
    assert "mainspring models approve tiny@1" in first["data"]["advice"]
    assert "mainspring rollout approve tiny" in second["data"]["advice"]


def test_a_damaged_version_is_an_incident_until_it_is_mended_and_an_approval_is_none(
    opened: Open, heard: Receiver
) -> None:
    workspace = opened(new=PagerDuty(key="k", url=heard.url, every="1s"))
    deliver(workspace, no_picture, NOW)
    note(
        workspace, EventType.APPROVAL_ASKED, EventType.MODEL_VERSION_DAMAGED, EventType.MODEL_VERSION_RESTORED
    )
    deliver(workspace, no_picture, NOW)
    said = [
        (each["event_action"], each["dedup_key"], each["payload"]["severity"]) for each in heard.documents
    ]
    assert said == [("trigger", "mainspring-tiny@1", "error"), ("resolve", "mainspring-tiny@1", "error")]


def test_the_next_message_about_a_product_waits_and_then_has_all_of_them(
    opened: Open, heard: Receiver
) -> None:
    workspace = opened(ops=Slack(url=heard.url, every="10m"))
    deliver(workspace, no_picture, NOW)
    with workspace.database.read() as tx:
        first, second, *_ = tx.monitoring.alarms("tiny")
    for minute, alarm in ((1, first), (5, second)):
        acknowledge(workspace, alarm.alarm_id, actor="ana", reason="seen")
        deliver(workspace, no_picture, NOW + minute * MINUTE)
    assert len(heard.came) == 1
    assert route_rows(workspace)[0].waiting == 2
    deliver(workspace, no_picture, NOW + 10 * MINUTE)
    assert heard.documents[1]["text"].count("Acknowledged by ana") == 2


def test_an_incident_is_opened_taken_up_and_resolved_under_one_key_whatever_fails_between(
    opened: Open, heard: Receiver
) -> None:
    workspace = opened(ops=PagerDuty(key="k", url=heard.url, every="10m"))
    deliver(workspace, no_picture, NOW)
    first = len(heard.came)
    with workspace.database.read() as tx:
        alarms = [alarm.alarm_id for alarm in tx.monitoring.alarms("tiny")]
    acknowledge(workspace, alarms[0], actor="ana", reason="seen")
    request_training(workspace, "tiny", request_id="r", actor="ana", reason="amounts are in another currency")
    turn(workspace)
    deliver(workspace, no_picture, NOW + MINUTE)
    assert len(heard.came) == first  # the next message waits, as it does for what is new
    heard.statuses = [202, 500]
    deliver(workspace, no_picture, NOW + 10 * MINUTE)
    (row,) = route_rows(workspace)
    assert (row.waiting, row.error) == (1 + len(alarms), "It answered with status 500.")
    assert row.retry_at is not None
    again = len(heard.came)
    deliver(workspace, no_picture, row.retry_at)
    assert route_rows(workspace)[0].waiting == 0

    def said(documents: list[Any]) -> list[tuple[str, str]]:
        return [(each["event_action"], each["dedup_key"].removeprefix("mainspring-")) for each in documents]

    assert {action for action, _ in said(heard.documents[:first])} == {"trigger"}
    assert {key for _, key in said(heard.documents[:first])} == set(alarms)
    assert said(heard.documents[again:]) == [
        ("acknowledge", alarms[0]),
        *(("resolve", alarm_id) for alarm_id in sorted(alarms)),
    ]


def test_what_was_not_taken_is_shown_and_told_again_under_the_same_ids(opened: Open, heard: Receiver) -> None:
    workspace = opened(ops=Webhook(url=heard.url))
    heard.statuses = [202, 500]
    deliver(workspace, no_picture, NOW)
    (row,) = route_rows(workspace)
    assert (row.waiting, row.attempts) == (len(told(workspace)), 1)
    assert row.error == "It answered with status 500."
    assert row.retry_at is not None
    assert row.retry_at > NOW
    came = len(heard.came)
    deliver(workspace, no_picture, NOW)
    assert len(heard.came) == came
    deliver(workspace, no_picture, row.retry_at)
    # The first had been taken, and comes twice: at least once, under one id.
    assert ids(heard)[came:] == told(workspace)
    assert route_rows(workspace)[0].waiting == 0


def test_pauses_grow_up_to_a_quarter_of_an_hour_and_nothing_is_given_up(
    opened: Open, heard: Receiver
) -> None:
    workspace = opened(ops=Slack(url=f"http://127.0.0.1:{closed_port()}"))
    now, pauses = NOW, []
    for _ in range(12):
        deliver(workspace, no_picture, now)
        (row,) = route_rows(workspace)
        assert row.retry_at is not None
        pauses.append(row.retry_at - now)
        now = row.retry_at
    assert pauses[0] == timedelta(seconds=10)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 15 * MINUTE
    workspace = opened(ops=Slack(url=heard.url))
    deliver(workspace, no_picture, now)
    assert len(heard.came) == 1


@pytest.mark.parametrize("fault", ["hangs", "refuses", "errs", "lacks"])
def test_a_route_that_is_down_keeps_no_other_from_telling(opened: Open, heard: Receiver, fault: str) -> None:
    bad: dict[str, Callable[[], Any]] = {
        "hangs": lambda: PagerDuty(key="k", url=heard.url, timeout_s=0.3),
        "refuses": lambda: Slack(url=f"http://127.0.0.1:{closed_port()}"),
        "errs": lambda: PagerDuty(key="k", url=heard.url),
        "lacks": lambda: Slack(url="${NOT_THERE}"),
    }
    heard.statuses = {"hangs": [0], "errs": [500]}.get(fault, [])
    workspace = opened(ops=bad[fault](), spare=Webhook(url=heard.url))
    deliver(workspace, no_picture, NOW, {})
    rows = {row.route: row for row in route_rows(workspace)}
    assert (rows["spare"].waiting, rows["spare"].error) == (0, "")
    assert rows["ops"].waiting == len(told(workspace))
    assert rows["ops"].error
    assert [each["id"] for each in heard.documents if "specversion" in each] == told(workspace)


def test_a_process_that_dies_on_its_way_loses_nothing(opened: Open, heard: Receiver) -> None:
    workspace = opened(ops=Webhook(url=heard.url))

    def dies(workspace: Workspace, alarm_id: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(workspace, dies, NOW)
    assert heard.came == []
    deliver(workspace, no_picture, NOW)
    assert ids(heard) == told(workspace)


def test_a_thread_tells_what_is_due(opened: Open, heard: Receiver) -> None:
    before = opened(ops=Webhook(url=heard.url))
    settings = replace(before.settings, interval_s=0.01)
    with open_workspace(settings.root, settings) as workspace, alerting(workspace, no_picture):
        while len(heard.came) < len(told(before)):
            assert heard.arrived.acquire(timeout=30)
    assert ids(heard) == told(before)


def test_an_alarm_that_cannot_be_drawn_is_told_without_its_picture(opened: Open, box: Mailbox) -> None:
    def fails(workspace: Workspace, alarm_id: str) -> None:
        raise ZeroDivisionError

    route = Email(server=box.server, sender="ml@example.org", recipients=("o@example.org",), security="none")
    deliver(opened(ops=route), fails, NOW)
    ((_, mail),) = box.mails
    assert list(mail.iter_attachments()) == []


def test_a_fault_of_a_route_is_told_and_keeps_no_other_from_telling(
    opened: Open, heard: Receiver, box: Mailbox
) -> None:
    box.features = ["AUTH PLAIN"]
    route = Email(
        server=box.server,
        sender="ml@example.org",
        recipients=("o@example.org",),
        user="${NAME}",
        security="none",
    )
    workspace = opened(ops=route, spare=Webhook(url=heard.url))
    deliver(workspace, no_picture, NOW, {"NAME": "jürgen"})
    rows = {row.route: row for row in route_rows(workspace)}
    assert rows["ops"].error == "It met a fault: UnicodeEncodeError."
    assert ids(heard) == told(workspace)


def test_without_a_route_there_is_no_thread(opened: Open) -> None:
    with alerting(opened(), no_picture):
        assert "alerting" not in {thread.name for thread in threading.enumerate()}


def test_what_a_snoozed_monitor_says_is_told_when_the_snooze_ends(opened: Open, heard: Receiver) -> None:
    workspace = opened(ops=Webhook(url=heard.url, every="1s"))
    with workspace.database.read() as tx:
        alarms = {alarm.monitor: alarm for alarm in tx.monitoring.alarms("tiny")}
    until = workspace.clock.now() + DAY
    snooze(workspace, alarms["input_drift"].alarm_id, until=until, actor="ana", reason="known")
    deliver(workspace, no_picture, NOW)
    assert "input_drift" not in {document["data"]["monitor"] for document in heard.documents}
    assert "prediction_drift" in {document["data"]["monitor"] for document in heard.documents}
    workspace.advance(until)
    deliver(workspace, no_picture, NOW + MINUTE)
    assert sorted(ids(heard)) == sorted(told(workspace))
    assert "input_drift" in {document["data"]["monitor"] for document in heard.documents}


def test_telling_leaves_no_trace_in_the_ledger(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = opened(ops=Stdout())
    with workspace.database.read() as tx:
        before = tx.ledger.newest(limit=1)
    deliver(workspace, no_picture, NOW)
    assert capsys.readouterr().out
    with workspace.database.read() as tx:
        assert tx.ledger.newest(limit=1) == before
