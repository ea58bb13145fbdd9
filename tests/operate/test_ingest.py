"""Reading the prediction logs: every prediction and label counts once, and every row reaches the tables once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operate.tiny import ask, labels
from tests.products.tiny.orders import FIRST, orders

from mainspring.events import EventType
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.signature import Signature
from mainspring.gates.metrics import brier, log_loss, roc_auc
from mainspring.monitoring import LossTable, Profile, frame, merge, profile
from mainspring.monitoring.record import LabelEntry, LabelRecord, PredictionRecord
from mainspring.monitoring.store import DayQuality
from mainspring.operate.compact import GROUP, compact, prediction_log
from mainspring.operate.declare import declare
from mainspring.operate.ingest import ingest, reference_of
from mainspring.operate.judging import PREDICTION, feed, read_columns
from mainspring.operate.review import review
from mainspring.ref import ModelRef
from mainspring.stores.blobs import BlobNotFound
from mainspring.stores.segments import SegmentWriter, ended_segments
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
        spec = workspace.specs(tx)["tiny"]
        version = tx.registry.get(ModelRef("tiny", 1))
    inputs, predictions = reference_of(workspace.blobs, version.reference).profiles()
    log, _ = prediction_log(workspace, "tiny")
    columns = read_columns(spec.inputs, log.select("amount", "hour", "kind").to_dict(as_series=False))
    columns[PREDICTION] = log["score"].to_numpy()
    frames = {**inputs.frame, **predictions.frame}
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


# --- looking back --------------------------------------------------------------------------------------------------


def test_the_review_of_a_month_is_the_metrics_of_its_labelled_rows(workspace: Workspace) -> None:
    february, march = some(60, 1), some(50, 31)
    go_to(workspace, 1)
    ask(workspace, february)
    at = go_to(workspace, 31)
    ask(workspace, march, labelled=False)
    log_labels(workspace, labels(march[:40], at=at))
    log_labels(
        workspace, labels(march[:10].with_columns(~pl.col("late")), at=at + DAY)
    )  # too late: they had one
    ingest(workspace)
    months = review(workspace, "tiny")
    assert [month.month for month in months] == [date(2024, 2, 1), date(2024, 3, 1)]
    assert [(month.rows, month.versions) for month in months] == [(60, [1]), (40, [1])]
    with workspace.database.read() as tx:
        version = tx.registry.get(ModelRef("tiny", 1))
    model = OnnxModel.load(workspace.blobs.get(version.artifact))
    for month, rows in zip(months, (february, march[:40]), strict=True):
        truth = rows["late"].to_numpy()
        scores = model.predict(feed(Signature.from_json(version.signature), rows)).astype(np.float64)
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
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace('["amount", "hour", "kind"]', '["amount", "kind", "hour"]', 1))
    declare(workspace, actor="test")
    write(workspace, GROUP)
    assert compact(workspace) == GROUP
    assert len(workspace.predictions.names("tiny-")) == 2
    ids, labelled = rows_of(workspace)
    assert ids == labelled
    assert len(ids) == len(set(ids)) == 3 * (2 * GROUP + 1)
