"""Watching: once for each day that is over, every monitor of a champion weighs what it has seen since promotion."""

from __future__ import annotations

__all__ = ["harm", "unanswered", "watch"]

from datetime import date, timedelta
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.events import Event, EventType
from mainspring.monitoring import (
    Budget,
    Evidence,
    LossTable,
    Outcome,
    Profile,
    WindowedBetting,
    drift_streams,
    loss_levels,
    quality_stream,
)
from mainspring.monitoring.alarm import Alarm
from mainspring.operate.ingest import reference_of
from mainspring.product import InputDrift, Monitor, PredictionDrift, ProductSpec, Quality, Staleness
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_DETECTOR = WindowedBetting()
_DAY = timedelta(days=1)


def watch(workspace: Workspace, spec: ProductSpec) -> tuple[Alarm, ...]:
    """Let a product's monitors look at the days that have ended since they last looked.

    A monitor that has spoken keeps quiet until a cycle has started since, whatever it sees.

    Returns
    -------
    tuple of Alarm
        Alarms that were raised now.
    """
    today = workspace.clock.now().date()
    key = f"watched:{spec.name}"
    with workspace.database.read() as tx:
        watched = tx.values.get(key)
        champion = tx.registry.aliases(spec.name).get("champion")
    if champion is None or (watched is not None and date.fromisoformat(watched) >= today - _DAY):
        return ()
    with workspace.database.write() as tx:
        version = tx.registry.get(ModelRef(spec.name, champion))
        spoken = {alarm.monitor for alarm in unanswered(tx, spec.name, champion)}
        raised = []
        for monitor in spec.monitors:
            if _name(monitor) in spoken:
                continue
            alarm = _look(workspace, tx, spec, version, monitor, today)
            if alarm is not None:
                tx.monitoring.add_alarm(alarm)
                tx.ledger.append(
                    Event(
                        type=EventType.ALARM_RAISED,
                        subject=str(version.ref),
                        at=alarm.at,
                        actor=alarm.monitor,
                        reason=alarm.evidence,
                        data={"about": alarm.about},
                    )
                )
                raised.append(alarm)
        tx.values.put(key, (today - _DAY).isoformat())
    return tuple(raised)


def unanswered(tx: Transaction, product: str, champion: int | None) -> tuple[Alarm, ...]:
    """Alarms about the present champion since the last training began; what was said of an earlier one is over."""
    last = max((each.opened_at for each in tx.loop.cycles(product) if each.trains), default=None)
    alarms = tx.monitoring.alarms(product, since=last)
    return tuple(each for each in alarms if each.version == champion and (last is None or each.at > last))


def _look(
    workspace: Workspace,
    tx: Transaction,
    spec: ProductSpec,
    version: ModelVersion,
    monitor: Monitor,
    today: date,
) -> Alarm | None:
    now = workspace.clock.now()
    about, said = _evidence(workspace, tx, spec, version, monitor, today)
    if said is None:
        return None
    return Alarm(
        product=spec.name, monitor=_name(monitor), about=about, at=now, version=version.number, evidence=said
    )


def _evidence(
    workspace: Workspace,
    tx: Transaction,
    spec: ProductSpec,
    version: ModelVersion,
    monitor: Monitor,
    today: date,
) -> tuple[str, str | None]:
    budget = alarm_budget(spec)
    reference = reference_of(workspace.blobs, version.reference)
    match monitor:
        case InputDrift(tolerance=tolerance) | PredictionDrift(tolerance=tolerance):
            inputs, predictions = reference.profiles()
            days = [
                Profile.from_json(text)
                for day, text in tx.monitoring.tables(spec.name, version.number, "profile").items()
                if day < today
            ]
            base = _without(inputs, monitor.ignore) if isinstance(monitor, InputDrift) else predictions
            streams = drift_streams(base, days, tolerance=tolerance)
            return "drift", _told(_DETECTOR.weigh(streams, budget=budget), today)
        case Quality(metric=metric, tolerance=tolerance):
            tables = [
                LossTable.from_json(text)
                for day, text in tx.monitoring.tables(spec.name, version.number, metric).items()
                if day < today
            ]
            stream = quality_stream(
                metric, LossTable.from_json(reference.losses[metric]), tables, tolerance=tolerance
            )
            return "quality", _told(_DETECTOR.weigh([stream], budget=budget), today)
        case Staleness(after=after):
            age = workspace.clock.now() - version.registered_at
            old = age > parse_duration(after)
            return "staleness", f"{version.ref} is {age.days} days old, {after} allowed" if old else None


def _without(profile: Profile, ignored: tuple[str, ...]) -> Profile:
    kept = {name: column for name, column in profile.columns.items() if name not in ignored}
    return Profile(rows=profile.rows, columns=kept)


def alarm_budget(spec: ProductSpec) -> Budget:
    """The share of a product's alarm budget that each of its monitors has, at one check a day."""
    checks = max(1, parse_duration(spec.alarm_budget.per) // _DAY)
    return Budget(checks=checks, alarms=spec.alarm_budget.at_most).share(max(1, len(spec.monitors)))


def _told(evidence: Evidence, today: date) -> str | None:
    if evidence.outcome is not Outcome.ALARM:
        return None
    most = ", ".join(name for name, _ in evidence.streams[:3])
    since = today - evidence.window * _DAY
    return (
        f"changed since about {since}: {most} "
        f"(evidence {evidence.log_e:.1f} nats, {evidence.log_threshold:.1f} needed)"
    )


def harm(tx: Transaction, spec: ProductSpec, version: ModelVersion, today: date) -> str:
    """Say what the labels of the last two weeks show of harm; empty where they show none.

    A closer look at a champion whose inputs have moved, not a test: it compares means, and only a drift alarm, which is
    a test, makes anything of it.
    """
    monitor = next((each for each in spec.monitors if isinstance(each, Quality)), Quality("log_loss"))
    metric, expected = monitor.metric, version.metrics.get(monitor.metric)
    rows = [
        row
        for row in tx.monitoring.quality(spec.name, since=today - 14 * _DAY)
        if row.version == version.number
    ]
    labelled = sum(row.labelled for row in rows)
    if expected is None or not labelled:
        return ""
    total = sum(row.log_loss_millionths if metric == "log_loss" else row.brier_millionths for row in rows)
    found = total / labelled / 1e6
    if found <= expected + monitor.tolerance * loss_levels(metric).unit:
        return ""
    since = today - 14 * _DAY
    return (
        f"{metric} on {labelled:,} labels since {since} is {found:.4f}, on the hold-out it was {expected:.4f}"
    )


def _name(monitor: Monitor) -> str:
    match monitor:
        case InputDrift():
            return "input_drift"
        case PredictionDrift():
            return "prediction_drift"
        case Quality(metric=metric):
            return f"quality:{metric}"
        case Staleness():
            return "staleness"
