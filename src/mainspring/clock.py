"""The one source of time: the system's, or one that recorded data drives.

Windows, monitors, triggers and the ledger ask the `Clock`, so that a year of recorded traffic replays in minutes
and leaves the same ledger each time.
"""

from __future__ import annotations

__all__ = [
    "Clock",
    "ClockRefused",
    "DrivenClock",
    "SystemClock",
    "duration_text",
    "parse_duration",
    "parse_time",
    "time_text",
]

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Protocol

from mainspring.errors import Invalid, Refused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CENTURY = timedelta(days=36_525)


class ClockRefused(Refused):
    """A request to move a clock that may not be moved, or to move it back."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class Clock(Protocol):
    """What time it is, and how long something took."""

    def now(self) -> datetime:
        """Return the present moment, timezone-aware, in UTC."""
        ...

    def took(self, measured_s: float, what: str) -> float:
        """Return the duration to decide by, in seconds.

        Parameters
        ----------
        measured_s : float
            What a stopwatch showed.
        what : str
            Which act was timed; a driven clock derives the duration from it.
        """
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The time of the machine."""

    def now(self) -> datetime:  # noqa: D102 - see Clock
        return datetime.now(UTC)

    def took(self, measured_s: float, what: str) -> float:  # noqa: D102 - see Clock
        return measured_s


@dataclass(slots=True)
class DrivenClock:
    """A clock that only moves when it is told to, and never back.

    Durations are drawn from the seed and the name of the act (uniformly between 0.5 and 2 ms), because a measured one
    would differ between two replays of the same data. Measured figures are kept beside the ledger.

    Examples
    --------
    >>> clock = DrivenClock(datetime(2013, 2, 1, tzinfo=UTC), seed=7)
    >>> clock.advance(datetime(2013, 2, 2, tzinfo=UTC))
    True
    >>> clock.advance(datetime(2013, 2, 1, tzinfo=UTC))
    False
    >>> clock.now().day
    2
    """

    at: datetime
    seed: int = 0
    _floor_s: float = field(default=0.0005, repr=False)

    def now(self) -> datetime:  # noqa: D102 - see Clock
        return self.at

    def took(self, measured_s: float, what: str) -> float:  # noqa: D102 - see Clock
        drawn = int.from_bytes(blake2b(f"{self.seed}:{what}".encode(), digest_size=4).digest())
        return round(self._floor_s * (1 + 3 * drawn / 2**32), 7)

    def advance(self, to: datetime) -> bool:
        """Move forward to `to`; a moment that has passed already changes nothing and gives False."""
        if to <= self.at:
            return False
        self.at = to
        return True


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `90s`, `3h`, `45d` or `2w`.

    Raises
    ------
    Invalid
        The text is not a whole number followed by one of s, m, h, d, w, or means more than 100 years.

    Examples
    --------
    >>> parse_duration("3h")
    datetime.timedelta(seconds=10800)
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if not match:
        raise Invalid(
            f"{text!r} is not a duration: write a whole number and a unit, such as '90s', '3h', '45d' or '2w'."
        )
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if duration > _CENTURY:  # added to a moment it could leave the calendar
        raise Invalid(f"{text!r} is longer than 100 years: write a shorter duration.")
    return duration


def duration_text(duration: timedelta) -> str:
    """Print a duration in its two greatest units, as `parse_duration` names them.

    Examples
    --------
    >>> duration_text(timedelta(days=2, hours=5, minutes=1)), duration_text(timedelta(seconds=0.2))
    ('2d 5h', '0s')
    """
    left, parts = int(duration.total_seconds()), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 moment, which must say its offset from UTC.

    Raises
    ------
    Invalid
        The text is no moment, or has no offset.

    Examples
    --------
    >>> parse_time("2013-02-01T03:00:00Z")
    datetime.datetime(2013, 2, 1, 3, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no moment, or one that lies outside of the calendar in UTC
        pass
    raise Invalid(f"{text!r} is not a moment: write it as 2013-02-01T03:00:00Z, with the offset from UTC.")


def time_text(moment: datetime) -> str:
    """Print a moment as RFC 3339 in UTC, so that texts sort as the moments do.

    Examples
    --------
    >>> time_text(datetime(2013, 2, 1, 3, tzinfo=UTC))
    '2013-02-01T03:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
