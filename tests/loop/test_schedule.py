"""Wall-clock time: cron in a time zone, through gaps and repeats of the clock, and quiet hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.loop.schedule import last_due, next_due, quiet_until, zone

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
CRONS = ["30 2 * * *", "0 3 1 * *", "15 1 * * *", "*/20 * * * *", "0 * * * *", "30 1,2,3 * * 0", "45 2 * * *"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Clocks go forward in Berlin on 2013-03-31 at 01:00 UTC and back on 2013-10-27 at 01:00 UTC.
moments = st.one_of(
    st.datetimes(datetime(2013, 1, 1), datetime(2014, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    *(
        st.datetimes(at, at + DAY, timezones=st.just(UTC))
        for at in (
            datetime(2013, 3, 30, 18),  # noqa: DTZ001
            datetime(2013, 10, 26, 18),  # noqa: DTZ001
            datetime(2013, 11, 3, 0),  # noqa: DTZ001
        )
    ),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(now=moments, cron=st.sampled_from(CRONS), tz=st.sampled_from(ZONES))
def test_the_last_and_the_next_moment_are_neighbours_among_all_moments(
    now: datetime, cron: str, tz: str
) -> None:
    """Forward and backward reading agree, also in the hours in which clocks change."""
    schedule, since = ms.OnSchedule(cron, tz=tz), now - 40 * DAY
    noon = since.replace(hour=12, minute=0, second=0, microsecond=0)
    all_moments = []
    for moment in CronSim(cron, noon.astimezone(zone(tz))):
        all_moments.append(moment.astimezone(UTC))
        if all_moments[-1] > now + 40 * DAY:
            break
    passed = [each for each in all_moments if since < each <= now]
    assert last_due(schedule, since, now) == max(passed, default=None)
    assert next_due(schedule, now) == min(each for each in all_moments if each > now)


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        # Winter and summer.
        ("2013-01-10", "2013-01-10T02:00"),
        ("2013-07-10", "2013-07-10T01:00"),
        # 03:00 exists on both days on which clocks change.
        ("2013-03-31", "2013-03-31T01:00"),
        ("2013-10-27", "2013-10-27T02:00"),
    ],
)
def test_a_time_of_day_is_that_of_its_zone(cron: str, due: str) -> None:
    schedule = ms.OnSchedule("0 3 * * *", tz="Europe/Berlin")
    start = utc(cron)
    assert next_due(schedule, start) == utc(due)
    assert last_due(schedule, start, start + 12 * HOUR) == utc(due)


def test_in_the_hour_that_is_left_out_a_schedule_falls_due_when_it_is_over() -> None:
    schedule = ms.OnSchedule("30 2 * * *", tz="Europe/Berlin")
    assert next_due(schedule, utc("2013-03-30T12:00")) == utc("2013-03-31T01:00")
    assert last_due(schedule, utc("2013-03-30T12:00"), utc("2013-03-31T00:59")) is None


def test_in_the_hour_that_comes_twice_a_schedule_falls_due_once() -> None:
    schedule = ms.OnSchedule("30 2 * * *", tz="Europe/Berlin")
    first = utc("2013-10-27T00:30")
    assert next_due(schedule, utc("2013-10-26T12:00")) == first
    # While the hour comes for the second time, before 02:30 and after.
    for later in ("2013-10-27T01:10", "2013-10-27T01:40", "2013-10-27T12:00"):
        assert last_due(schedule, utc("2013-10-26T12:00"), utc(later)) == first
        assert last_due(schedule, first, utc(later)) is None


def test_what_runs_every_hour_goes_by_the_time_that_has_passed() -> None:
    schedule, at = ms.OnSchedule("0 * * * *", tz="Europe/Berlin"), utc("2013-10-26T23:30")
    for _ in range(4):
        due = next_due(schedule, at)
        assert due is not None
        assert due - at <= HOUR
        at = due


def test_a_schedule_without_a_moment_has_no_next_one() -> None:
    assert next_due(ms.OnSchedule("* * */31 2 1L"), utc("2013-01-01")) is None


# --- quiet hours ---------------------------------------------------------------------------------------------------

NIGHT = ms.QuietHours("22:00", "06:00", tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2013-01-10T20:59:59", None),
        ("2013-01-10T21:00", "2013-01-11T05:00"),
        ("2013-01-11T04:59:59", "2013-01-11T05:00"),
        ("2013-01-11T05:00", None),
        ("2013-07-10T20:00", "2013-07-11T04:00"),
        # The night in which clocks go forward is an hour shorter, the other an hour longer.
        ("2013-03-30T21:00", "2013-03-31T04:00"),
        ("2013-10-26T20:00", "2013-10-27T05:00"),
    ],
)
def test_a_quiet_night_is_that_of_its_zone(now: str, until: str | None) -> None:
    assert quiet_until([NIGHT], utc(now)) == (until and utc(until))


def test_quiet_hours_of_some_days_are_named_after_the_day_on_which_they_start() -> None:
    friday = ms.QuietHours("22:00", "06:00", days=("fri",))
    assert quiet_until([friday], utc("2013-03-01T23:00")) == utc("2013-03-02T06:00")
    assert quiet_until([friday], utc("2013-03-02T05:00")) == utc("2013-03-02T06:00")
    assert quiet_until([friday], utc("2013-03-01T05:00")) is None
    assert quiet_until([friday], utc("2013-03-02T23:00")) is None


def test_quiet_hours_that_follow_one_another_are_told_as_one() -> None:
    weekend = ms.QuietHours("00:00", "00:00", days=("sat", "sun"))
    night = ms.QuietHours("23:00", "01:30")
    assert quiet_until([night, weekend], utc("2013-03-01T23:30")) == utc("2013-03-04T01:30")


@pytest.mark.parametrize(
    ("hours", "first", "last"),
    [
        # An hour that comes twice: from its first time to its last.
        (("02:15", "02:45"), "2013-10-27T00:15", "2013-10-27T01:45"),
        # One that is left out: as if clocks had changed before, or after.
        (("02:15", "02:45"), "2013-03-31T00:15", "2013-03-31T01:45"),
    ],
)
def test_where_clocks_change_quiet_hours_are_as_long_as_either_reading(
    hours: tuple[str, str], first: str, last: str
) -> None:
    quiet = [ms.QuietHours(*hours, tz="Europe/Berlin")]
    assert quiet_until(quiet, utc(first) - timedelta(seconds=1)) is None
    assert quiet_until(quiet, utc(first)) == utc(last)
    assert quiet_until(quiet, utc(last)) is None


@given(now=moments, tz=st.sampled_from(ZONES), start=st.times(), end=st.times())
def test_quiet_hours_end_and_are_not_quiet_then(now: datetime, tz: str, start: object, end: object) -> None:
    quiet = [ms.QuietHours(f"{start:%H:%M}", f"{end:%H:%M}", tz=tz, days=("mon", "wed"))]
    until = quiet_until(quiet, now)
    if until is not None:
        assert now < until <= now + 27 * HOUR
        assert quiet_until(quiet, until) is None
