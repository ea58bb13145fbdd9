"""The gateway as an ASGI application: which door a request came to, and what it is answered."""

from __future__ import annotations

__all__ = ["Gateway"]

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs

import msgspec

from mainspring.clock import DrivenClock, parse_time
from mainspring.errors import Invalid, MainspringError
from mainspring.gateway import protocols
from mainspring.gateway.admission import USUAL, Admission, Limits
from mainspring.gateway.asker import asker, remember
from mainspring.gateway.follow import Follower
from mainspring.gateway.http import (
    WORTH_COMPRESSING,
    ClientGone,
    Headers,
    Message,
    Receive,
    Refusal,
    Reply,
    Send,
    body,
    compressed,
    need_method,
)
from mainspring.gateway.labels import BadLabels, read_labels
from mainspring.gateway.metrics import Metrics, Timed
from mainspring.gateway.models import Models
from mainspring.gateway.predict import Predictor
from mainspring.gateway.protocols import mlflow
from mainspring.gateway.refusals import refusal
from mainspring.gateway.trace import trace_of, tracer
from mainspring.monitoring.record import LabelRecord

if TYPE_CHECKING:
    from mainspring.clock import Clock
    from mainspring.features.store import OnlineStore
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.ids import PredictionIds
    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.predict import Prediction
    from mainspring.gateway.protocols import Asked
    from mainspring.gateway.siblings import Siblings
    from mainspring.gateway.source import GatewaySource

    Read: TypeAlias = Callable[[Inputs, Headers, bytes], Asked]

_NOW, _VARIANT = b"mainspring-now", b"mainspring-variant"
_ABOUT = ("", "ready", "config", "stats")

_log = logging.getLogger(__name__)


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
    siblings : Siblings, optional
        The others there, whose metrics are told with its own.
    online : OnlineStore, optional
        Where features are looked up of views that say so.
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
        siblings: Siblings | None = None,
        online: OnlineStore | None = None,
    ) -> None:
        self.name = name
        self._siblings = siblings
        self.admission = Admission(limits.pending, limits.timeout_s)
        self.follower = Follower(source, limits)
        self.metrics = Metrics()
        self.models = Models(self.follower, self.metrics, log)
        self.predictor = Predictor(log, ids, clock, self.metrics, online)
        self._log, self._ids, self._clock = log, ids, clock
        self._drive = clock.advance if isinstance(clock, DrivenClock) else None
        self._moved = True
        self._polling: asyncio.Task[None] | None = None
        self.tracer = tracer()

    async def start(self) -> None:
        """Load what the routes name, and begin to follow them."""
        await self.follower.check()
        if self._drive is None:
            self._polling = asyncio.create_task(self.follower.poll())
        if self._siblings:
            await self._siblings.open(self._figures)

    async def stop(self) -> None:
        """Bring what waits to disk, and let go of the log."""
        if self._polling:
            self._polling.cancel()
            with suppress(asyncio.CancelledError):
                await self._polling
        if self._siblings:
            await self._siblings.close()
        await self.admission.close()
        await self.follower.close()
        self.predictor.close()
        await self._log.close()
        if self.tracer:
            self.tracer.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        try:
            reply = await self._answer(scope, receive)
        except asyncio.CancelledError:  # so granian does with what a client had asked that has gone
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the client its connection
            if not isinstance(error, Refusal | MainspringError | ClientGone):
                _log.exception("A fault of the gateway itself, on %s %s", scope["method"], scope["path"])
            refused = refusal(error)
            reply = mlflow.refusal(refused) if scope["path"].startswith("/invocations") else refused.reply
        if len(reply.content) >= WORTH_COMPRESSING:
            reply = compressed(reply, dict(scope["headers"]))
        length = b"%d" % len(reply.content)
        headers = [(b"content-type", reply.kind), (b"content-length", length), *reply.headers]
        await send({"type": "http.response.start", "status": int(reply.status), "headers": headers})
        content = b"" if scope["method"] == "HEAD" else reply.content
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Message, receive: Receive) -> Reply:
        path: str = scope["path"]
        headers: Headers = dict(scope["headers"])
        if _NOW in headers:
            self.hear_time(headers[_NOW].decode("latin-1"))
        match path.split("/"):
            case ["", "v2", "models", product, "infer"]:
                return await self._infer(product, "", protocols.read, scope, headers, receive)
            case ["", "v2", "models", product, "versions", version, "infer"]:
                return await self._infer(product, version, protocols.read, scope, headers, receive)
            case ["", "invocations"]:
                return await self._infer(self.models.only, "", mlflow.read, scope, headers, receive)
            case ["", "invocations", product]:
                return await self._infer(product, "", mlflow.read, scope, headers, receive)
            case ["", "v1", "labels"]:
                need_method(scope, "POST")
                return await self._take_labels(headers, receive)
            case ["", "v2", "repository", *rest]:
                return await self._repository(rest, scope, headers, receive)
            case ["", "metrics"]:
                need_method(scope, "GET")
                await self.follow(told=_NOW in headers)
                return await self._metrics()
        if path in _PAGES:
            need_method(scope, "GET")
            await self.follow(told=_NOW in headers)
            return _PAGES[path](self)
        match path.split("/"):
            case ["", "v2", "models", product, "versions", version, *rest] if "/".join(rest) in _ABOUT:
                need_method(scope, "GET")
                await self.follow(told=_NOW in headers)
                return self.models.about(product, version, *rest)
            case ["", "v2", "models", product, *rest] if "/".join(rest) in _ABOUT:
                need_method(scope, "GET")
                await self.follow(told=_NOW in headers)
                return self.models.about(product, "", *rest)
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

    # --- predictions -----------------------------------------------------------------------------------------------

    async def _infer(
        self, product: str, version: str, read: Read, scope: Message, headers: Headers, receive: Receive
    ) -> Reply:
        need_method(scope, "POST")
        if scope["query_string"] or _VARIANT in headers:
            version = _variant(version, scope, headers)
        if self.tracer is None:
            return await self._predict(product, version, read, headers, receive, trace_of(headers))
        door = {"http.request.method": "POST", "url.path": scope["path"]}
        with self.tracer.span(product, headers, door, _end) as trace:
            return await self._predict(product, version, read, headers, receive, trace)

    async def _predict(
        self, product: str, version: str, read: Read, headers: Headers, receive: Receive, trace: str
    ) -> Reply:
        reply: Reply
        prediction, reply, serving = await self.predict(
            product,
            version,
            headers,
            lambda inputs, content: read(inputs, headers, content),
            trace=trace,
            content=lambda: body(headers, receive),
        )
        told: tuple[tuple[bytes, bytes], ...] = ((b"mainspring-route", b"%d" % prediction.route),)
        if serving.challengers and serving.route.split_by is None and not version and asker(headers) is None:
            told = (*told, remember(prediction.ids[0]))
        return msgspec.structs.replace(reply, headers=reply.headers + told)

    async def predict(
        self,
        product: str,
        version: str,
        headers: Headers,
        read: Callable[[Inputs, bytes], Asked],
        *,
        trace: str,
        content: Callable[[], Awaitable[bytes]] | None = None,
        waits_s: Callable[[], float | None] = lambda: None,
    ) -> tuple[Prediction, Any, Serving]:
        """Answer a request for predictions, whichever door it has come to, within its bounds, and count it.

        Parameters
        ----------
        product, version : str
            What is asked; without a version the route says who answers.
        headers : Headers
            Or metadata, with who asks.
        read : callable
            Reads and checks the request, given what its product needs and its content.
        trace : str
            W3C trace id.
        content : callable, optional
            Receives the content, at a door where it has not come with the request.
        waits_s : callable
            Says how long the caller waits, where the door knows it before the content; raises for one who does not.

        Returns
        -------
        prediction : Prediction
        answer : object
            What the request's `write` made of it.
        serving : Serving
            Who was asked.

        Raises
        ------
        Exception
            What `refusal` makes an answer of.
        """
        timed, status, task = Timed(perf_counter()), 500, None
        sent, callers = b"" if content is None else None, False
        try:
            task = self.admission.enter()
            if (bound_s := waits_s()) is not None:
                callers = self.admission.shorten(task, bound_s)
            if content is not None:
                sent = await content()
                timed.arrived = perf_counter()
            if self._drive is not None:
                await self.follow(told=_NOW in headers)
            serving = self.follower.serving(product)
            timed.versions = (serving.champion.version,)  # whose a failure would be
            pinned = None
            if version:
                pinned = serving.version(version)
                timed.versions = (pinned.version,)
            assert sent is not None
            asked = read(serving.inputs, sent)
            if asked.timeout_s:
                callers |= self.admission.shorten(task, asked.timeout_s)
            timed.read = perf_counter()
            prediction = await self.predictor.predict(
                serving, asked.rows, pinned=pinned, request=asked.id, unit=asker(headers), trace=trace
            )
            timed.predicted, timed.versions = perf_counter(), prediction.versions
            answer = asked.write(product, prediction)
            status = 200
        except asyncio.CancelledError:
            if task is None or not self.admission.gave_up(task):
                status = 499
                raise
            gave_up = _gave_up(came=sent is not None, callers=callers)
            status = gave_up.status
            raise gave_up from None
        except ClientGone:
            status = 499
            raise
        except Exception as error:
            status = refusal(error).status
            raise
        finally:
            if task is not None:
                self.admission.leave(task)
            if product in self.follower.servings:  # any other name is the caller's invention
                self.metrics.answered(product, status, timed)
        return prediction, answer, serving

    # --- labels, and about the gateway -----------------------------------------------------------------------------

    async def _take_labels(self, headers: Headers, receive: Receive) -> Reply:
        content = await self._body(headers, receive)
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
            return Reply(msgspec.json.encode(problem), status, b"application/problem+json")
        if labels:
            await self._log.append(LabelRecord(at=now, labels=labels))
        return Reply.of({"accepted": len(labels)})

    async def _repository(self, rest: list[str], scope: Message, headers: Headers, receive: Receive) -> Reply:
        match rest:
            case ["index"]:
                need_method(scope, "POST")
                content = await self._body(headers, receive)
                await self.follow(told=_NOW in headers)
                return self.models.index(content)
            case ["models", product, "load"]:
                need_method(scope, "POST")
                return await self.models.load(product, await self._body(headers, receive))
            case ["models", product, "unload"]:
                need_method(scope, "POST")
                await self._body(headers, receive)
                return self.models.unload(product)
        why = "There are /v2/repository/index and /v2/repository/models/PRODUCT/load or unload."
        raise Refusal(HTTPStatus.NOT_FOUND, why)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        """The body of a request that is bounded as those for predictions are."""
        task = self.admission.enter()
        try:
            return await body(headers, receive)
        except asyncio.CancelledError:
            if not self.admission.gave_up(task):
                raise
            raise _gave_up(came=False) from None
        finally:
            self.admission.leave(task)

    def _live(self) -> Reply:
        return Reply(self.models.live().content, headers=((b"mainspring-gateway", self.name.encode()),))

    def _figures(self) -> str:
        return self.metrics.text(self.follower.servings.values(), self._log, self.admission.pending)

    async def _metrics(self) -> Reply:
        text = self._figures()
        if self._siblings:
            text = await self._siblings.gathered(text)
        return Reply(text.encode(), kind=b"text/plain; version=0.0.4; charset=utf-8")


_PAGES: Mapping[str, Callable[[Gateway], Reply]] = {
    "/v2": lambda gateway: gateway.models.server(),
    "/v2/": lambda gateway: gateway.models.server(),
    "/v2/health/live": Gateway._live,
    "/v2/health/ready": lambda gateway: gateway.models.ready(),
    "/livez": Gateway._live,
    "/readyz": lambda gateway: gateway.models.ready(),
    "/v2/models": lambda gateway: gateway.models.names(),
    "/v2/models/stats": lambda gateway: Reply.of({"model_stats": gateway.models.stats()}),
    "/ping": lambda gateway: gateway.models.ping(),
    "/health": lambda gateway: gateway.models.ping(),
    "/version": lambda gateway: gateway.models.version(),
}


def _end(error: Exception | None) -> tuple[str, int]:
    """How a span tells the status of an answer over HTTP."""
    return "http.response.status_code", 200 if error is None else int(refusal(error).status)


def _variant(version: str, scope: Message, headers: Headers) -> str:
    """The version that a request is for, when its path, its query or a header names one."""
    query = parse_qs(scope["query_string"].decode("latin-1")).get("variant", [])
    named = {version, headers.get(_VARIANT, b"").decode("latin-1"), *query} - {""}
    if len(named) > 1:
        told = " and ".join(sorted(each[:100] for each in named))
        raise Invalid(f"The request names several versions, {told}: name one, in one place.")
    return next(iter(named), "")


def _gave_up(*, came: bool, callers: bool = False) -> Refusal:
    """Say why a request was given up: its content had not come, or its answer, in its caller's time or in ours."""
    if not came:
        why = "The body has not come in time: send it at once."
        return Refusal(HTTPStatus.REQUEST_TIMEOUT, why, connection="close")
    if callers:
        return Refusal(
            HTTPStatus.GATEWAY_TIMEOUT, "The answer was not ready in the time that the caller waits."
        )
    why = "The answer was not ready in time, and was given up: ask again, under the same id if it has one."
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after="1")
