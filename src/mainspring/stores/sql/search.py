"""Searches as SQL: conditions, orders, and pages that go on where the last one ended.

A page's token holds the sort key of its last row, so that the next page costs what the first one did, and rows that
come or go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

__all__ = ["Page", "Searched", "read_page"]

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from mainspring.errors import Invalid
from mainspring.search import AllOf, AnyOf, Comparison, Condition, Entity, Negation, Operator, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Row


class TokenUnclear(Invalid):
    """A page token that no search has given."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.token = token

    def __str__(self) -> str:
        return (
            f"Invalid page token {self.token[:100]!r}: it was not given by a search with this order. Send the token "
            "that came with the last page, and the same order, or none for the first page."
        )


@dataclass(frozen=True, slots=True)
class Searched:
    """A table that is searched.

    Attributes
    ----------
    table : FromClause
        Each of whose rows is a possible result.
    owner : ColumnElement
        What names a row in the tables of its entries.
    attributes : mapping
        The column of each attribute.
    entries : mapping
        For each kind of entry, the table of its keys and values, and the column that names the owner there.
    found_by : mapping
        How other entities are asked about: given the key and a comparison of one column, the condition.
    """

    table: FromClause
    owner: ColumnElement[Any]
    attributes: Mapping[str, ColumnElement[Any]]
    entries: Mapping[Entity, tuple[FromClause, ColumnElement[Any]]]
    found_by: Mapping[
        Entity, Callable[[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]], ColumnElement[bool]]
    ]

    def where(self, condition: Condition, dialect: str) -> ColumnElement[bool]:
        """Give a condition as SQL."""
        match condition:
            case AllOf(parts):
                return and_(true(), *(self.where(part, dialect) for part in parts))
            case AnyOf(parts):
                return or_(false(), *(self.where(part, dialect) for part in parts))
            case Negation(part):
                return not_(self.where(part, dialect))
        return self._compare(condition, dialect)

    def _compare(self, asked: Comparison, dialect: str) -> ColumnElement[bool]:
        def holds(column: ColumnElement[Any]) -> ColumnElement[bool]:
            return _holds(column, asked, dialect)

        if asked.entity is Entity.ATTRIBUTE:
            # What is not known compares as false, so that its negation is true and not unknown as well.
            column = self.attributes[asked.key]
            return and_(column.is_not(None), holds(column))
        if asked.entity in self.found_by:
            return self.found_by[asked.entity](asked.key, holds)
        table, owner = self.entries[asked.entity]
        entry = and_(owner == self.owner, table.c.key == asked.key)
        if asked.operator is Operator.IS_NULL:
            return not_(exists().where(entry))
        if asked.operator is Operator.IS_NOT_NULL:
            return exists().where(entry)
        if "is_nan" in table.c:
            nan = table.c.is_nan.is_(True)
            if asked.operator in (Operator.UNEQUAL, Operator.NOT_IN):
                return exists().where(entry, or_(nan, holds(table.c.value)))
            return exists().where(entry, not_(nan), holds(table.c.value))
        return exists().where(entry, holds(table.c.value))


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the token of the next page; empty on the last one."""

    rows: tuple[Row[Any], ...]
    token: str


# What a database cannot compare is no token of ours, and is refused before it is asked.
_Values = list[Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float | str]


@dataclass(frozen=True, slots=True)
class _Key:
    expression: ColumnElement[Any]
    ascending: bool = True


def read_page(
    connection: Connection,
    searched: Searched,
    condition: ColumnElement[bool],
    orders: Sequence[Order],
    last: Sequence[tuple[ColumnElement[Any], bool]],
    *,
    limit: int,
    token: str,
) -> Page:
    """Read one page of a search.

    Parameters
    ----------
    condition : ColumnElement
        What every row must meet.
    orders : sequence of Order
        What comes first.
    last : sequence of (column, ascending)
        What decides between equals; the last of them is unique.
    limit : int
        Rows of a page.
    token : str
        Of the page before; empty for the first one.

    Raises
    ------
    TokenUnclear
        The token is not of this order.
    """
    part, values = _read_token(token)
    parts, orders = _in_parts(select(searched.table).where(condition), searched, orders)
    if part >= len(parts):
        raise TokenUnclear(token)
    found: list[tuple[int, Row[Any]]] = []
    while part < len(parts) and len(found) <= limit:
        statement, keys = parts[part]
        for order in orders:
            statement, added = _ordered(statement, searched, order)
            keys = [*keys, *added]
        keys = [*keys, *(_Key(column, ascending) for column, ascending in last)]
        if values is not None:
            _check_token(token, values, keys)
            statement = statement.where(_after(keys, values))
        for number, key in enumerate(keys):
            statement = statement.add_columns(key.expression.label(f"sort_{number}"))
            statement = statement.order_by(key.expression.asc() if key.ascending else key.expression.desc())
        found += [(part, row) for row in connection.execute(statement.limit(limit + 1 - len(found)))]
        part, values = part + 1, None
    rows = tuple(row for _, row in found[:limit])
    if len(found) <= limit:
        return Page(rows, "")
    part, row = found[limit - 1]
    return Page(
        rows, _token(part, [value for name, value in row._mapping.items() if name.startswith("sort_")])
    )


def _in_parts(
    statement: Select[Any], searched: Searched, orders: Sequence[Order]
) -> tuple[list[tuple[Select[Any], list[_Key]]], Sequence[Order]]:
    """Give the parts that a search is read in, one after the other, and what orders the rows of each.

    By a metric first come its numbers, then NaN, then what has no such metric. Each part alone is read along an index
    of the metric's values, so that a page costs the same whether it is one of a thousand runs or of a million.
    """
    if not orders or orders[0].entity is not Entity.METRIC:
        return [(statement, [])], orders
    table, owner = searched.entries[Entity.METRIC]
    entry = table.alias()
    of_row = and_(entry.c[str(owner.key)] == searched.owner, entry.c.key == orders[0].key)
    number = statement.join(entry, and_(of_row, entry.c.is_nan == false()))
    nan = statement.join(entry, and_(of_row, entry.c.is_nan == true()))
    none = statement.where(not_(exists().where(of_row)))
    return [(number, [_Key(entry.c.value, orders[0].ascending)]), (nan, []), (none, [])], orders[1:]


def _ordered(statement: Select[Any], searched: Searched, order: Order) -> tuple[Select[Any], list[_Key]]:
    """Give what a row is sorted by: first whether it has the value at all, then the value."""
    if order.entity is Entity.ATTRIBUTE:
        column = searched.attributes[order.key]
        if not getattr(column, "nullable", False):
            return statement, [_Key(column, order.ascending)]
        absent = case((column.is_(None), 1), else_=0)
        return statement, [_Key(absent), _Key(func.coalesce(column, 0), order.ascending)]
    table, owner = searched.entries[order.entity]
    entry = table.alias()
    joined = statement.outerjoin(
        entry, and_(entry.c[str(owner.key)] == searched.owner, entry.c.key == order.key)
    )
    if "is_nan" in table.c:
        absent = case((entry.c.is_nan.is_(True), 1), (entry.c.value.is_(None), 2), else_=0)
        return joined, [_Key(absent), _Key(func.coalesce(entry.c.value, 0.0), order.ascending)]
    absent = case((entry.c.value.is_(None), 1), else_=0)
    return joined, [_Key(absent), _Key(func.coalesce(entry.c.value, ""), order.ascending)]


def _after(keys: Sequence[_Key], values: Sequence[Any]) -> ColumnElement[bool]:
    """Give the condition that a row comes after the one with these values."""
    found: ColumnElement[bool] = false()
    for key, value in reversed(list(zip(keys, values, strict=True))):
        given = literal(value)
        beyond = key.expression > given if key.ascending else key.expression < given
        found = or_(beyond, and_(key.expression == given, found))
    return found


def _token(part: int, values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((part, *values))).decode()


def _read_token(token: str) -> tuple[int, list[Any] | None]:
    """Give the part in which the last page ended, and its last row's values."""
    if not token:
        return 0, None
    try:
        part, *values = msgspec.json.decode(
            base64.b64decode(token, altchars=b"-_", validate=True), type=_Values
        )
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise TokenUnclear(token) from None
    if not isinstance(part, int) or part < 0:
        raise TokenUnclear(token)
    return part, values


def _check_token(token: str, values: Sequence[Any], keys: Sequence[_Key]) -> None:
    texts = [isinstance(key.expression.type, Text) for key in keys]
    if [isinstance(value, str) for value in values] != texts:
        raise TokenUnclear(token)


def _holds(column: ColumnElement[Any], asked: Comparison, dialect: str) -> ColumnElement[bool]:
    match asked.operator:
        case Operator.EQUAL:
            return column == asked.value
        case Operator.UNEQUAL:
            return column != asked.value
        case Operator.LESS:
            return column < asked.value
        case Operator.AT_MOST:
            return column <= asked.value
        case Operator.GREATER:
            return column > asked.value
        case Operator.AT_LEAST:
            return column >= asked.value
        case Operator.IN:
            return column.in_(_listed(asked))
        case Operator.NOT_IN:
            return column.not_in(_listed(asked))
    assert isinstance(asked.value, str)
    if asked.operator is Operator.ILIKE:
        return _like(func.lower(column), asked.value.lower(), dialect)
    return _like(column, asked.value, dialect)


def _listed(asked: Comparison) -> tuple[Any, ...]:
    assert isinstance(asked.value, tuple)
    return asked.value


def _like(column: ColumnElement[Any], pattern: str, dialect: str) -> ColumnElement[bool]:
    """Compare with a pattern of % and _, by case on either database; SQLite's own LIKE knows no case."""
    if dialect == "sqlite":
        for mark in "[*?":
            pattern = pattern.replace(mark, f"[{mark}]")
        return column.op("GLOB", is_comparison=True)(pattern.replace("%", "*").replace("_", "?"))
    return column.like(pattern.replace("\\", "\\\\"))
