"""How triggers stand: what they need, what is there, what holds them back, each by itself and combined."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from tests.loop.known import (
    DAY,
    DRIFT,
    NOW,
    QUALITY,
    QUIET,
    REQUEST,
    STALE,
    any_facts,
    declared,
    grown,
    in_progress,
    opened,
    with_triggers,
)

import mainspring as ms
from mainspring.loop import (
    CycleState,
    DataFact,
    Facts,
    HeldBy,
    Standing,
    Start,
    TriggerKind,
    decide,
    standings,
)
from mainspring.triggers import Trigger

NIGHTLY = ms.OnSchedule("0 3 * * *")


def stands(facts: Facts, trigger: Trigger) -> Standing:
    (found,) = standings(with_triggers(facts, trigger))
    return found


def held_by(facts: Facts, trigger: Trigger) -> dict[HeldBy, datetime | None]:
    return {held.by: held.until for held in stands(facts, trigger).held}


def with_weather(rows: int, newest: datetime | None = None, trained: datetime | None = None) -> Facts:
    weather = DataFact(version=6, rows=800 + rows, rows_trained=800, newest=newest, newest_trained=trained)
    return replace(QUIET, data={**QUIET.data, "weather": weather})


# --- what is needed, and what is there -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "needs", "has"),
    [
        (ms.OnDemand(), "a person's request", "nobody has asked"),
        (
            ms.OnSchedule("0 3 1 4 *"),
            "a moment of '0 3 1 4 *' after 2013-02-09 03:00",
            "none has passed; the next is 2013-04-01 03:00",
        ),
        (
            ms.OnSchedule("0 3 1 4 *", tz="Europe/Berlin"),
            "a moment of '0 3 1 4 *' in Europe/Berlin after 2013-02-09 04:00",
            "none has passed; the next is 2013-04-01 03:00",
        ),
        (ms.OnNewData(rows=9), "9 new rows of flights", "0 new rows up to flights@v3"),
        (
            ms.OnNewData(days=2, fresh="6h", dataset="weather"),
            "a new row of weather, 2 new days of event time, a newest row at most 6h old",
            "0 new rows up to weather@v5, no new days of event time, no row",
        ),
        (ms.OnDegradation(), "an alarm about quality since the last cycle started", "none"),
        (
            ms.OnDrift(),
            "an alarm about drift since the last cycle started, and labels that show harm",
            "none",
        ),
        (
            ms.AllOf((NIGHTLY, ms.AnyOf((ms.OnNewData(), ms.OnDrift())))),
            "all of 2 triggers",
            "1 of them",
        ),
    ],
)  # fmt: skip
def test_a_trigger_that_is_not_ready_says_what_it_needs_and_what_is_there(
    trigger: Trigger, needs: str, has: str
) -> None:
    found = stands(QUIET, trigger)
    assert (found.needs, found.has, found.causes, found.ready) == (needs, has, (), False)


def test_drift_without_harm_and_monitors_that_are_not_declared_are_said() -> None:
    harmless = replace(QUIET, alarms=(replace(DRIFT, harm=""), STALE))
    assert stands(harmless, ms.OnDrift()).has == "input_drift at 2013-03-05 12:00; labels show no harm"
    assert stands(harmless, ms.OnDrift(alone=True)).ready
    blind = declared(QUIET, monitors=())
    assert "no monitor that could raise one is declared" in stands(blind, ms.OnDegradation()).has


def test_triggers_are_told_in_the_order_in_which_they_are_asked() -> None:
    facts = with_triggers(QUIET, NIGHTLY, ms.AnyOf((ms.OnDrift(), ms.OnDegradation())), ms.OnDemand())
    told = [each.trigger for each in standings(facts)]
    assert told == [ms.OnDemand(), NIGHTLY, ms.OnDrift(), ms.OnDegradation()]


# --- schedules -----------------------------------------------------------------------------------------------------


def test_a_moment_that_was_missed_is_made_up_for_once_unless_it_says_otherwise() -> None:
    due = NOW.replace(hour=3)
    for late, ready in ((timedelta(hours=2), True), (timedelta(hours=2, seconds=1), False)):
        facts = replace(QUIET, now=due + late)
        assert stands(facts, NIGHTLY).ready
        strict = ms.OnSchedule("0 3 * * *", start_within="2h")
        assert stands(facts, strict).ready == ready
        if not ready:
            assert held_by(facts, strict) == {HeldBy.MISSED: due + DAY}


# --- new data ------------------------------------------------------------------------------------------------------


def test_new_rows_of_another_dataset_can_be_waited_for() -> None:
    trigger = ms.OnNewData(rows=50, dataset="weather")
    assert not stands(with_weather(49), trigger).ready
    (cause,) = stands(with_weather(50), trigger).causes
    assert (cause.name, cause.evidence) == (
        "data weather@v6",
        "50 new rows up to weather@v6, of 50 needed",
    )
    assert not stands(grown(QUIET, 99_999), trigger).ready


@pytest.mark.parametrize(
    ("newest", "trained", "ready"),
    [
        (datetime.fromisoformat("2013-03-03T00:00Z"), datetime.fromisoformat("2013-03-01T23:59Z"), True),
        (datetime.fromisoformat("2013-03-02T23:59Z"), datetime.fromisoformat("2013-03-01T00:00Z"), False),
        (None, datetime.fromisoformat("2013-03-01T23:59Z"), False),
        (datetime.fromisoformat("2013-03-03T00:00Z"), None, False),
    ],
)
def test_days_of_event_time_are_counted_from_the_newest_row_that_was_trained_on(
    newest: datetime | None, trained: datetime | None, *, ready: bool
) -> None:
    facts = with_weather(50, newest, trained)
    assert stands(facts, ms.OnNewData(days=2, dataset="weather")).ready == ready


@pytest.mark.parametrize(("added", "ready"), [(19, False), (20, True)])
def test_growth_is_a_share_of_what_the_last_cycle_read(added: int, *, ready: bool) -> None:
    weather = DataFact(version=6, rows=100 + added, rows_trained=100)
    facts = replace(QUIET, data={**QUIET.data, "weather": weather})
    found = stands(facts, ms.OnNewData(grown=0.2, dataset="weather"))
    assert (found.ready, f"{added}% more rows" in found.has) == (ready, True)
    first = replace(facts, data={**QUIET.data, "weather": replace(weather, rows_trained=0)})
    assert stands(first, ms.OnNewData(grown=0.2, dataset="weather")).ready
    assert not stands(replace(QUIET, data={}), ms.OnNewData(grown=0.2, dataset="weather")).ready


def test_where_no_cycle_has_read_the_data_all_its_days_are_new() -> None:
    first = DataFact(version=1, rows=50, newest=NOW)
    facts = replace(QUIET, data={**QUIET.data, "weather": first})
    assert stands(facts, ms.OnNewData(days=2, dataset="weather")).ready
    dateless = replace(facts, data={**QUIET.data, "weather": replace(first, newest=None)})
    assert not stands(dateless, ms.OnNewData(days=2, dataset="weather")).ready


@pytest.mark.parametrize(
    ("age", "ready"),
    [(timedelta(hours=6), True), (timedelta(hours=6, seconds=1), False), (-DAY, True)],
)
def test_fresh_data_is_new_data_whose_newest_row_is_young(age: timedelta, *, ready: bool) -> None:
    trigger = ms.OnNewData(fresh="6h", dataset="weather")
    assert stands(with_weather(1, NOW - age), trigger).ready == ready
    assert not stands(with_weather(0, NOW - age), trigger).ready
    assert not stands(with_weather(1, None), trigger).ready


@given(any_facts())
def test_what_is_counted_is_all_there_exactly_where_a_trigger_has_a_cause(facts: Facts) -> None:
    for standing in standings(facts):
        if standing.near is not None:
            assert 0 <= standing.near <= 1
            assert (standing.near == 1) == bool(standing.causes)


@given(any_facts())
def test_the_sentence_tells_what_is_there_or_lacking_and_all_that_holds_back(facts: Facts) -> None:
    for standing in standings(facts):
        told = standing.sentence
        assert told.startswith("It starts a cycle") == standing.ready
        assert standing.causes or (standing.needs in told and standing.has in told)
        assert all(each.why in told for each in standing.held)


@pytest.mark.parametrize(("rows", "near"), [(0, 0.0), (250, 0.25), (999, 0.999), (1_000, 1.0), (5_000, 1.0)])
def test_new_data_is_as_near_as_what_lacks_most(rows: int, near: float) -> None:
    facts = grown(QUIET, rows)
    assert stands(facts, ms.OnNewData(rows=1_000)).near == near
    # No event time is known, so no day is there.
    assert stands(facts, ms.OnNewData(rows=1_000, days=1)).near == 0.0


# --- combinations --------------------------------------------------------------------------------------------------


def test_all_of_several_triggers_start_one_cycle_with_the_evidence_of_all() -> None:
    trigger = ms.AllOf((NIGHTLY, ms.OnNewData(rows=100), ms.AnyOf((ms.OnDrift(), ms.OnDegradation()))))
    ready = grown(replace(QUIET, alarms=(QUALITY,)), 150)
    action = decide(with_triggers(ready, trigger))
    assert isinstance(action, Start)
    assert action.trigger is TriggerKind.ALL_OF
    assert action.parts == (TriggerKind.ON_SCHEDULE, TriggerKind.ON_NEW_DATA, TriggerKind.ON_DEGRADATION)
    assert action.evidence == (
        "'0 3 * * *' fell due at 2013-03-05 03:00; 150 new rows up to flights@v3, of 100 needed; "
        "quality:log_loss: log loss has risen"
    )
    for lacking in (grown(ready, 99), replace(ready, alarms=())):
        assert decide(with_triggers(lacking, trigger)) is None
        assert stands(lacking, trigger).has == "2 of them"


def test_the_kinds_of_what_is_combined_are_told_once_each_however_deep_they_lie() -> None:
    deep = ms.AllOf((ms.OnNewData(rows=2), NIGHTLY))
    found = stands(grown(QUIET, 10), ms.AllOf((ms.OnNewData(), ms.AnyOf((deep,)), ms.OnNewData(rows=3))))
    (cause,) = found.causes
    assert cause.parts == (TriggerKind.ON_NEW_DATA, TriggerKind.ON_SCHEDULE)
    assert [each.kind for each in (found, *found.parts)] == ["all_of", "on_new_data", "any_of", "on_new_data"]


@given(any_facts())
def test_a_cause_has_parts_exactly_where_several_speak_together(facts: Facts) -> None:
    for standing in standings(facts):
        for cause in standing.causes:
            assert bool(cause.parts) == (cause.trigger is TriggerKind.ALL_OF)
            assert TriggerKind.ALL_OF not in cause.parts
            assert cause.trigger.value == standing.kind


def test_a_schedule_that_was_missed_is_no_part_of_all() -> None:
    trigger = ms.AllOf((ms.OnSchedule("0 3 * * *", start_within="2h"), ms.OnNewData()))
    facts = grown(QUIET, 1)
    assert not stands(facts, trigger).ready
    assert stands(replace(facts, now=NOW.replace(hour=4)), trigger).ready


# --- what holds them back ------------------------------------------------------------------------------------------


def test_a_trigger_has_the_cool_down_of_its_own_in_place_of_the_product_s() -> None:
    facts = replace(opened(grown(QUIET, 10), NOW - 2 * DAY), alarms=(QUALITY,))
    assert held_by(facts, ms.OnNewData()) == {HeldBy.COOL_DOWN: NOW + 5 * DAY}
    assert held_by(facts, ms.OnNewData(cool_down="30d")) == {HeldBy.COOL_DOWN: NOW + 28 * DAY}
    assert stands(facts, ms.OnDegradation(cool_down="2d")).ready
    assert stands(facts, ms.AllOf((ms.OnDegradation(), ms.OnNewData()), cool_down="0s")).ready
    # One that is held back does not hold back the next.
    action = decide(with_triggers(facts, ms.OnNewData(), ms.OnDegradation(cool_down="1d")))
    assert isinstance(action, Start)
    assert action.trigger is TriggerKind.ON_DEGRADATION


def test_quiet_hours_hold_back_all_but_a_person() -> None:
    facts = declared(
        grown(replace(QUIET, requests=(REQUEST,)), 10), quiet_hours=(ms.QuietHours("08:00", "18:00"),)
    )
    assert held_by(facts, ms.OnNewData()) == {HeldBy.QUIET_HOURS: NOW.replace(hour=18)}
    assert stands(facts, ms.OnDemand()).ready


def test_a_budget_lets_go_when_its_oldest_cycle_is_over_the_span() -> None:
    spent = (NOW - 40 * DAY, NOW - 25 * DAY, NOW - 20 * DAY, NOW - 10 * DAY)
    facts = opened(grown(replace(QUIET, requests=(REQUEST,)), 10), *spent)
    for at_most, until in ((2, NOW + 10 * DAY), (3, NOW + 5 * DAY)):
        poor = declared(facts, cycle_budget=ms.CycleBudget(at_most, per="30d"))
        assert held_by(poor, ms.OnNewData()) == {HeldBy.CYCLE_BUDGET: until}
        assert stands(poor, ms.OnDemand()).ready
        assert stands(replace(poor, now=until), ms.OnNewData()).ready
    assert stands(declared(facts, cycle_budget=ms.CycleBudget(4)), ms.OnNewData()).ready


def test_an_open_cycle_and_missing_data_hold_back_a_person_too() -> None:
    asked = replace(QUIET, requests=(REQUEST,))
    assert held_by(in_progress(asked), ms.OnDemand()) == {HeldBy.OPEN_CYCLE: None}
    assert held_by(replace(asked, data={}), ms.OnDemand()) == {HeldBy.NO_DATA: None}


def test_a_cycle_that_only_rolls_out_holds_back_while_it_is_open_and_leaves_nothing_behind() -> None:
    facts = declared(grown(QUIET, 10), cycle_budget=ms.CycleBudget(1))
    before = stands(facts, ms.OnNewData())
    rolled = replace(facts.cycles[0], number=2, data={}, opened_at=NOW)
    assert stands(replace(facts, cycles=(*facts.cycles, rolled)), ms.OnNewData()) == before
    rolling = replace(rolled, state=CycleState.ROLLING_OUT)
    assert HeldBy.OPEN_CYCLE in held_by(replace(facts, cycles=(*facts.cycles, rolling)), ms.OnNewData())
