"""What every act of a cycle is given."""

from __future__ import annotations

__all__ = ["LOOP", "Stage"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from mainspring.events import Event, EventType
from mainspring.loop import (
    Cycle,
    CycleOutcome,
    CycleState,
)
from mainspring.operate.webhooks import tell
from mainspring.product import ProductSpec

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


LOOP = "loop"
"""The actor of what nobody asked for."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What every act of a cycle is given."""

    workspace: Workspace
    spec: ProductSpec
    boundary: Callable[[str], None]

    @property
    def now(self) -> datetime:
        """When the act is, by the workspace's clock."""
        return self.workspace.clock.now()

    def event(
        self,
        tx: Transaction,
        kind: EventType,
        subject: object,
        reason: str,
        *,
        actor: str = LOOP,
        **data: object,
    ) -> None:
        """Append an event in a transaction."""
        tx.ledger.append(
            Event(type=kind, subject=str(subject), at=self.now, actor=actor, reason=reason, data=data)
        )

    def move_alias(
        self, tx: Transaction, product: str, alias: str, *, expected: int | None, to: int | None
    ) -> None:
        """Move an alias in a transaction, and let webhooks be told; `to=None` removes it.

        Raises `mainspring.registry.StaleAlias`.
        """
        tx.registry.move(product, alias, expected=expected, to=to)
        told = {"name": product, "alias": alias}
        if to is not None:
            tell(tx, "model_version_alias.created", told | {"version": str(to)}, self.now)
        elif expected is not None:
            tell(tx, "model_version_alias.deleted", told, self.now)

    def close(self, tx: Transaction, cycle: Cycle, outcome: CycleOutcome, reason: str) -> None:
        """Close a cycle in a transaction."""
        closed = replace(cycle, state=CycleState.CLOSED, outcome=outcome, reason=reason, closed_at=self.now)
        tx.loop.move(closed, expected=cycle.state)
        self.event(
            tx,
            EventType.CYCLE_CLOSED,
            f"{cycle.product}/{cycle.number}",
            reason,
            cycle=cycle.cycle_id,
            outcome=outcome.value,
            version=cycle.version,
        )
