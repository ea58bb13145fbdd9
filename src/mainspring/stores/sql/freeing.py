"""The removal of deleted runs, logged models and experiments in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.tracking.freeing

from __future__ import annotations

__all__ = ["SqlFreeingStore"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, and_, delete, or_, select

from mainspring.stores.sql.entries import parts_of
from mainspring.stores.sql.tracking_schema import (
    datasets,
    experiment_tags,
    experiments,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
    logged_runs,
    metric_late,
    metric_marked,
    metric_marks,
    metric_points,
    run_datasets,
    run_metrics,
    run_models,
    run_params,
    run_tags,
)
from mainspring.tracking.freeing import Deleted, Kind
from mainspring.tracking.record import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection

_OF_RUNS = (
    run_params,
    run_tags,
    run_metrics,
    metric_points,
    metric_marks,
    metric_late,
    metric_marked,
    run_datasets,
    run_models,
)
_OF_MODELS = (logged_model_params, logged_model_tags, logged_model_metrics)


@dataclass(frozen=True, slots=True)
class SqlFreeingStore:
    """`mainspring.tracking.freeing.FreeingStore` in SQL."""

    connection: Connection

    def deleted(self, before_ms: int) -> tuple[Deleted, ...]:
        runs = self._in_experiments(logged_runs, logged_runs.c.run_id, logged_runs.c.deleted_ms, before_ms)
        models = self._in_experiments(
            logged_models, logged_models.c.model_id, logged_models.c.updated_ms, before_ms
        )
        table = experiments.c
        # "Default", which clients log to by themselves, is never removed.
        condition = and_(_before(experiments, table.updated_ms, before_ms), table.experiment_id > 0)
        rows = self.connection.execute(select(experiments).where(condition).order_by(table.experiment_id))
        found = [
            Deleted(
                kind=Kind.EXPERIMENT,
                key=str(row.experiment_id),
                name=row.name,
                experiment_id=row.experiment_id,
                deleted_ms=row.updated_ms,
                artifact_uri=f"mlflow-artifacts:/{row.experiment_id}",
            )
            for row in rows
        ]
        return (*runs, *models, *found)

    def places(self) -> Iterator[tuple[Kind, str, str]]:
        for kind, key in ((Kind.RUN, logged_runs.c.run_id), (Kind.LOGGED_MODEL, logged_models.c.model_id)):
            for row in self.connection.execute(select(key, key.table.c.artifact_uri)):
                yield kind, row[0], row[1]

    def sources(self) -> Iterator[tuple[str, str]]:
        statement = (
            select(logged_runs.c.run_id, datasets.c.source)
            .join(run_datasets, run_datasets.c.run == logged_runs.c.position)
            .join(datasets, datasets.c.position == run_datasets.c.dataset)
            .where(datasets.c.source.contains("mlflow-artifacts"))
        )
        for row in self.connection.execute(statement):
            yield row[0], row[1]

    def filled(self) -> frozenset[int]:
        of = [select(table.c.experiment_id).distinct() for table in (logged_runs, logged_models)]
        return frozenset(number for each in of for number in self.connection.execute(each).scalars())

    def remove(self, gone: Sequence[Deleted]) -> None:
        self._remove(gone, Kind.RUN, logged_runs.c.run_id, _OF_RUNS, "run")
        self._remove(gone, Kind.LOGGED_MODEL, logged_models.c.model_id, _OF_MODELS, "model")
        for each in gone:
            if each.kind is Kind.EXPERIMENT:
                for table, owner in ((datasets, "experiment_id"), (experiment_tags, "experiment")):
                    self.connection.execute(delete(table).where(table.c[owner] == each.experiment_id))
                self.connection.execute(
                    delete(experiments).where(experiments.c.experiment_id == each.experiment_id)
                )

    def _in_experiments(
        self, table: Table, key: Column[Any], moment: Column[Any], before_ms: int
    ) -> list[Deleted]:
        with_experiment = _before(experiments, experiments.c.updated_ms, before_ms)
        statement = (
            select(
                key.label("key"),
                table.c.name,
                table.c.experiment_id,
                moment.label("itself_ms"),
                table.c.lifecycle,
                table.c.artifact_uri,
                experiments.c.updated_ms.label("experiment_ms"),
            )
            .join(experiments, experiments.c.experiment_id == table.c.experiment_id)
            .where(or_(_before(table, moment, before_ms), with_experiment))
            .order_by(table.c.position)
        )
        return [
            Deleted(
                kind=Kind.RUN if table is logged_runs else Kind.LOGGED_MODEL,
                key=row.key,
                name=row.name,
                experiment_id=row.experiment_id,
                deleted_ms=row.itself_ms
                if row.lifecycle == Lifecycle.DELETED.value and row.itself_ms is not None
                else row.experiment_ms,
                artifact_uri=row.artifact_uri,
            )
            for row in self.connection.execute(statement)
        ]

    def _remove(
        self, gone: Sequence[Deleted], kind: Kind, key: Column[Any], entries: tuple[Table, ...], owner: str
    ) -> None:
        table, ids = key.table, [each.key for each in gone if each.kind is kind]
        rows = self.connection.execute(select(table.c.position).where(key.in_(ids))) if ids else ()
        for some in parts_of([row[0] for row in rows]):
            for each in entries:
                self.connection.execute(delete(each).where(each.c[owner].in_(some)))
            self.connection.execute(delete(table).where(table.c.position.in_(some)))


def _before(table: Table, moment: Column[Any], before_ms: int) -> ColumnElement[bool]:
    return and_(table.c.lifecycle == Lifecycle.DELETED.value, moment <= before_ms)
