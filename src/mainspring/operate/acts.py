"""The acts of a cycle. Each is one piece of work, then one transaction that records it together with its event.

Killed before its transaction, an act has changed nothing and is done again: what it had finished is found by content.
"""

from __future__ import annotations

__all__ = ["carry_out"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest, digest_of_json
from mainspring.engines import WorkerDied
from mainspring.events import Event, EventType
from mainspring.gates import Evaluation, Outcome, Servability, Verdict, judge
from mainspring.loop import (
    Action,
    Advance,
    BeginRollout,
    Cycle,
    CycleOutcome,
    CycleState,
    Expire,
    Hold,
    Judge,
    Promote,
    Register,
    RollBack,
    RolloutFact,
    Start,
    Train,
    cycle_id,
)
from mainspring.operate.packaging import Package
from mainspring.operate.tasks import BuildExamples, Built, JudgeCandidate, Judged, Probed, ProbeModel, RunStep
from mainspring.operate.workers import Ask, TaskFailed
from mainspring.pipelines import Run, RunState, StepKey, StepRecord, explain
from mainspring.product import ProductSpec, Servable
from mainspring.ref import DataRef, ModelRef
from mainspring.registry import ModelVersion
from mainspring.rollouts import Phase, Rollout, Route, Variant

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

LOOP = "loop"
_PARITY = 1e-5


@dataclass(frozen=True, slots=True)
class Stage:
    """What every act of a cycle is given."""

    workspace: Workspace
    spec: ProductSpec
    boundary: Callable[[str], None]

    @property
    def now(self) -> datetime:
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


def carry_out(
    workspace: Workspace,
    spec: ProductSpec,
    action: Action,
    boundary: Callable[[str], None] = lambda place: None,
) -> None:
    """Do what the loop has decided.

    Parameters
    ----------
    workspace : Workspace
        What to do it with.
    spec : ProductSpec
        Whose loop.
    action : Action
        The decision.
    boundary : callable
        Told where the act stands: before it, when its work is done and nothing is committed, and when all is.
    """
    stage, kind = Stage(workspace, spec, boundary), type(action).__name__
    boundary(f"before {kind}")
    started = time.perf_counter()
    match action:
        case Start():
            _start(stage, action)
        case Hold():
            _hold(stage, action)
        case Train(cycle):
            _train(stage, cycle)
        case Judge(cycle):
            _judge(stage, cycle)
        case Register(cycle):
            _register(stage, cycle)
        case BeginRollout(cycle):
            _begin_rollout(stage, cycle)
        case Advance(cycle, fact):
            _advance(stage, cycle, fact)
        case Promote(cycle, fact):
            _promote(stage, cycle, fact)
        case RollBack(cycle, fact):
            _keep_champion(
                stage, cycle, fact, Phase.ROLLED_BACK, CycleOutcome.ROLLED_BACK, EventType.ROLLOUT_ROLLED_BACK
            )
        case Expire(cycle, fact):
            _keep_champion(stage, cycle, fact, Phase.EXPIRED, CycleOutcome.EXPIRED, EventType.ROLLOUT_EXPIRED)
    boundary(f"after {kind}")
    if isinstance(action, Train | Judge):
        # Measured figures differ between two replays, so they stay out of the ledger.
        with workspace.database.write() as tx:
            tx.values.put(
                f"seconds:{action.cycle.cycle_id}:{kind.lower()}", f"{time.perf_counter() - started:.3f}"
            )


# --- starting ----------------------------------------------------------------------------------------------------


def _start(stage: Stage, action: Start) -> None:
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
            evidence=action.evidence,
            actor=request.actor if request else LOOP,
            params=request.params if request else {},
            data=data,
            opened_at=stage.now,
        )
        tx.loop.open(cycle)
        if request:
            tx.loop.take_up(request.request_id, cycle.cycle_id)
        stage.event(
            tx,
            EventType.CYCLE_STARTED,
            f"{spec.name}/{number}",
            action.evidence,
            actor=cycle.actor,
            cycle=cycle.cycle_id,
            trigger=action.trigger.value,
            cause=action.cause,
            params=dict(cycle.params),
            data=[str(DataRef(name, version)) for name, version in sorted(data.items())],
        )
        stage.boundary("within Start")


def _newest(tx: Transaction, dataset: str) -> int:
    version = tx.data.newest(dataset)
    assert version is not None  # decide starts nothing before every dataset has a version
    return version.number


def _hold(stage: Stage, action: Hold) -> None:
    with stage.workspace.database.write() as tx:
        tx.values.put(f"held:{stage.spec.name}:{action.cause}", action.trigger.value)
        stage.event(
            tx,
            EventType.TRIGGER_HELD,
            stage.spec.name,
            f"{action.evidence}; cooling down until {action.until:%Y-%m-%d %H:%M}",
            trigger=action.trigger.value,
            cause=action.cause,
        )


# --- training ----------------------------------------------------------------------------------------------------


def _train(stage: Stage, cycle: Cycle) -> None:
    run = Run(
        run_id=cycle.run_id,
        product=cycle.product,
        cycle_id=cycle.cycle_id,
        state=RunState.RUNNING,
        params=cycle.params,
        data=tuple(str(DataRef(name, version)) for name, version in sorted(cycle.data.items())),
        started_at=stage.now,
    )
    with stage.workspace.database.write() as tx:
        tx.runs.put(run)
    try:
        with stage.workspace.workers.fresh() as ask:
            steps = _run_steps(stage, cycle, ask)
    except (TaskFailed, WorkerDied) as error:
        with stage.workspace.database.write() as tx:
            tx.runs.put(replace(run, state=RunState.FAILED, error=str(error)))
            stage.event(tx, EventType.RUN_FAILED, run.run_id, str(error), cycle=cycle.cycle_id)
            stage.close(tx, cycle, CycleOutcome.FAILED, f"training failed: {error}")
        return
    metrics = _package(stage.workspace, steps[-1]["output"]).metrics
    stage.boundary("within Train")
    with stage.workspace.database.write() as tx:
        tx.runs.put(replace(run, state=RunState.COMPLETED, steps=tuple(steps), metrics=metrics))
        tx.loop.move(replace(cycle, state=CycleState.TRAINED), expected=cycle.state)
        reused = sum(each["reused"] == "yes" for each in steps)
        stage.event(
            tx,
            EventType.RUN_COMPLETED,
            run.run_id,
            f"{len(steps)} steps gave a model, {reused} of them reused",
            cycle=cycle.cycle_id,
            data=list(run.data),
            environment=tx.values.get("environment"),
            snapshot=tx.values.get("code"),
            seed=stage.spec.seed,
            steps=steps,
            metrics=metrics,
        )


def _run_steps(stage: Stage, cycle: Cycle, ask: Ask) -> list[Mapping[str, str]]:
    spec, database = stage.spec, stage.workspace.database
    with database.read() as tx:
        environment = tx.values.get("environment") or ""
        versions = {name: tx.data.get(DataRef(name, number)) for name, number in cycle.data.items()}
    as_of = max(version.published_at for version in versions.values())
    inputs = {name: version.digest for name, version in versions.items()} | {"as_of": as_of.isoformat()}
    declared = msgspec.to_builtins((spec.data, spec.sources, spec.inputs, spec.features, spec.task))
    key = StepKey(
        step="examples",
        code=digest_of_json(declared),
        environment=environment,
        params={},
        seed=0,
        inputs=inputs,
    )
    tables = {name: version.table_version for name, version in versions.items()}
    build = BuildExamples(product=spec.name, declared=spec.digest, tables=tables, as_of=as_of)
    records = [_find_or_make(stage, cycle, key, partial(ask, build, Built))]
    for position, step in enumerate(spec.steps):
        changed = {
            name.removeprefix(f"{step.name}."): value
            for name, value in cycle.params.items()
            if name.startswith(f"{step.name}.")
        }
        before = records[-1][0]
        key = StepKey(
            step=step.name,
            code=step.code,
            environment=environment,
            params=step.params | changed,
            seed=spec.seed,
            inputs={before.key.step: before.output} | ({"holdout": spec.holdout} if position == 0 else {}),
        )
        task = RunStep(
            product=spec.name,
            declared=spec.digest,
            step=step.name,
            params=key.params,
            seed=spec.seed,
            input=before.output,
            examples=position == 0,
            as_of=as_of,
        )
        records.append(_find_or_make(stage, cycle, key, partial(ask, task, Built)))
    return [_told(record, why, cycle) for record, why in records]


def _find_or_make(
    stage: Stage, cycle: Cycle, key: StepKey, make: Callable[[], Built]
) -> tuple[StepRecord, str]:
    database = stage.workspace.database
    with database.read() as tx:
        record = tx.runs.find_step(key.digest)
        earlier = tx.runs.earlier_steps(stage.spec.name, key.step) if record is None else ()
    if record is not None and stage.workspace.blobs.has(record.output):
        return record, record.reason if record.run_id == cycle.run_id else f"same key as in {record.run_id}"
    built = make()
    stage.boundary(f"within step {key.step}")
    with database.write() as tx:
        record = tx.runs.add_step(
            StepRecord(
                key=key,
                output=Digest(built.output),
                run_id=cycle.run_id,
                reason=explain(key, [each.key for each in earlier]),
            )
        )
    return record, record.reason


def _told(record: StepRecord, why: str, cycle: Cycle) -> Mapping[str, str]:
    return {
        "name": record.key.step,
        "key": record.key.digest,
        "output": record.output,
        "reused": "no" if record.run_id == cycle.run_id else "yes",
        "why": why,
    }


# --- judging -----------------------------------------------------------------------------------------------------


def _judge(stage: Stage, cycle: Cycle) -> None:
    workspace, spec = stage.workspace, stage.spec
    with workspace.database.read() as tx:
        run = tx.runs.get(cycle.run_id)
        champion_package = _champion_package(tx, spec.name)
        as_of = max(tx.data.get(DataRef(name, number)).published_at for name, number in cycle.data.items())
    outputs = {step["name"]: step["output"] for step in run.steps}
    candidate_package = outputs[spec.steps[-1].name]
    champion: Evaluation | None = None
    reference = ""
    try:
        judged = workspace.workers.ask(
            JudgeCandidate(
                product=spec.name,
                declared=spec.digest,
                examples=outputs["examples"],
                candidate=candidate_package,
                champion=champion_package,
                as_of=as_of,
            ),
            Judged,
        )
        candidate = _evaluation(judged.candidate)
        champion = _evaluation(judged.champion) if judged.champion else None
        reference = judged.reference
        if any(isinstance(gate, Servable) for gate in spec.gates):
            candidate = replace(candidate, servability=_servability(stage, candidate_package, judged.sample))
    except (TaskFailed, WorkerDied) as error:
        candidate = Evaluation.failed(str(error))
        # A champion exists: the comparison with it could not be made, which must not read as "there is none".
        champion = Evaluation.failed(str(error)) if champion_package else None
    verdict = judge(spec.gates, candidate, champion)
    stage.boundary("within Judge")
    with workspace.database.write() as tx:
        short = _short(verdict)
        judged_cycle = replace(
            cycle,
            verdict=short,
            metrics={name: value for name, value in candidate.metrics.items() if value is not None},
            state=CycleState.JUDGED,
        )
        stage.event(
            tx,
            EventType.CANDIDATE_JUDGED,
            f"{spec.name}/{cycle.number}",
            short,
            cycle=cycle.cycle_id,
            package=candidate_package,
            reference=reference,
            verdict=verdict.to_dict(),
        )
        if verdict.passed:
            tx.runs.put(replace(run, steps=(*run.steps, {"name": "judge", "output": reference})))
            tx.loop.move(judged_cycle, expected=cycle.state)
        else:
            tx.loop.move(judged_cycle, expected=cycle.state)
            stage.close(tx, judged_cycle, CycleOutcome.REFUSED, short)


def _evaluation(text: str) -> Evaluation:
    return Evaluation.from_dict(msgspec.json.decode(text))


def _champion_package(tx: Transaction, product: str) -> str | None:
    """The champion's package, as the output of its run's last step."""
    number = tx.registry.aliases(product).get("champion")
    if number is None:
        return None
    return str(tx.registry.get(ModelRef(product, number)).lineage["package"])


def _servability(stage: Stage, package: str, sample: str) -> Servability:
    workspace = stage.workspace
    artifact = _package(workspace, package).artifact
    parity = _package(workspace, package).parity
    if not parity.passed:
        return Servability(
            parity=False,
            p99_ms=None,
            error=f"packaged and trained model differ on {parity.rows_over} of {parity.rows} rows, "
            f"by up to {parity.max_abs_diff:.2g}",
        )
    try:
        probed = workspace.workers.probe(
            ProbeModel(artifact=artifact, sample=sample), Probed, workspace.settings.state / "blobs"
        )
    except (TaskFailed, WorkerDied) as error:
        return Servability(parity=False, p99_ms=None, error=str(error))
    p99_s = workspace.clock.took(probed.p99_s, f"servable {artifact}")
    return Servability(parity=probed.difference <= _PARITY, p99_ms=1000 * p99_s)


def _package(workspace: Workspace, digest: str) -> Package:
    return msgspec.json.decode(workspace.blobs.get(Digest(digest)), type=Package)


def _short(verdict: Verdict) -> str:
    failed = [check for check in verdict.checks if check.outcome is not Outcome.PASSED]
    if not failed:
        return f"passed all {len(verdict.checks)} checks"
    said = "; ".join(
        f"{check.gate} on {check.subject}: {check.outcome.value}, {check.reason}" for check in failed[:3]
    )
    return said + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")


# --- registering and rolling out ---------------------------------------------------------------------------------


def _register(stage: Stage, cycle: Cycle) -> None:
    spec = stage.spec
    with stage.workspace.database.read() as tx:
        run = tx.runs.get(cycle.run_id)
    outputs = {step["name"]: step["output"] for step in run.steps}
    package = _package(stage.workspace, outputs[spec.steps[-1].name])
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


def _begin_rollout(stage: Stage, cycle: Cycle) -> None:
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


def _advance(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
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


def _promote(stage: Stage, cycle: Cycle, fact: RolloutFact) -> None:
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


def _keep_champion(
    stage: Stage, cycle: Cycle, fact: RolloutFact, phase: Phase, outcome: CycleOutcome, kind: EventType
) -> None:
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
            challenger=variant(rollout.challenger) if rollout else None,
            share=rollout.share if rollout else 0.0,
            salt=rollout.salt if rollout else "none",
            split_by=stage.spec.rollout.split_by,
            inputs=stage.spec.inputs,
        )
    )
