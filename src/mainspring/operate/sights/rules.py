"""What monitors see that hold a known figure against what is declared: an age, a day's traffic, days not looked at."""

from __future__ import annotations

__all__ = ["judge_rule", "read_for_rule"]

from collections import Counter
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING

from mainspring.clock import duration_text, parse_duration
from mainspring.monitoring import Outcome
from mainspring.monitors import MonitorLag, Staleness, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.monitoring.alarm import Grounds
    from mainspring.monitors import Rule
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_WEEKS = 4
_ENOUGH = 2


def read_for_rule(monitor: Rule, tx: Transaction, ref: ModelRef, today: date) -> dict[date, str]:
    """Read the figures that a rule looks at, by day."""
    match monitor:
        case Staleness():
            return {}
        case MonitorLag():
            looked = tx.values.get(f"watched:{ref.product}")
            return {} if looked is None else {date.fromisoformat(looked): "looked at"}
        case Traffic():
            rows: Counter[date] = Counter()
            for row in tx.monitoring.quality(ref.product):  # of all versions: it is the product that is asked
                rows[row.day] += row.predictions
            first = min(rows, default=today)
            days = [today - _DAY - weeks * _WEEK for weeks in range(_WEEKS + 1)]
            return {day: str(rows[day]) for day in sorted(days) if day >= first}


def judge_rule(
    monitor: Rule, grounds: Grounds, ref: ModelRef, tables: Mapping[date, str]
) -> tuple[Outcome, str]:
    """Hold a figure against what is declared, and say so in words."""
    match monitor:
        case Staleness(after=after):
            age = grounds.at - grounds.registered_at
            old = age > parse_duration(after)
            return _outcome(old), f"{ref} is {age.days} days old, {after} allowed"
        case MonitorLag(after=after):
            if not tables:
                return Outcome.QUIET, "it is the first day that is looked at"
            ended = max(tables) + _DAY
            behind = grounds.at.date() - ended
            told = f"the last day that was looked at ended {duration_text(behind)} before, {after} allowed"
            return _outcome(behind > parse_duration(after)), told
        case Traffic():
            return _traffic(monitor, tables)


def _traffic(monitor: Traffic, tables: Mapping[date, str]) -> tuple[Outcome, str]:
    if len(tables) <= _ENOUGH:
        before = max(0, len(tables) - 1)
        return Outcome.INSUFFICIENT_DATA, f"{before} such days are known from before, {_ENOUGH} are needed"
    *earlier, (day, text) = sorted(tables.items())
    usual, came = median(int(each) for _, each in earlier), int(text)
    outside = not monitor.least * usual <= came <= monitor.most * usual
    told = (
        f"{came:,} predictions on {day:%A}, {day}; on the {len(earlier)} before the median was {usual:,.0f}, "
        f"and {monitor.least:g} to {monitor.most:g} times that is allowed"
    )
    return _outcome(outside), told


def _outcome(broken: bool) -> Outcome:
    return Outcome.ALARM if broken else Outcome.QUIET
