"""The steps of a run, each reused where its key is known."""

from __future__ import annotations

__all__ = ["OFFERED", "packaging_step", "run_steps"]

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mainspring.digest import Digest, digest_of_json
from mainspring.formats.mlmodel import MLMODEL
from mainspring.loop import Cycle
from mainspring.operate.acts.stage import Stage
from mainspring.operate.loop_runs import note_usage
from mainspring.operate.suspicion import change_behind
from mainspring.operate.tasks import BuildExamples, Built, PackageOffer, RunStep
from mainspring.operate.workers import Ask
from mainspring.pipelines import StepKey, StepRecord, explain
from mainspring.ref import DataRef
from mainspring.training import AllHistory, SinceChange

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.product import ProductSpec


OFFERED = "offered"
"""The step that packages a model that is offered, in place of the product's own steps."""


def packaging_step(spec: ProductSpec, cycle: Cycle) -> str:
    """Name the step that gives the candidate of a cycle."""
    return spec.steps[-1].name if cycle.offer is None else OFFERED


def run_steps(stage: Stage, cycle: Cycle, ask: Ask, *, whole: bool = False) -> list[Mapping[str, str]]:
    """Run the steps of a cycle's pipeline, those that are known left out, and tell of each.

    Parameters
    ----------
    stage : Stage
    cycle : Cycle
    ask : Ask
        A worker.
    whole : bool
        Whether the rows of the hold-out are trained on as well.

    Raises
    ------
    mainspring.operate.workers.TaskFailed
        A step failed.
    mainspring.engines.WorkerDied
        It ended its process, or hung there.
    """
    spec, database = stage.spec, stage.workspace.database
    with database.read() as tx:
        environment = tx.values.get("environment") or ""
        versions = {name: tx.data.get(DataRef(name, number)) for name, number in cycle.data.items()}
        began = change_behind(tx, cycle) if isinstance(spec.train_on, SinceChange) else None
    as_of = max(version.published_at for version in versions.values())
    inputs = {name: version.digest for name, version in versions.items()} | {"as_of": as_of.isoformat()}
    views = [msgspec.structs.replace(view, online=False) for view in spec.features]  # no matter of training
    computed = {"computed": digest_of_json(msgspec.to_builtins(spec.computed))} if spec.computed else {}
    # Rows that are drawn have places, by these.
    drawn = {} if isinstance(spec.holdout, str) else {"drawn": f"{spec.holdout!r} {spec.name} {spec.seed}"}
    declared = msgspec.to_builtins((spec.data, spec.sources, spec.inputs, views, spec.task))
    key = StepKey(
        step="examples",
        code=digest_of_json(declared),
        environment=environment,
        params={},
        seed=0,
        inputs=inputs | computed | drawn,
    )
    tables = {name: version.table_version for name, version in versions.items()}
    build = BuildExamples(product=spec.name, declared=spec.digest, tables=tables, as_of=as_of)
    records = [_find_or_make(stage, cycle, key, partial(ask, build, Built))]
    if cycle.offer is not None:
        examples = records[0][0].output
        key = StepKey(
            step=OFFERED,
            code="",
            environment=environment,
            params={},
            seed=0,
            inputs={"examples": examples, "task": repr(spec.task)} | dict(cycle.offer.files),
        )
        files = dict(cycle.offer.files)
        take = PackageOffer(
            product=spec.name,
            declared=spec.digest,
            mlmodel=files.pop(MLMODEL),
            model=next(iter(files.values())),
            examples=examples,
            as_of=as_of,
        )
        records.append(_find_or_make(stage, cycle, key, partial(ask, take, Built)))
        return [_told(record, why, cycle) for record, why in records]
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
            inputs={before.key.step: before.output}
            | (_cut(spec, began, whole=whole) if position == 0 else {})
            # A model is written with these functions, whether or not their values are others now.
            | computed,
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
            changed_at=began if position == 0 else None,
            whole=whole,
        )
        records.append(_find_or_make(stage, cycle, key, partial(ask, task, Built)))
    return [_told(record, why, cycle) for record, why in records]


def _cut(spec: ProductSpec, began: datetime | None, *, whole: bool) -> dict[str, str]:
    """What the first step's rows depend on besides the examples."""
    cut = {} if whole else {"holdout": spec.holdout if isinstance(spec.holdout, str) else repr(spec.holdout)}
    if not isinstance(spec.train_on, AllHistory):
        cut["train_on"] = repr(spec.train_on)
    return cut | ({} if began is None else {"changed_at": began.isoformat()})


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
        if built.usage is not None:
            note_usage(tx, cycle.run_id, key.step, built.usage)
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
