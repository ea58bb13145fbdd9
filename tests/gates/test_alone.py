"""An input that tells the outcome by itself is found, whatever its type, and one that does not is let pass."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from mainspring.gates import Check, Evaluation, Outcome, judge, mean_outcomes, r2, roc_auc
from mainspring.product import NoLeakage

ROWS = 4_000
RANDOM = np.random.default_rng(7)
LABELS = (RANDOM.random(ROWS) < 0.3).astype(float)
HALF = ROWS // 2

LEAKS = {
    "a number": pl.Series(LABELS * 10 + RANDOM.normal(size=ROWS)),
    "a number, the other way": pl.Series(-LABELS * 10 + RANDOM.normal(size=ROWS)),
    "in the middle": pl.Series(np.where(LABELS == 1, 0, RANDOM.choice([-5.0, 5.0], ROWS))),
    "missing where it is not so": pl.Series(np.where(LABELS == 1, RANDOM.random(ROWS), np.nan)),
    "a text": pl.Series(np.where(LABELS == 1, "settled", "open")),
    "a truth value": pl.Series(LABELS == 1),
}
SOUND = {
    "noise": pl.Series(RANDOM.normal(size=ROWS)),
    "every row its own": pl.Series([f"id {row}" for row in range(ROWS)]),
    "constant": pl.Series([1] * ROWS),
    "all missing": pl.Series([None] * ROWS, dtype=pl.Float64),
    "infinite": pl.Series(np.where(RANDOM.random(ROWS) < 0.5, np.inf, -np.inf)),
    "weak": pl.Series(LABELS + RANDOM.normal(size=ROWS)),
}


def score(column: pl.Series) -> float:
    return roc_auc(LABELS[HALF:], mean_outcomes(column[:HALF], LABELS[:HALF], column[HALF:]))


@pytest.mark.parametrize("column", LEAKS.values(), ids=LEAKS)
def test_what_tells_the_outcome_scores_near_one(column: pl.Series) -> None:
    assert score(column) > 0.98


@pytest.mark.parametrize("column", SOUND.values(), ids=SOUND)
def test_what_does_not_tell_it_scores_far_from_one(column: pl.Series) -> None:
    assert 0.4 < score(column) < 0.85


def test_of_numbers_the_score_is_the_variance_explained() -> None:
    minutes = RANDOM.normal(10, 3, ROWS)
    told = pl.Series(minutes * 60)
    assert r2(minutes[HALF:], mean_outcomes(told[:HALF], minutes[:HALF], told[HALF:])) > 0.98
    noise = SOUND["noise"]
    assert r2(minutes[HALF:], mean_outcomes(noise[:HALF], minutes[:HALF], noise[HALF:])) < 0.2


def test_without_rows_to_learn_from_there_is_no_score() -> None:
    column = LEAKS["a number"]
    assert np.isnan(mean_outcomes(column[:0], LABELS[:0], column)).all()


def checks(gate: NoLeakage, alone: dict[str, float], rows: int = 100) -> tuple[Check, ...]:
    return judge([gate], Evaluation(rows=rows, alone=alone), None).checks


def test_every_input_that_leaks_is_named_with_what_to_do() -> None:
    found = checks(NoLeakage(), {"amount": 0.7, "settled": 0.999, "closed": 1.0})
    assert [(each.subject, each.outcome) for each in found] == [
        ("settled", Outcome.REFUSED),
        ("closed", Outcome.REFUSED),
    ]
    assert all("known only afterwards" in each.reason and each.needed == 0.98 for each in found)


def test_without_a_leak_the_highest_score_is_told() -> None:
    (found,) = checks(NoLeakage(), {"amount": 0.7, "hour": 0.6})
    assert (found.subject, found.observed, found.outcome) == ("amount", 0.7, Outcome.PASSED)


def test_one_that_may_well_tell_so_much_is_accepted_by_its_name() -> None:
    (found,) = checks(NoLeakage(known=("settled",)), {"amount": 0.7, "settled": 0.999})
    assert (found.subject, found.outcome) == ("amount", Outcome.PASSED)


@pytest.mark.parametrize(
    ("alone", "rows", "outcome"),
    [
        ({}, 100, Outcome.COULD_NOT_JUDGE),
        ({"amount": math.nan}, 100, Outcome.COULD_NOT_JUDGE),
        ({"amount": math.nan, "hour": 0.6}, 100, Outcome.COULD_NOT_JUDGE),
        ({"amount": 0.5}, 0, Outcome.INSUFFICIENT_DATA),
    ],
)
def test_what_was_not_measured_never_passes(alone: dict[str, float], rows: int, outcome: Outcome) -> None:
    found = checks(NoLeakage(), alone, rows)
    assert outcome in {each.outcome for each in found}
    verdict = judge([NoLeakage()], Evaluation(rows=rows, alone=alone), None)
    assert verdict.outcome is not Outcome.PASSED


def test_a_candidate_that_could_not_be_measured_does_not_pass() -> None:
    (found,) = judge([NoLeakage()], Evaluation.failed("it broke"), None).checks
    assert found.outcome is Outcome.COULD_NOT_JUDGE
