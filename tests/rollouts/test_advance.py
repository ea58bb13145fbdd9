"""A rollout goes on only on evidence, rolls back at once on harm, and never comes back after its end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json
from mainspring.errors import Invalid
from mainspring.rollouts import (
    ArmCounts,
    Decision,
    Kind,
    MetricSums,
    Observed,
    Phase,
    Rollout,
    RolloutEnded,
    UnitOutcome,
    advance,
    after,
)
from mainspring.strategy import AllAtOnce, Canary, NoMoreErrors, NotSlower, NotWorse

START = datetime(2013, 3, 1, tzinfo=UTC)
CANARY = Canary(
    steps=(0.25, 0.5, 1.0),
    bake="1d",
    minimum_units=100,
    horizon="14d",
    guards=(NoMoreErrors(0.05), NotSlower(0.05), NotWorse("log_loss", 0.02, 0.05)),
)
ROLLOUT = Rollout.start(
    rollout_id="r1", product="late-arrivals", champion=1, challengers=(2,), strategy=CANARY, at=START
)
LAST = ROLLOUT.advanced(START + timedelta(days=1))


def arm(
    units: int, failing: int | None = 0, loss: float | None = 0.4, labelled: int | None = None
) -> ArmCounts:
    n = units if labelled is None else labelled
    metrics = (
        ()
        if loss is None
        else (MetricSums(metric="log_loss", units=n, total=n * loss, squares=n * (loss**2 + 0.04)),)
    )
    return ArmCounts(units=units, failing=failing, latencies={80: units} if units else {}, metrics=metrics)


def replaced(canary: Canary, **changes: Any) -> Canary:
    return msgspec.structs.replace(canary, **changes)


def both(challenger: ArmCounts, champion: ArmCounts) -> Observed:
    return Observed(challengers={2: challenger}, champion=champion)


FINE = both(arm(200), arm(600))


def decide(rollout: Rollout, observed: Observed, days: float) -> Decision:
    return advance(rollout, observed, START + timedelta(days=days))


def test_a_healthy_rollout_goes_step_by_step_to_promotion() -> None:
    first = decide(ROLLOUT, FINE, 1)
    assert first.kind is Kind.ADVANCE
    second = after(ROLLOUT, first, START + timedelta(days=1))
    assert (second.share, second.step) == (0.5, 1)
    last = decide(second, FINE, 2)
    assert last.kind is Kind.PROMOTE
    promoted = after(second, last, START + timedelta(days=2))
    assert (promoted.phase, promoted.share) == (Phase.PROMOTED, 1.0)


@pytest.mark.parametrize(
    ("observed", "days", "reason"),
    [
        (FINE, 0.99, "this step has lasted 23h 45m, of 1d needed"),
        (both(arm(99), arm(600)), 1, "99 units of the challenger, of 100 needed"),
        (
            both(replace(arm(600), latencies={}), arm(99)),
            1,
            "99 units of the champion, of 100 needed",
        ),
        (both(arm(200, labelled=99), arm(600)), 1, "99 and 600 units with a loss"),
        (
            both(arm(200, loss=None), arm(600)),
            1,
            "no units with a log_loss in both arms",
        ),
        (
            both(arm(200, failing=None), arm(600)),
            1,
            "failing units were not observed",
        ),
        (
            both(replace(arm(200), latencies={}), arm(600)),
            1,
            "latencies of 0 and 600 units",
        ),
        (both(arm(200, loss=float("nan")), arm(600)), 1, "not a number"),
        (Observed(), 1, "0 units of the challenger"),
    ],
)
def test_too_little_to_go_by_holds_and_at_the_horizon_keeps_the_champion(
    observed: Observed, days: float, reason: str
) -> None:
    for rollout in (ROLLOUT, replace(LAST, step_started_at=START)):
        waiting = decide(rollout, observed, days)
        if rollout is ROLLOUT and "latencies" in reason:
            continue  # at a small share, many requests cannot be timed: that keeps the promotion back, not the step
        assert waiting.kind is (Kind.HOLD if days < 1 else Kind.INSUFFICIENT_DATA)
        assert reason in waiting.reason
    if days >= 1:
        expired = decide(LAST, observed, 14)
        assert expired.kind is Kind.EXPIRE
        assert reason in expired.reason
        assert after(LAST, expired, START).share == 0


@pytest.mark.parametrize(
    ("observed", "guard"),
    [
        (both(arm(8, failing=5), arm(24)), "NoMoreErrors"),
        (both(replace(arm(50), latencies={120: 50}), arm(150)), "NotSlower"),
        (both(arm(200, loss=0.6), arm(600)), "NotWorse(log_loss)"),
    ],
)
def test_harm_rolls_back_at_once_also_before_the_step_could_end(observed: Observed, guard: str) -> None:
    decision = decide(ROLLOUT, observed, 0.01)
    assert decision.kind is Kind.ROLL_BACK
    assert decision.reason.startswith(f"{guard}: ")
    assert after(ROLLOUT, decision, START).share == 0
    assert decide(ROLLOUT, observed, 15).kind is Kind.ROLL_BACK


def test_a_rollout_beyond_its_horizon_ends_even_when_no_harm_is_shown() -> None:
    assert decide(ROLLOUT, FINE, 14).kind is Kind.EXPIRE
    assert decide(LAST, FINE, 14).kind is Kind.PROMOTE


def test_units_are_needed_whatever_was_declared() -> None:
    careless = replace(LAST, strategy=replaced(CANARY, minimum_units=0, guards=()))
    assert decide(careless, Observed(), 3).kind is Kind.INSUFFICIENT_DATA


def test_a_rollout_declared_to_take_over_at_once_does() -> None:
    for strategy in (AllAtOnce(), Canary(steps=(1.0,))):
        at_once = replace(ROLLOUT, strategy=strategy)
        assert at_once.shares == {1: 1.0}
        promotion = decide(at_once, Observed(), 0)
        assert (promotion.kind, promotion.version) == (Kind.PROMOTE, 2)


arms = st.integers(0, 400).flatmap(
    lambda units: st.builds(
        arm,
        units=st.just(units),
        failing=st.none() | st.integers(0, units),
        loss=st.none() | st.floats(0, 1) | st.just(float("nan")),
        labelled=st.integers(0, units),
    )
)
observations = st.builds(both, arms, arms)
moments = st.floats(0, 20)


@given(st.lists(st.tuples(observations | st.none(), moments), max_size=12))
def test_an_ended_rollout_never_takes_traffic_again(signals: list[tuple[Observed | None, float]]) -> None:
    rollout, ended = ROLLOUT, False
    for observed, days in signals:
        if observed is None and not ended:
            rollout = rollout.aborted() if not rollout.phase.final else rollout
        elif observed is not None:
            rollout = after(rollout, decide(rollout, observed, days), START + timedelta(days=days))
        assert not (ended and rollout.share), "it came back"
        ended = rollout.phase in (Phase.ABORTED, Phase.ROLLED_BACK, Phase.EXPIRED)
        assert rollout.share == 0 or not ended


@given(observations, moments, st.sampled_from([ROLLOUT, LAST]), st.data())
def test_more_failures_of_the_challenger_never_help_it(
    observed: Observed, days: float, rollout: Rollout, data: st.DataObject
) -> None:
    ours = observed.of_version(2)
    if ours.failing is None:
        return
    more = data.draw(st.integers(ours.failing, ours.units))
    before = decide(rollout, observed, days).kind
    worse = decide(rollout, both(replace(ours, failing=more), observed.champion), days).kind
    if before is Kind.ROLL_BACK:
        assert worse is Kind.ROLL_BACK
    else:
        assert worse in (before, Kind.ROLL_BACK)


@given(observations, moments, st.sampled_from([ROLLOUT, LAST]))
def test_nothing_missing_ever_promotes(observed: Observed, days: float, rollout: Rollout) -> None:
    decision = decide(rollout, observed, days)
    if decision.kind in (Kind.PROMOTE, Kind.ADVANCE):
        for each in (observed.of_version(2), observed.champion):
            loss = each.metric("log_loss")
            assert each.failing is not None
            assert loss is not None
            assert loss.units >= 100
            assert loss.total == loss.total
    assert decision.reason
    assert len(decision.evidence) == 3


@given(observations, moments)
def test_decisions_survive_json(observed: Observed, days: float) -> None:
    decision = decide(ROLLOUT, observed, days)
    assert Decision.from_dict(json.loads(canonical_json(decision.to_dict()))) == decision
    moved = after(ROLLOUT, decision, START + timedelta(days=days))
    assert Rollout.from_dict(json.loads(canonical_json(moved.to_dict()))) == moved


def test_observations_survive_json() -> None:
    assert Observed.from_dict(json.loads(canonical_json(FINE.to_dict()))) == FINE


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.HOLD, Kind.INSUFFICIENT_DATA, Kind.MEASURE}))
def test_an_ended_rollout_refuses_every_act(kind: Kind) -> None:
    over = ROLLOUT.aborted()
    with pytest.raises(RolloutEnded, match="Rollout r1 has ended: it is aborted"):
        after(over, Decision(kind=kind, reason="late", version=2), START)
    assert decide(over, FINE, 1).kind is Kind.HOLD


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 3},
        {"step": -1},
        {"challengers": (1,)},
        {"challengers": ()},
        {"challengers": (2, 2)},
        {"challengers": (2, 3)},
        {"dropped": (2,)},
        {"dropped": (7,)},
        {"champion": 0},
        {"salt": ""},
        {"product": "Late Arrivals"},
        {"started_at": datetime(2013, 3, 1)},  # noqa: DTZ001 - what is refused
    ],
    ids=str,
)
def test_an_illegal_rollout_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        replace(ROLLOUT, **wrong)  # type: ignore[arg-type]


def test_units_counted_more_than_once_are_refused() -> None:
    with pytest.raises(Invalid, match="6 units failing of 5 units"):
        ArmCounts(units=5, failing=6)
    with pytest.raises(Invalid, match="6 units with a log_loss of 5 units"):
        ArmCounts(units=5, metrics=(MetricSums(metric="log_loss", units=6, total=1, squares=1),))


outcomes = st.lists(
    st.builds(
        UnitOutcome,
        unit=st.text(max_size=4),
        version=st.sampled_from([1, 2, 3]),
        failed=st.booleans(),
        took_s=st.floats(0, 10),
        score=st.none() | st.floats(0, 1),
        slices=st.dictionaries(st.sampled_from(["carrier", "origin"]), st.sampled_from("ab"), max_size=2),
        metrics=st.dictionaries(st.sampled_from(["log_loss", "revenue"]), st.floats(-40, 40), max_size=2),
    ),
    max_size=30,
)


@given(outcomes, st.randoms(use_true_random=False))
def test_units_are_counted_alike_in_any_order(units: list[UnitOutcome], random: object) -> None:
    counted = Observed.of(units, 1)
    random.shuffle(units)  # type: ignore[attr-defined]
    assert Observed.of(units, 1) == counted
    arms = [counted.champion, *counted.challengers.values()]
    assert sum(each.units for each in arms) == len(units)
    assert all(sum(each.latencies.values()) == each.units for each in arms)
    for name, part in counted.slices.items():
        column, value = name.split("=")
        of_part = sum(each.units for each in (part.champion, *part.challengers.values()))
        assert of_part == sum(unit.slices.get(column) == value for unit in units)
