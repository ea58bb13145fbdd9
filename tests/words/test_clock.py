"""The clock: a driven one moves forward alone, and what it says an act took depends on nothing but seed and act."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.clock import DrivenClock, SystemClock, parse_duration, parse_time, time_text
from mainspring.errors import Invalid

START = datetime(2013, 1, 1, tzinfo=UTC)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(asked=st.lists(moments, max_size=20))
def test_a_driven_clock_never_goes_back(asked: list[datetime]) -> None:
    clock = DrivenClock(START)
    told = [(clock.advance(moment), clock.now()) for moment in asked]
    reached = list(accumulate([START, *asked], max))
    assert [now for _, now in told] == reached[1:]
    assert [moved for moved, _ in told] == [after > before for before, after in pairwise(reached)]


@given(seed=st.integers(), what=st.text(), measured=st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_what_an_act_took_is_drawn_from_seed_and_act_alone(
    seed: int, what: str, measured: list[float]
) -> None:
    early, late = DrivenClock(START, seed=seed), DrivenClock(START + timedelta(days=365), seed=seed)
    took = early.took(measured[0], what)
    assert took == late.took(measured[1], what)
    assert 0.0005 <= took <= 0.002


def test_acts_and_seeds_differ_in_what_they_took() -> None:
    clock = DrivenClock(START, seed=1)
    assert len({clock.took(0.0, f"act {number}") for number in range(100)}) > 90
    assert clock.took(0.0, "act") != DrivenClock(START, seed=2).took(0.0, "act")


def test_the_systems_clock_says_what_was_measured() -> None:
    clock = SystemClock()
    assert clock.took(1.25, "anything") == 1.25
    assert clock.now().utcoffset() == timedelta(0)


@given(count=st.integers(0, 999_999), unit=st.sampled_from("smhdw"))
def test_a_duration_is_its_count_of_its_unit_or_too_long(count: int, unit: str) -> None:
    seconds = count * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    if seconds > 36_525 * 86400:
        with pytest.raises(Invalid, match="100 years"):
            parse_duration(f"{count}{unit}")
    else:
        assert parse_duration(f"{count}{unit}").total_seconds() == seconds


@given(count=st.integers(0, 999_999), unit=st.sampled_from("smhdw"), moment=moments)
def test_a_duration_added_to_a_moment_stays_in_the_calendar(count: int, unit: str, moment: datetime) -> None:
    try:
        duration = parse_duration(f"{count}{unit}")
    except Invalid:
        return
    assert moment - duration <= moment <= moment + duration


@pytest.mark.parametrize(
    "text", ["", "3", "h", "3 h", "3H", "-3h", "1.5h", "3h\n", "٣h", "9999999s", "three days"]
)
def test_what_is_no_duration_is_told_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match="45d"):
        parse_duration(text)


@given(moment=moments, offset=offsets)
def test_a_moment_is_read_back_as_it_was_printed_whatever_its_offset(
    moment: datetime, offset: timezone
) -> None:
    elsewhere = moment.astimezone(offset)
    assert time_text(elsewhere) == time_text(moment)
    assert parse_time(time_text(elsewhere)) == parse_time(elsewhere.isoformat()) == moment


@given(pair=st.tuples(moments, moments))
def test_texts_sort_as_their_moments_do(pair: tuple[datetime, datetime]) -> None:
    earlier, later = sorted(pair)
    assert time_text(earlier) <= time_text(later)


@pytest.mark.parametrize(
    "text",
    ["", "today", "2013-02-01", "2013-02-01T03:00:00", "2013-02-30T03:00:00Z", "0001-01-01T00:00:00+14:00"],
)
def test_what_is_no_moment_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="offset from UTC"):
        parse_time(text)
