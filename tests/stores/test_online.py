"""Every online store keeps the contract; what is away is told so, and what was lost is not taken for nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.conftest import postgresql_database

from mainspring.features.store import NothingPublished, OnlineStore, Row
from mainspring.stores.errors import StoreUnavailable
from mainspring.stores.online import MemoryOnline, open_online
from mainspring.stores.online.cells import Cell, merged, newest
from mainspring.testing.contracts import OnlineStoreContract

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


class TestMemory(OnlineStoreContract):
    @pytest.fixture
    def store(self) -> OnlineStore:
        return MemoryOnline()


class TestSqlite(OnlineStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[OnlineStore]:
        store = open_online(f"sqlite:///{tmp_path / 'state' / 'online.db'}")
        yield store
        store.close()


@pytest.fixture(scope="module")
def online_database(postgresql_server: str) -> Iterator[str]:
    with postgresql_database(postgresql_server) as url:
        yield url


@pytest.mark.server("postgresql")
class TestPostgresql(OnlineStoreContract):
    @pytest.fixture
    def store(self, online_database: str) -> Iterator[OnlineStore]:
        store = open_online(online_database)
        yield store
        store.close()


@pytest.mark.server("redis")
class TestRedis(OnlineStoreContract):
    @pytest.fixture
    def store(self, redis_url: str) -> Iterator[OnlineStore]:
        store = open_online(redis_url)
        yield store
        store.close()

    @pytest.fixture
    def name(self, redis_url: str) -> Iterator[str]:
        import redis

        name = uuid4().hex
        yield name
        with redis.Redis.from_url(redis_url) as client:
            client.delete(*client.scan_iter(f"mainspring:{{{name}*"))

    def test_a_view_that_redis_has_lost_is_not_one_without_entities(
        self, store: OnlineStore, name: str, redis_url: str
    ) -> None:
        import redis

        self.write(store, name, Row("ann", NOON, NOON, (1,)))
        with redis.Redis.from_url(redis_url) as client:
            client.delete(f"mainspring:{{{name}}}{name}:1")
        assert store.published(name) is None
        with pytest.raises(NothingPublished, match="mainspring features materialize"):
            store.read(name, ["ann"], NOON)


def test_of_processes_that_write_at_once_none_loses_a_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'online.db'}"
    write = (
        "import sys; from datetime import datetime, timedelta; from mainspring.features.store import Row; "
        "from mainspring.stores.online import open_online; now = datetime.fromisoformat(sys.argv[2]); "
        "store = open_online(sys.argv[1]); own = int(sys.argv[3])\n"
        "for n in range(50): at = now - timedelta(minutes=3 * n + own); "
        "store.write('v:1', [Row('all', at, at, (own,)), Row(f'{own} {n}', at, at, (n,))], now)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", write, url, NOON.isoformat(), str(own)]) for own in range(3)
    ]
    assert [each.wait() for each in writers] == [0, 0, 0]
    store = open_online(url)
    store.publish("v", "v:1", 1, after=None)
    found = store.read("v", ["all", *(f"{own} {n}" for own in range(3) for n in range(50))], NOON)
    assert [each and each.values[0] for each in found] == [0, *[*range(50)] * 3]
    store.close()


cells = st.lists(
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.binary(max_size=1)), max_size=5
)


@given(cells=cells, now=st.integers(0, 9), later=st.integers(0, 9), order=st.randoms(use_true_random=False))
def test_cells_that_are_merged_in_any_order_give_what_all_of_their_rows_would(
    cells: list[dict[tuple[int, int], bytes]], now: int, later: int, order: random.Random
) -> None:
    everything = {stamp: b"" for cell in cells for stamp in cell}
    shuffled = order.sample(cells, len(cells))
    held: Cell = {}
    for cell in shuffled:
        held = merged(held, cell, now)
        held = merged(held, cell, now)
    at = max(now, later)
    assert newest(held, at) == newest(everything, at)
    assert len(held) <= 1 + sum(max(stamp) > now for stamp in everything)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://127.0.0.1:1/none", marks=pytest.mark.server("postgresql")),
        pytest.param("redis://127.0.0.1:1/0", marks=pytest.mark.server("redis")),
        "sqlite:////dev/null/online.db",
    ],
)
def test_a_store_that_is_away_says_so(url: str) -> None:
    pytest.importorskip(
        {"redis": "redis", "postgresql": "psycopg", "sqlite": "sqlite3"}[url.partition(":")[0]]
    )
    store = open_online(url)
    for ask in (
        lambda: store.read("v", ["ann"], NOON),
        lambda: store.published("v"),
        lambda: store.write("v:1", [Row("ann", NOON, NOON - timedelta(1), (1,))], NOON),
        lambda: store.publish("v", "v:1", 1, after=None),
    ):
        with pytest.raises(StoreUnavailable, match="The online store"):
            ask()
    store.close()
