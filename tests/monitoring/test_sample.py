"""Samples of rows: the same whatever the parts in which a day came."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring.sample import SAMPLE_ROWS, RowSample

AT = datetime(2024, 1, 1, tzinfo=UTC)


def sample(ids: list[int]) -> RowSample:
    return RowSample.of(
        [f"{n}" for n in ids], [AT] * len(ids), {"n": list(ids), "text": [f"{n}" for n in ids]}
    )


@given(st.permutations(range(1_200)), st.integers(0, 1_200))
def test_any_split_order_and_merge_gives_the_same_bytes(order: list[int], cut: int) -> None:
    merged = sample(order[:cut]).merge(sample(order[cut:]))
    assert merged.to_json() == sample(list(range(1_200))).to_json()
    assert len(merged.hashes) == SAMPLE_ROWS


@given(st.lists(st.integers(0, 300), unique=True), st.lists(st.integers(301, 600), unique=True))
def test_a_column_that_one_part_lacks_is_missing_in_its_rows(one: list[int], other: list[int]) -> None:
    more = RowSample.of(
        [f"{n}" for n in other], [AT] * len(other), {"n": list(other), "new": [1] * len(other)}
    )
    merged = RowSample.from_json(sample(one).merge(more).to_json())
    assert merged.columns["n"] == sorted(merged.columns["n"], key=merged.columns["n"].index)
    for n, new, text in zip(
        merged.columns["n"],
        merged.columns.get("new", [None] * len(one)),
        merged.columns["text"],
        strict=True,
    ):
        assert (new is None) == (n in one)
        assert (text is None) == (n in other)
