"""Triggers of a product in a workspace: what they see there, what is recorded of them, and what can be asked."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from tests.operate.tiny import PRODUCT, ask
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.errors import Faults, Invalid
from mainspring.events import EventType
from mainspring.governance import Entry
from mainspring.loop import Cycle, TriggerKind
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.observe import observe
from mainspring.operate.request import request_training
from mainspring.operate.status import cycle_rows
from mainspring.operate.why_not import TriggerRow, WhyNot, why_not
from mainspring.workspace import Workspace

TINY = (PRODUCT / "product.py").read_text()
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TRAINED = FIRST + 30 * DAY + 12 * HOUR


def retrain_by(workspace: Workspace, *triggers: str, **declared: str) -> None:
    """Declare the product with other triggers."""
    start, end = TINY.index("    retrain=["), TINY.index('    holdout="5d"')
    lines = [
        f"    retrain=[{', '.join(triggers)}],",
        *(f"    {name}={text}," for name, text in declared.items()),
    ]
    text = TINY[:start] + "\n".join(lines) + "\n" + TINY[end:]
    if "cool_down" in declared:
        text = text.replace('    cool_down="3d",\n', "")
    (workspace.settings.root / "product.py").write_text(text)
    declare(workspace, actor="test")


def publish(workspace: Workspace, day: int, days: int) -> None:
    """Publish orders of some days, in the night after the last of them."""
    workspace.advance(FIRST + (day + days) * DAY)
    add_batch(workspace, "orders", parquet(orders(FIRST + day * DAY, days=days)), actor="test")


def cycles(workspace: Workspace) -> tuple[Cycle, ...]:
    with workspace.database.read() as tx:
        return tx.loop.cycles("tiny")


def held(workspace: Workspace) -> list[Entry]:
    with workspace.database.read() as tx:
        return [entry for entry in tx.ledger.entries() if entry.type == EventType.TRIGGER_HELD]


def only(found: WhyNot) -> TriggerRow:
    (row,) = found.triggers
    return row


# --- what they see -------------------------------------------------------------------------------------------------


def test_event_time_is_read_for_the_triggers_that_ask_for_it(workspace: Workspace) -> None:
    publish(workspace, 30, 3)
    for trigger, asked in (
        ("ms.OnNewData()", False),
        ("ms.AllOf((ms.AnyOf((ms.OnNewData(days=2),)),))", True),
    ):
        retrain_by(workspace, trigger)
        with workspace.database.read() as tx:
            (spec,) = workspace.specs(tx).values()
        fact = observe(workspace, spec).data["orders"]
        assert (fact.version, fact.rows - fact.rows_trained > 0) == (2, True)
        assert (fact.newest is not None, fact.newest_trained is not None) == (asked, asked)
    assert fact.newest is not None
    assert fact.newest_trained is not None
    assert (fact.newest.date() - fact.newest_trained.date()).days == 3
    assert FIRST + 32 * DAY < fact.newest < FIRST + 33 * DAY


def test_days_of_event_time_start_a_cycle(workspace: Workspace) -> None:
    retrain_by(workspace, "ms.OnNewData(days=5)")
    publish(workspace, 30, 4)
    turn(workspace)
    assert len(cycles(workspace)) == 1
    publish(workspace, 34, 1)
    turn(workspace)
    _, second = cycles(workspace)
    assert second.trigger is TriggerKind.ON_NEW_DATA
    assert second.evidence.endswith("5 new days of event time, of 5 needed")


def test_a_schedule_that_needs_fresh_data_waits_for_it(workspace: Workspace) -> None:
    retrain_by(
        workspace, 'ms.AllOf((ms.OnSchedule("0 3 * * 1", tz="Europe/Berlin"), ms.OnNewData(fresh="12h")))'
    )
    workspace.advance(TRAINED + 9 * DAY)
    turn(workspace)
    assert len(cycles(workspace)) == 1
    publish(workspace, 38, 2)
    turn(workspace)
    second = cycles(workspace)[-1]
    assert (second.number, second.trigger) == (2, TriggerKind.ALL_OF)
    assert second.parts == (TriggerKind.ON_SCHEDULE, TriggerKind.ON_NEW_DATA)
    assert "in Europe/Berlin fell due at" in second.evidence
    assert "old, of 12h allowed" in second.evidence
    with workspace.database.read() as tx:
        started = [each for each in tx.ledger.entries() if each.type == EventType.CYCLE_STARTED]
    told = json.loads(started[-1].data)
    assert (told["trigger"], told["parts"]) == ("all_of", ["on_schedule", "on_new_data"])
    assert "parts" not in json.loads(started[0].data)
    assert only(why_not(workspace, "tiny")).kind == "all_of"
    row = cycle_rows(workspace, "tiny")[-1]
    assert (row.trigger, row.trigger_text) == ("all_of", "all_of (on_schedule, on_new_data)")


# --- what is recorded ----------------------------------------------------------------------------------------------


def test_what_holds_a_trigger_back_is_in_the_ledger_once_each(workspace: Workspace) -> None:
    retrain_by(
        workspace,
        "ms.OnNewData(rows=1)",
        cool_down='"3d"',
        quiet_hours='[ms.QuietHours("23:00", "05:00")]',
        cycle_budget='ms.CycleBudget(1, per="10d")',
    )
    publish(workspace, 30, 1)  # at midnight
    for hours in (12, 13, 24, 72, 200):
        workspace.advance(TRAINED + hours * HOUR)
        turn(workspace)
        turn(workspace)
    (entry,) = held(workspace)
    told = json.loads(entry.data)
    assert told["held_by"] == ["cool_down", "quiet_hours", "cycle_budget"]
    assert told["cause"] == "data orders@v2"
    for said in (
        "new rows up to orders@v2",
        "cooling down until",
        "quiet hours until",
        "1 cycles started in 10d, 1 allowed",
    ):
        assert said in entry.reason
    assert len(cycles(workspace)) == 1
    workspace.advance(TRAINED + 10 * DAY)  # by day, when the budget lets go as the last of them
    turn(workspace)
    assert len(cycles(workspace)) == 2


def test_a_missed_schedule_is_in_the_ledger_and_waits_for_the_next(workspace: Workspace) -> None:
    retrain_by(workspace, 'ms.OnSchedule("0 3 * * *", start_within="2h")', cool_down='"0s"')
    workspace.advance(TRAINED + DAY)
    turn(workspace)
    (entry,) = held(workspace)
    assert json.loads(entry.data)["held_by"] == ["missed"]
    assert "no cycle could start within 2h" in entry.reason
    workspace.advance(TRAINED + DAY + 16 * HOUR)
    turn(workspace)
    assert [cycle.trigger for cycle in cycles(workspace)][1:] == [TriggerKind.ON_SCHEDULE]


def test_an_open_cycle_holds_back_what_comes_meanwhile(workspace: Workspace) -> None:
    request_training(
        workspace, "tiny", request_id="1", actor="ana", reason="to see", params={"train.rounds": 22}
    )
    turn(workspace)
    assert why_not(workspace, "tiny").triggers[0].held[0].by == "open_cycle"
    request_training(workspace, "tiny", request_id="2", actor="ana", reason="once more")
    turn(workspace)
    (entry,) = held(workspace)
    assert entry.reason == "ana asked: once more; cycle 2 is open"
    assert len(cycles(workspace)) == 2


def test_a_request_that_no_trigger_would_take_up_is_refused(workspace: Workspace) -> None:
    retrain_by(workspace, "ms.OnNewData()")
    with pytest.raises(Faults) as refused:
        request_training(workspace, "tiny", request_id="1", actor="ana", reason="to see")
    assert "ms.OnDemand()" in str(refused.value)


# --- what can be asked ---------------------------------------------------------------------------------------------


def test_why_not_says_what_is_lacking_until_the_cycle_starts_and_afterwards(workspace: Workspace) -> None:
    retrain_by(workspace, "ms.OnNewData(rows=100)", cool_down='"2d"')
    at: list[datetime] = []

    def now() -> WhyNot:
        at.append(workspace.clock.now())
        return why_not(workspace, "tiny")

    told = [now()]
    assert (only(told[0]).ready, only(told[0]).causes) == (False, [])
    assert only(told[0]).needs == "100 new rows of orders"
    assert only(told[0]).held[0].until == TRAINED + 2 * DAY
    publish(workspace, 30, 1)
    told.append(now())
    assert (told[1].starts, only(told[1]).causes != []) == (False, True)
    workspace.advance(TRAINED + 2 * DAY)
    told.append(now())
    assert told[2].starts
    workspace.advance(TRAINED + 2 * DAY + HOUR)
    turn(workspace)
    assert cycles(workspace)[-1].number == 2
    for day in (32, 33):
        ask(workspace, orders(FIRST + day * DAY, days=1))
        publish(workspace, day, 1)
        turn(workspace)
    # Asked again about those moments, it says the same: only what was recorded by then counts.
    assert [why_not(workspace, "tiny", each) for each in at] == told


def test_a_monitor_that_cannot_see_is_not_taken_for_one_that_has_seen_nothing(workspace: Workspace) -> None:
    retrain_by(workspace, "ms.OnDegradation()", "ms.OnDrift()")
    for day in (30, 31):
        workspace.advance(FIRST + day * DAY + 13 * HOUR)
        ask(workspace, orders(FIRST + day * DAY, days=1), labelled=False)
        turn(workspace)
    blind = why_not(workspace, "tiny")
    degradation, drift = blind.triggers
    assert degradation.has == "none; quality:log_loss cannot tell: insufficient data"
    assert drift.has == "none"
    for day in (32, 33):
        workspace.advance(FIRST + day * DAY + 13 * HOUR)
        ask(workspace, orders(FIRST + day * DAY, days=1))
        turn(workspace)
    assert why_not(workspace, "tiny").triggers[0].has == "none"
    # Asked again about that moment, it says the same.
    assert why_not(workspace, "tiny", blind.at) == blind


def test_a_trigger_tells_when_it_last_fired_and_not_when_another_of_its_kind_did(
    workspace: Workspace,
) -> None:
    nightly, weekly = 'ms.OnSchedule("0 3 * * *")', 'ms.OnSchedule("0 3 * * sun", cool_down="1h")'
    retrain_by(workspace, nightly, weekly, cool_down='"2d"', cycle_budget='ms.CycleBudget(3, per="10d")')
    before = workspace.clock.now()
    workspace.advance(TRAINED + 2 * DAY)
    turn(workspace)
    first, second = why_not(workspace, "tiny").triggers
    assert (first.last_fired, second.last_fired) == (TRAINED + 2 * DAY, None)
    assert first.next_due == FIRST + 33 * DAY + 3 * HOUR
    assert (first.cool_down, second.cool_down) == ("2d", "1h")
    assert "held back: " not in second.told
    budget = why_not(workspace, "tiny").cycle_budget
    assert budget is not None
    assert (budget.at_most, budget.per, budget.spent, budget.left) == (3, "10d", 2, 1)
    assert budget.seconds > 0
    past = why_not(workspace, "tiny", before)
    assert [each.last_fired for each in past.triggers] == [None, None]
    assert past.cycle_budget is not None
    assert past.cycle_budget.spent == 1


def test_a_moment_of_which_nothing_can_be_known_is_refused(workspace: Workspace) -> None:
    for at, said in (
        (workspace.clock.now() + HOUR, "lies in the future"),
        (FIRST - 9999 * DAY, "it was declared at"),
    ):
        with pytest.raises(Invalid, match=said):
            why_not(workspace, "tiny", at)


def test_the_champion_of_a_past_moment_is_the_one_that_was_promoted_by_then(workspace: Workspace) -> None:
    with workspace.database.read() as tx:
        (spec,) = workspace.specs(tx).values()
    (first,) = cycles(workspace)
    assert observe(workspace, spec).champion == 1
    assert observe(workspace, spec, workspace.clock.now()).champion == 1
    assert first.closed_at is not None
    before = observe(workspace, spec, first.closed_at - timedelta(seconds=1))
    assert (before.champion, before.cycles, before.data) == (None, (), {})
