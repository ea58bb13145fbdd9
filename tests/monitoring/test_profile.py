from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.monitoring import (
    CategoryProfile,
    EmptyWindow,
    NumberProfile,
    Profile,
    ProfileMismatch,
    frame,
    jensen_shannon,
    kolmogorov_smirnov,
    merge,
    profile,
    stability_index,
    wasserstein,
)

Row = tuple[float | None, str | None]
numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan]))
names = st.one_of(st.none(), st.sampled_from(["UA", "B6", "DL"]), st.text(max_size=3))
tables = st.lists(st.tuples(numbers, names), max_size=30)


def number_array(values: Sequence[float | None]) -> np.ndarray:
    return np.ma.array(
        [0.0 if value is None else value for value in values],
        mask=[value is None for value in values],
        dtype=np.float64,
    )


def profile_of(rows: Sequence[Row], offset: float = 0.0) -> Profile:
    columns = {"wind": number_array([wind for wind, _ in rows]), "carrier": [carrier for _, carrier in rows]}
    return profile(columns, {"wind": offset})


def wind(values: Sequence[float], offset: float = 0.0) -> NumberProfile:
    column = profile({"wind": np.array(values, dtype=np.float64)}, {"wind": offset}).columns["wind"]
    assert isinstance(column, NumberProfile)
    return column


def carrier(values: Sequence[str | None]) -> CategoryProfile:
    column = profile({"carrier": values}).columns["carrier"]
    assert isinstance(column, CategoryProfile)
    return column


@given(tables, tables, st.floats(-1e3, 1e3))
def test_the_profile_of_a_union_is_the_merge_of_the_profiles(
    a: list[Row], b: list[Row], offset: float
) -> None:
    union = profile_of(a + b, offset)
    assert merge(profile_of(a, offset), profile_of(b, offset)) == union
    assert merge(profile_of(b, offset), profile_of(a, offset)).to_json() == union.to_json()


@given(tables, tables, tables)
def test_profiles_merge_in_any_grouping(a: list[Row], b: list[Row], c: list[Row]) -> None:
    x, y, z = map(profile_of, (a, b, c))
    assert merge(merge(x, y), z) == merge(x, merge(y, z)) == merge(z, x, y)


@given(tables, st.floats(-1e300, 1e300))
def test_a_profile_reads_back_as_it_was_written(rows: list[Row], offset: float) -> None:
    written = profile_of(rows, offset)
    assert Profile.from_json(written.to_json()) == written
    assert written.to_json().isascii()


def test_a_profile_of_another_format_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="format 7"):
        Profile.from_json('{"format":7,"rows":0,"columns":{}}')


def test_too_many_categories_are_folded_in_the_same_way_in_any_order() -> None:
    rng = np.random.default_rng(7)
    # A few names come often and most only once: the whole has too many, each part has not.
    rows = [f"tail-{n}" for n in (rng.pareto(0.4, 30_000) * 10).astype(np.int64)]
    whole = carrier(rows)
    parts = [carrier(rows[start : start + 3_000]) for start in range(0, len(rows), 3_000)]
    shuffled = [parts[n] for n in rng.permutation(len(parts))]
    assert whole.level > 0
    assert {part.level for part in parts} == {0}
    assert len(whole.named) <= 4096
    assert whole.rows == len(rows)
    assert reduce(CategoryProfile.merge, parts) == whole
    assert reduce(CategoryProfile.merge, shuffled) == whole
    halves = reduce(CategoryProfile.merge, parts[:5]), reduce(CategoryProfile.merge, parts[5:])
    assert halves[0].merge(halves[1]) == whole


def test_a_folded_category_keeps_honest_bounds() -> None:
    rows = [f"tail-{n}" for n in range(10_000)] + ["tail-1"] * 500 + ["tail-2"] * 500 + ["tail-3"] * 500
    folded = carrier(rows)
    for name in ("tail-1", "tail-2", "tail-3"):
        low, high = folded.bounds(name)
        assert low <= 501 <= high
    known = carrier(["UA", "B6"])
    assert known.bounds("UA") == (1, 1)
    assert 0.9 * len(rows) < folded.surely_unseen(known) <= len(rows)
    assert carrier(["UA", "DL", "DL", None]).surely_unseen(known) == 2


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.floats(0, 1))
def test_a_quantile_lies_within_its_interval(values: list[float], share: float) -> None:
    low, high = wind(values).quantile(share)
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert low <= true <= high


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_ranks_are_exact_at_bucket_edges(values: list[float]) -> None:
    column = wind(values)
    for key, _ in column.buckets:
        assert column.at_most(key) == sum(value <= column.edge(key) for value in values)


@given(st.floats(1e-300, 1e300))
def test_a_bucket_is_at_most_a_sixteenth_wide(value: float) -> None:
    lower, upper = NumberProfile(buckets=wind([value]).buckets).ends()
    assert lower[0] <= value <= upper[0]
    assert upper[0] - lower[0] <= lower[0] / 16


def test_nulls_nan_and_infinities_are_counted_apart() -> None:
    column = profile_of([(None, None), (math.nan, None), (math.inf, "UA"), (-math.inf, "UA"), (2.0, "B6")])
    speed, airline = column.columns["wind"], column.columns["carrier"]
    assert isinstance(speed, NumberProfile)
    assert (speed.nulls, speed.nans, speed.valid, speed.low, speed.high) == (1, 1, 3, 2.0, 2.0)
    assert speed.quantile(0.0) == (-math.inf, -math.inf)
    assert speed.quantile(1.0) == (math.inf, math.inf)
    assert (airline.rows, airline.missing) == (5, 2)


def test_an_offset_makes_buckets_narrow_where_the_mean_is_large_against_the_spread() -> None:
    values = np.random.default_rng(3).normal(1e6, 1.0, 2_000)
    offsets = frame({"x": values, "name": ["a"] * 2_000})
    assert list(offsets) == ["x"]
    plain, shifted = wind(values.tolist()), wind(values.tolist(), offsets["x"])
    assert len(plain.buckets) <= 2
    width = [high - low for low, high in (plain.quantile(0.5), shifted.quantile(0.5))]
    assert width[1] < width[0] / 4
    assert profile({"x": values}, offsets).frame == offsets


@given(st.lists(st.floats(), max_size=20))
def test_any_numbers_have_a_finite_offset_and_lose_no_row_to_it(values: list[float]) -> None:
    columns = {"x": np.array(values, dtype=np.float64)}
    shape = frame(columns)
    assert math.isfinite(shape["x"])
    assert profile(columns, shape).columns["x"].rows == len(values)


def test_a_column_that_is_not_of_numbers_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="'x' cannot"):
        profile({"x": np.array(["a", "b"])})
    with pytest.raises(ProfileMismatch, match="3 rows"):
        profile({"x": np.zeros(2), "y": ["a", "b", "c"]})


def test_profiles_of_another_frame_or_kind_do_not_merge() -> None:
    values = np.array([1.0, 2.0])
    with pytest.raises(ProfileMismatch, match=r"'x'.*offsets"):
        merge(profile({"x": values}), profile({"x": values}, {"x": 1.0}))
    with pytest.raises(ProfileMismatch, match="categories"):
        merge(profile({"x": values}), profile({"x": ["a", "b"]}))


def test_a_column_that_one_profile_lacks_is_kept() -> None:
    merged = merge(profile({"x": np.array([1.0])}), profile({"y": ["a"]}))
    assert merged.rows == 2
    assert sorted(merged.columns) == ["x", "y"]


@given(tables, tables)
@settings(max_examples=50)
def test_effect_sizes_are_zero_for_the_same_rows_and_symmetric(a: list[Row], b: list[Row]) -> None:
    x, y = profile_of([*a, (1.0, "UA")]), profile_of([*b, (2.0, "UA")])
    for name in x.columns:
        for effect in (stability_index, jensen_shannon):
            assert effect(x.columns[name], x.columns[name]) == 0.0
            forth, back = (
                effect(x.columns[name], y.columns[name]),
                effect(y.columns[name], x.columns[name]),
            )
            assert forth == pytest.approx(back, abs=1e-12)
            assert forth >= 0.0


def test_effect_sizes_are_near_those_of_the_rows_themselves() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.0, 1.0, 20_000), rng.normal(0.5, 1.0, 20_000)
    before, after = wind(a.tolist()), wind(b.tolist())
    distance = np.abs(np.sort(a) - np.sort(b)).mean()
    grid = np.sort(np.concatenate([a, b]))
    gap = np.abs(np.searchsorted(np.sort(a), grid, "right") - np.searchsorted(np.sort(b), grid, "right"))
    assert wasserstein(before, after) == pytest.approx(distance, rel=0.05)
    assert kolmogorov_smirnov(before, after) == pytest.approx(gap.max() / 20_000, abs=0.01)
    assert stability_index(before, after) == pytest.approx(0.25, abs=0.05)
    assert 0.0 < jensen_shannon(before, after) < 0.3


def test_windows_that_share_nothing_are_as_far_apart_as_can_be() -> None:
    assert jensen_shannon(carrier(["UA"] * 9), carrier(["B6"] * 5)) == 1.0
    assert kolmogorov_smirnov(wind([1.0, 2.0]), wind([8.0])) == 1.0
    assert jensen_shannon(carrier(["UA"]), carrier([None])) == 1.0


def test_an_effect_size_of_an_empty_window_is_refused() -> None:
    with pytest.raises(EmptyWindow):
        stability_index(wind([]), wind([1.0]))
    with pytest.raises(EmptyWindow):
        kolmogorov_smirnov(wind([math.nan]), wind([1.0]))
    with pytest.raises(EmptyWindow):
        wasserstein(wind([math.inf]), wind([1.0]))
    with pytest.raises(EmptyWindow):
        wind([]).quantile(0.5)
    with pytest.raises(ProfileMismatch):
        jensen_shannon(wind([1.0]), carrier(["UA"]))
