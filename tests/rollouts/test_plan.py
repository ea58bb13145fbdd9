"""A plan says what the guards themselves will need: more for smaller harm, smaller shares, and stricter promises."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mainspring.errors import Faults
from mainspring.rollouts import Rollout
from mainspring.rollouts.plan import Baseline, Harm, Moments, Need, Pace, Plan, plan
from mainspring.strategy import (
    AllAtOnce,
    Canary,
    CanaryStep,
    Guard,
    NoMoreErrors,
    NotSlower,
    NotWorse,
    SameOutputs,
    Shadow,
    Strategy,
    Threshold,
)

LATENCIES = dict.fromkeys(range(90, 122), 1.0)
BASELINE = Baseline(
    failing=0.02,
    latencies=LATENCIES,
    outputs=dict.fromkeys(range(10), 0.1),
    metrics={"log_loss": Moments(mean=0.5, sd=0.4)},
)
PACE = Pace(units=7_000, days=7)


def rollout_of(strategy: Strategy) -> Rollout:
    at = datetime(2013, 2, 1, tzinfo=UTC)
    return Rollout.start(
        rollout_id="c1", product="tiny", champion=1, challengers=(2,), strategy=strategy, at=at
    )


def planned(
    strategy: Strategy, baseline: Baseline = BASELINE, harm: Harm | None = None, pace: Pace = PACE
) -> Plan:
    return plan(rollout_of(strategy), baseline, harm or Harm(), pace)


def at_half(*guards: Guard) -> Canary:
    return Canary(steps=(0.5, 1.0), bake="1h", guards=guards)


def need(found: Plan, question: str, step: int = 0) -> Need:
    [one] = [each for each in found.needs if each.question == question and each.step == step]
    return one


def units(found: Plan, question: str = "harm") -> int:
    needed = need(found, question).units
    assert needed is not None
    return needed


@pytest.mark.parametrize(
    ("guard", "small", "great"),
    [
        (NoMoreErrors(), Harm(failing=2), Harm(failing=5)),
        (NotSlower(), Harm(slower=1.5), Harm(slower=3)),
        (NotWorse("log_loss"), Harm(worse_by=0.1), Harm(worse_by=0.4)),
        (SameOutputs(), Harm(moved=0.2), Harm(moved=0.6)),
    ],
)
def test_great_harm_is_found_on_fewer_units_than_small(guard: Guard, small: Harm, great: Harm) -> None:
    assert 1.5 * units(planned(at_half(guard), harm=great)) < units(planned(at_half(guard), harm=small))


def test_a_small_share_needs_more_units_and_its_challenger_has_that_part_of_them() -> None:
    few = planned(Canary(steps=(0.05, 1.0), guards=(NoMoreErrors(),)))
    half = planned(at_half(NoMoreErrors()))
    assert units(few) > 2 * units(half)
    [found] = [each for each in few.needs if each.question == "harm"]
    assert found.challenger_units == round(0.05 * units(few))


def test_a_closer_margin_takes_more_units_to_show() -> None:
    wide, close = (planned(at_half(NotWorse("log_loss", within=within))) for within in (0.1, 0.03))
    assert units(close, "within") > 3 * units(wide, "within")


def test_labels_that_hardly_come_make_a_guard_wait() -> None:
    rare = replace(BASELINE, metrics={"log_loss": Moments(mean=0.5, sd=0.4, arrives=0.1)})
    guard = at_half(NotWorse("log_loss"))
    assert units(planned(guard, rare), "answer") > 5 * units(planned(guard), "answer")


def test_what_never_comes_is_never_answered_and_fits_no_horizon() -> None:
    found = planned(at_half(NotWorse("log_loss")), replace(BASELINE, metrics={}))
    assert [each.units for each in found.needs] == [None, None]
    assert (found.hours, found.fits) == (None, False)


def test_time_is_that_of_the_traffic_of_late_and_at_least_the_bake() -> None:
    guard = at_half(NoMoreErrors())
    slow, fast = (planned(guard, pace=Pace(units=each, days=7)) for each in (70, 700_000))
    needed = need(slow, "harm")
    assert needed.hours == pytest.approx((needed.units or 0) * 24 / 10)
    assert fast.steps[0].hours == 1.0
    assert slow.steps[0].hours is not None
    assert slow.steps[0].hours > 24


def test_without_traffic_there_is_no_time_to_tell() -> None:
    found = planned(at_half(NoMoreErrors()), pace=Pace(units=0, days=7))
    assert (found.hours, found.fits) == (None, False)


def test_a_plan_that_takes_longer_than_the_horizon_does_not_fit() -> None:
    strategy = Canary(steps=(0.05, 0.25, 1.0), bake="1d", horizon="3d", guards=(NoMoreErrors(),))
    assert planned(strategy).fits
    assert not planned(strategy, pace=Pace(units=70, days=7)).fits


def test_every_step_is_planned_in_order_and_the_last_alone_shows_what_a_promotion_needs() -> None:
    strategy = Shadow(
        then=Canary(
            steps=(CanaryStep(0.2, approve=True), 0.5, 1.0), guards=(NotWorse("log_loss", within=0.1),)
        )
    )
    found = planned(strategy)
    assert [(each.mode, each.share, each.approve) for each in found.steps] == [
        ("shadow", 1.0, False),
        ("split", 0.2, True),
        ("split", 0.5, False),
    ]
    assert [each.step for each in found.needs if each.question == "within"] == [2]


def test_what_takes_over_at_once_needs_nothing() -> None:
    found = planned(AllAtOnce())
    assert (found.steps, found.needs, found.hours) == ((), (), 0)


def test_a_threshold_is_no_test_and_has_no_units_to_plan() -> None:
    assert planned(at_half(Threshold("error_rate", at_most=0.1))).needs == ()


def test_the_same_seed_gives_the_same_plan() -> None:
    strategy = at_half(NoMoreErrors(), NotWorse("log_loss"))
    assert planned(strategy) == planned(strategy)
    assert json.loads(json.dumps(planned(strategy).to_dict()))["needs"]


def test_all_faults_of_a_harm_are_told_at_once() -> None:
    with pytest.raises(Faults) as refused:
        Harm(failing=1.0, slower=float("nan"), worse_by=-1, moved=2)
    assert [fault.where for fault in refused.value.faults] == ["failing", "slower", "worse_by", "moved"]
