"""Rows that are put in order, through the loop: judged by NDCG, watched as lists complete, and never half counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate import tiny
from tests.operate.watching import DAY, spec
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.formats.onnx import OnnxModel
from mainspring.monitoring.lists import ListCounts, ListTable
from mainspring.monitoring.record import LabelRecord, PredictionRecord
from mainspring.operate.alarms import replay
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid
from mainspring.operate.ingest import ingest, log_counts
from mainspring.operate.power import quality_power
from mainspring.operate.sights.lists import LISTS
from mainspring.operate.status import version_rows
from mainspring.operate.watch import watch
from mainspring.ref import ModelRef
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace

MONITORS = '[ms.Quality("ndcg", tolerance=0.02, labels_within="3d"), ms.Quality("mrr", slices=("kind",))]'


def declared(text: str) -> str:
    begin, end = text.index("    monitors=["), text.index("    retrain=")
    text = f"{text[:begin]}    monitors={MONITORS},\n{text[end:]}"
    for old, new in (
        ("    order_id: str\n", "    order_id: str\n    basket: str\n"),
        (
            'BinaryClassification(label="late")',
            'BinaryClassification("late", lists=ms.Lists("basket", top=4))',
        ),
        ('ms.AtLeast("roc_auc", 0.6),', 'ms.AtLeast("ndcg", 0.6), ms.NotWorseThan("champion", "mrr"),'),
        ("rollout=ms.Canary(", 'rollout=ms.Canary(split_by="kind", '),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def baskets(rows: pl.DataFrame) -> pl.DataFrame:
    """Orders, five to a basket, all of one kind."""
    number = pl.int_range(pl.len()) // 5
    rows = rows.with_columns(basket=pl.concat_str(pl.lit("b"), pl.col("order_id").str.head(10), number))
    return rows.with_columns(pl.col("kind").first().over("basket"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with tiny.begin(tmp_path_factory.mktemp("lists") / "root", declared) as workspace:
        add_batch(workspace, "orders", parquet(baskets(orders(days=30, per_day=400))), actor="test")
        turn(workspace)
        yield workspace


def ask(
    workspace: Workspace, rows: pl.DataFrame, *, turned: bool = False, versions: tuple[int, ...] = (1,) * 5
) -> None:
    """Ask each basket in one request."""
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
    model = OnnxModel.load(workspace.blobs.get(route.champion.artifact))
    records = []
    for (_,), basket in rows.group_by("basket", maintain_order=True):
        inputs = basket.select("amount", "hour", "kind")
        numbers = {name: inputs[name].cast(pl.Float32).to_numpy() for name in ("amount", "hour")}
        scores = model.predict({**numbers, "kind": inputs["kind"].to_numpy().astype(object)})
        ids = basket["order_id"].to_list()
        records.append(
            PredictionRecord(
                at=workspace.clock.now(), product="tiny", route=route.number, ids=ids, units=ids,
                versions=list(versions), scores=[float(1 - each if turned else each) for each in scores],
                inputs=inputs.to_dict(as_series=False),
            )
        )  # fmt: skip
    write(workspace, records)


def write(workspace: Workspace, records: list[PredictionRecord] | list[LabelRecord]) -> None:
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(records)
        writer.roll()
    ingest(workspace)


def counts(workspace: Workspace, version: int = 1) -> ListCounts:
    with workspace.database.read() as tx:
        found = ListTable()
        for text in tx.monitoring.tables("tiny", version, LISTS).values():
            found = found.merge(ListTable.from_json(text))
        return found.of_group("")


def told(counts: ListCounts) -> tuple[int, int, int]:
    return counts.asked, counts.measured, counts.without


def test_gates_and_monitors_go_by_the_order_of_lists_and_its_alarms_come_out_the_same_again(
    shop: Workspace,
) -> None:
    (version,) = version_rows(shop, "tiny")
    assert 0.6 < version.metrics["ndcg"] < 1
    assert 0.4 < version.metrics["mrr"] < 1
    watched = spec(shop)
    spoken: dict[str, int] = {}
    for day in range(1, 17):
        first = FIRST + (30 + day) * DAY
        shop.advance(first + timedelta(hours=12))
        spoken |= {alarm.monitor: day for alarm in watch(shop, watched)}
        rows = baskets(orders(first, days=1))
        ask(shop, rows, turned=day > 8)
        write(shop, [tiny.labels(rows, at=shop.clock.now())])
    assert set(spoken) == {"quality:ndcg", "quality:mrr"}
    assert min(spoken.values()) > 8
    with shop.database.read() as tx:
        alarms = tx.monitoring.alarms("tiny")
    assert {alarm.change.unit for alarm in alarms if alarm.change} == {"1 - ndcg", "1 - mrr"}
    (sliced,) = [alarm.change for alarm in alarms if alarm.change and alarm.monitor == "quality:mrr"]
    assert {blame.feature for blame in sliced.blame} <= {"mrr", "kind=a", "kind=b", "kind=c"}
    powers = quality_power(shop, ModelRef("tiny", 1), rise=0.2, labels_per_day=100)
    assert [each.metric for each in powers] == ["1 - ndcg", "1 - mrr"]
    assert all(replay(shop, alarm.alarm_id).same for alarm in alarms)


def test_a_list_counts_once_when_its_last_label_comes(shop: Workspace) -> None:
    shop.advance(FIRST + 60 * DAY)
    rows, before = baskets(orders(FIRST + 59 * DAY, days=1, per_day=10, seed=3)), counts(shop)
    rows = rows.with_columns(late=pl.col("basket") == rows["basket"][0])
    ask(shop, rows)
    ask(shop, rows)  # a log that is written again
    write(shop, [tiny.labels(rows.head(4), at=shop.clock.now())])
    assert told(counts(shop)) == (before.asked + 2, before.measured, before.without)
    for _ in range(2):
        write(shop, [tiny.labels(rows, at=shop.clock.now())])
    assert told(counts(shop)) == (before.asked + 2, before.measured + 1, before.without + 1)


def test_a_list_that_several_versions_have_answered_counts_for_none_and_is_told(shop: Workspace) -> None:
    shop.advance(FIRST + 62 * DAY)
    before = counts(shop)
    rows = baskets(orders(FIRST + 61 * DAY, days=1, per_day=5, seed=4))
    ask(shop, rows, versions=(1, 1, 1, 1, 2))
    write(shop, [tiny.labels(rows, at=shop.clock.now())])
    assert counts(shop) == before
    with shop.database.read() as tx:
        assert log_counts(tx, "tiny")["lists_of_several_versions"] == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('ms.Lists("basket"', 'ms.Lists("cart"', "'cart' is no column of dataset 'orders'"),
        ('split_by="kind", ', "", "several versions would answer one list"),
        ('    holdout="5d",', '    holdout="5d",\n    log_sample=0.5,', "lists would lack rows"),
        (
            'ms.AtLeast("ndcg", 0.6)',
            'ms.AtLeast("ndcg", 0.6, slices=("kind",))',
            "cannot ask slices for 'ndcg'",
        ),
        ('labels_within="3d"', 'strata="weekend"', "cannot watch 'ndcg'"),
        (', lists=ms.Lists("basket", top=4)', "", "knows no metric 'ndcg'"),
        ("top=4", "top=0", "at least the first place counts"),
    ],
    ids=["no column", "split by row", "sampled", "sliced gate", "monitor by weekend", "no lists", "no place"],
)
def test_lists_that_could_not_be_measured_are_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    def change(text: str) -> str:
        text = declared(text)
        assert text.count(old) == 1
        return text.replace(old, new)

    with pytest.raises(DeclarationInvalid) as refused:
        tiny.begin(tmp_path / "root", change)
    assert told in str(refused.value)


def test_lists_that_are_whole_in_a_slice_are_watched_in_it(shop: Workspace) -> None:
    with shop.database.read() as tx:
        tables = [ListTable.from_json(text) for text in tx.monitoring.tables("tiny", 1, LISTS).values()]
    whole = tables[0]
    for table in tables[1:]:
        whole = whole.merge(table)
    kinds = [name for name in whole.groups if name]
    assert set(kinds) == {"kind=a", "kind=b", "kind=c"}
    every = whole.of_group("")
    assert sum(whole.of_group(name).asked for name in kinds) == every.asked
    assert sum(whole.of_group(name).measured for name in kinds) == every.measured > 0
