"""Effects from profiles beside those of scipy from the rows themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mainspring.monitoring import (
    CategoryProfile,
    EmptyWindow,
    Interval,
    Kind,
    NumberProfile,
    ProfileMismatch,
    bin_edges,
    chi_square,
    cramers_v,
    frame,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    kullback_leibler,
    normalised_wasserstein,
    profile,
    stability_index,
    total_variation,
    wasserstein,
)

Effect = Callable[[NumberProfile, NumberProfile], Interval]
SHARES: list[Effect] = [
    stability_index,
    kullback_leibler,
    jensen_shannon,
    hellinger,
    total_variation,
    chi_square,
    cramers_v,
]
DISTANCES: list[Effect] = [kolmogorov_smirnov, wasserstein, normalised_wasserstein]


def of_bins(effect: object, before: np.ndarray, after: np.ndarray) -> float:
    """The effect from counts of bins, by scipy where it has it; a bin that both lack is no bin."""
    held = (before + after) > 0
    before, after = before[held], after[held]
    p, q = before / before.sum(), after / after.sum()
    if effect is stability_index:
        p, q = np.maximum(before, 0.5) / before.sum(), np.maximum(after, 0.5) / after.sum()
        return float(((p - q) * np.log(p / q)).sum())
    if effect is kullback_leibler:
        return float(stats.entropy(q, p))
    if effect is jensen_shannon:
        return float(jensenshannon(p, q, base=2))
    if effect is hellinger:
        return float(np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / math.sqrt(2))
    if effect is total_variation:
        return float(np.abs(p - q).sum() / 2)
    if len(before) == 1:
        return 0.0
    if effect is chi_square:
        return float(stats.chi2_contingency([before, after], correction=False).statistic)
    return float(stats.contingency.association(np.array([before, after]), method="cramer"))


def of_rows(effect: object, before: np.ndarray, after: np.ndarray) -> float:
    if effect is kolmogorov_smirnov:
        with np.errstate(all="ignore"):  # at its p-value, which nobody asks for
            return float(stats.ks_2samp(before, after, method="asymp").statistic)
    distance = float(stats.wasserstein_distance(before, after))
    if effect is wasserstein:
        return distance
    # Of equal values the mean is not always one of them, to rounding.
    deviation = float(before.std()) if before.min() < before.max() else 0.0
    return distance / deviation if deviation else (math.inf if distance else 0.0)


def assert_within(true: float, told: Interval, scale: float = 1.0) -> None:
    slack = 1e-9 * max(1.0, scale)
    assert told.low <= told.value <= told.high
    assert told.low - slack <= true <= told.high + slack or true == told.low == told.high


def number(values: np.ndarray, kind: Kind = Kind.NUMBER, offset: float = 0.0) -> NumberProfile:
    return NumberProfile.none(kind, offset=offset).count(values)


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Rows up to each edge, then those beyond the last."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


samples = st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)), min_size=1, max_size=40)


@pytest.mark.parametrize("effect", SHARES)
@given(samples, samples)
@settings(max_examples=60)
def test_an_effect_of_shares_is_that_of_the_rows_in_its_bins(
    effect: Effect, before: list[float], after: list[float]
) -> None:
    a, b = np.array(before), np.array(after)
    edges = bin_edges(number(a), number(b))
    true = of_bins(effect, binned(a, edges), binned(b, edges))
    told = effect(number(a), number(b))
    assert told.low == told.value == told.high
    assert told.value == pytest.approx(true, rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("effect", DISTANCES)
@given(samples, samples, st.sampled_from([0.0, 100.0, -1e5]))
@settings(max_examples=100)
def test_a_distance_of_the_rows_lies_within_its_interval(
    effect: Effect, before: list[float], after: list[float], offset: float
) -> None:
    a, b = np.array(before), np.array(after)
    told = effect(number(a, offset=offset), number(b, offset=offset))
    true = of_rows(effect, a, b)
    # Rows closer together than rounding allows have a deviation of rounding alone.
    if effect is not normalised_wasserstein or a.std() > 1e-6 or len(set(before)) == 1:
        assert_within(true, told, scale=1e6 if effect is wasserstein else abs(true))


@pytest.mark.parametrize("effect", [*SHARES, *DISTANCES])
@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
@settings(max_examples=60)
def test_effects_of_few_whole_numbers_are_exact(effect: Effect, before: list[int], after: list[int]) -> None:
    a, b = np.array(before), np.array(after)
    told = effect(number(a, Kind.INTEGER), number(b, Kind.INTEGER))
    if effect in SHARES:
        true = of_bins(effect, np.bincount(a, minlength=10), np.bincount(b, minlength=10))
    else:
        true = of_rows(effect, a.astype(float), b.astype(float))
    for each in told:
        assert each == pytest.approx(true, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(
    "effect", [jensen_shannon, hellinger, total_variation, chi_square, cramers_v, kullback_leibler]
)
def test_categories_that_share_a_hash_widen_the_interval_and_the_truth_lies_in_it(effect: Effect) -> None:
    rng = np.random.default_rng(4)
    before = [f"tail-{n}" for n in rng.zipf(1.1, 30_000) % 20_000]
    after = [f"tail-{n}" for n in rng.zipf(1.2, 20_000) % 20_000]
    a, b = Counter(before), Counter(after)
    names = sorted({*a, *b})
    true = of_bins(effect, np.array([a[name] for name in names]), np.array([b[name] for name in names]))
    of_a, of_b = CategoryProfile().count(a), CategoryProfile().count(b)
    assert of_a.merge(of_b).level > 0
    told = effect(of_a, of_b)  # type: ignore[arg-type]
    assert told.low < told.high or true == math.inf
    assert_within(true, told, scale=abs(true))


def test_a_stability_index_of_names_that_share_a_hash_has_no_upper_end() -> None:
    of_a = CategoryProfile().count({f"tail-{n}": 1 for n in range(10_000)})
    told = stability_index(of_a, CategoryProfile().count({"tail-1": 5}))
    assert told.high == math.inf
    assert told.low <= told.value < math.inf


@pytest.mark.parametrize("effect", DISTANCES)
def test_a_large_window_is_told_to_a_few_percent(effect: Effect) -> None:
    rng = np.random.default_rng(5)
    rows = {"x": rng.lognormal(3.0, 1.0, 50_000)}
    later = rng.lognormal(3.3, 1.0, 20_000)
    shape = frame(rows)
    before, after = profile(rows, shape).columns["x"], profile({"x": later}, shape).columns["x"]
    told, true = effect(before, after), of_rows(effect, rows["x"], later)  # type: ignore[arg-type]
    assert_within(true, told)
    assert told.value == pytest.approx(true, rel=0.03)
    assert told.high - told.low < 0.4 * true


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from([0.0, 1e3]))
def test_mean_and_deviation_lie_within_their_intervals(values: list[float], offset: float) -> None:
    rows = np.array(values)
    column = number(rows, offset=offset)
    assert_within(float(rows.mean()), column.mean(), scale=1e6)
    assert_within(float(rows.std()), column.deviation(), scale=1e6)


windows = st.lists(st.none() | st.sampled_from(["UA", "B6", "DL"]), min_size=1, max_size=30)


@pytest.mark.parametrize(
    "effect", [stability_index, jensen_shannon, hellinger, total_variation, chi_square, cramers_v]
)
@given(windows, windows)
@settings(max_examples=40)
def test_effects_are_zero_for_the_same_rows_and_symmetric(
    effect: Effect, before: Sequence[str | None], after: Sequence[str | None]
) -> None:
    a, b = (profile({"carrier": rows}).columns["carrier"] for rows in (before, after))
    assert effect(a, a).value == 0.0  # type: ignore[arg-type]
    forth, back = effect(a, b), effect(b, a)  # type: ignore[arg-type]
    assert forth.value == pytest.approx(back.value, rel=1e-9, abs=1e-12)
    assert forth.value >= 0.0


def test_windows_that_share_nothing_are_as_far_apart_as_can_be() -> None:
    ua, b6 = (CategoryProfile().count({name: 9}) for name in ("UA", "B6"))
    assert jensen_shannon(ua, b6).value == hellinger(ua, b6).value == cramers_v(ua, b6).value == 1.0
    assert total_variation(ua, b6) == (1.0, 1.0, 1.0)
    assert kullback_leibler(ua, b6).value == math.inf
    assert kolmogorov_smirnov(number(np.array([1.0, 2.0])), number(np.array([8.0]))) == (1.0, 1.0, 1.0)
    assert jensen_shannon(ua, CategoryProfile().count({}, nulls=1)).value == 1.0


def test_a_constant_reference_has_no_unit_to_measure_in() -> None:
    still, moved = number(np.array([2.0, 2.0])), number(np.array([3.0]))
    assert normalised_wasserstein(still, still).value == 0.0
    assert normalised_wasserstein(still, moved).value == math.inf


@given(st.lists(st.floats(), max_size=8), st.lists(st.floats(), max_size=8), st.sampled_from([0.0, 1e300]))
def test_any_numbers_have_effects_or_are_said_to_be_too_few(
    before: list[float], after: list[float], offset: float
) -> None:
    a, b = (
        number(np.array(before, dtype=float), offset=offset),
        number(np.array(after, dtype=float), offset=offset),
    )
    for effect in [*SHARES, *DISTANCES]:
        try:
            told = effect(a, b)
        except EmptyWindow:
            continue
        assert told.low <= told.value <= told.high


def test_an_effect_of_an_empty_window_is_refused() -> None:
    one = number(np.array([1.0]))
    with pytest.raises(EmptyWindow):
        stability_index(number(np.array([])), one)
    with pytest.raises(EmptyWindow):
        kolmogorov_smirnov(number(np.array([math.nan])), one)
    with pytest.raises(EmptyWindow):
        wasserstein(number(np.array([math.inf])), one)
    with pytest.raises(EmptyWindow):
        number(np.array([])).quantile(0.5)
    with pytest.raises(ProfileMismatch):
        jensen_shannon(one, CategoryProfile().count({"UA": 1}))
    with pytest.raises(ProfileMismatch, match="offset"):
        wasserstein(one, number(np.array([1.0]), offset=1.0))
