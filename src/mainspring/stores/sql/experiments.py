"""Experiments in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.tracking.store

from __future__ import annotations

__all__ = ["SqlExperimentStore"]

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    cast,
    func,
    select,
    update,
)

from mainspring.search import Entity, Found, Search, View
from mainspring.stores.sql.entries import put_texts, texts_of
from mainspring.stores.sql.insert import add
from mainspring.stores.sql.logged import remove, seen
from mainspring.stores.sql.search import Searched, read_page
from mainspring.stores.sql.tracking_schema import (
    experiment_tags,
    experiments,
    logged_runs,
)
from mainspring.tracking.record import (
    Experiment,
    Lifecycle,
)
from mainspring.tracking.store import (
    ExperimentNotFound,
    ExperimentTaken,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


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
            .where(seen(experiments, View.ACTIVE))
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
            remove(
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
                seen(experiments, search.view),
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
