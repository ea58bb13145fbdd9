"""Simulated rollouts go through the real decisions: chance alone seldom ends one, and an effect is found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mainspring.errors import Faults, Invalid
from mainspring.rollouts import Observed, Rollout, UnitOutcome
from mainspring.rollouts.simulate import (
    UNDECIDED,
    Answers,
    Effect,
    Simulation,
    Traffic,
    _Binned,
    _Step,
    simulate,
)
from mainspring.strategy import (
    BlueGreen,
    Canary,
    CanaryStep,
    NoMoreErrors,
    NotSlower,
    NotWorse,
    Shadow,
    Strategy,
    Threshold,
)

ROWS, UNITS = 4_000, 1_200
DAY_S = 86_400.0


def made(seed: int = 1, days: float = 10) -> tuple[Traffic, Answers]:
    """Traffic of units that come again, with labels an hour later."""
    random = np.random.default_rng(seed)
    at_s = np.sort(random.random(ROWS) * days * DAY_S)
    outcome = random.random(ROWS) < 0.3
    scores = np.clip(0.3 + 0.3 * (outcome - 0.3) + random.normal(0, 0.1, ROWS), 0.02, 0.98)
    labelled = random.random(ROWS) < 0.9
    traffic = Traffic(
        began=datetime(2013, 2, 1, tzinfo=UTC),
        at_s=at_s,
        known_s=np.where(labelled, at_s + 3_600, np.inf),
        units=tuple(f"u{unit}" for unit in range(UNITS)),
        unit=random.integers(0, UNITS, ROWS),
        slices={"kind": random.choice(["book", "shoes"], ROWS)},
    )
    loss = -np.log(np.where(outcome, scores, 1 - scores))
    return traffic, Answers(
        scores=scores,
        took_s=random.lognormal(-6, 0.5, ROWS),
        metrics={"log_loss": np.where(labelled, loss, np.nan)},
    )


TRAFFIC, ANSWERS = made()
GUARDS = (NoMoreErrors(), NotSlower(), NotWorse("log_loss"))
CANARY = Canary(steps=(0.2, 0.5, 1.0), bake="1d", guards=GUARDS)


def rollout_of(strategy: Strategy, challengers: tuple[int, ...] = (2,)) -> Rollout:
    return Rollout.start(
        rollout_id="simulated",
        product="tiny",
        champion=1,
        challengers=challengers,
        strategy=strategy,
        at=TRAFFIC.began,
        slices={"kind": ("book",)},
    )


def simulated(strategy: Strategy = CANARY, effect: Effect | None = None, runs: int = 10) -> Simulation:
    return simulate(
        rollout_of(strategy), TRAFFIC, {1: ANSWERS, 2: ANSWERS}, effect or Effect(), range(runs), looks=60
    )


def outcomes(found: Simulation) -> dict[str, int]:
    return {each.outcome: each.runs for each in found.tallies()}


@pytest.mark.slow
def test_a_version_against_itself_is_rolled_back_within_alpha() -> None:
    runs, alpha = 300, sum(guard.alpha for guard in GUARDS)
    rolled_back = outcomes(simulated(runs=runs)).get("rolled_back", 0)
    assert rolled_back / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_without_effect_most_are_promoted_after_their_bakes() -> None:
    found = simulated()
    assert outcomes(found)["promoted"] >= 9
    assert all(run.lasted_s >= 2 * DAY_S for run in found.runs if run.outcome == "promoted")


@pytest.mark.parametrize("effect", [Effect(worse_by=0.5), Effect(failing=0.3), Effect(slower=4)])
def test_a_great_effect_is_found(effect: Effect) -> None:
    found = simulated(effect=effect)
    assert outcomes(found) == {"rolled_back": 10}
    assert found.effect == str(effect) != "no effect"


def test_the_end_of_the_log_leaves_a_rollout_undecided() -> None:
    assert outcomes(simulated(Canary(bake="9d", guards=GUARDS))) == {UNDECIDED: 10}


def test_a_horizon_within_the_log_expires() -> None:
    strategy = Canary(steps=(0.2, 1.0), bake="3d", horizon="2d", guards=GUARDS)
    assert outcomes(simulated(strategy)) == {"expired": 10}


def test_an_approval_is_given_when_it_is_asked_for() -> None:
    strategy = Canary(steps=(CanaryStep(0.5, approve=True), 1.0), bake="1d", guards=(NoMoreErrors(),))
    assert outcomes(simulated(strategy)) == {"promoted": 10}


def test_a_threshold_is_measured_on_the_way() -> None:
    strategy = Canary(
        steps=(0.5, 1.0), bake="1d", guards=(Threshold("error_rate", at_most=0.05, interval="6h"),)
    )
    assert outcomes(simulated(strategy)) == {"promoted": 10}
    assert outcomes(simulated(strategy, Effect(failing=0.3))) == {"rolled_back": 10}


def test_blue_and_green_are_held_against_the_time_before_the_switch() -> None:
    strategy = BlueGreen(reference="2d", bake="1d", guards=(NoMoreErrors(), NotSlower()))
    assert outcomes(simulated(strategy)).get("promoted", 0) >= 9
    assert outcomes(simulated(strategy, Effect(slower=4))) == {"rolled_back": 10}


def test_a_shadow_has_no_arms_to_simulate() -> None:
    with pytest.raises(Invalid, match="shadow"):
        simulated(Shadow())


def test_counts_are_those_of_the_real_bookkeeping() -> None:
    rollout = replace(rollout_of(replace_guards(CANARY)), salt="simulated/0")
    binned = {version: _Binned.of(ANSWERS, Effect()) for version in (1, 2)}
    now_s = 3 * DAY_S
    versions = rollout.assign(list(TRAFFIC.units))
    seen: dict[str, UnitOutcome] = {}
    for row in np.flatnonzero(TRAFFIC.at_s <= now_s).tolist():
        unit = TRAFFIC.units[TRAFFIC.unit[row]]
        version = versions[TRAFFIC.unit[row]]
        assert version is not None
        if unit not in seen:
            seen[unit] = UnitOutcome(
                unit=unit,
                version=version,
                took_s=float(ANSWERS.took_s[row]),
                score=float(ANSWERS.scores[row]),
                slices={"kind": str(TRAFFIC.slices["kind"][row])},
            )
    for row in np.argsort(TRAFFIC.known_s, kind="stable").tolist():
        unit, loss = TRAFFIC.units[TRAFFIC.unit[row]], float(ANSWERS.metrics["log_loss"][row])
        if TRAFFIC.known_s[row] <= now_s and unit in seen and not seen[unit].metrics:
            seen[unit] = replace(seen[unit], metrics={"log_loss": loss})
    expected = Observed.of(seen.values(), 1)
    found = _Step.of(rollout, TRAFFIC, binned).observed(now_s, None, {})
    for ours, theirs in (
        (found.champion, expected.champion),
        (found.of_version(2), expected.of_version(2)),
        (found.slices["kind=book"].champion, expected.slices["kind=book"].champion),
    ):
        assert (ours.units, ours.failing, ours.latencies) == (theirs.units, theirs.failing, theirs.latencies)
        assert ours.outputs == theirs.outputs
        [mine], [real] = ours.metrics, theirs.metrics
        assert mine.units == real.units
        assert (mine.total, mine.squares) == pytest.approx((real.total, real.squares))


def replace_guards(canary: Canary) -> Canary:
    return Canary(steps=canary.steps, bake=canary.bake, guards=(NoMoreErrors(slices=("kind",)),))


def test_the_same_seeds_give_the_same_runs() -> None:
    assert simulated(effect=Effect(failing=0.05)) == simulated(effect=Effect(failing=0.05))


def test_a_simulation_is_told_as_json() -> None:
    told = json.loads(json.dumps(simulated().to_dict()))
    assert len(told["runs"]) == 10
    assert sum(each["share"] for each in told["outcomes"]) == pytest.approx(1)


def test_no_traffic_is_refused() -> None:
    with pytest.raises(Invalid, match="no traffic"):
        replace(TRAFFIC, at_s=np.array([]))


def test_all_faults_of_an_effect_are_told_at_once() -> None:
    with pytest.raises(Faults) as refused:
        Effect(worse_by=math.nan, failing=1.5, slower=0)
    assert [fault.where for fault in refused.value.faults] == ["worse_by", "failing", "slower"]
