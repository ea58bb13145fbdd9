"""The loop's decision: pure, one cycle at a time, requests before all else, and each trigger by exactly its facts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loop.known import (
    ALL,
    CYCLE,
    DRIFT,
    NO_SCHEDULE,
    NOW,
    QUALITY,
    QUIET,
    REQUEST,
    STALE,
    any_facts,
    declared,
    grown,
    in_progress,
    moments,
    opened,
    recorded,
    with_triggers,
)

import mainspring as ms
from mainspring.loop import (
    Advance,
    BeginRollout,
    Cycle,
    CycleState,
    Expire,
    Facts,
    HeldBy,
    Hold,
    Judge,
    Promote,
    Register,
    RollBack,
    RolloutFact,
    Start,
    Train,
    TriggerKind,
    decide,
    standings,
)

# --- whatever the facts -------------------------------------------------------------------------------------------


@given(facts=any_facts())
def test_the_same_facts_give_the_same_act_also_when_they_are_read_back(facts: Facts) -> None:
    recorded = pickle.dumps(facts)
    assert decide(facts) == decide(pickle.loads(recorded)) == decide(facts)
    assert pickle.loads(recorded) == facts


@given(facts=any_facts())
def test_nothing_is_started_while_a_cycle_is_open(facts: Facts) -> None:
    action = decide(facts)
    if facts.open_cycle is not None:
        assert not isinstance(action, Start)
    else:
        assert action is None or isinstance(action, Start | Hold)


@given(facts=any_facts())
def test_a_cycle_starts_exactly_when_a_trigger_is_told_to_be_ready(facts: Facts) -> None:
    found, action = standings(facts), decide(facts)
    ready = [each for each in found if each.causes and not each.held]
    carried_on = facts.open_cycle is not None and action is not None and not isinstance(action, Hold)
    assert isinstance(action, Start) == bool(ready)
    assert not (carried_on and ready)
    if isinstance(action, Start):
        assert action.cause == ready[0].causes[0].name


@given(facts=any_facts())
def test_all_that_is_told_to_hold_a_cause_back_is_recorded_and_nothing_else(facts: Facts) -> None:
    expected = {
        f"{held.by}:{cause.name}" for each in standings(facts) for cause in each.causes for held in each.held
    }
    action = decide(replace(facts, held=frozenset()))
    if action is None or isinstance(action, Hold):
        assert recorded(replace(facts, held=frozenset())).held == expected


@given(facts=any_facts())
def test_in_the_cool_down_nothing_is_started_but_what_a_person_asked_for(facts: Facts) -> None:
    action = decide(declared(facts, retrain=ALL, cool_down="5000w"))
    if isinstance(action, Start) and facts.cycles:
        assert action.trigger is TriggerKind.ON_DEMAND
        assert action.request in facts.requests


@given(facts=any_facts())
def test_nothing_is_started_before_every_dataset_has_a_version(facts: Facts) -> None:
    if facts.data.keys() != {"flights", "weather"}:
        assert not isinstance(decide(facts), Start)


@given(facts=any_facts())
def test_what_is_held_back_is_recorded_once(facts: Facts) -> None:
    while isinstance(action := decide(facts), Hold):
        assert action.held
        assert not action.keys & facts.held
        facts = replace(facts, held=facts.held | action.keys)


@given(facts=any_facts(), cool_down=st.sampled_from([None, "0s", "30d"]))
def test_what_time_alone_holds_back_starts_when_the_last_hold_lets_go(
    facts: Facts, cool_down: str | None
) -> None:
    facts = with_triggers(facts, ms.OnNewData(rows=1_000, cool_down=cool_down))
    (found,) = standings(facts)
    ends = [held.until for held in found.held if held.until is not None]
    if found.causes and ends and len(ends) == len(found.held):
        (later,) = standings(replace(facts, now=max(ends)))
        # The longest may end within hours that are quiet again.
        assert {held.by for held in later.held} <= {HeldBy.QUIET_HOURS}
        (before,) = standings(replace(facts, now=max(ends) - timedelta(microseconds=1)))
        assert before.held


# --- a cycle in progress -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "act"),
    [
        (CycleState.STARTED, Train),
        (CycleState.TRAINED, Judge),
        (CycleState.JUDGED, Register),
        (CycleState.REGISTERED, BeginRollout),
    ],
)
def test_an_open_cycle_is_carried_on_from_its_state_whatever_else_is_ready(
    state: CycleState, act: Callable[[Cycle], Any]
) -> None:
    cycle = replace(CYCLE, state=state)
    ready = grown(replace(QUIET, cycles=(cycle,), requests=(REQUEST,), alarms=(QUALITY,)), 99_999)
    assert decide(ready) == act(cycle)


@pytest.mark.parametrize(
    ("kind", "act"),
    [("advance", Advance), ("promote", Promote), ("roll_back", RollBack), ("expire", Expire), ("hold", None)],
)
def test_a_rollout_goes_where_the_comparison_of_its_arms_says(
    kind: str, act: Callable[..., Any] | None
) -> None:
    cycle, fact = replace(CYCLE, state=CycleState.ROLLING_OUT), RolloutFact(kind=kind, reason="so")
    facts = with_triggers(replace(QUIET, cycles=(cycle,), rollout=fact), ms.OnDemand())
    assert decide(facts) == (act(cycle, fact) if act else None)
    assert decide(replace(facts, rollout=None)) is None


# --- the five triggers ----------------------------------------------------------------------------------------------


def started(facts: Facts) -> TriggerKind | None:
    action = decide(facts)
    assert action is None or isinstance(action, Start)
    return action.trigger if action else None


def test_nothing_ready_starts_nothing() -> None:
    assert decide(NO_SCHEDULE) is None


def test_a_request_comes_first_and_ignores_the_cool_down() -> None:
    ready = grown(replace(QUIET, requests=(REQUEST,), alarms=(QUALITY, DRIFT)), 99_999)
    for facts in (ready, opened(ready, NOW)):
        action = decide(facts)
        assert isinstance(action, Start)
        assert (action.trigger, action.request, action.cause) == (
            TriggerKind.ON_DEMAND,
            REQUEST,
            "request r1",
        )
        assert action.evidence == "ana asked: to see"


def test_the_oldest_request_is_taken_first() -> None:
    second = replace(REQUEST, request_id="r2")
    action = decide(replace(QUIET, requests=(REQUEST, second)))
    assert isinstance(action, Start)
    assert action.request is REQUEST


def test_a_request_is_not_heard_where_the_product_does_not_train_on_demand() -> None:
    assert decide(with_triggers(replace(QUIET, requests=(REQUEST,)), ms.OnNewData(rows=1_000))) is None


@pytest.mark.parametrize(("added", "expected"), [(999, None), (1_000, TriggerKind.ON_NEW_DATA)])
def test_new_data_starts_a_cycle_at_the_declared_number_of_rows(
    added: int, expected: TriggerKind | None
) -> None:
    assert started(grown(NO_SCHEDULE, added)) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2013, 3, 1, 2, 59, 59, tzinfo=UTC), None),
        (datetime(2013, 3, 1, 3, tzinfo=UTC), TriggerKind.ON_SCHEDULE),
        (datetime(2013, 3, 1, 3, 0, 0, 1, tzinfo=UTC), TriggerKind.ON_SCHEDULE),
        (datetime(2013, 3, 9, 23, 59, 59, 999_999, tzinfo=UTC), TriggerKind.ON_SCHEDULE),
    ],
)
def test_a_schedule_starts_a_cycle_from_its_moment_on(now: datetime, expected: TriggerKind | None) -> None:
    assert started(replace(QUIET, now=now)) is expected


def test_a_schedule_that_was_answered_is_over() -> None:
    for at in (datetime(2013, 3, 1, 3, tzinfo=UTC), datetime(2013, 3, 1, 3, 0, 1, tzinfo=UTC)):
        assert decide(opened(replace(QUIET, now=at + timedelta(days=8)), at)) is None


@pytest.mark.parametrize("cron", ["0 3 1 * *", "*/5 * * * *", "0 0 29 2 *"])
def test_many_missed_moments_of_a_schedule_are_one_reason_named_after_the_last(cron: str) -> None:
    facts = with_triggers(opened(replace(QUIET, now=NOW.replace(year=2033))), ms.OnSchedule(cron))
    action = decide(facts)
    assert isinstance(action, Start)
    last = {
        "0 3 1 * *": "2033-03-01T03:00",
        "*/5 * * * *": "2033-03-05T12:00",
        "0 0 29 2 *": "2032-02-29T00:00",
    }
    assert action.cause.startswith(f"schedule {last[cron]}")
    assert decide(opened(facts, facts.now)) is None


@given(now=moments, since=moments, cron=st.sampled_from(["0 3 1 * *", "15 */6 * * *", "30 4 * * 1"]))
def test_a_schedule_is_due_only_by_a_moment_after_the_last_cycle_and_not_after_now(
    now: datetime, since: datetime, cron: str
) -> None:
    facts = with_triggers(opened(replace(QUIET, now=now, declared_at=since)), ms.OnSchedule(cron))
    action = decide(facts)
    if isinstance(action, Start):
        due = datetime.fromisoformat(action.cause.removeprefix("schedule "))
        assert since < due <= now
    else:
        longest = {"0 3 1 * *": 31, "15 */6 * * *": 1, "30 4 * * 1": 7}
        assert now - since <= timedelta(days=longest[cron])


def test_degradation_starts_a_cycle_by_an_alarm_about_quality_alone() -> None:
    facts = with_triggers(QUIET, ms.OnDegradation())
    assert started(replace(facts, alarms=(DRIFT, STALE))) is None
    assert started(replace(facts, alarms=(STALE, QUALITY))) is TriggerKind.ON_DEGRADATION


def test_drift_starts_a_cycle_only_with_harm_unless_it_is_set_to_start_alone() -> None:
    harmless = replace(QUIET, alarms=(replace(DRIFT, harm=""), QUALITY, STALE))
    assert started(with_triggers(harmless, ms.OnDrift())) is None
    assert started(with_triggers(harmless, ms.OnDrift(alone=True))) is TriggerKind.ON_DRIFT
    action = decide(with_triggers(replace(QUIET, alarms=(DRIFT,)), ms.OnDrift()))
    assert isinstance(action, Start)
    assert action.trigger is TriggerKind.ON_DRIFT
    assert action.evidence == "input_drift: wind moved; log loss has risen"


def test_of_several_ready_triggers_the_one_that_is_declared_first_starts_the_cycle() -> None:
    ready = grown(replace(QUIET, alarms=(QUALITY, DRIFT)), 99_999)
    assert started(ready) is TriggerKind.ON_DRIFT
    turned = with_triggers(ready, *reversed(ALL))
    assert started(turned) is TriggerKind.ON_NEW_DATA


@pytest.mark.parametrize("missing", ["flights", "weather"])
def test_nothing_starts_without_data_not_even_by_request(missing: str) -> None:
    data = {name: fact for name, fact in QUIET.data.items() if name != missing}
    action = decide(replace(QUIET, data=data, requests=(REQUEST,)))
    assert isinstance(action, Hold)
    assert [held.why for held in action.held] == [f"dataset {missing!r} has no version yet"]


def test_the_cool_down_holds_each_cause_once_and_then_lets_it_start() -> None:
    at = NOW - timedelta(days=1)
    facts = grown(opened(replace(NO_SCHEDULE, alarms=(QUALITY,)), at), 99_999)
    first = decide(facts)
    assert isinstance(first, Hold)
    (held,) = first.held
    assert (first.trigger, held.until) == (TriggerKind.ON_DEGRADATION, at + timedelta(days=7))
    second = decide(replace(facts, held=first.keys))
    assert isinstance(second, Hold)
    assert second.trigger is TriggerKind.ON_NEW_DATA
    known = replace(facts, held=first.keys | second.keys)
    assert decide(known) is None
    assert held.until is not None
    action = decide(replace(known, now=held.until))
    assert isinstance(action, Start)
    assert action.cause == first.cause


def test_what_an_open_cycle_holds_back_is_recorded_while_its_rollout_waits() -> None:
    facts = grown(in_progress(replace(NO_SCHEDULE, rollout=RolloutFact(kind="hold", reason="so"))), 2_000)
    action = decide(facts)
    assert isinstance(action, Hold)
    assert [held.by for held in action.held] == [HeldBy.OPEN_CYCLE, HeldBy.COOL_DOWN]
    assert decide(replace(facts, held=action.keys)) is None
