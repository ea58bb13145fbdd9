from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.monitoring import (
    Budget,
    LossMismatch,
    LossTable,
    Outcome,
    UnknownLoss,
    WindowedBetting,
    loss_levels,
    quality_stream,
    settled_stream,
)

Probabilities = NDArray[np.float64]
Outcomes = NDArray[np.bool_]

budget = Budget(checks=60, alarms=0.05)
losses = st.sampled_from(["error", "brier", "log_loss"])
rows = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40)


def table(loss: str, pairs: list[tuple[float, bool]]) -> LossTable:
    return LossTable.of(
        loss,
        probability=np.array([p for p, _ in pairs], dtype=np.float64),
        outcome=np.array([y for _, y in pairs], dtype=bool),
    )


@given(losses, rows, rows)
def test_the_table_of_a_union_is_the_merge_of_the_tables(
    loss: str, a: list[tuple[float, bool]], b: list[tuple[float, bool]]
) -> None:
    assert table(loss, a).merge(table(loss, b)) == table(loss, b + a)
    assert table(loss, a).merge(LossTable.empty(loss)) == table(loss, a)
    assert LossTable.from_json(table(loss, a).to_json()) == table(loss, a)
    assert table(loss, a).rows == len(a)


@given(losses, rows.filter(bool))
def test_the_mean_of_the_loss_lies_within_its_interval(loss: str, pairs: list[tuple[float, bool]]) -> None:
    p, y = (np.array(column, dtype=np.float64) for column in zip(*pairs, strict=True))
    with np.errstate(divide="ignore"):
        exact = {
            "error": (p >= 0.5) != (y == 1),
            "brier": (p - y) ** 2,
            "log_loss": np.minimum(-np.log(np.where(y == 1, p, 1 - p)), 4.0),
        }[loss]
    interval = table(loss, pairs).mean
    assert interval is not None
    assert interval[0] - 1e-12 <= exact.mean() <= interval[1] + 1e-12


def test_a_table_without_rows_has_no_mean() -> None:
    assert LossTable.empty("brier").mean is None


@given(losses)
def test_levels_cover_the_whole_range_without_gap(loss: str) -> None:
    levels = loss_levels(loss)
    assert (levels.lower[0], levels.upper[-1]) == (0.0, 1.0)
    if loss != "error":
        assert levels.lower[1:] == levels.upper[:-1]


def test_what_is_no_prediction_or_no_outcome_is_refused() -> None:
    with pytest.raises(LossMismatch, match="not in"):
        LossTable.of("brier", probability=np.array([np.nan]), outcome=np.array([1]))
    with pytest.raises(LossMismatch, match="neither"):
        LossTable.of("brier", probability=np.array([0.5]), outcome=np.array([2]))
    with pytest.raises(LossMismatch, match="shape"):
        LossTable.of("brier", probability=np.array([0.5]), outcome=np.array([1, 0]))
    with pytest.raises(LossMismatch, match="levels"):
        LossTable(loss="error", counts=(1,))
    with pytest.raises(UnknownLoss, match=r"'hinge'.*brier"):
        LossTable.empty("hinge")


def test_tables_of_two_losses_do_not_mix() -> None:
    error, brier = LossTable.empty("error"), LossTable.empty("brier")
    with pytest.raises(LossMismatch):
        error.merge(brier)
    with pytest.raises(LossMismatch):
        quality_stream("quality", error, [brier])


@given(losses, rows, st.integers(0, 9), st.integers(0, 9))
def test_awaited_rows_are_added_and_kept(
    loss: str, pairs: list[tuple[float, bool]], first: int, second: int
) -> None:
    a, b = replace(table(loss, pairs), awaited=first), replace(LossTable.empty(loss), awaited=second)
    assert a.merge(b).awaited == first + second
    assert a.merge(LossTable.empty(loss)).awaited == first
    assert LossTable.from_json(a.to_json()) == a
    assert a.rows == len(pairs)


def test_a_text_written_before_rows_were_awaited_is_read() -> None:
    assert LossTable.from_json('{"loss":"error","counts":[3,1]}') == LossTable(loss="error", counts=(3, 1))
    with pytest.raises(LossMismatch, match="awaited"):
        LossTable(loss="error", counts=(3, 1), awaited=-1)


@given(
    st.integers(20, 180),
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 60), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=6,
    ),
)
@settings(max_examples=60, deadline=None)
def test_labels_that_are_still_to_come_never_add_to_the_evidence(
    wrong: int, days: list[tuple[int, int, float, float]]
) -> None:
    reference = LossTable(loss="error", counts=(200 - wrong, wrong))
    full = [LossTable(loss="error", counts=(right, wrong)) for right, wrong, _, _ in days]
    arrived = [
        LossTable(
            loss="error",
            counts=(known := round(right * first), seen := round(wrong * second)),
            awaited=right + wrong - known - seen,
        )
        for right, wrong, first, second in days
    ]
    all_known, some_known = (
        WindowedBetting().weigh([quality_stream("error", reference, checks)], budget=budget)
        for checks in (full, arrived)
    )
    assert some_known.log_e <= max(all_known.log_e, 0.0) + 1e-6


def test_a_day_of_which_no_label_has_come_says_nothing() -> None:
    reference = LossTable(loss="error", counts=(900, 100))
    silent = [replace(LossTable.empty("error"), awaited=500)] * 3
    evidence = WindowedBetting().weigh([quality_stream("error", reference, silent)], budget=budget)
    assert evidence.outcome is Outcome.INSUFFICIENT_DATA


def test_where_labels_are_late_the_settled_days_speak_and_keep_in_step() -> None:
    rng = np.random.default_rng(6)
    reference = LossTable(loss="error", counts=(9000, 1000))
    worse = [LossTable(loss="error", counts=(500 - n, n)) for n in rng.binomial(500, 0.2, 3).tolist()]
    calm = LossTable(loss="error", counts=(450, 50))
    silent = replace(LossTable.empty("error"), awaited=500)
    stream = quality_stream("error", reference, [calm, *worse, *[silent] * 4])
    settled = settled_stream(stream, 4)
    assert settled is not None
    all_days, settled_days = (
        WindowedBetting().weigh([each], budget=budget.share(2)) for each in (stream, settled)
    )
    assert all_days.outcome is Outcome.QUIET
    assert settled_days.outcome is Outcome.ALARM
    assert settled_days.window == 4 + 3
    assert settled_stream(stream, 0) is None
    assert settled_stream(stream, 8) is None
    unlabelled = [LossTable.empty("error")] * 4
    assert settled_stream(quality_stream("error", reference, [*unlabelled, silent]), 4) is None


def arrivals(
    rng: np.random.Generator, days: int, delay: str
) -> tuple[Probabilities, Outcomes, NDArray[np.int64]]:
    """Days of 300 predictions and what came of them, and the day on which each label comes."""
    probability = rng.beta(1.0, 3.0, (days, 300))
    outcome = rng.random((days, 300)) < probability
    wait = rng.integers(0, 5, (days, 300))
    match delay:
        case "positives first":
            wait = np.where(outcome, 0, wait)
        case "positives last":
            wait = np.where(outcome, wait, 0)
        case "30 % never":
            wait = np.where(rng.random((days, 300)) < 0.3, 10_000, wait)
    return probability, outcome, np.arange(days)[:, None] + wait


def known_on(
    day: int, probability: Probabilities, outcome: Outcomes, comes: NDArray[np.int64], *, wait: int
) -> list[LossTable]:
    """What is known at the end of a day of it and each day before; labels are waited for `wait` days."""
    tables = []
    for each in range(day + 1):
        known = comes[each] <= day
        labelled = LossTable.of(
            "log_loss", probability=probability[each][known], outcome=outcome[each][known]
        )
        tables.append(replace(labelled, awaited=int((~known).sum()) if day - each < wait else None))
    return tables


@pytest.mark.slow
@pytest.mark.parametrize("delay", ["positives first", "positives last", "30 % never"])
def test_late_labels_make_no_false_alarms_beyond_the_budget(delay: str) -> None:
    rng, runs, days, wait = np.random.default_rng(len(delay)), 40, 12, 5
    wide = Budget(checks=days, alarms=0.2)
    before = rng.beta(1.0, 3.0, 20_000)
    reference = LossTable.of("log_loss", probability=before, outcome=rng.random(20_000) < before)
    waiting = naive = 0
    for _ in range(runs):
        happened = arrivals(rng, days, delay)
        spoken = set()
        for day in range(days):
            patient, hasty = (
                quality_stream("loss", reference, known_on(day, *happened, wait=each), tolerance=0.0)
                for each in (wait, 0)
            )
            settled = settled_stream(patient, day + 1 - wait) if day + 1 > wait else None
            looks = {"waiting": [patient, settled], "naive": [hasty, None]}
            for way, streams in looks.items():
                given = wide.share(2) if way == "waiting" else wide
                weighed = [WindowedBetting().weigh([each], budget=given) for each in streams if each]
                if any(evidence.outcome is Outcome.ALARM for evidence in weighed):
                    spoken.add(way)
        waiting += "waiting" in spoken
        naive += "naive" in spoken
    assert waiting / runs <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / runs)
    # What has come so far is no sample of what will: a metric on it alone cries wolf.
    assert (naive == runs) == (delay == "positives first")


def test_errors_that_are_a_small_part_of_their_range_are_told_apart() -> None:
    random = np.random.default_rng(3)

    def errors(spread: float, rows: int) -> LossTable:
        return LossTable.of_shares("mae", np.abs(random.normal(0.0, spread, rows)))

    reference, monthly = errors(0.005, 5_000), Budget(checks=30, alarms=1.0)
    for spread, outcome in ((0.005, Outcome.QUIET), (0.01, Outcome.ALARM)):
        stream = quality_stream("mae", reference, [errors(spread, 200) for _ in range(3)], tolerance=0.001)
        assert WindowedBetting().weigh([stream], budget=monthly).outcome is outcome


def test_known_losses_lie_within_the_levels_that_they_count_in() -> None:
    shares = np.random.default_rng(4).random(2_000) ** 3
    for loss in ("mae", "mse", "mape", "brier", "log_loss"):
        low, high = LossTable.of_shares(loss, shares).mean or (math.nan, math.nan)
        assert low <= loss_levels(loss).unit * shares.mean() <= high
    with pytest.raises(LossMismatch):
        LossTable.of_shares("mae", np.array([0.5, math.nan]))
