"""A product's own metric is a table of what rows count; what its function cannot say has a name."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.errors import Invalid
from mainspring.metric import LEVELS, Metric, MetricSpec, measured
from mainspring.task import Task

LATE = ms.BinaryClassification("late")
MINUTES = ms.Regression("minutes", low=0, high=120)


def cost(probability: float, outcome: int) -> float:
    refused = probability >= 0.25
    return 20.0 if refused and not outcome else 500.0 if outcome and not refused else 0.0


def waited(error: float) -> float:
    """Too early a promise costs three times as much as too late a one."""
    return min(300.0, -3.0 * error if error < 0 else error)


rows = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1])), min_size=1)
numbers = st.lists(st.tuples(st.floats(-50, 200), st.floats(-50, 200)), min_size=1)


@given(rows)
def test_a_row_counts_what_the_function_says_at_the_middle_of_its_level(
    given: list[tuple[float, int]],
) -> None:
    spec = measured(Metric("cost_eur", cost, low=0, high=500), LATE)
    answers, labels = zip(*given, strict=True)
    middles = [(min(LEVELS - 1, math.floor(p * LEVELS)) + 0.5) / LEVELS for p in answers]
    expected = sum(cost(p, y) for p, y in zip(middles, labels, strict=True)) / len(given)
    assert spec.mean(LATE, labels, answers) == pytest.approx(expected)


@given(numbers)
def test_of_numbers_it_counts_the_error_within_the_range_with_its_sign(
    given: list[tuple[float, float]],
) -> None:
    spec = measured(Metric("waited", waited, low=0, high=300), MINUTES)
    answers, labels = zip(*given, strict=True)
    errors = [min(max(a, 0), 120) - min(max(y, 0), 120) for a, y in given]
    # A level is at most 2/256 of the range wide, and 3 is the steepest that the function is.
    expected = sum(map(waited, errors)) / len(given)
    assert spec.mean(MINUTES, labels, answers) == pytest.approx(expected, abs=3 * 120 * 2 / 256)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8), st.sampled_from(["lower", "higher"]))
def test_harms_lie_between_the_best_and_the_worst_and_survive_json(values: list[float], better: str) -> None:
    spec = msgspec.convert(
        {
            "type": "MetricSpec",
            "name": "gain",
            "low": -5.0,
            "high": 5.0,
            "better": better,
            "values": values,
        },
        MetricSpec,
    )
    assert msgspec.json.decode(msgspec.json.encode(spec), type=MetricSpec) == spec
    assert all(0 <= harm <= 1 for harm in spec.harms)
    worst = max(values) if better == "lower" else min(values)
    assert max(spec.harms) == spec.harms[values.index(worst)]


@pytest.mark.parametrize(
    ("function", "task", "why"),
    [
        (lambda p, y: 1 / (p - p), LATE, "ZeroDivisionError: .*probability of 0.001953 and outcome 0"),
        (
            lambda p, y: math.nan if y else p,
            LATE,
            "it is nan, not from 0 to 500, at a probability of 0.001953",
        ),
        (lambda p, y: 501.0 if p > 0.5 else 0.0, LATE, "it is 501, not from 0 to 500"),
        (lambda p, y: -1.0, LATE, "it is -1, not from"),
        (lambda p, y: "much", LATE, "ValueError"),
        (lambda p, y: None, LATE, "TypeError"),
        (lambda error: 1.0, LATE, "TypeError: .*takes 1 positional argument"),
        (lambda p, y: random.random(), LATE, "it is not the same when asked twice"),
        (lambda p, y: 9.0 if p > 0.0004 else 0.0, LATE, "the same at the middle of every 256th"),
        (lambda error: math.sqrt(error), MINUTES, "ValueError: .*at an error of -0.0004578"),
    ],
)
def test_what_a_function_cannot_say_is_named_and_no_number_comes_of_it(
    function: Callable[..., float], task: Task, why: str
) -> None:
    spec = measured(Metric("cost_eur", function, low=0, high=500), task)
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(spec.fault)
    assert spec.values == ()
    assert math.isnan(spec.mean(task, [1.0], [0.5]))


@pytest.mark.parametrize(("labels", "answers"), [([], []), ([1], [math.nan]), ([2], [0.5]), ([1], [1.5])])
def test_rows_that_cannot_be_measured_leave_it_undefined(labels: list[float], answers: list[float]) -> None:
    spec = measured(Metric("cost_eur", cost, low=0, high=500), LATE)
    assert math.isnan(spec.mean(LATE, labels, answers))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"low": 500}, "from a number to a greater one"),
        ({"high": math.inf}, "from a number to a greater one"),
        ({"low": math.nan}, "from a number to a greater one"),
        ({"better": "left"}, "towards 'lower' or 'higher'"),
        ({"name": "cost in euro"}, "it is a word"),
    ],
)
def test_a_metric_without_bounds_is_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        Metric(**{"name": "cost_eur", "function": cost, "low": 0, "high": 500, **changed})  # type: ignore[arg-type]
