"""A domain classifier in the loop's terms: it bets on rows that it has not seen, and names what it goes by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.monitoring import Budget, Evidence, Outcome, WindowedBetting
from mainspring.monitoring.joint import REFITS, joint_streams

BUDGET = Budget(checks=30, alarms=0.25)
EDGES = (-1.15, -0.67, -0.32, 0.0, 0.32, 0.67, 1.15)
Rows = dict[str, NDArray[np.uint8]]


def rows(
    rng: np.random.Generator, count: int, correlation: float, *, columns: int = 6, moved: float = 0.0
) -> Rows:
    """Normal numbers in eighths, of which the first two hang together."""
    z = rng.normal(size=(count, columns))
    z[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
    z[:, 2] += moved
    return {f"x{n}": np.searchsorted(EDGES, z[:, n]).astype(np.uint8) for n in range(columns)}


def weighed(reference: Rows, days: list[Rows]) -> Evidence:
    detector = WindowedBetting()
    streams = joint_streams(reference, days)
    if not streams:
        return detector.weigh((), budget=BUDGET)
    found = [detector.weigh([each], budget=BUDGET.share(REFITS)) for each in streams]
    return max(found, key=lambda each: each.log_e)


def first_alarm(reference: Rows, days: list[Rows]) -> int | None:
    return next(
        (n for n in range(1, len(days) + 1) if weighed(reference, days[:n]).outcome is Outcome.ALARM), None
    )


def test_rows_that_do_not_change_raise_no_more_alarms_than_the_budget() -> None:
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        reference = rows(rng, 2_000, 0.5)
        days = [rows(rng, 300, 0.5) for _ in range(30)]
        alarms += weighed(reference, days).outcome is Outcome.ALARM
    assert alarms <= 60 * BUDGET.alarms


@pytest.mark.parametrize("correlation", [-0.5, 0.0])
def test_inputs_that_hang_together_otherwise_are_found_though_none_has_moved_and_both_are_named(
    correlation: float,
) -> None:
    rng = np.random.default_rng(1)
    reference = rows(rng, 6_000, 0.5)
    days = [rows(rng, 500, 0.5) for _ in range(5)] + [rows(rng, 500, correlation) for _ in range(12)]
    assert first_alarm(reference, days) == 9  # the first check that the classifier of eight is asked about
    assert joint_streams(reference, days[:9])[-1].column == "x0 and x1"


def test_an_input_that_has_moved_alone_is_found_too() -> None:
    rng = np.random.default_rng(2)
    reference = rows(rng, 6_000, 0.5)
    days = [rows(rng, 500, 0.5) for _ in range(3)] + [rows(rng, 500, 0.5, moved=0.8) for _ in range(8)]
    found = first_alarm(reference, days)
    assert found is not None
    assert found <= 6
    assert joint_streams(reference, days)[-1].column == "x2"


def test_a_classifier_is_asked_about_no_row_that_it_was_fitted_to() -> None:
    rng = np.random.default_rng(3)
    reference = rows(rng, 2_000, 0.5)
    days = [rows(rng, 300, -0.5) for _ in range(9)]
    for stream in joint_streams(reference, days):
        fitted = int(stream.name.split()[-1]) - 1
        assert [sum(check) for check in stream.checks] == [0] * fitted + [300] * (9 - fitted)
        assert stream.reference_rows == 1_000


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_evidence_does_not_know_the_order_of_rows_within_a_check(seed: int) -> None:
    rng = np.random.default_rng(4)
    reference = rows(rng, 2_000, 0.5)
    days = [rows(rng, 300, -0.2) for _ in range(6)]
    order = np.random.default_rng(seed).permutation(300)
    shuffled = [{name: codes[order] for name, codes in day.items()} for day in days]
    assert joint_streams(reference, shuffled) == joint_streams(reference, days)


def test_what_is_too_little_to_fit_to_is_nothing_to_weigh() -> None:
    rng = np.random.default_rng(5)
    assert joint_streams(rows(rng, 2_000, 0.5), []) == ()
    assert joint_streams(rows(rng, 2_000, 0.5), [rows(rng, 20, -0.9) for _ in range(2)]) == ()
    assert weighed(rows(rng, 2_000, 0.5), []).outcome is Outcome.INSUFFICIENT_DATA
