"""A database and its transactions: every store over one connection, so that state and event commit together."""

from __future__ import annotations

__all__ = ["Database", "Transaction"]

from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from mainspring.errors import MainspringError
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.sql.alerts import SqlAlerts
from mainspring.stores.sql.approvals import SqlApprovalStore
from mainspring.stores.sql.data import SqlDataNames, SqlDataStore
from mainspring.stores.sql.errors import (
    DatabaseForeign,
    DatabaseNewer,
    DatabaseOlder,
    DatabaseUnsupported,
    unavailable,
)
from mainspring.stores.sql.experiments import SqlExperimentStore
from mainspring.stores.sql.freeing import SqlFreeingStore
from mainspring.stores.sql.leases import SqlLeases
from mainspring.stores.sql.ledger import SqlLedger
from mainspring.stores.sql.lineage import SqlLineage
from mainspring.stores.sql.logged_models import SqlLoggedModelStore
from mainspring.stores.sql.logged_runs import SqlLoggedRunStore
from mainspring.stores.sql.loop import SqlLoopStore
from mainspring.stores.sql.monitoring import SqlMonitoringStore
from mainspring.stores.sql.registered import SqlRegisteredModelStore, SqlRegisteredVersionStore
from mainspring.stores.sql.registry import SqlRegistryStore
from mainspring.stores.sql.rollouts import SqlRolloutStore
from mainspring.stores.sql.runs import SqlRunStore
from mainspring.stores.sql.schema import NEWEST_REVISION, REVISION_TABLE
from mainspring.stores.sql.values import SqlValues
from mainspring.stores.sql.webhooks import SqlWebhookStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy.engine.interfaces import DBAPIConnection

    from mainspring.data.name import DataNameStore
    from mainspring.data.version import DataStore
    from mainspring.governance.approval import ApprovalStore
    from mainspring.governance.ledger import Ledger
    from mainspring.loop.cycle import LoopStore
    from mainspring.monitoring.store import MonitoringStore
    from mainspring.pipelines.run import RunStore
    from mainspring.registry.registered import RegisteredModelStore, RegisteredVersionStore
    from mainspring.registry.version import RegistryStore
    from mainspring.registry.webhook import WebhookStore
    from mainspring.rollouts.store import RolloutStore
    from mainspring.tracking.freeing import FreeingStore
    from mainspring.tracking.store import ExperimentStore, LoggedModelStore, LoggedRunStore

T = TypeVar("T")

_WAIT_S = 30
_WRITTEN_BY = "database.written_by"
# One number for all writers of a PostgreSQL database: the bytes of "mainspri".
_WRITERS = int.from_bytes(b"mainspri")


@dataclass(frozen=True, slots=True)
class Transaction:
    """Every store, over one connection: all that is written in it commits together, or none of it."""

    data: DataStore
    data_names: DataNameStore
    registry: RegistryStore
    runs: RunStore
    loop: LoopStore
    ledger: Ledger
    monitoring: MonitoringStore
    approvals: ApprovalStore
    alerts: SqlAlerts
    rollouts: RolloutStore
    experiments: ExperimentStore
    logged_runs: LoggedRunStore
    logged_models: LoggedModelStore
    freeing: FreeingStore
    registered_models: RegisteredModelStore
    registered_versions: RegisteredVersionStore
    webhooks: WebhookStore
    lineage: SqlLineage
    values: SqlValues
    leases: SqlLeases

    @classmethod
    def over(cls, connection: Connection) -> Transaction:
        """Give the stores over a connection."""
        return cls(
            data=SqlDataStore(connection),
            data_names=SqlDataNames(connection),
            registry=SqlRegistryStore(connection),
            runs=SqlRunStore(connection),
            loop=SqlLoopStore(connection),
            ledger=SqlLedger(connection),
            monitoring=SqlMonitoringStore(connection),
            approvals=SqlApprovalStore(connection),
            alerts=SqlAlerts(connection),
            rollouts=SqlRolloutStore(connection),
            experiments=SqlExperimentStore(connection),
            logged_runs=SqlLoggedRunStore(connection),
            logged_models=SqlLoggedModelStore(connection),
            freeing=SqlFreeingStore(connection),
            registered_models=SqlRegisteredModelStore(connection),
            registered_versions=SqlRegisteredVersionStore(connection),
            webhooks=SqlWebhookStore(connection),
            lineage=SqlLineage(connection),
            values=SqlValues(connection),
            leases=SqlLeases(connection),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Database:
    """The workspace's state, in SQLite or PostgreSQL.

    Writers wait for one another, also on PostgreSQL: the ledger's numbers have no gap, and what a writer has read is
    still so when it writes. Readers see one moment throughout and wait for nobody. A transaction belongs to one
    thread; a database may be used by many.

    Attributes
    ----------
    where : str
        Its URL without the password, for messages.
    """

    where: str
    _engine: Engine = field(repr=False)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open a database at the newest revision; a new, empty one is brought there first.

        Parameters
        ----------
        url : str
            `sqlite:////absolute/path/state.db` or `postgresql://user@host/database`.

        Raises
        ------
        DatabaseUnsupported
            The URL names no such database.
        DatabaseOlder, DatabaseNewer, DatabaseForeign
            Another mainspring, or another program, wrote it. Nothing in it was changed.
        StoreUnavailable
            It cannot be reached.
        """
        database = cls.at(url)
        try:
            found = database.revision()
            if found is None:
                database.upgrade()
            elif found < NEWEST_REVISION:
                raise DatabaseOlder(database.where, found, NEWEST_REVISION)
            elif found > NEWEST_REVISION:
                raise database._newer(found)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def at(cls, url: str) -> Database:
        """Name a database of any revision, to ask which it is or to upgrade it; reads nothing yet."""
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise DatabaseUnsupported(url, "it is no URL") from error
        where = parsed.render_as_string(hide_password=True)
        match parsed.get_backend_name():
            case "sqlite":
                if parsed.database in (None, "", ":memory:"):
                    raise DatabaseUnsupported(where, "it names no file")
                return cls(where, _sqlite(parsed.set(drivername="sqlite+pysqlite")))
            case "postgresql" | "postgres":
                try:
                    return cls(where, _postgresql(parsed.set(drivername="postgresql+psycopg")))
                except ModuleNotFoundError as error:
                    raise DatabaseUnsupported(
                        where, "the driver for it is not installed (`pip install 'mainspring[postgres]'`)"
                    ) from error
            case other:
                raise DatabaseUnsupported(where, f"{other!r} is neither sqlite nor postgresql")

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Read and write; commits at the end of the block, and keeps nothing when the block raises."""
        with self._begin("write") as connection:
            yield Transaction.over(connection)

    def write_each(self, calls: Sequence[Callable[[Transaction], T]]) -> list[T | MainspringError]:
        """Run some writes in one transaction, each of them all or nothing by itself.

        Returns
        -------
        list
            What each gave, or the refusal that it raised; any other error is raised, and then nothing was written.
        """
        results: list[T | MainspringError] = []
        with self._begin("write") as connection:
            tx = Transaction.over(connection)
            for call in calls:
                try:
                    with connection.begin_nested():
                        results.append(call(tx))
                except MainspringError as refusal:
                    results.append(refusal)
        return results

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read the state of one moment, without waiting for writers; writing is refused by the database."""
        with self._begin("read") as connection:
            yield Transaction.over(connection)

    def revision(self) -> str | None:
        """Give the revision of the database; None when it is empty.

        Raises
        ------
        DatabaseForeign
            It holds tables, and none says a revision of mainspring.
        """
        with self._begin("read") as connection:
            return _revision(connection, self.where)

    def upgrade(self) -> str | None:
        """Bring the database to the newest revision, in one transaction; give the revision that it had.

        Raises
        ------
        DatabaseNewer, DatabaseForeign
            It is ahead of this mainspring, or another program's. Nothing in it was changed.
        """
        from mainspring.stores.sql.migrations import migrate

        with self._begin("upgrade") as connection:
            # Asked again behind the lock: of two processes that find it empty, one creates the tables.
            found = _revision(connection, self.where)
            if found is not None and found > NEWEST_REVISION:
                raise self._newer(found)
            migrate(connection)
            _check_references(connection)
            SqlValues(connection).put(_WRITTEN_BY, version("mainspring"))
        # SQLite's connection of the upgrade does not check references; later ones shall.
        self._engine.dispose()
        return found

    def close(self) -> None:
        """Let go of every connection that is not in use."""
        self._engine.dispose()

    def _newer(self, found: str) -> DatabaseNewer:
        with self._begin("read") as connection:
            return DatabaseNewer(self.where, found, NEWEST_REVISION, SqlValues(connection).get(_WRITTEN_BY))

    @contextmanager
    def _begin(self, purpose: str) -> Iterator[Connection]:
        try:
            with self._engine.execution_options(**_OPTIONS[purpose]).begin() as connection:
                yield connection
        except PoolExhausted as error:
            raise StoreUnavailable(
                self.where, "all its connections are in use", "Try again with fewer requests at once."
            ) from error
        except DBAPIError as error:
            known = unavailable(self.where, error)
            if known is None:
                raise
            raise known from error


_OPTIONS: dict[str, dict[str, Any]] = {
    "read": {"purpose": "read"},
    "write": {"purpose": "write"},
    "upgrade": {"purpose": "upgrade"},
}


def _sqlite(url: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _WAIT_S})

    @event.listens_for(engine, "connect")
    def settle(connection: DBAPIConnection, _: object) -> None:
        # The driver would begin by itself, late and deferred, and end a transaction before DDL; we say when.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        purpose = connection.get_execution_options()["purpose"]
        if purpose == "upgrade":
            # To alter a table is to copy it, which references to it would forbid; they are checked at the end.
            # Neither mode can change within a transaction.
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if purpose == 'read' else 'OFF'}")
        # Take the write lock now: a deferred one lets two writers read one state and both change it.
        connection.exec_driver_sql("BEGIN" if purpose == "read" else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: Any) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": _WAIT_S})

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options()["purpose"] == "read":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        else:
            # Two statements in one message: the lock is waited for no longer than SQLite's.
            connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = '{_WAIT_S}s'; SELECT pg_advisory_xact_lock({_WRITERS})"
            )

    return engine


def _revision(connection: Connection, where: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if REVISION_TABLE not in tables:
        if tables:
            raise DatabaseForeign(where, tuple(sorted(tables)))
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar()
    return found


def _check_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        assert not broken, f"a migration left references without their rows: {broken[:3]}"
