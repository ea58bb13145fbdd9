"""Batches, data versions and their names in SQL."""

# ruff: noqa: D102 - the methods are those of DataStore and DataNameStore

from __future__ import annotations

__all__ = ["SqlDataNames", "SqlDataStore"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, delete, func, select, update

from mainspring.clock import parse_time, time_text
from mainspring.data.name import DataName, NameKind
from mainspring.data.version import MAIN, Batch, BatchReport, Change, DataVersion, DataVersionNotFound
from mainspring.errors import Conflict
from mainspring.stores.sql.insert import add, put
from mainspring.stores.sql.schema import data_batches, data_names, data_versions
from mainspring.stores.sql.texts import fields_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainspring.digest import Digest
    from mainspring.ref import DataRef


@dataclass(frozen=True, slots=True)
class SqlDataStore:
    """`mainspring.data.version.DataStore` in SQL."""

    connection: Connection

    def add_batch(self, batch: Batch) -> None:
        row = {
            "dataset": batch.dataset,
            "digest": batch.digest,
            "at": time_text(batch.at),
            "actor": batch.actor,
            "report": msgspec.json.encode(batch.report).decode(),
            "version": batch.version,
        }
        if not add(self.connection, data_batches, row):
            raise Conflict(
                f"The batch {batch.digest[:12]} of dataset {batch.dataset!r} was handed in before: it has its answer. "
                f"To read it, run `mainspring data list {batch.dataset}`."
            )

    def find_batch(self, dataset: str, digest: Digest) -> Batch | None:
        table = data_batches.c
        row = self.connection.execute(
            select(data_batches).where(table.dataset == dataset, table.digest == digest)
        ).first()
        return _batch(row) if row else None

    def batches(self, dataset: str) -> tuple[Batch, ...]:
        table = data_batches.c
        rows = self.connection.execute(
            select(data_batches).where(table.dataset == dataset).order_by(table.position)
        )
        return tuple(map(_batch, rows))

    def add(self, version: DataVersion) -> None:
        if not add(self.connection, data_versions, _row(version)):
            raise Conflict(
                f"{version.ref} is published already: another batch came first. "
                "Read the newest version, then try again."
            )

    def get(self, ref: DataRef) -> DataVersion:
        table = data_versions.c
        row = self.connection.execute(
            select(data_versions).where(table.dataset == ref.dataset, table.number == ref.version)
        ).first()
        if row is None:
            newest = self.connection.execute(
                select(func.max(table.number)).where(table.dataset == ref.dataset)
            ).scalar()
            raise DataVersionNotFound(ref.dataset, ref.version, newest)
        return _version(row)

    def last_rewritten(self, dataset: str, branch: str) -> int | None:
        table = data_versions.c
        found: int | None = self.connection.execute(
            select(func.max(table.number)).where(
                table.dataset == dataset, table.branch == branch, table.change != Change.APPEND.value
            )
        ).scalar()
        return found

    def put(self, version: DataVersion) -> None:
        table, row = data_versions.c, _row(version)
        found = self.connection.execute(
            update(data_versions)
            .where(table.dataset == version.dataset, table.number == version.number)
            .values({name: row[name] for name in ("table_version", "retired_at")})
        )
        if not found.rowcount:
            self.get(version.ref)

    def newest(self, dataset: str, branch: str | None = MAIN) -> DataVersion | None:
        table = data_versions.c
        statement = select(data_versions).where(table.dataset == dataset)
        if branch is not None:
            statement = statement.where(table.branch == branch)
        row = self.connection.execute(statement.order_by(table.number.desc()).limit(1)).first()
        return _version(row) if row else None

    def versions(self, dataset: str | None = None) -> tuple[DataVersion, ...]:
        table = data_versions.c
        statement = select(data_versions).order_by(table.dataset, table.number)
        if dataset is not None:
            statement = statement.where(table.dataset == dataset)
        return tuple(map(_version, self.connection.execute(statement)))


@dataclass(frozen=True, slots=True)
class SqlDataNames:
    """`mainspring.data.name.DataNameStore` in SQL."""

    connection: Connection

    def put(self, name: DataName) -> None:
        put(self.connection, data_names, [fields_of(name) | {"at": time_text(name.at)}])

    def find(self, dataset: str, name: str) -> DataName | None:
        table = data_names.c
        row = self.connection.execute(
            select(data_names).where(table.dataset == dataset, table.name == name)
        ).first()
        return _name(row) if row else None

    def drop(self, dataset: str, name: str) -> None:
        table = data_names.c
        self.connection.execute(delete(data_names).where(table.dataset == dataset, table.name == name))

    def names(self, dataset: str | None = None) -> tuple[DataName, ...]:
        table = data_names.c
        statement = select(data_names).order_by(table.dataset, table.name)
        if dataset is not None:
            statement = statement.where(table.dataset == dataset)
        return tuple(map(_name, self.connection.execute(statement)))


def _name(row: Row[Any]) -> DataName:
    return DataName(**{**row._mapping, "at": parse_time(row.at), "kind": NameKind(row.kind)})


def _batch(row: Row[Any]) -> Batch:
    return Batch(
        dataset=row.dataset,
        digest=row.digest,
        at=parse_time(row.at),
        actor=row.actor,
        report=msgspec.json.decode(row.report, type=BatchReport),
        version=row.version,
    )


def _row(version: DataVersion) -> dict[str, Any]:
    return fields_of(version) | {
        "published_at": time_text(version.published_at),
        "retired_at": time_text(version.retired_at) if version.retired_at else None,
    }


def _version(row: Row[Any]) -> DataVersion:
    return DataVersion(
        **{
            **row._mapping,
            "published_at": parse_time(row.published_at),
            "change": Change(row.change),
            "retired_at": parse_time(row.retired_at) if row.retired_at else None,
        }
    )
