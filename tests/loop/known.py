"""A product, a cycle and facts that the tests of the loop begin from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import strategies as st

import mainspring as ms
from mainspring.loop import (
    AlarmFact,
    Cycle,
    CycleOutcome,
    CycleState,
    DataFact,
    Facts,
    Hold,
    RolloutFact,
    TrainingRequest,
    TriggerKind,
    decide,
)
from mainspring.product import DatasetSpec, ProductSpec
from mainspring.triggers import Trigger

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
    monitors=(ms.InputDrift(), ms.Quality("log_loss")),
    retrain=ALL,
    alarm_budget=ms.FalseAlarms(),
    holdout="10d",
    cool_down="7d",
    seed=0,
)
CYCLE = Cycle(
    cycle_id="c2",
    product="late",
    number=2,
    trigger=TriggerKind.ON_DEMAND,
    evidence="ana asked",
    actor="ana",
    params={},
    data={"flights": 3, "weather": 5},
    opened_at=NOW,
)
CLOSED = replace(
    CYCLE, cycle_id="c1", number=1, state=CycleState.CLOSED, outcome=CycleOutcome.PROMOTED, closed_at=NOW
)
QUIET = Facts(
    spec=SPEC,
    now=NOW,
    data={
        "flights": DataFact(version=3, rows=5_000, rows_trained=5_000),
        "weather": DataFact(version=5, rows=800, rows_trained=800),
    },
    champion=1,
    cycles=(replace(CLOSED, opened_at=datetime(2013, 2, 9, 3, tzinfo=UTC)),),
    declared_at=DECLARED,
)
REQUEST = TrainingRequest(
    request_id="r1", product="late", params={"train.rounds": 3}, data={}, actor="ana", reason="to see", at=NOW
)
DRIFT = AlarmFact(
    monitor="input_drift", about="drift", at=NOW, evidence="wind moved", harm="log loss has risen"
)
QUALITY = AlarmFact(monitor="quality:log_loss", about="quality", at=NOW, evidence="log loss has risen")
STALE = AlarmFact(monitor="staleness", about="staleness", at=NOW, evidence="46 days old")


def declared(facts: Facts, **changed: object) -> Facts:
    """The same facts of a product that is declared otherwise."""
    return replace(facts, spec=msgspec.structs.replace(facts.spec, **changed))


def with_triggers(facts: Facts, *triggers: Trigger) -> Facts:
    return declared(facts, retrain=triggers)


def opened(facts: Facts, *moments: datetime) -> Facts:
    """The same facts with cycles that were opened at these moments, and are closed."""
    cycles = [
        replace(CLOSED, cycle_id=f"c{number}", number=number, opened_at=at)
        for number, at in enumerate(moments, 1)
    ]
    return replace(facts, cycles=tuple(cycles))


def in_progress(facts: Facts, state: CycleState = CycleState.ROLLING_OUT) -> Facts:
    """The same facts with a cycle that is open."""
    number = 1 + len(facts.cycles)
    cycle = replace(CYCLE, number=number, state=state, opened_at=facts.now)
    return replace(facts, cycles=(*facts.cycles, cycle))


def grown(facts: Facts, rows: int) -> Facts:
    """The same facts with so many more rows of flights."""
    flights = facts.data["flights"]
    return replace(facts, data={**facts.data, "flights": replace(flights, rows=flights.rows_trained + rows)})


NO_SCHEDULE = with_triggers(QUIET, *(each for each in ALL if not isinstance(each, ms.OnSchedule)))

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
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])
cool_downs = st.sampled_from([None, "0s", "1h", "30d"])
parts: st.SearchStrategy[Trigger] = st.one_of(
    st.builds(
        ms.OnSchedule,
        st.sampled_from(["0 3 1 * *", "*/5 * * * *", "0 0 29 2 *", "30 2 * * 1"]),
        zones,
        st.sampled_from([None, "1h", "2w"]),
        cool_downs,
    ),
    st.builds(
        ms.OnNewData,
        st.integers(1, 3_000),
        st.integers(0, 3),
        st.sampled_from([None, "6h", "30d"]),
        st.sampled_from([None, "flights", "weather"]),
        cool_downs,
    ),
    st.builds(ms.OnDegradation, cool_downs),
    st.builds(ms.OnDrift, st.booleans(), cool_downs),
)
combined = st.recursive(
    parts,
    lambda within: st.one_of(
        st.builds(ms.AnyOf, st.lists(within, min_size=1, max_size=3).map(tuple)),
        st.builds(ms.AllOf, st.lists(within, min_size=1, max_size=3).map(tuple), cool_downs),
    ),
    max_leaves=4,
)
triggers = st.just(ms.OnDemand()) | combined
quiet_hours = st.builds(
    ms.QuietHours,
    st.sampled_from(["22:00", "02:30", "00:00"]),
    st.sampled_from(["06:00", "02:30", "00:15"]),
    zones,
    st.sets(st.sampled_from(["mon", "sat", "sun"]), min_size=1).map(lambda days: tuple(sorted(days))),
)


@st.composite
def data_facts(draw: st.DrawFn) -> DataFact:
    trained = draw(st.integers(0, 10_000))
    return DataFact(
        version=draw(st.integers(1, 9)),
        rows=trained + draw(st.integers(0, 5_000)),
        rows_trained=trained,
        newest=draw(st.none() | moments),
        newest_trained=draw(st.none() | moments),
    )


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    now = draw(moments)
    spec = msgspec.structs.replace(
        SPEC,
        retrain=tuple(draw(st.lists(triggers, max_size=5))),
        cool_down=draw(st.sampled_from(["0s", "1h", "7d", "5000w"])),
        quiet_hours=tuple(draw(st.lists(quiet_hours, max_size=2))),
        cycle_budget=draw(st.none() | st.builds(ms.CycleBudget, st.integers(1, 3), st.just("30d"))),
    )
    facts = replace(
        QUIET,
        spec=spec,
        now=now,
        data=draw(st.dictionaries(st.sampled_from(["flights", "weather"]), data_facts())),
        champion=draw(st.none() | st.integers(1, 9)),
        requests=tuple(draw(st.lists(requests, max_size=2))),
        alarms=tuple(draw(st.lists(alarms, max_size=3))),
        rollout=draw(st.none() | rollout_facts),
    )
    facts = opened(facts, *sorted(draw(st.lists(moments.filter(lambda moment: moment <= now), max_size=4))))
    state = draw(st.none() | st.sampled_from([each for each in CycleState if each is not CycleState.CLOSED]))
    facts = in_progress(facts, state) if state else facts
    # What is held back, as the controller would have recorded it on an earlier turn.
    if draw(st.booleans()) and isinstance(action := decide(facts), Hold):
        facts = replace(facts, held=action.keys)
    return facts


def recorded(facts: Facts) -> Facts:
    """The same facts after all that holds triggers back has been recorded."""
    while isinstance(action := decide(facts), Hold):
        facts = replace(facts, held=facts.held | action.keys)
    return facts


DAY = timedelta(days=1)
