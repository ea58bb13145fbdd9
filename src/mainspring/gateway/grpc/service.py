"""What each call of the protocol is answered."""

from __future__ import annotations

__all__ = ["Call", "Service"]

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from grpc import StatusCode

from mainspring.errors import Invalid, MainspringError, NotFound, Refused
from mainspring.gateway.follow import NotYetServed
from mainspring.gateway.grpc.messages import Message, message
from mainspring.gateway.grpc.statuses import Undone, undone
from mainspring.gateway.grpc.tensors import read_request, write_reply
from mainspring.gateway.http import Refusal
from mainspring.gateway.models import VERSION
from mainspring.gateway.protocols import Asked
from mainspring.gateway.trace import trace_of

if TYPE_CHECKING:
    from mainspring.gateway.app import Gateway
    from mainspring.gateway.http import Headers
    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.predict import Prediction

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

_AT_WORK = 64
"""How many requests of one stream are answered at the same time."""

_SERVING, _NOT_SERVING = 1, 2

_DATA_TYPES = (
    "TYPE_INVALID",
    *("TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64"),
    *("TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64"),
    *("TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16"),
)
"""Triton's datatypes of a configuration, in the order of their numbers."""

_log = logging.getLogger(__name__)
_InferRequest = message("inference.ModelInferRequest")
_StreamReply = message("inference.ModelStreamInferResponse")


class Call:
    """What comes with a message: metadata, and how long the caller waits."""

    __slots__ = ("_context", "metadata")

    def __init__(self, context: Any) -> None:
        self._context = context
        # As the headers are over HTTP; names that end with -bin have bytes, all others text.
        self.metadata: Headers = {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in context.invocation_metadata() or ()
        }

    def time_left_s(self) -> float | None:
        """Give how long the caller waits, None being for ever; nothing is done for one whose deadline is over."""
        left_s: float | None = self._context.time_remaining()
        if left_s is not None and left_s <= 0:
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, "The deadline was over before the work had begun.")
        return left_s

    def answered_by(self, route: int) -> None:
        """Tell the route with the answer."""
        self._context.set_trailing_metadata((("mainspring-route", str(route)),))


_Answer = Callable[[Message, Call], Awaitable[Message]]


class Service:
    """The calls of `inference.GRPCInferenceService` and of the health check, answered by a gateway.

    Parameters
    ----------
    gateway : Gateway
        Whose routes, models, log and figures these are, as over HTTP.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._draining = False
        self._listening: set[asyncio.Task[None]] = set()

    def handlers(self) -> tuple[Any, ...]:
        """Give the handlers of all calls, as a server takes them."""
        unary: Mapping[str, _Answer] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._repository_model_load,
            "RepositoryModelUnload": self._repository_model_unload,
        }
        # Messages are read here and not by the server, which would answer malformed ones with a fault of its own.
        inference = {
            name: grpc.unary_unary_rpc_method_handler(
                self._unary(message(f"inference.{name}Request"), answer)
            )
            for name, answer in unary.items()
        }
        inference["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._model_stream_infer)
        check = self._unary(message("grpc.health.v1.HealthCheckRequest"), self._health)
        return (
            grpc.method_handlers_generic_handler(INFERENCE, inference),
            grpc.method_handlers_generic_handler(
                HEALTH, {"Check": grpc.unary_unary_rpc_method_handler(check)}
            ),
        )

    def drain(self) -> None:
        """Say that the gateway is not ready, and end every stream when what it has asked is answered."""
        self._draining = True
        for each in self._listening:
            each.cancel()

    # --- around the calls ------------------------------------------------------------------------------------------

    def _unary(self, form: Message, answer: _Answer) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(content: bytes, context: Any) -> bytes:
            try:
                reply: bytes = (await answer(_read(form, content), Call(context))).SerializeToString()
            except Exception as error:  # noqa: BLE001 - every one becomes a status
                end = _end(error)
            else:
                return reply
            await context.abort(*end)
            raise AssertionError("abort raises")

        return handle

    async def _model_stream_infer(self, contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Answer each message of a stream, in their order; an error is the answer to its own message alone."""
        call = Call(context)
        at_work: asyncio.Queue[asyncio.Task[Message] | None] = asyncio.Queue(_AT_WORK)

        async def listen() -> None:
            try:
                async for content in contents:
                    await at_work.put(asyncio.create_task(self._stream_reply(content, call)))
            finally:
                await at_work.put(None)

        listening = asyncio.create_task(listen())
        self._listening.add(listening)
        try:
            if self._draining:
                listening.cancel()
            while (task := await at_work.get()) is not None:
                yield (await task).SerializeToString()
        finally:
            self._listening.discard(listening)
            listening.cancel()
            while not at_work.empty():
                if (left := at_work.get_nowait()) is not None:
                    left.cancel()
        if self._draining:
            await context.abort(StatusCode.UNAVAILABLE, "The gateway shuts down: open another stream.")

    async def _stream_reply(self, content: bytes, call: Call) -> Message:
        reply = _StreamReply()
        try:
            asked = _read(_InferRequest, content)
            reply.infer_response.model_name, reply.infer_response.id = asked.model_name, asked.id
            prediction, answer = await self._infer(asked, call, "ModelStreamInfer")
            reply.infer_response.CopyFrom(answer)
            reply.infer_response.parameters["mainspring_route"].int64_param = prediction.route
        except Exception as error:  # noqa: BLE001 - as above
            reply.error_message = _end(error).why
        # What is asked once is answered once: clients of models that stream wait for this mark.
        reply.infer_response.parameters["triton_final_response"].bool_param = True
        return reply

    # --- predictions -----------------------------------------------------------------------------------------------

    async def _model_infer(self, asked: Message, call: Call) -> Message:
        prediction, reply = await self._infer(asked, call, "ModelInfer")
        call.answered_by(prediction.route)
        return reply

    async def _infer(self, asked: Message, call: Call, method: str) -> tuple[Prediction, Message]:
        def read(inputs: Inputs, _: bytes) -> Asked:
            question = read_request(inputs, asked)
            return Asked(question.rows, partial(write_reply, question), question.wishes.id)

        def waits_s() -> float | None:
            bounds = (call.time_left_s(), _timeout_s(asked))
            return min((each for each in bounds if each is not None), default=None)

        async def predict(trace: str) -> tuple[Prediction, Message]:
            answer: Message
            prediction, answer, _ = await self._gateway.predict(
                asked.model_name,
                _version(asked, call),
                call.metadata,
                read,
                trace=trace,
                waits_s=waits_s,
            )
            return prediction, answer

        self._hear_time(call)
        if self._gateway.tracer is None:
            return await predict(trace_of(call.metadata))
        door = {"rpc.system": "grpc", "rpc.service": INFERENCE, "rpc.method": method}
        with self._gateway.tracer.span(asked.model_name, call.metadata, door, _span_end) as trace:
            return await predict(trace)

    async def _keep_time(self, call: Call) -> None:
        await self._gateway.follow(told=self._hear_time(call))

    def _hear_time(self, call: Call) -> bool:
        """Move a driven clock to what the caller says is the time, and say whether it does."""
        told = call.metadata.get(b"mainspring-now")
        if told is not None:
            self._gateway.hear_time(told.decode("latin-1"))
        return told is not None

    # --- about the gateway and its models --------------------------------------------------------------------------

    @property
    def _ready(self) -> bool:
        return self._gateway.models.all_ready and not self._draining

    async def _server_live(self, asked: Message, call: Call) -> Message:
        return message("inference.ServerLiveResponse")(live=True)

    async def _server_ready(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        return message("inference.ServerReadyResponse")(ready=self._ready)

    async def _server_metadata(self, asked: Message, call: Call) -> Message:
        return message("inference.ServerMetadataResponse")(
            name="mainspring",
            version=VERSION,
            extensions=["model_repository", "model_configuration", "statistics"],
        )

    async def _model_ready(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        ready = False
        with suppress(NotFound, NotYetServed):  # one that is not there is not ready: callers wait for it so
            serving = self._gateway.follower.serving(asked.name)
            ready = not asked.version or bool(serving.version(asked.version))
        return message("inference.ModelReadyResponse")(ready=ready and not self._draining)

    async def _model_metadata(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        serving = self._gateway.follower.serving(asked.name)
        versions = [serving.version(asked.version)] if asked.version else serving.loaded
        reply = message("inference.ModelMetadataResponse")(
            name=asked.name, versions=[str(each.version) for each in versions], platform=versions[0].platform
        )
        inputs = serving.inputs
        for tensors, datatypes in ((reply.inputs, inputs.datatypes), (reply.outputs, inputs.outputs)):
            for name, datatype in datatypes.items():
                tensors.add(name=name, datatype=datatype, shape=[-1])
        return reply

    async def _model_config(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        config: Any = self._gateway.models.config(asked.name, asked.version)
        for tensor in (*config["input"], *config["output"]):
            tensor["data_type"] = _DATA_TYPES.index(tensor["data_type"])
        return ParseDict({"config": config}, message("inference.ModelConfigResponse")())

    async def _model_statistics(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        told = {"model_stats": self._gateway.models.stats(asked.name, asked.version)}
        reply = message("inference.ModelStatisticsResponse")()
        return ParseDict(told, reply, ignore_unknown_fields=True)  # there are no statistics of batches

    async def _repository_index(self, asked: Message, call: Call) -> Message:
        await self._keep_time(call)
        reply = message("inference.RepositoryIndexResponse")()
        follower = self._gateway.follower
        for product, serving in sorted(follower.servings.items()):
            for each in serving.loaded:
                reply.models.add(name=product, version=str(each.version), state="READY")
        for product, why in sorted(follower.waiting.items()):
            if not asked.ready:
                reply.models.add(name=product, state="UNAVAILABLE", reason=why)
        return reply

    async def _repository_model_load(self, asked: Message, call: Call) -> Message:
        """Look at the routes at once; what is loaded is what they name."""
        if asked.parameters:
            named = ", ".join(sorted(asked.parameters))[:200]
            raise Invalid(
                f"Models come from the registry and not with a request: load without the parameters {named}."
            )
        await self._gateway.follower.check()
        self._gateway.follower.serving(asked.model_name)
        return message("inference.RepositoryModelLoadResponse")()

    async def _repository_model_unload(self, asked: Message, call: Call) -> Message:
        product = self._gateway.follower.serving(asked.model_name).route.product
        raise Refused(
            f"{product} is served because its route says so, which the control plane publishes: it changes there."
        )

    async def _health(self, asked: Message, call: Call) -> Message:
        if asked.service not in ("", INFERENCE, HEALTH):
            raise NotFound(f"There is no service {asked.service[:100]!r} here. There is {INFERENCE}.")
        await self._keep_time(call)
        status = _SERVING if self._ready else _NOT_SERVING
        return message("grpc.health.v1.HealthCheckResponse")(status=status)


def _read(form: Message, content: bytes) -> Message:
    try:
        return form.FromString(content)
    except DecodeError as error:
        raise Invalid(f"The message is no {form.DESCRIPTOR.full_name}: it cannot be read.") from error


def _version(asked: Message, call: Call) -> str:
    """The version that a request is for, when it or its metadata names one."""
    named = {asked.model_version, call.metadata.get(b"mainspring-variant", b"").decode("latin-1")} - {""}
    if len(named) > 1:
        told = " and ".join(sorted(each[:100] for each in named))
        raise Invalid(f"The request names several versions, {told}: name one, in one place.")
    return next(iter(named), "")


def _timeout_s(asked: Message) -> float | None:
    """How long the caller waits, by the parameter that Triton has for it, in microseconds; 0 is for ever."""
    given = asked.parameters.get("timeout")
    waits_us = (given.int64_param or given.uint64_param) if given else 0
    return waits_us / 1e6 if waits_us > 0 else None


def _span_end(error: Exception | None) -> tuple[str, int]:
    """How a span tells the status of an answer over gRPC."""
    code = StatusCode.OK if error is None else undone(error).code
    number: int = code.value[0]
    return "rpc.grpc.status_code", number


def _end(error: Exception) -> Undone:
    if not isinstance(error, Refusal | MainspringError):
        _log.error("A fault of the gateway itself, on a call over gRPC", exc_info=error)
    return undone(error)
