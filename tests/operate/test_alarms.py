"""An alarm keeps its evidence, comes out the same when it is computed again, and is taken up or snoozed by name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.operate.tiny import ask
from tests.operate.watching import DAY, live, moved
from tests.products.tiny.orders import FIRST, orders

from mainspring.errors import Conflict, Invalid
from mainspring.events import EventType
from mainspring.monitoring import AlarmNotFound, AlarmState
from mainspring.operate.alarms import (
    NotReplayable,
    acknowledge,
    alarm_curve,
    alarm_rows,
    alarm_story,
    replay,
    snooze,
)
from mainspring.operate.ingest import ingest
from mainspring.operate.look import fetch
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def alarmed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which five good days were followed by nine with other amounts and worse answers."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("alarmed") / "root"))
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 6))
        live(workspace, range(6, 15), moved, turned=True)
    return folder


@pytest.fixture
def workspace(alarmed: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(alarmed, tmp_path / "root"))) as workspace:
        yield workspace


def alarm_id(workspace: Workspace, monitor: str) -> str:
    return next(row.alarm_id for row in alarm_rows(workspace, "tiny") if row.monitor == monitor)


def test_an_alarm_says_how_much_since_when_and_of_what(workspace: Workspace) -> None:
    (row,) = [row for row in alarm_rows(workspace, "tiny") if row.monitor == "input_drift"]
    found = row.change
    assert found is not None
    changed = (FIRST + 36 * DAY).date()
    assert found.earliest <= found.since <= found.latest
    assert abs(found.since - changed) <= 2 * DAY
    assert found.log_e >= found.needed > 0
    first, *others = found.blame
    assert (found.unit, first.feature) == ("share of rows", "amount")
    assert "amount" in first.stream
    assert first.effect == pytest.approx(first.after - first.before)
    assert first.effect > 0.1
    assert {each.feature for each in others} <= {"hour", "kind"}
    assert all(each.log_e <= first.log_e for each in others)
    assert ("Labels show harm" in row.advice) == (row.state is AlarmState.CONFIRMED)
    assert not row.over


def test_worse_answers_are_confirmed_at_once_and_measured_in_the_unit_of_the_loss(
    workspace: Workspace,
) -> None:
    (row,) = [row for row in alarm_rows(workspace, "tiny") if row.about == "quality"]
    assert row.state is AlarmState.CONFIRMED
    assert row.change is not None
    (blame,) = row.change.blame
    assert (row.change.unit, blame.feature) == ("log_loss", "log_loss")
    assert 0.1 < blame.before < blame.after < 4


def test_an_alarm_comes_out_the_same_though_its_days_have_changed_since(workspace: Workspace) -> None:
    # Late traffic of days that were looked at: the tables of those days are no more what they were.
    ask(workspace, orders(FIRST + 37 * DAY, days=3, turned=True), log="late")
    ingest(workspace)
    for row in alarm_rows(workspace, "tiny"):
        again = replay(workspace, row.alarm_id)
        assert again.same
        assert (again.evidence, again.change) == (row.evidence, row.change)


def test_the_same_traffic_raises_alarms_of_the_same_ids_and_grounds(
    workspace: Workspace, trained: Path, tmp_path: Path
) -> None:
    with open_workspace(Path(shutil.copytree(trained, tmp_path / "again"))) as again:
        live(again, range(1, 6))
        live(again, range(6, 15), moved, turned=True)
        assert alarm_rows(again, "tiny") == alarm_rows(workspace, "tiny")
        with workspace.database.read() as tx, again.database.read() as other:
            assert tx.ledger.newest(limit=1) == other.ledger.newest(limit=1)


def test_a_replay_of_changed_tables_is_refused_by_the_name_of_what_has_changed(workspace: Workspace) -> None:
    raised = alarm_id(workspace, "input_drift")
    (row,) = [row for row in alarm_rows(workspace, "tiny") if row.alarm_id == raised]
    assert row.grounds is not None
    grounds, tables = fetch(workspace.blobs, row.grounds)
    assert list(tables) == sorted(tables)
    table = grounds.tables[min(tables)]
    path = workspace.blobs.path(table)
    path.write_text(tables[min(tables)].replace("1", "2", 1))
    with pytest.raises(BlobCorrupt):
        replay(workspace, raised)
    path.unlink()
    with pytest.raises(BlobNotFound):
        replay(workspace, raised)


def test_an_alarm_without_grounds_is_shown_and_not_replayed(workspace: Workspace) -> None:
    with workspace.database.write() as tx:
        old = replace(tx.monitoring.alarms("tiny")[0], monitor="old", change=None, grounds=None)
        tx.monitoring.put_alarm(old)
    assert alarm_story(workspace, old.alarm_id).alarm.change is None
    assert alarm_curve(workspace, old.alarm_id) is None
    with pytest.raises(NotReplayable):
        replay(workspace, old.alarm_id)


def test_the_curve_of_an_alarm_rises_when_the_change_came(workspace: Workspace) -> None:
    curve = alarm_curve(workspace, alarm_id(workspace, "input_drift"))
    assert curve is not None
    changed = (FIRST + 36 * DAY).date()
    before = [value for day, value in curve.days if day < changed]
    after = [value for day, value in curve.days if day >= changed]
    assert before
    assert max(before) < min(after)
    assert abs(curve.before - sum(before) / len(before)) < 0.1


def test_an_alarm_is_taken_up_once_and_its_story_says_by_whom(workspace: Workspace) -> None:
    raised = alarm_id(workspace, "input_drift")
    row = acknowledge(workspace, raised, actor="ana", reason="another currency")
    assert row.acknowledged_by == "ana"
    with pytest.raises(Conflict, match="acknowledged by ana"):
        acknowledge(workspace, raised, actor="bob", reason="me too")
    story = alarm_story(workspace, raised)
    assert story.alarm == row
    assert (story.events[0].type, story.events[-1].type) == (
        EventType.ALARM_RAISED,
        EventType.ALARM_ACKNOWLEDGED,
    )
    assert (story.events[-1].actor, story.events[-1].reason) == ("ana", "another currency")


def test_a_snooze_ends_and_the_next_takes_its_place(workspace: Workspace) -> None:
    raised = alarm_id(workspace, "input_drift")
    now = workspace.clock.now()
    with pytest.raises(Invalid, match="has passed"):
        snooze(workspace, raised, until=now, actor="ana", reason="now")
    snooze(workspace, raised, until=now + 2 * DAY, actor="ana", reason="the scanner is mended on Friday")
    row = snooze(workspace, raised, until=now + DAY, actor="ana", reason="already on Thursday")
    assert row.snoozed_until == now + DAY
    kinds = [event.type for event in alarm_story(workspace, raised).events]
    assert kinds.count(EventType.ALARM_SNOOZED) == 2


def test_an_alarm_that_was_never_raised_is_not_found(workspace: Workspace) -> None:
    for ask_for in (
        lambda: alarm_story(workspace, "000000000000"),
        lambda: alarm_curve(workspace, "000000000000"),
        lambda: replay(workspace, "000000000000"),
        lambda: acknowledge(workspace, "", actor="ana", reason=""),
        lambda: snooze(workspace, "'", until=workspace.clock.now() + DAY, actor="ana", reason=""),
    ):
        with pytest.raises(AlarmNotFound, match="alarms list"):
            ask_for()
