"""Estimates of the champion's quality, from what the log was read into, before labels come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.operate.tiny import ask, begin, labels
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.digest import Digest
from mainspring.monitoring.record import LabelRecord
from mainspring.monitoring.store import DayQuality
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.estimates import EstimateRow, estimate_row
from mainspring.operate.ingest import ingest
from mainspring.operate.references import reference_of
from mainspring.operate.status import product_status
from mainspring.ref import ModelRef
from mainspring.stores.segments import SegmentWriter
from mainspring.task import BinaryClassification
from mainspring.workspace import Workspace

DAY = timedelta(days=1)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace whose champion was judged on 2,000 rows."""
    with begin(tmp_path / "root") as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30, per_day=400)), actor="test")
        turn(workspace)
        yield workspace


def on_day(workspace: Workspace, day: int) -> None:
    """Move the clock to noon of a day after the 30 of training."""
    workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))


def estimated(workspace: Workspace) -> EstimateRow | None:
    return product_status(workspace, "tiny").estimate


def test_the_last_days_are_estimated_and_labels_that_come_stand_beside(busy: Workspace) -> None:
    on_day(busy, 1)
    rows = orders(FIRST + 31 * DAY, days=1, per_day=400, seed=5)
    ask(busy, rows, labelled=False)
    ingest(busy)
    assert estimated(busy) is None, "the day is not over"

    on_day(busy, 2)
    row = estimated(busy)
    assert row is not None
    assert (row.version, row.since, row.until) == (1, (FIRST + 31 * DAY).date(), (FIRST + 31 * DAY).date())
    assert (row.predictions, row.labelled, row.measured) == (400, 0, {})
    assert (row.outcome, row.reason) == ("estimated", "")
    assert "a change of that is not seen" in row.assumption

    with SegmentWriter(busy.logs / "gateway-0") as writer:
        known: LabelRecord = labels(rows, at=busy.clock.now())
        writer.append([known])
        writer.roll()
    ingest(busy)
    later = estimated(busy)
    assert later is not None
    assert later.metrics == row.metrics, "labels have no say in an estimate"
    assert later.labelled == 400
    for metric in ("log_loss", "brier"):
        assert row.metrics[metric].low <= later.measured[metric] <= row.metrics[metric].high


def test_a_window_too_small_says_so_where_the_estimate_would_be(workspace: Workspace) -> None:
    on_day(workspace, 1)
    ask(workspace, orders(FIRST + 31 * DAY, days=1, per_day=30, seed=6))
    ingest(workspace)
    on_day(workspace, 2)
    row = estimated(workspace)
    assert row is not None
    assert row.outcome in ("reference_too_small", "window_too_small")
    assert not row.metrics
    assert row.labelled == 30


def test_a_version_without_labelled_rows_has_no_estimate_and_says_why(workspace: Workspace) -> None:
    """One that was judged before they were kept, and one whose reference is lost."""
    on_day(workspace, 2)
    yesterday = (FIRST + 31 * DAY).date()
    with workspace.database.write() as tx:
        first = tx.registry.get(ModelRef("tiny", 1))
        kept = msgspec.to_builtins(reference_of(workspace.blobs, first.reference))
        del kept["labelled"]
        older = workspace.blobs.put(msgspec.json.encode(kept))
        tx.registry.add(replace(first, number=2, reference=older))
        tx.registry.add(replace(first, number=3, reference=Digest("0" * 64)))
        for number, why in ((2, "judged before"), (3, "000000000000")):
            asked = DayQuality(product="tiny", version=number, day=yesterday, predictions=300)
            tx.monitoring.add_quality([asked])
            row = estimate_row(workspace, tx, ModelRef("tiny", number), BinaryClassification("late"))
            assert row is not None
            assert (row.outcome, row.metrics) == ("no_reference", {})
            assert why in row.reason
