"""Sequential tests keep their bound on false alarms though one looks all the time, and find what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.rollouts import BURN_IN, Finding, latency_bucket, latency_test, mean_difference, share_test

ALPHA = 0.05
counts = st.integers(0, 500)
rhos = st.floats(0.01, 0.99)


def bound(runs: int) -> float:
    """Alpha and three binomial standard deviations."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_five_failing_units_that_are_all_of_a_quarter_are_harm() -> None:
    assert share_test(5, 0, rho=0.25, alpha=0.05).finding is Finding.HARM
    assert share_test(5, 0, rho=0.25, alpha=0.025).finding is Finding.HARM


def test_failures_in_proportion_are_no_harm() -> None:
    for scale in (0, 1, 10, 100):
        assert share_test(scale, 3 * scale, rho=0.25, alpha=0.05).finding is Finding.NO_HARM_SHOWN


@given(counts, counts, rhos)
def test_evidence_of_harm_rises_with_the_challengers_failures_and_falls_with_the_champions(
    ours: int, theirs: int, rho: float
) -> None:
    here = share_test(ours, theirs, rho, ALPHA).e_value
    assert share_test(ours + 1, theirs, rho, ALPHA).e_value >= here
    assert share_test(ours, theirs + 1, rho, ALPHA).e_value <= here


@given(st.integers(0, 40), rhos)
def test_without_harm_the_evidence_is_expected_to_stay_at_one(failing: int, rho: float) -> None:
    # Exactly, by the binomial law of how many failing units are the challenger's.
    chance = [math.comb(failing, k) * rho**k * (1 - rho) ** (failing - k) for k in range(failing + 1)]
    evidence = [share_test(k, failing - k, rho, ALPHA).e_value for k in range(failing + 1)]
    assert math.fsum(p * e for p, e in zip(chance, evidence, strict=True)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("rho", [0.05, 0.25, 0.5])
def test_a_harmless_challenger_is_rarely_harmful_however_often_one_looks(rho: float) -> None:
    random, runs, failing = np.random.default_rng(20_130_101), 400, 200
    alarms = 0
    for _ in range(runs):
        ours = np.cumsum(random.random(failing) < rho)
        looks = [share_test(int(k), n + 1 - int(k), rho, ALPHA).finding for n, k in enumerate(ours)]
        alarms += Finding.HARM in looks
    assert alarms / runs <= bound(runs)


@pytest.mark.parametrize(("rho", "law"), [(0.05, "log_loss"), (0.25, "log_loss"), (0.25, "brier")])
def test_equal_losses_are_rarely_harm_however_often_one_looks(rho: float, law: str) -> None:
    random, runs, units = np.random.default_rng(7), 300, 4_000
    alarms = 0
    for _ in range(runs):
        assigned, losses = random.random(units) < rho, some_losses(random, units, law)
        alarms += first_harm(assigned, losses) is not None
    assert alarms / runs <= bound(runs)


def test_a_challenger_whose_loss_is_much_higher_is_found() -> None:
    random = np.random.default_rng(11)
    found = []
    for _ in range(20):
        assigned, losses = random.random(4_000) < 0.25, some_losses(random, 4_000, "log_loss")
        found.append(first_harm(assigned, losses + 0.15 * assigned))
    assert all(at is not None for at in found)


def some_losses(random: np.random.Generator, units: int, law: str) -> NDArray[np.float64]:
    probability = random.beta(1.2, 4, units)
    truth = random.random(units) < probability
    right = np.where(truth, probability, 1 - probability)
    return -np.log(right) if law == "log_loss" else (1 - right) ** 2


def first_harm(assigned: NDArray[np.bool_], losses: NDArray[np.float64]) -> int | None:
    """Look after every tenth unit; the sums change little in between."""
    sums = [np.cumsum(where * losses**power) for where in (assigned, ~assigned) for power in (0, 1, 2)]
    for at in range(9, losses.size, 10):
        n1, sum1, sumsq1, n0, sum0, sumsq0 = (float(each[at]) for each in sums)
        if mean_difference(int(n1), sum1, sumsq1, int(n0), sum0, sumsq0, 0.0, ALPHA).finding is Finding.HARM:
            return at
    return None


def test_means_are_not_compared_before_the_burn_in() -> None:
    few, many = BURN_IN - 1, 10_000
    assert mean_difference(few, 9e9, 9e18, many, 0, 0, 0.0, ALPHA).finding is Finding.INSUFFICIENT_DATA
    assert mean_difference(many, 9e9, 9e18, few, 0, 0, 0.0, ALPHA).finding is Finding.INSUFFICIENT_DATA


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_losses_that_are_no_numbers_are_no_data(broken: float, place: int) -> None:
    sums = [80.0, 90.0, 80.0, 90.0]
    sums[place] = broken
    found = mean_difference(200, sums[0], sums[1], 200, sums[2], sums[3], 0.0, ALPHA)
    assert found.finding is Finding.INSUFFICIENT_DATA


def test_a_difference_within_the_margin_is_no_harm() -> None:
    ours, theirs = (10_000, 4_100.0, 1_781.0), (10_000, 4_000.0, 1_700.0)
    assert mean_difference(*ours, *theirs, margin=0.0, alpha=ALPHA).finding is Finding.HARM
    assert mean_difference(*ours, *theirs, margin=0.02, alpha=ALPHA).finding is Finding.NO_HARM_SHOWN


def test_constant_losses_are_compared_as_they_are() -> None:
    assert mean_difference(100, 100, 100, 100, 0, 0, 0.0, ALPHA).finding is Finding.HARM
    assert mean_difference(100, 0, 0, 100, 0, 0, 0.0, ALPHA).finding is Finding.NO_HARM_SHOWN


@given(st.floats(0, 1e6, exclude_min=True))
def test_a_latency_lies_in_its_bucket(latency_ms: float) -> None:
    bucket = latency_bucket(latency_ms)
    assert 0 <= bucket <= 319
    if 0 < bucket < 319:
        low = 0.0625 * 2 ** (bucket / 16)
        assert low * (1 - 1e-12) <= latency_ms <= low * 2 ** (1 / 16) * (1 + 1e-12)


@pytest.mark.parametrize("latency_ms", [-1.0, math.nan])
def test_an_impossible_latency_is_refused(latency_ms: float) -> None:
    with pytest.raises(Invalid):
        latency_bucket(latency_ms)


def test_equal_latencies_are_rarely_slower_and_doubled_ones_are_found() -> None:
    random, runs, units, rho = np.random.default_rng(3), 300, 400, 0.25
    alarms = found = 0
    for _ in range(runs):
        assigned = random.random(units) < rho
        latencies = random.lognormal(1.0, 0.5, units)
        alarms += slower_at(assigned, latencies)
        found += slower_at(assigned, latencies * np.where(assigned, 2.0, 1.0))
    assert alarms / runs <= bound(runs)
    assert found / runs > 0.95


def slower_at(assigned: NDArray[np.bool_], latencies: NDArray[np.float64]) -> bool:
    arms: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for unit, (ours, latency_ms) in enumerate(zip(assigned, latencies, strict=True)):
        counts, bucket = arms[0 if ours else 1], latency_bucket(float(latency_ms))
        counts[bucket] = counts.get(bucket, 0) + 1
        if unit % 10 == 9 and latency_test(*arms, 0.25, ALPHA).finding is Finding.HARM:
            return True
    return False


def test_an_arm_without_latencies_is_no_data() -> None:
    assert latency_test({}, {100: 50}, 0.25, ALPHA).finding is Finding.INSUFFICIENT_DATA
    assert latency_test({100: 50}, {}, 0.25, ALPHA).finding is Finding.INSUFFICIENT_DATA


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, math.nan])
def test_an_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(Invalid):
        share_test(1, 1, 0.5, alpha)
    with pytest.raises(Invalid):
        latency_test({1: 1}, {1: 1}, 0.5, alpha)
    with pytest.raises(Invalid):
        mean_difference(100, 1, 1, 100, 1, 1, 0.0, alpha)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(Invalid):
        share_test(-1, 1, 0.5, ALPHA)
    with pytest.raises(Invalid):
        share_test(1, 1, 1.0, ALPHA)
    with pytest.raises(Invalid):
        mean_difference(-1, 0, 0, 100, 1, 1, 0.0, ALPHA)
    with pytest.raises(Invalid):
        mean_difference(100, 1, 1, 100, 1, 1, math.nan, ALPHA)
    with pytest.raises(Invalid):
        latency_test({320: 1}, {1: 1}, 0.5, ALPHA)
