"""The point-in-time join against a loop that anyone can check, and against the future."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.features import BadJoin, BoundView, as_of
from mainspring.product import FeatureViewSpec, Mean

START = datetime(2013, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
VIEW = FeatureViewSpec(
    "wind",
    "weather",
    entity="place",
    event_time="seen",
    ttl="3h",
    features=("gust", Mean("speed", "2h", "speed_2h")),
)

minutes = st.one_of(st.none(), st.integers(0, 40).map(lambda quarter: 15 * quarter))
places = st.sampled_from(["EWR", "JFK", None])
speeds = st.one_of(st.none(), st.just(math.nan), st.floats(-1e6, 1e6))
observed = st.lists(st.tuples(places, minutes, speeds, st.one_of(st.none(), st.integers(0, 9))), max_size=30)
asked = st.lists(st.tuples(st.sampled_from(["EWR", "JFK", "LGA", None]), minutes), max_size=20)


def moment(minute: int | None) -> datetime | None:
    return None if minute is None else START + timedelta(minutes=minute)


def seen(rows: list[Any]) -> pl.DataFrame:
    schema = {"place": pl.String, "seen": MOMENT, "speed": pl.Float64, "gust": pl.Int64}
    return pl.DataFrame(
        [(place, moment(at), *values) for place, at, *values in rows], schema=schema, orient="row"
    )


def questions(rows: list[Any]) -> pl.DataFrame:
    schema = {"place": pl.String, "at": MOMENT}
    return pl.DataFrame([(place, moment(at)) for place, at in rows], schema=schema, orient="row")


def joined(asked_rows: list[Any], observed_rows: list[Any]) -> pl.DataFrame:
    return as_of(questions(asked_rows), at="at", views=[BoundView(VIEW, seen(observed_rows))])


def looked_up(place: str | None, at: int | None, observed_rows: list[Any]) -> tuple[int | None, float | None]:
    """What the join should say, found by looking at every row."""
    if place is None or at is None:
        return None, None
    known = [row for row in observed_rows if row[0] == place and row[1] is not None and row[1] <= at]
    fresh = [row for row in known if row[1] >= at - 180]
    gust = max(enumerate(fresh), key=lambda each: (each[1][1], each[0]))[1][3] if fresh else None
    speeds = [row[2] for row in known if row[1] > at - 120 and row[2] is not None and not math.isnan(row[2])]
    return gust, sum(speeds) / len(speeds) if speeds else None


@given(asked, observed)
def test_the_join_agrees_with_a_look_at_every_row(asked_rows: list[Any], observed_rows: list[Any]) -> None:
    answer = joined(asked_rows, observed_rows)
    assert answer.select("place", "at").equals(questions(asked_rows))
    for (place, at), gust, speed in zip(asked_rows, answer["gust"], answer["speed_2h"], strict=True):
        expected_gust, expected_speed = looked_up(place, at, observed_rows)
        assert gust == expected_gust
        assert speed == (
            None if expected_speed is None else pytest.approx(expected_speed, rel=1e-9, abs=1e-6)
        )


BITEMPORAL = msgspec.structs.replace(VIEW, known_at="known")
delays = st.one_of(st.none(), st.integers(-60, 300))
reported = st.lists(
    st.tuples(places, minutes, speeds, st.integers(0, 99), delays), max_size=30, unique_by=lambda row: row[3]
)


def told(rows: list[Any]) -> pl.DataFrame:
    """Rows that became known some minutes after their time, before it, or never."""
    known = [None if at is None or delay is None else moment(at + delay) for _, at, _, _, delay in rows]
    return seen([row[:4] for row in rows]).with_columns(pl.Series("known", known, dtype=MOMENT))


@given(asked, reported)
def test_a_row_that_became_known_later_is_as_if_it_were_not_there(
    asked_rows: list[Any], reported_rows: list[Any]
) -> None:
    answer = as_of(questions(asked_rows), at="at", views=[BoundView(BITEMPORAL, told(reported_rows))])
    for (place, at), gust, speed in zip(asked_rows, answer["gust"], answer["speed_2h"], strict=True):
        known = [
            row
            for row in reported_rows
            if row[1] is not None and row[4] is not None and at is not None and row[1] + row[4] <= at
        ]
        # Of one time the one that became known last counts: it stands last here.
        ordered = sorted(known, key=lambda row: (row[1], row[1] + row[4]))
        expected_gust, expected_speed = looked_up(place, at, [row[:4] for row in ordered])
        assert gust == expected_gust
        assert speed == (
            None if expected_speed is None else pytest.approx(expected_speed, rel=1e-9, abs=1e-6)
        )


def test_a_correction_counts_from_when_it_was_made() -> None:
    rows = [("EWR", 0, 1.0, 1, 0), ("EWR", 0, 5.0, 5, 60)]
    asked_rows = [("EWR", 0), ("EWR", 59), ("EWR", 60)]
    answer = as_of(questions(asked_rows), at="at", views=[BoundView(BITEMPORAL, told(rows))])
    assert answer["gust"].to_list() == [1, 1, 5]
    assert answer["speed_2h"].to_list() == [1.0, 1.0, 3.0]


def test_long_windows_of_late_rows_are_looked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("EWR", minute, float(minute), minute, minute % 7 * 40) for minute in range(120)]
    asked_rows = [("EWR", minute) for minute in range(0, 240, 3)]

    def ask() -> pl.DataFrame:
        return as_of(questions(asked_rows), at="at", views=[BoundView(BITEMPORAL, told(rows))])

    whole = ask()
    monkeypatch.setattr("mainspring.features.join._AT_ONCE", 50)
    assert ask().equals(whole)


later = st.tuples(places, st.integers(1, 600), speeds, st.integers(0, 9))


@given(asked, observed, st.integers(0, 600), st.lists(later))
def test_what_happens_later_never_changes_an_answer(
    asked_rows: list[Any], observed_rows: list[Any], now: int, changed: list[Any]
) -> None:
    before = [row for row in asked_rows if row[1] is not None and row[1] <= now]
    past = [row for row in observed_rows if row[1] is None or row[1] <= now]
    future = [(place, now + after, speed, gust) for place, after, speed, gust in changed]
    assert joined(before, observed_rows).equals(joined(before, past + future))


@given(asked, observed, st.lists(st.tuples(places, st.just(-400), speeds, st.integers(0, 9)), min_size=1))
def test_what_is_older_than_the_window_changes_not_even_the_rounding(
    asked_rows: list[Any], observed_rows: list[Any], old: list[Any]
) -> None:
    huge = [*old, ("EWR", -400, 1e300, 1), ("JFK", -400, math.inf, 1)]
    assert joined(asked_rows, huge + observed_rows).equals(joined(asked_rows, observed_rows))


@given(asked, observed, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_asked_is_kept_and_does_not_matter(
    asked_rows: list[Any], observed_rows: list[Any], random: Any
) -> None:
    order = list(range(len(asked_rows)))
    random.shuffle(order)
    answer = joined(asked_rows, observed_rows)
    assert joined([asked_rows[i] for i in order], observed_rows).equals(answer[order])


def test_the_ends_of_a_ttl_belong_to_it_and_of_a_mean_the_later_one_alone() -> None:
    rows = [("EWR", 0, 1.0, 1), ("EWR", 60, 3.0, 3)]
    answer = joined([("EWR", 0), ("EWR", 60), ("EWR", 120), ("EWR", 180), ("EWR", 240), ("EWR", 241)], rows)
    assert answer["gust"].to_list() == [1, 3, 3, 3, 3, None]
    assert answer["speed_2h"].to_list() == [1.0, 2.0, 3.0, None, None, None]


def test_of_two_rows_of_one_moment_the_last_one_counts() -> None:
    assert joined([("EWR", 5)], [("EWR", 0, 1.0, 1), ("EWR", 0, 1.0, 2)])["gust"].to_list() == [2]


def test_a_source_without_rows_gives_nulls() -> None:
    answer = joined([("EWR", 0)], [])
    assert answer.row(0)[2:] == (None, None)


def test_every_fault_of_a_join_is_told_at_once() -> None:
    view = FeatureViewSpec(
        "wind", "weather", entity="place", event_time="seen", ttl="3h", features=("squall", "gust")
    )
    naive = seen([]).with_columns(
        pl.col("seen").dt.replace_time_zone(None), pl.col("place").cast(pl.Categorical)
    )
    with pytest.raises(BadJoin) as caught:
        as_of(questions([]).with_columns(gust=1), at="at", views=[BoundView(view, naive)])
    told = str(caught.value)
    assert "'squall'" in told
    assert "a column 'gust' already" in told
    assert "of one time zone" in told
    assert "Cast one of them" in told


def test_a_join_without_its_time_or_its_entity_says_so() -> None:
    with pytest.raises(BadJoin) as caught:
        as_of(pl.DataFrame({"other": [1]}), at="at", views=[BoundView(VIEW, seen([]))])
    assert [fault.where for fault in caught.value.faults] == ["rows", "rows"]


def test_entities_and_times_that_fill_no_integer_together_join_as_others() -> None:
    early, late = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    names = list(range(100))
    seen = pl.DataFrame({"id": names * 2, "seen": [early] * 100 + [late] * 100, "x": list(range(200))})
    asked = pl.DataFrame({"id": names * 2, "at": [late] * 100 + [early] * 100})
    view = FeatureViewSpec("v", "s", entity="id", event_time="seen", ttl="1h", features=("x",))
    joined = as_of(asked, at="at", views=[BoundView(view, seen)])
    assert joined["x"].to_list() == [*range(100, 200), *range(100)]
