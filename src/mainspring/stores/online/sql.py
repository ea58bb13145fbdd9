"""The online store in SQLite or PostgreSQL: one row for each row of an entity, all its features in one value.

It is spoken to in plain DB-API, since a lookup is a single statement in the path of a prediction. The tables are made
when they are missing, and their names carry the form that they have: what is in them can be written again at any time,
so that another form is another pair of tables, and no migration.
"""

from __future__ import annotations

__all__ = ["SqlOnline", "postgresql_online", "sqlite_online"]

import sqlite3
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainspring.errors import Invalid
from mainspring.features.store import NothingPublished, Published, Written
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.online.cells import Stamp, entity_key, merged, micros, newest, stamped, to_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from mainspring.features.online import Known, Value
    from mainspring.features.store import Row

_AT_ONCE, _TOGETHER = 10_000, 500
_WAIT_S = 5

_TABLES = """
CREATE TABLE IF NOT EXISTS online_rows_1 (
    space {text} NOT NULL, entity {bytes} NOT NULL, at BIGINT NOT NULL, known BIGINT NOT NULL,
    feature_values {bytes} NOT NULL,
    PRIMARY KEY (space, entity, at, known)
){form};
CREATE TABLE IF NOT EXISTS online_published_1 (
    name {text} PRIMARY KEY, space {text} NOT NULL, version BIGINT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """In what SQLite and PostgreSQL differ."""

    where: str
    connect: Callable[[], Any]
    begin: str
    mark: str
    away: tuple[type[Exception], ...]

    def marks(self, count: int) -> str:
        return ",".join([self.mark] * count)


@dataclass(slots=True)
class SqlOnline:
    """An online store in a database; threads may share it."""

    _dialect: _Dialect
    _idle: list[Any] = field(default_factory=list)

    def write(self, space: str, rows: Sequence[Row], now: datetime) -> Written:
        """Write rows into a space, some thousand entities in each transaction."""
        cells, written = iter(stamped(rows).items()), Written()
        while some := dict(islice(cells, _AT_ONCE)):
            with self._transaction() as cursor:
                written += self._write(cursor, space, some, micros(now))
        return written

    def _write(self, cursor: Any, space: str, cells: dict[bytes, dict[Stamp, bytes]], now: int) -> Written:
        mark, marks = self._dialect.mark, self._dialect.marks(len(cells))
        cursor.execute(
            f"SELECT entity, at, known FROM online_rows_1 WHERE space = {mark} AND entity IN ({marks})",
            [space, *cells],
        )
        held: defaultdict[bytes, dict[Stamp, bytes]] = defaultdict(dict)
        for entity, at, known in cursor.fetchall():
            held[bytes(entity)][at, known] = b""
        new, gone, older = [], [], 0
        for entity, more in cells.items():
            # Whoever writes at the same time may have added a stamp that is not seen here: then one row more than
            # needed stays, and the largest counts all the same.
            left = merged(held[entity], more, now)
            new += [(space, entity, *stamp, values) for stamp, values in more.items() if stamp in left]
            gone += [(space, entity, *stamp) for stamp in held[entity] if stamp not in left]
            older += len(more.keys() - left.keys())
        for first in range(0, len(new), _TOGETHER):
            some = new[first : first + _TOGETHER]
            # In one statement, since PostgreSQL would take as long for each of them.
            cursor.execute(
                "INSERT INTO online_rows_1 (space, entity, at, known, feature_values) "
                f"VALUES {','.join([f'({self._dialect.marks(5)})'] * len(some))} "
                "ON CONFLICT (space, entity, at, known) DO UPDATE SET feature_values = excluded.feature_values",
                [*chain.from_iterable(some)],
            )
        if gone:
            cursor.executemany(
                f"DELETE FROM online_rows_1 "
                f"WHERE space = {mark} AND entity = {mark} AND at = {mark} AND known = {mark}",
                gone,
            )
        return Written(len(new), older)

    def publish(self, name: str, space: str, version: int, *, after: Published | None) -> bool:
        """Let readers of a name read a space."""
        mark = self._dialect.mark
        with self._transaction() as cursor:
            if after is None:
                cursor.execute(
                    f"INSERT INTO online_published_1 (name, space, version) VALUES ({self._dialect.marks(3)}) "
                    "ON CONFLICT (name) DO NOTHING",
                    [name, space, version],
                )
            else:
                cursor.execute(
                    f"UPDATE online_published_1 SET space = {mark}, version = {mark} "
                    f"WHERE name = {mark} AND space = {mark} AND version = {mark}",
                    [space, version, name, after.space, after.version],
                )
            done = bool(cursor.rowcount)
            if done:
                cursor.execute(
                    f"DELETE FROM online_rows_1 WHERE space > {mark} AND space < {mark} AND space <> {mark}",
                    [f"{name}:", f"{name};", space],
                )
        return done

    def published(self, name: str) -> Published | None:
        """Say what is read under a name."""
        with self._transaction(reads=True) as cursor:
            cursor.execute(
                f"SELECT space, version FROM online_published_1 WHERE name = {self._dialect.mark}", [name]
            )
            found = cursor.fetchone()
        return None if found is None else Published(*found)

    def read(self, name: str, entities: Sequence[Value], now: datetime) -> list[Known | None]:
        """Give of each entity the row that counts."""
        keys = [None if entity is None else entity_key(entity) for entity in entities]
        wanted = iter(dict.fromkeys(key for key in keys if key is not None))
        cells: defaultdict[bytes, dict[Stamp, bytes]] = defaultdict(dict)
        with self._transaction(reads=True) as cursor:
            while True:
                some = list(islice(wanted, _AT_ONCE))
                # One statement, so that the space is not dropped between finding and reading it.
                cursor.execute(
                    "SELECT entity, at, known, feature_values "
                    "FROM online_published_1 AS p LEFT JOIN online_rows_1 AS r "
                    f"ON r.space = p.space AND r.entity IN ({self._dialect.marks(len(some)) or 'NULL'}) "
                    f"WHERE p.name = {self._dialect.mark}",
                    [*some, name],
                )
                found = cursor.fetchall()
                if not found:
                    raise NothingPublished(name)
                for entity, at, known, values in found:
                    if entity is not None:
                        cells[entity][at, known] = values
                if len(some) < _AT_ONCE:
                    break
        instant, looked_up = micros(now), dict[bytes, "Known | None"]()
        for key, cell in cells.items():
            stamp = newest(cell, instant)
            looked_up[key] = None if stamp is None else to_known(stamp, cell[stamp])
        return [None if key is None else looked_up.get(key) for key in keys]

    def drop(self, name: str) -> None:
        """Forget all that is read under a name."""
        mark = self._dialect.mark
        with self._transaction() as cursor:
            cursor.execute(f"DELETE FROM online_published_1 WHERE name = {mark}", [name])
            cursor.execute(
                f"DELETE FROM online_rows_1 WHERE space > {mark} AND space < {mark}", [f"{name}:", f"{name};"]
            )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(self, *, reads: bool = False) -> Iterator[Any]:
        """Lend a cursor; what was written is committed at the end, or nothing is."""
        dialect = self._dialect
        try:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = dialect.connect()
            try:
                cursor = connection.cursor()
                if not reads:
                    cursor.execute(dialect.begin)
                yield cursor
                if not reads:
                    cursor.execute("COMMIT")
            except BaseException:
                # Whatever state it is in, it is not lent again.
                with suppress(*dialect.away):
                    connection.close()
                raise
            self._idle.append(connection)
        except dialect.away as error:
            self.close()  # those that are idle have most likely lost their server too
            why = " ".join(str(error).split()) or type(error).__name__
            raise StoreUnavailable(dialect.where, why, "See that it runs, then try again.") from error


def sqlite_online(file: str) -> SqlOnline:
    """Give the store in a SQLite file, which is made when it is first asked."""

    def connect() -> sqlite3.Connection:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TABLES.format(text="TEXT", bytes="BLOB", form=" WITHOUT ROWID"))
        return connection

    away = (sqlite3.Error, OSError)
    return SqlOnline(_Dialect(f"The online store {file}", connect, "BEGIN IMMEDIATE", "?", away))


def postgresql_online(url: str) -> SqlOnline:
    """Give the store in a PostgreSQL database; raises `Invalid` where its driver is not installed."""
    try:
        import psycopg
    except ImportError:
        raise Invalid("The online store is PostgreSQL: run `pip install 'mainspring[postgres]'`.") from None

    def connect() -> psycopg.Connection[Any]:
        # A server that has gone without a word is noticed, too, and does not hold the thread that asked.
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=_WAIT_S, tcp_user_timeout=1_000 * _WAIT_S
        )
        # Of two that make a table at once, PostgreSQL would let one fail.
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('mainspring online store'))")
            # The spaces of a name are a range, which in the order of a language they need not be.
            tables = _TABLES.format(text='TEXT COLLATE "C"', bytes="BYTEA", form="")
            for statement in tables.split(";")[:-1]:
                cursor.execute(statement.encode())
        return connection

    parts = psycopg.conninfo.conninfo_to_dict(url)
    where = f"The online store in PostgreSQL {parts.get('dbname', '')!r} at {parts.get('host', 'localhost')}"
    return SqlOnline(_Dialect(where, connect, "BEGIN", "%s", (psycopg.Error, OSError)))
