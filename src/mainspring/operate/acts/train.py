"""Training: the steps of a run, each reused where its key is known."""

from __future__ import annotations

__all__ = ["train"]

from dataclasses import replace

import msgspec

from mainspring.engines import WorkerDied
from mainspring.events import EventType
from mainspring.loop import (
    Cycle,
    CycleOutcome,
    CycleState,
)
from mainspring.operate.acts.judge import read_package
from mainspring.operate.acts.stage import Stage
from mainspring.operate.acts.steps import run_steps
from mainspring.operate.loop_runs import begin_run, end_run
from mainspring.operate.made_with import made_with
from mainspring.operate.suspicion import change_behind
from mainspring.operate.workers import TaskFailed
from mainspring.pipelines import Run, RunState
from mainspring.ref import DataRef
from mainspring.training import AllHistory, SinceChange


def train(stage: Stage, cycle: Cycle) -> None:
    """Run the pipeline; a step that fails ends the cycle, and the champion stays."""
    run = Run(
        run_id=cycle.run_id,
        product=cycle.product,
        cycle_id=cycle.cycle_id,
        state=RunState.RUNNING,
        params=cycle.params,
        data=tuple(str(DataRef(name, version)) for name, version in sorted(cycle.data.items())),
        started_at=stage.now,
    )
    tags = made_with(stage.workspace.settings.root, stage.workspace.blobs)
    with stage.workspace.database.write() as tx:
        begin_run(tx, run, stage.spec, cycle, tags)
    try:
        with stage.workspace.workers.fresh() as ask:
            steps = run_steps(stage, cycle, ask)
    except (TaskFailed, WorkerDied) as error:
        with stage.workspace.database.write() as tx:
            end_run(tx, replace(run, state=RunState.FAILED, error=str(error)), stage.now)
            stage.event(tx, EventType.RUN_FAILED, run.run_id, str(error), cycle=cycle.cycle_id)
            what = "training" if cycle.offer is None else "packaging what was offered"
            stage.close(tx, cycle, CycleOutcome.FAILED, f"{what} failed: {error}")
        return
    metrics = read_package(stage.workspace, steps[-1]["output"]).metrics
    stage.boundary("within Train")
    with stage.workspace.database.write() as tx:
        end_run(tx, replace(run, state=RunState.COMPLETED, steps=tuple(steps), metrics=metrics), stage.now)
        tx.loop.move(replace(cycle, state=CycleState.TRAINED), expected=cycle.state)
        reused = sum(each["reused"] == "yes" for each in steps)
        policy = stage.spec.train_on
        told = "" if isinstance(policy, AllHistory) else f", trained on {policy!r}"
        if cycle.offer is not None:
            told = f": {cycle.offer.source} as a client logged it"
        elif isinstance(policy, SinceChange):
            began = change_behind(tx, cycle)
            told += ": no alarm has started it" if began is None else f" since {began:%Y-%m-%d}"
        stage.event(
            tx,
            EventType.RUN_COMPLETED,
            run.run_id,
            f"{len(steps)} steps gave a model, {reused} of them reused{told}",
            cycle=cycle.cycle_id,
            data=list(run.data),
            environment=tx.values.get("environment"),
            snapshot=tx.values.get("code"),
            seed=stage.spec.seed,
            steps=steps,
            metrics=metrics,
            **({} if cycle.offer is None else {"offer": msgspec.to_builtins(cycle.offer)}),
        )
