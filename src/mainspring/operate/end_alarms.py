"""Ending alarms: one is over when a cycle that trains has started since, or another version serves."""

from __future__ import annotations

__all__ = ["end_alarms"]

from typing import TYPE_CHECKING

from mainspring.events import Event, EventType
from mainspring.operate.acts.stage import LOOP
from mainspring.operate.watch import put_told_standing, told_standing, unanswered
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


def end_alarms(workspace: Workspace, spec: ProductSpec) -> None:
    """Record which of the alarms that were told stand no more, so that those who were told are told that too."""
    with workspace.database.read() as tx:
        if told_standing(tx, spec.name) == _standing(tx, spec.name):
            return
    with workspace.database.write() as tx:
        # Read anew: another process may have recorded it meanwhile.
        stand = _standing(tx, spec.name)
        champion = tx.registry.aliases(spec.name).get("champion")
        cycle = next((each.number for each in reversed(tx.loop.cycles(spec.name)) if each.trains), None)
        for alarm_id in sorted(told_standing(tx, spec.name) - stand):
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
        put_told_standing(tx, spec.name, stand)


def _standing(tx: Transaction, product: str) -> frozenset[str]:
    """Ids of the alarms that stand."""
    champion = tx.registry.aliases(product).get("champion")
    return frozenset(each.alarm_id for each in unanswered(tx, product, champion))
