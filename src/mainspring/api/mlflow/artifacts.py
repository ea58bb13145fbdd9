"""The artifact proxy of MLflow's REST: files of runs and models, in and out of the artifact store."""

from __future__ import annotations

__all__ = ["artifact_routes", "body_of"]

import mimetypes
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mainspring.api.mlflow.messages import Message
from mainspring.api.mlflow.wire import ErrorCode, Unsupported, encode, failed, failure_of, parse
from mainspring.errors import Invalid, MainspringError
from mainspring.operate.version_artifacts import ReadOnly
from mainspring.stores.artifact_path import ArtifactPath, InvalidArtifactPath
from mainspring.stores.artifacts import ArtifactTooLarge
from mainspring.stores.uploads import LARGEST_PART_NUMBER, Uploads

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from mainspring.operate.version_artifacts import VersionArtifacts
    from mainspring.stores.artifacts import Artifact, FileArtifacts, OpenArtifact, Writing

_BODY_LIMIT = 8 * 2**20  # ten thousand parts with their addresses
_PIECE = 2**20

# A browser must run nothing that a stranger has uploaded. These are shown as text, whatever they are; of what it would
# show by itself, only pictures, sounds, films and PDF keep their type.
_TEXT = re.compile(
    r"(?:.*\.)?(?:cfg?|cnf|conf|csv|err|hocon|ini|ipynb|m?js|json|log|md|mlmodel|mlproject|prop|properties|py3?|rst|toml"
    r"|tsv|txt|xml|ya?ml)",
    re.IGNORECASE,
)
_SHOWN = re.compile(r"(?:image|audio|video)/(?!svg)[\w.+-]+|application/pdf")

T = TypeVar("T")


class FileMessage(Message, frozen=True, kw_only=True):
    """A file or folder in a list; an empty file has no size."""

    path: str
    is_dir: bool
    file_size: int = 0


class Listed(Message, frozen=True, kw_only=True):
    """What is in a folder."""

    files: tuple[FileMessage, ...] = ()


class ListedOfRoot(Message, frozen=True, kw_only=True):
    """What is in a folder of a run or a logged model; paths are those below its root."""

    root_uri: str
    files: tuple[FileMessage, ...] = ()


class CreateUpload(Message, frozen=True, kw_only=True):
    """Begin an upload in parts of a file, which has this path on the client's machine."""

    path: str
    num_parts: int = 1


class Credential(Message, frozen=True, kw_only=True):
    """Where a part is put, and with which headers."""

    url: str
    part_number: int
    headers: dict[str, str]


class CreatedUpload(Message, frozen=True, kw_only=True):
    """An upload that was begun."""

    upload_id: str
    credentials: tuple[Credential, ...]


class SentPart(Message, frozen=True, kw_only=True):
    """A part as it was answered."""

    part_number: int
    etag: str


class CompleteUpload(Message, frozen=True, kw_only=True):
    """Put an upload's parts together."""

    path: str
    upload_id: str
    parts: tuple[SentPart, ...]


class AbortUpload(Message, frozen=True, kw_only=True):
    """Give an upload up."""

    path: str
    upload_id: str


def artifact_routes(
    store: FileArtifacts,
    versions: VersionArtifacts,
    *,
    of_run: Callable[[str], ArtifactPath],
    of_model: Callable[[str], ArtifactPath],
    of_version: Callable[[str, str], ArtifactPath],
) -> list[BaseRoute]:
    """Routes of the artifact proxy.

    Parameters
    ----------
    store : FileArtifacts
        Where the files are that clients log.
    versions : VersionArtifacts
        The files of products' versions, which nobody writes here.
    of_run : callable
        Gives the folder of a run's artifacts by the run's id; its `MainspringError` is answered.
    of_model : callable
        Gives the folder of a logged model's artifacts by the model's id; likewise.
    of_version : callable
        Gives the folder of a model version's artifacts by name and version; likewise.
    """
    proxy = _Proxy(store, versions, Uploads(store), of_run, of_model, of_version)
    of_models = "logged-models/{model_id}/artifacts"
    below = (
        ("GET", "artifacts", proxy.list),
        ("GET", "artifacts/{artifact_path:path}", proxy.get),
        ("PUT", "artifacts/{artifact_path:path}", proxy.put),
        ("DELETE", "artifacts/{artifact_path:path}", proxy.delete),
        ("POST", "mpu/create/{artifact_path:path}", proxy.create),
        ("PUT", "mpu/part/{artifact_path:path}", proxy.part),
        ("POST", "mpu/complete/{artifact_path:path}", proxy.complete),
        ("POST", "mpu/abort/{artifact_path:path}", proxy.abort),
        ("GET", "presigned/{artifact_path:path}", proxy.presigned),
    )
    return [
        *(
            Route(f"/{api}/2.0/mlflow-artifacts/{path}", _answering(call), methods=[method])
            for api in ("api", "ajax-api")
            for method, path, call in below
        ),
        *(
            Route(f"/{api}/2.0/mlflow/{path}", _answering(call))
            for api in ("api", "ajax-api")
            for path, call in (
                ("artifacts/list", proxy.list_run),
                (f"{of_models}/directories", proxy.list_model),
                (f"{of_models}/files", proxy.get_of_model),
            )
        ),
        Route("/get-artifact", _answering(proxy.get_of_run)),
        Route("/model-versions/get-artifact", _answering(proxy.get_of_version)),
    ]


@dataclass(frozen=True, slots=True)
class _Proxy:
    store: FileArtifacts
    versions: VersionArtifacts
    uploads: Uploads
    of_run: Callable[[str], ArtifactPath]
    of_model: Callable[[str], ArtifactPath]
    of_version: Callable[[str, str], ArtifactPath]

    async def list(self, request: Request) -> Response:
        asked = request.query_params.get("path")
        found = await run_in_threadpool(self._list, ArtifactPath.parse(asked) if asked else None)
        return encode(
            Listed(
                files=tuple(
                    FileMessage(path=each.name, is_dir=each.is_folder, file_size=each.size or 0)
                    for each in found
                )
            )
        )

    async def list_run(self, request: Request) -> Response:
        run = request.query_params.get("run_id") or _asked(request, "run_uuid")
        return await self._list_below(self.of_run, run, request.query_params.get("path", ""))

    async def list_model(self, request: Request) -> Response:
        folder = request.query_params.get("artifact_directory_path", "")
        return await self._list_below(self.of_model, request.path_params["model_id"], folder)

    async def _list_below(self, root_of: Callable[[str], ArtifactPath], owner: str, folder: str) -> Response:
        root = await run_in_threadpool(root_of, owner)
        below = ArtifactPath.parse(folder) if folder else None
        found = await run_in_threadpool(self._list, root / below if below else root)
        files = tuple(
            FileMessage(
                path=f"{below}/{each.name}" if below else each.name,
                is_dir=each.is_folder,
                file_size=each.size or 0,
            )
            for each in found
        )
        return encode(ListedOfRoot(root_uri=f"mlflow-artifacts:/{root}", files=files))

    async def get(self, request: Request) -> Response:
        return await self._send(request, _path(request))

    async def get_of_run(self, request: Request) -> Response:
        path = ArtifactPath.parse(_asked(request, "path"))
        run = request.query_params.get("run_id") or _asked(request, "run_uuid")
        return await self._send(request, await run_in_threadpool(self.of_run, run) / path)

    async def get_of_model(self, request: Request) -> Response:
        path = ArtifactPath.parse(_asked(request, "artifact_file_path"))
        return await self._send(
            request, await run_in_threadpool(self.of_model, request.path_params["model_id"]) / path
        )

    async def get_of_version(self, request: Request) -> Response:
        path = ArtifactPath.parse(_asked(request, "path"))
        name, version = _asked(request, "name"), _asked(request, "version")
        return await self._send(request, await run_in_threadpool(self.of_version, name, version) / path)

    async def put(self, request: Request) -> Response:
        await self._keep(request, await run_in_threadpool(self.store.writing, self._writable(_path(request))))
        return encode(None)

    async def delete(self, request: Request) -> Response:
        await run_in_threadpool(self.store.delete, self._writable(_path(request)))
        return encode(None)

    async def create(self, request: Request) -> Response:
        asked = await body_of(request, CreateUpload)
        path = self._writable(_target(request, asked.path))
        if not 1 <= asked.num_parts <= LARGEST_PART_NUMBER:
            raise Invalid(f"num_parts={asked.num_parts} must be from 1 to {LARGEST_PART_NUMBER}.")
        upload = await run_in_threadpool(self.uploads.begin, path)
        url = f"{_own_url(request)}/api/2.0/mlflow-artifacts/mpu/part/{quote(str(path))}?upload_id={upload}"
        # The client sends parts with these headers alone: without them it would be a stranger.
        sent = request.headers.get("authorization")
        headers = {"Authorization": sent} if sent else {}
        credentials = tuple(
            Credential(url=f"{url}&part_number={number}", part_number=number, headers=headers)
            for number in range(1, asked.num_parts + 1)
        )
        return encode(CreatedUpload(upload_id=upload, credentials=credentials))

    async def part(self, request: Request) -> Response:
        path, number = _path(request), _asked(request, "part_number")
        if not re.fullmatch("[0-9]{1,5}", number):
            raise Invalid(f"part_number={number[:100]!r} must be from 1 to {LARGEST_PART_NUMBER}.")
        upload = _asked(request, "upload_id")
        tag, file = await run_in_threadpool(self.uploads.part, path, upload, int(number))
        await self._keep(request, file)
        return Response(headers={"ETag": f'"{tag}"'})

    async def complete(self, request: Request) -> Response:
        asked = await body_of(request, CompleteUpload)
        if [part.part_number for part in asked.parts] != [*range(1, len(asked.parts) + 1)]:
            raise Invalid("parts must be all parts in order, with part_number 1, 2, 3 and so on.")
        tags = [part.etag.strip('"') for part in asked.parts]
        path = _target(request, asked.path)
        await run_in_threadpool(self.uploads.complete, path, asked.upload_id, tags)
        return encode(None)

    async def abort(self, request: Request) -> Response:
        asked = await body_of(request, AbortUpload)
        await run_in_threadpool(self.uploads.abort, _target(request, asked.path), asked.upload_id)
        return encode(None)

    async def presigned(self, request: Request) -> Response:
        _path(request)
        raise Unsupported("Presigned download is not supported for the current artifact repository")

    def _list(self, path: ArtifactPath | None) -> tuple[Artifact, ...]:
        return self.versions.list(path) if path and self.versions.has(path) else self.store.list(path)

    def _open(self, path: ArtifactPath) -> OpenArtifact:
        return (self.versions if self.versions.has(path) else self.store).open(path)

    def _writable(self, path: ArtifactPath) -> ArtifactPath:
        if self.versions.has(path):
            raise ReadOnly(path)
        return path

    async def _keep(self, request: Request, file: Writing) -> None:
        with file:
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > self.store.largest:
                raise ArtifactTooLarge(self.store.largest)
            async for piece in request.stream():  # raises ClientDisconnect when it ends too early
                await run_in_threadpool(file.write, piece)
            await run_in_threadpool(file.keep)

    async def _send(self, request: Request, path: ArtifactPath) -> Response:
        found = await run_in_threadpool(self._open, path)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": _attached(path.name),
            "Content-Type": _type_of(path.name),
            "X-Content-Type-Options": "nosniff",
        }
        span = _span(request.headers.get("range", ""), found.size)
        if span is None:
            return _Sent(found, range(found.size), headers)
        if not span:
            found.file.close()
            return Response(status_code=416, headers={"Content-Range": f"bytes */{found.size}"})
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{found.size}"
        return _Sent(found, span, headers, 206)


class _Sent(StreamingResponse):
    """A file, or the span of it that was asked for, on its way; it is closed whatever becomes of the client."""

    def __init__(self, found: OpenArtifact, span: range, headers: dict[str, str], status: int = 200) -> None:
        self.found, self.span = found, span
        super().__init__(self._pieces(), status, headers | {"Content-Length": str(len(span))})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.span = range(0)
        with self.found.file:
            await super().__call__(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[bytes]:
        left = len(self.span)
        self.found.file.seek(self.span.start)
        while left and (piece := await run_in_threadpool(self.found.file.read, min(left, _PIECE))):
            left -= len(piece)
            yield piece


def _answering(call: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await call(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except InvalidArtifactPath:
            return failed(400, ErrorCode.INVALID_PARAMETER_VALUE, "Invalid path")
        except MainspringError as error:
            return failure_of(error)

    return answer


def _path(request: Request) -> ArtifactPath:
    return ArtifactPath.parse(request.path_params["artifact_path"])


def _asked(request: Request, name: str) -> str:
    given = request.query_params.get(name)
    if not given:
        raise Invalid(f"Missing value for required parameter '{name}'.")
    return given


async def body_of(request: Request, takes: type[T]) -> T:
    """Read a body that is not large; raises `Invalid`."""
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > _BODY_LIMIT:
            raise Invalid(f"The request's body is larger than {_BODY_LIMIT:,} bytes.")
    return parse(request, content, takes)


def _target(request: Request, local: str) -> ArtifactPath:
    """Where a file of the client's machine goes: into the folder of the address, under its own name."""
    return _path(request) / ArtifactPath.parse(re.split(r"[/\\]", local)[-1])


def _own_url(request: Request) -> str:
    """Our address as the client sees it, from what it sent and what a proxy between says of it."""
    headers = request.headers
    scheme = headers.get("x-forwarded-proto", request.url.scheme).partition(",")[0].strip()
    host = headers.get("x-forwarded-host", request.url.netloc).partition(",")[0].strip()
    prefix = headers.get("x-forwarded-prefix", request.scope.get("root_path", "")).partition(",")[0].strip()
    return f"{scheme}://{host}{prefix.rstrip('/')}"


def _attached(name: str) -> str:
    if re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
        return f"attachment; filename={name}"
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _type_of(name: str) -> str:
    kind, encoding = _types().guess_type(name)
    if encoding or not kind:
        kind = "application/octet-stream"
    if _TEXT.fullmatch(name) or kind.startswith("text/"):
        return "text/plain"
    return kind if _SHOWN.fullmatch(kind) else "application/octet-stream"


@cache
def _types() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes()  # the built-in table alone, the same on every machine


def _span(asked: str, size: int) -> range | None:
    """Read a Range header: None where it asks for the whole or is not understood, empty where there is nothing."""
    given = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", asked)
    if not given or not any(given.groups()):
        return None
    first, last = given.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)
