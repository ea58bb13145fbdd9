"""Model versions and aliases in SQL."""

# ruff: noqa: D102 - the methods are those of RegistryStore

from __future__ import annotations

__all__ = ["SqlRegistryStore"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, select

from mainspring.clock import parse_time, time_text
from mainspring.digest import canonical_json
from mainspring.errors import Conflict
from mainspring.ref import ModelRef
from mainspring.registry.registered import RegisteredVersion
from mainspring.registry.version import ModelVersion, ModelVersionNotFound, StaleAlias
from mainspring.stores.sql.insert import add, insert
from mainspring.stores.sql.registered import SqlRegisteredModelStore, SqlRegisteredVersionStore
from mainspring.stores.sql.registry_schema import registered_models
from mainspring.stores.sql.schema import model_aliases, model_versions
from mainspring.stores.sql.texts import fields_of, json_text, numbers, numbers_text

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class SqlRegistryStore:
    """`mainspring.registry.version.RegistryStore` in SQL."""

    connection: Connection

    def reserve(self, product: str, at: datetime) -> None:
        self._models.reserve(product, _ms(at))

    def is_taken(self, product: str) -> bool:
        table = registered_models.c
        statement = select(table.name).where(table.name == product, table.product.is_(False))
        return self.connection.execute(statement).first() is not None

    def add(self, version: ModelVersion) -> None:
        row = fields_of(version) | {
            "data": canonical_json(version.data),
            "lineage": json_text(version.lineage),
            "metrics": numbers_text(version.metrics),
            "registered_at": time_text(version.registered_at),
        }
        if not add(self.connection, model_versions, row):
            raise Conflict(f"{version.ref} is registered already. Read the newest version, then try again.")
        self.reserve(version.product, version.registered_at)
        SqlRegisteredVersionStore(self.connection).record(_registered(version))

    def get(self, ref: ModelRef) -> ModelVersion:
        table = model_versions.c
        statement = select(model_versions).where(table.product == ref.product)
        if isinstance(ref.version, int):
            statement = statement.where(table.number == ref.version)
        else:
            statement = statement.join(model_aliases).where(model_aliases.c.alias == ref.version)
        row = self.connection.execute(statement).first()
        if row is None:
            raise ModelVersionNotFound(ref, self._newest(ref.product))
        return _version(row)

    def versions(self, product: str | None = None) -> tuple[ModelVersion, ...]:
        table = model_versions.c
        statement = select(model_versions).order_by(table.product, table.number)
        if product is not None:
            statement = statement.where(table.product == product)
        return tuple(map(_version, self.connection.execute(statement)))

    def aliases(self, product: str) -> dict[str, int]:
        table = model_aliases.c
        rows = self.connection.execute(
            select(table.alias, table.number).where(table.product == product).order_by(table.alias)
        )
        return {row.alias: row.number for row in rows}

    def move(self, product: str, alias: str, *, expected: int | None, to: int | None) -> None:
        # Nobody else writes between the reading and the writing: writers wait for one another.
        found = self.aliases(product).get(alias)
        if found != expected:
            raise StaleAlias(ModelRef(product, alias), expected, found)
        if to is None:
            table = model_aliases.c
            self.connection.execute(
                delete(model_aliases).where(table.product == product, table.alias == alias)
            )
            self._models.point(product, alias, None)
            return
        self.get(ModelRef(product, to))
        statement = insert(self.connection, model_aliases)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["product", "alias"], set_={"number": statement.excluded.number}
            ),
            {"product": product, "alias": alias, "number": to},
        )
        self._models.point(product, alias, to)

    @property
    def _models(self) -> SqlRegisteredModelStore:
        return SqlRegisteredModelStore(self.connection)

    def _newest(self, product: str) -> int | None:
        table = model_versions.c
        newest: int | None = self.connection.execute(
            select(func.max(table.number)).where(table.product == product)
        ).scalar()
        return newest


def _registered(version: ModelVersion) -> RegisteredVersion:
    at = _ms(version.registered_at)
    return RegisteredVersion(
        name=version.product,
        number=version.number,
        source=f"mainspring:/{version.ref}",
        location="",
        run_id=version.run_id,
        description=version.reason,
        created_ms=at,
        updated_ms=at,
        tags={"mainspring.cycle": version.cycle_id, "mainspring.artifact": version.artifact},
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _version(row: Row[Any]) -> ModelVersion:
    return ModelVersion(
        **{
            **row._mapping,
            "data": tuple(json.loads(row.data)),
            "lineage": json.loads(row.lineage),
            "metrics": numbers(row.metrics),
            "registered_at": parse_time(row.registered_at),
        }
    )
