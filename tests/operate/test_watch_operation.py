"""Monitors of the operation in the loop: faulty values, late labels, slow answers, failures, traffic, and lag."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
import pytest
from msgspec import structs
from tests.operate.tiny import ask, labels
from tests.operate.watching import DAY, spec
from tests.products.tiny.orders import FIRST, orders

from mainspring.monitoring import Alarm
from mainspring.monitoring.record import Failure, PredictionRecord
from mainspring.monitors import (
    DataQuality,
    Failures,
    LabelDelay,
    Latency,
    Monitor,
    MonitorLag,
    Staleness,
    Traffic,
)
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.budget import budget_rows
from mainspring.operate.ingest import ingest
from mainspring.operate.watch import alarm_budget, watch
from mainspring.product import ProductSpec
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace


def watching(workspace: Workspace, *monitors: Monitor) -> ProductSpec:
    """The product, with these monitors alone."""
    return structs.replace(spec(workspace), monitors=monitors)


def noon(workspace: Workspace, day: int) -> None:
    workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))


def outcome(workspace: Workspace, declared: ProductSpec) -> tuple[str, str]:
    with workspace.database.read() as tx:
        (row,) = budget_rows(tx, declared, workspace.clock.now())
    return row.outcome, row.told


def need_replays(workspace: Workspace, alarms: Sequence[Alarm]) -> None:
    for alarm in alarms:
        assert replay(workspace, alarm.alarm_id).same


def test_faulty_inputs_are_found_and_others_are_not(workspace: Workspace) -> None:
    declared = watching(workspace, DataQuality())
    for day in range(1, 9):
        noon(workspace, day)
        assert watch(workspace, declared) == ()
        ask(workspace, orders(FIRST + (30 + day) * DAY, days=1))
        ingest(workspace)
    assert outcome(workspace, declared)[0] == "quiet"
    spoken: tuple[Alarm, ...] = ()
    for day in range(9, 20):
        noon(workspace, day)
        spoken += watch(workspace, declared)
        broken = orders(FIRST + (30 + day) * DAY, days=1).with_columns(
            kind=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise(pl.col("kind"))
        )
        ask(workspace, broken)
        ingest(workspace)
    (alarm,) = spoken
    assert (alarm.monitor, alarm.about, alarm.state.value) == ("data_quality", "data_quality", "confirmed")
    assert alarm.change is not None
    assert alarm.change.blame[0].feature == "kind"
    assert "Mend it" in alarm.advice
    need_replays(workspace, spoken)


def test_labels_that_stop_are_an_alarm_when_they_have_had_their_time(workspace: Workspace) -> None:
    declared = watching(workspace, LabelDelay("1d", share=0.9))
    spoken: list[tuple[int, Alarm]] = []
    for day in range(1, 12):
        noon(workspace, day)
        spoken += [(day, alarm) for alarm in watch(workspace, declared)]
        ask(workspace, orders(FIRST + (30 + day) * DAY, days=1), labelled=day < 6)
        ingest(workspace)
    ((day, alarm),) = spoken
    assert day == 8, "the labels of day 6 had until the end of day 7"
    assert alarm.about == "labels"
    assert alarm.change is not None
    assert (alarm.change.since, alarm.change.unit) == ((FIRST + 36 * DAY).date(), "share of rows")
    assert alarm.change.blame[0].before == pytest.approx(0.1)
    assert alarm_curve(workspace, alarm.alarm_id) is not None
    need_replays(workspace, [alarm])


def test_labels_that_come_too_late_count_as_late_and_once(workspace: Workspace) -> None:
    declared = watching(workspace, LabelDelay("1h", share=0.9))
    spoken: list[Alarm] = []
    for day in range(1, 6):
        noon(workspace, day)
        spoken += watch(workspace, declared)
        rows = orders(FIRST + (30 + day) * DAY, days=1)
        ask(workspace, rows)  # labels are known an hour after, which is not within one
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            writer.append([labels(rows, at=workspace.clock.now() - timedelta(hours=1))])  # revised: earlier
            writer.roll()
        ingest(workspace)
    (alarm,) = spoken
    assert alarm.change is not None
    assert alarm.change.blame[0].after == 1.0


def served(workspace: Workspace, day: int, *, took_s: float, failed: int) -> None:
    at = workspace.clock.now()
    records = [
        PredictionRecord(
            at=at,
            product="tiny",
            route=1,
            ids=[f"{day}-{n}"],
            units=["u"],
            versions=[1] if n >= failed else [],
            scores=[0.5] if n >= failed else [],
            inputs={},
            failures=[Failure(0, 1, "it was told to")] if n < failed else [],
            latency_s=took_s if n % 5 == 0 else 0.001,
        )
        for n in range(300)
    ]
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(records)
        writer.roll()
    ingest(workspace)


@pytest.mark.parametrize("monitor", [Latency(limit_ms=20, share=0.95), Failures(share=0.01)])
def test_slow_answers_and_failures_are_alarms_about_serving(
    workspace: Workspace, monitor: Latency | Failures
) -> None:
    declared = watching(workspace, monitor)
    spoken: list[tuple[int, Alarm]] = []
    for day in range(1, 10):
        noon(workspace, day)
        spoken += [(day, alarm) for alarm in watch(workspace, declared)]
        broken = day > 4
        served(workspace, day, took_s=0.2 if broken else 0.002, failed=15 if broken else 0)
    ((day, alarm),) = spoken
    assert 6 <= day <= 8
    assert (alarm.about, alarm.state.value) == ("serving", "confirmed")
    need_replays(workspace, [alarm])


def test_a_day_of_half_the_traffic_is_told_by_the_days_of_its_weekday(workspace: Workspace) -> None:
    declared = watching(workspace, Traffic())
    spoken: list[tuple[int, Alarm]] = []
    for day in range(1, 26):
        noon(workspace, day)
        spoken += [(day, alarm) for alarm in watch(workspace, declared)]
        if day == 16:
            assert outcome(workspace, declared)[0] == "quiet"
        if day == 8:
            assert outcome(workspace, declared)[0] == "insufficient_data"
        weekend = day % 7 in (0, 6)
        rows = (20 if weekend else 60) if day != 23 else 25
        ask(workspace, orders(FIRST + (30 + day) * DAY, days=1, per_day=rows), labelled=False)
        ingest(workspace)
    ((day, alarm),) = spoken
    assert (day, alarm.about, alarm.change) == (24, "traffic", None)
    assert alarm.evidence.startswith("25 predictions on Friday, 2024-02-23")
    assert "median was 60" in alarm.evidence
    need_replays(workspace, [alarm])


def test_no_traffic_at_all_is_an_alarm_too(workspace: Workspace) -> None:
    declared = watching(workspace, Traffic())
    spoken: list[tuple[int, str]] = []
    for day in range(1, 20):
        noon(workspace, day)
        spoken += [(day, alarm.evidence) for alarm in watch(workspace, declared)]
        if day < 16:
            ask(workspace, orders(FIRST + (30 + day) * DAY, days=1, per_day=20), labelled=False)
            ingest(workspace)
    ((day, evidence),) = spoken
    assert day == 17
    assert evidence.startswith("0 predictions")


def test_monitors_that_have_missed_days_say_so_when_they_look_again(workspace: Workspace) -> None:
    declared = watching(workspace, MonitorLag("2d"))
    for day in range(1, 5):
        noon(workspace, day)
        assert watch(workspace, declared) == ()
    noon(workspace, 9)
    (alarm,) = watch(workspace, declared)
    assert (alarm.monitor, alarm.about) == ("monitor_lag", "lag")
    assert alarm.evidence == "the last day that was looked at ended 5d before, 2d allowed"
    need_replays(workspace, [alarm])


def test_rules_spend_nothing_of_the_budget_and_take_no_share_of_it(workspace: Workspace) -> None:
    rules = (Traffic(), MonitorLag(), Staleness("45d"))
    alone = alarm_budget(watching(workspace, DataQuality()))
    assert alarm_budget(watching(workspace, DataQuality(), *rules)) == alone
    declared = watching(workspace, *rules)
    noon(workspace, 3)
    watch(workspace, declared)
    with workspace.database.read() as tx:
        rows = budget_rows(tx, declared, workspace.clock.now())
    assert {(row.declared, row.spent, row.left) for row in rows} == {(0.0, 0.0, 0.0)}
