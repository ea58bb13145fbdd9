"""Alarms after they were raised: shown, computed again, acknowledged and snoozed."""

from __future__ import annotations

__all__ = [
    "AlarmCurve",
    "AlarmRow",
    "AlarmStory",
    "NotReplayable",
    "Replayed",
    "acknowledge",
    "alarm_curve",
    "alarm_rows",
    "alarm_story",
    "replay",
    "snooze",
]

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import time_text
from mainspring.errors import Conflict, Invalid
from mainspring.events import Event, EventType
from mainspring.monitoring.alarm import Alarm, AlarmState, Change, Grounds, baseline, mean
from mainspring.monitors import Rule
from mainspring.operate.look import fetch, look
from mainspring.operate.references import reference_of
from mainspring.operate.sights import scale_of, sight_of, unit_of
from mainspring.operate.status import EventRow, check_product, event_row
from mainspring.operate.watch import unanswered
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class NotReplayable(Conflict):
    """An alarm whose grounds were not kept."""

    def __init__(self, alarm_id: str) -> None:
        super().__init__(alarm_id)
        self.alarm_id = alarm_id

    def __str__(self) -> str:
        return (
            f"Alarm {self.alarm_id} was raised by mainspring 0.1, which did not keep what alarms were computed from: "
            "it cannot be replayed."
        )


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    pass


class AlarmRow(_Row, frozen=True):
    """An alarm with what people have made of it; `over` where a training has begun since or another version serves."""

    alarm_id: str
    product: str
    monitor: str
    about: str
    at: datetime
    version: int
    state: AlarmState
    evidence: str
    change: Change | None
    advice: str
    grounds: str | None
    acknowledged_by: str
    snoozed_until: datetime | None
    over: bool


class AlarmStory(_Row, frozen=True):
    """An alarm, and every event that names it, oldest first."""

    alarm: AlarmRow
    events: list[EventRow]


class Replayed(_Row, frozen=True):
    """An alarm computed again from what it was computed from; `same` where evidence and figures are the same."""

    alarm_id: str
    same: bool
    grounds: Grounds
    evidence: str
    change: Change | None
    raised_with: str


class AlarmCurve(_Row, frozen=True):
    """What the most evident stream of an alarm did: its mean by day, and in the reference, in `unit`."""

    name: str
    unit: str
    before: float
    days: list[tuple[date, float]]


def alarm_rows(workspace: Workspace, product: str) -> list[AlarmRow]:
    """Give a product's alarms, oldest first; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        alarms = tx.monitoring.alarms(product)
        standing = _standing(tx, product)
        return [_row(alarm, standing) for alarm in alarms]


def alarm_story(workspace: Workspace, alarm_id: str) -> AlarmStory:
    """Tell of one alarm; raises `AlarmNotFound`."""
    with workspace.database.read() as tx:
        alarm = tx.monitoring.alarm(alarm_id)
        events = map(event_row, tx.ledger.entries())
        return AlarmStory(
            alarm=_row(alarm, _standing(tx, alarm.product)),
            events=[each for each in events if each.data.get("alarm") == alarm_id],
        )


def replay(workspace: Workspace, alarm_id: str) -> Replayed:
    """Compute an alarm again from the tables that it was computed from.

    Raises
    ------
    AlarmNotFound, NotReplayable
        There is no such alarm, or it has no grounds.
    BlobNotFound, BlobCorrupt
        Something that it was computed from is gone or has changed.
    """
    with workspace.database.read() as tx:
        alarm = tx.monitoring.alarm(alarm_id)
    if alarm.grounds is None:
        raise NotReplayable(alarm_id)
    grounds, tables = fetch(workspace.blobs, alarm.grounds)
    came = look(grounds, ModelRef(alarm.product, alarm.version), tables, workspace.blobs)
    change = came.change
    if change is not None and alarm.change is not None and alarm.change.between is None:
        change = replace(change, between=None)  # an alarm from before that was told
    return Replayed(
        alarm_id=alarm_id,
        same=(came.told, change) == (alarm.evidence, alarm.change),
        grounds=grounds,
        evidence=came.told,
        change=came.change,
        raised_with=alarm.evidence,
    )


def alarm_curve(workspace: Workspace, alarm_id: str) -> AlarmCurve | None:
    """Give what is to be drawn of an alarm; None where nothing was measured by day.

    Raises
    ------
    AlarmNotFound, BlobNotFound, BlobCorrupt
        There is no such alarm, or something that it was computed from is gone or has changed.
    """
    with workspace.database.read() as tx:
        alarm = tx.monitoring.alarm(alarm_id)
    if alarm.grounds is None or alarm.change is None:
        return None
    grounds, tables = fetch(workspace.blobs, alarm.grounds)
    if isinstance(grounds.monitor, Rule):
        return None
    sight = sight_of(grounds.monitor)
    reference = reference_of(workspace.blobs, grounds.reference)
    name = alarm.change.blame[0].stream
    stream = next(each for each in sight.streams(reference, list(tables.values())) if each.name == name)
    scale = scale_of(grounds.monitor, reference)
    return AlarmCurve(
        name=name,
        unit=unit_of(grounds.monitor, reference),
        before=baseline(stream, len(stream.checks), scale=scale),
        days=[
            (day, mean(stream, [table], scale=scale))
            for day, table in zip(tables, stream.checks, strict=True)
            if sum(table)
        ],
    )


def acknowledge(workspace: Workspace, alarm_id: str, *, actor: str, reason: str) -> AlarmRow:
    """Record that somebody has taken an alarm up.

    Raises
    ------
    AlarmNotFound
        There is no such alarm.
    Conflict
        Somebody has done so before.
    """
    with workspace.database.write() as tx:
        alarm = tx.monitoring.alarm(alarm_id)
        if alarm.acknowledged_by:
            raise Conflict(f"Alarm {alarm_id} has been acknowledged by {alarm.acknowledged_by}.")
        taken = replace(alarm, acknowledged_by=actor)
        _record(workspace, tx, taken, EventType.ALARM_ACKNOWLEDGED, actor=actor, reason=reason)
        return _row(taken, _standing(tx, taken.product))


def snooze(workspace: Workspace, alarm_id: str, *, until: datetime, actor: str, reason: str) -> AlarmRow:
    """Let no route tell what the alarm's monitor says before a moment; the monitor goes on looking, the loop acting.

    Parameters
    ----------
    workspace : Workspace
    alarm_id : str
    until : datetime
        By the workspace's clock; a later snooze takes the place of an earlier one.
    actor, reason : str
        Who, and why.

    Raises
    ------
    AlarmNotFound
        There is no such alarm.
    Invalid
        The moment has passed.
    """
    now = workspace.clock.now()
    if until <= now:
        raise Invalid(f"{time_text(until)} has passed: it is {time_text(now)}. Name a later moment.")
    with workspace.database.write() as tx:
        snoozed = replace(tx.monitoring.alarm(alarm_id), snoozed_until=until)
        _record(
            workspace,
            tx,
            snoozed,
            EventType.ALARM_SNOOZED,
            actor=actor,
            reason=reason,
            until=time_text(until),
        )
        return _row(snoozed, _standing(tx, snoozed.product))


def _record(
    workspace: Workspace,
    tx: Transaction,
    alarm: Alarm,
    kind: EventType,
    *,
    actor: str,
    reason: str,
    **more: object,
) -> None:
    tx.monitoring.put_alarm(alarm)
    tx.ledger.append(
        Event(
            type=kind,
            subject=str(ModelRef(alarm.product, alarm.version)),
            at=workspace.clock.now(),
            actor=actor,
            reason=reason,
            data={"alarm": alarm.alarm_id, "monitor": alarm.monitor, **more},
        )
    )


def _standing(tx: Transaction, product: str) -> frozenset[str]:
    """Ids of a product's alarms that are not over."""
    champion = tx.registry.aliases(product).get("champion")
    return frozenset(alarm.alarm_id for alarm in unanswered(tx, product, champion))


def _row(alarm: Alarm, standing: frozenset[str]) -> AlarmRow:
    return AlarmRow(
        alarm_id=alarm.alarm_id,
        product=alarm.product,
        monitor=alarm.monitor,
        about=alarm.about,
        at=alarm.at,
        version=alarm.version,
        state=alarm.state,
        evidence=alarm.evidence,
        change=alarm.change,
        advice=alarm.advice,
        grounds=alarm.grounds,
        acknowledged_by=alarm.acknowledged_by,
        snoozed_until=alarm.snoozed_until,
        over=alarm.alarm_id not in standing,
    )
