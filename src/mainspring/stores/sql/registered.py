"""Registered models and their versions in SQL."""

# ruff: noqa: D102 - the methods are those of mainspring.registry.registered

from __future__ import annotations

__all__ = ["SqlRegisteredModelStore", "SqlRegisteredVersionStore"]

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Row, Table, case, delete, exists, func, select, true, update

from mainspring.registry.registered import (
    RegisteredModel,
    RegisteredModelNotFound,
    RegisteredModelTaken,
    RegisteredVersion,
    RegisteredVersionNotFound,
    Stage,
)
from mainspring.search import Entity, Found, Search
from mainspring.stores.sql.entries import OWNERS, parts_of, put_texts, texts_of
from mainspring.stores.sql.insert import add, insert, put
from mainspring.stores.sql.registry_schema import (
    registered_aliases,
    registered_model_tags,
    registered_models,
    registered_version_tags,
    registered_versions,
)
from mainspring.stores.sql.search import Searched, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    Holds = Callable[[ColumnElement[Any]], ColumnElement[bool]]

# A version says its model's name, which is kept once, so that a model can be renamed.
_named = (
    select(registered_versions, registered_models.c.name)
    .join(registered_models, registered_models.c.position == registered_versions.c.model)
    .subquery("versions")
)


def _model_has_alias(key: str, holds: Holds) -> ColumnElement[bool]:
    table = registered_aliases.c
    return exists().where(table.model == registered_models.c.position, holds(table.alias))


def _version_has_alias(key: str, holds: Holds) -> ColumnElement[bool]:
    table = registered_aliases.c
    return exists().where(table.version == _named.c.position, holds(table.alias))


_MODELS = Searched(
    table=registered_models,
    owner=registered_models.c.position,
    attributes={
        "name": registered_models.c.name,
        "creation_timestamp": registered_models.c.created_ms,
        "last_updated_timestamp": registered_models.c.updated_ms,
    },
    entries={Entity.TAG: (registered_model_tags, registered_model_tags.c.model)},
    found_by={Entity.ALIAS: _model_has_alias},
)

_VERSIONS = Searched(
    table=_named,
    owner=_named.c.position,
    attributes={
        "name": _named.c.name,
        "run_id": _named.c.run_id,
        "source_path": _named.c.source,
        "current_stage": _named.c.stage,
        "version_number": _named.c.number,
        "creation_timestamp": _named.c.created_ms,
        "last_updated_timestamp": _named.c.updated_ms,
    },
    entries={Entity.TAG: (registered_version_tags, registered_version_tags.c.version)},
    found_by={Entity.ALIAS: _version_has_alias},
)

_PLACE = func.row_number().over(
    partition_by=(_named.c.model, _named.c.stage), order_by=_named.c.number.desc()
)
_ranked = select(_named, _PLACE.label("place")).where(_named.c.model.in_(OWNERS)).subquery()
_LATEST_OF = select(_ranked).where(_ranked.c.place == 1).order_by(_ranked.c.number)
_ALIASES_OF = (
    select(registered_aliases, registered_versions.c.number)
    .join(registered_versions, registered_versions.c.position == registered_aliases.c.version)
    .where(registered_aliases.c.model.in_(OWNERS))
    .order_by(registered_aliases.c.model, registered_aliases.c.alias)
)
_ALIASES_OF_VERSIONS = (
    select(registered_aliases.c.version, registered_aliases.c.alias)
    .where(registered_aliases.c.version.in_(OWNERS))
    .order_by(registered_aliases.c.alias)
)


@dataclass(frozen=True, slots=True)
class SqlRegisteredModelStore:
    """`mainspring.registry.registered.RegisteredModelStore` in SQL."""

    connection: Connection

    def add(self, name: str, description: str, tags: Mapping[str, str], now_ms: int) -> RegisteredModel:
        self._add(name, description, tags, now_ms, product=False)
        return self.get(name)

    def get(self, name: str) -> RegisteredModel:
        return self._whole([self._row(name)])[0]

    def rename(self, name: str, to: str, now_ms: int) -> None:
        row, taken = self._row(name), self._find(to)
        if taken is not None and taken.position != row.position:
            raise RegisteredModelTaken(to, product=taken.product)
        self._update(row.position, name=to, updated_ms=now_ms)
        table = registered_versions.c
        self.connection.execute(
            update(registered_versions).where(table.model == row.position).values(updated_ms=now_ms)
        )

    def describe(self, name: str, description: str, now_ms: int) -> None:
        self._update(self._row(name).position, description=description, updated_ms=now_ms)

    def remove(self, name: str) -> None:
        position, table = self._row(name).position, registered_versions.c
        versions = select(table.position).where(table.model == position)
        for gone in (
            delete(registered_aliases).where(registered_aliases.c.model == position),
            delete(registered_version_tags).where(registered_version_tags.c.version.in_(versions)),
            delete(registered_versions).where(table.model == position),
            delete(registered_model_tags).where(registered_model_tags.c.model == position),
            delete(registered_models).where(registered_models.c.position == position),
        ):
            self.connection.execute(gone)

    def tag(self, name: str, key: str, value: str | None) -> bool:
        return _tag(self.connection, registered_model_tags, "model", self._row(name).position, key, value)

    def point(self, name: str, alias: str, number: int | None) -> None:
        position, table = self._row(name).position, registered_aliases.c
        if number is None:
            self.connection.execute(
                delete(registered_aliases).where(table.model == position, table.alias == alias)
            )
            return
        version = SqlRegisteredVersionStore(self.connection).row(name, number)
        put(
            self.connection,
            registered_aliases,
            [{"model": position, "alias": alias, "version": version.position}],
        )

    def date(self, name: str, updated_ms: int) -> None:
        self._update(self._row(name).position, updated_ms=updated_ms)

    def search(self, search: Search) -> Found[RegisteredModel]:
        page = read_page(
            self.connection,
            _MODELS,
            _MODELS.where(search.condition, self.connection.dialect.name),
            search.orders,
            [(registered_models.c.name, True)],
            limit=search.limit,
            token=search.token,
        )
        return Found(self._whole(page.rows), page.token)

    def reserve(self, product: str, now_ms: int) -> None:
        """Take a product's name for it; raises `RegisteredModelTaken` where a client has it."""
        found = self._find(product)
        if found is None:
            self._add(product, "", {"mainspring.product": product}, now_ms, product=True)
        elif not found.product:
            raise RegisteredModelTaken(product, product=False)

    def _add(
        self, name: str, description: str, tags: Mapping[str, str], now_ms: int, *, product: bool
    ) -> None:
        row = {
            "name": name,
            "description": description,
            "product": product,
            "newest": 0,
            "created_ms": now_ms,
            "updated_ms": now_ms,
        }
        if not add(self.connection, registered_models, row):
            raise RegisteredModelTaken(name, product=self._row(name).product)
        put_texts(self.connection, registered_model_tags, "model", self._row(name).position, tags)

    def _row(self, name: str) -> Row[Any]:
        row = self._find(name)
        if row is None:
            raise RegisteredModelNotFound(name)
        return row

    def _find(self, name: str) -> Row[Any] | None:
        return self.connection.execute(
            select(registered_models).where(registered_models.c.name == name)
        ).first()

    def _update(self, position: int, **values: object) -> None:
        statement = update(registered_models).where(registered_models.c.position == position)
        self.connection.execute(statement.values(**values))

    def _whole(self, rows: Sequence[Row[Any]]) -> tuple[RegisteredModel, ...]:
        owners = [row.position for row in rows]
        tags = texts_of(self.connection, registered_model_tags, "model", owners)
        aliases: dict[int, dict[str, int]] = defaultdict(dict)
        latest: dict[str, list[RegisteredVersion]] = defaultdict(list)
        for some in parts_of(owners):
            for row in self.connection.execute(_ALIASES_OF, {"owners": some}):
                aliases[row.model][row.alias] = row.number
            newest = self.connection.execute(_LATEST_OF, {"owners": some}).all()
            for version in _versions(self.connection, newest):
                latest[version.name].append(version)
        return tuple(
            RegisteredModel(
                name=row.name,
                description=row.description,
                product=row.product,
                created_ms=row.created_ms,
                updated_ms=row.updated_ms,
                tags=tags[row.position],
                aliases=aliases[row.position],
                latest=tuple(latest[row.name]),
            )
            for row in rows
        )


@dataclass(frozen=True, slots=True)
class SqlRegisteredVersionStore:
    """`mainspring.registry.registered.RegisteredVersionStore` in SQL."""

    connection: Connection

    def add(self, version: RegisteredVersion) -> RegisteredVersion:
        table = registered_models.c
        statement = select(table.newest).where(table.name == version.name)
        newest = self.connection.execute(statement).scalar()
        if newest is None:
            raise RegisteredModelNotFound(version.name)
        numbered = replace(version, number=newest + 1)
        self.record(numbered)
        return numbered

    def record(self, version: RegisteredVersion) -> None:
        table = registered_models.c
        model = self.connection.execute(
            update(registered_models)
            .where(table.name == version.name)
            .values(
                newest=case((table.newest > version.number, table.newest), else_=version.number),
                updated_ms=version.created_ms,
            )
            .returning(table.position)
        ).scalar_one()
        row = {
            "model": model,
            "number": version.number,
            "source": version.source,
            "location": version.location,
            "run_id": version.run_id,
            "model_id": version.model_id,
            "run_link": version.run_link,
            "description": version.description,
            "user_id": version.user_id,
            "stage": version.stage.value,
            "created_ms": version.created_ms,
            "updated_ms": version.updated_ms,
        }
        statement = insert(self.connection, registered_versions).returning(registered_versions.c.position)
        position = self.connection.execute(statement, row).scalar_one()
        put_texts(self.connection, registered_version_tags, "version", position, version.tags)

    def get(self, name: str, number: int) -> RegisteredVersion:
        return _versions(self.connection, [self.row(name, number)])[0]

    def describe(self, name: str, number: int, description: str | None, now_ms: int) -> None:
        self._update(self.row(name, number), description=description, updated_ms=now_ms)

    def stage(self, name: str, number: int, stage: Stage, now_ms: int, *, alone: bool) -> tuple[int, ...]:
        row, table = self.row(name, number), registered_versions.c
        archived: Iterable[int] = ()
        if alone:
            archived = self.connection.execute(
                update(registered_versions)
                .where(table.model == row.model, table.stage == stage.value, table.position != row.position)
                .values(stage=Stage.ARCHIVED.value, updated_ms=now_ms)
                .returning(table.number)
            ).scalars()
        found = tuple(sorted(archived))
        self._update(row, stage=stage.value, updated_ms=now_ms)
        self._touch(row, now_ms)
        return found

    def remove(self, name: str, number: int, now_ms: int) -> None:
        row = self.row(name, number)
        for gone in (
            delete(registered_aliases).where(registered_aliases.c.version == row.position),
            delete(registered_version_tags).where(registered_version_tags.c.version == row.position),
            delete(registered_versions).where(registered_versions.c.position == row.position),
        ):
            self.connection.execute(gone)
        self._touch(row, now_ms)

    def tag(self, name: str, number: int, key: str, value: str | None) -> bool:
        position = self.row(name, number).position
        return _tag(self.connection, registered_version_tags, "version", position, key, value)

    def search(self, search: Search) -> Found[RegisteredVersion]:
        by_update = [] if search.orders else [(_named.c.updated_ms, False)]
        page = read_page(
            self.connection,
            _VERSIONS,
            _VERSIONS.where(search.condition, self.connection.dialect.name),
            search.orders,
            [*by_update, (_named.c.name, True), (_named.c.number, False)],
            limit=search.limit,
            token=search.token,
        )
        return Found(_versions(self.connection, page.rows), page.token)

    def row(self, name: str, number: int) -> Row[Any]:
        """Give a version's row; raises `RegisteredVersionNotFound`."""
        table = _named.c
        # A number that no column holds names nothing, and is not asked for.
        held = table.number == number if number < 2**31 else ~true()
        row = self.connection.execute(select(_named).where(table.name == name, held)).first()
        if row is None:
            raise RegisteredVersionNotFound(name, number)
        return row

    def _update(self, row: Row[Any], **values: object) -> None:
        table = registered_versions.c
        self.connection.execute(
            update(registered_versions).where(table.position == row.position).values(**values)
        )

    def _touch(self, row: Row[Any], now_ms: int) -> None:
        table = registered_models.c
        self.connection.execute(
            update(registered_models).where(table.position == row.model).values(updated_ms=now_ms)
        )


def _versions(connection: Connection, rows: Sequence[Row[Any]]) -> tuple[RegisteredVersion, ...]:
    owners = [row.position for row in rows]
    tags = texts_of(connection, registered_version_tags, "version", owners)
    aliases: dict[int, list[str]] = defaultdict(list)
    for some in parts_of(owners):
        for version, alias in connection.execute(_ALIASES_OF_VERSIONS, {"owners": some}):
            aliases[version].append(alias)
    return tuple(
        RegisteredVersion(
            name=row.name,
            number=row.number,
            source=row.source,
            location=row.location,
            run_id=row.run_id,
            model_id=row.model_id,
            run_link=row.run_link,
            description=row.description,
            user_id=row.user_id,
            stage=Stage(row.stage),
            created_ms=row.created_ms,
            updated_ms=row.updated_ms,
            tags=tags[row.position],
            aliases=tuple(aliases[row.position]),
        )
        for row in rows
    )


def _tag(connection: Connection, table: Table, owner: str, of: int, key: str, value: str | None) -> bool:
    entry = (table.c[owner] == of, table.c.key == key)
    known = connection.execute(select(table.c.key).where(*entry)).first() is not None
    if value is None:
        connection.execute(delete(table).where(*entry))
    else:
        put_texts(connection, table, owner, of, {key: value})
    return known
