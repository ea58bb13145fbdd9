"""Reading the prediction logs: every prediction and label counts once, and every row reaches the tables once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operate.tiny import ask, labels
from tests.products.tiny.orders import FIRST, orders

from mainspring.events import EventType
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.served import feed
from mainspring.gates.metrics import brier, log_loss, roc_auc
from mainspring.monitoring import LossTable, Profile, frame, merge, profile
from mainspring.monitoring.record import (
    Failure,
    Fetched,
    LabelEntry,
    LabelRecord,
    LogRecord,
    PredictionRecord,
)
from mainspring.monitoring.store import DayQuality
from mainspring.operate.compact import GROUP, compact, prediction_log
from mainspring.operate.declare import declare
from mainspring.operate.ingest import ingest, log_counts
from mainspring.operate.judging import PREDICTION, read_columns
from mainspring.operate.log_table import LABELS, STRAYS, predictions_table
from mainspring.operate.references import reference_of
from mainspring.operate.review import review
from mainspring.operate.status import product_status
from mainspring.ref import ModelRef
from mainspring.stores.blobs import BlobNotFound
from mainspring.stores.segments import SegmentCorrupt, SegmentWriter, ended_segments
from mainspring.workspace import Workspace, open_workspace

DAY = timedelta(days=1)
SEEDS = count(1)


def go_to(workspace: Workspace, day: int) -> datetime:
    """Move the clock to noon of a day after the 30 of training."""
    workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
    return workspace.clock.now()


def some(rows: int = 20, day: int = 1) -> pl.DataFrame:
    """Orders that no other call has given."""
    return orders(FIRST + (30 + day) * DAY, days=1, per_day=rows, seed=next(SEEDS))


def log_labels(workspace: Workspace, record: LabelRecord, log: str = "gateway-0") -> None:
    with SegmentWriter(workspace.logs / log) as writer:
        writer.append([record])
        writer.roll()


def record_of(name: str, at: datetime, **fields: Any) -> PredictionRecord:
    """The record of one row."""
    given: dict[str, Any] = {
        "inputs": {"amount": [1.0], "hour": [3], "kind": ["book"]},
        "versions": [1],
        "scores": [0.5],
        "ids": [name],
        **fields,
    }
    return PredictionRecord(at=at, product="tiny", route=1, units=[name], **given)


def quality(workspace: Workspace) -> tuple[DayQuality, ...]:
    with workspace.database.read() as tx:
        return tx.monitoring.quality("tiny")


def counts(workspace: Workspace) -> tuple[int, int]:
    rows = quality(workspace)
    return sum(row.predictions for row in rows), sum(row.labelled for row in rows)


def early(workspace: Workspace) -> list[object]:
    with workspace.database.read() as tx:
        return list(json.loads(tx.values.get("early_labels") or "[]"))


# --- once ----------------------------------------------------------------------------------------------------------


def test_each_record_is_counted_once_across_calls_and_processes(workspace: Workspace) -> None:
    go_to(workspace, 1)
    ask(workspace, some(20))
    assert ingest(workspace) == 21
    assert ingest(workspace) == 0
    assert counts(workspace) == (20, 20)
    ask(workspace, some(10))
    program = (
        "import sys, pathlib\n"
        "from mainspring.operate.ingest import ingest\n"
        "from mainspring.workspace import open_workspace\n"
        "with open_workspace(pathlib.Path(sys.argv[1])) as workspace:\n"
        "    print(ingest(workspace))\n"
    )
    root = str(workspace.settings.root)
    said = subprocess.run([sys.executable, "-c", program, root], capture_output=True, check=True, text=True)
    assert int(said.stdout) == 11
    assert ingest(workspace) == 0
    assert counts(workspace) == (30, 30)


def test_what_was_read_and_not_committed_is_read_again(workspace: Workspace, tmp_path: Path) -> None:
    go_to(workspace, 1)
    ask(workspace, some(20))
    # Without the version's reference counting breaks off in the middle of its transaction.
    with workspace.database.read() as tx:
        file = workspace.blobs.path(tx.registry.get(ModelRef("tiny", 1)).reference)
    reference_of.cache_clear()
    file.rename(tmp_path / "reference")
    with pytest.raises(BlobNotFound):
        ingest(workspace)
    assert counts(workspace) == (0, 0)
    (tmp_path / "reference").rename(file)
    assert ingest(workspace) == 21
    assert counts(workspace) == (20, 20)


def test_labels_join_by_id_and_only_the_first_of_a_prediction_counts(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    rows = some(20)
    ask(workspace, rows, labelled=False)
    turned = rows.with_columns(~pl.col("late"))
    twice = LabelRecord(at=at, labels=[*labels(rows[:5], at=at).labels, *labels(turned[:5], at=at).labels])
    log_labels(workspace, twice)
    ingest(workspace)
    assert counts(workspace) == (20, 5)
    assert sum(row.positives for row in quality(workspace)) == rows[:5]["late"].sum()
    stranger = LabelEntry("never-asked", True, at)
    log_labels(workspace, LabelRecord(at=at, labels=[stranger, *labels(turned[:10], at=at).labels]))
    ingest(workspace)
    assert counts(workspace) == (20, 10)
    log_labels(workspace, labels(rows, at=at))
    log_labels(workspace, labels(rows, at=at))
    ingest(workspace)
    assert counts(workspace) == (20, 20)
    assert sum(row.positives for row in quality(workspace)) == (
        rows[:5]["late"].sum() + turned[5:10]["late"].sum() + rows[10:]["late"].sum()
    )
    # Second labels are forgotten once every log has been read to its end.
    ingest(workspace)
    assert early(workspace) == []


def test_a_label_in_another_gateways_log_than_its_prediction_is_not_lost(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    rows = some(20)
    log_labels(workspace, labels(rows[:8], at=at), log="gateway-0")
    ask(workspace, rows, labelled=False, log="gateway-1")
    log_labels(workspace, labels(rows[8:12], at=at), log="gateway-2")
    ingest(workspace)
    assert counts(workspace) == (20, 12)
    assert early(workspace) == []


def test_a_label_that_was_read_before_its_prediction_was_written_waits_for_it(workspace: Workspace) -> None:
    # Gateway 1 logs the prediction after its log was read, gateway 2 the label before its own was.
    at = go_to(workspace, 1)
    rows = some(20)
    log_labels(workspace, labels(rows, at=at), log="gateway-2")
    ingest(workspace)
    assert counts(workspace) == (0, 0)
    assert len(early(workspace)) == 20
    ask(workspace, rows, labelled=False, log="gateway-1")
    ingest(workspace)
    assert counts(workspace) == (20, 20)
    assert early(workspace) == []


def test_traffic_of_a_product_that_is_not_declared_is_passed_over(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    ask(workspace, some(5))
    stranger = PredictionRecord(
        at=at,
        product="gone",
        route=1,
        ids=["g"],
        units=["g"],
        versions=[1],
        scores=[0.5],
        inputs={"amount": [1.0]},
    )
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([stranger, LabelRecord(at=at, labels=[LabelEntry("g", True, at)])])
    assert ingest(workspace) == 8
    assert counts(workspace) == (5, 5)
    assert prediction_log(workspace, "tiny")[0].height == 5


def counted(workspace: Workspace, product: str | None = "tiny") -> dict[str, int]:
    with workspace.database.read() as tx:
        return log_counts(tx, product)


def test_an_id_that_is_asked_again_counts_once_and_is_named(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    rows = some(10)
    ask(workspace, rows, labelled=False)
    ask(workspace, rows[:4], labelled=False)  # unlabelled as yet
    ingest(workspace)
    log_labels(workspace, labels(rows, at=at))
    ask(
        workspace, rows[:6], labelled=False, log="gateway-1"
    )  # labelled by now, and answered by another gateway
    log_labels(workspace, labels(rows, at=at))
    ingest(workspace)
    assert counts(workspace) == (10, 10)
    assert counted(workspace) == {"repeated_labels": 10, "repeated_predictions": 10}
    with workspace.database.read() as tx:
        text = tx.monitoring.table("tiny", 1, "profile", date(2024, 2, 1))
    assert Profile.from_json(text or "").rows == 10
    predictions, _ = prediction_log(workspace, "tiny")
    assert predictions.height == 10
    (month,) = review(workspace, "tiny")
    assert month.rows == 10


def test_a_label_that_is_known_later_takes_the_place_of_the_one_before(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    rows = some(20)
    turned = rows.with_columns(~pl.col("late"))
    ask(workspace, rows, labelled=False)
    log_labels(workspace, labels(turned, at=at))
    ingest(workspace)
    with workspace.database.read() as tx:
        evidence = tx.monitoring.tables("tiny", 1, "log_loss")
    log_labels(workspace, labels(rows[:15], at=at + DAY))
    log_labels(workspace, labels(turned[:15], at=at + DAY / 2))  # the later one came first
    ingest(workspace)
    truth = pl.concat([rows[:15], turned[15:]])
    predictions, _ = prediction_log(workspace, "tiny")
    mine = losses(predictions.join(truth.select(prediction_id="order_id", late="late"), on="prediction_id"))
    (day,) = quality(workspace)
    assert (day.predictions, day.labelled, day.positives) == (20, 20, truth["late"].sum())
    assert day.log_loss_millionths / 1e6 == pytest.approx(mine["log_loss"].sum(), abs=60e-6)
    assert day.brier_millionths / 1e6 == pytest.approx(mine["brier"].sum(), abs=60e-6)
    named = {"outdated_labels": 15, "revised_labels": 15, "labels_known_in_the_future": 15}
    assert counted(workspace) == named
    with workspace.database.read() as tx:  # a detector that has looked cannot look away again
        assert tx.monitoring.tables("tiny", 1, "log_loss") == evidence
    (month,) = review(workspace, "tiny")
    assert month.positives == truth["late"].sum()


@given(order=st.permutations(range(4)), cut=st.integers(0, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
def test_in_whatever_order_revisions_come_quality_is_that_of_the_newest(
    workspace: Workspace, order: list[int], cut: int
) -> None:
    at = go_to(workspace, 1)
    before = sum(row.positives for row in quality(workspace)), counts(workspace)[1]
    rows = some(3)
    ask(workspace, rows, labelled=False)
    versions = [rows.with_columns(late=pl.lit(n % 2 == 1)) for n in range(4)]
    for place, n in enumerate(order):
        log_labels(workspace, labels(versions[n], at=at + n * DAY))
        if place == cut:
            ingest(workspace)
    ingest(workspace)
    assert counts(workspace)[1] - before[1] == 3
    assert sum(row.positives for row in quality(workspace)) - before[0] == 3  # the fourth says late


def test_a_business_metric_is_summed_by_day_and_version_and_is_no_truth(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    rows = some(4)
    ask(workspace, rows, labelled=False)
    ids = rows["order_id"].to_list()
    paid = [LabelEntry(an_id, value, at, "paid") for an_id, value in zip(ids, (10, 2.5, -1, 0), strict=True)]
    log_labels(workspace, LabelRecord(at=at, labels=[*paid, paid[0], LabelEntry(ids[0], True, at)]))
    log_labels(workspace, LabelRecord(at=at, labels=[LabelEntry(ids[1], 3, at + DAY, "paid")]))
    ingest(workspace)
    with workspace.database.read() as tx:
        (sums,) = tx.monitoring.tables("tiny", 1, "metric:paid").values()
    assert json.loads(sums) == {"rows": 4, "millionths": 12_000_000, "squared_millionths": 110_000_000}
    assert counts(workspace) == (4, 1)
    assert counted(workspace) == {"repeated_labels": 1, "revised_labels": 1}
    _, truth = prediction_log(workspace, "tiny")
    assert sorted(truth["metric"].unique()) == ["", "paid"]
    (month,) = review(workspace, "tiny")
    assert month.rows == 1


def test_a_prediction_of_a_version_that_the_registry_lacks_does_not_stop_the_others(
    workspace: Workspace,
) -> None:
    at = go_to(workspace, 1)
    rows = some(5)
    ask(workspace, rows)
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([record_of("stray", at, versions=[99])])
    ingest(workspace)
    assert counts(workspace) == (6, 5)
    assert counted(workspace) == {"of_unknown_version": 1}
    assert "stray" in rows_of(workspace)[0]


def test_what_the_gateway_left_out_is_counted_by_reason_and_has_no_profile(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    ask(workspace, some(5))
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(
            [
                record_of("a", at, redacted=["kind"], unlogged={"unsampled": 3, "redacted": 1}),
                record_of("b", at, unlogged={"unsampled": 2}, inputs={"kind": ["nothing else"]}),
            ]
        )
    ingest(workspace)
    assert counted(workspace) == {"unsampled": 5, "redacted": 1}
    assert product_status(workspace, "tiny").uncounted == counted(workspace)
    with workspace.database.read() as tx:
        kept = Profile.from_json(tx.monitoring.table("tiny", 1, "profile", date(2024, 2, 1)) or "")
    assert kept.rows == 7
    assert {name: column.valid + column.missing for name, column in kept.columns.items()} == {
        "amount": 6, "hour": 6, "kind": 6, PREDICTION: 7,
    }  # fmt: skip


def test_a_label_of_a_prediction_that_is_not_in_the_log_is_counted(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    log_labels(workspace, LabelRecord(at=at, labels=[LabelEntry("unsampled", True, at)]))
    ingest(workspace)
    assert counted(workspace, None) == {}
    ingest(workspace)
    assert counted(workspace, None) == {"labels_without_prediction": 1}
    assert early(workspace) == []


def test_labelled_predictions_are_forgotten_after_ninety_days(workspace: Workspace) -> None:
    go_to(workspace, 1)
    old, waiting = some(5), some(5)
    ask(workspace, old)
    ask(workspace, waiting, labelled=False)
    ingest(workspace)
    at = go_to(workspace, 95)
    log_labels(workspace, labels(pl.concat([old, waiting]), at=at))
    ask(workspace, some(5))
    ingest(workspace)
    log_labels(workspace, labels(pl.concat([old, waiting]), at=at))
    ingest(workspace)
    ingest(workspace)
    assert counts(workspace) == (15, 15)
    assert counted(workspace, None) == {"labels_without_prediction": 10}


# --- sums ----------------------------------------------------------------------------------------------------------


def losses(log: pl.DataFrame) -> pl.DataFrame:
    """The prediction log's labelled rows with the loss of each."""
    came = pl.when(pl.col("late")).then("score").otherwise(1 - pl.col("score"))
    return log.with_columns(log_loss=-came.log(), brier=(1 - came) ** 2)


def test_quality_by_day_is_the_sum_of_the_losses_of_the_days_own_predictions(workspace: Workspace) -> None:
    asked = []
    for day in (1, 2, 3):
        rows = some(30, day)
        asked.append(rows)
        go_to(workspace, day)
        ask(workspace, rows, labelled=day == 2)
        ingest(workspace)
    # Labels come late and all at once; they belong to the days of their predictions.
    log_labels(workspace, labels(pl.concat([asked[0], asked[2]]), at=go_to(workspace, 5)))
    ingest(workspace)
    predictions, _ = prediction_log(workspace, "tiny")
    truth = pl.concat(asked).select(prediction_id="order_id", late="late")
    by_day = (
        losses(predictions.join(truth, on="prediction_id"))
        .group_by("day")
        .agg(pl.len(), pl.col("late", "log_loss", "brier").sum())
    )
    told = {row["day"]: row for row in by_day.iter_rows(named=True)}
    assert {row.day for row in quality(workspace)} == told.keys()
    for row in quality(workspace):
        expected = told[row.day]
        assert (row.version, row.predictions, row.labelled, row.positives) == (1, 30, 30, expected["late"])
        assert row.log_loss_millionths / 1e6 == pytest.approx(expected["log_loss"], abs=30e-6)
        assert row.brier_millionths / 1e6 == pytest.approx(expected["brier"], abs=30e-6)


def test_loss_tables_are_of_the_days_on_which_labels_came_and_add_up(workspace: Workspace) -> None:
    rows = some(40)
    go_to(workspace, 1)
    ask(workspace, rows, labelled=False)
    ingest(workspace)
    for day, part in ((2, rows[:15]), (3, rows[15:])):
        log_labels(workspace, labels(part, at=go_to(workspace, day)))
        ingest(workspace)
    with workspace.database.read() as tx:
        tables = {
            day: LossTable.from_json(text) for day, text in tx.monitoring.tables("tiny", 1, "brier").items()
        }
    assert {day: table.rows for day, table in tables.items()} == {date(2024, 2, 2): 15, date(2024, 2, 3): 25}
    predictions, _ = prediction_log(workspace, "tiny")
    joined = predictions.join(rows.select(prediction_id="order_id", late="late"), on="prediction_id")
    whole = LossTable.of("brier", probability=joined["score"].to_numpy(), outcome=joined["late"].to_numpy())
    assert reduce(LossTable.merge, tables.values()) == whole


def test_what_the_gateway_has_looked_up_counts_as_an_input(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    sent = {"hour": [3], "kind": ["book"]}
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(
            [
                record_of("a", at),
                record_of("b", at, inputs=sent, features={"account": Fetched([at], {"amount": [1.0]})}),
                record_of("c", at, inputs=sent, features={"account": Fetched([None], {"amount": [None]})}),
            ]
        )
        writer.roll()
    ingest(workspace)
    with workspace.database.read() as tx:
        kept = Profile.from_json(tx.monitoring.table("tiny", 1, "profile", date(2024, 2, 1)) or "")
    amount = kept.columns["amount"]
    assert (amount.valid, amount.missing) == (2, 1)


def test_the_profile_of_a_day_is_the_profile_of_all_its_rows(workspace: Workspace) -> None:
    asked = []
    for part in range(4):
        rows = some(25).with_columns(kind=pl.when(pl.int_range(pl.len()) != 3).then("kind"))
        asked.append(rows)
        go_to(workspace, 1)
        ask(workspace, rows, log=f"gateway-{part % 2}")
        ingest(workspace)
    with workspace.database.read() as tx:
        kept = Profile.from_json(tx.monitoring.table("tiny", 1, "profile", date(2024, 2, 1)) or "")
        version = tx.registry.get(ModelRef("tiny", 1))
    inputs, predictions = reference_of(workspace.blobs, version.reference).profiles()
    log, _ = prediction_log(workspace, "tiny")
    frames = {**inputs.frame, **predictions.frame}
    given = log.select("amount", "hour", "kind", pl.col("score").alias(PREDICTION))
    columns = read_columns(frames, given.to_dict(as_series=False))
    assert kept == profile(columns, frames)
    assert kept.rows == 100
    assert kept.columns["kind"].missing == 4
    assert frames == frame(columns) | frames
    assert merge(kept, profile({}, frames)).rows == 100


@given(parts=st.lists(st.integers(0, 39), max_size=4), order=st.permutations(range(5)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
def test_however_labels_are_cut_into_calls_the_sums_are_the_same(
    workspace: Workspace, parts: list[int], order: list[int]
) -> None:
    at = go_to(workspace, 1)
    before = quality(workspace)
    rows = orders(FIRST + 31 * DAY, days=1, per_day=40, seed=next(SEEDS))
    ask(workspace, rows, labelled=False)
    cuts = [0, *sorted(parts), 40]
    pieces = [rows[start:end] for start, end in pairwise(cuts)]
    for place in order:
        if place < len(pieces) and not pieces[place].is_empty():
            log_labels(workspace, labels(pieces[place], at=at))
            if place % 2:
                ingest(workspace)
    ingest(workspace)
    predictions, _ = prediction_log(workspace, "tiny")
    mine = losses(predictions.join(rows.select(prediction_id="order_id", late="late"), on="prediction_id"))
    was = before[0] if before else DayQuality(product="tiny", version=1, day=date(2024, 2, 1))
    (now,) = quality(workspace)
    assert (now.predictions - was.predictions, now.labelled - was.labelled) == (40, 40)
    assert now.positives - was.positives == rows["late"].sum()
    added = (now.log_loss_millionths - was.log_loss_millionths) / 1e6
    assert added == pytest.approx(mine["log_loss"].sum(), abs=40e-6)


# --- compaction ----------------------------------------------------------------------------------------------------


def write(workspace: Workspace, segments: int, log: str = "gateway-0") -> None:
    """Log some predictions and their labels in segments of their own, and read them."""
    for _ in range(segments):
        ask(workspace, some(3), log=log)
    ingest(workspace)


def declare_other_inputs(workspace: Workspace) -> None:
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace('["amount", "hour", "kind"]', '["amount", "kind", "hour"]', 1))
    declare(workspace, actor="test")


def rows_of(workspace: Workspace) -> tuple[list[str], list[str]]:
    """Ids of all predictions and of all labels in the log, with repetition."""
    predictions, truth = prediction_log(workspace, "tiny")
    return sorted(predictions["prediction_id"]), sorted(truth["prediction_id"])


def seals(workspace: Workspace) -> list[dict[str, object]]:
    with workspace.database.read() as tx:
        entries = [entry for entry in tx.ledger.entries() if entry.type == EventType.SEGMENT_SEALED]
    return [segment for entry in entries for segment in json.loads(entry.data)["segments"]]


def test_the_log_gives_every_row_once_before_and_after_compaction(workspace: Workspace) -> None:
    go_to(workspace, 1)
    assert [part.height for part in prediction_log(workspace, "tiny")] == [0, 0]
    write(workspace, GROUP + 2)
    before = prediction_log(workspace, "tiny")
    assert [part.height for part in before] == [27, 27]
    assert compact(workspace) == GROUP
    after = prediction_log(workspace, "tiny")
    for old, new in zip(before, after, strict=True):
        assert old.sort("prediction_id").equals(new.sort("prediction_id"))
    assert compact(workspace) == 0
    assert [segment["segment"] for segment in seals(workspace)] == list(range(1, GROUP + 1))
    assert sum(int(str(segment["predictions"])) for segment in seals(workspace)) == 3 * GROUP
    assert ended_segments(workspace.logs / "gateway-0") == (GROUP + 1,)


def test_a_part_of_the_log_is_what_the_whole_has_since_then(workspace: Workspace) -> None:
    for day in range(1, 6):
        go_to(workspace, day)
        write(workspace, GROUP // 2)
    compact(workspace)
    whole, labels = prediction_log(workspace, "tiny")
    for since in (
        whole["at"].min(),
        whole["at"][whole.height // 2],
        whole["at"].max() + timedelta(seconds=1),
    ):
        some_rows, some_labels = prediction_log(workspace, "tiny", since=since)
        assert some_rows.equals(whole.filter(pl.col("at") >= since))
        told = labels.filter(pl.col("prediction_id").is_in(some_rows["prediction_id"].implode()))
        assert set(told["prediction_id"]) <= set(some_labels["prediction_id"])
        assert some_labels.height < labels.height or since == whole["at"].min()


def test_segments_are_compacted_in_groups_of_each_log_and_only_when_they_were_counted(
    workspace: Workspace,
) -> None:
    go_to(workspace, 1)
    write(workspace, 2 * GROUP + 1, log="gateway-0")
    write(workspace, GROUP, log="gateway-1")
    for _ in range(GROUP + 1):
        ask(workspace, some(3), log="gateway-2")
    assert compact(workspace) == 2 * GROUP
    ingest(workspace)
    assert compact(workspace) == GROUP
    assert len(rows_of(workspace)[0]) == 3 * (4 * GROUP + 2)


def test_whoever_reads_the_log_beside_a_compaction_gets_every_row_once(workspace: Workspace) -> None:
    """Another process compacts at every place at which the reader may be."""
    go_to(workspace, 1)
    write(workspace, 2 * GROUP, log="gateway-0")
    write(workspace, GROUP + 1, log="gateway-1")
    before = rows_of(workspace)
    places: list[str] = []
    prediction_log(workspace, "tiny", boundary=places.append)
    assert len(places) == 6
    for place in range(len(places)):
        told = count()

        def boundary(_: str, place: int = place, told: Iterator[int] = told) -> None:
            if next(told) == place:
                with open_workspace(workspace.settings.root) as other:
                    assert compact(other) > 0

        predictions, truth = prediction_log(workspace, "tiny", boundary=boundary)
        assert sorted(predictions["prediction_id"]) == before[0]
        assert sorted(truth["prediction_id"]) == before[1]
        write(workspace, GROUP, log="gateway-0")
        write(workspace, GROUP, log="gateway-1")
        before = rows_of(workspace)


def test_a_segment_that_nobody_has_moved_is_missed_by_who_reads_the_log(workspace: Workspace) -> None:
    go_to(workspace, 1)
    write(workspace, 3)
    (workspace.logs / "gateway-0" / "00000002.log").unlink()
    with pytest.raises(SegmentCorrupt, match="gone"):
        prediction_log(workspace, "tiny")


def test_inputs_declared_anew_between_a_kill_and_the_next_turn_move_no_row_twice(
    workspace: Workspace,
) -> None:
    go_to(workspace, 1)
    write(workspace, GROUP + 1)
    whole = rows_of(workspace)
    with pytest.raises(Killed):
        compact(workspace, kill_at("within Compact"))
    declare_other_inputs(workspace)
    assert rows_of(workspace) == whole
    assert compact(workspace) == GROUP
    assert rows_of(workspace) == whole


def test_records_of_a_product_that_is_not_declared_are_kept_as_they_are(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    stray = msgspec.structs.replace(record_of("g", at), product="gone")
    with SegmentWriter(workspace.logs / "gateway-0", limit=0) as writer:
        for _ in range(GROUP + 1):
            writer.append([stray])
    ingest(workspace)
    assert counted(workspace, None) == {"of_unknown_product": GROUP + 1}
    assert compact(workspace) == GROUP
    kept = workspace.predictions.read(STRAYS)
    assert kept["product"].to_list() == ["gone"] * GROUP
    assert [msgspec.json.decode(text, type=LogRecord) for text in kept["record"]] == [stray] * GROUP


def test_a_request_that_nobody_could_answer_is_in_the_tables_without_an_answer(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    failures = [Failure(1, 2, "it broke"), Failure(1, 1, "it broke too")]
    unanswered = PredictionRecord(
        at=at, product="tiny", route=1, ids=[], units=["a", "b"], versions=[], scores=[], failures=failures,
        inputs={"amount": [1.0, 2.0], "hour": [3, 4], "kind": ["book", None]},
    )  # fmt: skip
    with SegmentWriter(workspace.logs / "gateway-0", limit=0) as writer:
        for number in range(GROUP + 1):
            writer.append([msgspec.structs.replace(unanswered, trace=f"{number}")])
    ingest(workspace)
    assert compact(workspace) == GROUP
    log, _ = prediction_log(workspace, "tiny")
    assert (log.height, log["prediction_id"].null_count()) == (2 * (GROUP + 1), 2 * (GROUP + 1))
    (table,) = workspace.predictions.names("tiny-")
    rows = workspace.predictions.read(table).sort("unit")
    assert rows.height == 2 * GROUP
    assert rows[-1].select("prediction_id", "version", "score", "failures", "amount").rows() == [
        (None, None, None, "2: it broke; 1: it broke too", 2.0)
    ]


def test_everything_that_a_record_says_reaches_the_tables(workspace: Workspace) -> None:
    at = go_to(workspace, 1)
    full = record_of(
        "full", at, inputs={"amount": [1.0], "hour": [3]}, pinned=True, shadow={"2": [0.75], "3": [None]},
        trace="4bf92f35", latency_s=0.002, redacted=["kind"], sampled=0.5,
        features={"books": Fetched([at - DAY], {"kind": ["book"]}), "none": Fetched([None], {})},
    )  # fmt: skip
    with SegmentWriter(workspace.logs / "gateway-0", limit=0) as writer:
        for n in range(GROUP + 1):
            writer.append([msgspec.structs.replace(full, ids=[f"full-{n}"])])
    ingest(workspace)
    fresh = prediction_log(workspace, "tiny")[0]
    assert compact(workspace) == GROUP
    for row in (fresh.row(0, named=True), prediction_log(workspace, "tiny")[0].row(0, named=True)):
        assert row["shadow"] == [{"version": 2, "score": 0.75}, {"version": 3, "score": None}]
        assert row["features_at"] == [{"view": "books", "at": at - DAY}, {"view": "none", "at": None}]
        assert (row["pinned"], row["trace"], row["latency_s"]) == (True, "4bf92f35", 0.002)
        assert (row["kind"], row["redacted"], row["sampled"]) == ("book", ["kind"], 0.5)


def test_tables_of_an_earlier_release_are_widened(workspace: Workspace) -> None:
    go_to(workspace, 1)
    write(workspace, GROUP + 1)
    compact(workspace)
    (table,) = workspace.predictions.names("tiny-")
    later = ["pinned", "shadow", "trace", "latency_s", "features_at", "redacted", "sampled"]
    for name, dropped in ((table, later), (LABELS, ["metric"])):
        rows = workspace.predictions.read(name).drop(dropped)
        shutil.rmtree(workspace.predictions.root / name)
        with open_workspace(workspace.settings.root) as other:
            other.predictions.append(name, rows, commit_id=("log-gateway-0", GROUP), partition_by=("day",))
    with open_workspace(workspace.settings.root) as other:
        write(other, GROUP)
        whole = rows_of(other)
        assert compact(other) == GROUP
        assert rows_of(other) == whole
        rows = other.predictions.read(table)
        assert (rows["sampled"].null_count(), rows.height) == (3 * GROUP, 6 * GROUP)
        (month,) = review(other, "tiny")
        assert month.rows == 3 * (2 * GROUP + 1)


class Killed(Exception):
    pass


def kill_at(place: str) -> Callable[[str], None]:
    def boundary(told: str) -> None:
        if told == place:
            raise Killed

    return boundary


@pytest.mark.parametrize("place", ["before Compact", "within Compact", "after Compact"])
@pytest.mark.parametrize("more", [0, 1, GROUP])
def test_killed_anywhere_compaction_moves_each_row_once(workspace: Workspace, place: str, more: int) -> None:
    go_to(workspace, 1)
    write(workspace, GROUP + 1)
    whole = rows_of(workspace)
    assert len(set(whole[0])) == len(whole[0]) == 3 * (GROUP + 1)
    with pytest.raises(Killed):
        compact(workspace, kill_at(place))
    with open_workspace(workspace.settings.root) as again:
        assert rows_of(again) == whole
        write(again, more)
        whole = rows_of(again)
        assert len(set(whole[0])) == len(whole[0]) == 3 * (GROUP + 1 + more)
        compact(again)
        assert rows_of(again) == whole
        done = 2 * GROUP if more == GROUP else GROUP
        assert [segment["segment"] for segment in seals(again)] == list(range(1, done + 1))
        assert min(ended_segments(again.logs / "gateway-0"), default=done + 1) == done + 1


def test_what_may_be_logged_changes_with_the_declaration_and_not_with_the_next_version(
    workspace: Workspace,
) -> None:
    with workspace.database.read() as tx:
        (before,) = tx.rollouts.routes()
        table = predictions_table(workspace.specs(tx)["tiny"])
    file = workspace.settings.root / "product.py"
    text = file.read_text()
    file.write_text(
        text.replace(
            "    kind: str = pa.Field(",
            "    kind: str = pa.Field(metadata=ms.pii(hash=True, as_input=True), ",
            1,
        ).replace("    data=orders", "    log_sample=0.25,\n    data=orders", 1)
    )
    declare(workspace, actor="test")
    declare(workspace, actor="test")
    with workspace.database.read() as tx:
        (after,) = tx.rollouts.routes()
        assert predictions_table(workspace.specs(tx)["tiny"]) == table  # a policy makes no other columns
    assert (after.number, after.log_sample) == (before.number + 1, 0.25)
    assert {column.name: column.pii for column in after.inputs} == {"amount": "", "hour": "", "kind": "hash"}
    assert after.champion == before.champion


# --- looking back --------------------------------------------------------------------------------------------------


def test_the_review_of_a_month_is_the_metrics_of_its_labelled_rows(workspace: Workspace) -> None:
    february, march = some(60, 1), some(50, 31)
    go_to(workspace, 1)
    ask(workspace, february)
    at = go_to(workspace, 31)
    ask(workspace, march, labelled=False)
    log_labels(workspace, labels(march[:40], at=at))
    turned = march[:10].with_columns(~pl.col("late"))
    log_labels(workspace, labels(turned, at=at - DAY))  # the label at hand was known later
    ingest(workspace)
    months = review(workspace, "tiny")
    assert [month.month for month in months] == [date(2024, 2, 1), date(2024, 3, 1)]
    assert [(month.rows, month.versions) for month in months] == [(60, [1]), (40, [1])]
    with workspace.database.read() as tx:
        version = tx.registry.get(ModelRef("tiny", 1))
    model = OnnxModel.load(workspace.blobs.get(version.artifact))
    for month, rows in zip(months, (february, march[:40]), strict=True):
        truth = rows["late"].to_numpy()
        scores = model.predict(feed(model, rows)).astype(np.float64)
        assert month.positives == truth.sum()
        for name, metric in (("log_loss", log_loss), ("brier", brier), ("roc_auc", roc_auc)):
            assert month.served[name] == pytest.approx(metric(truth, scores), abs=1e-6)
            assert month.frozen[name] == pytest.approx(month.served[name], abs=1e-6)


@pytest.mark.parametrize("value", [True, 1, 1.0])
def test_a_label_counts_the_same_by_whatever_it_is_written(
    workspace: Workspace, value: bool | int | float
) -> None:
    at = go_to(workspace, 1)
    rows = some(20)
    ask(workspace, rows, labelled=False)
    entries = [
        LabelEntry(order, value if late else type(value)(0), at)
        for order, late in zip(rows["order_id"], rows["late"], strict=True)
    ]
    log_labels(workspace, LabelRecord(at=at, labels=entries))
    ingest(workspace)
    assert sum(row.positives for row in quality(workspace)) == rows["late"].sum()
    (month,) = review(workspace, "tiny")
    assert month.positives == rows["late"].sum()
    assert month.month == datetime(2024, 2, 1, tzinfo=UTC).date()


def test_when_inputs_change_the_log_goes_on_in_a_table_of_the_new_columns(workspace: Workspace) -> None:
    go_to(workspace, 1)
    write(workspace, GROUP + 1)
    assert compact(workspace) == GROUP
    declare_other_inputs(workspace)
    write(workspace, GROUP)
    assert compact(workspace) == GROUP
    assert len(workspace.predictions.names("tiny-")) == 2
    ids, labelled = rows_of(workspace)
    assert ids == labelled
    assert len(ids) == len(set(ids)) == 3 * (2 * GROUP + 1)
