"""Rolling out, promoting and rolling back; aliases, rollout and route move in one transaction."""

from __future__ import annotations

__all__ = [
    "advance",
    "ask_approval",
    "begin",
    "begin_rollout",
    "close_unapproved",
    "drop_arm",
    "expire",
    "keep_champion",
    "pause",
    "promote",
    "publish_route",
    "record_measurements",
    "roll_back",
    "running",
]

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.events import EventType
from mainspring.governance.approval import Standing
from mainspring.loop import (
    Cycle,
    CycleOutcome,
    CycleState,
    RolloutFact,
)
from mainspring.operate.acts.stage import LOOP, Stage
from mainspring.operate.references import reference_of
from mainspring.operate.verify_version import VersionChanged, need_sound
from mainspring.ref import ModelRef
from mainspring.rollouts import Challenger, Measurement, Mode, Phase, Rollout, Route, Variant
from mainspring.strategy import CANDIDATE, ABTest, Shadow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.loop import ApprovalFact
    from mainspring.stores.sql.database import Transaction
    from mainspring.strategy import Strategy

_SLICES = 20
"""Values of a column that are slices of their own; the others are one together."""


def close_unapproved(stage: Stage, cycle: Cycle, approval: ApprovalFact) -> None:
    """End the cycle of a version that people have refused, or not approved in time; it stays registered."""
    refused = approval.standing == Standing.REFUSED
    with stage.workspace.database.write() as tx:
        stage.close(tx, cycle, CycleOutcome.REFUSED if refused else CycleOutcome.EXPIRED, approval.reason)
        stage.boundary("within NotApproved")


def begin_rollout(stage: Stage, cycle: Cycle) -> None:
    """Begin to roll a version out; the first one of a product is promoted at once."""
    spec = stage.spec
    assert cycle.version is not None  # the state says registered
    if why := _changed(stage, cycle.version):
        with stage.workspace.database.write() as tx:
            stage.close(tx, cycle, CycleOutcome.FAILED, why)
        return
    with stage.workspace.database.write() as tx:
        champion = tx.registry.aliases(spec.name).get("champion")
        if champion is None:
            fact = RolloutFact(kind="promote", reason="the first version has no champion to be compared with")
            _make_champion(stage, tx, cycle, cycle.version, None, fact)
            stage.boundary("within BeginRollout")
            return
        begin(stage, tx, cycle, champion, spec.rollout)
        tx.loop.move(replace(cycle, state=CycleState.ROLLING_OUT), expected=cycle.state)
        stage.boundary("within BeginRollout")


def begin(
    stage: Stage, tx: Transaction, cycle: Cycle, champion: int, strategy: Strategy, *, actor: str = LOOP
) -> Rollout:
    """Begin the rollout of a cycle's version against the champion, in a transaction; its state is the caller's."""
    product, version = cycle.product, cycle.version
    assert version is not None  # it is registered
    strategy, challengers, left_out = _arms(tx, product, strategy, champion, version)
    rollout = Rollout.start(
        rollout_id=cycle.cycle_id,
        product=product,
        champion=champion,
        challengers=challengers,
        strategy=strategy,
        at=stage.now,
        slices=_slices(stage, tx, strategy, champion),
    )
    tx.rollouts.put(rollout)
    before = tx.registry.aliases(product).get("challenger")
    stage.move_alias(tx, product, "challenger", expected=before, to=version)
    publish_route(stage, tx, rollout)
    stage.event(
        tx,
        EventType.ROLLOUT_STARTED,
        ModelRef(product, version),
        f"{type(strategy).__name__} against {ModelRef(product, champion)}, first {_standing(rollout)}",
        actor=actor,
        cycle=cycle.cycle_id,
        champion=champion,
        challengers=list(challengers),
        left_out=left_out,
        strategy=msgspec.to_builtins(strategy),
    )
    return rollout


def advance(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Go to the next step."""
    with stage.workspace.database.write() as tx:
        rollout = running(tx, cycle).advanced(stage.now)
        tx.rollouts.put(rollout)
        publish_route(stage, tx, rollout)
        _tell(stage, tx, cycle, EventType.ROLLOUT_ADVANCED, f"{fact.reason}; now {_standing(rollout)}", fact)
        stage.boundary("within Advance")


def record_measurements(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Record the measurements that were due."""
    with stage.workspace.database.write() as tx:
        rollout = running(tx, cycle)
        measured = msgspec.convert(fact.measurements, dict[str, Measurement])
        for name, measurement in measured.items():
            tx.rollouts.measure(rollout.step_id, name, measurement)
        told = ", ".join(f"{name}: {each.result.value}" for name, each in measured.items())
        stage.event(
            tx,
            EventType.ROLLOUT_MEASURED,
            ModelRef(cycle.product, rollout.challenger),
            told,
            cycle=cycle.cycle_id,
            measurements=msgspec.to_builtins(measured),
        )
        stage.boundary("within Measure")


def drop_arm(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Give the units of one challenger, of several, to the champion."""
    assert fact.version is not None  # the decision says which
    with stage.workspace.database.write() as tx:
        rollout = running(tx, cycle).without(fact.version)
        tx.rollouts.put(rollout)
        publish_route(stage, tx, rollout)
        _tell(stage, tx, cycle, EventType.ROLLOUT_ARM_DROPPED, fact.reason, fact, version=fact.version)
        stage.boundary("within DropArm")


def pause(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Let the rollout stand until a person has looked."""
    with stage.workspace.database.write() as tx:
        tx.rollouts.put(running(tx, cycle).paused(stage.now))
        _tell(stage, tx, cycle, EventType.ROLLOUT_PAUSED, fact.reason, fact)
        stage.boundary("within Pause")


def ask_approval(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Let the rollout wait for a person's approval."""
    with stage.workspace.database.write() as tx:
        tx.rollouts.put(running(tx, cycle).awaiting_approval())
        _tell(stage, tx, cycle, EventType.ROLLOUT_APPROVAL_ASKED, fact.reason, fact)
        stage.boundary("within AskApproval")


def promote(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """Make a challenger champion, and close the cycle."""
    assert fact.version is not None  # the decision says which
    why = _changed(stage, fact.version)
    with stage.workspace.database.write() as tx:
        rollout = running(tx, cycle)
        if why:
            keep_champion(stage, tx, cycle, rollout.rolled_back(), why)
            return
        tx.rollouts.put(rollout.promoted())
        stage.move_alias(tx, cycle.product, "challenger", expected=rollout.challenger, to=None)
        _make_champion(stage, tx, cycle, fact.version, rollout.champion, fact)
        stage.boundary("within Promote")


def keep_champion(
    stage: Stage,
    tx: Transaction,
    cycle: Cycle,
    ended: Rollout,
    reason: str,
    *,
    actor: str = LOOP,
    evidence: Sequence[Mapping[str, object]] = (),
) -> None:
    """End a rollout without promotion, and close the cycle, in a transaction."""
    outcome, kind = {
        Phase.ROLLED_BACK: (CycleOutcome.ROLLED_BACK, EventType.ROLLOUT_ROLLED_BACK),
        Phase.EXPIRED: (CycleOutcome.EXPIRED, EventType.ROLLOUT_EXPIRED),
        Phase.ABORTED: (CycleOutcome.ABORTED, EventType.ROLLOUT_ABORTED),
    }[ended.phase]
    tx.rollouts.put(ended)
    stage.move_alias(tx, cycle.product, "challenger", expected=ended.challenger, to=None)
    publish_route(stage, tx, None)
    stage.event(
        tx,
        kind,
        ModelRef(cycle.product, ended.challenger),
        reason,
        actor=actor,
        cycle=cycle.cycle_id,
        champion=ended.champion,
        evidence=list(evidence),
    )
    stage.close(tx, cycle, outcome, reason)
    stage.boundary(f"within {ended.phase.value}")


def roll_back(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """End with the champion kept, because of harm."""
    with stage.workspace.database.write() as tx:
        ended = running(tx, cycle).rolled_back()
        keep_champion(stage, tx, cycle, ended, fact.reason, evidence=fact.evidence)


def expire(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
    """End with the champion kept, undecided."""
    with stage.workspace.database.write() as tx:
        ended = running(tx, cycle).expired()
        keep_champion(stage, tx, cycle, ended, fact.reason, evidence=fact.evidence)


def _changed(stage: Stage, version: int) -> str:
    """Why a version must not be served, because it is not what was registered; nothing where it is."""
    with stage.workspace.database.read() as tx:
        found = tx.registry.get(ModelRef(stage.spec.name, version))
    try:
        need_sound(stage.workspace, found)
    except VersionChanged as error:
        return str(error)
    return ""


def running(tx: Transaction, cycle: Cycle) -> Rollout:
    """Give the rollout of a cycle whose state says that it is rolling out."""
    rollout = tx.rollouts.running(cycle.product)
    assert rollout is not None  # as the cycle's state says
    return rollout


def publish_route(stage: Stage, tx: Transaction, rollout: Rollout | None) -> None:
    """Publish the route that follows from the aliases and the rollout, in the transaction that moves them."""
    product = stage.spec.name
    number = 1 + max((each.number for each in tx.rollouts.routes() if each.product == product), default=0)
    aliases = tx.registry.aliases(product)

    def variant(version: int) -> Variant:
        return Variant(version=version, artifact=tx.registry.get(ModelRef(product, version)).artifact)

    parts = rollout.parts if rollout else {}
    shadow_share = rollout.shadow_share if rollout else 0.0
    tx.rollouts.put_route(
        Route(
            product=product,
            number=number,
            champion=variant(aliases["champion"]),
            challengers=tuple(
                Challenger(variant=variant(version), share=parts[version].share, start=parts[version].start)
                for version in (rollout.live if rollout else ())
                if version in parts
            ),
            shadow=variant(rollout.challenger) if rollout and shadow_share else None,
            shadow_share=shadow_share,
            salt=rollout.salt if rollout else "none",
            split_by=rollout.strategy.split_by if rollout else stage.spec.rollout.split_by,
            inputs=stage.spec.inputs,
            log_sample=stage.spec.log_sample,
            online=stage.spec.online,
            entities=stage.spec.entities,
        )
    )


def _make_champion(
    stage: Stage, tx: Transaction, cycle: Cycle, version: int, before: int | None, fact: RolloutFact
) -> None:
    stage.move_alias(tx, cycle.product, "champion", expected=before, to=version)
    publish_route(stage, tx, None)
    stage.event(
        tx,
        EventType.ROLLOUT_PROMOTED,
        ModelRef(cycle.product, version),
        fact.reason,
        cycle=cycle.cycle_id,
        before=before,
        evidence=list(fact.evidence),
    )
    stage.close(tx, cycle, CycleOutcome.PROMOTED, fact.reason)


def _tell(
    stage: Stage,
    tx: Transaction,
    cycle: Cycle,
    kind: EventType,
    reason: str,
    fact: RolloutFact,
    version: int | None = None,
) -> None:
    about = version or running(tx, cycle).challenger
    stage.event(
        tx,
        kind,
        ModelRef(cycle.product, about),
        reason,
        cycle=cycle.cycle_id,
        evidence=list(fact.evidence),
    )


def _arms(
    tx: Transaction, product: str, strategy: Strategy, champion: int, candidate: int
) -> tuple[Strategy, tuple[int, ...], list[str]]:
    """The strategy with the challengers that are there, their versions, and the names of those that are not."""
    test = strategy.then if isinstance(strategy, Shadow) else strategy
    if not isinstance(test, ABTest):
        return strategy, (candidate,), []
    aliases, declared = tx.registry.aliases(product), list(test.shares)
    known = {str(version.number): version.number for version in tx.registry.versions(product)}
    known |= aliases
    found: dict[str, int] = {CANDIDATE: candidate}
    for name in test.shares:
        version = known.get(name)
        if version is not None and version not in (champion, *found.values()):
            found[name] = version
    shares = {name: test.shares[name] for name in found}
    test = msgspec.structs.replace(test, shares=shares)
    strategy = msgspec.structs.replace(strategy, then=test) if isinstance(strategy, Shadow) else test
    return strategy, tuple(found.values()), [name for name in declared if name not in found]


def _slices(stage: Stage, tx: Transaction, strategy: Strategy, champion: int) -> dict[str, tuple[str, ...]]:
    """By column the values that are slices of their own: those that the champion's rows have most of."""
    columns = {column for guard in strategy.guards for column in getattr(guard, "slices", ())}
    if not columns:
        return {}
    digest = tx.registry.get(ModelRef(stage.spec.name, champion)).reference
    inputs, _ = reference_of(stage.workspace.blobs, digest).profiles()
    found = {}
    for name in sorted(columns):
        named = getattr(inputs.columns.get(name), "named", ())
        most = sorted(named, key=lambda pair: (-pair[1], pair[0]))[:_SLICES]
        found[name] = tuple(sorted(value for value, _ in most))
    return found


def _standing(rollout: Rollout) -> str:
    step = rollout.present
    if step is None:
        return "with all units at once"
    match step.mode:
        case Mode.SPLIT:
            return f"with {rollout.share:.0%} of the units"
        case Mode.SHADOW:
            return f"in the shadow of {rollout.shadow_share:.0%} of the units"
        case Mode.REFERENCE:
            return "watched beside it, without units"
        case Mode.SWITCHED:
            return "with all units, the champion kept warm"
