"""Watching: traffic like that of training is quiet, moved inputs and worse answers are not, and each is said once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs
from tests.operate.tiny import ask, head, labels, train_first
from tests.operate.watching import DAY, live, moved, spec
from tests.products.tiny.orders import FIRST, orders

from mainspring.events import EventType
from mainspring.loop import Cycle, TriggerKind
from mainspring.monitoring import AlarmState
from mainspring.monitors import Quality, Staleness
from mainspring.operate.alarms import replay
from mainspring.operate.budget import BudgetDay
from mainspring.operate.controller import turn
from mainspring.operate.end_alarms import end_alarms
from mainspring.operate.ingest import ingest
from mainspring.operate.observe import observe
from mainspring.operate.request import request_training
from mainspring.operate.status import budget_days, product_status
from mainspring.operate.watch import unanswered, watch
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace


def test_traffic_like_that_of_training_raises_no_alarm(workspace: Workspace) -> None:
    assert live(workspace, range(1, 31)) == {}


def test_moved_inputs_raise_an_alarm_that_names_them(workspace: Workspace) -> None:
    before = head(workspace)[0]
    spoken = live(workspace, range(1, 15), moved)
    day, alarm = spoken["input_drift"]
    assert day <= 10
    assert (alarm.product, alarm.about, alarm.version) == ("tiny", "drift", 1)
    assert "amount > " in alarm.evidence
    assert "hour" not in alarm.evidence
    with workspace.database.read() as tx:
        entries = list(tx.ledger.entries(after=before))
        assert tx.monitoring.alarms("tiny") == tuple(each for _, each in spoken.values())
    assert {entry.type for entry in entries} == {EventType.ALARM_RAISED}
    assert {entry.actor for entry in entries} == set(spoken)
    assert (entries[0].subject, entries[0].reason) == ("tiny@1", next(iter(spoken.values()))[1].evidence)


def test_worse_answers_raise_an_alarm_about_quality_alone(workspace: Workspace) -> None:
    spoken = live(workspace, range(1, 15), turned=True)
    assert spoken.keys() == {"quality:log_loss"}
    _, alarm = spoken["quality:log_loss"]
    assert (alarm.about, alarm.version) == ("quality", 1)
    assert "log_loss" in alarm.evidence
    (fact,) = observe(workspace, spec(workspace)).alarms
    assert (fact.monitor, fact.about, fact.at, fact.harm) == ("quality:log_loss", "quality", alarm.at, "")


@pytest.mark.parametrize("labels_within", ["0d", "7d"])
def test_bad_outcomes_that_are_known_first_are_no_alarm_while_labels_are_waited_for(
    workspace: Workspace, labels_within: str
) -> None:
    declared = spec(workspace)
    monitor = Quality("log_loss", labels_within=labels_within)
    changed = structs.replace(declared, monitors=(monitor, Staleness("45d")))
    spoken: dict[str, int] = {}
    for day in range(1, 12):
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        spoken |= {alarm.monitor: day for alarm in watch(workspace, changed)}
        first = FIRST + (30 + day) * DAY
        ask(workspace, orders(first, days=1), labelled=False)
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            writer.append([labels(orders(first, days=1, turned=True).head(60), at=workspace.clock.now())])
            writer.roll()
        ingest(workspace)
    # Labels that do not come in a week are taken never to come, and then the bad ones are all there is.
    day = spoken["quality:log_loss"]
    assert (day > 7) == (labels_within == "7d")
    with workspace.database.read() as tx:
        (alarm,) = tx.monitoring.alarms("tiny")
    assert replay(workspace, alarm.alarm_id).same


@pytest.mark.parametrize("turned", [False, True])
def test_drift_comes_with_harm_only_where_labels_show_it(workspace: Workspace, turned: bool) -> None:
    def rarer(rows: pl.DataFrame) -> pl.DataFrame:
        # The shares of the hours have moved, which has nothing to do with who pays late.
        return rows.with_columns(hour=pl.col("hour") // 2)

    live(workspace, range(1, 15), rarer, turned=turned)
    drift = [fact for fact in observe(workspace, spec(workspace)).alarms if fact.monitor == "input_drift"]
    assert [bool(fact.harm) for fact in drift] == [turned]
    assert not turned or "on the hold-out it was" in drift[0].harm


def test_a_champion_that_is_too_old_raises_an_alarm_on_the_day_after(workspace: Workspace) -> None:
    made = workspace.clock.now()
    workspace.advance(made + 45 * DAY)
    assert watch(workspace, spec(workspace)) == ()
    workspace.advance(made + 46 * DAY)
    (alarm,) = watch(workspace, spec(workspace))
    assert (alarm.monitor, alarm.about) == ("staleness", "staleness")
    assert alarm.evidence == "tiny@1 is 46 days old, 45d allowed"


def test_a_monitor_looks_once_a_day_and_speaks_once_until_a_cycle_has_started(workspace: Workspace) -> None:
    workspace.advance(FIRST + 90 * DAY)
    (alarm,) = watch(workspace, spec(workspace))
    before = head(workspace)
    for _ in range(3):
        assert watch(workspace, spec(workspace)) == ()
        workspace.advance(workspace.clock.now() + DAY)
    assert head(workspace) == before
    with workspace.database.write() as tx:
        assert unanswered(tx, "tiny", 1) == (alarm,)
        cycle = Cycle(
            cycle_id="c2",
            product="tiny",
            number=2,
            trigger=TriggerKind.ON_DEMAND,
            evidence="asked",
            actor="ana",
            params={},
            data={"orders": 1},
            opened_at=workspace.clock.now(),
        )
        tx.loop.open(cycle)
        assert unanswered(tx, "tiny", 1) == ()
    workspace.advance(workspace.clock.now() + DAY)
    (again,) = watch(workspace, spec(workspace))
    assert again.monitor == "staleness"


def test_what_was_said_of_an_earlier_champion_is_over(workspace: Workspace) -> None:
    workspace.advance(FIRST + 90 * DAY)
    (alarm,) = watch(workspace, spec(workspace))
    with workspace.database.read() as tx:
        assert unanswered(tx, "tiny", 1) == (alarm,)
        assert unanswered(tx, "tiny", 2) == ()
        assert unanswered(tx, "tiny", None) == ()


def test_an_alarm_that_is_over_is_told_once_with_the_reason(workspace: Workspace) -> None:
    workspace.advance(FIRST + 90 * DAY)
    (alarm,) = watch(workspace, spec(workspace))
    for _ in range(2):
        end_alarms(workspace, spec(workspace))
    assert over(workspace) == []
    request_training(workspace, "tiny", request_id="r", actor="ana", reason="it is old")
    for _ in range(2):
        turn(workspace)
    assert over(workspace) == [(alarm.alarm_id, "cycle 2 trains since")]


def test_an_alarm_that_starts_a_cycle_within_its_own_turn_is_told_to_be_over(tmp_path: Path) -> None:
    def answering(text: str) -> str:
        return text.replace("retrain=[", "retrain=[ms.OnDegradation(cool_down='0s'), ")

    with open_workspace(train_first(tmp_path / "root", answering)) as workspace:
        for day in range(1, 15):
            workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
            ask(workspace, orders(FIRST + (30 + day) * DAY, days=1, turned=True))
            if turn(workspace).alarms:
                break
        with workspace.database.read() as tx:
            raised = [alarm.alarm_id for alarm in tx.monitoring.alarms("tiny")]
            started = tx.loop.cycles("tiny")[-1]
        assert raised
        assert started.trigger is TriggerKind.ON_DEGRADATION
        assert over(workspace) == [(alarm_id, "cycle 2 trains since") for alarm_id in sorted(raised)]


def over(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.database.read() as tx:
        return [
            (json.loads(each.data)["alarm"], each.reason)
            for each in tx.ledger.entries()
            if each.type == "alarm.over"
        ]


def test_before_the_first_champion_there_is_nothing_to_watch(empty: Workspace) -> None:
    empty.advance(FIRST + 90 * DAY)
    assert watch(empty, spec(empty)) == ()


def test_a_drift_alarm_is_suspected_until_labels_show_harm(workspace: Workspace) -> None:
    def rarer(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(hour=pl.col("hour") // 2)

    _, alarm = live(workspace, range(1, 15), rarer)["input_drift"]
    assert alarm.state is AlarmState.SUSPECTED
    for day in range(15, 30):
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        watch(workspace, spec(workspace))
        ask(workspace, rarer(orders(FIRST + (30 + day) * DAY, days=1, turned=True)))
        ingest(workspace)
    with workspace.database.read() as tx:
        assert tx.monitoring.alarm(alarm.alarm_id) == replace(alarm, state=AlarmState.CONFIRMED)
        told = [entry for entry in tx.ledger.entries() if entry.type == EventType.ALARM_CONFIRMED]
    (once,) = [entry for entry in told if alarm.alarm_id in entry.data]
    assert "on the hold-out it was" in once.reason


def test_a_monitor_that_cannot_judge_is_named_and_keeps_no_other_from_looking(workspace: Workspace) -> None:
    # Declared after the champion was made, whose reference therefore has no such table.
    declared = spec(workspace)
    changed = structs.replace(declared, monitors=(Quality("error"), *declared.monitors))
    with workspace.database.write() as tx:
        tx.values.put("product:tiny", changed.to_json())
    workspace.advance(FIRST + 90 * DAY)
    assert [alarm.monitor for alarm in watch(workspace, changed)] == ["staleness"]
    rows = {row.monitor: row for row in product_status(workspace, "tiny").budget}
    assert rows["quality:error"].outcome == "could_not_judge"
    assert "no metric 'error' to watch" in rows["quality:error"].told
    assert rows["quality:log_loss"].outcome == "insufficient_data"


def test_the_budget_says_what_looks_have_spent_and_what_is_left(workspace: Workspace) -> None:
    live(workspace, range(1, 11))
    rows = {row.monitor: row for row in product_status(workspace, "tiny").budget}
    assert sum(row.declared for row in rows.values()) == pytest.approx(1)
    for name in ("input_drift", "prediction_drift", "quality:log_loss"):
        row = rows[name]
        assert (row.looks, row.period_days, row.raised, row.outcome) == (10, 30, 0, "quiet")
        assert row.spent == pytest.approx((4 / 3) ** (1 / 3) - 1)
        assert row.spent + row.left == pytest.approx(1 / 3)
    # What does not bet cannot be wrong.
    assert (rows["staleness"].spent, rows["staleness"].left) == (0.0, 0.0)


def test_the_budget_by_day_begins_with_nothing_never_falls_and_ends_with_what_is_spent(
    workspace: Workspace,
) -> None:
    live(workspace, range(1, 8))
    live(workspace, range(8, 18), moved)
    rows = {row.monitor: row for row in product_status(workspace, "tiny").budget}
    by_monitor: dict[str, list[BudgetDay]] = {}
    for each in budget_days(workspace, "tiny"):
        by_monitor.setdefault(each.monitor, []).append(each)
    assert by_monitor.keys() == {"input_drift", "prediction_drift", "quality:log_loss"}
    for monitor, days in by_monitor.items():
        assert [each.day for each in days] == [
            workspace.clock.now().date() - n * DAY for n in reversed(range(30))
        ]
        assert (days[0].looks, days[0].spent) == (0, 0.0)
        assert all(after.spent >= before.spent for before, after in pairwise(days))
        assert (days[-1].looks, days[-1].spent) == (rows[monitor].looks, rows[monitor].spent)
        assert sum(each.raised for each in days) == rows[monitor].raised
    assert sum(row.raised for row in rows.values()) > 0


def test_only_looks_of_the_last_period_count_and_one_that_has_spoken_does_not_look(
    workspace: Workspace,
) -> None:
    live(workspace, range(1, 41), moved)
    rows = {row.monitor: row for row in product_status(workspace, "tiny").budget}
    assert (rows["staleness"].looks, rows["staleness"].left) == (30, 0.0)
    assert (rows["input_drift"].looks, rows["input_drift"].outcome) == (0, "alarm")
