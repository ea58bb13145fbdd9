"""The gateway as an ASGI application: parse, route, ask, write down, answer."""

from __future__ import annotations

__all__ = ["Gateway"]

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from importlib import metadata
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mainspring.clock import DrivenClock, parse_time
from mainspring.errors import Fault, Invalid
from mainspring.gateway.follow import Follower
from mainspring.gateway.inputs import as_text
from mainspring.gateway.labels import BadLabels, read_labels
from mainspring.gateway.metrics import Metrics
from mainspring.gateway.oip import OUTPUTS, BadRequest, InferReply, OutputTensor
from mainspring.gateway.score import ChampionFailed, Scored, score
from mainspring.monitoring.record import LabelRecord, PredictionRecord
from mainspring.rollouts.split import challengers
from mainspring.stores.segments import LogUnwritable

if TYPE_CHECKING:
    from mainspring.clock import Clock
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.ids import PredictionIds
    from mainspring.gateway.inputs import Rows
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.oip import Wishes
    from mainspring.gateway.score import Served
    from mainspring.gateway.source import GatewaySource

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = Mapping[bytes, bytes]

BODY_LIMIT = 16 * 2**20

# Besides JSON what clients send that do not say what they send: curl with -d, and Triton's with a bare body.
_JSON_TYPES = {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded"}

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class _ClientGone(Exception):
    """The client hung up before it had sent all; there is nobody to answer."""


class _Reply(msgspec.Struct, frozen=True):
    content: bytes
    status: int = 200
    kind: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Refusal(Exception):
    """An answer other than 200, with the text for the person who asked."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(status, why)
        named = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        self.reply = _Reply(_encode({"error": why}), status, headers=named)


class Gateway:
    """Answers from the models that the routes name, each answer being on disk before it is sent.

    Parameters
    ----------
    source : GatewaySource
        Where routes and models come from.
    log : PredictionLog
        Where predictions and labels are written down.
    ids : PredictionIds
    clock : Clock
        A `DrivenClock` is moved by the requests' header `Mainspring-Now`; in front of any other the header is refused.
    """

    def __init__(self, source: GatewaySource, log: PredictionLog, ids: PredictionIds, clock: Clock) -> None:
        self.follower = Follower(source)
        self.metrics = Metrics()
        self._log, self._ids, self._clock = log, ids, clock
        self._drive = clock.advance if isinstance(clock, DrivenClock) else None
        self._moved = True
        self._process, self._requests = token_hex(12), count()
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what the routes name, and begin to follow them."""
        await self.follower.check()
        if self._drive is None:
            self._polling = asyncio.create_task(self.follower.poll())

    async def stop(self) -> None:
        """Bring what waits to disk, and let go of the log."""
        if self._polling:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        self.follower.close()
        await self._log.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        try:
            reply = await self._answer(scope, receive)
        except (_ClientGone, asyncio.CancelledError):  # granian cancels what a client that has gone had asked
            return
        except _Refusal as refusal:
            reply = refusal.reply
        except LogUnwritable as error:
            reply = _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after="1").reply
        except Exception:  # noqa: BLE001 - a fault of ours must not cost the client its connection
            _log.exception("A fault of the gateway itself, on %s %s", scope["method"], scope["path"])
            why = "The gateway has a fault that this request has met; its log says which."
            reply = _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, why).reply
        length = b"%d" % len(reply.content)
        headers = [(b"content-type", reply.kind), (b"content-length", length), *reply.headers]
        await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    async def _answer(self, scope: Message, receive: Receive) -> _Reply:
        path: str = scope["path"]
        headers: Headers = dict(scope["headers"])
        if b"mainspring-now" in headers:
            self._hear_time(headers[b"mainspring-now"])
        if path.startswith("/v2/models/"):
            product, *rest = path[11:].split("/")
            version = None
            if rest[:1] == ["versions"] and len(rest) > 1:
                version, rest = rest[1], rest[2:]
            if rest == ["infer"]:
                _allow(scope, "POST")
                return await self._infer(product, version, headers, receive)
            if rest in ([], ["ready"]):
                _allow(scope, "GET")
                await self._follow(headers)
                return self._ready(product, version) if rest else self._describe(product, version)
        elif path == "/v1/labels":
            _allow(scope, "POST")
            return await self._take_labels(headers, receive)
        elif path in _PAGES:
            _allow(scope, "GET")
            if path == "/v2/health/ready":
                await self._follow(headers)
            return _PAGES[path](self)
        why = f"There is nothing at {path[:200]}. Predictions are at /v2/models/PRODUCT/infer."
        raise _Refusal(HTTPStatus.NOT_FOUND, why)

    # --- time and routes -------------------------------------------------------------------------------------------

    def _hear_time(self, told: bytes) -> None:
        if self._drive is None:
            why = "This workspace goes by the machine's clock: leave out the header Mainspring-Now, or start a replay."
            raise _Refusal(HTTPStatus.BAD_REQUEST, why)
        try:
            if self._drive(parse_time(told.decode("latin-1"))):
                self._moved = True
        except Invalid as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"Mainspring-Now: {error}") from error

    async def _follow(self, headers: Headers) -> None:
        """In a replay, look at the routes whenever time has moved, and for callers who do not say what time it is."""
        if self._drive is not None and (self._moved or b"mainspring-now" not in headers):
            at = self._clock.now()
            await self.follower.check()
            # Only now: whoever asks at the same moment must wait for the same look.
            self._moved = self._moved and self._clock.now() != at

    def _serving(self, product: str) -> Serving:
        serving = self.follower.servings.get(product)
        if serving is not None:
            return serving
        if why := self.follower.waiting.get(product):
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after="1")
        if not self.follower.seen:
            why = "The routes have not been read yet: ask again in a moment."
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after="1")
        served = ", ".join(sorted(self.follower.servings)) or "none yet"
        raise _Refusal(
            HTTPStatus.NOT_FOUND, f"There is no model {product[:100]!r} here. Those served: {served}."
        )

    def _pinned(self, serving: Serving, version: str) -> Served:
        pinned = serving.pinned(version)
        if pinned is None:
            served = f"{serving.champion.version} (champion)"
            if serving.challenger:
                served += f" and {serving.challenger.version} (challenger)"
            why = f"Version {version[:100]!r} of {serving.route.product} is not served. Served: {served}."
            raise _Refusal(HTTPStatus.NOT_FOUND, why)
        return pinned

    def _fresh_id(self) -> str:
        # A random number of the process and a count: to ask the kernel for chance each time is a cost.
        return f"{self._process}{next(self._requests):08x}"

    # --- predictions -----------------------------------------------------------------------------------------------

    async def _infer(self, product: str, version: str | None, headers: Headers, receive: Receive) -> _Reply:
        body = await _body(headers, receive)
        if self._drive is not None:
            await self._follow(headers)
        serving = self._serving(product)
        status = 500
        try:
            pinned = self._pinned(serving, version) if version else None
            reply = await self._predict(serving, pinned, body)
            status = 200
        except _Refusal as refusal:
            status = refusal.reply.status
            raise
        except LogUnwritable:
            status = 503
            raise
        finally:
            self.metrics.answered(product, status)
        return reply

    async def _predict(self, serving: Serving, pinned: Served | None, body: bytes) -> _Reply:
        route = serving.route
        try:
            if b"\\u0000" in body:
                # Acknowledged here, such a text would be refused later by databases that cannot keep it.
                raise BadRequest((Fault("body", "a text in it holds a NUL.", "Leave it out."),))
            wishes, rows = serving.inputs.read(body)
        except BadRequest as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        ids = self._ids.issue(wishes.id or self._fresh_id(), rows.count)
        units = ids
        if route.split_by is not None and (named := rows.columns.get(route.split_by)):
            units = [an_id if name is None else as_text(name) for an_id, name in zip(ids, named, strict=True)]
        try:
            if pinned:
                scored = score(rows, pinned)
            elif serving.challenger and route.share:
                of_challenger = challengers(units, salt=route.salt, share=route.share).nonzero()[0].tolist()
                scored = score(rows, serving.champion, serving.challenger, of_challenger)
            else:
                scored = score(rows, serving.champion)
        except ChampionFailed as failed:
            if failed.nulls:
                faults = [
                    Fault(f"row {each.row}", f"{each.error} of version {each.version}.")
                    for each in failed.nulls
                ]
                raise _Refusal(HTTPStatus.BAD_REQUEST, str(BadRequest(tuple(faults)))) from failed
            await self._write_down(serving, rows, failed.scored, ids, units, answered=False)
            failures = [
                each
                for each in failed.scored.failures
                if each.version == (pinned or serving.champion).version
            ]
            why = f"The model failed on {len(failures)} of {rows.count} rows: {failures[0].error}."
            raise _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, why) from failed
        await self._write_down(serving, rows, scored, ids, units, answered=True)
        reply = _encode(_reply(route.product, wishes, scored, ids))
        return _Reply(reply, headers=((b"mainspring-route", b"%d" % route.number),))

    async def _write_down(
        self,
        serving: Serving,
        rows: Rows,
        scored: Scored,
        ids: list[str],
        units: list[str],
        *,
        answered: bool,
    ) -> None:
        """Have a request on disk. When it was not answered, the record has units and failures, but no answers."""
        if not answered:
            scored.versions, scored.scores = [], []
        took = {
            str(version): self._clock.took(measured_s, f"{ids[0]}:{version}")
            for version, measured_s in scored.measured_s.items()
        }
        await self._log.append(
            PredictionRecord(
                at=self._clock.now(),
                product=serving.route.product,
                route=serving.route.number,
                ids=ids if answered else [],
                units=units,
                versions=scored.versions,
                scores=scored.scores,
                inputs=dict(rows.columns),
                failures=scored.failures,
                took_s=took,
            )
        )
        self.metrics.scored(serving.route.product, scored)

    # --- labels ----------------------------------------------------------------------------------------------------

    async def _take_labels(self, headers: Headers, receive: Receive) -> _Reply:
        body = await _body(headers, receive)
        now = self._clock.now()
        try:
            labels = read_labels(body, self._ids, now)
        except BadLabels as error:
            status = HTTPStatus.UNPROCESSABLE_ENTITY if error.understood else HTTPStatus.BAD_REQUEST
            problem = {
                "type": "about:blank",
                "title": "No label was accepted",
                "status": int(status),
                "detail": str(error),
                "faults": [
                    {"where": each.where, "what": each.what, "mend": each.mend} for each in error.faults
                ],
            }
            return _Reply(_encode(problem), status, b"application/problem+json")
        if labels:
            await self._log.append(LabelRecord(at=now, labels=labels))
        return _Reply(_encode({"accepted": len(labels)}))

    # --- about the gateway and its models --------------------------------------------------------------------------

    def _server(self) -> _Reply:
        return _Reply(
            _encode({"name": "mainspring", "version": metadata.version("mainspring"), "extensions": []})
        )

    def _live(self) -> _Reply:
        return _Reply(_encode({"live": True}))

    def _all_ready(self) -> _Reply:
        ready = self.follower.seen and not self.follower.waiting
        return _Reply(_encode({"ready": ready}), HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    def _metrics(self) -> _Reply:
        text = self.metrics.text(self.follower.servings.values(), self._log.queue)
        return _Reply(text.encode(), kind=b"text/plain; version=0.0.4; charset=utf-8")

    def _ready(self, product: str, version: str | None) -> _Reply:
        serving = self._serving(product)
        if version:
            self._pinned(serving, version)
        return _Reply(_encode({"name": product, "ready": True}))

    def _describe(self, product: str, version: str | None) -> _Reply:
        serving = self._serving(product)
        if version:
            versions = [self._pinned(serving, version)]
        else:
            versions = [each for each in (serving.champion, serving.challenger) if each]
        return _Reply(
            _encode(
                {
                    "name": product,
                    "versions": [str(each.version) for each in versions],
                    "platform": "onnx_onnxv1",
                    "inputs": _tensors(serving.inputs.datatypes),
                    "outputs": _tensors(OUTPUTS),
                }
            )
        )


_PAGES: Mapping[str, Callable[[Gateway], _Reply]] = {
    "/v2": Gateway._server,
    "/v2/": Gateway._server,
    "/v2/health/live": Gateway._live,
    "/v2/health/ready": Gateway._all_ready,
    "/metrics": Gateway._metrics,
}


def _allow(scope: Message, method: str) -> None:
    if scope["method"] != method:
        raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"Ask {scope['path']} with {method}.", allow=method)


def _tensors(datatypes: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()]


def _reply(product: str, wishes: Wishes, scored: Scored, ids: list[str]) -> InferReply:
    shape, versions = [len(ids)], scored.versions
    outputs = [
        OutputTensor("probability", "FP64", shape, scored.scores),
        OutputTensor("prediction_id", "BYTES", shape, ids),
        OutputTensor("model_version", "INT64", shape, versions),
    ]
    if wishes.outputs is not None:
        by_name = {each.name: each for each in outputs}
        outputs = [by_name[name] for name in dict.fromkeys(each.name for each in wishes.outputs)]
    alike = versions.count(versions[0]) == len(versions)
    return InferReply(product, outputs, str(versions[0]) if alike else None, wishes.id)


async def _body(headers: Headers, receive: Receive) -> bytes:
    """The request's body, if it is JSON and not too large."""
    kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if kind not in _JSON_TYPES and not kind.endswith("+json"):
        raise _unsupported(f"The content type {kind[:100]!r} is not read here: send application/json.")
    if b"inference-header-content-length" in headers:
        raise _unsupported("Binary tensors are not read here: send the tensors' data as JSON.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise _unsupported("Compressed bodies are not read here: send it as it is.")
    announced = int(headers.get(b"content-length", -1))
    parts: list[bytes] = []
    size = 0
    # Not until the server says that there is no more: to ask it once again costs as much as all the rest.
    while size != announced:
        if max(size, announced) > BODY_LIMIT:
            raise _too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        parts.append(message["body"])
        size += len(parts[-1])
        if not message.get("more_body"):
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unsupported(why: str) -> _Refusal:
    return _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)


def _too_large() -> _Refusal:
    why = f"The body is larger than {BODY_LIMIT // 2**20} MiB: send fewer rows at a time."
    return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
