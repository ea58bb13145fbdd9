"""Making the product files known: each change of a declaration is an event, and code and environment are kept."""

from __future__ import annotations

__all__ = ["DeclarationInvalid", "declare", "refused_files"]

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import time_text
from mainspring.errors import Fault, Faults, Invalid
from mainspring.events import Event, EventType
from mainspring.governance.approval import PolicyVersion
from mainspring.operate.data.publish import renew_snapshots
from mainspring.operate.tasks import Describe, Described
from mainspring.operate.workers import TaskFailed, TaskUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


_REFUSED = "refused_files"


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
        A file does not import, contradicts itself, gives a product that has versions a task of another kind, or takes
        the name of a model that a client has registered. What it declared before stays in force, and the others are
        declared.
    """
    try:
        described = workspace.workers.ask(Describe(), Described)
    except TaskUnavailable:
        raise  # nothing is wrong with the files
    except TaskFailed as error:
        raise DeclarationInvalid(str(error)) from None
    with workspace.database.read() as tx:
        known = tx.values.items("product:")
        refused = (
            described.refused
            | _of_other_tasks(tx, workspace.specs(tx), described.products)
            | _of_taken_names(tx, described.products)
        )
        told = refused_files(tx)
        ground = {name: tx.values.get(name) for name in ("environment", "code")}
    sound = tuple(spec for spec in described.products if spec.file not in refused)
    renew_snapshots(workspace, sound)
    changed = [spec for spec in sound if known.get(f"product:{spec.name}") != spec.to_json()]
    present = {"environment": described.environment, "code": described.code}
    if changed or ground != present or told != refused:
        _record(workspace, present, refused, changed, actor)
    if refused:
        raise DeclarationInvalid("\n".join(dict.fromkeys(refused.values())))
    return sound


def refused_files(tx: Transaction) -> dict[str, str]:
    """Say of each product file that is at fault, by its place below the workspace's folder, what is wrong with it."""
    return msgspec.json.decode(tx.values.get(_REFUSED) or "{}", type=dict[str, str])


def _record(
    workspace: Workspace,
    ground: Mapping[str, str],
    refused: Mapping[str, str],
    changed: Sequence[ProductSpec],
    actor: str,
) -> None:
    now = workspace.clock.now()
    with workspace.database.write() as tx:
        for name, value in (*ground.items(), (_REFUSED, msgspec.json.encode(refused).decode())):
            tx.values.put(name, value)
        for spec in changed:
            text, new = spec.to_json(), tx.values.get(f"product:{spec.name}") is None
            tx.values.put(f"product:{spec.name}", text)
            if new:
                tx.values.put(f"declared:{spec.name}", time_text(now))
                tx.registry.reserve(spec.name, now)
            _serve_as_declared(tx, spec)
            _declare_policy(tx, spec, at=now, actor=actor)
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


def _of_other_tasks(
    tx: Transaction, known: Mapping[str, ProductSpec], products: Iterable[ProductSpec]
) -> dict[str, str]:
    """Refuse a task of another kind than a product's versions are for: their answers cannot be held against others."""
    faults: dict[str, list[Fault]] = defaultdict(list)
    for spec in products:
        before, now = (type(each.task) for each in (known.get(spec.name, spec), spec))
        if before is not now and tx.registry.versions(spec.name):
            what = f"is declared as {now.__name__}, and its versions are for {before.__name__}."
            faults[spec.file].append(Fault(spec.name, what, "Declare a product of another name."))
    return {file: str(Faults("The declaration", tuple(each))) for file, each in faults.items()}


def _of_taken_names(tx: Transaction, products: Iterable[ProductSpec]) -> dict[str, str]:
    """Refuse a product of whose name a client has registered a model: its versions would be counted among others."""
    faults: dict[str, list[Fault]] = defaultdict(list)
    for spec in products:
        if tx.registry.is_taken(spec.name):
            what = (
                f"is declared as a product, and a client has registered a model of this name: {spec.name!r}."
            )
            faults[spec.file].append(
                Fault(spec.name, what, "Declare a product of another name, or rename that model before.")
            )
    return {file: str(Faults("The declaration", tuple(each))) for file, each in faults.items()}


def _serve_as_declared(tx: Transaction, spec: ProductSpec) -> None:
    """Publish a route in force anew when it logs or looks up otherwise: that must not wait for the next version."""
    for route in tx.rollouts.routes():
        if route.product == spec.name and (told := route.declared_as(spec)) != route:
            tx.rollouts.put_route(replace(told, number=route.number + 1))


def _declare_policy(tx: Transaction, spec: ProductSpec, *, at: datetime, actor: str) -> None:
    """Number the policy that a product declares, in the transaction that makes the declaration known."""
    before = tx.approvals.policy(spec.name)
    if (before.policy if before else None) == spec.approval:
        return
    number = 1 + (before.number if before else 0)
    tx.approvals.declare(
        PolicyVersion(product=spec.name, number=number, policy=spec.approval, declared_at=at)
    )
    tx.ledger.append(
        Event(
            type=EventType.APPROVAL_POLICY_DECLARED,
            subject=spec.name,
            at=at,
            actor=actor,
            reason=f"{spec.file} declares policy {number}"
            if spec.approval
            else f"{spec.file} asks for no approval",
            data={"policy": number, "declared": msgspec.to_builtins(spec.approval)},
        )
    )
