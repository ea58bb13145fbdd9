"""Watching: once for each day that is over, every monitor of a champion weighs what it has seen since promotion."""

from __future__ import annotations

__all__ = [
    "Looks",
    "alarm_budget",
    "blind",
    "harm",
    "looks",
    "put_told_standing",
    "told_standing",
    "unanswered",
    "watch",
]

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_duration
from mainspring.events import Event, EventType
from mainspring.monitoring import Budget, LossTable, Outcome
from mainspring.monitoring.alarm import Alarm, AlarmState, Grounds
from mainspring.monitors import AttributionDrift, Betting, Quality, Rule, ServingSkew
from mainspring.operate.attributions import attribute_days
from mainspring.operate.look import BLIND, Look, digests, hindered_by, keep, look
from mainspring.operate.references import reference_of, task_of
from mainspring.operate.sights import sight_of
from mainspring.operate.sights.rules import read_for_rule
from mainspring.operate.skew import join_days
from mainspring.product import ProductSpec
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion
from mainspring.task import Regression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.monitors import Monitor
    from mainspring.stores.blobs import FileBlobs
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_DAY = timedelta(days=1)


class Looks(msgspec.Struct, frozen=True):
    """When a monitor has looked within the budget's last period, and what came of its last look.

    `outcomes` says by moment what came of each; an earlier release noted that of the last one alone.
    """

    days: tuple[date, ...]
    outcome: str
    told: str
    outcomes: tuple[tuple[datetime, str], ...] = ()

    def outcome_by(self, at: datetime) -> str:
        """What came of the last look up to a moment; empty where none is noted."""
        if not self.outcomes:
            return self.outcome
        return next((outcome for moment, outcome in reversed(self.outcomes) if moment <= at), "")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A look with what it rests on."""

    grounds: Grounds
    tables: Mapping[date, str]
    look: Look


def watch(workspace: Workspace, spec: ProductSpec) -> tuple[Alarm, ...]:
    """Let a product's monitors look at the days that have ended since they last looked.

    A monitor that has spoken keeps quiet until a training has begun since, whatever it sees. A drift alarm that was
    suspected is confirmed when labels show harm.

    Returns
    -------
    tuple of Alarm
        Alarms that were raised now.
    """
    now = workspace.clock.now()
    today = now.date()
    key = f"watched:{spec.name}"
    with workspace.database.read() as tx:
        watched = tx.values.get(key)
        champion = tx.registry.aliases(spec.name).get("champion")
        if champion is None or (watched is not None and date.fromisoformat(watched) >= today - _DAY):
            return ()
        version = tx.registry.get(ModelRef(spec.name, champion))
    hindered = _prepare(workspace, spec, version, today)
    with workspace.database.read() as tx:
        spoken = {alarm.monitor for alarm in unanswered(tx, spec.name, champion)}
        tables = {
            monitor: _read(tx, version.ref, monitor, today)
            for monitor in spec.monitors
            if monitor.name not in spoken
        }
    seen = {
        monitor: _look(workspace, spec, version, monitor, texts, hindered.get(type(monitor)))
        for monitor, texts in tables.items()
    }
    alarms = {
        monitor: _alarm(workspace, version, monitor, each)
        for monitor, each in seen.items()
        if each.look.outcome == Outcome.ALARM.value
    }
    raised = []
    with workspace.database.write() as tx:
        if tx.values.get(key) != watched or tx.registry.aliases(spec.name).get("champion") != champion:
            return ()  # another process has looked meanwhile, or what was looked at serves no more
        shown = harm(tx, spec, version, today, workspace.blobs)
        for monitor, each in seen.items():
            _note(tx, spec, monitor, now, each.look)
            if (alarm := alarms.get(monitor)) is not None and alarm.monitor not in spoken:
                spoken.add(alarm.monitor)
                if alarm.about == "drift" and shown:
                    alarm = replace(alarm, state=AlarmState.CONFIRMED)
                tx.monitoring.put_alarm(alarm)
                found = msgspec.to_builtins(alarm.change)
                _tell(tx, alarm, EventType.ALARM_RAISED, now, alarm.evidence, change=found)
                raised.append(alarm)
        for alarm in unanswered(tx, spec.name, champion) if shown else ():
            if alarm.state is AlarmState.SUSPECTED:
                confirmed = replace(alarm, state=AlarmState.CONFIRMED)
                tx.monitoring.put_alarm(confirmed)
                _tell(tx, confirmed, EventType.ALARM_CONFIRMED, now, shown)
        # With the alarms themselves: a cycle that starts within the same turn ends them before anybody looks again.
        put_told_standing(tx, spec.name, told_standing(tx, spec.name) | {each.alarm_id for each in raised})
        tx.values.put(key, (today - _DAY).isoformat())
    return tuple(raised)


def unanswered(tx: Transaction, product: str, champion: int | None) -> tuple[Alarm, ...]:
    """Alarms about the present champion since the last training began; what was said of an earlier one is over."""
    last = max((each.opened_at for each in tx.loop.cycles(product) if each.trains), default=None)
    alarms = tx.monitoring.alarms(product, since=last)
    return tuple(each for each in alarms if each.version == champion and (last is None or each.at > last))


def told_standing(tx: Transaction, product: str) -> frozenset[str]:
    """Ids of the alarms that the ledger has told of and not yet told to be over."""
    return msgspec.json.decode(tx.values.get(_standing_key(product)) or "[]", type=frozenset[str])


def put_told_standing(tx: Transaction, product: str, alarm_ids: frozenset[str]) -> None:
    """Record them."""
    tx.values.put(_standing_key(product), msgspec.json.encode(sorted(alarm_ids)).decode())


def _standing_key(product: str) -> str:
    return f"standing_alarms:{product}"


def _read(tx: Transaction, ref: ModelRef, monitor: Monitor, today: date) -> dict[date, str]:
    if isinstance(monitor, Rule):
        return read_for_rule(monitor, tx, ref, today)
    return sight_of(monitor).read(tx, ref, today)


def _prepare(
    workspace: Workspace, spec: ProductSpec, version: ModelVersion, today: date
) -> dict[type[Monitor], Exception]:
    """Make what monitors look at that is more than counts; give the monitors that cannot look, and why."""
    hindered: dict[type[Monitor], Exception] = {}
    for kind, prepare in ((AttributionDrift, attribute_days), (ServingSkew, join_days)):
        try:
            prepare(workspace, spec, version, today)
        except Exception as error:  # noqa: BLE001 - whatever one monitor stumbles over, the others look
            hindered[kind] = error
    return hindered


def _look(
    workspace: Workspace,
    spec: ProductSpec,
    version: ModelVersion,
    monitor: Monitor,
    tables: Mapping[date, str],
    hindered: Exception | None,
) -> _Seen:
    budget = alarm_budget(spec)
    grounds = Grounds(
        monitor=monitor,
        checks=budget.checks,
        alarms=budget.alarms,
        registered_at=version.registered_at,
        at=workspace.clock.now(),
        reference=version.reference,
        tables=digests(tables),
    )
    came = hindered_by(hindered) if hindered else look(grounds, version.ref, tables, workspace.blobs)
    return _Seen(grounds, tables, came)


def _alarm(workspace: Workspace, version: ModelVersion, monitor: Monitor, seen: _Seen) -> Alarm:
    return Alarm(
        product=version.product,
        monitor=monitor.name,
        about=monitor.about,
        at=seen.grounds.at,
        version=version.number,
        state=AlarmState.SUSPECTED if monitor.about == "drift" else AlarmState.CONFIRMED,
        evidence=seen.look.told,
        change=seen.look.change,
        grounds=keep(workspace.blobs, seen.grounds, seen.tables),
    )


def _tell(tx: Transaction, alarm: Alarm, kind: EventType, at: datetime, reason: str, **more: object) -> None:
    tx.ledger.append(
        Event(
            type=kind,
            subject=str(ModelRef(alarm.product, alarm.version)),
            at=at,
            actor=alarm.monitor,
            reason=reason,
            data={
                "alarm": alarm.alarm_id,
                "about": alarm.about,
                "state": alarm.state.value,
                "grounds": alarm.grounds,
                **more,
            },
        )
    )


def alarm_budget(spec: ProductSpec) -> Budget:
    """The share of a product's alarm budget that each of its monitors that bet has, at one check a day."""
    checks = max(1, parse_duration(spec.alarm_budget.per) // _DAY)
    betting = sum(isinstance(monitor, Betting) for monitor in spec.monitors)
    return Budget(checks=checks, alarms=spec.alarm_budget.at_most).share(max(1, betting))


def looks(tx: Transaction, product: str, monitor: str) -> Looks | None:
    """What is noted of a monitor's looks; None before its first one."""
    text = tx.values.get(f"looks:{product}:{monitor}")
    return None if text is None else msgspec.json.decode(text, type=Looks)


def blind(tx: Transaction, spec: ProductSpec, at: datetime) -> dict[str, str]:
    """Monitors that could not tell anything when they last looked, and what came of that look."""
    noted = ((each.name, looks(tx, spec.name, each.name)) for each in spec.monitors)
    found = {name: each.outcome_by(at) for name, each in noted if each is not None}
    return {name: outcome for name, outcome in found.items() if outcome in BLIND}


def _note(tx: Transaction, spec: ProductSpec, monitor: Monitor, now: datetime, came: Look) -> None:
    """Note a look beside the ledger, where one each day would crowd out what happens."""
    before = looks(tx, spec.name, monitor.name) or Looks((), "", "")
    today = now.date()
    first = today - alarm_budget(spec).checks * _DAY
    days = [day for day in before.days if first < day < today]
    outcomes = [each for each in before.outcomes if first < each[0].date() < today]
    noted = Looks((*days, today), came.outcome, came.told, (*outcomes, (now, came.outcome)))
    tx.values.put(f"looks:{spec.name}:{monitor.name}", msgspec.json.encode(noted).decode())


def harm(tx: Transaction, spec: ProductSpec, version: ModelVersion, today: date, blobs: FileBlobs) -> str:
    """Say what the labels of the last two weeks show of harm; empty where they show none.

    A closer look at a champion whose inputs have moved, not a test: it compares means, and only a drift alarm, which is
    a test, makes anything of it.
    """
    monitor = next(
        (each for each in spec.monitors if isinstance(each, Quality) and each.metric in spec.task.losses),
        Quality(spec.task.losses[0]),
    )
    metric, expected = monitor.metric, version.metrics.get(monitor.metric)
    rows = [
        row
        for row in tx.monitoring.quality(spec.name, since=today - 14 * _DAY)
        if row.version == version.number
    ]
    labelled = sum(row.labelled for row in rows)
    if expected is None or not labelled:
        return ""
    task = task_of(tx, blobs, version.ref, spec.task)
    if isinstance(task, Regression):
        # Gates measure without the range; what is compared with is the same mean of what counts.
        counted = LossTable.from_json(reference_of(blobs, version.reference).losses[metric]).mean
        if counted is None:
            return ""
        expected = counted[1] * task.span(metric)
    found = sum(row.loss(metric, task) for row in rows) / labelled
    if found <= expected + monitor.tolerance * task.span(metric):
        return ""
    since = today - 14 * _DAY
    return (
        f"{metric} on {labelled:,} labels since {since} is {found:.4f}, on the hold-out it was {expected:.4f}"
    )
