"""What clients ask of experiments, runs and logged models: the rules that hold before anything is recorded."""

from __future__ import annotations

__all__ = [
    "NewRun",
    "change_run",
    "create_experiment",
    "create_logged_model",
    "create_run",
    "delete_logged_model",
    "finish_logged_model",
    "live_experiment",
    "live_model",
    "live_run",
    "log",
    "log_given",
    "log_model_texts",
    "log_read",
    "note_model",
    "rename_experiment",
    "tag_experiment",
    "turn_experiment",
    "turn_run",
    "untag_logged_model",
    "untag_run",
]

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from mainspring.fit import Unfit
from mainspring.tracking.limits import (
    check_batch,
    check_datasets,
    check_experiment_name,
    check_experiment_tag,
    check_location,
    check_metric,
    check_model_name,
    check_model_texts,
    check_run_id,
    fit_param,
    fit_tag,
)
from mainspring.tracking.record import Experiment, Lifecycle, LoggedModel, ModelStatus, Run, RunStatus
from mainspring.tracking.store import LoggedModelNotFound, NotActive, NotToTurn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mainspring.stores.sql.database import Transaction
    from mainspring.tracking.record import DatasetInput, Metric, ModelOutput

RUN_NAME = "mlflow.runName"
"""The tag that says a run's name again, as clients expect."""

_HISTORY = "mlflow.log-model.history"

# A run without a name of its own is called so; the words are short, common and harmless.
_FIRST = (
    "amber",
    "bold",
    "brisk",
    "calm",
    "clear",
    "crisp",
    "eager",
    "fair",
    "fleet",
    "glad",
    "keen",
    "kind",
    "light",
)
_SECOND = (
    "ash",
    "badger",
    "birch",
    "brook",
    "cedar",
    "cliff",
    "cloud",
    "comet",
    "crane",
    "falcon",
    "finch",
    "heron",
    "oak",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as a client asks for it."""

    experiment_id: int
    name: str = ""
    user_id: str = ""
    started_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""


def create_experiment(
    tx: Transaction, name: str, location: str, tags: Mapping[str, str], now_ms: int
) -> Experiment:
    """Begin an experiment."""
    check_experiment_name(name)
    for key, value in tags.items():
        check_experiment_tag(key, value)
    check_location(location)
    return tx.experiments.add(name, location or None, tags, now_ms)


def live_experiment(tx: Transaction, experiment_id: int) -> Experiment:
    """Give an experiment that may be written to; raises `NotActive` where it was deleted."""
    experiment = tx.experiments.get(experiment_id)
    if experiment.lifecycle is not Lifecycle.ACTIVE:
        raise NotActive(f"experiment {experiment_id}", experiment.lifecycle)
    return experiment


def rename_experiment(tx: Transaction, experiment_id: int, name: str, now_ms: int) -> None:
    """Give an experiment another name."""
    live_experiment(tx, experiment_id)
    check_experiment_name(name)
    tx.experiments.rename(experiment_id, name, now_ms)


def turn_experiment(tx: Transaction, experiment_id: int, to: Lifecycle, now_ms: int) -> None:
    """Delete or restore an experiment with its runs."""
    if tx.experiments.get(experiment_id).lifecycle is to:
        raise NotToTurn(experiment_id, to)
    tx.experiments.turn(experiment_id, to, now_ms)


def tag_experiment(tx: Transaction, experiment_id: int, key: str, value: str | None, now_ms: int) -> None:
    """Set a tag of an experiment; None removes it."""
    live_experiment(tx, experiment_id)
    check_experiment_tag(key, value or "")
    tx.experiments.tag(experiment_id, {key: value}, now_ms)


def create_run(tx: Transaction, asked: NewRun) -> Run:
    """Begin a run in an experiment; one without a name is given one."""
    experiment = live_experiment(tx, asked.experiment_id)
    tags = {key: fit_tag(key, value) for key, value in asked.tags.items()}
    named = tags.get(RUN_NAME, "")
    if asked.name and named and asked.name != named:
        raise Unfit(
            f"The run's name {asked.name!r}",
            f"the tag {RUN_NAME} says {named!r}; give one, or the same in both",
        )
    name = asked.name or named or random_name()
    run_id = asked.run_id or uuid4().hex
    run = Run(
        run_id=run_id,
        experiment_id=asked.experiment_id,
        name=fit_tag(RUN_NAME, name),
        user_id=asked.user_id,
        started_ms=asked.started_ms,
        artifact_uri=f"{experiment.artifact_location.rstrip('/')}/{run_id}/artifacts",
        tags=tags | {RUN_NAME: name},
    )
    tx.logged_runs.add(run)
    return run


def random_name() -> str:
    """Give a name that people can say, for what has none."""
    return f"{random.choice(_FIRST)}-{random.choice(_SECOND)}-{random.randrange(1000)}"


def live_run(tx: Transaction, run_id: str) -> Run:
    """Give a run that may be written to; raises `NotActive` where it was deleted."""
    check_run_id(run_id)
    run = tx.logged_runs.bare(run_id)
    if run.lifecycle is not Lifecycle.ACTIVE:
        raise NotActive(f"run {run_id}", run.lifecycle)
    return run


def change_run(
    tx: Transaction, run_id: str, status: RunStatus | None, ended_ms: int | None, name: str
) -> Run:
    """Say that a run has another state, end or name."""
    live_run(tx, run_id)
    tx.logged_runs.update(run_id, status=status, ended_ms=ended_ms, name=name or None)
    if name:
        tx.logged_runs.log(run_id, tags={RUN_NAME: fit_tag(RUN_NAME, name)})
    return tx.logged_runs.bare(run_id)


def turn_run(tx: Transaction, run_id: str, to: Lifecycle, now_ms: int) -> None:
    """Delete or restore a run; asked again, nothing happens."""
    check_run_id(run_id)
    if tx.logged_runs.bare(run_id).lifecycle is not to:
        tx.logged_runs.update(run_id, lifecycle=to, deleted_ms=now_ms)


def log(
    tx: Transaction,
    run_id: str,
    metrics: Sequence[Metric] = (),
    params: Sequence[tuple[str, str]] = (),
    tags: Sequence[tuple[str, str]] = (),
) -> None:
    """Record entries of a run: all of them, or where one is refused none."""
    check_batch(metrics, params, tags)
    for metric in metrics:
        check_metric(metric)
    fitting = {key: fit_param(key, value) for key, value in params}
    tagged = {key: fit_tag(key, value) for key, value in tags}
    check_run_id(run_id)
    tx.logged_runs.log(run_id, metrics, fitting, tagged)
    if tagged.get(RUN_NAME):
        tx.logged_runs.update(run_id, name=tagged[RUN_NAME])


def untag_run(tx: Transaction, run_id: str, key: str) -> None:
    """Remove a tag of a run."""
    check_run_id(run_id)
    tx.logged_runs.untag(run_id, key)


def log_read(tx: Transaction, run_id: str, datasets: Sequence[DatasetInput], models: Iterable[str]) -> None:
    """Record what a run read."""
    check_datasets(datasets)
    check_run_id(run_id)
    tx.logged_runs.read(run_id, datasets, models)


def log_given(tx: Transaction, run_id: str, models: Iterable[ModelOutput]) -> None:
    """Record the logged models that a run gave."""
    check_run_id(run_id)
    tx.logged_runs.give(run_id, models)


def note_model(tx: Transaction, run_id: str, model: Mapping[str, object]) -> None:
    """Add to the tag in which clients before version 3 keep the models of a run."""
    missing = sorted({"artifact_path", "flavors", "utc_time_created", "run_id"} - set(model))
    if missing:
        raise Unfit("The model's description", f"it lacks {', '.join(missing)}")
    check_run_id(run_id)
    tags = tx.logged_runs.get(run_id).tags
    history = json.loads(tags.get(_HISTORY, "[]"))
    tx.logged_runs.log(run_id, tags={_HISTORY: fit_tag(_HISTORY, json.dumps([*history, dict(model)]))})


def create_logged_model(
    tx: Transaction,
    experiment_id: int,
    *,
    name: str,
    model_type: str,
    source_run_id: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    now_ms: int,
) -> LoggedModel:
    """Begin a logged model, whose files are on their way."""
    experiment = live_experiment(tx, experiment_id)
    name = name or random_name()
    check_model_name(name)
    check_model_texts("param", params)
    check_model_texts("tag", tags)
    if source_run_id:
        tx.logged_runs.bare(source_run_id)
    model_id = f"m-{uuid4().hex}"
    model = LoggedModel(
        model_id=model_id,
        experiment_id=experiment_id,
        name=name,
        model_type=model_type,
        source_run_id=source_run_id,
        created_ms=now_ms,
        updated_ms=now_ms,
        artifact_uri=f"{experiment.artifact_location.rstrip('/')}/models/{model_id}/artifacts",
        params=params,
        tags=tags,
    )
    tx.logged_models.add(model)
    return model


def live_model(tx: Transaction, model_id: str) -> LoggedModel:
    """Give a logged model that was not deleted; raises `LoggedModelNotFound`."""
    model = tx.logged_models.get(model_id)
    if model.lifecycle is not Lifecycle.ACTIVE:
        raise LoggedModelNotFound(model_id)
    return model


def finish_logged_model(tx: Transaction, model_id: str, status: ModelStatus, now_ms: int) -> LoggedModel:
    """Say whether the files of a logged model have come."""
    live_model(tx, model_id)
    tx.logged_models.update(model_id, now_ms, status=status)
    return tx.logged_models.get(model_id)


def delete_logged_model(tx: Transaction, model_id: str, now_ms: int) -> None:
    """Delete a logged model; its files stay until storage is freed."""
    live_model(tx, model_id)
    tx.logged_models.update(model_id, now_ms, lifecycle=Lifecycle.DELETED)


def log_model_texts(
    tx: Transaction, model_id: str, *, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}
) -> LoggedModel:
    """Record params and tags of a logged model."""
    check_model_texts("param", params)
    check_model_texts("tag", tags)
    live_model(tx, model_id)
    tx.logged_models.log(model_id, params, tags)
    return tx.logged_models.get(model_id)


def untag_logged_model(tx: Transaction, model_id: str, key: str) -> None:
    """Remove a tag of a logged model."""
    live_model(tx, model_id)
    tx.logged_models.untag(model_id, key)
