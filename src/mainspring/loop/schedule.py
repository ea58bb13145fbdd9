"""Wall-clock time: when a cron expression falls due, and how long quiet hours last."""

from __future__ import annotations

__all__ = ["last_due", "next_due", "quiet_until", "zone"]

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim

from mainspring.triggers import WEEKDAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mainspring.triggers import OnSchedule, QuietHours

_DAY = timedelta(days=1)
_LONGEST_QUIET = 14 * _DAY
"""Quiet hours repeat by the week: what has not ended by then never ends."""


def zone(tz: str) -> tzinfo:
    """Give a time zone by its IANA name; raises what `zoneinfo.ZoneInfo` does."""
    return UTC if tz == "UTC" else ZoneInfo(tz)


def last_due(schedule: OnSchedule, since: datetime, now: datetime) -> datetime | None:
    """Last moment of a schedule in (since, now], in UTC."""
    # Backwards: a schedule that fell due many times while nothing ran is one reason to train, not many. From a little
    # later than now: read backwards, 02:50 lies after 02:10 also where an hour comes twice and it came an hour ago.
    tz = zone(schedule.tz)
    ahead = timedelta(minutes=1) if tz is UTC else timedelta(hours=3)
    for moment in _moments(schedule, (now + ahead).astimezone(tz), reverse=True):
        if moment <= now:
            return moment if moment > since else None
    return None


def next_due(schedule: OnSchedule, now: datetime) -> datetime | None:
    """First moment of a schedule after now, in UTC; None where there is none in 50 years."""
    tz = zone(schedule.tz)
    behind = timedelta(0) if tz is UTC else timedelta(hours=3)
    moments = _moments(schedule, (now - behind).astimezone(tz), reverse=False)
    return next((moment for moment in moments if moment > now), None)


def _moments(schedule: OnSchedule, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    # In UTC: a moment within an hour that comes twice equals none of another time zone.
    return (moment.astimezone(UTC) for moment in CronSim(schedule.cron, start, reverse=reverse))


def quiet_until(hours: Sequence[QuietHours], now: datetime) -> datetime | None:
    """When the quiet hours that it is now are over, one following the other; None where it is none of them.

    Hours that cover the whole week never end; for them it is a moment two weeks from now or later.
    """
    until = now
    while until - now < _LONGEST_QUIET:
        ends = [end for each in hours for start, end in _spells(each, until) if start <= until < end]
        if not ends:
            break
        until = max(ends)
    return until if until > now else None


def _spells(hours: QuietHours, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Give the spells of quiet hours that could hold a moment, each from its start to its end, in UTC."""
    tz, start, end = zone(hours.tz), time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    today = at.astimezone(tz).date()
    for day in (today + days * _DAY for days in (-2, -1, 0, 1)):
        if WEEKDAYS[day.weekday()] in hours.days:
            last = day if start < end else day + _DAY
            yield min(_readings(day, start, tz)), max(_readings(last, end, tz))


def _readings(day: date, at: time, tz: tzinfo) -> tuple[datetime, datetime]:
    """Both readings of a wall-clock time in UTC; they differ where it comes twice or not at all."""
    first = datetime.combine(day, at, tz)
    return first.astimezone(UTC), first.replace(fold=1).astimezone(UTC)
