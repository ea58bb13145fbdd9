"""What alarms say of a time: whether a change was suspected, and when the one behind a cycle began."""

from __future__ import annotations

__all__ = ["change_behind", "is_suspected"]

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from mainspring.loop import TriggerKind

if TYPE_CHECKING:
    from mainspring.loop import Cycle
    from mainspring.stores.sql.database import Transaction


def is_suspected(tx: Transaction, product: str, version: int, at: datetime) -> bool:
    """Whether a drift alarm about a version stood at a time: raised before, and no training had begun since."""
    trained = max(
        (each.opened_at for each in tx.loop.cycles(product) if each.trains and each.opened_at < at),
        default=None,
    )
    return any(
        alarm.about == "drift"
        and alarm.version == version
        and alarm.at < at
        and (trained is None or alarm.at > trained)
        for alarm in tx.monitoring.alarms(product)
    )


def change_behind(tx: Transaction, cycle: Cycle) -> datetime | None:
    """Begin of the change that alarms had found when a cycle started that they started; None for any other cycle."""
    if not {cycle.trigger, *cycle.parts} & {TriggerKind.ON_DEGRADATION, TriggerKind.ON_DRIFT}:
        return None
    before = [
        each.opened_at for each in tx.loop.cycles(cycle.product) if each.trains and each.number < cycle.number
    ]
    last = max(before, default=None)
    begun = [
        alarm.change.since
        for alarm in tx.monitoring.alarms(cycle.product, since=last)
        if alarm.change is not None and alarm.at <= cycle.opened_at and (last is None or alarm.at > last)
    ]
    return datetime.combine(min(begun), time(), UTC) if begun else None
