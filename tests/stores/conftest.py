"""Real databases: SQLite files and PostgreSQL, each empty at the start of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from mainspring.stores.sql import Database, Transaction

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server("postgresql"))]


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of this test's own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    given: str = request.getfixturevalue("postgresql_url")
    return given


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database of this test's own, at the newest revision."""
    database = Database.open(url)
    yield database
    database.close()


@contextmanager
def postgresql_database(server: str) -> Iterator[str]:
    import psycopg

    name = f"mainspring_test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session", params=BOTH)
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database that stays empty, because whoever uses it rolls back."""
    if request.param == "sqlite":
        database = Database.open(f"sqlite:///{tmp_path_factory.mktemp('shared') / 'state.db'}")
        yield database
        database.close()
    else:
        with postgresql_database(request.getfixturevalue("postgresql_server")) as url:
            database = Database.open(url)
            yield database
            database.close()


class RolledBack(Exception):
    """The end of a test."""


@pytest.fixture
def transaction(shared_database: Database) -> Iterator[Transaction]:
    """Empty stores, which are empty again after the test."""
    with suppress(RolledBack), shared_database.write() as transaction:
        yield transaction
        raise RolledBack
