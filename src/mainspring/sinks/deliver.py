"""Delivering alerts: read what is new in the ledger, and tell each route what it has not taken yet.

Every step is recorded, so that a process may be killed anywhere and another goes on: what was sent and not yet
recorded is sent once more, under the same id.
"""

from __future__ import annotations

__all__ = ["RouteRow", "alerting", "deliver", "route_rows", "trial_message"]

import functools
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

import msgspec

from mainspring.clock import parse_duration, parse_time, time_text
from mainspring.events import EventType
from mainspring.ref import ModelRef
from mainspring.sinks.alert import Alert, Message, NotDelivered
from mainspring.sinks.background import Background
from mainspring.sinks.send import send
from mainspring.stores.sql.alerts import Delivery

if TYPE_CHECKING:
    from mainspring.governance import Entry
    from mainspring.monitoring import Alarm
    from mainspring.sinks.route import Route
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

Picture: TypeAlias = Callable[["Workspace", str], str | None]
"""Draws the alarm of an id as an SVG document, where there is something to draw."""

_log = logging.getLogger(__name__)
_TOLD = (
    EventType.ALARM_RAISED,
    EventType.ALARM_CONFIRMED,
    EventType.ALARM_ACKNOWLEDGED,
    EventType.ALARM_OVER,
    EventType.APPROVAL_ASKED,
    EventType.ROLLOUT_APPROVAL_ASKED,
    EventType.MODEL_VERSION_DAMAGED,
    EventType.MODEL_VERSION_RESTORED,
)
_ADVICE = {
    EventType.APPROVAL_ASKED: (
        "Read `mainspring models card {ref}`; then `mainspring models approve {ref}`, or `refuse`."
    ),
    EventType.ROLLOUT_APPROVAL_ASKED: (
        "Look at `mainspring rollout watch {product} --once`; then `mainspring rollout approve {product}`, or `abort`."
    ),
    EventType.MODEL_VERSION_DAMAGED: "Put back copies of what `mainspring models verify {ref}` names, or train again.",
    EventType.MODEL_VERSION_RESTORED: "There is nothing to do.",
}
"""What to do about an event of a version."""

_CURSOR = "alerts_read:"
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=10), timedelta(minutes=15)


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a route does: what waits, how often it was not taken, and when it has last been told something.

    `error` says why what waits was not taken; where nothing waits, whom the last message has not reached.
    """

    route: str
    to: str
    waiting: int
    attempts: int
    retry_at: datetime | None
    error: str
    last_sent_at: datetime | None


def deliver(
    workspace: Workspace,
    picture: Picture,
    now: datetime,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Tell each route what is due; a route that does not take it is tried again later, and keeps no other waiting.

    Parameters
    ----------
    workspace : Workspace
        Whose ledger and routes.
    picture : callable
        Draws alarms.
    now : datetime
        By the machine's clock.
    environment : mapping
        Where the routes' variables are.
    """
    routes = workspace.settings.alerts
    _take_in(workspace, routes)
    for name, numbers in _due(workspace, routes, now):
        with workspace.database.read() as tx:
            entries = [next(tx.ledger.entries(after=number - 1, limit=1)) for number in numbers]
            alerts = tuple(_alert(tx, workspace.settings.pages, entry) for entry in entries)
        message = Message(alerts=alerts, pictures=_drawn(workspace, picture, alerts))
        note = error = ""
        try:
            note = send(routes[name], message, environment)
        except NotDelivered as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - whatever one route meets keeps no other from telling
            error = f"It met a fault: {type(failure).__name__}."
        if error:
            _log.warning(
                "The alert route %s has not taken a message about %s: %s", name, alerts[0].product, error
            )
        with workspace.database.write() as tx:
            if not error:
                tx.alerts.put_sent(name, numbers, now, note=note)
                continue
            attempts = 1 + max(
                each.attempts for each in tx.alerts.waiting() if each.route == name and each.number in numbers
            )
            pause = min(_FIRST_RETRY * 2 ** min(attempts - 1, 16), _LAST_RETRY)
            tx.alerts.put_failed(name, numbers, attempts=attempts, retry_at=now + pause, error=error)


def _drawn(workspace: Workspace, picture: Picture, alerts: Sequence[Alert]) -> dict[str, str]:
    """Draw the alarms of some alerts; one that cannot be drawn is told without its picture."""
    drawn: dict[str, str] = {}
    for alarm_id in dict.fromkeys(each.alarm_id for each in alerts if each.alarm_id):
        try:
            found = picture(workspace, alarm_id)
        except Exception as error:  # noqa: BLE001 - a picture is no reason to keep an alarm back
            _log.warning("The alarm %s could not be drawn: %s", alarm_id, error)
        else:
            drawn |= {alarm_id: found} if found else {}
    return drawn


def _take_in(workspace: Workspace, routes: Mapping[str, Route]) -> None:
    """Give each route what is new in the ledger; one that is new itself begins at the ledger's end."""
    with workspace.database.read() as tx:
        newest = next((entry.number for entry in tx.ledger.newest(limit=1)), 0)
        reached = {name: tx.values.get(_CURSOR + name) for name in routes}
    behind = [name for name, text in reached.items() if text is None or int(text) < newest]
    if not behind:
        return
    with workspace.database.write() as tx:
        for name in behind:
            text = reached[name]
            after = newest if text is None else int(text)
            tx.alerts.add(
                [
                    Delivery(route=name, number=entry.number, product=entry.subject.partition("@")[0])
                    for entry in tx.ledger.entries(after=after, limit=newest - after)
                    if entry.type in _TOLD
                ]
            )
            tx.values.put(_CURSOR + name, str(newest))


def _due(
    workspace: Workspace, routes: Mapping[str, Route], now: datetime
) -> list[tuple[str, tuple[int, ...]]]:
    """Routes with the entries of one product that are to be told now, by when they happened."""
    groups: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
    with workspace.database.read() as tx:
        sent = tx.alerts.last_sent()
        for each in tx.alerts.waiting():
            if each.route in routes and not _snoozed(workspace, tx, each):
                groups[each.route, each.product].append(each)
    due = []
    for (route, product), waiting in groups.items():
        last = sent.get((route, product))
        rested = last is None or last + parse_duration(routes[route].every) <= now
        if rested and max(each.retry_at for each in waiting) <= time_text(now):
            due.append((route, tuple(each.number for each in waiting)))
    return sorted(due, key=lambda group: group[1])


def _snoozed(workspace: Workspace, tx: Transaction, delivery: Delivery) -> bool:
    entry = next(tx.ledger.entries(after=delivery.number - 1, limit=1))
    if entry.type in _ADVICE:
        return False
    monitor, now = _of_alarm(tx, entry).monitor, workspace.clock.now()
    return any(
        alarm.monitor == monitor and alarm.snoozed_until is not None and alarm.snoozed_until > now
        for alarm in tx.monitoring.alarms(delivery.product)
    )


def _of_alarm(tx: Transaction, entry: Entry) -> Alarm:
    return tx.monitoring.alarm(msgspec.json.decode(entry.data)["alarm"])


def _alert(tx: Transaction, pages: str, entry: Entry) -> Alert:
    if entry.type in _ADVICE:
        return _of_version(pages, entry)
    alarm = _of_alarm(tx, entry)
    return Alert(
        event_id=entry.event_id,
        type=entry.type,
        at=parse_time(entry.at),
        actor=entry.actor,
        reason=entry.reason,
        product=alarm.product,
        version=alarm.version,
        alarm_id=alarm.alarm_id,
        monitor=alarm.monitor,
        state=alarm.state.value,
        advice=alarm.advice,
        url=f"{pages}/products/{alarm.product}/alarms/{alarm.alarm_id}",
    )


def _of_version(pages: str, entry: Entry) -> Alert:
    ref = ModelRef.parse(entry.subject)
    return Alert(
        event_id=entry.event_id,
        type=entry.type,
        at=parse_time(entry.at),
        actor=entry.actor,
        reason=entry.reason,
        product=ref.product,
        version=int(ref.version),
        alarm_id="",
        monitor="",
        state="",
        advice=_ADVICE[EventType(entry.type)].format(ref=ref, product=ref.product),
        url=f"{pages}/products/{ref.product}",
    )


def trial_message(pages: str, now: datetime, actor: str) -> Message:
    """Make a message that says of itself that it is a test."""
    alert = Alert(
        event_id=uuid4().hex,
        type="alert.test",
        at=now,
        actor=actor,
        reason=f"{actor} tests the alert routes; nothing has happened.",
        product="test",
        version=1,
        alarm_id="test",
        monitor="test",
        state="test",
        advice="There is nothing to do.",
        url=pages,
    )
    return Message(alerts=(alert,))


def route_rows(workspace: Workspace) -> list[RouteRow]:
    """Tell how each route does."""
    with workspace.database.read() as tx:
        waiting, sent, notes = tx.alerts.waiting(), tx.alerts.last_sent(), tx.alerts.last_notes()
    rows = []
    for name, route in workspace.settings.alerts.items():
        mine = [each for each in waiting if each.route == name]
        worst = max(mine, key=lambda each: each.attempts, default=None)
        rows.append(
            RouteRow(
                route=name,
                to=type(route).__name__.lower(),
                waiting=len(mine),
                attempts=worst.attempts if worst else 0,
                retry_at=parse_time(worst.retry_at) if worst and worst.retry_at else None,
                error=worst.error if worst else notes.get(name, ""),
                last_sent_at=max((at for (told, _), at in sent.items() if told == name), default=None),
            )
        )
    return rows


def alerting(workspace: Workspace, picture: Picture) -> Background:
    """Give the thread that delivers a workspace's alerts; without a route it does nothing."""
    work = functools.partial(deliver, workspace, picture) if workspace.settings.alerts else None
    return Background(workspace, "alerts", work)
