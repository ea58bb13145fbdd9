"""What is looked up online is what the point-in-time join gives; snapshots follow data and declarations."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operate.shop import customers, declaration
from tests.operate.tiny import PRODUCT
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.digest import Digest
from mainspring.errors import MainspringError
from mainspring.features.online import Snapshot, look_up, pack, snapshot_name
from mainspring.gateway.follow import Follower
from mainspring.monitoring.record import Fetched, PredictionRecord
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch, renew_snapshots
from mainspring.operate.declare import declare
from mainspring.operate.joining import join_features
from mainspring.operate.log_table import frames
from mainspring.operate.serving import ServingSource
from mainspring.operate.snapshots import snapshots_in_force, take_snapshot
from mainspring.product import FeatureViewSpec
from mainspring.stores.tables import DeltaTables
from mainspring.workspace import Workspace, open_workspace

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
PRICES = FeatureViewSpec(
    "prices",
    "prices",
    entity="place",
    event_time="seen_at",
    ttl="3h",
    features=("price", "seller"),
    online=True,
)

# Quarters of an hour, so that times are often equal and often exactly as old as they may be.
moments = st.integers(0, 40).map(lambda quarter: START + timedelta(minutes=15 * quarter))
places = st.sampled_from(["a", "b", "c", None])
seen = st.tuples(
    places,
    st.none() | moments,
    st.none() | st.floats(-1e6, 1e6) | st.just(float("nan")),
    st.none() | st.text("xy", max_size=1),
)
batches = st.lists(st.lists(seen, min_size=1, max_size=12), min_size=1, max_size=4)


def prices(rows: Sequence[tuple[object, ...]], first: int) -> pl.DataFrame:
    schema = {"place": pl.String, "seen_at": MOMENT, "price": pl.Float64, "seller": pl.String}
    # Keys that do not rise with the rows: among rows of one time they say which stands last.
    keys = pl.Series("price_id", [(first + n) * 7919 % 10007 for n in range(len(rows))])
    return pl.DataFrame(rows, schema=schema, orient="row").insert_column(0, keys)


@settings(max_examples=60, deadline=None)
@given(batches=batches, until=moments, later=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_what_is_looked_up_at_an_instant_is_what_the_join_gives(
    batches: list[list[tuple[object, ...]]], until: datetime, later: list[int]
) -> None:
    """Whatever has come late, in place of an earlier row, or before its time; from the snapshot's instant on."""
    with tempfile.TemporaryDirectory() as folder:
        tables = DeltaTables(Path(folder))
        count = 0
        for rows in batches:
            version = tables.append("prices", prices(rows, count), commit_id=None)
            count += len(rows)
        of = {"view": PRICES, "key": ("price_id",), "tables": tables, "version": version}
        snapshot = Snapshot(take_snapshot(**of, until=until))
        for minutes in [0, *later]:
            now = until + timedelta(minutes=15 * minutes)
            asked = pl.DataFrame(
                {"place": ["a", "b", "c", "d", None], "at": [now] * 5},
                schema={"place": pl.String, "at": MOMENT},
            )
            joined = join_features(
                asked,
                at="at",
                views=[PRICES],
                keys={"prices": ("price_id",)},
                tables=tables,
                versions={"prices": version},
                known=now,
            )
            found = look_up(PRICES, snapshot, asked["place"].to_list(), now)
            assert found.columns["price"] == joined["price"].fill_nan(None).to_list()
            assert found.columns["seller"] == joined["seller"].to_list()


late = st.lists(st.tuples(seen, st.none() | st.integers(-4, 16)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(rows=late, until=moments, later=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_a_row_is_looked_up_from_when_it_was_known_as_the_join_has_it(
    rows: list[tuple[tuple[object, ...], int | None]], until: datetime, later: list[int]
) -> None:
    """Of rows that come late, are corrected, or are known ahead of their time."""
    view = msgspec.structs.replace(PRICES, known_at="known_at")
    known = [
        None if of[1] is None or delay is None else of[1] + timedelta(minutes=15 * delay)  # type: ignore[operator]
        for of, delay in rows
    ]
    table = prices([of for of, _ in rows], 0).with_columns(pl.Series("known_at", known, dtype=MOMENT))
    with tempfile.TemporaryDirectory() as folder:
        tables = DeltaTables(Path(folder))
        version = tables.append("prices", table, commit_id=None)
        tables.append("then", table.filter(pl.col("known_at") <= until), commit_id=None)
        snapshot = Snapshot(
            take_snapshot(view, key=("price_id",), tables=tables, version=version, until=until)
        )
        for minutes in [0, *later]:
            now = until + timedelta(minutes=15 * minutes)
            asked = pl.DataFrame(
                {"place": ["a", "b", "c", None], "at": [now] * 4}, schema={"place": pl.String, "at": MOMENT}
            )
            joined = join_features(
                asked,
                at="at",
                views=[msgspec.structs.replace(view, source="then")],
                keys={"then": ("price_id",)},
                tables=tables,
                versions={"then": 0},
                known=now,
            )
            found = look_up(view, snapshot, asked["place"].to_list(), now)
            assert found.columns["price"] == joined["price"].fill_nan(None).to_list()
            assert found.columns["seller"] == joined["seller"].to_list()


def test_what_no_model_could_take_is_null(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    rows = [("a", START, 1e39, "x"), ("b", START, float("inf"), "x"), ("c", START, 3e38, "x")]
    version = tables.append("prices", prices(rows, 0), commit_id=None)
    content = take_snapshot(PRICES, key=("price_id",), tables=tables, version=version, until=START)
    assert look_up(PRICES, Snapshot(content), ["a", "b", "c"], START).columns["price"] == [None, None, 3e38]


def test_a_snapshot_in_several_pieces_is_whole() -> None:
    entities = range(25_000)
    content = pack(["price"], START, entities, [START] * 25_000, [[n + 0.5 for n in entities]])
    snapshot = Snapshot(content)
    assert len(snapshot) == 25_000
    assert [snapshot.newest(n, START).values for n in (0, 9_999, 10_000, 24_999)] == [
        (0.5,),
        (9_999.5,),
        (10_000.5,),
        (24_999.5,),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x80", pack(["price"], START, ["a"], [START], [[1]])[:-1]]
)
def test_bytes_that_are_no_snapshot_are_told(content: bytes) -> None:
    with pytest.raises(MainspringError, match="no snapshot"):
        Snapshot(content)


# --- in a workspace ------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "product.py").write_text(declaration())
    (tmp_path / "mainspring.toml").write_bytes((PRODUCT / "mainspring.toml").read_bytes())
    return tmp_path


def amounts(workspace: Workspace, *names: str) -> list[object]:
    with workspace.database.read() as tx:
        [spec] = workspace.specs(tx).values()
        taken = snapshots_in_force(tx)[snapshot_name(spec.online[0])]
    snapshot = Snapshot(workspace.blobs.get(taken.digest))
    return look_up(spec.online[0], snapshot, names, FIRST).columns["amount"]


def test_a_data_version_brings_its_snapshot_in_the_same_transaction(shop: Path) -> None:
    with open_workspace(shop) as workspace:
        declare(workspace, actor="test")
        add_batch(workspace, "customers", customers(0, ann=10.0, bob=20.0), actor="test")
        assert amounts(workspace, "ann", "bob", "eve") == [10.0, 20.0, None]
        add_batch(workspace, "customers", customers(2, bob=30.0), actor="test")
        assert amounts(workspace, "ann", "bob") == [10.0, 30.0]
        with workspace.database.read() as tx:
            published = json.loads(tx.ledger.newest(limit=1)[0].data)
            [taken] = snapshots_in_force(tx).values()
        assert list(published["snapshots"].values()) == [taken.digest]
        assert taken.version == 2


def test_a_view_that_is_declared_online_later_finds_the_data_that_is_there(shop: Path) -> None:
    (shop / "product.py").write_text(declaration(online=False))
    with open_workspace(shop) as workspace:
        declare(workspace, actor="test")
        add_batch(workspace, "customers", customers(0, ann=10.0), actor="test")
        with workspace.database.read() as tx:
            assert snapshots_in_force(tx) == {}
        (shop / "product.py").write_text(declaration(online=True))
        declare(workspace, actor="test")
        assert amounts(workspace, "ann") == [10.0]


def test_a_snapshot_that_lags_behind_its_source_is_made_anew(shop: Path) -> None:
    with open_workspace(shop) as workspace:
        [spec] = declare(workspace, actor="test")
        add_batch(workspace, "customers", customers(0, ann=10.0), actor="test")
        [view] = spec.online
        with workspace.database.write() as tx:  # as a declaration that came between would have left it
            tx.values.put(
                f"snapshot:{snapshot_name(view)}", f'{{"digest": "{Digest("0" * 64)}", "version": 0}}'
            )
        renew_snapshots(workspace, [spec])
        assert amounts(workspace, "ann") == [10.0]


def test_a_snapshot_that_cannot_be_made_keeps_nothing_else_back(
    shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The column that the view reads is declared, and the data that is there does not have it."""
    (shop / "product.py").write_text(declaration(online=False))
    with open_workspace(shop) as workspace:
        declare(workspace, actor="test")
        add_batch(workspace, "customers", customers(0, ann=10.0), actor="test")
        renamed = declaration().replace("    customer: str", "    client: str")
        (shop / "product.py").write_text(renamed.replace('entity="customer"', 'entity="client"'))
        [spec] = declare(workspace, actor="test")
        assert [view.entity for view in spec.online] == ["client"]
        with workspace.database.read() as tx:
            assert snapshots_in_force(tx) == {}
    assert "There is no snapshot of feature view profile" in caplog.text


def test_routes_look_up_as_declared_without_another_training(shop: Path) -> None:
    rows = orders(days=30)
    asked = rows.drop("amount").insert_column(2, rows["order_id"].alias("customer"))
    known = rows.select(
        pl.int_range(rows.height).alias("row_id"),
        pl.col("order_id").alias("customer"),
        "amount",
        at="asked_at",
    )
    with open_workspace(shop) as workspace:
        declare(workspace, actor="test")
        add_batch(workspace, "customers", parquet(known), actor="test")
        add_batch(workspace, "orders", parquet(asked), actor="test")
        turn(workspace)
        with workspace.database.read() as tx:
            [spec] = workspace.specs(tx).values()
            [route] = tx.rollouts.routes()
        assert (route.online, [each.name for each in route.entities]) == (spec.online, ["customer"])
        last = rows["order_id"][-1]
        assert served(workspace, last) == [rows["amount"][-1]]
        (shop / "product.py").write_text(declaration(online=False))
        declare(workspace, actor="test")
        with workspace.database.read() as tx:
            [renewed] = tx.rollouts.routes()
        assert (renewed.number, renewed.champion) == (route.number + 1, route.champion)
        assert (renewed.online, renewed.entities) == ((), ())


def served(workspace: Workspace, customer: str) -> list[object]:
    """What a gateway of the workspace finds."""

    async def found() -> list[object]:
        with ServingSource.open(workspace.settings) as source:
            follower = Follower(source)
            await follower.check()
            serving = follower.serving("tiny")
            [view] = serving.route.online
            at = look_up(view, serving.snapshots[view.name], [customer], workspace.clock.now())
            await follower.close()
        return list(at.columns["amount"])

    return asyncio.run(found())


def test_what_was_looked_up_reaches_the_columns_of_the_log(shop: Path) -> None:
    record = PredictionRecord(
        at=FIRST, product="tiny", route=1, ids=["a", "b"], units=["a", "b"], versions=[1, 1], scores=[0.5, 0.5],
        inputs={"hour": [1, 2], "kind": ["a", "b"], "customer": ["ann", "eve"]},
        features={"profile": Fetched([FIRST, None], {"amount": [10.0, None]})},
    )  # fmt: skip
    with open_workspace(shop) as workspace:
        [spec] = declare(workspace, actor="test")
    [table] = frames([record], {"tiny": spec})["tiny"].values()
    assert table["amount"].to_list() == [10.0, None]
    assert table["customer"].to_list() == ["ann", "eve"]
    assert table["features_at"].to_list()[0] == [{"view": "profile", "at": FIRST}]
