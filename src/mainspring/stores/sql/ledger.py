"""The ledger's table."""

# ruff: noqa: D102 - the methods are those of Ledger

from __future__ import annotations

__all__ = ["SqlLedger"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, and_, insert, or_, select

from mainspring.clock import time_text
from mainspring.governance.ledger import GENESIS, Entry, entry_hash
from mainspring.stores.sql.schema import events
from mainspring.stores.sql.texts import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from mainspring.events import Event

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class SqlLedger:
    """`mainspring.governance.Ledger` in SQL. Numbers have no gap, because only one transaction at a time appends."""

    connection: Connection

    def append(self, event: Event) -> Entry:
        newest = self.connection.execute(
            select(events.c.number, events.c.hash).order_by(events.c.number.desc()).limit(1)
        ).first()
        fields: dict[str, Any] = {
            "number": newest.number + 1 if newest else 1,
            "type": event.type.value,
            "subject": event.subject,
            "at": time_text(event.at),
            "actor": event.actor,
            "reason": event.reason,
            "data": json_text(event.data),
            "previous": newest.hash if newest else GENESIS,
        }
        entry = Entry(**fields, hash=entry_hash(**fields))
        self.connection.execute(insert(events), {**fields, "hash": entry.hash})
        return entry

    def entries(self, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self.connection.execute(
                select(events).where(events.c.number > after).order_by(events.c.number).limit(size)
            ).all()
            yield from map(_entry, page)
            if len(page) < size:
                return
            after, left = page[-1].number, None if left is None else left - size

    def newest(self, *, limit: int, subject: str | None = None) -> tuple[Entry, ...]:
        statement = select(events).order_by(events.c.number.desc()).limit(limit)
        if subject is not None:
            # What begins with `subject@` lies between that and `subjectA`, the next character after `@`.
            refs = and_(events.c.subject >= f"{subject}@", events.c.subject < f"{subject}A")
            statement = statement.where(or_(events.c.subject == subject, refs))
        return tuple(map(_entry, self.connection.execute(statement)))


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)
