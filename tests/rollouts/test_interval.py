"""Intervals hold at every look at once, hold their own estimate, and do not depend on order or partition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.rollouts.interval import Interval, bounded_mean, mean, mean_difference_interval

ALPHA = 0.1
shares = st.lists(st.floats(0, 1), min_size=1, max_size=80)


def bound(runs: int) -> float:
    """Alpha and three binomial standard deviations."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def looks(units: int) -> list[int]:
    """Some forty looks, close to each other at first."""
    return sorted({round(units ** (step / 40)) for step in range(4, 41)})


def of(values: NDArray[np.float64]) -> Interval:
    return bounded_mean(values, low=0, high=1, alpha=ALPHA)


def asymptotic(values: NDArray[np.float64]) -> Interval:
    return mean(values.size, math.fsum(values), math.fsum(values**2), ALPHA)


@given(shares)
def test_an_interval_lies_in_the_range_and_holds_its_estimate(values: list[float]) -> None:
    found = of(np.array(values))
    assert 0 <= found.low <= found.high <= 1
    assert found.low - 1e-12 <= found.estimate <= found.high + 1e-12


@given(shares, st.randoms())
def test_the_order_of_the_units_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert of(np.array(values)) == of(np.array(shuffled))


@given(shares)
def test_the_mirror_image_has_the_mirrored_interval(values: list[float]) -> None:
    found, mirrored = of(np.array(values)), of(1 - np.array(values))
    assert mirrored.low == pytest.approx(1 - found.high, abs=2e-4)
    assert mirrored.high == pytest.approx(1 - found.low, abs=2e-4)


@given(st.lists(st.floats(-3, 5), min_size=1, max_size=50))
def test_the_range_may_lie_anywhere(values: list[float]) -> None:
    there = bounded_mean(np.array(values), low=-3, high=5, alpha=ALPHA)
    here = of((np.array(values) + 3) / 8)
    assert there.low == pytest.approx(here.low * 8 - 3, abs=2e-3)
    assert there.high == pytest.approx(here.high * 8 - 3, abs=2e-3)


def test_without_observations_nothing_is_excluded() -> None:
    found = bounded_mean(np.array([]), low=-1, high=1, alpha=0.05)
    assert (found.low, found.high, found.units) == (-1, 1, 0)
    assert math.isnan(found.estimate)


@pytest.mark.parametrize("values", [[0.5, math.nan], [1.5], [-0.1]])
def test_what_is_outside_of_the_range_is_refused(values: list[float]) -> None:
    with pytest.raises(Invalid, match="from 0 to 1"):
        of(np.array(values))


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_alpha_that_is_no_chance_is_refused(alpha: float) -> None:
    with pytest.raises(Invalid, match="alpha"):
        bounded_mean(np.array([0.5]), low=0, high=1, alpha=alpha)
    with pytest.raises(Invalid, match="alpha"):
        mean(10, 1.0, 1.0, alpha)


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_true_mean_is_rarely_left_out_however_often_one_looks(rate: float) -> None:
    random, runs = np.random.default_rng(20_130_101), 200
    missed = 0
    for _ in range(runs):
        values = (random.random(2_000) < rate).astype(np.float64)
        missed += any(not (found := of(values[:n])).low <= rate <= found.high for n in looks(2_000))
    assert missed / runs <= bound(runs)


def test_an_asymptotic_interval_rarely_leaves_the_true_mean_out() -> None:
    random, runs = np.random.default_rng(11), 400
    missed = 0
    for _ in range(runs):
        values = random.exponential(size=4_000)
        at = [n for n in looks(4_000) if n >= 100]
        missed += any(not (found := asymptotic(values[:n])).low <= 1 <= found.high for n in at)
    assert missed / runs <= bound(runs)


def test_more_units_and_less_spread_make_an_interval_narrow() -> None:
    random = np.random.default_rng(5)
    wide, narrow = random.random(4_000), 0.5 + 0.05 * random.random(4_000)
    width = [found.high - found.low for found in map(of, (wide[:400], wide, narrow))]
    assert width[0] > 2 * width[1] > 4 * width[2]
    # Of the order of a fixed-sample interval, which may be looked at once.
    assert width[1] < 3 * 2 * 1.64 * wide.std() / math.sqrt(wide.size)


def test_a_difference_of_arms_is_told_from_their_sums() -> None:
    random = np.random.default_rng(3)
    ours, theirs = random.normal(0.28, 0.4, 9_000), random.normal(0.32, 0.4, 3_000)
    sums = [each for arm in (ours, theirs) for each in (arm.size, arm.sum(), (arm**2).sum())]
    found = mean_difference_interval(*sums, alpha=0.05)
    assert found.low < -0.04 < found.high < 0
    assert found.units == 12_000
    assert not found.exact
