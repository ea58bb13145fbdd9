"""Making the product files known: each change of a declaration is an event."""

from __future__ import annotations

__all__ = ["declare"]

from typing import TYPE_CHECKING

from mainspring.clock import time_text
from mainspring.events import Event, EventType
from mainspring.operate.tasks import Describe, Described

if TYPE_CHECKING:
    from mainspring.product import ProductSpec
    from mainspring.workspace import Workspace


def declare(workspace: Workspace, *, actor: str) -> tuple[ProductSpec, ...]:
    """Read the product files and record what has changed in them.

    Raises
    ------
    mainspring.operate.workers.TaskFailed
        A file does not import or contradicts itself; what was declared before stays in force.
    """
    described = workspace.workers.ask(Describe(), Described)
    now = workspace.clock.now()
    with workspace.database.read() as tx:
        known = tx.values.items("product:")
        environment = tx.values.get("environment")
    changed = [spec for spec in described.products if known.get(f"product:{spec.name}") != spec.to_json()]
    if not changed and environment == described.environment:
        return described.products
    with workspace.database.write() as tx:
        tx.values.put("environment", described.environment)
        for spec in changed:
            text, new = spec.to_json(), f"product:{spec.name}" not in known
            tx.values.put(f"product:{spec.name}", text)
            if new:
                tx.values.put(f"declared:{spec.name}", time_text(now))
            tx.ledger.append(
                Event(
                    type=EventType.PRODUCT_DECLARED,
                    subject=spec.name,
                    at=now,
                    actor=actor,
                    reason=f"{spec.file} declares it" if new else f"{spec.file} has changed",
                    data={"digest": spec.digest, "file": spec.file},
                )
            )
    return described.products
