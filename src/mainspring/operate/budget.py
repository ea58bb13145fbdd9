"""The alarm budget as a ledger: what each monitor may do, what its looks have spent of it, and what is left."""

from __future__ import annotations

__all__ = ["BudgetRow", "budget_rows"]

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.monitoring.alarm import AlarmState
from mainspring.monitors import Betting
from mainspring.operate.watch import alarm_budget, looks

if TYPE_CHECKING:
    from datetime import datetime

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


def budget_rows(tx: Transaction, spec: ProductSpec, now: datetime) -> list[BudgetRow]:
    """Hold what a product's monitors have done against its alarm budget.

    Of n looks at most (1 + alarms)^(n / checks) - 1 false alarms are expected: see `mainspring.monitoring.Budget`.
    """
    share = alarm_budget(spec)
    first = now.date() - share.checks * _DAY
    recent = [alarm for alarm in tx.monitoring.alarms(spec.name) if alarm.at.date() > first]
    rows = []
    for monitor in spec.monitors:
        name = monitor.name
        noted = looks(tx, spec.name, name)
        count = sum(first < day for day in noted.days) if noted else 0
        bets = isinstance(monitor, Betting)
        spent = (1 + share.alarms) ** (count / share.checks) - 1 if bets else 0.0
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
