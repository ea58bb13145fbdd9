"""What the order of a list lacks: as other libraries measure it, over ties, and of the first places alone."""

from __future__ import annotations

import math
from itertools import permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring.lists import ListTable
from mainspring.ranking import list_losses, rows_of_lists

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
    assert rows_of_lists(["a", "b", "a", None]) == [[0, 2], [1]]
    assert list_losses([0.8], [0]) is None
    assert list_losses([0.2, 0.9], [1, 0]) == {"ndcg": pytest.approx(1 - 1 / math.log2(3)), "mrr": 0.5}


tables = st.lists(
    st.tuples(st.none() | st.floats(0, 1), st.sets(st.sampled_from(["a=1", "a=2", "b=1"]))), max_size=12
)


@given(tables, st.integers(0, 12))
def test_tables_of_parts_come_to_the_table_of_the_whole(
    lists: list[tuple[float | None, set[str]]], cut: int
) -> None:
    def table(some: list[tuple[float | None, set[str]]]) -> ListTable:
        found = ListTable()
        for loss, groups in some:
            losses = None if loss is None else {"ndcg": loss, "mrr": loss}
            found = found.merge(ListTable.asked(groups)).merge(ListTable.labelled(losses, groups))
        return found

    whole = table(lists)
    assert table(lists[:cut]).merge(table(lists[cut:])).to_json() == whole.to_json()
    assert ListTable.from_json(whole.to_json()) == whole
    every = whole.of_group("")
    assert (every.asked, every.awaited) == (len(lists), 0)
    low, high = every.losses("ndcg", awaited=False).mean or (0.0, 0.0)
    measured = [loss for loss, _ in lists if loss is not None]
    if measured:
        assert low <= fmean(measured) + 1e-9
        assert high >= fmean(measured) - 1e-9
