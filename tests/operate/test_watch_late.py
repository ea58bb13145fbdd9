"""Labels that come late: bad outcomes first make no false alarm where labels are waited for, from the first day on."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from msgspec import structs
from tests.operate.tiny import ask, labels
from tests.operate.watching import DAY, spec
from tests.products.tiny.orders import FIRST, orders

from mainspring.monitors import Quality, Staleness
from mainspring.operate.alarms import replay
from mainspring.operate.ingest import ingest
from mainspring.operate.watch import watch
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace


@pytest.mark.parametrize(("labels_within", "alarmed"), [("7d", False), ("0d", True)])
def test_late_orders_that_are_known_first_are_no_alarm_where_the_others_are_waited_for(
    workspace: Workspace, labels_within: str, alarmed: bool
) -> None:
    monitor = Quality("log_loss", labels_within=labels_within)
    declared = structs.replace(spec(workspace), monitors=(monitor, Staleness("45d")))
    spoken = set()
    for day in range(1, 21):
        first = FIRST + (30 + day) * DAY
        workspace.advance(first + timedelta(hours=12))
        spoken |= {alarm.monitor for alarm in watch(workspace, declared)}
        asked = orders(first, days=1)
        ask(workspace, asked, labelled=False)
        known = [asked.filter("late")]
        if day > 5:
            known.append(orders(first - 5 * DAY, days=1).filter(~pl.col("late")))
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            writer.append([labels(pl.concat(known), at=workspace.clock.now())])
            writer.roll()
        ingest(workspace)
    assert ("quality:log_loss" in spoken) == alarmed
    with workspace.database.read() as tx:
        assert all(replay(workspace, alarm.alarm_id).same for alarm in tx.monitoring.alarms("tiny"))


def test_worse_answers_are_found_where_labels_are_waited_for(workspace: Workspace) -> None:
    monitor = Quality("log_loss", labels_within="3d")
    declared = structs.replace(spec(workspace), monitors=(monitor, Staleness("45d")))
    found = None
    for day in range(1, 21):
        first = FIRST + (30 + day) * DAY
        workspace.advance(first + timedelta(hours=12))
        if watch(workspace, declared):
            found = day
            break
        ask(workspace, orders(first, days=1, turned=True))
        ingest(workspace)
    assert found is not None
    assert found <= 10
