from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.monitoring import (
    Budget,
    ImpossibleRise,
    LossTable,
    WindowedBetting,
    power,
    quality_stream,
    reference_for,
)
from mainspring.monitoring.power import stream_power

budget = Budget(checks=30, alarms=0.25)


def errors(rows: int, wrong: int) -> LossTable:
    return LossTable(loss="error", counts=(rows - wrong, wrong))


def test_a_large_rise_is_found_at_once_and_none_is_found_with_a_reference_that_is_too_small() -> None:
    sure = power(errors(5000, 500), rise=0.3, tolerance=0.01, rows_per_check=500, budget=budget)
    assert (sure.probability, sure.within(0.9)) == (1.0, 500)
    none = power(
        errors(5000, 500), rise=0.3, tolerance=0.01, rows_per_check=500, budget=budget, reference_rows=50
    )
    assert (none.probability, none.within(0.1)) == (0.0, None)


@given(st.floats(0.02, 0.2), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_what_is_found_grows_with_the_rows_and_the_same_seed_gives_the_same(rise: float, seed: int) -> None:
    once, again = (
        power(
            errors(2000, 200),
            rise=rise,
            tolerance=0.01,
            rows_per_check=100,
            budget=budget,
            runs=20,
            seed=seed,
        )
        for _ in range(2)
    )
    assert once == again
    assert [rows for rows, _ in once.found] == sorted({rows for rows, _ in once.found})
    assert [runs for _, runs in once.found] == sorted(runs for _, runs in once.found)
    assert 0 < once.error <= 1


@pytest.mark.parametrize("rise", [0.0, -0.1, 0.91, math.nan])
def test_a_rise_that_the_losses_cannot_make_is_refused(rise: float) -> None:
    with pytest.raises(ImpossibleRise, match=r"more than 0 and less than 0\.9"):
        power(errors(1000, 100), rise=rise, tolerance=0.01, rows_per_check=100, budget=budget)


@pytest.mark.parametrize("table", [errors(1000, 0), LossTable.empty("error")])
def test_losses_that_were_never_seen_to_vary_cannot_rise(table: LossTable) -> None:
    with pytest.raises(ImpossibleRise):
        power(table, rise=0.05, tolerance=0.01, rows_per_check=100, budget=budget)


def test_the_reference_that_is_named_is_enough_and_the_next_smaller_one_is_not() -> None:
    def chance(reference_rows: int) -> float:
        return power(
            errors(1000, 100),
            rise=0.06,
            tolerance=0.01,
            rows_per_check=200,
            budget=budget,
            reference_rows=reference_rows,
        ).probability

    def enough(rows_per_check: int) -> int | None:
        stream = quality_stream("error", errors(1000, 100), [], tolerance=0.01)
        return reference_for(0.9, stream, rise=0.06, rows_per_check=rows_per_check, budget=budget)

    found = enough(200)
    assert found is not None
    assert chance(found // 4) < 0.9 <= chance(2 * found)
    assert enough(2) is None


def test_a_stream_among_others_is_found_later() -> None:
    stream = quality_stream("error", errors(2000, 200), [], tolerance=0.01)
    alone, among = (
        stream_power(stream, rise=0.08, rows_per_check=100, budget=budget, among=n).within(0.5)
        for n in (1, 50)
    )
    assert alone is not None
    assert among is not None
    assert alone < among


@pytest.mark.slow
@pytest.mark.parametrize(("reference_rows", "rise"), [(1000, 0.05), (5000, 0.05), (1000, 0.08)])
def test_the_power_that_is_stated_is_that_of_a_monitor_that_looks_every_time(
    reference_rows: int, rise: float
) -> None:
    stated = power(
        errors(1000, 100),
        rise=rise,
        tolerance=0.01,
        rows_per_check=300,
        budget=budget,
        reference_rows=reference_rows,
    )
    rng, runs, found = np.random.default_rng(99), 200, 0
    for _ in range(runs):
        reference = errors(reference_rows, int(rng.binomial(reference_rows, 0.1)))
        checks = [errors(300, int(wrong)) for wrong in rng.binomial(300, 0.1 + rise, budget.checks)]
        found += any(
            evidence.log_e >= evidence.log_threshold
            for seen in range(1, budget.checks + 1)
            for stream in [quality_stream("error", reference, checks[:seen], tolerance=0.01)]
            for evidence in [WindowedBetting().weigh([stream], budget=budget)]
        )
    # Both are simulations, and the statement leaves out some looks.
    assert abs(found / runs - stated.probability) <= 1.5 * (stated.error + 2 * math.sqrt(0.25 / runs))
