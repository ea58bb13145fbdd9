"""Attributions: by how much answers change without an input, as counts that a detector weighs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import Budget, Outcome, WindowedBetting
from mainspring.monitoring.attribution import AttributionTable, attribution_streams

BUDGET = Budget(checks=30, alarms=0.25)


def table(rng: np.random.Generator, rows: int, weight: float) -> AttributionTable:
    """Of a model whose answer is moved by one input with a weight, and by another not at all."""
    x = rng.normal(size=rows)
    return AttributionTable.of(
        1 / (1 + np.exp(-weight * x)), {"x": np.full(rows, 0.5), "y": 1 / (1 + np.exp(-weight * x))}
    )


def outcome(reference: AttributionTable, days: list[AttributionTable]) -> tuple[Outcome, str]:
    evidence = WindowedBetting().weigh(attribution_streams(reference, days), budget=BUDGET)
    return evidence.outcome, evidence.streams[0][0]


def test_an_input_that_moves_answers_as_it_did_is_quiet() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        alarms += (
            outcome(table(rng, 3_000, 1.0), [table(rng, 300, 1.0) for _ in range(30)])[0] is Outcome.ALARM
        )
    assert alarms <= 40 * BUDGET.alarms


def test_one_that_moves_them_by_more_or_by_less_is_an_alarm_that_says_which() -> None:
    rng = np.random.default_rng(0)
    reference = table(rng, 3_000, 1.0)
    for weight, told in ((2.0, "x moves answers by more"), (0.3, "x moves answers by less")):
        days = [table(rng, 300, 1.0) for _ in range(3)] + [table(rng, 300, weight) for _ in range(6)]
        assert outcome(reference, days) == (Outcome.ALARM, told)


def test_ignored_inputs_are_left_out_and_rows_without_an_answer_do_not_count() -> None:
    answers = np.array([0.1, np.nan, 0.9])
    found = AttributionTable.of(answers, {"x": np.array([0.1, 0.1, np.nan]), "y": np.zeros(3)})
    assert (sum(found.counts["x"]), sum(found.counts["y"])) == (1, 2)
    assert {stream.column for stream in attribution_streams(found, [found], ignore=("x",))} == {"y"}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_every_row_is_in_a_level_that_holds_it(pairs: list[tuple[float, float]]) -> None:
    answers, without = (np.array(each) for each in zip(*pairs, strict=True))
    found = AttributionTable.from_json(AttributionTable.of(answers, {"x": without}).to_json())
    more, less = attribution_streams(found, [found])
    moved = np.abs(answers - without)
    for stream, values in ((more, moved), (less, 1 - moved)):
        assert sum(stream.reference) == len(pairs)
        low = np.dot(stream.reference, stream.lower) - 1e-9
        high = np.dot(stream.reference, stream.upper) + 1e-9
        assert low <= values.sum() <= high
