"""Metrics agree with their definitions and are NaN, and nothing else, where they are undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import Invalid
from mainspring.gates import METRICS, UnknownMetric, brier, higher_is_better, log_loss, roc_auc

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
    for metric in METRICS.values():
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


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
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
    with pytest.raises(Invalid, match="2 labels do not belong to 1 probabilities"):
        metric([0, 1], [0.5])  # type: ignore[operator]


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(UnknownMetric, match="log_loss, brier, roc_auc"):
        higher_is_better("accuracy")
