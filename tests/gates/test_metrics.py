"""Metrics agree with their definitions and are NaN, and nothing else, where they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from mainspring.errors import Invalid
from mainspring.gates import (
    METRICS,
    UnknownMetric,
    brier,
    higher_is_better,
    log_loss,
    mae,
    mape,
    mse,
    r2,
    roc_auc,
)
from mainspring.task import BinaryClassification, Regression

rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=60
)


@given(rows)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(given_rows: list[tuple[int, float]]) -> None:
    positives = [p for label, p in given_rows if label]
    negatives = [p for label, p in given_rows if not label]
    found = roc_auc(*zip(*given_rows, strict=True))
    if not positives or not negatives:
        assert math.isnan(found)
    else:
        pairs = [(a > b) + 0.5 * (a == b) for a in positives for b in negatives]
        assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(given_rows: list[tuple[int, float]], random: object) -> None:
    shuffled = list(given_rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for name in BinaryClassification.metrics:
        metric = METRICS[name]
        before, after = metric(*zip(*given_rows, strict=True)), metric(*zip(*shuffled, strict=True))
        assert after == pytest.approx(before, abs=1e-12, nan_ok=True)


def test_log_loss_and_brier_agree_with_their_definitions() -> None:
    labels, probabilities = [1, 0, 1], [0.9, 0.2, 0.5]
    assert log_loss(labels, probabilities) == pytest.approx(
        -(math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3
    )
    assert brier(labels, probabilities) == pytest.approx((0.01 + 0.04 + 0.25) / 3)


def test_a_wrong_certainty_costs_much_but_not_infinity() -> None:
    assert 36 < log_loss([1, 0], np.array([0.0, 1.0], np.float32)) < 37


def test_every_metric_of_a_task_can_be_computed_and_no_other() -> None:
    assert set(METRICS) == {*BinaryClassification.metrics, *Regression.metrics}


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=40))
def test_errors_of_numbers_agree_with_scikit_learn(given_rows: list[tuple[float, float]]) -> None:
    truth, answers = zip(*given_rows, strict=True)
    assert mae(truth, answers) == pytest.approx(metrics.mean_absolute_error(truth, answers))
    assert mse(truth, answers) == pytest.approx(metrics.mean_squared_error(truth, answers))
    if np.ptp(truth) > 1e-3:
        assert r2(truth, answers) == pytest.approx(metrics.r2_score(truth, answers))
    if min(map(abs, truth)) > 1e-3 and all(abs(a - y) <= abs(y) for y, a in given_rows):
        assert mape(truth, answers) == pytest.approx(metrics.mean_absolute_percentage_error(truth, answers))


@pytest.mark.parametrize("metric", Regression.metrics)
@pytest.mark.parametrize(
    ("labels", "answers"),
    [
        ([], []),
        ([0, 1], [0.5, math.nan]),
        ([0, math.nan], [1, 1]),
        ([math.inf, 1], [1, 1]),
        ([1, 0], [-math.inf, 1]),
    ],
)
def test_a_row_that_is_no_number_makes_the_metric_undefined(
    metric: str, labels: list[float], answers: list[float]
) -> None:
    assert math.isnan(METRICS[metric](labels, answers))


@pytest.mark.parametrize("metric", [METRICS[name] for name in BinaryClassification.metrics])
@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        ([], []),
        ([0, 1], [0.5, math.nan]),
        ([0, math.nan], [0.5, 0.5]),
        ([0, 2], [0.5, 0.5]),
        ([0, 1], [0.5, 1.5]),
        ([0, 1], [-math.inf, 0.5]),
    ],
    ids=["no rows", "probability NaN", "label NaN", "label 2", "probability 1.5", "probability -inf"],
)
def test_a_row_that_cannot_be_scored_makes_the_metric_undefined(
    metric: object, labels: list[float], probabilities: list[float]
) -> None:
    assert math.isnan(metric(labels, probabilities))  # type: ignore[operator]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_labels_and_probabilities_of_different_lengths_are_refused(metric: object) -> None:
    with pytest.raises(Invalid, match="2 labels do not belong to 1 answers"):
        metric([0, 1], [0.5])  # type: ignore[operator]


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(UnknownMetric, match="log_loss, brier, roc_auc"):
        higher_is_better("accuracy")
