"""A database: its transactions, what opening it says and does, and what it survives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError

from mainspring.errors import Conflict
from mainspring.events import Event, EventType
from mainspring.governance import verify
from mainspring.loop import Cycle, TriggerKind
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.sql import (
    Database,
    DatabaseForeign,
    DatabaseNewer,
    DatabaseOlder,
    DatabaseUnsupported,
    Transaction,
)
from mainspring.stores.sql.schema import NEWEST_REVISION

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)
CYCLE = Cycle(
    cycle_id="c1",
    product="late-arrivals",
    number=1,
    trigger=TriggerKind.ON_DEMAND,
    evidence="asked",
    actor="ana",
    params={},
    data={"flights": 1},
    opened_at=NOON,
)
STARTED = Event(
    type=EventType.CYCLE_STARTED,
    subject="late-arrivals",
    at=NOON,
    actor="ana",
    reason="asked",
    data={"cycle_id": "c1"},
)


def start_cycle(transaction: Transaction) -> None:
    transaction.loop.open(CYCLE)
    transaction.ledger.append(STARTED)


@contextmanager
def running(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which is gone at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class StoppedInTheMiddleError(Exception):
    pass


def test_state_and_its_event_are_kept_together(database: Database) -> None:
    with database.write() as transaction:
        start_cycle(transaction)
    with database.read() as transaction:
        assert transaction.loop.get("c1") == CYCLE
        assert verify(transaction.ledger.entries()).entries == 1


def test_state_and_its_event_are_dropped_together(database: Database) -> None:
    with suppress(StoppedInTheMiddleError), database.write() as transaction:
        start_cycle(transaction)
        raise StoppedInTheMiddleError
    with database.read() as transaction:
        assert transaction.loop.cycles() == ()
        assert list(transaction.ledger.entries()) == []


def test_what_a_conflict_leaves_can_still_be_committed(database: Database) -> None:
    with database.write() as transaction:
        start_cycle(transaction)
        with pytest.raises(Conflict):
            transaction.loop.open(CYCLE)
    with database.read() as transaction:
        assert transaction.loop.cycles() == (CYCLE,)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writer:
        writer.values.put("clock", "1")
        with database.read() as reader:
            assert reader.values.get("clock") is None


def test_a_reader_sees_one_moment_throughout(database: Database) -> None:
    with database.read() as reader:
        assert reader.values.get("clock") is None
        with database.write() as writer:
            writer.values.put("clock", "1")
        assert reader.values.get("clock") is None
    with database.read() as reader:
        assert reader.values.get("clock") == "1"


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((StoreUnavailable, DBAPIError)), database.read() as reader:
        reader.values.put("clock", "1")
    with database.write() as writer:
        assert writer.values.get("clock") is None


def test_threads_that_append_leave_one_sound_chain(database: Database) -> None:
    def append(_: int) -> None:
        with database.write() as transaction:
            transaction.ledger.append(STARTED)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append, range(60)))
    with database.read() as transaction:
        found = verify(transaction.ledger.entries())
    assert (found.entries, found.fault) == (60, "")


APPEND = """
import sys
from datetime import UTC, datetime
from mainspring.events import Event, EventType
from mainspring.stores.sql import Database

database = Database.open(sys.argv[1])
for number in range(40):
    with database.write() as transaction:
        transaction.ledger.append(
            Event(type=EventType.TRAINING_REQUESTED, subject="late-arrivals", at=datetime(2013, 2, 1, tzinfo=UTC),
                  actor=sys.argv[2], reason="because", data={"number": number})
        )
"""


def test_processes_that_open_a_new_database_and_append_leave_one_sound_chain(url: str) -> None:
    with (
        running(APPEND, url, "a") as first,
        running(APPEND, url, "b") as second,
        running(APPEND, url, "c") as third,
    ):
        assert [process.wait() for process in (first, second, third)] == [0, 0, 0]
    database = Database.open(url)
    with database.read() as transaction:
        found = verify(transaction.ledger.entries())
        writers = [entry.actor for entry in transaction.ledger.entries()]
    database.close()
    assert (found.entries, found.fault) == (120, "")
    assert sorted(writers) == ["a"] * 40 + ["b"] * 40 + ["c"] * 40


STOP_IN_THE_MIDDLE = """
import sys
from datetime import UTC, datetime
from mainspring.events import Event, EventType
from mainspring.stores.sql import Database

with Database.open(sys.argv[1]).write() as transaction:
    transaction.values.put("clock", "2")
    transaction.ledger.append(
        Event(type=EventType.CYCLE_STARTED, subject="late-arrivals", at=datetime(2013, 2, 1, tzinfo=UTC), actor="loop",
              reason="because")
    )
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_process_killed_in_a_transaction_leaves_the_state_before_it(database: Database, url: str) -> None:
    with database.write() as transaction:
        transaction.values.put("clock", "1")
    with running(STOP_IN_THE_MIDDLE, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
    with database.write() as transaction:
        assert transaction.values.get("clock") == "1"
        assert transaction.ledger.append(STARTED).number == 1


def test_a_new_database_is_at_the_newest_revision(database: Database, url: str) -> None:
    assert database.revision() == NEWEST_REVISION
    Database.open(url).close()


def test_opening_says_nothing_of_revisions_to_a_database_that_is_only_named(url: str) -> None:
    database = Database.at(url)
    assert database.revision() is None
    assert database.upgrade() is None
    assert database.upgrade() == NEWEST_REVISION
    database.close()


def set_revision(url: str, revision: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE mainspring_revision SET version_num = :revision"), {"revision": revision}
        )
    engine.dispose()


def test_an_older_database_is_left_as_it_is(database: Database, url: str) -> None:
    set_revision(url, "0000")
    with pytest.raises(DatabaseOlder, match="mainspring upgrade") as refused:
        Database.open(url)
    assert (refused.value.found, refused.value.needed) == ("0000", NEWEST_REVISION)
    assert database.revision() == "0000"


def test_a_newer_database_is_left_as_it_is_and_says_what_wrote_it(database: Database, url: str) -> None:
    with database.write() as transaction:
        transaction.values.put("database.written_by", "99.1")
    set_revision(url, "9999")
    with pytest.raises(DatabaseNewer, match=r"Install version 99\.1 or newer") as refused:
        Database.open(url)
    assert refused.value.written_by == "99.1"
    with pytest.raises(DatabaseNewer):
        database.upgrade()
    assert database.revision() == "9999"


def test_a_database_of_another_program_is_left_as_it_is(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (number integer)"))
    with pytest.raises(DatabaseForeign, match="invoices"):
        Database.open(url)
    named = Database.at(url)
    with pytest.raises(DatabaseForeign):
        named.upgrade()
    named.close()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE invoices"))
    engine.dispose()
    Database.open(url).close()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "no url", "sqlite://", "sqlite:///:memory:", ""])
def test_a_url_that_names_no_such_database_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnsupported, match="sqlite:////absolute"):
        Database.open(url)


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnavailable, match="no connection could be made") as unavailable:
        Database.open("postgresql://ana:secret@127.0.0.1:1/mainspring")
    assert "secret" not in str(unavailable.value)
    assert "\n" not in str(unavailable.value)


@pytest.mark.server("postgresql")
def test_a_database_that_the_server_does_not_have_is_named(postgresql_url: str) -> None:
    with pytest.raises(StoreUnavailable, match='_not" does not exist'):
        Database.open(postgresql_url + "_not")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="its folder exists"):
        Database.open(f"sqlite:///{tmp_path / 'absent' / 'state.db'}")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_text("a letter to a friend\n" * 100)
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        Database.open(f"sqlite:///{file}")
    assert file.read_text() == "a letter to a friend\n" * 100


def test_a_writer_that_waits_too_long_is_told_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database, impatient = Database.open(url), Database.at(url)
    event.listen(
        impatient._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10")
    )
    with database.write() as transaction:
        with pytest.raises(StoreUnavailable, match="another process"), impatient.write():
            pass
        transaction.values.put("clock", "1")
    with impatient.write() as transaction:
        assert transaction.values.get("clock") == "1"
    database.close()
    impatient.close()


@pytest.mark.server("postgresql")
def test_connections_that_the_server_has_ended_are_made_anew(postgresql_url: str) -> None:
    import psycopg

    database = Database.open(postgresql_url)
    with database.write() as transaction:
        transaction.values.put("clock", "1")
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid != pg_backend_pid()"
        )
    with database.read() as transaction:
        assert transaction.values.get("clock") == "1"
    database.close()


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.sql import Database

database = Database.open(sys.argv[1])
with database.write() as transaction:
    transaction.values.put("clock", "1")
largest = max(file.stat().st_size for file in Path(sys.argv[2]).iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
try:
    with database.write() as transaction:
        transaction.values.put("clock", "2" * 10_000_000)
except StoreUnavailable as error:
    print(error)
with database.read() as transaction:
    assert transaction.values.get("clock") == "1"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with database.write() as transaction:
    transaction.values.put("clock", "3")
"""


def test_a_file_that_cannot_grow_keeps_what_it_has(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    with running(FILL_THE_DISK, url, str(tmp_path)) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    assert "Nothing of this act was kept" in output
    with Database.open(url).read() as transaction:
        assert transaction.values.get("clock") == "3"
