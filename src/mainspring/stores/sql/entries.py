"""Keys with values that belong to rows of another table: tags, params and the like, read for many rows at once."""

from __future__ import annotations

__all__ = ["OWNERS", "parts_of", "put_texts", "texts_of"]

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Select, Table, bindparam, select

from mainspring.stores.sql.insert import put

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

OWNERS: BindParameter[Any] = bindparam("owners", expanding=True)
"""The owners whose entries a statement reads; `parts_of` gives as many as one statement may have."""

_AT_ONCE = 500
"""Owners whose entries are read with one statement; databases bound how many values one may have."""


def parts_of(owners: Sequence[int]) -> Iterable[Sequence[int]]:
    """Give owners in parts that one statement each can read."""
    return (owners[start : start + _AT_ONCE] for start in range(0, len(owners), _AT_ONCE))


def texts_of(
    connection: Connection,
    table: Table,
    owner: str,
    owners: Sequence[int],
    keys: Sequence[str] | None = None,
) -> dict[int, dict[str, str]]:
    """Read the keys and values of some owners, ordered by key; with `keys`, those of them."""
    found: dict[int, dict[str, str]] = {each: {} for each in owners}
    statement = _texts_of(table, owner)
    if keys is not None:
        statement = statement.where(table.c.key.in_(keys))
    for some in parts_of(owners if keys != [] else ()):
        for of, key, value in connection.execute(statement, {"owners": some}):
            found[of][key] = value
    return found


@cache
def _texts_of(table: Table, owner: str) -> Select[Any]:
    return select(table).where(table.c[owner].in_(OWNERS)).order_by(table.c[owner], table.c.key)


def put_texts(connection: Connection, table: Table, owner: str, of: int, texts: Mapping[str, str]) -> None:
    """Write keys with their values; a later value replaces an earlier one."""
    if texts:
        put(connection, table, [{owner: of, "key": key, "value": value} for key, value in texts.items()])
