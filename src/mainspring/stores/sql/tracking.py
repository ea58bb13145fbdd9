"""Experiments, runs and logged models in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.tracking.store

from __future__ import annotations

__all__ = ["SqlExperimentStore", "SqlLoggedModelStore", "SqlLoggedRunStore"]

import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)

from mainspring.digest import canonical_json
from mainspring.search import AllOf, Entity, Found, Search, View
from mainspring.stores.sql.entries import OWNERS, parts_of, put_texts, texts_of
from mainspring.stores.sql.insert import add, add_new, insert, put
from mainspring.stores.sql.search import Searched, read_page
from mainspring.stores.sql.tracking_schema import (
    datasets,
    experiment_tags,
    experiments,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    logged_runs,
    metric_points,
    run_datasets,
    run_metrics,
    run_models,
    run_params,
    run_tags,
)
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Experiment,
    Lifecycle,
    LoggedModel,
    Metric,
    ModelOutput,
    ModelStatus,
    Run,
    RunStatus,
)
from mainspring.tracking.store import (
    ExperimentNotFound,
    ExperimentTaken,
    LoggedModelNotFound,
    NotActive,
    ParamChanged,
    RunNotFound,
    TagNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

_CONTEXT = "mlflow.data.context"
_COUNTED_TO = 10**12

_EXPERIMENTS = Searched(
    table=experiments,
    owner=experiments.c.experiment_id,
    attributes={
        "name": experiments.c.name,
        "experiment_id": cast(experiments.c.experiment_id, Text),
        "creation_time": experiments.c.created_ms,
        "last_update_time": experiments.c.updated_ms,
    },
    entries={Entity.TAG: (experiment_tags, experiment_tags.c.experiment)},
    found_by={},
)


def _read_dataset(
    key: str, holds: Callable[[ColumnElement[Any]], ColumnElement[bool]]
) -> ColumnElement[bool]:
    column = run_datasets.c.context if key == "context" else datasets.c[key]
    return exists().where(
        run_datasets.c.run == logged_runs.c.position,
        run_datasets.c.dataset == datasets.c.position,
        holds(column),
    )


# Statements that every call runs are made once: to make one costs more than to run it.
_RUN = select(logged_runs).where(logged_runs.c.run_id == bindparam("id"))
_METRICS_OF = (
    select(run_metrics).where(run_metrics.c.run.in_(OWNERS)).order_by(run_metrics.c.run, run_metrics.c.key)
)
_DATASETS_OF = (
    select(run_datasets.c.run, run_datasets.c.tags, datasets)
    .join(datasets)
    .where(run_datasets.c.run.in_(OWNERS))
    .order_by(run_datasets.c.run, datasets.c.position)
)
_MODELS_OF = (
    select(run_models).where(run_models.c.run.in_(OWNERS)).order_by(run_models.c.run, run_models.c.model_id)
)

_WHOLE = Search(condition=AllOf(()), limit=1)
"""What is wanted of a run where nothing is left out."""

_RUNS = Searched(
    table=logged_runs,
    owner=logged_runs.c.position,
    attributes={
        "run_id": logged_runs.c.run_id,
        "run_name": logged_runs.c.name,
        "user_id": logged_runs.c.user_id,
        "status": logged_runs.c.status,
        "artifact_uri": logged_runs.c.artifact_uri,
        "start_time": logged_runs.c.started_ms,
        "end_time": logged_runs.c.ended_ms,
    },
    entries={
        Entity.METRIC: (run_metrics, run_metrics.c.run),
        Entity.PARAM: (run_params, run_params.c.run),
        Entity.TAG: (run_tags, run_tags.c.run),
    },
    found_by={Entity.DATASET: _read_dataset},
)

_MODELS = Searched(
    table=logged_models,
    owner=logged_models.c.position,
    attributes={
        "name": logged_models.c.name,
        "model_id": logged_models.c.model_id,
        "experiment_id": cast(logged_models.c.experiment_id, Text),
        "source_run_id": logged_models.c.source_run_id,
        "status": logged_models.c.status,
        "model_type": logged_models.c.model_type,
        "creation_timestamp": logged_models.c.created_ms,
        "last_updated_timestamp": logged_models.c.updated_ms,
    },
    entries={
        Entity.PARAM: (logged_model_params, logged_model_params.c.model),
        Entity.TAG: (logged_model_tags, logged_model_tags.c.model),
    },
    found_by={},
)


@dataclass(frozen=True, slots=True)
class SqlExperimentStore:
    """`mainspring.tracking.store.ExperimentStore` in SQL."""

    connection: Connection

    def add(self, name: str, location: str | None, tags: Mapping[str, str], now_ms: int) -> Experiment:
        experiment_id = self._next_id()
        return self.record(
            Experiment(
                experiment_id=experiment_id,
                name=name,
                artifact_location=location or f"mlflow-artifacts:/{experiment_id}",
                created_ms=now_ms,
                updated_ms=now_ms,
                tags=tags,
            )
        )

    def record(self, experiment: Experiment) -> Experiment:
        row = {
            "experiment_id": experiment.experiment_id,
            "name": experiment.name,
            "artifact_location": experiment.artifact_location,
            "lifecycle": experiment.lifecycle.value,
            "created_ms": experiment.created_ms,
            "updated_ms": experiment.updated_ms,
        }
        if not add(self.connection, experiments, row):
            if self._exists(experiments.c.name == experiment.name):
                raise ExperimentTaken(experiment.name, self.named(experiment.name).lifecycle)
            here = f"mlflow-artifacts:/{experiment.experiment_id}"
            number = self._next_id()
            location = experiment.artifact_location
            return self.record(
                replace(
                    experiment,
                    experiment_id=number,
                    artifact_location=f"mlflow-artifacts:/{number}" if location == here else location,
                )
            )
        self._put_tags(experiment.experiment_id, experiment.tags)
        return self.get(experiment.experiment_id)

    def get(self, experiment_id: int) -> Experiment:
        return self._one(experiments.c.experiment_id == experiment_id, f"ID {experiment_id}")

    def named(self, name: str) -> Experiment:
        return self._one(experiments.c.name == name, f"name {name!r}")

    def names(self) -> tuple[tuple[int, str, int], ...]:
        table = experiments.c
        statement = (
            select(table.experiment_id, table.name, table.updated_ms)
            .where(_seen(experiments, View.ACTIVE))
            .order_by(table.updated_ms.desc(), table.experiment_id.desc())
        )
        return tuple(
            (row.experiment_id, row.name, row.updated_ms) for row in self.connection.execute(statement)
        )

    def rename(self, experiment_id: int, name: str, now_ms: int) -> None:
        table = experiments.c
        statement = select(table.lifecycle).where(table.name == name, table.experiment_id != experiment_id)
        taken = self.connection.execute(statement).scalar()
        if taken is not None:
            raise ExperimentTaken(name, Lifecycle(taken))
        self._update(experiment_id, name=name, updated_ms=now_ms)

    def turn(self, experiment_id: int, lifecycle: Lifecycle, now_ms: int) -> None:
        self._update(experiment_id, lifecycle=lifecycle.value, updated_ms=now_ms)
        statement = update(logged_runs).where(logged_runs.c.experiment_id == experiment_id)
        self.connection.execute(statement.values(lifecycle=lifecycle.value, deleted_ms=now_ms))

    def settle(self, experiment_id: int, lifecycle: Lifecycle, updated_ms: int) -> None:
        self._update(experiment_id, lifecycle=lifecycle.value, updated_ms=updated_ms)

    def tag(self, experiment_id: int, tags: Mapping[str, str | None], now_ms: int) -> None:
        self._put_tags(experiment_id, {key: value for key, value in tags.items() if value is not None})
        for key in (key for key, value in tags.items() if value is None):
            _remove(
                self.connection,
                experiment_tags,
                experiment_tags.c.experiment == experiment_id,
                key,
                f"experiment with ID {experiment_id}",
            )
        self._update(experiment_id, updated_ms=now_ms)

    def search(self, search: Search) -> Found[Experiment]:
        page = read_page(
            self.connection,
            _EXPERIMENTS,
            and_(
                _seen(experiments, search.view),
                _EXPERIMENTS.where(search.condition, self.connection.dialect.name),
            ),
            search.orders,
            [(experiments.c.created_ms, False), (experiments.c.experiment_id, False)],
            limit=search.limit,
            token=search.token,
        )
        tags = texts_of(
            self.connection, experiment_tags, "experiment", [row.experiment_id for row in page.rows]
        )
        return Found(tuple(_experiment(row, tags[row.experiment_id]) for row in page.rows), page.token)

    def _one(self, condition: ColumnElement[bool], named: str) -> Experiment:
        row = self.connection.execute(select(experiments).where(condition)).first()
        if row is None:
            raise ExperimentNotFound(named)
        return _experiment(
            row,
            texts_of(self.connection, experiment_tags, "experiment", [row.experiment_id])[row.experiment_id],
        )

    def _next_id(self) -> int:
        # Ids that were brought from elsewhere may be huge; ours go on counting below them.
        table = experiments.c
        statement = select(func.max(table.experiment_id)).where(table.experiment_id < _COUNTED_TO)
        return int(self.connection.execute(statement).scalar() or 0) + 1

    def _exists(self, condition: ColumnElement[bool]) -> bool:
        return self.connection.execute(select(experiments.c.name).where(condition)).first() is not None

    def _update(self, experiment_id: int, **values: object) -> None:
        statement = update(experiments).where(experiments.c.experiment_id == experiment_id)
        self.connection.execute(statement.values(**values))

    def _put_tags(self, experiment_id: int, tags: Mapping[str, str]) -> None:
        put_texts(self.connection, experiment_tags, "experiment", experiment_id, tags)


@dataclass(frozen=True, slots=True)
class SqlLoggedRunStore:
    """`mainspring.tracking.store.LoggedRunStore` in SQL."""

    connection: Connection

    def add(self, run: Run) -> None:
        row = {
            "run_id": run.run_id,
            "experiment_id": run.experiment_id,
            "name": run.name,
            "user_id": run.user_id,
            "status": run.status.value,
            "lifecycle": run.lifecycle.value,
            "started_ms": run.started_ms,
            "ended_ms": run.ended_ms,
            "artifact_uri": run.artifact_uri,
            "deleted_ms": run.deleted_ms,
        }
        statement = insert(self.connection, logged_runs).returning(logged_runs.c.position)
        position = self.connection.execute(statement, row).scalar_one()
        put_texts(self.connection, run_tags, "run", position, run.tags)

    def get(self, run_id: str) -> Run:
        return self._whole([self._row(run_id)])[0]

    def bare(self, run_id: str) -> Run:
        return _run(self._row(run_id))

    def update(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        ended_ms: int | None = None,
        name: str | None = None,
        lifecycle: Lifecycle | None = None,
        deleted_ms: int | None = None,
    ) -> None:
        given = {
            "status": status,
            "ended_ms": ended_ms,
            "name": name,
            "lifecycle": lifecycle,
            "deleted_ms": deleted_ms,
        }
        changed = {key: value for key, value in given.items() if value is not None}
        if changed:
            statement = update(logged_runs).where(logged_runs.c.run_id == run_id)
            self.connection.execute(statement.values(**changed))

    def log(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] = {},
        tags: Mapping[str, str] = {},
    ) -> None:
        run = self._writable(run_id).position
        if params:
            self._add_params(run_id, run, params)
        if metrics:
            self._add_points(run_id, run, metrics)
        put_texts(self.connection, run_tags, "run", run, tags)

    def untag(self, run_id: str, key: str) -> None:
        run = self._writable(run_id).position
        _remove(self.connection, run_tags, run_tags.c.run == run, key, f"run with id {run_id}")

    def read(self, run_id: str, datasets_read: Iterable[DatasetInput], models: Iterable[str]) -> None:
        row = self._writable(run_id)
        for each in datasets_read:
            entry = {
                "run": row.position,
                "dataset": self._dataset(row.experiment_id, each.dataset),
                "context": each.tags.get(_CONTEXT),
                "tags": canonical_json(dict(each.tags)),
            }
            add(self.connection, run_datasets, entry)
        for model_id in models:
            add(
                self.connection,
                run_models,
                {"run": row.position, "given": False, "model_id": model_id, "step": 0},
            )

    def give(self, run_id: str, models: Iterable[ModelOutput]) -> None:
        run = self._writable(run_id).position
        for model in models:
            entry = {"run": run, "given": True, "model_id": model.model_id, "step": model.step}
            add(self.connection, run_models, entry)

    def history(self, run_id: str, key: str, *, limit: int | None, token: str) -> Found[Metric]:
        table = metric_points.c
        searched = Searched(metric_points, table.run, {}, {}, {})
        of_run = select(logged_runs.c.position).where(logged_runs.c.run_id == run_id).scalar_subquery()
        order = (table.timestamp_ms, table.step, table.value, case((table.is_nan.is_(True), 1), else_=0))
        # A page may be all of it: a client that asks for no page size expects that.
        page = read_page(
            self.connection,
            searched,
            and_(table.run == of_run, table.key == key),
            (),
            [(column, True) for column in order],
            limit=limit if limit is not None else 2**62,
            token=token,
        )
        return Found(tuple(_point(row) for row in page.rows), page.token)

    def search(self, experiment_ids: Sequence[int], search: Search) -> Found[Run]:
        table = logged_runs.c
        page = read_page(
            self.connection,
            _RUNS,
            and_(
                table.experiment_id.in_(experiment_ids),
                _seen(logged_runs, search.view),
                _RUNS.where(search.condition, self.connection.dialect.name),
            ),
            search.orders,
            [(table.started_ms, False), (table.run_id, True)],
            limit=search.limit,
            token=search.token,
        )
        return Found(self._whole(page.rows, search), page.token)

    def _row(self, run_id: str) -> Row[Any]:
        row = self.connection.execute(_RUN, {"id": run_id}).first()
        if row is None:
            raise RunNotFound(run_id)
        return row

    def _writable(self, run_id: str) -> Row[Any]:
        row = self._row(run_id)
        if row.lifecycle != Lifecycle.ACTIVE.value:
            raise NotActive(f"run {run_id}", Lifecycle(row.lifecycle))
        return row

    def _add_params(self, run_id: str, run: int, params: Mapping[str, str]) -> None:
        table = run_params.c
        statement = select(table.key, table.value).where(table.run == run, table.key.in_(params))
        known = {row.key: row.value for row in self.connection.execute(statement)}
        changed = {key: (old, params[key]) for key, old in known.items() if params[key] != old}
        if changed:
            raise ParamChanged(run_id, changed)
        put_texts(
            self.connection, run_params, "run", run, {key: params[key] for key in params if key not in known}
        )

    def _add_points(self, run_id: str, run: int, metrics: Sequence[Metric]) -> None:
        points = [_columns(each) | {"run": run} for each in metrics]
        named = [column.name for column in metric_points.c]
        add_new(self.connection, metric_points, [{name: point[name] for name in named} for point in points])
        newest: dict[str, dict[str, Any]] = {}
        for point in points:
            before = newest.get(point["key"])
            if before is None or _rank(point) >= _rank(before):
                newest[point["key"]] = point
        put(self.connection, run_metrics, list(newest.values()), unless_below=_RANK)
        with_models = [each for each in metrics if each.model_id]
        if with_models:
            self._add_model_metrics(run_id, with_models)

    def _add_model_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        table = logged_models.c
        statement = select(table.model_id, table.position).where(
            table.model_id.in_({each.model_id for each in metrics})
        )
        positions = {row.model_id: row.position for row in self.connection.execute(statement)}
        named = [column.name for column in logged_model_metrics.c if column.name not in ("model", "run_id")]
        rows = []
        for each in metrics:
            if each.model_id not in positions:
                raise LoggedModelNotFound(each.model_id)
            columns = _columns(each)
            rows.append(
                {name: columns[name] for name in named}
                | {"model": positions[each.model_id], "run_id": run_id}
            )
        put(self.connection, logged_model_metrics, rows)

    def _dataset(self, experiment_id: int, dataset: Dataset) -> int:
        row = {
            "experiment_id": experiment_id,
            "name": dataset.name,
            "digest": dataset.digest,
            "source_type": dataset.source_type,
            "source": dataset.source,
            "schema": dataset.schema,
            "profile": dataset.profile,
        }
        add(self.connection, datasets, row)
        table = datasets.c
        statement = select(table.position).where(
            table.experiment_id == experiment_id, table.name == dataset.name, table.digest == dataset.digest
        )
        position: int = self.connection.execute(statement).scalar_one()
        return position

    def _whole(self, rows: Sequence[Row[Any]], wanted: Search = _WHOLE) -> tuple[Run, ...]:
        """Give runs with all that is wanted of what was logged, reading each kind of entry at once for all."""
        owners = [row.position for row in rows]
        params = texts_of(self.connection, run_params, "run", owners, wanted.keys(Entity.PARAM))
        tags = texts_of(self.connection, run_tags, "run", owners, wanted.keys(Entity.TAG))
        metrics_of, named = _METRICS_OF, wanted.keys(Entity.METRIC)
        if named is not None:
            metrics_of = metrics_of.where(run_metrics.c.key.in_(named))
        metrics: dict[int, list[Metric]] = defaultdict(list)
        inputs: dict[int, list[DatasetInput]] = defaultdict(list)
        models: dict[tuple[int, bool], list[ModelOutput]] = defaultdict(list)
        for some in parts_of(owners):
            for row in self.connection.execute(metrics_of, {"owners": some}):
                metrics[row.run].append(_metric(row))
            for row in self.connection.execute(_DATASETS_OF, {"owners": some}):
                inputs[row.run].append(DatasetInput(dataset=_dataset(row), tags=json.loads(row.tags)))
            for row in self.connection.execute(_MODELS_OF, {"owners": some}):
                models[row.run, row.given].append(ModelOutput(model_id=row.model_id, step=row.step))
        return tuple(
            _run(
                row,
                metrics=tuple(metrics[row.position]),
                params=params[row.position],
                tags=tags[row.position],
                datasets=tuple(inputs[row.position]),
                models_read=tuple(each.model_id for each in models[row.position, False]),
                models_given=tuple(models[row.position, True]),
            )
            for row in rows
        )


@dataclass(frozen=True, slots=True)
class SqlLoggedModelStore:
    """`mainspring.tracking.store.LoggedModelStore` in SQL."""

    connection: Connection

    def add(self, model: LoggedModel) -> None:
        row = {
            "model_id": model.model_id,
            "experiment_id": model.experiment_id,
            "name": model.name,
            "model_type": model.model_type,
            "source_run_id": model.source_run_id,
            "status": model.status.value,
            "lifecycle": model.lifecycle.value,
            "created_ms": model.created_ms,
            "updated_ms": model.updated_ms,
            "artifact_uri": model.artifact_uri,
        }
        statement = insert(self.connection, logged_models).returning(logged_models.c.position)
        position = self.connection.execute(statement, row).scalar_one()
        put_texts(self.connection, logged_model_params, "model", position, model.params)
        put_texts(self.connection, logged_model_tags, "model", position, model.tags)

    def get(self, model_id: str) -> LoggedModel:
        return self._whole([self._row(model_id)])[0]

    def update(
        self,
        model_id: str,
        now_ms: int,
        *,
        status: ModelStatus | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        given = {"status": status, "lifecycle": lifecycle, "updated_ms": now_ms}
        changed = {key: value for key, value in given.items() if value is not None}
        statement = update(logged_models).where(logged_models.c.model_id == model_id)
        self.connection.execute(statement.values(**changed))

    def log(self, model_id: str, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}) -> None:
        position = self._row(model_id).position
        put_texts(self.connection, logged_model_params, "model", position, params)
        put_texts(self.connection, logged_model_tags, "model", position, tags)

    def measure(self, model_id: str, metrics: Sequence[Metric]) -> None:
        position = self._row(model_id).position
        named = [column.name for column in logged_model_metrics.c if column.name not in ("model", "run_id")]
        rows = [
            {name: value for name, value in _columns(each).items() if name in named}
            | {"model": position, "run_id": each.run_id}
            for each in metrics
        ]
        if rows:
            put(self.connection, logged_model_metrics, rows)

    def untag(self, model_id: str, key: str) -> None:
        model = logged_model_tags.c.model == self._row(model_id).position
        _remove(self.connection, logged_model_tags, model, key, f"model with ID {model_id}")

    def search(
        self, experiment_ids: Sequence[int], search: Search, datasets_named: Sequence[tuple[str, str]] = ()
    ) -> Found[LoggedModel]:
        table, measured = logged_models.c, logged_model_metrics.c
        on_datasets = or_(
            false(),
            *(
                and_(measured.dataset_name == name, measured.dataset_digest == digest if digest else true())
                for name, digest in datasets_named
            ),
        )
        last = func.row_number().over(
            partition_by=(measured.model, measured.key),
            order_by=(measured.timestamp_ms.desc(), measured.step.desc(), measured.value.desc()),
        )
        ranked = select(logged_model_metrics, last.label("place"))
        ranked = ranked.where(on_datasets) if datasets_named else ranked
        numbered = ranked.subquery()
        newest = select(numbered).where(numbered.c.place == 1).subquery()
        models = replace(_MODELS, entries={**_MODELS.entries, Entity.METRIC: (newest, newest.c.model)})
        page = read_page(
            self.connection,
            models,
            and_(
                table.experiment_id.in_(experiment_ids),
                _seen(logged_models, search.view),
                exists().where(measured.model == table.position, on_datasets) if datasets_named else true(),
                models.where(search.condition, self.connection.dialect.name),
            ),
            search.orders,
            [(table.created_ms, False), (table.model_id, True)],
            limit=search.limit,
            token=search.token,
        )
        return Found(self._whole(page.rows), page.token)

    def _row(self, model_id: str) -> Row[Any]:
        row = self.connection.execute(
            select(logged_models).where(logged_models.c.model_id == model_id)
        ).first()
        if row is None:
            raise LoggedModelNotFound(model_id)
        return row

    def _whole(self, rows: Sequence[Row[Any]]) -> tuple[LoggedModel, ...]:
        owners = [row.position for row in rows]
        params = texts_of(self.connection, logged_model_params, "model", owners)
        tags = texts_of(self.connection, logged_model_tags, "model", owners)
        metrics: dict[int, list[Metric]] = defaultdict(list)
        ids = {row.position: row.model_id for row in rows}
        for some in parts_of(owners):
            table = logged_model_metrics.c
            statement = select(logged_model_metrics).where(table.model.in_(some))
            statement = statement.order_by(table.model, table.key, table.timestamp_ms, table.step)
            for row in self.connection.execute(statement):
                metrics[row.model].append(_metric(row, model_id=ids[row.model], run_id=row.run_id))
        return tuple(
            LoggedModel(
                model_id=row.model_id,
                experiment_id=row.experiment_id,
                name=row.name,
                model_type=row.model_type,
                source_run_id=row.source_run_id,
                status=ModelStatus(row.status),
                lifecycle=Lifecycle(row.lifecycle),
                created_ms=row.created_ms,
                updated_ms=row.updated_ms,
                artifact_uri=row.artifact_uri,
                params=params[row.position],
                tags=tags[row.position],
                metrics=tuple(metrics[row.position]),
            )
            for row in rows
        )


_RANK = (run_metrics.c.step, run_metrics.c.timestamp_ms, run_metrics.c.value)


_rank = itemgetter(*(column.name for column in _RANK))


def _columns(metric: Metric) -> dict[str, Any]:
    nan = math.isnan(metric.value)
    return {
        "key": metric.key,
        "value": 0.0 if nan else metric.value,
        "is_nan": nan,
        "step": metric.step,
        "timestamp_ms": metric.timestamp_ms,
        "model_id": metric.model_id,
        "dataset_name": metric.dataset_name,
        "dataset_digest": metric.dataset_digest,
    }


def _point(row: Row[Any]) -> Metric:
    value = math.nan if row.is_nan else row.value
    return Metric(key=row.key, value=value, step=row.step, timestamp_ms=row.timestamp_ms)


def _metric(row: Row[Any], *, model_id: str | None = None, run_id: str = "") -> Metric:
    return Metric(
        key=row.key,
        value=math.nan if row.is_nan else row.value,
        step=row.step,
        timestamp_ms=row.timestamp_ms,
        model_id=row.model_id if model_id is None else model_id,
        dataset_name=row.dataset_name,
        dataset_digest=row.dataset_digest,
        run_id=run_id,
    )


def _experiment(row: Row[Any], tags: Mapping[str, str]) -> Experiment:
    return Experiment(
        experiment_id=row.experiment_id,
        name=row.name,
        artifact_location=row.artifact_location,
        lifecycle=Lifecycle(row.lifecycle),
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        tags=tags,
    )


def _dataset(row: Row[Any]) -> Dataset:
    return Dataset(
        name=row.name,
        digest=row.digest,
        source_type=row.source_type,
        source=row.source,
        schema=row.schema,
        profile=row.profile,
    )


def _run(row: Row[Any], **entries: Any) -> Run:
    return Run(
        run_id=row.run_id,
        experiment_id=row.experiment_id,
        name=row.name,
        user_id=row.user_id,
        status=RunStatus(row.status),
        lifecycle=Lifecycle(row.lifecycle),
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        artifact_uri=row.artifact_uri,
        deleted_ms=row.deleted_ms,
        **entries,
    )


def _seen(table: Table, view: View) -> ColumnElement[bool]:
    match view:
        case View.ALL:
            return true()
        case View.ACTIVE:
            return table.c.lifecycle == Lifecycle.ACTIVE.value
        case View.DELETED:
            return table.c.lifecycle == Lifecycle.DELETED.value


def _remove(connection: Connection, table: Table, of: ColumnElement[bool], key: str, told: str) -> None:
    if connection.execute(delete(table).where(of, table.c.key == key)).rowcount == 0:
        raise TagNotFound(key, told)
