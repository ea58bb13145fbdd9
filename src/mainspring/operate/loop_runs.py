"""Runs of the loop's pipelines, beside those that clients log: one experiment per product, one nested run per step."""

from __future__ import annotations

__all__ = ["begin_run", "end_run", "judge_run", "note_usage"]

import json
from typing import TYPE_CHECKING

import msgspec

from mainspring.engines import Usage
from mainspring.operate.log_runs import RUN_NAME
from mainspring.pipelines import Run, RunState
from mainspring.ref import DataRef
from mainspring.tracking.limits import fit_param, fit_tag
from mainspring.tracking.record import Dataset, DatasetInput, Lifecycle, Metric, RunStatus
from mainspring.tracking.record import Run as LoggedRun
from mainspring.tracking.store import ExperimentNotFound, RunNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mainspring.loop import Cycle, Offer
    from mainspring.product import ProductSpec
    from mainspring.stores.sql.database import Transaction

_PARENT = "mlflow.parentRunId"
_STATUS = {
    RunState.RUNNING: RunStatus.RUNNING,
    RunState.COMPLETED: RunStatus.FINISHED,
    RunState.FAILED: RunStatus.FAILED,
}


def begin_run(
    tx: Transaction, run: Run, spec: ProductSpec, cycle: Cycle, made_with: Mapping[str, str] = {}
) -> None:
    """Record a run that starts, with the params and the data that it has; asked again, nothing happens.

    `made_with` are tags that say what it is made with, as `mainspring.operate.made_with` tells.
    """
    tx.runs.put(run)
    if _found(tx, run.run_id):
        return
    started_ms = _ms(run.started_at)
    experiment = _experiment(tx, run.product, started_ms)
    tx.logged_runs.add(
        LoggedRun(
            run_id=run.run_id,
            experiment_id=experiment,
            name=f"{cycle.product}/{cycle.number}",
            user_id=cycle.actor,
            started_ms=started_ms,
            artifact_uri=f"mlflow-artifacts:/{experiment}/{run.run_id}/artifacts",
            tags={
                RUN_NAME: f"{cycle.product}/{cycle.number}",
                "mainspring.product": run.product,
                "mainspring.cycle": run.cycle_id,
                "mainspring.trigger": cycle.trigger_text,
                "mainspring.code": tx.values.get("code") or "",
                "mainspring.environment": tx.values.get("environment") or "",
            }
            | dict(made_with)
            | ({} if cycle.offer is None else {"mainspring.offered": cycle.offer.source}),
        )
    )
    if cycle.offer is None:
        params = {f"{step.name}.{name}": value for step in spec.steps for name, value in step.params.items()}
        params |= {"seed": spec.seed} | dict(run.params)
        tx.logged_runs.log(
            run.run_id, params={key: fit_param(key, _text(value)) for key, value in params.items()}
        )
    context, models = ("training", ()) if cycle.offer is None else ("judging", _logged(cycle.offer))
    tx.logged_runs.read(run.run_id, [_read(tx, ref, context) for ref in run.data], models)


def end_run(tx: Transaction, run: Run, at: datetime) -> None:
    """Record what a run has come to: its metrics and its steps, or its error."""
    tx.runs.put(run)
    logged = _found(tx, run.run_id)
    if logged is None or logged.lifecycle is not Lifecycle.ACTIVE:
        return  # a client has deleted it, which is no matter of the loop's
    ended_ms = _ms(at)
    tags = {"mainspring.error": fit_tag("mainspring.error", run.error)} if run.error else {}
    points = [
        Metric(key=name, value=float(value), timestamp_ms=ended_ms) for name, value in run.metrics.items()
    ]
    usage = _usage(tx, run.run_id)
    points += _used(tuple(usage.values()), ended_ms)
    tx.logged_runs.log(run.run_id, points, tags=tags)
    tx.logged_runs.update(run.run_id, status=_STATUS[run.state], ended_ms=ended_ms)
    for step in run.steps:
        if "key" in step:
            _add_step(tx, logged, step, ended_ms, usage.get(step["name"]))


def judge_run(tx: Transaction, run_id: str, metrics: Mapping[str, float], verdict: str, at: datetime) -> None:
    """Record what a run's model was judged by, beside what its steps measured."""
    logged = _found(tx, run_id)
    if logged is not None and logged.lifecycle is Lifecycle.ACTIVE:
        points = [
            Metric(key=f"judged.{name}", value=value, timestamp_ms=_ms(at)) for name, value in metrics.items()
        ]
        tx.logged_runs.log(
            run_id, points, tags={"mainspring.verdict": fit_tag("mainspring.verdict", verdict)}
        )


def note_usage(tx: Transaction, run_id: str, step: str, usage: Usage) -> None:
    """Keep what a step has used until its run ends; measured figures stay out of the ledger."""
    tx.values.put(f"usage:{run_id}:{step}", msgspec.json.encode(usage).decode())


def _usage(tx: Transaction, run_id: str) -> dict[str, Usage]:
    prefix = f"usage:{run_id}:"
    return {
        key.removeprefix(prefix): msgspec.json.decode(text, type=Usage)
        for key, text in tx.values.items(prefix).items()
    }


def _used(usage: tuple[Usage, ...], at_ms: int) -> list[Metric]:
    """What was used as metrics; of several the sum of the time, and the most of the memory."""
    if not usage:
        return []
    found = {
        "cost.cpu_s": sum(each.cpu_s for each in usage),
        "cost.peak_mib": max(each.peak_mib for each in usage),
    }
    return [Metric(key=key, value=value, timestamp_ms=at_ms) for key, value in found.items()]


def _add_step(
    tx: Transaction, parent: LoggedRun, step: Mapping[str, str], ended_ms: int, usage: Usage | None
) -> None:
    run_id = f"{parent.run_id}-{step['name']}"
    if _found(tx, run_id):
        return
    told = {f"mainspring.{name}": step[name] for name in ("key", "output", "reused", "why") if name in step}
    tx.logged_runs.add(
        LoggedRun(
            run_id=run_id,
            experiment_id=parent.experiment_id,
            name=step["name"],
            user_id=parent.user_id,
            status=RunStatus.FINISHED,
            started_ms=parent.started_ms,
            ended_ms=ended_ms,
            artifact_uri=f"mlflow-artifacts:/{parent.experiment_id}/{run_id}/artifacts",
            tags={RUN_NAME: step["name"], _PARENT: parent.run_id} | told,
        )
    )
    if usage is not None:
        tx.logged_runs.log(run_id, _used((usage,), ended_ms))


def _found(tx: Transaction, run_id: str) -> LoggedRun | None:
    try:
        return tx.logged_runs.bare(run_id)
    except RunNotFound:
        return None


def _experiment(tx: Transaction, product: str, now_ms: int) -> int:
    try:
        return tx.experiments.named(product).experiment_id
    except ExperimentNotFound:
        return tx.experiments.add(product, None, {"mainspring.product": product}, now_ms).experiment_id


def _logged(offer: Offer) -> tuple[str, ...]:
    return (offer.model_id,) if offer.model_id else ()


def _read(tx: Transaction, ref: str, context: str) -> DatasetInput:
    version = tx.data.get(DataRef.parse(ref))
    dataset = Dataset(
        name=version.dataset,
        digest=version.digest[:36],
        source_type="mainspring",
        source=json.dumps({"ref": ref, "digest": version.digest}),
        profile=json.dumps({"num_rows": version.rows}),
    )
    return DatasetInput(dataset=dataset, tags={"mlflow.data.context": context})


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
