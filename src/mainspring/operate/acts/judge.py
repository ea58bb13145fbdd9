"""Judging what a run has made: evaluations by a worker, servability in a clean process, the gates' verdict."""

from __future__ import annotations

__all__ = ["REFIT", "judge_cycle", "read_package"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest
from mainspring.engines import WorkerDied
from mainspring.events import EventType
from mainspring.gates import Evaluation, Outcome, Servability, Verdict, judge
from mainspring.loop import (
    Cycle,
    CycleOutcome,
    CycleState,
)
from mainspring.operate.acts.stage import Stage
from mainspring.operate.acts.steps import packaging_step, run_steps
from mainspring.operate.loop_runs import judge_run
from mainspring.operate.packaging import Package
from mainspring.operate.suspicion import change_behind
from mainspring.operate.tasks import JudgeCandidate, Judged, Probed, ProbeModel
from mainspring.operate.verify_version import VersionChanged, need_sound
from mainspring.operate.workers import TaskFailed
from mainspring.product import Servable
from mainspring.ref import DataRef, ModelRef
from mainspring.training import SinceChange

if TYPE_CHECKING:
    from mainspring.registry import ModelVersion
    from mainspring.workspace import Workspace


REFIT = "refit"
"""The step of a run that has made its candidate again from all rows."""

_PARITY = 1e-5


def judge_cycle(stage: Stage, cycle: Cycle) -> None:
    """Judge the candidate of a cycle; one that is refused, or that could not be judged, ends it."""
    workspace, spec = stage.workspace, stage.spec
    with workspace.database.read() as tx:
        run = tx.runs.get(cycle.run_id)
        number = tx.registry.aliases(spec.name).get("champion")
        standing = tx.registry.get(ModelRef(spec.name, number)) if number is not None else None
        champion_package = _package_of(standing) if standing else None
        began = change_behind(tx, cycle) if isinstance(spec.train_on, SinceChange) else None
        as_of = max(tx.data.get(DataRef(name, number)).published_at for name, number in cycle.data.items())
    outputs = {step["name"]: step["output"] for step in run.steps}
    candidate_package = outputs[packaging_step(spec, cycle)]
    champion: Evaluation | None = None
    reference = ""
    try:
        if standing is not None:
            need_sound(workspace, standing)
        judged = workspace.workers.ask(
            JudgeCandidate(
                product=spec.name,
                declared=spec.digest,
                examples=outputs["examples"],
                candidate=candidate_package,
                champion=champion_package,
                as_of=as_of,
                changed_at=began,
            ),
            Judged,
        )
        candidate = _evaluation(judged.candidate)
        champion = _evaluation(judged.champion) if judged.champion else None
        reference = judged.reference
        if any(isinstance(gate, Servable) for gate in spec.gates):
            candidate = replace(candidate, servability=_servability(stage, candidate_package, judged.sample))
    except (TaskFailed, WorkerDied, VersionChanged) as error:
        candidate = Evaluation.failed(str(error))
        # A champion exists: the comparison with it could not be made, which must not read as "there is none".
        champion = Evaluation.failed(str(error)) if champion_package else None
    verdict = judge(spec.gates, candidate, champion, spec.metrics)
    refits = spec.refit and cycle.offer is None
    again = _made_again(stage, cycle, outputs, as_of, began) if verdict.passed and refits else None
    stage.boundary("within Judge")
    with workspace.database.write() as tx:
        short = _short(verdict) if again is None or again.step else again.why
        judged_cycle = replace(
            cycle,
            verdict=short,
            metrics={name: value for name, value in candidate.metrics.items() if value is not None},
            state=CycleState.JUDGED,
        )
        judge_run(tx, run.run_id, judged_cycle.metrics, short, stage.now)
        stage.event(
            tx,
            EventType.CANDIDATE_JUDGED,
            f"{spec.name}/{cycle.number}",
            short,
            cycle=cycle.cycle_id,
            package=candidate_package,
            reference=reference,
            verdict=verdict.to_dict(),
            **({} if again is None else {"made_again": again.step.get("output", ""), "why": again.why}),
        )
        if verdict.passed and (again is None or again.step):
            made = () if again is None else (again.step,)
            tx.runs.put(replace(run, steps=(*run.steps, *made, {"name": "judge", "output": reference})))
            tx.loop.move(judged_cycle, expected=cycle.state)
        else:
            tx.loop.move(judged_cycle, expected=cycle.state)
            stage.close(tx, judged_cycle, CycleOutcome.REFUSED, short)


def _evaluation(text: str) -> Evaluation:
    return Evaluation.from_dict(msgspec.json.decode(text))


def _package_of(champion: ModelVersion) -> str:
    """The champion's package, as the output of its run's last step."""
    lineage = champion.lineage
    # One that was made again has seen its hold-out, and might have seen a part of the next: like is held against like.
    return str(lineage.get("judged", lineage["package"]))


@dataclass(frozen=True, slots=True)
class _Again:
    """What came of making a candidate again from all rows: the step that gave it, or why it cannot be registered."""

    step: Mapping[str, str]
    why: str


def _made_again(
    stage: Stage, cycle: Cycle, outputs: Mapping[str, str], as_of: datetime, began: datetime | None
) -> _Again:
    """Make a candidate that has passed once more from all rows, and see that it passes what it was made by.

    It has seen the hold-out, so that this is no judgement of how good it is: it finds a model that has come out broken.
    """
    spec, workspace = stage.spec, stage.workspace
    try:
        with workspace.workers.fresh() as ask:
            made = {**run_steps(stage, cycle, ask, whole=True)[-1], "name": REFIT}
        judged = workspace.workers.ask(
            JudgeCandidate(
                product=spec.name,
                declared=spec.digest,
                examples=outputs["examples"],
                candidate=made["output"],
                champion=outputs[spec.steps[-1].name],
                as_of=as_of,
                changed_at=began,
            ),
            Judged,
        )
    except (TaskFailed, WorkerDied) as error:
        return _Again({}, f"it could not be made again from all rows: {error}")
    evaluation = _evaluation(judged.candidate)
    if any(isinstance(gate, Servable) for gate in spec.gates):
        evaluation = replace(evaluation, servability=_servability(stage, made["output"], judged.sample))
    standing = _evaluation(judged.champion) if judged.champion else None
    verdict = judge(spec.gates, evaluation, standing, spec.metrics)
    if not verdict.passed:
        return _Again({}, f"made again from all rows, it does not pass: {_short(verdict)}")
    return _Again(made, "made again from all rows")


def _servability(stage: Stage, package: str, sample: str) -> Servability:
    workspace = stage.workspace
    artifact = read_package(workspace, package).artifact
    try:
        probed = workspace.workers.probe(
            ProbeModel(
                artifact=artifact,
                sample=sample,
                allow_code=workspace.settings.allows_code(stage.spec.name),
                timeout_s=workspace.settings.batch_timeout_s,
            ),
            Probed,
            workspace.settings.state / "blobs",
        )
    except (TaskFailed, WorkerDied) as error:
        return Servability(parity=False, p99_ms=None, error=str(error))
    p99_s = workspace.clock.took(probed.p99_s, f"servable {artifact}")
    return Servability(parity=probed.difference <= _PARITY, p99_ms=1000 * p99_s)


def read_package(workspace: Workspace, digest: str) -> Package:
    """Read what a run has packaged."""
    return msgspec.json.decode(workspace.blobs.get(Digest(digest)), type=Package)


def _short(verdict: Verdict) -> str:
    failed = [check for check in verdict.checks if check.outcome is not Outcome.PASSED]
    if not failed:
        return f"passed all {len(verdict.checks)} checks"
    said = "; ".join(
        f"{check.gate} on {check.subject}: {check.outcome.value}, {check.reason}" for check in failed[:3]
    )
    return said + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")
