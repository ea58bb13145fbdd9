"""Feast's REST interface of a feature server, so that its callers can be pointed here.

Answers are column-major as Feast's are: a result for each entity, with the time 1970, and then one for each feature. An
error that Feast has a class for is told in its form, a text that holds JSON; what Feast answers with 500 although the
caller did it is answered with 422 here. Its statuses `OUTSIDE_MAX_AGE` and `NULL_VALUE` are told, where its own server
says `PRESENT`.
"""

from __future__ import annotations

__all__ = ["feast_routes"]

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from mainspring.api.problem import problem_of
from mainspring.clock import parse_time
from mainspring.errors import Invalid, MainspringError, Refused
from mainspring.features.online import Status, Value
from mainspring.operate.materialize import UnknownView, materialize
from mainspring.operate.online_features import (
    Asked,
    NoSuchService,
    NoSuchView,
    features_of,
    look_up_online,
)
from mainspring.operate.push import push

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from mainspring.workspace import Workspace

_BODY_LIMIT = 64 * 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Columns: TypeAlias = dict[str, list[Value]]


class _Get(msgspec.Struct, frozen=True):
    entities: Columns
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False


class _Push(msgspec.Struct, frozen=True):
    push_source_name: str
    df: Columns
    to: str = "online"


class _Write(msgspec.Struct, frozen=True):
    feature_view_name: str
    df: Columns


class _Materialize(msgspec.Struct, frozen=True):
    start_ts: str
    end_ts: str
    feature_views: list[str] | None = None


class _MaterializeIncremental(msgspec.Struct, frozen=True):
    end_ts: str = ""
    feature_views: list[str] | None = None


class RowsRefused(Refused):
    """Pushed rows of which nothing is kept."""


def _get(workspace: Workspace, asked: _Get) -> object:
    if asked.feature_service is not None:
        features = features_of(workspace, asked.feature_service)
    else:
        features = [_reference(each) for each in asked.features or ()]
    if not features:
        raise Invalid(
            "No features are asked for: name some in `features`, or a product in `feature_service`."
        )
    found = look_up_online(workspace, features, asked.entities)
    names = [f"{view}__{feature}" if asked.full_feature_names else feature for view, feature in features]
    if len(set(names)) < len(names):
        raise Invalid("Several features have one name: set `full_feature_names`.")
    results = [
        _result(values, [Status.PRESENT] * len(values), [None] * len(values))
        for values in asked.entities.values()
    ]
    for (_, feature), of in found:
        statuses = [of.status(feature, row) for row in range(len(of.statuses))]
        results.append(_result(of.columns[feature], statuses, of.at))
    return {"results": results, "metadata": {"feature_names": [*asked.entities, *names]}}


def _result(values: list[Value], statuses: list[Status], at: list[datetime | None]) -> dict[str, object]:
    return {"values": values, "statuses": statuses, "event_timestamps": [each or _EPOCH for each in at]}


def _reference(text: str) -> Asked:
    view, colon, feature = text.partition(":")
    if not (view and colon and feature):
        raise Invalid(f"{text[:100]!r} names no feature: write VIEW:FEATURE.")
    return view, feature


def _push(workspace: Workspace, asked: _Push) -> None:
    if asked.to not in ("online", "offline", "online_and_offline"):
        raise Invalid(f"{asked.to[:100]!r} is none of online, offline and online_and_offline.")
    _hand_in(workspace, asked.push_source_name, asked.df)


def _write(workspace: Workspace, asked: _Write) -> None:
    _hand_in(workspace, asked.feature_view_name, asked.df)


def _hand_in(workspace: Workspace, view: str, columns: Columns) -> None:
    """Push rows; to whichever store they are addressed, they are in both, or training would know other rows."""
    if len({len(values) for values in columns.values()}) != 1:
        raise Invalid("`df` must have columns, all of them with as many values.")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    batch = push(workspace, view, b"\n".join(map(msgspec.json.encode, rows)), actor="feast")
    if batch.version is None:
        raise RowsRefused(f"The rows were refused, and nothing of them is kept: {batch.report.refusal}.")


def _materialize(workspace: Workspace, asked: _Materialize) -> None:
    since, until = parse_time(_with_zone(asked.start_ts)), parse_time(_with_zone(asked.end_ts))
    for view in _views(asked.feature_views):
        materialize(workspace, view, since=since, until=until)


def _materialize_incremental(workspace: Workspace, asked: _MaterializeIncremental) -> None:
    """Bring the store to the newest data; it is kept there anyway, so that no end is needed."""
    for view in _views(asked.feature_views):
        materialize(workspace, view)


def _views(named: list[str] | None) -> list[str] | list[None]:
    return named or [None]


def _with_zone(text: str) -> str:
    """Moments without a zone are in UTC, as they are to Feast."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if at.tzinfo else f"{at.isoformat()}Z"


_CLASSES: tuple[tuple[type[MainspringError], int, str], ...] = (
    (NoSuchView, 404, "FeatureViewNotFoundException"),
    (NoSuchService, 404, "FeatureServiceNotFoundException"),
    (UnknownView, 422, "PushSourceNotFoundException"),
)


def _refusal(error: MainspringError) -> Response:
    for kind, status, name in _CLASSES:
        if isinstance(error, kind):
            told = json.dumps({"module": "feast.errors", "class": name, "message": str(error)})
            return Response(json.dumps(told), status, media_type="application/json")
    status = problem_of(error).status
    return Response(json.dumps(str(error)), 422 if status < 500 else status, media_type="application/json")


def feast_routes(workspace: Workspace) -> list[Route]:
    """Give the routes of a feature server of Feast."""

    def route(path: str, takes: type[Any], call: Callable[[Workspace, Any], object]) -> Route:
        async def answer(request: Request) -> Response:
            content = bytearray()
            async for piece in request.stream():
                content += piece
                if len(content) > _BODY_LIMIT:
                    told = f"The body is larger than {_BODY_LIMIT:,} bytes."
                    return Response(json.dumps(told), 413, media_type="application/json")
            try:
                asked = msgspec.json.decode(content, type=takes)
            except msgspec.DecodeError as error:
                fault = {"type": "value_error", "loc": ["body"], "msg": str(error)}
                return Response(json.dumps({"detail": [fault]}), 422, media_type="application/json")
            try:
                made = await run_in_threadpool(call, workspace, asked)
            except MainspringError as error:
                return _refusal(error)
            return Response(msgspec.json.encode(made), media_type="application/json")

        return Route(path, answer, methods=["POST"])

    async def health(request: Request) -> Response:
        return Response(status_code=200)

    return [
        route("/get-online-features", _Get, _get),
        route("/push", _Push, _push),
        route("/write-to-online-store", _Write, _write),
        route("/materialize", _Materialize, _materialize),
        route("/materialize-incremental", _MaterializeIncremental, _materialize_incremental),
        Route("/health", health, methods=["GET"]),
    ]
