"""Models as clients log them, in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.tracking.store

from __future__ import annotations

__all__ = ["SqlLoggedModelStore"]

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Row,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)

from mainspring.search import Entity, Found, Search
from mainspring.stores.sql.entries import parts_of, put_texts, texts_of
from mainspring.stores.sql.insert import insert, put
from mainspring.stores.sql.logged import columns_of, metric_of, remove, seen
from mainspring.stores.sql.search import Searched, read_page
from mainspring.stores.sql.tracking_schema import (
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
)
from mainspring.tracking.record import (
    Lifecycle,
    LoggedModel,
    Metric,
    ModelStatus,
)
from mainspring.tracking.store import (
    LoggedModelNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


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
            {name: value for name, value in columns_of(each).items() if name in named}
            | {"model": position, "run_id": each.run_id}
            for each in metrics
        ]
        if rows:
            put(self.connection, logged_model_metrics, rows)

    def untag(self, model_id: str, key: str) -> None:
        model = logged_model_tags.c.model == self._row(model_id).position
        remove(self.connection, logged_model_tags, model, key, f"model with ID {model_id}")

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
                seen(logged_models, search.view),
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
                metrics[row.model].append(metric_of(row, model_id=ids[row.model], run_id=row.run_id))
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
