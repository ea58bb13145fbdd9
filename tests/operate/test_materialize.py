"""The online store gives what the point-in-time join gives, whatever comes late, twice, corrected or ahead of time."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operate.shop import customers, declaration
from tests.operate.test_snapshots import MOMENT, PRICES, moments, places, prices
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST

from mainspring.data import Change
from mainspring.features.online import Value, snapshot_name, use
from mainspring.operate.data.publish import Adding, add_batch
from mainspring.operate.declare import declare
from mainspring.operate.joining import join_features
from mainspring.operate.materialize import MaterializedView, UnknownView, materialize
from mainspring.operate.online_rows import write_rows
from mainspring.operate.tasks import Materialize, Materialized
from mainspring.stores.online import open_online
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import Workspace

STORED = msgspec.structs.replace(PRICES, online="store", known_at="known_at")
QUARTER = timedelta(minutes=15)

entries = st.tuples(
    st.tuples(
        places, st.none() | moments, st.none() | st.floats(-1e6, 1e6), st.none() | st.text("xy", max_size=1)
    ),
    st.none() | st.integers(-4, 16),
)
steps = st.lists(
    st.tuples(
        st.lists(entries, max_size=8),
        st.booleans(),  # whether the write is repeated
        st.integers(1, 12),  # quarters until the next
    ),
    min_size=1,
    max_size=6,
)


def with_known(rows: Sequence[tuple[tuple[object, ...], int | None]], first: int) -> pl.DataFrame:
    known = [
        None if row[1] is None or delay is None else row[1] + delay * QUARTER  # type: ignore[operator]
        for row, delay in rows
    ]
    table = prices([row for row, _ in rows], first).with_columns(pl.Series("known_at", known, dtype=MOMENT))
    # Of rows of the same two times the one of the larger key counts, which here is the one that comes later.
    return table.with_columns(price_id=pl.int_range(first, first + pl.len()))


def task(url: str, version: int, before: int | None, now: datetime) -> Materialize:
    return Materialize(
        view=STORED,
        store=url,
        space="prices:1",
        table_version=version,
        before=before,
        since=None,
        until=None,
        now=now,
    )


@settings(max_examples=15, deadline=None)
@given(steps=steps, begin=moments)
def test_at_every_instant_the_store_gives_what_the_join_gives(
    steps: list[tuple[list[tuple[tuple[object, ...], int | None]], bool, int]], begin: datetime
) -> None:
    """Rows that are late, doubled, corrected, known ahead of their time, or too old by then."""
    with tempfile.TemporaryDirectory() as folder:
        tables, url = DeltaTables(Path(folder)), f"sqlite:///{folder}/online.db"
        store = open_online(url)
        now, count, before = begin, 0, None
        for rows, again, wait in steps:
            version = tables.append("prices", with_known(rows, count), commit_id=None)
            count += len(rows)
            for _ in range(1 + again):
                write_rows(task(url, version, before, now), key=("price_id",), tables=tables)
            store.publish("prices", "prices:1", version, after=store.published("prices"))
            before = version
            for quarters in (0, wait - 1):
                at = now + quarters * QUARTER
                asked = pl.DataFrame({"place": ["a", "b", "c", "d", None], "at": [at] * 5}).cast(
                    {"at": MOMENT}
                )
                joined = join_features(
                    asked,
                    at="at",
                    views=[STORED],
                    keys={"prices": ("price_id",)},
                    tables=tables,
                    versions={"prices": version},
                    known=at,
                )
                entities: list[Value] = asked["place"].to_list()
                found = use(STORED, entities, store.read("prices", entities, at), at)
                assert found.columns["price"] == joined["price"].to_list()
                assert found.columns["seller"] == joined["seller"].to_list()
            now += wait * QUARTER
        store.close()


def test_a_process_that_is_killed_midway_leaves_what_the_next_one_completes(tmp_path: Path) -> None:
    tables, url = DeltaTables(tmp_path / "tables"), f"sqlite:///{tmp_path / 'online.db'}"
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [((f"p{n}", start, float(n), None), 0) for n in range(9)]
    version = tables.append("prices", with_known(rows, 0), commit_id=None)
    asked = task(url, version, None, start)
    for pieces in (1, 3):
        died = subprocess.run(
            [sys.executable, "-m", "tests.operate.materialize_and_die", str(tables.root),
             msgspec.json.encode(asked).decode(), str(pieces)],
            check=False,
        )  # fmt: skip
        assert died.returncode == -signal.SIGKILL
    assert write_rows(asked, key=("price_id",), tables=tables) == Materialized(written=9, older=0)
    store = open_online(url)
    assert store.published("prices") is None  # half of it was never to be read
    store.publish("prices", "prices:1", 1, after=None)
    found = store.read("prices", [f"p{n}" for n in range(9)], start)
    assert [each and each.values for each in found] == [(float(n), None) for n in range(9)]
    store.close()


# --- in a workspace ------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A shop whose profiles are in the online store."""
    with begin(tmp_path, lambda _: declaration(online="store")) as workspace:
        yield workspace


def amounts(workspace: Workspace, *names: str) -> list[Value]:
    with workspace.database.read() as tx:
        [spec] = workspace.specs(tx).values()
    [view] = spec.online
    found = workspace.online.read(snapshot_name(view), names, FIRST)
    return list(use(view, names, found, FIRST).columns["amount"])


def profile(
    version: int | None, *, whole: bool = False, written: int = 0, older: int = 0
) -> MaterializedView:
    return MaterializedView(
        view="profile", source="customers", version=version, whole=whole, written=written, older=older
    )


def test_each_version_writes_what_it_adds_or_all_where_rows_were_changed(workspace: Workspace) -> None:
    assert materialize(workspace) == [profile(None)]
    add_batch(workspace, "customers", customers(0, ann=10.0, bob=20.0), actor="test")
    assert amounts(workspace, "ann", "bob", "eve") == [10.0, 20.0, None]
    add_batch(workspace, "customers", customers(2, bob=30.0), actor="test")
    assert amounts(workspace, "ann", "bob") == [10.0, 30.0]
    assert materialize(workspace, "profile") == [profile(2)]
    add_batch(
        workspace, "customers", customers(2, bob=5.0), actor="test", adding=Adding(change=Change.UPSERT)
    )
    assert amounts(workspace, "ann", "bob") == [10.0, 5.0]
    add_batch(
        workspace, "customers", customers(0, bob=6.0), actor="test", adding=Adding(change=Change.REPLACE)
    )
    assert amounts(workspace, "ann", "bob") == [None, 6.0]
    assert materialize(workspace, since=FIRST, until=FIRST) == [profile(4, written=1)]
    assert materialize(workspace, since=FIRST + timedelta(days=1)) == [profile(4)]
    with pytest.raises(UnknownView, match="Those that there are: profile"):
        materialize(workspace, "profil")


def test_a_store_that_stayed_behind_or_was_lost_is_filled_with_what_it_lacks(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    add_batch(workspace, "customers", customers(0, ann=10.0, bob=20.0), actor="test")
    add_batch(workspace, "customers", customers(2, bob=30.0), actor="test")
    with workspace.database.read() as tx:
        [spec] = workspace.specs(tx).values()
    name = snapshot_name(spec.online[0])
    before = workspace.online.published(name)
    assert before is not None
    workspace.online.publish(
        name, before.space, 1, after=before
    )  # as one that died before it wrote version 2
    assert materialize(workspace) == [profile(2, written=1)]
    file = Path(workspace.settings.online_url.removeprefix("sqlite:///"))
    workspace.online.close()
    for each in file.parent.glob("online.db*"):
        each.unlink()
    file.mkdir()
    batch = add_batch(workspace, "customers", customers(5, eve=7.0), actor="test")
    assert batch.version == 3  # no reason to keep data back
    assert "The online store stays behind with feature view profile" in caplog.text
    file.rmdir()
    assert materialize(workspace) == [profile(3, whole=True, written=3, older=1)]
    assert amounts(workspace, "ann", "bob", "eve") == [10.0, 30.0, 7.0]
    root = workspace.settings.root
    (root / "product.py").write_text(declaration(online=True))
    for _ in range(2):  # until the second, the declaration of before is in force
        declare(workspace, actor="test")
    assert workspace.online.published(name) is None  # nobody looks there any more
    (root / "product.py").write_text(declaration(online="store"))
    declare(workspace, actor="test")
    assert amounts(workspace, "ann") == [10.0]
