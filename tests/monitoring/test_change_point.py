"""The days that cannot be ruled out as the first after a change: they hold it as often as is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.monitoring import Budget, Outcome, Stream, WindowedBetting
from mainspring.monitoring.change_point import LEVEL, change_days

BUDGET = Budget(checks=30, alarms=0.25)
EVENT = (0.0, 1.0)


def stream(counts: list[int], rows: int, reference: tuple[int, int] = (4_500, 500)) -> Stream:
    return Stream(
        name="error",
        column="error",
        lower=EVENT,
        upper=EVENT,
        reference=reference,
        checks=tuple((rows - each, each) for each in counts),
        tolerance=0.01,
    )


def alarmed(seed: int, risen: float, rows: int, among: int) -> tuple[int, int, int] | None:
    """The first check after a change, and the ends of the set at the alarm; None without one, or one before."""
    rng = np.random.default_rng(seed)
    first = int(rng.integers(1, 20))
    errors = rng.binomial(5_000, 0.1)
    counts = [int(rng.binomial(rows, 0.1 if check < first else risen)) for check in range(30)]
    for last in range(1, 31):
        seen = stream(counts[:last], rows, (5_000 - errors, errors))
        if WindowedBetting().weigh([seen], budget=BUDGET).outcome is Outcome.ALARM:
            return None if last <= first else (first, *change_days(seen, among=among, budget=BUDGET))
    return None


@pytest.mark.parametrize(("risen", "rows", "among"), [(0.2, 300, 1), (0.15, 1_000, 1), (0.2, 300, 50)])
def test_the_first_day_is_in_the_set_as_often_as_is_said_and_the_set_is_of_days_and_not_of_months(
    risen: float, rows: int, among: int
) -> None:
    found = [each for seed in range(60) if (each := alarmed(seed, risen, rows, among)) is not None]
    assert len(found) > 50
    assert np.mean([low <= first <= high for first, low, high in found]) >= LEVEL
    assert np.median([high - low + 1 for _, low, high in found]) <= 10


def test_a_sharp_change_among_many_rows_leaves_one_day() -> None:
    seen = stream([200] * 6 + [1_000] * 3, 2_000)
    assert change_days(seen, among=1, budget=BUDGET) == (6, 6)


def test_days_of_too_few_rows_rule_nothing_out() -> None:
    assert change_days(stream([3] * 4 + [20] * 3, 30), among=1, budget=BUDGET)[0] == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.integers(1, 100))
def test_the_more_streams_it_was_chosen_among_the_wider_the_set(counts: list[int], among: int) -> None:
    seen = stream(counts, 300)
    narrow, wide = (change_days(seen, among=n, budget=BUDGET) for n in (1, among))
    assert 0 <= narrow[0] <= narrow[1] < len(counts)
    assert wide[1] >= narrow[1]
    if wide[1] == narrow[1]:
        assert wide[0] <= narrow[0]
