"""Runs as clients log them, in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.tracking.store

from __future__ import annotations

__all__ = ["SqlLoggedRunStore"]

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    exists,
    select,
    update,
)

from mainspring.digest import canonical_json
from mainspring.search import AllOf, Entity, Found, Search
from mainspring.stores.sql.entries import OWNERS, parts_of, put_texts, texts_of
from mainspring.stores.sql.insert import add, add_new, insert, put
from mainspring.stores.sql.logged import columns_of, metric_of, remove, seen
from mainspring.stores.sql.marks import keep_marks, mark, read_curve
from mainspring.stores.sql.search import Searched, read_page
from mainspring.stores.sql.tracking_schema import (
    datasets,
    logged_model_metrics,
    logged_models,
    logged_runs,
    metric_points,
    run_datasets,
    run_metrics,
    run_models,
    run_params,
    run_tags,
)
from mainspring.tracking.compare import thin_places
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Lifecycle,
    Metric,
    ModelOutput,
    Run,
    RunStatus,
)
from mainspring.tracking.store import (
    LoggedModelNotFound,
    NotActive,
    ParamChanged,
    RunNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection


_CONTEXT = "mlflow.data.context"


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
        remove(self.connection, run_tags, run_tags.c.run == run, key, f"run with id {run_id}")

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

    def curve(self, run_id: str, key: str, *, shown: int, most: int) -> tuple[tuple[Metric, ...], bool]:
        rows, more = read_curve(self.connection, self._row(run_id).position, key, most=most)
        rows.sort(key=itemgetter(1, 0))
        values = [math.nan if is_nan else value for _, _, value, is_nan in rows]
        kept = [rows[place] for place in thin_places([row[1] for row in rows], values, shown)]
        points = (
            Metric(key=key, value=math.nan if is_nan else value, timestamp_ms=timestamp_ms, step=step)
            for timestamp_ms, step, value, is_nan in kept
        )
        return tuple(points), not more

    def mark(self, run_id: str, key: str) -> bool:
        return mark(self.connection, self._row(run_id).position, key)

    def search(self, experiment_ids: Sequence[int], search: Search) -> Found[Run]:
        table = logged_runs.c
        page = read_page(
            self.connection,
            _RUNS,
            and_(
                table.experiment_id.in_(experiment_ids),
                seen(logged_runs, search.view),
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
        points = [columns_of(each) | {"run": run} for each in metrics]
        named = [column.name for column in metric_points.c]
        rows = [{name: point[name] for name in named} for point in points]
        add_new(self.connection, metric_points, rows)
        keep_marks(self.connection, run, rows)
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
            columns = columns_of(each)
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
                metrics[row.run].append(metric_of(row))
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


_RANK = (run_metrics.c.step, run_metrics.c.timestamp_ms, run_metrics.c.value)
"""By which of two points of a metric the newer is known."""

_rank = itemgetter(*(column.name for column in _RANK))


def _point(row: Row[Any]) -> Metric:
    value = math.nan if row.is_nan else row.value
    return Metric(key=row.key, value=value, step=row.step, timestamp_ms=row.timestamp_ms)


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
