"""Ending alarms: one is over when a cycle that trains has started since, or another version serves."""

from __future__ import annotations

__all__ = ["end_alarms"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.events import Event, EventType
from mainspring.operate.acts.stage import LOOP
from mainspring.operate.watch import unanswered
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


def end_alarms(workspace: Workspace, spec: ProductSpec) -> None:
    """Record which of the alarms that stood at the last turn stand no more, so that those who were told are told."""
    key = f"standing_alarms:{spec.name}"
    with workspace.database.read() as tx:
        before = tx.values.get(key)
        stand = _standing(tx, spec.name)
    if before == stand or (before is None and stand == "[]"):
        return
    with workspace.database.write() as tx:
        if tx.values.get(key) != before:
            return  # another process has recorded it meanwhile
        champion = tx.registry.aliases(spec.name).get("champion")
        cycle = next((each.number for each in reversed(tx.loop.cycles(spec.name)) if each.trains), None)
        ids = msgspec.json.decode(stand, type=set[str])
        for alarm_id in sorted(msgspec.json.decode(before or "[]", type=set[str]) - ids):
            alarm = tx.monitoring.alarm(alarm_id)
            served = (
                f"{ModelRef(spec.name, champion)} serves now" if champion is not None else "no version serves"
            )
            tx.ledger.append(
                Event(
                    type=EventType.ALARM_OVER,
                    subject=str(ModelRef(alarm.product, alarm.version)),
                    at=workspace.clock.now(),
                    actor=LOOP,
                    reason=served if champion != alarm.version else f"cycle {cycle} trains since",
                    data={"alarm": alarm_id, "about": alarm.about, "state": alarm.state.value},
                )
            )
        tx.values.put(key, stand)


def _standing(tx: Transaction, product: str) -> str:
    """Ids of the alarms that stand, as JSON."""
    champion = tx.registry.aliases(product).get("champion")
    return msgspec.json.encode(sorted(each.alarm_id for each in unanswered(tx, product, champion))).decode()
