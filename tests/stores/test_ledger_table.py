"""The ledger's table refuses to change, and tells when it was changed in spite of that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from mainspring.events import Event, EventType
from mainspring.governance import verify
from mainspring.stores.sql import Database

EVENT = Event(
    type=EventType.CYCLE_STARTED,
    subject="late-arrivals",
    at=datetime(2013, 2, 1, 12, tzinfo=UTC),
    actor="loop",
    reason="it is due",
)


@pytest.fixture
def raw(database: Database, url: str) -> Iterator[Connection]:
    """A connection beside the store, to a ledger of three entries."""
    with database.write() as transaction:
        for _ in range(3):
            transaction.ledger.append(EVENT)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


COPY = (
    "INSERT INTO events SELECT {number}, type, subject, at, actor, reason, data, previous, {hash} "
    "FROM events WHERE number = 1"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET reason = 'it was not due' WHERE number = 2",
        "UPDATE events SET number = 9 WHERE number = 3",
        "DELETE FROM events WHERE number = 3",
        "DELETE FROM events",
        COPY.format(number=2, hash="'x'"),
        COPY.format(number=9, hash="hash"),
    ],
)
def test_an_event_is_never_changed_and_never_removed(
    database: Database, raw: Connection, statement: str
) -> None:
    with pytest.raises(DBAPIError), raw.begin():
        raw.execute(text(statement))
    with database.read() as transaction:
        assert verify(transaction.ledger.entries()).entries == 3


def test_an_event_is_not_replaced_either(database: Database, raw: Connection) -> None:
    statements = {
        "sqlite": "INSERT OR REPLACE INTO events "
        "SELECT 2, type, subject, at, actor, '', data, previous, 'x' FROM events WHERE number = 2",
        "postgresql": "TRUNCATE events",
    }
    with pytest.raises(DBAPIError, match="append-only"), raw.begin():
        raw.execute(text(statements[raw.dialect.name]))
    with database.read() as transaction:
        assert verify(transaction.ledger.entries()).entries == 3


def test_a_byte_flipped_behind_the_triggers_is_named(database: Database, raw: Connection) -> None:
    if raw.dialect.name == "sqlite":
        without_trigger = "DROP TRIGGER events_no_update"
    else:
        without_trigger = "ALTER TABLE events DISABLE TRIGGER events_no_change"
    with raw.begin():
        raw.execute(text(without_trigger))
        raw.execute(text("UPDATE events SET reason = 'it is dua' WHERE number = 2"))
    with database.read() as transaction:
        found = verify(transaction.ledger.entries())
    assert found.broken_at == 2
    assert "one of its fields was changed" in found.fault
