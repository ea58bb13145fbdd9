"""The control plane's operations: parse, one call, print."""

from __future__ import annotations

__all__ = ["build_app"]

import re
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mainspring.api.alarms import ALARMS
from mainspring.api.browsers import OwnPagesOnly
from mainspring.api.cards import CARDS
from mainspring.api.datasets import DATASETS
from mainspring.api.feast import feast_routes
from mainspring.api.features import FEATURES
from mainspring.api.lineage import LINEAGE
from mainspring.api.mlflow import mlflow_methods, mlflow_routes, no_method
from mainspring.api.openapi import describe
from mainspring.api.operation import Operation, actor_of, body_of, product_of
from mainspring.api.problem import Problem, problem_of, respond
from mainspring.api.rollouts import ROLLOUTS
from mainspring.clock import parse_time
from mainspring.errors import Invalid, MainspringError
from mainspring.governance import verify
from mainspring.governance.approval import Answer
from mainspring.operate import status
from mainspring.operate.approve import Approvals, answer_version, approvals_of
from mainspring.operate.audit import WantedLabel, wanted_labels
from mainspring.operate.controller import turn
from mainspring.operate.gain import Gain
from mainspring.operate.request import request_training
from mainspring.operate.score_data import Scoring, score_data
from mainspring.operate.why_not import WhyNot, why_not
from mainspring.ref import DataAddress, ModelRef

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace

BATCH_LIMIT = 512 * 2**20
BODY_LIMIT = 2**20


class Health(msgspec.Struct, frozen=True):
    """That the control plane answers."""

    ready: bool


class Now(msgspec.Struct, frozen=True):
    """The workspace's time, and what the loop did when it was moved there."""

    now: datetime
    moved: bool = False
    records: int = 0
    alarms: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class MoveClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move a driven workspace's time forward and let the loop turn until it is at rest there."""

    now: str


class AskTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a cycle. `params` are named `step.name`; `data` are refs such as `flights@v12`.

    `model` offers a model that a client logged, as a run's id, `runs:/RUN/PATH`, `models:/m-…`, `models:/NAME/VERSION`
    or `models:/NAME@ALIAS`: it is judged and rolled out as one that the pipeline trains.
    """

    reason: str
    params: dict[str, str | int | float | bool | None] = {}
    data: list[str] = []
    model: str = ""
    request_id: str = ""


class AnswerVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Approve that a version is rolled out, or refuse it; the header `Mainspring-Actor` says who."""

    answer: Literal["approved", "refused"]
    reason: str


class AskScoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask a model version, by number or alias, about the rows of a data version; moments are RFC 3339."""

    data: list[str]
    version: str = "champion"
    since: str | None = None
    until: str | None = None
    columns: list[str] = []
    reason: str = ""


class Asked(msgspec.Struct, frozen=True):
    """The request that was taken; under a known id, the first one."""

    request_id: str
    product: str
    at: datetime


class Verified(msgspec.Struct, frozen=True):
    """What reading the whole ledger found."""

    sound: bool
    entries: int
    head: str
    broken_at: int | None
    fault: str


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name}={text[:100]!r} must be a whole number from 1 to {most}.")
    return int(text)


# One at a time: two turns at once would decide on the same facts.
_turning = threading.Lock()


def _move_clock(workspace: Workspace, request: Request, content: bytes) -> Now:
    to = parse_time(body_of(content, MoveClock).now)
    with _turning:
        moved = workspace.advance(to)
        done = turn(workspace)
    return Now(workspace.clock.now(), moved, done.records, done.alarms, done.acts, done.refused)


def _ask_training(workspace: Workspace, request: Request, content: bytes) -> Asked:
    asked: AskTraining = body_of(content, AskTraining)
    taken = request_training(
        workspace,
        request.path_params["product"],
        request_id=asked.request_id or uuid4().hex,
        actor=actor_of(request),
        reason=asked.reason,
        params=asked.params,
        model=asked.model,
        data=[DataAddress.parse(ref) for ref in asked.data],
    )
    return Asked(taken.request_id, taken.product, taken.at)


def _version_of(request: Request) -> ModelRef:
    return ModelRef.parse(f"{product_of(request)}@{request.path_params['version']}")


def _answer_version(workspace: Workspace, request: Request, content: bytes) -> Approvals:
    said: AnswerVersion = body_of(content, AnswerVersion)
    answer = Answer(said.answer)
    return answer_version(
        workspace, _version_of(request), answer, actor=actor_of(request), reason=said.reason
    )


def _why_not(workspace: Workspace, request: Request, content: bytes) -> WhyNot:
    at = request.query_params.get("at")
    return why_not(workspace, request.path_params["product"], parse_time(at) if at else None)


def _score_data(workspace: Workspace, request: Request, content: bytes) -> Scoring:
    asked: AskScoring = body_of(content, AskScoring)
    return score_data(
        workspace,
        str(ModelRef.parse(f"{request.path_params['product']}@{asked.version}")),
        asked.data,
        actor=actor_of(request),
        reason=asked.reason,
        since=parse_time(asked.since) if asked.since else None,
        until=parse_time(asked.until) if asked.until else None,
        columns=asked.columns,
    )


def _verify(workspace: Workspace, request: Request, content: bytes) -> Verified:
    with workspace.database.read() as tx:
        found = verify(tx.ledger.entries())
    return Verified(found.sound, found.entries, found.head, found.broken_at, found.fault)


def _products(workspace: Workspace, request: Request, content: bytes) -> list[status.ProductStatus]:
    with workspace.database.read() as tx:
        names = status.product_names(tx)
    return [status.product_status(workspace, name) for name in names]


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET", "/v1/health", "Whether the control plane answers", lambda w, r, c: Health(True), gives=Health
    ),
    Operation("GET", "/v1/clock", "The workspace's time", lambda w, r, c: Now(w.clock.now()), gives=Now),
    Operation("POST", "/v1/clock", "Move a driven workspace's time", _move_clock, MoveClock, Now),
    Operation(
        "GET", "/v1/products", "Every product at a glance", _products, gives=list[status.ProductStatus]
    ),
    Operation(
        "GET",
        "/v1/products/{product}",
        "One product at a glance",
        lambda w, r, c: status.product_status(w, product_of(r)),
        gives=status.ProductStatus,
    ),
    Operation(
        "GET",
        "/v1/products/{product}/cycles",
        "Its cycles, oldest first",
        lambda w, r, c: status.cycle_rows(w, product_of(r)),
        gives=list[status.CycleRow],
    ),
    Operation(
        "POST",
        "/v1/products/{product}/cycles",
        "Ask for a cycle",
        _ask_training,
        AskTraining,
        Asked,
        status=202,
    ),
    Operation(
        "POST",
        "/v1/products/{product}/scorings",
        "Score a data version and publish the answers; asked again, it goes on or gives what is there",
        _score_data,
        AskScoring,
        Scoring,
        status=201,
    ),
    Operation(
        "GET",
        "/v1/products/{product}/triggers",
        "Why each of its triggers starts a cycle or not, now or at a past moment",
        _why_not,
        gives=WhyNot,
        query=("at",),
    ),
    Operation(
        "GET",
        "/v1/products/{product}/gains",
        "What each of its promotions was worth, as last measured",
        lambda w, r, c: status.gain_rows(w, product_of(r)),
        gives=list[Gain],
    ),
    Operation(
        "GET",
        "/v1/products/{product}/quality",
        "Its quality by day and version",
        lambda w, r, c: status.quality_rows(w, product_of(r)),
        gives=list[status.QualityRow],
    ),
    Operation(
        "GET",
        "/v1/products/{product}/labels/wanted",
        "Predictions whose labels are asked for, the oldest first",
        lambda w, r, c: wanted_labels(w, product_of(r), limit=_number(r, "limit", 100, 100_000)),
        gives=list[WantedLabel],
        query=("limit",),
    ),
    Operation(
        "GET",
        "/v1/products/{product}/runs",
        "Its newest runs",
        lambda w, r, c: status.run_rows(w, product_of(r), limit=_number(r, "limit", 100, 1000)),
        gives=list[status.RunRow],
        query=("limit",),
    ),
    Operation(
        "GET",
        "/v1/products/{product}/versions",
        "Its model versions",
        lambda w, r, c: status.version_rows(w, product_of(r)),
        gives=list[status.VersionRow],
    ),
    Operation(
        "GET",
        "/v1/products/{product}/versions/{version}/approvals",
        "How a version stands for being rolled out, and what people have said of it",
        lambda w, r, c: approvals_of(w, _version_of(r)),
        gives=Approvals,
    ),
    Operation(
        "POST",
        "/v1/products/{product}/versions/{version}/approvals",
        "Approve that a version is rolled out, or refuse it",
        _answer_version,
        AnswerVersion,
        Approvals,
        status=201,
    ),
    *ROLLOUTS,
    *ALARMS,
    *LINEAGE,
    *CARDS,
    *DATASETS,
    *FEATURES,
    Operation(
        "GET",
        "/v1/events",
        "The newest events of the ledger",
        lambda w, r, c: status.events(
            w, limit=_number(r, "limit", 50, 1000), subject=r.query_params.get("subject") or None
        ),
        gives=list[status.EventRow],
        query=("limit", "subject"),
    ),
    Operation(
        "GET", "/v1/ledger/verification", "Read the whole ledger and check its chain", _verify, gives=Verified
    ),
)


def build_app(workspace: Workspace, pages: Sequence[BaseRoute] = ()) -> Starlette:
    """Build the control plane's application.

    Parameters
    ----------
    workspace : Workspace
        What it operates.
    pages : sequence of starlette.routing.BaseRoute
        Pages for people, mounted beside the API.
    """
    description = msgspec.json.encode(describe(OPERATIONS, mlflow_methods(workspace), version("mainspring")))

    async def openapi(request: Request) -> Response:
        return Response(description, media_type="application/json")

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, MainspringError)
        return respond(problem_of(error))

    async def http_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if answer := no_method(request, error.status_code):
            return answer
        detail = f"{request.method} {request.url.path}: {error.detail}. The operations are listed at /v1/openapi.json."
        return respond(
            Problem(type="about:blank", title=error.detail, status=error.status_code, detail=detail)
        )

    async def fail(request: Request, error: Exception) -> Response:
        detail = f"{request.method} {request.url.path} met a fault of mainspring's own; its log says which."
        return respond(Problem(type="about:blank", title="internal error", status=500, detail=detail))

    # Operations of one path stand together, so that another method there is answered with 405 and not with 404.
    paths = dict.fromkeys(operation.path for operation in OPERATIONS)
    routes: list[BaseRoute] = [
        Route(
            path,
            _endpoint(workspace, [each for each in OPERATIONS if each.path == path]),
            methods=[each.method for each in OPERATIONS if each.path == path],
        )
        for path in paths
    ]
    return Starlette(
        routes=[
            *routes,
            Route("/v1/openapi.json", openapi),
            *mlflow_routes(workspace),
            *feast_routes(workspace),
            *pages,
        ],
        exception_handlers={MainspringError: refuse, HTTPException: http_problem, Exception: fail},
        middleware=[Middleware(OwnPagesOnly, workspace.settings.pages)],
    )


def _endpoint(workspace: Workspace, operations: Sequence[Operation]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        wanted = "GET" if request.method == "HEAD" else request.method
        operation = next(each for each in operations if each.method == wanted)
        content = await _read(request, BATCH_LIMIT if operation.takes is bytes else BODY_LIMIT)
        made = await run_in_threadpool(operation.call, workspace, request, content)
        if isinstance(made, Problem):
            return respond(made)
        return Response(msgspec.json.encode(made), operation.status, media_type="application/json")

    return answer


async def _read(request: Request, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise HTTPException(413, f"The body is larger than {limit:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)
