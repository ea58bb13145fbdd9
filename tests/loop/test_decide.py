"""The loop's decision: pure, one cycle at a time, requests before all else, and each trigger by exactly its facts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.clock import parse_duration
from mainspring.loop import (
    Advance,
    AlarmFact,
    BeginRollout,
    Cycle,
    CycleState,
    Expire,
    Facts,
    Hold,
    Judge,
    Promote,
    Register,
    RollBack,
    RolloutFact,
    Start,
    Train,
    TrainingRequest,
    TriggerKind,
    decide,
)
from mainspring.product import DatasetSpec, ProductSpec, Trigger

DECLARED = datetime(2013, 1, 1, tzinfo=UTC)
NOW = datetime(2013, 3, 5, 12, tzinfo=UTC)
ALL: tuple[Trigger, ...] = (
    ms.OnDrift(),
    ms.OnDegradation(),
    ms.OnSchedule("0 3 1 * *"),
    ms.OnNewData(rows=1_000),
    ms.OnDemand(),
)
SPEC = ProductSpec(
    name="late",
    file="product.py",
    task=ms.BinaryClassification("late"),
    data=DatasetSpec("flights", ("id",), "at", "known", 0.01, ()),
    sources=(DatasetSpec("weather", ("id",), "at", None, 0.01, ()),),
    inputs=(),
    steps=(),
    gates=(),
    features=(),
    rollout=ms.Canary(),
    monitors=(),
    retrain=ALL,
    alarm_budget=ms.FalseAlarms(),
    holdout="10d",
    cool_down="7d",
    seed=0,
)
QUIET = Facts(
    spec=SPEC,
    now=NOW,
    newest={"flights": 3, "weather": 5},
    rows=5_000,
    rows_trained=5_000,
    champion=1,
    open_cycle=None,
    last_opened_at=datetime(2013, 3, 1, 3, tzinfo=UTC) - timedelta(days=20),
    declared_at=DECLARED,
)
NO_SCHEDULE = replace(
    QUIET,
    spec=msgspec.structs.replace(SPEC, retrain=tuple(t for t in ALL if not isinstance(t, ms.OnSchedule))),
)
CYCLE = Cycle(
    cycle_id="c1",
    product="late",
    number=2,
    trigger=TriggerKind.ON_DEMAND,
    evidence="ana asked",
    actor="ana",
    params={},
    data={"flights": 3, "weather": 5},
    opened_at=NOW,
)
REQUEST = TrainingRequest(
    request_id="r1", product="late", params={"train.rounds": 3}, data={}, actor="ana", reason="to see", at=NOW
)
DRIFT = AlarmFact(
    monitor="input_drift", about="drift", at=NOW, evidence="wind moved", harm="log loss has risen"
)
QUALITY = AlarmFact(monitor="quality:log_loss", about="quality", at=NOW, evidence="log loss has risen")
STALE = AlarmFact(monitor="staleness", about="staleness", at=NOW, evidence="46 days old")


def with_triggers(facts: Facts, *triggers: Trigger) -> Facts:
    return replace(facts, spec=msgspec.structs.replace(facts.spec, retrain=triggers))


# --- whatever the facts -------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(2013, 1, 1), datetime(2014, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
requests = st.builds(
    TrainingRequest,
    request_id=st.uuids().map(str),
    product=st.just("late"),
    params=st.just({}),
    data=st.just({}),
    actor=st.just("ana"),
    reason=st.text("ab ", max_size=5),
    at=moments,
)
alarms = st.builds(
    AlarmFact,
    monitor=st.sampled_from(["input_drift", "quality:log_loss", "staleness"]),
    about=st.sampled_from(["drift", "quality", "staleness"]),
    at=moments,
    evidence=st.just("it moved"),
    harm=st.sampled_from(["", "log loss has risen"]),
)
rollout_facts = st.builds(
    RolloutFact,
    kind=st.sampled_from(["hold", "advance", "promote", "roll_back", "expire"]),
    reason=st.just("so"),
)
triggers: st.SearchStrategy[Trigger] = st.one_of(
    st.just(ms.OnDemand()),
    st.builds(ms.OnSchedule, st.sampled_from(["0 3 1 * *", "*/5 * * * *", "0 0 29 2 *", "30 4 * * 1"])),
    st.builds(ms.OnNewData, st.integers(1, 3_000)),
    st.just(ms.OnDegradation()),
    st.builds(ms.OnDrift, st.booleans()),
)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    now = draw(moments)
    spec = msgspec.structs.replace(
        SPEC,
        retrain=tuple(draw(st.lists(triggers, max_size=5))),
        cool_down=draw(st.sampled_from(["0s", "1h", "7d", "5000w"])),
    )
    state = draw(st.none() | st.sampled_from(list(CycleState)))
    facts = replace(
        QUIET,
        spec=spec,
        now=now,
        newest=draw(
            st.dictionaries(
                st.sampled_from(["flights", "weather"]), st.integers(1, 9), min_size=0, max_size=2
            )
        ),
        rows=draw(st.integers(0, 10_000)),
        rows_trained=draw(st.integers(0, 10_000)),
        champion=draw(st.none() | st.integers(1, 9)),
        open_cycle=replace(CYCLE, state=state) if state and state is not CycleState.CLOSED else None,
        last_opened_at=draw(st.none() | moments.filter(lambda moment: moment <= now)),
        requests=tuple(draw(st.lists(requests, max_size=2))),
        alarms=tuple(draw(st.lists(alarms, max_size=3))),
        rollout=draw(st.none() | rollout_facts),
    )
    # Holding what is ready, as the controller would have recorded it on an earlier turn.
    if draw(st.booleans()) and isinstance(action := decide(facts), Hold):
        facts = replace(facts, held=frozenset({action.cause}))
    return facts


def cooling(facts: Facts) -> bool:
    if facts.last_opened_at is None:
        return False
    return facts.now - facts.last_opened_at < parse_duration(facts.spec.cool_down)


@given(facts=any_facts())
def test_the_same_facts_give_the_same_act_also_when_they_are_read_back(facts: Facts) -> None:
    recorded = pickle.dumps(facts)
    assert decide(facts) == decide(pickle.loads(recorded)) == decide(facts)
    assert pickle.loads(recorded) == facts


@given(facts=any_facts())
def test_nothing_is_started_or_held_while_a_cycle_is_open(facts: Facts) -> None:
    action = decide(facts)
    if facts.open_cycle is not None:
        assert not isinstance(action, Start | Hold)
    else:
        assert action is None or isinstance(action, Start | Hold)


@given(facts=any_facts())
def test_in_the_cool_down_nothing_is_started_but_what_a_person_asked_for(facts: Facts) -> None:
    action = decide(facts)
    if isinstance(action, Start) and cooling(facts):
        assert action.trigger is TriggerKind.ON_DEMAND
        assert action.request in facts.requests
    if isinstance(action, Hold):
        assert cooling(facts)
        assert facts.now < action.until
        assert action.cause not in facts.held


@given(facts=any_facts())
def test_nothing_is_started_before_every_dataset_has_a_version(facts: Facts) -> None:
    if facts.open_cycle is None and facts.newest.keys() != {"flights", "weather"}:
        assert decide(facts) is None


@given(facts=any_facts())
def test_recording_what_is_held_comes_to_an_end(facts: Facts) -> None:
    held: set[str] = set(facts.held)
    while isinstance(action := decide(replace(facts, held=frozenset(held))), Hold):
        assert action.cause not in held
        held.add(action.cause)


@given(facts=any_facts())
def test_a_ready_cause_waits_for_the_cool_down_and_then_starts_under_the_same_name(facts: Facts) -> None:
    action = decide(facts)
    if isinstance(action, Hold):
        after = decide(replace(facts, last_opened_at=facts.last_opened_at, now=action.until))
        assert isinstance(after, Start)


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
    ready = replace(QUIET, open_cycle=cycle, requests=(REQUEST,), alarms=(QUALITY,), rows=99_999)
    assert decide(ready) == act(cycle)


@pytest.mark.parametrize(
    ("kind", "act"),
    [("advance", Advance), ("promote", Promote), ("roll_back", RollBack), ("expire", Expire), ("hold", None)],
)
def test_a_rollout_goes_where_the_comparison_of_its_arms_says(
    kind: str, act: Callable[..., Any] | None
) -> None:
    cycle, fact = replace(CYCLE, state=CycleState.ROLLING_OUT), RolloutFact(kind=kind, reason="so")
    facts = replace(QUIET, open_cycle=cycle, rollout=fact)
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
    ready = replace(QUIET, requests=(REQUEST,), alarms=(QUALITY, DRIFT), rows=99_999)
    for facts in (ready, replace(ready, last_opened_at=NOW)):
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
    assert started(replace(NO_SCHEDULE, rows=NO_SCHEDULE.rows_trained + added)) is expected


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
    for opened in (datetime(2013, 3, 1, 3, tzinfo=UTC), datetime(2013, 3, 1, 3, 0, 1, tzinfo=UTC)):
        assert decide(replace(QUIET, last_opened_at=opened, now=opened + timedelta(days=8))) is None


@pytest.mark.parametrize("cron", ["0 3 1 * *", "*/5 * * * *", "0 0 29 2 *"])
def test_many_missed_moments_of_a_schedule_are_one_reason_named_after_the_last(cron: str) -> None:
    facts = with_triggers(
        replace(QUIET, last_opened_at=None, now=NOW.replace(year=2033)), ms.OnSchedule(cron)
    )
    action = decide(facts)
    assert isinstance(action, Start)
    last = {
        "0 3 1 * *": "2033-03-01T03:00",
        "*/5 * * * *": "2033-03-05T12:00",
        "0 0 29 2 *": "2032-02-29T00:00",
    }
    assert action.cause.startswith(f"schedule {last[cron]}")
    assert decide(replace(facts, last_opened_at=facts.now)) is None


@given(now=moments, since=moments, cron=st.sampled_from(["0 3 1 * *", "15 */6 * * *", "30 4 * * 1"]))
def test_a_schedule_is_due_only_by_a_moment_after_the_last_cycle_and_not_after_now(
    now: datetime, since: datetime, cron: str
) -> None:
    facts = with_triggers(
        replace(QUIET, now=now, last_opened_at=None, declared_at=since), ms.OnSchedule(cron)
    )
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
    ready = replace(QUIET, alarms=(QUALITY, DRIFT), rows=99_999)
    assert started(ready) is TriggerKind.ON_DRIFT
    turned = with_triggers(ready, *reversed(ALL))
    assert started(turned) is TriggerKind.ON_NEW_DATA


@pytest.mark.parametrize("missing", ["flights", "weather"])
def test_nothing_starts_without_data_not_even_by_request(missing: str) -> None:
    newest = {name: version for name, version in QUIET.newest.items() if name != missing}
    assert decide(replace(QUIET, newest=newest, requests=(REQUEST,), alarms=(QUALITY,))) is None


def test_the_cool_down_holds_each_cause_once_and_then_lets_it_start() -> None:
    opened = NOW - timedelta(days=1)
    facts = replace(NO_SCHEDULE, last_opened_at=opened, alarms=(QUALITY,), rows=99_999)
    first = decide(facts)
    assert isinstance(first, Hold)
    assert (first.trigger, first.until) == (TriggerKind.ON_DEGRADATION, opened + timedelta(days=7))
    second = decide(replace(facts, held=frozenset({first.cause})))
    assert isinstance(second, Hold)
    assert second.trigger is TriggerKind.ON_NEW_DATA
    held = replace(facts, held=frozenset({first.cause, second.cause}))
    assert decide(held) is None
    action = decide(replace(held, now=first.until))
    assert isinstance(action, Start)
    assert action.cause == first.cause
