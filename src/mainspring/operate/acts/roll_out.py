"""Registering, rolling out, promoting and rolling back; aliases, rollout and route move in one transaction."""

from __future__ import annotations

__all__ = ["advance", "begin_rollout", "keep_champion", "promote", "register"]

from dataclasses import replace
from typing import TYPE_CHECKING

from mainspring.digest import Digest
from mainspring.events import EventType
from mainspring.loop import (
    Cycle,
    CycleOutcome,
    CycleState,
    RolloutFact,
)
from mainspring.operate.acts.judge import read_package
from mainspring.operate.acts.stage import Stage
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion
from mainspring.rollouts import Challenger, Phase, Rollout, Route, Variant

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction


def register(stage: Stage, cycle: Cycle) -> None:
    """Register the candidate that passed as the next version."""
    spec = stage.spec
    with stage.workspace.database.read() as tx:
        run = tx.runs.get(cycle.run_id)
    outputs = {step["name"]: step["output"] for step in run.steps}
    package = read_package(stage.workspace, outputs[spec.steps[-1].name])
    stage.boundary("within Register")
    with stage.workspace.database.write() as tx:
        number = 1 + max((each.number for each in tx.registry.versions(spec.name)), default=0)
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
                "package": outputs[spec.steps[-1].name],
                "snapshot": tx.values.get("code"),
                "code": {step.name: step.code for step in spec.steps},
                "environment": tx.values.get("environment"),
                "params": dict(cycle.params),
                "seed": spec.seed,
                "steps": [dict(step) for step in run.steps],
                "served": package.serving(),
            },
            metrics=cycle.metrics,
            reference=Digest(outputs["judge"]),
            reason=f"cycle {cycle.number} ({cycle.trigger.value}: {cycle.evidence}) {cycle.verdict}",
            registered_at=stage.now,
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


def begin_rollout(stage: Stage, cycle: Cycle) -> None:
    """Begin to roll a version out; the first one of a product is promoted at once."""
    spec = stage.spec
    assert cycle.version is not None  # the state says registered
    with stage.workspace.database.write() as tx:
        champion = tx.registry.aliases(spec.name).get("champion")
        if champion is None:
            fact = RolloutFact(kind="promote", reason="the first version has no champion to be compared with")
            _make_champion(stage, tx, cycle, None, fact)
            stage.boundary("within BeginRollout")
            return
        rollout = Rollout.start(
            rollout_id=cycle.cycle_id,
            product=spec.name,
            champion=champion,
            challenger=cycle.version,
            steps=spec.rollout.steps,
            at=stage.now,
        )
        tx.rollouts.put(rollout)
        tx.registry.move(
            spec.name,
            "challenger",
            expected=tx.registry.aliases(spec.name).get("challenger"),
            to=cycle.version,
        )
        _route(stage, tx, rollout)
        tx.loop.move(replace(cycle, state=CycleState.ROLLING_OUT), expected=cycle.state)
        stage.event(
            tx,
            EventType.ROLLOUT_STARTED,
            ModelRef(spec.name, cycle.version),
            f"canary against {ModelRef(spec.name, champion)}, first with {rollout.share:.0%} of the units",
            cycle=cycle.cycle_id,
            champion=champion,
            steps=list(rollout.steps),
        )
        stage.boundary("within BeginRollout")


def advance(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Go to the next step."""
    with stage.workspace.database.write() as tx:
        rollout = _running(tx, cycle).advanced(stage.now)
        tx.rollouts.put(rollout)
        _route(stage, tx, rollout)
        stage.event(
            tx,
            EventType.ROLLOUT_ADVANCED,
            ModelRef(cycle.product, rollout.challenger),
            f"{fact.reason}; now {rollout.share:.0%} of the units",
            cycle=cycle.cycle_id,
            evidence=list(fact.evidence),
        )
        stage.boundary("within Advance")


def promote(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Make the challenger champion, and close the cycle."""
    with stage.workspace.database.write() as tx:
        rollout = _running(tx, cycle)
        tx.rollouts.put(rollout.ended(Phase.PROMOTED))
        tx.registry.move(cycle.product, "challenger", expected=rollout.challenger, to=None)
        _make_champion(stage, tx, cycle, rollout.champion, fact)
        stage.boundary("within Promote")


def _make_champion(
    stage: Stage, tx: Transaction, cycle: Cycle, before: int | None, fact: RolloutFact
) -> None:
    assert cycle.version is not None  # only registered versions come here
    tx.registry.move(cycle.product, "champion", expected=before, to=cycle.version)
    _route(stage, tx, None)
    stage.event(
        tx,
        EventType.ROLLOUT_PROMOTED,
        ModelRef(cycle.product, cycle.version),
        fact.reason,
        cycle=cycle.cycle_id,
        before=before,
        evidence=list(fact.evidence),
    )
    stage.close(tx, cycle, CycleOutcome.PROMOTED, fact.reason)


def keep_champion(
    stage: Stage, cycle: Cycle, fact: RolloutFact, phase: Phase, outcome: CycleOutcome, kind: EventType
) -> None:
    """End a rollout without promotion, and close the cycle."""
    with stage.workspace.database.write() as tx:
        rollout = _running(tx, cycle)
        tx.rollouts.put(rollout.ended(phase))
        tx.registry.move(cycle.product, "challenger", expected=rollout.challenger, to=None)
        _route(stage, tx, None)
        stage.event(
            tx,
            kind,
            ModelRef(cycle.product, rollout.challenger),
            fact.reason,
            cycle=cycle.cycle_id,
            champion=rollout.champion,
            evidence=list(fact.evidence),
        )
        stage.close(tx, cycle, outcome, fact.reason)
        stage.boundary(f"within {phase.value}")


def _running(tx: Transaction, cycle: Cycle) -> Rollout:
    rollout = tx.rollouts.running(cycle.product)
    assert rollout is not None  # the cycle's state says that it is rolling out
    return rollout


def _route(stage: Stage, tx: Transaction, rollout: Rollout | None) -> None:
    """Publish the route that follows from the aliases and the rollout, in the transaction that moves them."""
    product = stage.spec.name
    number = 1 + max((each.number for each in tx.rollouts.routes() if each.product == product), default=0)
    aliases = tx.registry.aliases(product)

    def variant(version: int) -> Variant:
        return Variant(version=version, artifact=tx.registry.get(ModelRef(product, version)).artifact)

    tx.rollouts.put_route(
        Route(
            product=product,
            number=number,
            champion=variant(aliases["champion"]),
            challengers=(Challenger(variant=variant(rollout.challenger), share=rollout.share),)
            if rollout
            else (),
            salt=rollout.salt if rollout else "none",
            split_by=stage.spec.rollout.split_by,
            inputs=stage.spec.inputs,
        )
    )
