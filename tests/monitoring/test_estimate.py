"""Estimates before labels: what they hold, what they refuse, and what they cannot see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.monitoring import (
    Estimability,
    Estimates,
    Frame,
    LabelledRows,
    Profile,
    ProfileMismatch,
    RowsMismatch,
    estimate,
    frame,
    merge,
    profile,
)

Columns = dict[str, NDArray[np.float64] | list[str | None]]


def _chance(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-z))


def _rows(
    random: np.random.Generator, rows: int, *, moved: float = 0.0, drift: float = 0.0, north: float = 0.5
) -> tuple[Columns, NDArray[np.bool_]]:
    """Rows and outcomes; the model does not know that the region matters."""
    wind, age = random.normal(moved, 1, rows), random.normal(0, 1, rows)
    region = random.random(rows) < north
    outcomes = random.random(rows) < _chance(0.8 * wind + 0.5 * age - 0.5 + 0.8 * region + drift)
    columns: Columns = {
        "wind": wind,
        "age": np.where(random.random(rows) < 0.1, np.nan, age),
        "region": ["north" if each else "south" for each in region],
        "score": _chance(0.8 * wind + 0.5 * age - 0.1),
    }
    return columns, outcomes


def _reference(random: np.random.Generator, rows: int = 5_000) -> tuple[LabelledRows, Frame]:
    columns, outcomes = _rows(random, rows)
    shapes = frame(columns)
    kept = LabelledRows.of(columns, shapes, score="score", outcomes=outcomes)
    return kept, shapes


def _log_loss(columns: Columns, outcomes: NDArray[np.bool_]) -> float:
    scores = np.asarray(columns["score"])
    return float(-np.log(np.where(outcomes, scores, 1 - scores)).mean())


def _holds(found: Estimates, metric: str, value: float) -> bool:
    each = found.metrics[metric]
    return each.low <= value <= each.high


def test_a_window_like_the_reference_gets_what_is_measured_on_the_reference() -> None:
    random = np.random.default_rng(1)
    columns, outcomes = _rows(random, 4_000)
    summary = profile(columns)
    reference = LabelledRows.of(columns, summary.frame, score="score", outcomes=outcomes)

    found = estimate(reference, summary)

    scores = np.asarray(columns["score"])
    said = scores >= 0.5
    true_positives = (said & outcomes).sum()
    ranks = scores.argsort().argsort() + 1
    positives = outcomes.sum()
    area = (ranks[outcomes].sum() - positives * (positives + 1) / 2) / (positives * (~outcomes).sum())
    measured = {
        "log_loss": _log_loss(columns, outcomes),
        "brier": ((scores - outcomes) ** 2).mean(),
        "accuracy": (said == outcomes).mean(),
        "precision": true_positives / said.sum(),
        "recall": true_positives / positives,
        "f1": 2 * true_positives / (said.sum() + positives),
        "roc_auc": area,
    }
    assert found.outcome is Estimability.ESTIMATED
    assert not found.withheld
    assert {name: each.value for name, each in found.metrics.items()} == pytest.approx(measured, abs=1e-6)


def test_an_interval_holds_the_metric_as_often_as_it_says_under_covariate_shift() -> None:
    """Of 200 shifts, 90 % and at most three standard deviations of chance fewer or more."""
    held: dict[str, list[bool]] = {"log_loss": [], "accuracy": []}
    for seed in range(200):
        random = np.random.default_rng(seed)
        reference, shapes = _reference(random, 3_000)
        columns, outcomes = _rows(
            random, 1_000, moved=random.uniform(-0.7, 0.7), north=random.uniform(0.1, 0.9)
        )
        found = estimate(reference, profile(columns, shapes))
        held["log_loss"].append(_holds(found, "log_loss", _log_loss(columns, outcomes)))
        said = np.asarray(columns["score"]) >= 0.5
        held["accuracy"].append(_holds(found, "accuracy", float((said == outcomes).mean())))
    for metric, each in held.items():
        assert np.mean(each) == pytest.approx(0.9, abs=3 * (0.09 / 200) ** 0.5), metric


def test_what_scores_do_not_tell_is_estimated_from_the_inputs() -> None:
    random = np.random.default_rng(3)
    reference, shapes = _reference(random, 20_000)
    columns, outcomes = _rows(random, 20_000, north=0.95)
    window = profile(columns, shapes)
    scores_alone = Profile(rows=window.rows, columns={"score": window.columns["score"]})

    said = np.asarray(columns["score"]) >= 0.5
    precision = float((said & outcomes).sum() / said.sum())
    assert _holds(estimate(reference, window), "precision", precision)
    assert not _holds(estimate(reference, scores_alone), "precision", precision)


def test_concept_drift_is_not_seen() -> None:
    """The same inputs, other outcomes: the estimate stays where it was, far from the truth."""
    reference, shapes = _reference(np.random.default_rng(4))
    same, _ = _rows(np.random.default_rng(5), 5_000)
    columns, outcomes = _rows(np.random.default_rng(5), 5_000, drift=3.0)

    found = estimate(reference, profile(columns, shapes))

    assert found == estimate(reference, profile(same, shapes))
    assert _log_loss(columns, outcomes) > found.metrics["log_loss"].high + 0.1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), parts=st.integers(1, 5))
def test_a_window_in_parts_gives_the_estimate_of_the_whole(seed: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    reference, shapes = _reference(random, 1_000)
    columns, _ = _rows(random, 1_000)
    places = random.permutation(1_000)

    def of(rows: NDArray[np.int64]) -> Profile:
        return profile(
            {
                name: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
                for name, values in columns.items()
            },
            shapes,
        )

    whole, *others = (of(rows) for rows in np.array_split(places, parts))
    for other in others:
        whole = merge(whole, other)

    assert estimate(reference, whole) == estimate(reference, profile(columns, shapes))


def test_labelled_rows_are_read_back_as_they_were_written() -> None:
    reference, shapes = _reference(np.random.default_rng(6), 2_000)
    columns, _ = _rows(np.random.default_rng(7), 1_000, moved=0.3)
    window = profile(columns, shapes)

    read = LabelledRows.from_json(reference.to_json())

    assert read.to_json() == reference.to_json()
    assert estimate(read, window) == estimate(reference, window)


def test_rows_of_another_format_are_refused() -> None:
    text = _reference(np.random.default_rng(6), 600)[0].to_json()
    with pytest.raises(RowsMismatch, match="format 2, this version reads 1"):
        LabelledRows.from_json(json.dumps(json.loads(text) | {"format": 2}))


def test_of_many_labelled_rows_as_many_are_kept_as_a_store_can_bear() -> None:
    reference, _ = _reference(np.random.default_rng(8), 50_001)
    assert 8_000 < reference.rows <= 10_000


def test_a_reference_too_small_is_named() -> None:
    reference, shapes = _reference(np.random.default_rng(9), 400)
    columns, _ = _rows(np.random.default_rng(10), 1_000)
    found = estimate(reference, profile(columns, shapes))
    assert found.outcome is Estimability.REFERENCE_TOO_SMALL
    assert "400 labelled rows" in found.reason
    assert not found.metrics


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_a_window_too_small_is_named(rows: int) -> None:
    reference, shapes = _reference(np.random.default_rng(11))
    columns, _ = _rows(np.random.default_rng(12), rows)
    found = estimate(reference, profile(columns, shapes))
    assert found.outcome is Estimability.WINDOW_TOO_SMALL
    assert f"there are {rows} rows, and 200 are needed" == found.reason


def test_a_window_without_scores_is_too_small() -> None:
    reference, _ = _reference(np.random.default_rng(11))
    window = profile({"wind": np.zeros(1_000)})
    assert estimate(reference, window).outcome is Estimability.WINDOW_TOO_SMALL


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("wind", np.full(1_000, 40.0)),
        ("wind", np.full(1_000, np.inf)),
        ("wind", np.full(1_000, np.nan)),
        ("region", ["atlantis"] * 1_000),
        ("region", [None] * 1_000),
        ("region", np.zeros(1_000)),
    ],
)
def test_values_that_no_labelled_row_had_are_not_estimated_over(
    column: str, values: NDArray[np.float64] | list[str | None]
) -> None:
    reference, shapes = _reference(np.random.default_rng(13))
    columns, _ = _rows(np.random.default_rng(14), 1_000)
    found = estimate(reference, profile(columns | {column: values}, shapes))
    assert found.outcome is Estimability.NOT_COVERED
    assert column in found.reason


def test_a_window_for_which_few_labelled_rows_stand_is_not_covered() -> None:
    reference, shapes = _reference(np.random.default_rng(15))
    columns, _ = _rows(np.random.default_rng(16), 2_000, moved=2.0)
    wind = np.asarray(columns["wind"])
    narrow = np.clip(wind, 1.6, 2.2)  # seen, but rarely
    found = estimate(reference, profile(columns | {"wind": narrow}, shapes))
    assert found.outcome is Estimability.NOT_COVERED


def test_a_metric_that_divides_by_few_rows_is_withheld_and_the_others_are_given() -> None:
    random = np.random.default_rng(17)
    outcomes = random.random(5_000) < 0.1
    columns: Columns = {"score": np.where(outcomes, random.beta(2, 12, 5_000), random.beta(1, 12, 5_000))}
    reference = LabelledRows.of(columns, frame(columns), score="score", outcomes=outcomes)
    found = estimate(reference, profile({"score": np.asarray(columns["score"])[:2_000]}))
    assert "and 30 are needed" in found.withheld["precision"]
    assert {"log_loss", "accuracy", "roc_auc"} <= set(found.metrics)


def test_a_metric_that_no_labelled_row_spreads_is_withheld() -> None:
    """A model that has never been wrong: how seldom it is cannot be told."""
    random = np.random.default_rng(21)
    outcomes = random.random(5_000) < 0.4
    columns: Columns = {"score": np.where(outcomes, random.uniform(0.6, 0.9, 5_000), 0.2)}
    reference = LabelledRows.of(columns, frame(columns), score="score", outcomes=outcomes)
    found = estimate(reference, profile(columns, frame(columns)))
    assert "spread is not known" in found.withheld["accuracy"]
    assert "log_loss" in found.metrics


def test_columns_of_one_value_of_all_missing_or_of_many_categories_are_no_obstacle() -> None:
    random = np.random.default_rng(18)
    columns, outcomes = _rows(random, 6_000)
    columns |= {
        "constant": np.full(6_000, 7.0),
        "nothing": np.full(6_000, np.nan),
        "ids": [f"id-{row}" for row in range(6_000)],
    }
    shapes = frame(columns)
    reference = LabelledRows.of(columns, shapes, score="score", outcomes=outcomes)
    window, _ = _rows(random, 6_000)
    window |= {
        "constant": np.full(6_000, 7.0),
        "nothing": np.full(6_000, np.nan),
        "ids": [f"other-{row}" for row in range(6_000)],
    }
    assert estimate(reference, profile(window, shapes)).outcome is Estimability.ESTIMATED


def test_a_window_in_another_frame_is_refused() -> None:
    reference, _ = _reference(np.random.default_rng(19))
    columns, _ = _rows(np.random.default_rng(20), 1_000)
    with pytest.raises(ProfileMismatch, match=r"'region' .*not profiled in the frame"):
        estimate(reference, profile(columns | {"region": np.zeros(1_000)}))


def test_a_column_that_was_left_out_of_the_log_is_not_weighed_by() -> None:
    reference, shapes = _reference(np.random.default_rng(19))
    columns, _ = _rows(np.random.default_rng(20), 1_000)
    del columns["region"]
    assert estimate(reference, profile(columns, shapes)).outcome is Estimability.ESTIMATED


@pytest.mark.parametrize(
    ("scores", "outcomes", "why"),
    [
        ([0.5, np.nan], [0, 1], "a score is not in"),
        ([0.5, 1.5], [0, 1], "a score is not in"),
        ([0.5, 0.5], [0, 2], "neither 0 nor 1"),
        ([0.5], [0, 1], "has 1 rows, and there are 2 outcomes"),
    ],
)
def test_rows_that_are_no_labelled_predictions_are_refused(
    scores: list[float], outcomes: list[int], why: str
) -> None:
    columns = {"score": np.array(scores)}
    with pytest.raises(RowsMismatch, match=why):
        LabelledRows.of(columns, frame(columns), score="score", outcomes=np.array(outcomes))


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, 1e6, 1e6 + 1]), min_size=500, max_size=600))
@settings(max_examples=20)
def test_rows_lie_in_the_cells_that_their_profile_counts_them_in(values: list[float]) -> None:
    columns: Columns = {"whole": np.array(values), "score": np.full(len(values), 0.5)}
    summary = profile(columns)
    outcomes = np.arange(len(values)) % 2 == 0
    reference = LabelledRows.of(columns, summary.frame, score="score", outcomes=outcomes)
    for (name, cells), codes in zip(reference.cells.items(), reference.codes, strict=True):
        counts = cells.counts(name, summary.columns[name])
        assert counts is not None
        assert np.bincount(codes, minlength=len(counts)).tolist() == counts.tolist()
