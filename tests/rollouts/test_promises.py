"""What the guards promise, shown on two thousand rollouts each, looked at after every unit that changes the evidence.

Units are sticky: each asks again and again, with a rate of failures of its own, and counts once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from mainspring.rollouts import (
    ArmCounts,
    Finding,
    Kind,
    MetricSums,
    Observed,
    Rollout,
    advance,
    latency_bucket,
    latency_test,
    mean_difference,
    mean_within,
    output_test,
)
from mainspring.rollouts.switched import latency_after, mean_after, share_after
from mainspring.strategy import Canary, Guard, NoMoreErrors

pytestmark = pytest.mark.slow

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
RUNS, ALPHA, BETA = 2_000, 0.05, 0.05


def allowed(alpha: float, runs: int = RUNS) -> float:
    """Alpha and three binomial standard deviations."""
    return alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def rollout(share: float, *guards: Guard, slices: tuple[str, ...] = ()) -> Rollout:
    return Rollout.start(
        rollout_id="r1",
        product="late",
        champion=1,
        challengers=(2,),
        strategy=Canary(steps=(share, 1.0), bake="0s", minimum_units=10**9, guards=guards),
        at=NOON,
        slices={"carrier": slices} if slices else {},
    )


def first_failures(
    random: np.random.Generator, units: int, share: float, ratio: float
) -> Iterator[tuple[bool, int]]:
    """Unit by unit, in the order in which units fail for the first time: the challenger's or not, and which unit.

    Each asks up to ten times and fails each time with a chance of its own. The challenger's chance of failing at all is
    `ratio` times that of the same unit in the champion.
    """
    ours = random.random(units) < share
    asks = random.geometric(0.3, units).clip(max=10)
    of_unit = 1 - (1 - random.beta(0.5, 8, units)) ** asks
    fails = random.random(units) < np.where(ours, ratio * of_unit, of_unit) / max(1.0, ratio)
    for unit in fails.nonzero()[0]:
        yield bool(ours[unit]), int(unit)


def counts(failing: dict[bool, int], units: int) -> Observed:
    arm = ArmCounts(units=units)
    return Observed(
        champion=replace(arm, failing=failing[False]), challengers={2: replace(arm, failing=failing[True])}
    )


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_harmless_challenger_is_rolled_back_with_a_chance_of_at_most_alpha(share: float) -> None:
    random, rolled_back = np.random.default_rng(1), 0
    watched = rollout(share, NoMoreErrors(ALPHA))
    for _ in range(RUNS):
        failing = {True: 0, False: 0}
        for ours, _ in first_failures(random, 150, share, ratio=1.0):
            failing[ours] += 1
            if advance(watched, counts(failing, 150), NOON).kind is Kind.ROLL_BACK:
                rolled_back += 1
                break
    assert rolled_back / RUNS <= allowed(ALPHA)


def test_slices_do_not_add_to_the_chance_of_a_false_rollback() -> None:
    random, rolled_back, names = np.random.default_rng(2), 0, ("AA", "DL", "UA")
    watched = rollout(0.25, NoMoreErrors(ALPHA, slices=("carrier",)), slices=names)
    for _ in range(RUNS):
        carriers = random.choice([*names, "other"], 120)
        failing: dict[str, dict[bool, int]] = {name: {True: 0, False: 0} for name in (*names, "other", "all")}
        for ours, unit in first_failures(random, 120, 0.25, ratio=1.0):
            for name in (str(carriers[unit]), "all"):
                failing[name][ours] += 1
            seen = counts(failing["all"], 120)
            parts = {f"carrier={name}": counts(failing[name], 120) for name in (*names, "other")}
            if advance(watched, replace(seen, slices=parts), NOON).kind is Kind.ROLL_BACK:
                rolled_back += 1
                break
    assert rolled_back / RUNS <= allowed(ALPHA)


@pytest.mark.parametrize(("share", "ratio"), [(0.25, 2.0), (0.5, 1.5)])
def test_a_challenger_at_the_tolerated_ratio_is_promoted_with_a_chance_of_at_most_beta(
    share: float, ratio: float
) -> None:
    random, promoted = np.random.default_rng(3), 0
    watched = rollout(share, NoMoreErrors(1e-9, within=ratio, beta=BETA))
    watched = replace(watched, strategy=Canary(steps=(share, 1.0), bake="0s", guards=watched.strategy.guards))
    for _ in range(RUNS):
        failing = {True: 0, False: 0}
        for ours, _ in first_failures(random, 250, share, ratio):
            failing[ours] += 1
            if advance(watched, counts(failing, 250), NOON).kind is Kind.PROMOTE:
                promoted += 1
                break
    assert promoted / RUNS <= allowed(BETA)


def test_a_challenger_that_fails_as_often_is_promoted_as_within_twice_as_often() -> None:
    random, promoted, runs = np.random.default_rng(4), 0, 50
    watched = rollout(0.5, NoMoreErrors(ALPHA, within=2.0, beta=BETA))
    watched = replace(watched, strategy=Canary(steps=(0.5, 1.0), bake="0s", guards=watched.strategy.guards))
    for _ in range(runs):
        failing = {True: 0, False: 0}
        for ours, _ in first_failures(random, 1_000, 0.5, ratio=1.0):
            failing[ours] += 1
            if advance(watched, counts(failing, 1_000), NOON).kind is Kind.PROMOTE:
                promoted += 1
                break
    assert promoted / runs > 0.9


def test_a_challenger_that_is_as_fast_is_rarely_found_slower() -> None:
    random, found = np.random.default_rng(5), 0
    for _ in range(RUNS):
        ours, took_ms = random.random(60) < 0.25, random.lognormal(1.0, 0.8, 60)
        arms: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for unit in range(60):
            arm, bucket = arms[bool(ours[unit])], latency_bucket(float(took_ms[unit]))
            arm[bucket] = arm.get(bucket, 0) + 1
            if latency_test(arms[True], arms[False], 0.25, ALPHA).finding is Finding.HARM:
                found += 1
                break
    assert found / RUNS <= allowed(ALPHA)


def test_answers_that_are_distributed_alike_are_rarely_found_to_differ() -> None:
    random, found = np.random.default_rng(6), 0
    for _ in range(RUNS):
        ours, bins = random.random(80) < 0.1, random.choice(6, 80, p=[0.5, 0.2, 0.1, 0.1, 0.07, 0.03])
        arms: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for unit in range(80):
            arm = arms[bool(ours[unit])]
            arm[int(bins[unit])] = arm.get(int(bins[unit]), 0) + 1
            if output_test(arms[True], arms[False], 0.1, ALPHA).finding is Finding.HARM:
                found += 1
                break
    assert found / RUNS <= allowed(ALPHA)


def running_sums(
    ours: NDArray[np.bool_], figures: NDArray[np.float64]
) -> Iterator[tuple[int, float, float, int, float, float]]:
    sums = [
        np.cumsum(values) for arm in (ours, ~ours) for values in (arm, figures * arm, figures * figures * arm)
    ]
    for n1, s1, q1, n0, s0, q0 in zip(*sums, strict=True):
        yield int(n1), float(s1), float(q1), int(n0), float(s0), float(q0)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_equal_means_are_rarely_harm_and_a_tolerated_difference_is_rarely_excluded(share: float) -> None:
    random, harm, within, runs = np.random.default_rng(7), 0, 0, RUNS // 2
    for _ in range(runs):
        ours, figures = random.random(700) < share, random.gamma(0.7, 0.5, 700)
        for sums in running_sums(ours, figures):
            if mean_difference(*sums, 0.0, ALPHA).finding is Finding.HARM:
                harm += 1
                break
        for sums in running_sums(ours, figures + 0.05 * ours):
            if mean_within(*sums, 0.05, BETA).finding is Finding.SHOWN:
                within += 1
                break
    assert harm / runs <= allowed(ALPHA, runs)
    assert within / runs <= allowed(BETA, runs)


@pytest.mark.parametrize(("before", "rate"), [(200, 0.05), (2_000, 0.01)])
def test_after_a_switch_that_changes_nothing_harm_is_rarely_found(before: int, rate: float) -> None:
    random, found = np.random.default_rng(8), 0
    for _ in range(RUNS):
        reference = int(random.binomial(before, rate))
        failing = np.cumsum(random.random(400) < rate)
        for unit in np.flatnonzero(np.diff(failing, prepend=0)):
            if (
                share_after(int(failing[unit]), int(unit) + 1, reference, before, ALPHA).finding
                is Finding.HARM
            ):
                found += 1
                break
    assert found / RUNS <= allowed(ALPHA)


def test_after_a_switch_to_an_equal_mean_and_latency_harm_is_rarely_found() -> None:
    random, runs, worse, slower = np.random.default_rng(9), 200, 0, 0
    for _ in range(runs):
        before, after = random.gamma(0.7, 0.5, 300), random.gamma(0.7, 0.5, 900)
        reference = ArmCounts(units=300, metrics=(sums(before),), latencies=buckets(before))
        looks = [
            ArmCounts(units=n, metrics=(sums(after[:n]),), latencies=buckets(after[:n]))
            for n in range(150, 900, 250)
        ]
        worse += any(
            mean_after(arm, reference, "log_loss", 0.0, ALPHA).finding is Finding.HARM for arm in looks
        )
        slower += any(
            latency_after(arm.latencies, reference.latencies, ALPHA).finding is Finding.HARM for arm in looks
        )
    assert worse / runs <= allowed(ALPHA, runs)
    assert slower / runs <= allowed(ALPHA, runs)


def sums(figures: NDArray[np.float64]) -> MetricSums:
    return MetricSums(
        metric="log_loss",
        units=figures.size,
        total=float(figures.sum()),
        squares=float((figures * figures).sum()),
    )


def buckets(figures: NDArray[np.float64]) -> dict[int, int]:
    found: dict[int, int] = {}
    for figure in figures:
        bucket = latency_bucket(10 * float(figure))
        found[bucket] = found.get(bucket, 0) + 1
    return found
