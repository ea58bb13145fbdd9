"""Where MLflow's methods are asked: under `/api` for its clients, and under `/ajax-api` for what runs in a browser."""

from __future__ import annotations

__all__ = ["METHODS", "mlflow_methods", "mlflow_routes", "no_method"]

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from mainspring.api.mlflow.artifacts import artifact_routes
from mainspring.api.mlflow.experiments import EXPERIMENTS
from mainspring.api.mlflow.logged_models import LOGGED_MODELS
from mainspring.api.mlflow.messages import Message
from mainspring.api.mlflow.model_messages import Asked, version_number
from mainspring.api.mlflow.model_versions import MODEL_VERSIONS
from mainspring.api.mlflow.registered_models import REGISTERED_MODELS
from mainspring.api.mlflow.runs import RUNS
from mainspring.api.mlflow.webhooks import webhook_methods, webhook_test
from mainspring.api.mlflow.wire import ErrorCode, Method, caller_of, encode, failed, failure_of, parse
from mainspring.api.mlflow.writes import Writes
from mainspring.errors import MainspringError
from mainspring.operate.version_artifacts import VersionArtifacts
from mainspring.operate.version_origins import download_uri
from mainspring.registry.source import OfRun, read_source
from mainspring.stores.artifact_path import ArtifactPath

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from starlette.requests import Request

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

SPOKEN = "3.17.2"
"""The release of MLflow whose interface this is."""

_BODY_LIMIT = 64 * 2**20
METHODS = (*EXPERIMENTS, *RUNS, *LOGGED_MODELS, *REGISTERED_MODELS, *MODEL_VERSIONS)


class ServerInfo(Message, frozen=True, kw_only=True):
    """What the server can do beyond what every one can."""

    store_type: str = "SqlStore"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False


def mlflow_methods(workspace: Workspace) -> tuple[Method, ...]:
    """Give the methods that are asked under `/api/2.0/mlflow`, but for those of files."""
    return (*METHODS, *webhook_methods(workspace.settings.webhook_hosts))


def mlflow_routes(workspace: Workspace) -> list[BaseRoute]:
    """Give the routes of MLflow's interface to a workspace."""
    writes = Writes(workspace.database)
    by_path: dict[str, dict[str, Method]] = defaultdict(dict)
    for method in mlflow_methods(workspace):
        by_path[method.path][method.verb] = method
    routes: list[BaseRoute] = []
    for path, methods in by_path.items():
        answer = _endpoint(workspace, writes, methods)
        for root in ("/api", "/ajax-api"):
            routes.append(Route(f"{root}/2.0/mlflow{path}", answer, methods=list(methods)))
    info = msgspec.json.encode(msgspec.structs.asdict(ServerInfo()))

    async def server_info(request: Request) -> Response:
        return Response(info, media_type="application/json")

    async def health(request: Request) -> Response:
        return PlainTextResponse("OK")

    async def version(request: Request) -> Response:
        return PlainTextResponse(SPOKEN)

    def of_run(run_id: str) -> ArtifactPath:
        with workspace.database.read() as tx:
            return ArtifactPath.of_uri(tx.logged_runs.bare(run_id).artifact_uri)

    def of_model(model_id: str) -> ArtifactPath:
        with workspace.database.read() as tx:
            return ArtifactPath.of_uri(tx.logged_models.get(model_id).artifact_uri)

    def of_version(name: str, version: str) -> ArtifactPath:
        with workspace.database.read() as tx:
            uri = download_uri(tx, name, version_number(version))
            match read_source(uri):
                case OfRun(run_id):
                    below = uri.removeprefix("runs:/").partition("/")[2]
                    return ArtifactPath.of_uri(tx.logged_runs.bare(run_id).artifact_uri) / ArtifactPath.parse(
                        below
                    )
        return ArtifactPath.of_uri(uri)

    return [
        *routes,
        *artifact_routes(
            workspace.artifacts,
            VersionArtifacts(workspace),
            of_run=of_run,
            of_model=of_model,
            of_version=of_version,
        ),
        *(
            Route(
                f"{root}/2.0/mlflow/webhooks/{{webhook_id}}/test", webhook_test(workspace), methods=["POST"]
            )
            for root in ("/api", "/ajax-api")
        ),
        Route("/health", health),
        Route("/version", version),
        *(Route(f"{root}/3.0/mlflow/server-info", server_info) for root in ("/api", "/ajax-api")),
    ]


def no_method(request: Request, status: int) -> Response | None:
    """Answer for a method that is not there, where one of MLflow's was meant; clients go another way then."""
    if not request.url.path.startswith(("/api/", "/ajax-api/")):
        return None
    asked = f"{request.method} {request.url.path}"
    return failed(status, ErrorCode.ENDPOINT_NOT_FOUND, f"There is no method at {asked}.")


def _endpoint(
    workspace: Workspace, writes: Writes, methods: dict[str, Method]
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answer(request: Request) -> Response:
        method = methods["GET" if request.method == "HEAD" else request.method]
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > _BODY_LIMIT:
                return failed(413, ErrorCode.BAD_REQUEST, f"The body is larger than {_BODY_LIMIT:,} bytes.")
            pieces.append(piece)
        try:
            asked = parse(request, b"".join(pieces), method.takes)
            if isinstance(asked, Asked):
                asked = msgspec.structs.replace(asked, actor=caller_of(request))
            now_ms = int(workspace.clock.now().timestamp() * 1000)
            if method.writes:
                return encode(await writes.do(lambda tx: method.call(tx, asked, now_ms)))
            return await run_in_threadpool(_read, workspace, lambda tx: method.call(tx, asked, now_ms))
        except MainspringError as error:
            return failure_of(error)

    return answer


def _read(workspace: Workspace, call: Callable[[Transaction], msgspec.Struct | None]) -> Response:
    with workspace.database.read() as tx:
        found = call(tx)
    return encode(found)
