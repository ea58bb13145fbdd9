"""Whether it is suspected that something has changed, which settles how many labels are asked for."""

from __future__ import annotations

__all__ = ["is_suspected"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

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
