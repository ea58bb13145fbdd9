from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import LossMismatch, LossTable, UnknownLoss, loss_levels, quality_stream

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
