"""Registering what has passed: a version with its folder, its signed manifest and its lineage."""

from __future__ import annotations

__all__ = ["register"]

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest
from mainspring.events import EventType
from mainspring.loop import Cycle, CycleState
from mainspring.operate.acts.judge import REFIT, read_package
from mainspring.operate.acts.stage import Stage
from mainspring.operate.acts.steps import packaging_step
from mainspring.operate.cards import words_of
from mainspring.operate.model_folder import Origin, describe
from mainspring.operate.webhooks import tell
from mainspring.ref import DataRef, ModelRef
from mainspring.registry import ModelVersion
from mainspring.registry.manifest import seal

if TYPE_CHECKING:
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction


def register(stage: Stage, cycle: Cycle) -> None:
    """Register the candidate that passed as the next version."""
    spec = stage.spec
    with stage.workspace.database.read() as tx:
        run = tx.runs.get(cycle.run_id)
    outputs = {step["name"]: step["output"] for step in run.steps}
    judged = outputs[packaging_step(spec, cycle)]
    registered = outputs.get(REFIT, judged)
    package = read_package(stage.workspace, registered)
    with stage.workspace.database.read() as tx:
        # One loop alone registers versions of a product: another's would take the number first, and this be done again.
        number = 1 + max((each.number for each in tx.registry.versions(spec.name)), default=0)
        code, environment = tx.values.get("code"), tx.values.get("environment")
        data = {ref: str(tx.data.get(DataRef.parse(ref)).digest) for ref in run.data}
    origin = Origin(
        ref=ModelRef(spec.name, number),
        run_id=run.run_id,
        package=registered,
        registered_at=stage.now,
        data=data,
        code=code or "",
        environment=environment or "",
        reference=outputs["judge"],
        inputs=spec.inputs,
    )
    blobs = stage.workspace.blobs
    manifest = blobs.put(seal(describe(package, origin, blobs), stage.workspace.secret))
    stage.boundary("within Register")
    with stage.workspace.database.write() as tx:
        version = ModelVersion(
            product=spec.name,
            number=number,
            cycle_id=cycle.cycle_id,
            run_id=run.run_id,
            artifact=Digest(package.artifact),
            native=Digest(package.native),
            signature=package.signature.to_json(),
            data=run.data,
            lineage={
                "package": registered,
                "manifest": manifest,
                **({"judged": judged} if registered != judged else {}),
                **_made_of(tx, spec, cycle),
                "environment": environment,
                "steps": [dict(step) for step in run.steps],
                "served": package.serving(),
                **({"card": words} if (words := words_of(spec)) else {}),
            },
            metrics=cycle.metrics,
            reference=Digest(outputs["judge"]),
            reason=f"cycle {cycle.number} ({cycle.trigger_text}: {cycle.evidence}) {cycle.verdict}",
            registered_at=origin.registered_at,
        )
        tx.registry.add(version)
        tx.loop.move(replace(cycle, state=CycleState.REGISTERED, version=number), expected=cycle.state)
        stage.event(
            tx,
            EventType.MODEL_VERSION_REGISTERED,
            version.ref,
            version.reason,
            cycle=cycle.cycle_id,
            artifact=version.artifact,
            native=version.native,
            data=list(version.data),
            metrics=dict(version.metrics),
            lineage=dict(version.lineage),
        )
        tell(
            tx,
            "model_version.created",
            {
                "name": version.product,
                "version": str(number),
                "source": f"mainspring:/{version.ref}",
                "run_id": version.run_id,
                "tags": {},
                "description": version.reason,
            },
            stage.now,
        )
        if (declared := tx.approvals.policy(spec.name)) is not None and declared.policy is not None:
            stage.event(
                tx,
                EventType.APPROVAL_ASKED,
                version.ref,
                f"policy {declared.number} asks for {declared.policy.told}",
                cycle=cycle.cycle_id,
                policy=declared.number,
            )


def _made_of(tx: Transaction, spec: ProductSpec, cycle: Cycle) -> dict[str, object]:
    """What a version was made of besides data: the product's code, or a model that a client logged."""
    made = {"params": dict(cycle.params), "seed": spec.seed, "snapshot": tx.values.get("code")}
    if cycle.offer is not None:
        return made | {"code": {}, "offer": msgspec.to_builtins(cycle.offer)}
    return made | {"code": {step.name: step.code for step in spec.steps}}
