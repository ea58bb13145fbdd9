"""What the order of a list lacks: as other libraries measure it, over ties, and of the first places alone."""

from __future__ import annotations

from itertools import permutations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.ranking import list_losses, losses_of_lists

rows = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.sampled_from([0, 1])), min_size=1, max_size=6
)


@given(rows, st.none() | st.integers(1, 7))
def test_ties_count_as_the_mean_of_all_their_orders(pairs: list[tuple[float, int]], top: int | None) -> None:
    scores, outcomes = zip(*pairs, strict=True)
    found = list_losses(scores, outcomes, top)
    if not any(outcomes):
        assert found is None
        return
    # With a little added by place no two are equal, and every order of equals comes once.
    each = [
        list_losses([score - 1e-6 * place for score, place in zip(scores, order, strict=True)], outcomes, top)
        for order in permutations(range(len(scores)))
    ]
    assert found is not None
    for metric, loss in found.items():
        assert loss == pytest.approx(fmean(one[metric] for one in each if one is not None))
        assert 0 <= loss <= 1


@given(rows, st.none() | st.integers(1, 7))
def test_ndcg_is_that_of_scikit_learn(pairs: list[tuple[float, int]], top: int | None) -> None:
    from sklearn.metrics import ndcg_score

    scores, outcomes = zip(*pairs, strict=True)
    found = list_losses(scores, outcomes, top)
    if found is not None and len(scores) > 1:
        assert 1 - found["ndcg"] == pytest.approx(ndcg_score([outcomes], [scores], k=top))


def test_lists_without_a_right_row_and_rows_without_a_list_measure_nothing() -> None:
    found = losses_of_lists(["a", "b", "a", None], [0.9, 0.8, 0.1, 0.7], [1, 0, 0, 1])
    assert found == {"ndcg": [0.0], "mrr": [0.0]}
    assert losses_of_lists([], [], []) == {"ndcg": [], "mrr": []}
    assert list_losses(np.array([0.2, 0.9]).tolist(), [1, 0]) == {
        "ndcg": pytest.approx(1 - 1 / np.log2(3)),
        "mrr": 0.5,
    }
