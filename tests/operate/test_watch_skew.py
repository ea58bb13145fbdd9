"""Training/serving skew in the loop: what was served is held against what training would join."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate.shop import declaration
from tests.operate.tiny import begin
from tests.operate.watching import DAY, spec
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.monitoring.record import PredictionRecord
from mainspring.monitoring.skew import SkewTable
from mainspring.operate.alarms import replay
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.ingest import ingest
from mainspring.operate.sights.skew import SKEW
from mainspring.operate.watch import looks, watch
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace


def declared(*, pii: bool = False) -> str:
    text = declaration(pii=pii)
    begin, end = text.index("    monitors=[") + len("    monitors="), text.index("    retrain=")
    return f"{text[:begin]}[ms.ServingSkew()],\n{text[end:]}"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A shop in which every order has a customer of its own, known since its midnight."""
    with begin(tmp_path / "root", lambda _: declared()) as workspace:
        rows = orders()
        add_batch(workspace, "customers", customers(rows, 0), actor="test")
        add_batch(workspace, "orders", parquet(asked(rows)), actor="test")
        turn(workspace)
        yield workspace


def asked(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("amount").insert_column(2, rows["order_id"].alias("customer"))


def customers(rows: pl.DataFrame, first: int) -> bytes:
    return parquet(
        rows.select(
            pl.int_range(first, first + pl.len()).alias("row_id"),
            pl.col("order_id").alias("customer"),
            pl.col("asked_at").dt.truncate("1d").alias("at"),
            "amount",
        )
    )


def serve(workspace: Workspace, rows: pl.DataFrame, *, hidden: bool = False) -> None:
    """Log a request with the amounts that were served."""
    ids = rows["order_id"].to_list()
    columns = {name: rows[name].to_list() for name in ("amount", "hour", "kind")}
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(
            [
                PredictionRecord(
                    at=workspace.clock.now(),
                    product="tiny",
                    route=1,
                    ids=ids,
                    units=ids,
                    versions=[1] * len(ids),
                    scores=[0.3] * len(ids),
                    inputs=columns if hidden else {**columns, "customer": ids},
                    redacted=["customer"] if hidden else [],
                )
            ]
        )
    ingest(workspace)


def days(workspace: Workspace, first: int, last: int, wrong: int = 0, *, hidden: bool = False) -> list[str]:
    """Let days pass on each of which so many rows of 100 are served another amount; give who spoke."""
    spoken: list[str] = []
    for day in range(first, last):
        rows = orders(FIRST + (30 + day) * DAY, days=1)
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        spoken += [alarm.monitor for alarm in watch(workspace, spec(workspace))]
        row = pl.int_range(pl.len())
        stale = pl.when(row < wrong).then(pl.col("amount") * 1.01).otherwise("amount")
        serve(workspace, rows.with_columns(amount=stale), hidden=hidden)
        # Sources have told of a day when there is a row of the next.
        add_batch(workspace, "customers", customers(rows, 10_000 * day), actor="test")
    return spoken


def tables(workspace: Workspace) -> list[SkewTable]:
    with workspace.database.read() as tx:
        return [SkewTable.from_json(text) for text in tx.monitoring.tables("tiny", 1, SKEW).values()]


def test_features_that_are_served_as_they_are_learned_are_quiet_and_others_are_an_alarm(
    workspace: Workspace,
) -> None:
    assert days(workspace, 1, 6) == []
    # The newest day has no table until a source has a row of a later time.
    assert [table.counts["amount"] for table in tables(workspace)] == [(100, 0)] * 3
    assert days(workspace, 6, 12, wrong=20) == ["serving_skew"]
    with workspace.database.read() as tx:
        (alarm,) = tx.monitoring.alarms("tiny")
    assert (alarm.about, alarm.change and alarm.change.blame[0].feature) == ("skew", "amount")
    assert "published after they were needed" in alarm.advice
    assert replay(workspace, alarm.alarm_id).same


def test_rows_that_cannot_be_joined_again_are_named_and_nothing_is_taken_for_quiet(
    workspace: Workspace,
) -> None:
    assert days(workspace, 1, 5, hidden=True) == []
    with workspace.database.read() as tx:
        seen = looks(tx, "tiny", "serving_skew")
    assert seen is not None
    assert (seen.outcome, "customer" in seen.told) == ("could_not_judge", True)


def test_a_product_without_features_of_views_has_nothing_to_compare(empty: Workspace) -> None:
    file = empty.settings.root / "product.py"
    file.write_text(file.read_text().replace("ms.InputDrift(),", "ms.ServingSkew(),"))
    with pytest.raises(DeclarationInvalid, match="no input is a feature of a view"):
        declare(empty, actor="test")
