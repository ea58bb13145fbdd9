"""What came from what, asked in the direction in which it is not written down: from what was read to its readers."""

from __future__ import annotations

__all__ = ["SHORTEST_DIGEST", "AllReaders", "SqlLineage"]

# ruff: noqa: D102 - the methods of AllReaders are those of SqlLineage

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Select, func, select

from mainspring.events import EventType
from mainspring.governance.ledger import Entry
from mainspring.ref import DataRef
from mainspring.stores.sql.registry_schema import registered_models, registered_versions
from mainspring.stores.sql.schema import data_versions, events, runs
from mainspring.stores.sql.tracking_schema import (
    datasets,
    logged_models,
    logged_runs,
    run_datasets,
    run_models,
    run_tags,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from mainspring.digest import Digest

T = TypeVar("T")

SHORTEST_DIGEST = 12
"""Digits with which a dataset of a client begins to name a data version; MLflow's own digests are shorter."""

_PARENT = "mlflow.parentRunId"
_COPY = "models:/%/%"  # the source of what was registered from another version
_AT_ONCE = 500  # names in one question


@dataclass(frozen=True, slots=True)
class SqlLineage:
    """Readers of data, models and runs, in the order in which they came; each answer is whole."""

    connection: Connection

    def data_of_digest(self, digest: str, name: str) -> DataRef | None:
        """Give the data version that a client's digest names by its first digits, of the same name if there is one."""
        if len(digest) < SHORTEST_DIGEST:
            return None
        table = data_versions.c
        rows = self.connection.execute(
            select(table.dataset, table.number)
            .where(func.substr(table.digest, 1, len(digest)) == digest)
            .order_by(table.dataset != name, table.dataset, table.number)
        )
        row = rows.first()
        return None if row is None else DataRef(row.dataset, row.number)

    def runs_of_loop_reading(self, data: DataRef) -> list[tuple[str, str]]:
        """Give the runs of pipelines that read a data version, and their products."""
        table = runs.c
        named = table.data.contains(f'"{data}"', autoescape=True)
        rows = self.connection.execute(
            select(table.run_id, table.product).where(named).order_by(table.position)
        )
        return [(row.run_id, row.product) for row in rows]

    def runs_reading_digest(self, digest: Digest) -> list[str]:
        """Give the logged runs that read a dataset whose digest is the beginning of this one."""
        return self._all(
            select(logged_runs.c.run_id)
            .join(run_datasets, run_datasets.c.run == logged_runs.c.position)
            .join(datasets, datasets.c.position == run_datasets.c.dataset)
            .where(datasets.c.digest.in_(_beginnings(digest)))
            .order_by(logged_runs.c.position)
        )

    def runs_reading_model(self, model_id: str) -> list[str]:
        """Give the logged runs that read a logged model."""
        return self._all(
            select(logged_runs.c.run_id)
            .join(run_models, run_models.c.run == logged_runs.c.position)
            .where(run_models.c.model_id == model_id, run_models.c.given.is_(False))
            .order_by(logged_runs.c.position)
        )

    def nested_runs(self, experiment_id: int) -> dict[str, list[str]]:
        """Give by run those that are nested in it, in an experiment."""
        rows = self.connection.execute(
            select(logged_runs.c.run_id, run_tags.c.value)
            .join(run_tags, run_tags.c.run == logged_runs.c.position)
            .where(logged_runs.c.experiment_id == experiment_id, run_tags.c.key == _PARENT)
            .order_by(logged_runs.c.position)
        )
        return _by_first((row.value, row.run_id) for row in rows)

    def models_of_run(self, run_id: str) -> list[str]:
        """Give the logged models that a run gave."""
        table = logged_models.c
        return self._all(select(table.model_id).where(table.source_run_id == run_id).order_by(table.position))

    def versions_of_run(self, run_id: str) -> list[tuple[str, int]]:
        """Give the versions that were registered from a run, and not from a logged model or another version."""
        table = registered_versions.c
        return self._versions(table.run_id == run_id, table.model_id == "", ~table.source.like(_COPY))

    def versions_of_model(self, model_id: str) -> list[tuple[str, int]]:
        """Give the versions that were registered from a logged model, and not from another version."""
        table = registered_versions.c
        return self._versions(table.model_id == model_id, ~table.source.like(_COPY))

    def versions_of_source(self, source: str) -> list[tuple[str, int]]:
        """Give the versions that were registered from this very source."""
        return self._versions(registered_versions.c.source == source)

    def scorings(self, subjects: Sequence[str]) -> dict[str, str]:
        """Give of some data versions the data of the event that published each, where they are answers of a model."""
        found: dict[str, str] = {}
        for start in range(0, len(subjects), _AT_ONCE):
            table = events.c
            rows = self.connection.execute(
                select(table.subject, table.data).where(
                    table.subject.in_(subjects[start : start + _AT_ONCE]),
                    table.type == EventType.DATA_VERSION_PUBLISHED.value,
                    table.data.contains('"scoring":'),
                )
            )
            found |= {row.subject: row.data for row in rows}
        return found

    def happened(self, kinds: Collection[EventType], product: str | None = None) -> list[Entry]:
        """Give the entries of some kinds, in order; with a product those about its versions."""
        table = events.c
        statement = select(events).where(table.type.in_([kind.value for kind in kinds]))
        if product is not None:  # what begins with `product@` lies before `productA`
            statement = statement.where(table.subject >= f"{product}@", table.subject < f"{product}A")
        rows = self.connection.execute(statement.order_by(table.number))
        return [Entry(**row._mapping) for row in rows]

    def all_at_once(self) -> AllReaders:
        """Read everything, for who asks about thousands."""
        digests = self.connection.execute(
            select(datasets.c.digest, logged_runs.c.run_id)
            .join(run_datasets, run_datasets.c.dataset == datasets.c.position)
            .join(logged_runs, logged_runs.c.position == run_datasets.c.run)
            .where(func.length(datasets.c.digest) >= SHORTEST_DIGEST)
            .order_by(logged_runs.c.position)
        )
        given = self.connection.execute(
            select(run_models.c.model_id, logged_runs.c.run_id)
            .join(logged_runs, logged_runs.c.position == run_models.c.run)
            .where(run_models.c.given.is_(False))
            .order_by(logged_runs.c.position)
        )
        made = self.connection.execute(
            select(logged_models.c.source_run_id, logged_models.c.model_id).order_by(logged_models.c.position)
        )
        nested = self.connection.execute(
            select(run_tags.c.value, logged_runs.c.run_id)
            .join(logged_runs, logged_runs.c.position == run_tags.c.run)
            .where(run_tags.c.key == _PARENT)
            .order_by(logged_runs.c.position)
        )
        loops = self.connection.execute(
            select(runs.c.data, runs.c.run_id, runs.c.product).order_by(runs.c.position)
        )
        versions = self.connection.execute(
            select(
                registered_models.c.name,
                registered_versions.c.number,
                registered_versions.c.run_id,
                registered_versions.c.model_id,
                registered_versions.c.source,
            )
            .join(registered_models, registered_models.c.position == registered_versions.c.model)
            .order_by(registered_versions.c.position)
        ).all()
        own = [row for row in versions if not _is_copy(row.source)]
        return AllReaders(
            loops=_by_first(
                (ref, (row.run_id, row.product)) for row in loops for ref in json.loads(row.data)
            ),
            digests=_by_first((row.digest, row.run_id) for row in digests),
            readers=_by_first((row.model_id, row.run_id) for row in given),
            nested=_by_first((row.value, row.run_id) for row in nested),
            models=_by_first((row.source_run_id, row.model_id) for row in made),
            by_run=_by_first((row.run_id, (row.name, row.number)) for row in own if not row.model_id),
            by_model=_by_first((row.model_id, (row.name, row.number)) for row in own),
            by_source=_by_first((row.source, (row.name, row.number)) for row in versions),
        )

    def _versions(self, *conditions: Any) -> list[tuple[str, int]]:
        rows = self.connection.execute(
            select(registered_models.c.name, registered_versions.c.number)
            .join(registered_models, registered_models.c.position == registered_versions.c.model)
            .where(*conditions)
            .order_by(registered_versions.c.position)
        )
        return [(row.name, row.number) for row in rows]

    def _all(self, statement: Select[Any]) -> list[str]:
        return list(dict.fromkeys(self.connection.execute(statement).scalars()))


@dataclass(frozen=True, slots=True, kw_only=True)
class AllReaders:
    """All readers of data, models and runs, in memory; it answers as `SqlLineage` does."""

    loops: Mapping[str, list[tuple[str, str]]]
    digests: Mapping[str, list[str]]
    readers: Mapping[str, list[str]]
    nested: Mapping[str, list[str]]
    models: Mapping[str, list[str]]
    by_run: Mapping[str, list[tuple[str, int]]]
    by_model: Mapping[str, list[tuple[str, int]]]
    by_source: Mapping[str, list[tuple[str, int]]]

    def runs_of_loop_reading(self, data: DataRef) -> list[tuple[str, str]]:
        return self.loops.get(str(data), [])

    def runs_reading_digest(self, digest: Digest) -> list[str]:
        found = (self.digests.get(each, ()) for each in _beginnings(digest))
        return list(dict.fromkeys(run_id for some in found for run_id in some))

    def runs_reading_model(self, model_id: str) -> list[str]:
        return self.readers.get(model_id, [])

    def models_of_run(self, run_id: str) -> list[str]:
        return self.models.get(run_id, [])

    def versions_of_run(self, run_id: str) -> list[tuple[str, int]]:
        return self.by_run.get(run_id, [])

    def versions_of_model(self, model_id: str) -> list[tuple[str, int]]:
        return self.by_model.get(model_id, [])

    def versions_of_source(self, source: str) -> list[tuple[str, int]]:
        return self.by_source.get(source, [])


def _beginnings(digest: Digest) -> list[str]:
    return [digest[:length] for length in range(SHORTEST_DIGEST, len(digest) + 1)]


def _is_copy(source: str) -> bool:
    return source.startswith("models:/") and "/" in source.removeprefix("models:/")


def _by_first(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return dict(found)
