"""Splits keep to time: nothing is learned that was not known when the hold-out began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.data import PLACE, Split, places, split, split_by_place, window
from mainspring.training import (
    AllHistory,
    ByGroup,
    SinceChange,
    SlidingWindow,
    Stratified,
    TrainOn,
    Weighted,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
hours = st.integers(0, 240)
rows = st.lists(st.tuples(hours, st.none() | st.integers(0, 72), st.none() | st.integers(0, 1)), max_size=40)


def frame(given_rows: list[tuple[int, int | None, int | None]]) -> pl.DataFrame:
    asked = [START + timedelta(hours=hour) for hour, _, _ in given_rows]
    known = [
        None if later is None else START + timedelta(hours=hour + later) for hour, later, _ in given_rows
    ]
    return pl.DataFrame(
        {
            "row": range(len(asked)),
            "at": asked,
            "known": known,
            "label": [label for _, _, label in given_rows],
        },
        schema={"row": pl.Int64, "at": MOMENT, "known": MOMENT, "label": pl.Int8},
    )


def cut(given_frame: pl.DataFrame, as_of: datetime, holdout: timedelta) -> Split:
    return split(given_frame, event_time="at", known_at="known", label="label", as_of=as_of, holdout=holdout)


@given(given_rows=rows, as_of=hours, holdout=st.integers(1, 100))
def test_nothing_is_learned_that_was_not_known_at_the_cut(
    given_rows: list[tuple[int, int | None, int | None]], as_of: int, holdout: int
) -> None:
    now, kept = START + timedelta(hours=as_of), timedelta(hours=holdout)
    made = cut(frame(given_rows), now, kept)
    for part in (made.train, made.holdout):
        assert part.filter((pl.col("known") > now) | pl.any_horizontal(pl.all().is_null())).is_empty()
        assert part["at"].is_sorted()
    assert made.train.filter((pl.col("known") > made.cut) | (pl.col("at") > made.cut)).is_empty()
    assert made.holdout.filter(pl.col("at") <= made.cut).is_empty()
    if made.train.height and made.holdout.height:
        assert made.train["at"].max() < made.holdout["at"].min()
    assert not set(made.train["row"]) & set(made.holdout["row"])


@given(given_rows=rows, as_of=hours, holdout=st.integers(1, 100))
def test_every_labelled_row_of_the_newest_time_judges_and_no_other(
    given_rows: list[tuple[int, int | None, int | None]], as_of: int, holdout: int
) -> None:
    now, kept = START + timedelta(hours=as_of), timedelta(hours=holdout)
    made = cut(frame(given_rows), now, kept)
    labelled = [
        (row, at)
        for row, at, known, label in frame(given_rows).iter_rows()
        if label is not None and known is not None and known <= now
    ]
    newest = max((at for _, at in labelled), default=now)
    assert made.cut == newest - kept
    assert set(made.holdout["row"]) == {row for row, at in labelled if at > made.cut}


@given(given_rows=rows, as_of=hours, later=hours, holdout=st.integers(1, 100))
def test_rows_that_become_known_later_do_not_change_an_earlier_split(
    given_rows: list[tuple[int, int | None, int | None]], as_of: int, later: int, holdout: int
) -> None:
    now, kept = START + timedelta(hours=as_of), timedelta(hours=holdout)
    all_rows = frame(given_rows)
    known = all_rows.filter(pl.col("known") <= START + timedelta(hours=as_of + later))
    first, second = cut(known, now, kept), cut(all_rows, now, kept)
    assert first.cut == second.cut
    assert first.train.equals(second.train)
    assert first.holdout.equals(second.holdout)


def test_rows_of_one_moment_keep_their_order() -> None:
    made = cut(
        frame([(100, 0, 1), (1, 0, 0), (1, 0, 1), (1, 0, 0)]),
        START + timedelta(hours=200),
        timedelta(hours=9),
    )
    assert made.train["row"].to_list() == [1, 2, 3]


def test_a_row_asked_before_the_cut_and_known_after_it_is_used_by_neither() -> None:
    made = cut(
        frame([(1, 1, 0), (50, 60, 1), (100, 0, 1)]), START + timedelta(hours=200), timedelta(hours=10)
    )
    assert made.train["row"].to_list() == [0]
    assert made.holdout["row"].to_list() == [2]


def test_without_labels_there_is_nothing_to_learn_from_and_nothing_to_judge_by() -> None:
    made = cut(frame([(1, None, 1), (2, 3, None)]), START, timedelta(days=1))
    assert (made.train.height, made.holdout.height) == (0, 0)
    assert made.cut == START - timedelta(days=1)


# --- what is trained on --------------------------------------------------------------------------------------------

policies = st.one_of(
    st.just(AllHistory()),
    st.builds(lambda hours: SlidingWindow(f"{hours}h"), st.integers(1, 300)),
    st.builds(lambda hours: SinceChange(f"{hours}h"), st.integers(1, 300)),
    st.builds(lambda hours: Weighted(f"{hours}h"), st.integers(1, 300)),
)


@given(rows, hours, policies, st.none() | hours)
def test_a_window_only_leaves_out_old_rows_and_judges_by_the_same_ones(
    given_rows: list[tuple[int, int | None, int | None]], as_of: int, policy: TrainOn, changed: int | None
) -> None:
    whole = cut(frame(given_rows), START + timedelta(hours=as_of), timedelta(hours=12))
    at = None if changed is None else START + timedelta(hours=changed)
    kept = window(whole, policy, event_time="at", changed_at=at)
    assert kept.holdout.equals(whole.holdout)
    left, every = kept.train["row"].to_list(), whole.train["row"].to_list()
    assert left == every[len(every) - len(left) :], "the newest, in their order"
    if isinstance(policy, AllHistory | Weighted):
        assert left == every


def test_each_policy_keeps_what_it_says() -> None:
    days = frame([(24 * day, 1, 0) for day in range(10)])
    whole = cut(days, START + timedelta(days=20), timedelta(days=1, hours=1))  # the cut is on day 7, at 23:00
    changed_at = START + timedelta(days=5)

    def left(policy: TrainOn, at: datetime | None = None) -> list[int]:
        return window(whole, policy, event_time="at", changed_at=at).train["row"].to_list()

    assert left(AllHistory()) == list(range(8))
    assert left(SlidingWindow("3d")) == [5, 6, 7]
    assert left(SinceChange("1d"), changed_at) == [5, 6, 7]
    assert left(SinceChange("5d"), changed_at) == [3, 4, 5, 6, 7]
    assert left(SinceChange("1d")) == list(range(8))
    weights = window(whole, Weighted("2d"), event_time="at").train["weight"].to_list()
    assert weights[-1] / weights[-3] == pytest.approx(2)
    assert all(0 < weight <= 1 for weight in weights)


# --- without regard to time ----------------------------------------------------------------------------------------


def drawn(
    values: list[tuple[str, float]], holdout: ByGroup | Stratified, *, by: str, numbers: bool = False
) -> Split:
    """Split rows of a group and a label each, asked an hour apart and known at once."""
    hours_on = [START + timedelta(hours=hour) for hour in range(len(values))]
    given_frame = pl.DataFrame(
        {
            "row": [str(row) for row in range(len(values))],
            "group": [group for group, _ in values],
            "label": [label for _, label in values],
            "at": hours_on,
        },
        schema={"row": pl.String, "group": pl.String, "label": pl.Float64, "at": MOMENT},
    )
    marked = given_frame.with_columns(pl.Series(PLACE, places(given_frame[by], salt="s"), dtype=pl.Float64))
    return split_by_place(
        marked,
        event_time="at",
        known_at="at",
        label="label",
        as_of=START + timedelta(days=999),
        holdout=holdout,
        numbers=numbers,
    )


shares = st.floats(0.01, 0.99)
grouped = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 1.0])), max_size=60)


@given(values=grouped, more=grouped, share=shares)
def test_no_group_is_on_both_sides_and_none_changes_sides_as_data_comes(
    values: list[tuple[str, float]], more: list[tuple[str, float]], share: float
) -> None:
    made = drawn(values, ByGroup("group", share), by="group")
    train, held = {*made.train["group"]}, {*made.holdout["group"]}
    assert not train & held
    assert made.train.height + made.holdout.height == len(values)
    grown = drawn(values + more, ByGroup("group", share), by="group")
    assert train <= {*grown.train["group"]}
    assert held <= {*grown.holdout["group"]}


@given(values=grouped, share=shares)
def test_of_every_outcome_the_same_share_is_held_out(values: list[tuple[str, float]], share: float) -> None:
    made = drawn(values, Stratified(share), by="row")
    assert sorted([*made.train["row"], *made.holdout["row"]]) == sorted(
        str(row) for row in range(len(values))
    )
    for label in (0.0, 1.0):
        whole = sum(each == label for _, each in values)
        assert abs((made.holdout["label"] == label).sum() - share * whole) <= 0.5 + 1e-9
    for part in (made.train, made.holdout):
        assert part["at"].is_sorted()


@given(labels=st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=80), share=shares)
def test_of_numbers_the_same_share_of_every_tenth_is_held_out(labels: list[float], share: float) -> None:
    made = drawn([("a", label) for label in labels], Stratified(share), by="row", numbers=True)
    assert abs(made.holdout.height - share * len(labels)) <= 0.5 * 10 + 1e-9
    assert made.train.height + made.holdout.height == len(labels)


def test_places_are_even_and_of_another_salt_others() -> None:
    names = [f"N{number}" for number in range(20_000)]
    found, others = places(names, salt="a"), places(names, salt="b")
    assert abs(sum(place < 0.2 for place in found) / len(names) - 0.2) < 0.01
    assert (
        abs(sum(a < 0.2 and b < 0.2 for a, b in zip(found, others, strict=True)) / len(names) - 0.04) < 0.01
    )
