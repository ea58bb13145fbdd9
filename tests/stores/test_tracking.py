"""Runs and logged models in SQL, on both databases: what is kept, and what a search finds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tracking.asked import KEYS, NUMBERS, TEXTS, conditions

from mainspring.search import (
    RUNS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Entity,
    Negation,
    Operator,
    Order,
    Search,
    View,
    parse_filter,
)
from mainspring.stores.sql import Transaction
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Lifecycle,
    LoggedModel,
    Metric,
    ModelOutput,
    Run,
    RunStatus,
)
from mainspring.tracking.store import ExperimentTaken, ParamChanged, RunNotFound, TagNotFound

HOME = 0


def run_of(number: int, name: str = "r", **fields: object) -> Run:
    run = Run(
        run_id=f"{number:032x}",
        experiment_id=HOME,
        name=name,
        started_ms=number,
        artifact_uri="mlflow-artifacts:/0",
    )
    return replace(run, **fields)


def point(key: str, value: float, step: int = 0, timestamp_ms: int = 0) -> Metric:
    return Metric(key=key, value=value, step=step, timestamp_ms=timestamp_ms)


@contextmanager
def aside(transaction: Transaction) -> Iterator[None]:
    """Keep nothing of what is written in the block."""
    savepoint = transaction.logged_runs.connection.begin_nested()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        savepoint.rollback()


def ids(transaction: Transaction, **asked: object) -> list[str]:
    found: list[str] = []
    search = Search(**({"condition": AllOf(()), "limit": 100} | asked))  # type: ignore[arg-type]
    while True:
        page = transaction.logged_runs.search([HOME], search)
        found += [run.run_id for run in page.items]
        if not page.token:
            return found
        search = replace(search, token=page.token)


def holds(condition: Condition, run: Run) -> bool:
    """Whether a run meets a condition, by what the words of the grammar say."""
    match condition:
        case AllOf(parts):
            return all(holds(part, run) for part in parts)
        case AnyOf(parts):
            return any(holds(part, run) for part in parts)
        case Negation(part):
            return not holds(part, run)
    attributes = {
        "run_name": run.name,
        "status": run.status.value,
        "start_time": run.started_ms,
        "end_time": run.ended_ms,
    }
    value = {
        Entity.ATTRIBUTE: attributes,
        Entity.PARAM: run.params,
        Entity.TAG: run.tags,
        Entity.METRIC: {metric.key: metric.value for metric in run.metrics},
    }[condition.entity].get(condition.key)
    asked = condition.value
    match condition.operator:
        case Operator.IS_NULL:
            return value is None
        case Operator.IS_NOT_NULL:
            return value is not None
    if value is None:
        return False
    match condition.operator:
        case Operator.EQUAL:
            return value == asked
        case Operator.UNEQUAL:
            return value != asked
        case Operator.LESS:
            return value < asked  # type: ignore[operator]
        case Operator.AT_MOST:
            return value <= asked  # type: ignore[operator]
        case Operator.GREATER:
            return value > asked  # type: ignore[operator]
        case Operator.AT_LEAST:
            return value >= asked  # type: ignore[operator]
        case Operator.IN:
            return value in asked  # type: ignore[operator]
        case Operator.NOT_IN:
            return value not in asked  # type: ignore[operator]
    pattern = "".join({"%": ".*", "_": "."}.get(mark, re.escape(mark)) for mark in str(asked))
    case_free = re.IGNORECASE if condition.operator is Operator.ILIKE else 0
    return re.fullmatch(pattern, str(value), re.DOTALL | case_free) is not None


texts = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(TEXTS), max_size=3)
metrics = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([*NUMBERS, math.nan]), max_size=3)
some_runs = st.lists(
    st.builds(
        lambda name, ended_ms, params, tags, measured: replace(
            run_of(0, name),
            ended_ms=ended_ms,
            params=params,
            tags=tags,
            metrics=tuple(point(key, value) for key, value in measured.items()),
        ),
        st.sampled_from(["x", "X", "it's"]),
        st.none() | st.integers(0, 5),
        texts,
        texts,
        metrics,
    ),
    max_size=6,
)


def keep(transaction: Transaction, runs: list[Run]) -> list[Run]:
    kept = [replace(run, run_id=f"{number:032x}", started_ms=number % 3) for number, run in enumerate(runs)]
    for run in kept:
        transaction.logged_runs.add(run)
        transaction.logged_runs.log(run.run_id, run.metrics, run.params)
    return kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_runs, conditions())
def test_a_search_finds_what_meets_its_condition(
    transaction: Transaction, runs: list[Run], condition: Condition
) -> None:
    with aside(transaction):
        kept = keep(transaction, runs)
        found = ids(transaction, condition=condition)
    assert sorted(found) == sorted(run.run_id for run in kept if holds(condition, run))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some_runs,
    st.lists(
        st.builds(Order, st.just(Entity.METRIC), st.sampled_from(KEYS), st.booleans())
        | st.builds(Order, st.just(Entity.PARAM), st.sampled_from(KEYS), st.booleans())
        | st.builds(
            Order, st.just(Entity.ATTRIBUTE), st.sampled_from(["end_time", "run_name"]), st.booleans()
        ),
        max_size=2,
        unique_by=lambda order: (order.entity, order.key),
    ),
    st.integers(1, 3),
)
def test_pages_of_any_size_tell_all_in_one_order(
    transaction: Transaction, runs: list[Run], orders: list[Order], limit: int
) -> None:
    with aside(transaction):
        kept = keep(transaction, runs)
        whole = ids(transaction, orders=tuple(orders))
        assert ids(transaction, orders=tuple(orders), limit=limit) == whole
    assert sorted(whole) == sorted(run.run_id for run in kept)


def test_what_has_no_value_comes_last_in_either_direction(transaction: Transaction) -> None:
    for number, value in enumerate([2.0, math.nan, 1.0, None]):
        transaction.logged_runs.add(run_of(number))
        if value is not None:
            transaction.logged_runs.log(run_of(number).run_id, [point("m", value)])
    for ascending, first in ((True, [2, 0]), (False, [0, 2])):
        found = ids(transaction, orders=(Order(Entity.METRIC, "m", ascending),))
        assert [int(each, 16) for each in found] == [*first, 1, 3]


def test_a_run_has_the_point_of_the_largest_step_then_moment_then_value(transaction: Transaction) -> None:
    run = run_of(1)
    transaction.logged_runs.add(run)
    for metric in (
        point("m", 1.0, 5, 1),
        point("m", 3.0, 2, 9),
        point("m", 2.0, 5, 0),
        point("m", 1.5, 5, 1),
    ):
        transaction.logged_runs.log(run.run_id, [metric])
    transaction.logged_runs.log(
        run.run_id, [point("n", 1.0, 1, 1), point("n", 2.0, 3, 1), point("n", 3.0, 2, 1)]
    )
    found = transaction.logged_runs.get(run.run_id)
    assert [(each.key, each.value, each.step) for each in found.metrics] == [("m", 1.5, 5), ("n", 2.0, 3)]


def test_the_same_point_twice_is_one(transaction: Transaction) -> None:
    run = run_of(1)
    transaction.logged_runs.add(run)
    for _ in range(2):
        transaction.logged_runs.log(run.run_id, [point("m", 1.0), point("m", math.nan), point("m", 1.0)])
    history = transaction.logged_runs.history(run.run_id, "m", limit=None, token="").items
    assert [str(each.value) for each in history] == ["nan", "1.0"]


def test_a_history_is_told_in_pages(transaction: Transaction) -> None:
    run = run_of(1)
    transaction.logged_runs.add(run)
    transaction.logged_runs.log(run.run_id, [point("m", n % 3, n, n // 2) for n in range(10)])
    whole = transaction.logged_runs.history(run.run_id, "m", limit=None, token="")
    assert [each.step for each in whole.items] == list(range(10))
    assert whole.token == ""
    pages, token = [], ""
    while True:
        page = transaction.logged_runs.history(run.run_id, "m", limit=3, token=token)
        pages += page.items
        if not (token := page.token):
            break
    assert tuple(pages) == whole.items


def test_a_param_keeps_its_first_value_and_nothing_else_of_the_batch_is_kept(
    transaction: Transaction,
) -> None:
    run = run_of(1)
    transaction.logged_runs.add(run)
    transaction.logged_runs.log(run.run_id, params={"a": "1"})
    transaction.logged_runs.log(run.run_id, params={"a": "1", "b": "2"})
    with pytest.raises(ParamChanged, match="'a' was '1' and would be '3'"):
        transaction.logged_runs.log(run.run_id, [point("m", 1.0)], {"a": "3", "c": "4"})
    found = transaction.logged_runs.get(run.run_id)
    assert (found.params, found.metrics) == ({"a": "1", "b": "2"}, ())


def test_what_is_deleted_is_found_by_those_who_look_for_it(transaction: Transaction) -> None:
    for number in (1, 2):
        transaction.logged_runs.add(run_of(number))
    transaction.logged_runs.update(run_of(1).run_id, lifecycle=Lifecycle.DELETED)
    assert ids(transaction) == [run_of(2).run_id]
    assert ids(transaction, view=View.DELETED) == [run_of(1).run_id]
    assert len(ids(transaction, view=View.ALL)) == 2


def test_an_experiment_takes_its_runs_with_it_and_brings_them_back(transaction: Transaction) -> None:
    made = transaction.experiments.add("e", None, {"team": "a"}, 5)
    transaction.logged_runs.add(run_of(1, experiment_id=made.experiment_id))
    transaction.experiments.turn(made.experiment_id, Lifecycle.DELETED, 6)
    assert transaction.logged_runs.bare(run_of(1).run_id).lifecycle is Lifecycle.DELETED
    with pytest.raises(ExperimentTaken, match="restore it"):
        transaction.experiments.add("e", None, {}, 7)
    transaction.experiments.turn(made.experiment_id, Lifecycle.ACTIVE, 8)
    assert transaction.logged_runs.bare(run_of(1).run_id).lifecycle is Lifecycle.ACTIVE
    assert transaction.experiments.get(made.experiment_id).updated_ms == 8


def test_what_a_run_read_and_gave_is_told_with_it(transaction: Transaction) -> None:
    run = run_of(1)
    transaction.logged_runs.add(run)
    flights = Dataset(name="flights", digest="1", source_type="local", source="x", schema="{}")
    read = DatasetInput(dataset=flights, tags={"mlflow.data.context": "training"})
    for _ in range(2):
        transaction.logged_runs.read(run.run_id, [read], ["m-1"])
        transaction.logged_runs.give(run.run_id, [ModelOutput(model_id="m-2", step=3)])
    found = transaction.logged_runs.get(run.run_id)
    assert found.datasets == (read,)
    assert (found.models_read, found.models_given) == (("m-1",), (ModelOutput(model_id="m-2", step=3),))
    condition = parse_filter("dataset.context = 'training' AND dataset.name LIKE 'fl%'", RUNS)
    assert ids(transaction, condition=condition) == [run.run_id]


def test_a_tag_that_is_not_there_cannot_be_removed(transaction: Transaction) -> None:
    transaction.logged_runs.add(run_of(1, tags={"t": "1"}))
    transaction.logged_runs.untag(run_of(1).run_id, "t")
    with pytest.raises(TagNotFound):
        transaction.logged_runs.untag(run_of(1).run_id, "t")
    with pytest.raises(RunNotFound):
        transaction.logged_runs.untag("none", "t")


def test_models_are_found_by_the_newest_value_of_a_metric_on_a_dataset(transaction: Transaction) -> None:
    transaction.logged_runs.add(run_of(1))
    for number in (1, 2):
        transaction.logged_models.add(
            LoggedModel(
                model_id=f"m-{number}",
                experiment_id=HOME,
                name=f"model-{number}",
                created_ms=number,
                updated_ms=number,
                artifact_uri="x",
            )
        )
        for step, value in enumerate([0.9, number / 10]):
            metric = Metric(
                key="auc", value=value, step=step, timestamp_ms=step, model_id=f"m-{number}", dataset_name="d"
            )
            transaction.logged_runs.log(run_of(1).run_id, [metric])

    def found(threshold: float, *datasets: tuple[str, str]) -> list[str]:
        above = Comparison(Entity.METRIC, "auc", Operator.GREATER, threshold)
        by_auc = Order(Entity.METRIC, "auc", ascending=False)
        search = Search(condition=above, orders=(by_auc,), limit=10)
        return [each.model_id for each in transaction.logged_models.search([HOME], search, datasets).items]

    assert found(0.0) == ["m-2", "m-1"]
    assert found(0.15) == ["m-2"]
    assert found(0.0, ("d", "")) == ["m-2", "m-1"]
    assert found(0.0, ("other", "")) == []


def test_a_run_that_has_ended_says_so(transaction: Transaction) -> None:
    transaction.logged_runs.add(run_of(1))
    transaction.logged_runs.update(run_of(1).run_id, status=RunStatus.FINISHED, ended_ms=9, name="other")
    found = transaction.logged_runs.bare(run_of(1).run_id)
    assert (found.status, found.ended_ms, found.name) == (RunStatus.FINISHED, 9, "other")


@pytest.mark.parametrize("wanted", [frozenset(), frozenset({(Entity.METRIC, "a"), (Entity.TAG, "none")})])
def test_a_search_gives_the_columns_that_are_wanted_and_no_others(
    transaction: Transaction, wanted: frozenset[tuple[Entity, str]]
) -> None:
    transaction.logged_runs.add(run_of(1, tags={"t": "x"}))
    transaction.logged_runs.log(run_of(1).run_id, [point("a", 1.0), point("b", 2.0)], {"p": "1"})
    search = Search(condition=AllOf(()), limit=5, columns=wanted)
    [found] = transaction.logged_runs.search([HOME], search).items
    assert [each.key for each in found.metrics] == [key for kind, key in wanted if kind is Entity.METRIC]
    assert (found.params, found.tags) == ({}, {})
    [whole] = transaction.logged_runs.search([HOME], replace(search, columns=None)).items
    assert (len(whole.metrics), whole.params, whole.tags) == (2, {"p": "1"}, {"t": "x"})
