"""The removal of what was deleted, on both databases."""

from __future__ import annotations

import pytest
from tests.stores.test_tracking import run_of

from mainspring.stores.sql import Transaction
from mainspring.tracking.freeing import Deleted, Kind
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Experiment,
    Lifecycle,
    LoggedModel,
    Metric,
    ModelOutput,
)
from mainspring.tracking.store import ExperimentNotFound, ExperimentTaken, LoggedModelNotFound, RunNotFound

READ = DatasetInput(
    dataset=Dataset(name="d", digest="1", source_type="local", source="mlflow-artifacts:/0/a.csv")
)


def keys(found: tuple[Deleted, ...]) -> list[tuple[Kind, str]]:
    return [(each.kind, each.key) for each in found]


def filled(transaction: Transaction) -> int:
    experiment = transaction.experiments.add("e", None, {"a": "b"}, 1).experiment_id
    for number in (1, 2):
        transaction.logged_runs.add(run_of(number, experiment_id=experiment, tags={"a": "b"}))
        run_id = run_of(number).run_id
        transaction.logged_runs.log(run_id, [Metric(key="m", value=1.0, timestamp_ms=1)], {"p": "1"})
        transaction.logged_runs.read(run_id, [READ], ["m-1"])
        transaction.logged_runs.give(run_id, [ModelOutput(model_id="m-1")])
    model = LoggedModel(
        model_id="m-1",
        experiment_id=experiment,
        name="m",
        created_ms=1,
        updated_ms=1,
        artifact_uri="u",
        params={"a": "b"},
        tags={"c": "d"},
    )
    transaction.logged_models.add(model)
    measured = Metric(key="m", value=0.5, timestamp_ms=1, run_id=run_of(1).run_id)
    for _ in range(2):
        transaction.logged_models.measure("m-1", [measured])
    assert len(transaction.logged_models.get("m-1").metrics) == 1
    return experiment


def test_what_was_deleted_by_then_is_found(transaction: Transaction) -> None:
    filled(transaction)
    first = run_of(1).run_id
    assert transaction.freeing.deleted(10**15) == ()
    transaction.logged_runs.update(first, lifecycle=Lifecycle.DELETED, deleted_ms=100)
    transaction.logged_models.update("m-1", 200, lifecycle=Lifecycle.DELETED)
    assert keys(transaction.freeing.deleted(99)) == []
    assert keys(transaction.freeing.deleted(100)) == [(Kind.RUN, first)]
    assert keys(transaction.freeing.deleted(200)) == [(Kind.RUN, first), (Kind.LOGGED_MODEL, "m-1")]


def test_a_deleted_experiment_is_found_with_all_that_is_in_it_and_default_never(
    transaction: Transaction,
) -> None:
    experiment = filled(transaction)
    for each in (experiment, 0):
        transaction.experiments.turn(each, Lifecycle.DELETED, 100)
    found = transaction.freeing.deleted(100)
    runs = [(Kind.RUN, run_of(number).run_id) for number in (1, 2)]
    assert keys(found) == [*runs, (Kind.LOGGED_MODEL, "m-1"), (Kind.EXPERIMENT, str(experiment))]
    assert {each.deleted_ms for each in found} == {100}
    assert transaction.freeing.filled() == {experiment}
    transaction.freeing.remove(found)
    assert transaction.freeing.filled() == frozenset()
    assert list(transaction.freeing.places()) == list(transaction.freeing.sources()) == []
    with pytest.raises(RunNotFound):
        transaction.logged_runs.get(run_of(1).run_id)
    with pytest.raises(LoggedModelNotFound):
        transaction.logged_models.get("m-1")
    with pytest.raises(ExperimentNotFound):
        transaction.experiments.get(experiment)


def test_a_run_that_is_removed_leaves_the_others(transaction: Transaction) -> None:
    experiment = filled(transaction)
    first, second = (run_of(number).run_id for number in (1, 2))
    transaction.logged_runs.update(first, lifecycle=Lifecycle.DELETED, deleted_ms=100)
    transaction.freeing.remove(transaction.freeing.deleted(100))
    kept = transaction.logged_runs.get(second)
    assert (kept.params, kept.tags, len(kept.metrics)) == ({"p": "1"}, {"a": "b"}, 1)
    assert kept.datasets[0].dataset == READ.dataset
    assert transaction.freeing.filled() == {experiment}
    assert list(transaction.freeing.sources()) == [(second, READ.dataset.source)]


def test_an_experiment_from_elsewhere_keeps_its_id_where_that_is_free(transaction: Transaction) -> None:
    def elsewhere(number: int, name: str) -> Experiment:
        location = f"mlflow-artifacts:/{number}"
        return Experiment(
            experiment_id=number,
            name=name,
            artifact_location=location,
            created_ms=1,
            updated_ms=2,
            tags={"a": "b"},
        )

    huge = 912_345_678_901_234_567
    assert transaction.experiments.record(elsewhere(huge, "huge")).experiment_id == huge
    assert transaction.experiments.record(elsewhere(7, "seven")).artifact_location == "mlflow-artifacts:/7"
    assert transaction.experiments.add("counted on", None, {}, 1).experiment_id == 8
    moved = transaction.experiments.record(elsewhere(7, "another seven"))
    assert (moved.experiment_id, moved.artifact_location) == (9, "mlflow-artifacts:/9")
    assert (moved.created_ms, moved.updated_ms, moved.tags) == (1, 2, {"a": "b"})
    with pytest.raises(ExperimentTaken):
        transaction.experiments.record(elsewhere(10, "seven"))
    transaction.experiments.settle(9, Lifecycle.DELETED, 5)
    settled = transaction.experiments.get(9)
    assert (settled.lifecycle, settled.updated_ms) == (Lifecycle.DELETED, 5)
