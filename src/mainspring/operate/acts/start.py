"""Starting a cycle, or recording what holds a trigger back."""

from __future__ import annotations

__all__ = ["hold", "start"]

from typing import TYPE_CHECKING, Any

from mainspring.events import EventType
from mainspring.loop import (
    Cycle,
    Hold,
    Start,
    cycle_id,
)
from mainspring.operate.acts.stage import LOOP, Stage
from mainspring.ref import DataRef

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction


def start(stage: Stage, action: Start) -> None:
    """Open a cycle, with the version of every dataset that it will read."""
    spec, request = stage.spec, action.request
    with stage.workspace.database.write() as tx:
        pinned = request.data if request else {}
        data = {
            each.name: pinned[each.name] if each.name in pinned else _newest(tx, each.name)
            for each in spec.datasets
        }
        number = 1 + max((each.number for each in tx.loop.cycles(spec.name)), default=0)
        cycle = Cycle(
            cycle_id=cycle_id(spec.name, action.cause),
            product=spec.name,
            number=number,
            trigger=action.trigger,
            parts=action.parts,
            evidence=action.evidence,
            actor=request.actor if request else LOOP,
            params=request.params if request else {},
            data=data,
            opened_at=stage.now,
            offer=request.offer if request else None,
        )
        tx.loop.open(cycle)
        tx.values.put(f"fired:{spec.name}:{number:09}", action.declared)
        if request:
            tx.loop.take_up(request.request_id, cycle.cycle_id)
        stage.event(
            tx,
            EventType.CYCLE_STARTED,
            f"{spec.name}/{number}",
            action.evidence,
            actor=cycle.actor,
            cycle=cycle.cycle_id,
            cause=action.cause,
            **_kinds(action),
            params=dict(cycle.params),
            data=[str(DataRef(name, version)) for name, version in sorted(data.items())],
        )
        stage.boundary("within Start")


def _newest(tx: Transaction, dataset: str) -> int:
    version = tx.data.newest(dataset)
    assert version is not None  # decide starts nothing before every dataset has a version
    return version.number


def _kinds(action: Start | Hold) -> dict[str, Any]:
    parts = {"parts": [each.value for each in action.parts]} if action.parts else {}
    return {"trigger": action.trigger.value, **parts}


def hold(stage: Stage, action: Hold) -> None:
    """Record, once, what holds a trigger back."""
    with stage.workspace.database.write() as tx:
        for key in sorted(action.keys):
            tx.values.put(f"held:{stage.spec.name}:{key}", action.trigger.value)
        stage.event(
            tx,
            EventType.TRIGGER_HELD,
            stage.spec.name,
            "; ".join((action.evidence, *(each.why for each in action.held))),
            cause=action.cause,
            **_kinds(action),
            held_by=[each.by.value for each in action.held],
        )
