"""The gateway as an ASGI application: which door a request came to, and what it is answered."""

from __future__ import annotations

__all__ = ["Gateway"]

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import DrivenClock, parse_time
from mainspring.errors import Invalid
from mainspring.gateway.admission import USUAL, Admission, Limits, Overloaded
from mainspring.gateway.asker import asker, remember
from mainspring.gateway.follow import Follower, NotServed, NotYetServed, VersionNotServed
from mainspring.gateway.http import (
    ClientGone,
    Headers,
    Message,
    Receive,
    Refusal,
    Reply,
    Send,
    body,
    need_method,
)
from mainspring.gateway.inputs import BadRequest
from mainspring.gateway.labels import BadLabels, read_labels
from mainspring.gateway.metrics import Metrics
from mainspring.gateway.predict import ModelFailed, Predictor
from mainspring.gateway.protocols import oip
from mainspring.gateway.protocols.oip import OUTPUTS
from mainspring.monitoring.record import LabelRecord
from mainspring.stores.segments import LogUnwritable

if TYPE_CHECKING:
    from mainspring.clock import Clock
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.ids import PredictionIds
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.score import Served
    from mainspring.gateway.source import GatewaySource

# Besides JSON what clients send that do not say what they send: curl with -d, and Triton's with a bare body.
_JSON_TYPES = {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded"}

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


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
    name : str
        Tells it from the others that listen at the same port.
    limits : Limits
        How much may be in progress.
    """

    def __init__(
        self,
        source: GatewaySource,
        log: PredictionLog,
        ids: PredictionIds,
        clock: Clock,
        *,
        name: str = "gateway-0",
        limits: Limits = USUAL,
    ) -> None:
        self.name = name
        self.admission = Admission(limits.pending, limits.timeout_s)
        self.follower = Follower(source)
        self.metrics = Metrics()
        self.predictor = Predictor(log, ids, clock, self.metrics)
        self._log, self._ids, self._clock = log, ids, clock
        self._drive = clock.advance if isinstance(clock, DrivenClock) else None
        self._moved = True
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
        await self.admission.close()
        self.follower.close()
        await self._log.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        try:
            reply = await self._answer(scope, receive)
        except (ClientGone, asyncio.CancelledError):  # granian cancels what a client that has gone had asked
            return
        except Refusal as refusal:
            reply = refusal.reply
        except LogUnwritable as error:
            reply = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after="1").reply
        except Exception:  # noqa: BLE001 - a fault of ours must not cost the client its connection
            _log.exception("A fault of the gateway itself, on %s %s", scope["method"], scope["path"])
            why = "The gateway has a fault that this request has met; its log says which."
            reply = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, why).reply
        length = b"%d" % len(reply.content)
        headers = [(b"content-type", reply.kind), (b"content-length", length), *reply.headers]
        await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    async def _answer(self, scope: Message, receive: Receive) -> Reply:
        path: str = scope["path"]
        headers: Headers = dict(scope["headers"])
        if b"mainspring-now" in headers:
            try:
                self.hear_time(headers[b"mainspring-now"].decode("latin-1"))
            except Invalid as error:
                raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        if path.startswith("/v2/models/"):
            product, *rest = path[11:].split("/")
            version = None
            if rest[:1] == ["versions"] and len(rest) > 1:
                version, rest = rest[1], rest[2:]
            if rest == ["infer"]:
                need_method(scope, "POST")
                return await self._infer(product, version, headers, receive)
            if rest in ([], ["ready"]):
                need_method(scope, "GET")
                await self.follow(told=b"mainspring-now" in headers)
                return self._ready(product, version) if rest else self._describe(product, version)
        elif path == "/v1/labels":
            need_method(scope, "POST")
            return await self._take_labels(headers, receive)
        elif path in _PAGES:
            need_method(scope, "GET")
            if path == "/v2/health/ready":
                await self.follow(told=b"mainspring-now" in headers)
            return _PAGES[path](self)
        why = f"There is nothing at {path[:200]}. Predictions are at /v2/models/PRODUCT/infer."
        raise Refusal(HTTPStatus.NOT_FOUND, why)

    # --- time and routes -------------------------------------------------------------------------------------------

    def hear_time(self, told: str) -> None:
        """Move a driven clock to what a request says is the time.

        Raises
        ------
        Invalid
            It is no time, or the clock is not moved by requests.
        """
        if self._drive is None:
            raise Invalid(
                "This workspace goes by the machine's clock: leave out the header Mainspring-Now, or start a replay."
            )
        try:
            if self._drive(parse_time(told)):
                self._moved = True
        except Invalid as error:
            raise Invalid(f"Mainspring-Now: {error}") from error

    async def follow(self, *, told: bool) -> None:
        """In a replay, look at the routes whenever time has moved, and for callers who do not say what time it is."""
        if self._drive is not None and (self._moved or not told):
            at = self._clock.now()
            await self.follower.check()
            # Only now: whoever asks at the same moment must wait for the same look.
            self._moved = self._moved and self._clock.now() != at

    def _serving(self, product: str) -> Serving:
        try:
            return self.follower.serving(product)
        except NotYetServed as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after="1") from error
        except NotServed as error:
            raise Refusal(HTTPStatus.NOT_FOUND, str(error)) from error

    def _pinned(self, serving: Serving, version: str) -> Served:
        try:
            return serving.version(version)
        except VersionNotServed as error:
            raise Refusal(HTTPStatus.NOT_FOUND, str(error)) from error

    # --- predictions -----------------------------------------------------------------------------------------------

    async def _infer(self, product: str, version: str | None, headers: Headers, receive: Receive) -> Reply:
        try:
            task = self.admission.enter()
        except Overloaded as error:
            self._count(product, 429)
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, str(error), retry_after="1") from error
        status = 500
        try:
            content = await _json_body(headers, receive)
            if self._drive is not None:
                await self.follow(told=b"mainspring-now" in headers)
            serving = self._serving(product)
            pinned = self._pinned(serving, version) if version else None
            reply = await self._predict(serving, pinned, content, asker(headers))
            status = 200
        except Refusal as refusal:
            status = refusal.reply.status
            raise
        except LogUnwritable:
            status = 503
            raise
        except asyncio.CancelledError:
            if not self.admission.gave_up(task):
                status = 499
                raise
            status = 503
            why = "The answer was not ready in time, and was given up: ask again, under the same id if it has one."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after="1") from None
        finally:
            self.admission.leave(task)
            self._count(product, status)
        return reply

    def _count(self, product: str, status: int) -> None:
        if product in self.follower.servings:  # any other name is the caller's invention
            self.metrics.answered(product, status)

    async def _predict(
        self, serving: Serving, pinned: Served | None, content: bytes, unit: str | None
    ) -> Reply:
        try:
            wishes, rows = oip.read(serving.inputs, {}, content)
            prediction = await self.predictor.predict(
                serving, rows, pinned=pinned, request=wishes.id, unit=unit
            )
        except BadRequest as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from error
        except ModelFailed as error:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
        reply = oip.write(serving.route.product, wishes, prediction)
        headers: tuple[tuple[bytes, bytes], ...] = ((b"mainspring-route", b"%d" % prediction.route),)
        if serving.challengers and serving.route.split_by is None and unit is None:
            headers = (*headers, remember(prediction.ids[0]))
        return msgspec.structs.replace(reply, headers=headers)

    # --- labels ----------------------------------------------------------------------------------------------------

    async def _take_labels(self, headers: Headers, receive: Receive) -> Reply:
        content = await _json_body(headers, receive)
        now = self._clock.now()
        try:
            labels = read_labels(content, self._ids, now)
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
            return Reply(_encode(problem), status, b"application/problem+json")
        if labels:
            await self._log.append(LabelRecord(at=now, labels=labels))
        return Reply(_encode({"accepted": len(labels)}))

    # --- about the gateway and its models --------------------------------------------------------------------------

    def _server(self) -> Reply:
        return Reply(
            _encode({"name": "mainspring", "version": metadata.version("mainspring"), "extensions": []})
        )

    def _live(self) -> Reply:
        return Reply(_encode({"live": True}), headers=((b"mainspring-gateway", self.name.encode()),))

    def _all_ready(self) -> Reply:
        ready = self.follower.ready
        return Reply(_encode({"ready": ready}), HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    def _metrics(self) -> Reply:
        text = self.metrics.text(self.follower.servings.values(), self._log.queue)
        return Reply(text.encode(), kind=b"text/plain; version=0.0.4; charset=utf-8")

    def _ready(self, product: str, version: str | None) -> Reply:
        serving = self._serving(product)
        if version:
            self._pinned(serving, version)
        return Reply(_encode({"name": product, "ready": True}))

    def _describe(self, product: str, version: str | None) -> Reply:
        serving = self._serving(product)
        versions = [self._pinned(serving, version)] if version else serving.loaded
        return Reply(
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


_PAGES: Mapping[str, Callable[[Gateway], Reply]] = {
    "/v2": Gateway._server,
    "/v2/": Gateway._server,
    "/v2/health/live": Gateway._live,
    "/v2/health/ready": Gateway._all_ready,
    "/metrics": Gateway._metrics,
}


def _tensors(datatypes: Mapping[str, str]) -> list[dict[str, object]]:
    return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()]


async def _json_body(headers: Headers, receive: Receive) -> bytes:
    """The request's body, if it is JSON."""
    kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if kind not in _JSON_TYPES and not kind.endswith("+json"):
        raise _unsupported(f"The content type {kind[:100]!r} is not read here: send application/json.")
    if b"inference-header-content-length" in headers:
        raise _unsupported("Binary tensors are not read here: send the tensors' data as JSON.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise _unsupported("Compressed bodies are not read here: send it as it is.")
    return await body(headers, receive)


def _unsupported(why: str) -> Refusal:
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)
