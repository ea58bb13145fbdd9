"""INSERT with ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in their dialects."""

from __future__ import annotations

__all__ = ["add", "insert"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert


def insert(connection: Connection, table: Table) -> SqliteInsert | PostgresqlInsert:
    """Give an INSERT of the connection's dialect; the other's is not loaded."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def add(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless it breaks a unique key; say whether it was inserted.

    An INSERT that fails would end the whole transaction on PostgreSQL; this one leaves it as it was.
    """
    statement = insert(connection, table).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement, row).first() is not None
