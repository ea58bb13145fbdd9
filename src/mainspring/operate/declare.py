"""Making the product files known: each change of a declaration is an event, and code and environment are kept."""

from __future__ import annotations

__all__ = ["DeclarationInvalid", "declare"]

from dataclasses import replace
from typing import TYPE_CHECKING

from mainspring.clock import time_text
from mainspring.errors import Fault, Faults, Invalid
from mainspring.events import Event, EventType
from mainspring.operate.publish import renew_snapshots
from mainspring.operate.tasks import Describe, Described
from mainspring.operate.workers import TaskFailed, TaskUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class DeclarationInvalid(Invalid):
    """Product files that do not import or that contradict themselves; the text is the worker's."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


def declare(workspace: Workspace, *, actor: str) -> tuple[ProductSpec, ...]:
    """Read the product files and record what has changed in them.

    Raises
    ------
    DeclarationInvalid
        A file does not import, contradicts itself, or gives a product that has versions a task of another kind. What
        was declared before stays in force.
    """
    try:
        described = workspace.workers.ask(Describe(), Described)
    except TaskUnavailable:
        raise  # nothing is wrong with the files
    except TaskFailed as error:
        raise DeclarationInvalid(str(error)) from None
    now = workspace.clock.now()
    with workspace.database.read() as tx:
        known = tx.values.items("product:")
        _need_same_tasks(tx, workspace.specs(tx), described.products)
        ground = {name: tx.values.get(name) for name in ("environment", "code")}
    renew_snapshots(workspace, described.products)
    changed = [spec for spec in described.products if known.get(f"product:{spec.name}") != spec.to_json()]
    if not changed and ground == {"environment": described.environment, "code": described.code}:
        return described.products
    with workspace.database.write() as tx:
        tx.values.put("environment", described.environment)
        tx.values.put("code", described.code)
        for spec in changed:
            text, new = spec.to_json(), f"product:{spec.name}" not in known
            tx.values.put(f"product:{spec.name}", text)
            if new:
                tx.values.put(f"declared:{spec.name}", time_text(now))
            _serve_as_declared(tx, spec)
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


def _need_same_tasks(
    tx: Transaction, known: Mapping[str, ProductSpec], products: Iterable[ProductSpec]
) -> None:
    """Refuse a task of another kind than a product's versions are for: their answers cannot be held against others."""
    faults = tuple(
        Fault(
            spec.name,
            f"is declared as {type(spec.task).__name__}, and its versions are for {type(before.task).__name__}.",
            "Declare a product of another name.",
        )
        for spec in products
        if (before := known.get(spec.name)) is not None
        and type(before.task) is not type(spec.task)
        and tx.registry.versions(spec.name)
    )
    if faults:
        raise DeclarationInvalid(str(Faults("The declaration", faults)))


def _serve_as_declared(tx: Transaction, spec: ProductSpec) -> None:
    """Publish a route in force anew when it logs or looks up otherwise: that must not wait for the next version."""
    for route in tx.rollouts.routes():
        if route.product == spec.name and (told := route.declared_as(spec)) != route:
            tx.rollouts.put_route(replace(told, number=route.number + 1))
