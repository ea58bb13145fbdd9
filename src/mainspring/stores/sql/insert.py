"""INSERT with ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in their dialects."""

from __future__ import annotations

__all__ = ["add", "add_new", "insert", "put"]

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import tuple_

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert


def insert(connection: Connection, table: Table) -> SqliteInsert | PostgresqlInsert:
    """Give an INSERT of the connection's dialect; the other's is not loaded."""
    return _insert(connection.dialect.name, table)


def add(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless it breaks a unique key; say whether it was inserted.

    An INSERT that fails would end the whole transaction on PostgreSQL; this one leaves it as it was.
    """
    statement = _new(connection.dialect.name, table).returning(*table.primary_key)
    return connection.execute(statement, row).first() is not None


def add_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows that break no unique key."""
    connection.execute(_new(connection.dialect.name, table), rows)


def put(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    unless_below: tuple[Column[Any], ...] = (),
) -> None:
    """Insert rows; one whose primary key is there takes the place of the other.

    Parameters
    ----------
    unless_below : tuple of Column
        By which a row must not be below the one whose place it takes; compared in this order.
    """
    connection.execute(_put(connection.dialect.name, table, unless_below), rows)


# Statements are made once: to make one costs more than to run it.
@cache
def _insert(dialect: str, table: Table) -> SqliteInsert | PostgresqlInsert:
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@cache
def _new(dialect: str, table: Table) -> SqliteInsert | PostgresqlInsert:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _put(dialect: str, table: Table, by: tuple[Column[Any], ...]) -> SqliteInsert | PostgresqlInsert:
    statement = _insert(dialect, table)
    given = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column.name: given[column.name] for column in table.c if not column.primary_key},
        where=tuple_(*(given[column.name] for column in by)) >= tuple_(*by) if by else None,
    )
