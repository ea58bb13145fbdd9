"""Settings of the whole suite, and the servers that some tests ask."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import hypothesis
import pytest

# No deadline: a busy machine is not a bug. On CI the same examples every time: a red run can be repeated.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# Threads that wait for one another by spinning take forever where tests and their processes share a few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

POSTGRESQL = os.environ.get("MAINSPRING_TEST_POSTGRES", "postgresql://127.0.0.1:5432/test")
REDIS = os.environ.get("MAINSPRING_TEST_REDIS", "redis://127.0.0.1:6379/9")


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """URL of a database in which the suite may create others."""
    psycopg = pytest.importorskip("psycopg")
    try:
        psycopg.connect(POSTGRESQL, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL does not answer (name one in MAINSPRING_TEST_POSTGRES): {error}")
    return POSTGRESQL


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of a database of this test's own, dropped afterwards; the test carries `server("postgresql")`."""
    import psycopg

    name = f"mainspring_test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(postgresql_server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a Redis in which tests have names of their own; the test carries `server("redis")`."""
    redis = pytest.importorskip("redis")
    try:
        with redis.Redis.from_url(REDIS, socket_connect_timeout=3) as client:
            client.ping()
    except redis.RedisError as error:
        pytest.skip(f"Redis does not answer (name one in MAINSPRING_TEST_REDIS): {error}")
    return REDIS


class ServerTests:
    """On CI a run that skipped every test of a server has not tested what it claims to: it fails."""

    def __init__(self) -> None:
        self.ran: set[str] = set()
        self.skipped: set[str] = set()

    @property
    def untested(self) -> set[str]:
        return self.skipped - self.ran

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        servers = {name for kind, name in report.user_properties if kind == "server"}
        if report.skipped:
            self.skipped |= servers
        elif report.when == "call":
            self.ran |= servers

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.untested and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in sorted(self.untested):
            terminalreporter.write_line(
                f"All tests that ask {name} were skipped"
                + (": on CI that fails." if os.environ.get("CI") else "."),
                red=True,
            )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ServerTests(), "server-tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # Properties travel with the reports of xdist's workers; marks do not.
        item.user_properties += [("server", mark.args[0]) for mark in item.iter_markers("server")]
