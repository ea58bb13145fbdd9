"""The operations on alarms: what was said, what it rests on, and what people make of it."""

from __future__ import annotations

__all__ = ["ALARMS"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.api.operation import Operation, actor_of, body_of, product_of
from mainspring.clock import parse_time
from mainspring.operate.alarms import (
    AlarmRow,
    AlarmStory,
    Replayed,
    acknowledge,
    alarm_rows,
    alarm_story,
    replay,
    snooze,
)
from mainspring.operate.budget import BudgetDay, BudgetRow
from mainspring.operate.status import budget_days, product_status
from mainspring.sinks.deliver import RouteRow, route_rows

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace


class Acknowledging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an alarm is taken up."""

    reason: str


class Snoozing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Until when no route tells what an alarm's monitor says, in RFC 3339, and why."""

    until: str
    reason: str


def _alarm(request: Request) -> str:
    return str(request.path_params["alarm"])


def _acknowledge(workspace: Workspace, request: Request, content: bytes) -> AlarmRow:
    asked: Acknowledging = body_of(content, Acknowledging)
    return acknowledge(workspace, _alarm(request), actor=actor_of(request), reason=asked.reason)


def _snooze(workspace: Workspace, request: Request, content: bytes) -> AlarmRow:
    asked: Snoozing = body_of(content, Snoozing)
    return snooze(
        workspace,
        _alarm(request),
        until=parse_time(asked.until),
        actor=actor_of(request),
        reason=asked.reason,
    )


ALARMS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/products/{product}/alarms",
        "Its alarms, oldest first",
        lambda w, r, c: alarm_rows(w, product_of(r)),
        gives=list[AlarmRow],
    ),
    Operation(
        "GET",
        "/v1/products/{product}/alarm-budget",
        "What each of its monitors may do, has spent by looking, and has left",
        lambda w, r, c: product_status(w, product_of(r)).budget,
        gives=list[BudgetRow],
    ),
    Operation(
        "GET",
        "/v1/products/{product}/alarm-budget/days",
        "What each of its monitors that bet had spent by each day of the period that ends now",
        lambda w, r, c: budget_days(w, product_of(r)),
        gives=list[BudgetDay],
    ),
    Operation(
        "GET",
        "/v1/alerts",
        "How each alert route does, and what it has not taken yet",
        lambda w, r, c: route_rows(w),
        gives=list[RouteRow],
    ),
    Operation(
        "GET",
        "/v1/alarms/{alarm}",
        "One alarm, with every event that names it",
        lambda w, r, c: alarm_story(w, _alarm(r)),
        gives=AlarmStory,
    ),
    Operation(
        "GET",
        "/v1/alarms/{alarm}/replay",
        "Compute an alarm again from the tables that it was computed from",
        lambda w, r, c: replay(w, _alarm(r)),
        gives=Replayed,
    ),
    Operation(
        "POST",
        "/v1/alarms/{alarm}/acknowledge",
        "Say that an alarm is taken up",
        _acknowledge,
        takes=Acknowledging,
        gives=AlarmRow,
    ),
    Operation(
        "POST",
        "/v1/alarms/{alarm}/snooze",
        "Let no route tell what an alarm's monitor says until a moment",
        _snooze,
        takes=Snoozing,
        gives=AlarmRow,
    ),
)
