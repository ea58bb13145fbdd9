"""The alarm budget as a ledger: what each monitor may do, what its looks have spent of it, and what is left."""

from __future__ import annotations

__all__ = ["BudgetDay", "BudgetRow", "budget_rows", "days_of_budget"]

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring.alarm import AlarmState
from mainspring.monitors import Betting
from mainspring.operate.watch import alarm_budget, looks

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.monitoring import Budget
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction

_DAY = timedelta(days=1)
_NOT_LOOKED = "not_looked"


class BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one monitor may do within the period of the product's alarm budget.

    Attributes
    ----------
    product, monitor : str
        Whose.
    period_days : int
        Length of the period, in days, which is also the number of looks that the budget covers.
    declared : float
        False alarms that are expected of it at most in a period.
    looks : int
        How often it has looked in the period that ends now. A monitor that has spoken does not look.
    spent, left : float
        False alarms that are expected at most of these looks, and what is left for those to come. A monitor that does
        not bet, such as one of age, cannot be wrong and spends nothing.
    raised, confirmed : int
        Alarms in the period, and those of them that are known to matter.
    outcome, told : str
        What came of its last look: `quiet`, `alarm`, `insufficient_data`, `could_not_judge`, or `not_looked`.
    """

    product: str
    monitor: str
    period_days: int
    declared: float
    looks: int
    spent: float
    left: float
    raised: int
    confirmed: int
    outcome: str
    told: str


class BudgetDay(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor that bets had spent by the end of a day of the period that ends now.

    Attributes
    ----------
    monitor, day : str, date
        Whose, and which.
    looks : int
        How often it had looked since the period began.
    spent : float
        False alarms that are expected at most of these looks.
    raised : int
        Alarms that it raised on that day.
    """

    monitor: str
    day: date
    looks: int
    spent: float
    raised: int


def budget_rows(tx: Transaction, spec: ProductSpec, now: datetime) -> list[BudgetRow]:
    """Hold what a product's monitors have done against its alarm budget."""
    share = alarm_budget(spec)
    first = now.date() - share.checks * _DAY
    recent = [alarm for alarm in tx.monitoring.alarms(spec.name) if alarm.at.date() > first]
    rows = []
    for monitor in spec.monitors:
        name = monitor.name
        noted = looks(tx, spec.name, name)
        count = sum(first < day for day in noted.days) if noted else 0
        bets = isinstance(monitor, Betting)
        spent = _spent(share, count) if bets else 0.0
        raised = [alarm for alarm in recent if alarm.monitor == name]
        rows.append(
            BudgetRow(
                product=spec.name,
                monitor=name,
                period_days=share.checks,
                declared=share.alarms if bets else 0.0,
                looks=count,
                spent=spent,
                left=max(0.0, share.alarms - spent) if bets else 0.0,
                raised=len(raised),
                confirmed=sum(alarm.state is AlarmState.CONFIRMED for alarm in raised),
                outcome=noted.outcome if noted else _NOT_LOOKED,
                told=noted.told if noted else "there has been no day to look at yet",
            )
        )
    return rows


def days_of_budget(tx: Transaction, spec: ProductSpec, now: datetime) -> list[BudgetDay]:
    """Tell by day what each monitor that bets has spent in the period that ends now; the last day is as `budget_rows`.

    Days are in order for each monitor, and monitors as they are declared.
    """
    share = alarm_budget(spec)
    days = [now.date() - n * _DAY for n in reversed(range(share.checks))]
    alarms = tx.monitoring.alarms(spec.name)
    found = []
    for monitor in spec.monitors:
        if not isinstance(monitor, Betting):
            continue
        noted = looks(tx, spec.name, monitor.name)
        looked = frozenset(noted.days) if noted else frozenset()
        raised = Counter(alarm.at.date() for alarm in alarms if alarm.monitor == monitor.name)
        count = 0
        for day in days:
            count += day in looked
            found.append(
                BudgetDay(
                    monitor=monitor.name,
                    day=day,
                    looks=count,
                    spent=_spent(share, count),
                    raised=raised[day],
                )
            )
    return found


def _spent(share: Budget, count: int) -> float:
    """False alarms that are expected at most of so many looks: see `mainspring.monitoring.Budget`."""
    spent: float = (1 + share.alarms) ** (count / share.checks) - 1
    return spent
