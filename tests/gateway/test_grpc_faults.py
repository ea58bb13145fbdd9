"""What goes wrong at the gRPC door is told as a status, with all its reasons, and costs no connection."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway import faulty
from tests.gateway.asked_over_grpc import Door, opened, output, raw, typed
from tests.gateway.conftest import Workspace, body, model, wait_until
from tests.gateway.test_native import add_native
from tritonclient.grpc import service_pb2

from mainspring.gateway.grpc.service import Call
from mainspring.gateway.grpc.statuses import undone
from mainspring.gateway.http import Refusal
from mainspring.monitoring.record import PredictionRecord

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LIMIT = 16 * 2**20


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    workspace = Workspace(tmp_path_factory.mktemp("door"))
    workspace.put_route(1, workspace.add_version(1, model(), nullable=False))
    with opened(workspace) as door:
        yield door


def with_raw(n: int, content: bytes, rows: int = 1) -> Any:
    """A request of raw contents, those of one tensor replaced."""
    asked = raw(rows)
    asked.raw_input_contents[n] = content
    return asked


def with_tensor(asked: Any, n: int, **fields: Any) -> Any:
    """A request with fields of one tensor replaced, or with more in them if they hold several."""
    asked.inputs[n].MergeFrom(service_pb2.ModelInferRequest.InferInputTensor(**fields))
    return asked


def with_distance(value: float) -> Any:
    asked = typed()
    asked.inputs[0].contents.fp64_contents[0] = value
    return asked


def with_wanted(name: str, **parameters: Any) -> Any:
    asked = typed()
    asked.outputs.add(name=name, parameters=parameters)
    return asked


def holds(**values: Any) -> Any:
    return service_pb2.InferTensorContents(**values)


def means(**value: Any) -> Any:
    return service_pb2.InferParameter(**value)


FAULTS: dict[str, tuple[Any, str]] = {
    "no tensors": (service_pb2.ModelInferRequest(model_name="late"), "distance: it is missing. Send this tensor, FP64"),
    "typed contents beside raw ones": (
        with_tensor(raw(), 1, contents=holds(int64_contents=[7])), "hour: it has typed contents beside raw ones",
    ),
    "fewer raw contents": (typed(raw_input_contents=[b""] * 3), "there are 3 of them for 4 tensors"),
    "more raw contents": (typed(raw_input_contents=[b""] * 5), "there are 5 of them for 4 tensors"),
    "raw contents too short": (with_raw(0, b"1234567"), "distance: it has 7 bytes, and as FP64 of shape [1] it is 8"),
    "raw contents of fewer rows": (with_raw(0, bytes(8), 2), "distance: it has 8 bytes, and as FP64 of shape [2]"),
    "raw text cut off": (with_raw(2, b"\x09\0\0\0UA"), "carrier: its bytes do not end"),
    "raw text that is not UTF-8": (with_raw(2, b"\x01\0\0\0\xff"), "carrier: row 0 is not UTF-8"),
    "a text that holds a NUL": (with_raw(2, b"\x01\0\0\0\0"), "carrier: row 0"),
    "a truth value of 2": (with_raw(3, b"\x02"), "holiday: a truth value is neither 0 nor 1"),
    "a shape below zero": (with_tensor(raw(), 0, shape=[-1]), "distance: it has 8 bytes"),
    "a shape beyond everything": (with_tensor(raw(), 0, shape=[2**62, 2**62]), "distance: it has 8 bytes"),
    "an unknown datatype": (with_tensor(raw(), 0, datatype="FP7"), "distance: its datatype is 'FP7'"),
    "contents of another datatype": (
        with_tensor(typed(), 0, contents=holds(fp32_contents=[1])),
        "distance: its values are in fp32_contents, fp64_contents. Those of FP64 belong in fp64_contents",
    ),
    "FP16 in typed contents": (
        with_tensor(typed(), 0, datatype="FP16"), "distance: its datatype is 'FP16', which has no typed contents",
    ),
    "a value too many": (
        with_tensor(typed(), 1, contents=holds(int64_contents=[7])), "hour: its shape is [1], but there are 2 values",
    ),
    "infinite": (with_distance(float("inf")), "distance: row 0 is beyond"),
    "missing where nothing ever was": (with_distance(float("nan")), "row 0: null in distance"),
    "an unknown output": (with_wanted("certainty"), "there is no 'certainty'"),
    "an id that is none": (typed(id="a b"), "id: it becomes part"),
    "values that are elsewhere": (
        with_tensor(raw(), 0, parameters={"shared_memory_region": means(string_param="region")}),
        "distance: its parameter shared_memory_region asks for what is not done here",
    ),
    "values as classes": (
        with_wanted("probability", classification=means(int64_param=1)), "probability: its parameter classification",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place(door: Door, name: str) -> None:
    asked, told = FAULTS[name]
    status, why = door.refused(asked)
    assert (status, told in why) == (INVALID, True), why


def test_all_faults_of_a_request_are_told_at_once(door: Door) -> None:
    asked = raw(2, id="a b")
    asked.raw_input_contents[0] = b"123"
    asked.inputs[1].datatype = "FP7"
    asked.inputs[2].name = "line"
    asked.outputs.add(name="certainty")
    _, why = door.refused(asked)
    for part in (
        "distance: it has 3 bytes",
        "datatype is 'FP7'",
        "line: the product has no such",
        "id: it",
        "certainty",
    ):
        assert part in why


def test_more_faults_than_a_client_takes_are_told_as_far_as_it_does(door: Door) -> None:
    asked = typed()
    for n in range(90):
        asked.inputs.add(name=f"{n}-{'é' * 90}", datatype="FP64", shape=[1]).contents.fp64_contents.append(1)
    status, why = door.refused(asked)
    assert status == INVALID
    assert "The request has 90 faults" in why
    assert "0-éé" in why
    assert why.splitlines()[-1].startswith("  - and ")


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        (typed(model_name="early"), "NOT_FOUND", "no model 'early' here. Those served: late"),
        (typed(model_name=""), "NOT_FOUND", "no model ''"),
        (typed(model_version="9"), "NOT_FOUND", "Version '9' of late is not served. Served: champion, 1"),
    ],
)
def test_what_is_not_there_is_told_so(door: Door, asked: Any, status: str, told: str) -> None:
    code, why = door.refused(asked)
    assert (code.name, told in why) == (status, True), why


def test_what_is_no_message_is_told_so(door: Door) -> None:
    call = door.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    for content in (b"\xff" * 9, b"\x0a\x04lat", b"\x0a\x01\xff"):
        with pytest.raises(grpc.RpcError) as refused:
            call(content, timeout=10)
        assert refused.value.code() == INVALID
        assert "no inference.ModelInferRequest" in refused.value.details()
    assert door.infer(typed()).model_name == "late"


def test_a_call_that_there_is_not_is_told_so(door: Door) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        door.stub.TraceSetting(service_pb2.TraceSettingRequest(model_name="late"))
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_that_is_too_large_is_refused_even_when_it_was_packed_small(
    door: Door, compression: grpc.Compression
) -> None:
    asked = raw()
    asked.raw_input_contents[2] = bytes(LIMIT)
    status, why = door.refused(asked, compression=compression)
    assert (status, str(LIMIT) in why) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True), why


def test_callers_who_wait_no_longer_are_told_so_and_what_was_answered_is_written_down(door: Door) -> None:
    before = len(door.workspace.records)
    # The shortest deadline there is, and more calls than are answered in it.
    calls = [door.stub.ModelInfer.future(typed(), metadata=[("grpc-timeout", "1n")]) for _ in range(300)]
    ended = [each.code() for each in calls]
    # Whether the call's own server or the gateway gives it up first is a race, and it is told the same.
    assert set(ended) - {grpc.StatusCode.OK} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert door.infer(typed()).model_name == "late"
    assert ended.count(grpc.StatusCode.OK) < len(door.workspace.records) - before <= len(calls) + 1


class NoTimeLeft:
    """What a call is made from, its deadline being over."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> float:
        return 0.0


def test_nothing_is_begun_for_a_caller_who_waits_no_longer() -> None:
    with pytest.raises(Refusal) as refused:
        Call(NoTimeLeft()).time_left_s()
    assert undone(refused.value).code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_whose_bound_has_ended_a_call_is_told_by_its_status(workspace: Workspace) -> None:
    workspace.put_route(2, add_native(workspace, 2))
    asked = typed()
    asked.inputs[0].contents.fp64_contents[0] = faulty.HANGS
    hurried = service_pb2.ModelInferRequest(parameters={"timeout": means(int64_param=200_000)})
    hurried.MergeFrom(asked)
    with opened(workspace, "--timeout=0.7") as door:
        wait_until(lambda: output(door.infer(typed()), "model_version") == [2], at_most_s=120)

        def ended(asked: Any, **options: Any) -> grpc.StatusCode:
            code: grpc.StatusCode = door.stub.ModelInfer.future(asked, **options).code()
            return code

        assert ended(hurried) == grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended(asked, metadata=[("grpc-timeout", "200m")]) == grpc.StatusCode.DEADLINE_EXCEEDED
        assert ended(asked, timeout=30) == grpc.StatusCode.UNAVAILABLE
        assert ended(asked) == grpc.StatusCode.UNAVAILABLE
        over_http = body(distance=[faulty.HANGS])
        assert door.process.infer(over_http | {"parameters": {"timeout": 200_000}}).status_code == 504
        assert door.process.infer(over_http).status_code == 503
        figures = door.process.client.get("/metrics").text
        assert 'mainspring_requests_total{product="late",status="503"} 3' in figures


@pytest.mark.parametrize("kind", ["nan", "long"])
def test_a_model_that_fails_is_told_as_a_fault_inside_and_written_down(
    workspace: Workspace, kind: str
) -> None:
    workspace.put_route(2, workspace.add_version(2, model(kind)))
    with opened(workspace) as door:
        asked = typed()
        asked.inputs[0].contents.fp64_contents[0] = 900
        with pytest.raises(grpc.RpcError) as refused:
            door.infer(asked)
        assert refused.value.code() == grpc.StatusCode.INTERNAL
        assert "The model failed on 1 of 1 rows" in refused.value.details()
        [record] = door.workspace.predictions
        assert [each.version for each in record.failures] == [2]


messages = st.builds(
    service_pb2.ModelInferRequest,
    model_name=st.sampled_from(["late", "early"]),
    model_version=st.sampled_from(["", "1", "champion", "9"]),
    id=st.sampled_from(["", "id", " "]),
    inputs=st.lists(
        st.builds(
            service_pb2.ModelInferRequest.InferInputTensor,
            name=st.sampled_from(["distance", "hour", "carrier", "holiday", ""]),
            datatype=st.sampled_from(["FP64", "INT64", "BYTES", "BOOL", "FP16", "UINT8", "x"]),
            shape=st.lists(st.integers(-2, 3) | st.sampled_from([2**63 - 1, -(2**63)]), max_size=3),
            contents=st.none() | st.builds(
                service_pb2.InferTensorContents,
                fp64_contents=st.lists(st.floats(), max_size=2),
                int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
                bytes_contents=st.lists(st.binary(max_size=3), max_size=2),
                bool_contents=st.lists(st.booleans(), max_size=2),
            ),
        ),
        max_size=5,
    ),
    raw_input_contents=st.lists(st.binary(max_size=16), max_size=5),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A sound request with some bytes changed."""
    content = bytearray(draw(st.sampled_from([typed, raw]))(2).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


@settings(max_examples=300)
@given(messages.map(lambda each: each.SerializeToString()) | mutated() | st.binary(max_size=50))
def test_no_message_whatever_is_a_fault_of_the_server(door: Door, content: bytes) -> None:
    call = door.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    answer = call.future(content, timeout=10)
    assert answer.code() in (grpc.StatusCode.OK, INVALID, grpc.StatusCode.NOT_FOUND), answer.details()
    assert answer.details() or service_pb2.ModelInferResponse.FromString(answer.result()).model_name == "late"


@settings(max_examples=50)
@given(st.lists(st.tuples(
    st.sampled_from(["traceparent", "mainspring-variant", "mainspring-now", "x", "x-bin"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip),
), max_size=4))  # fmt: skip
def test_no_metadata_whatever_is_a_fault_of_the_server(door: Door, given_: list[tuple[str, str]]) -> None:
    metadata = [(name, value.encode() if name.endswith("-bin") else value) for name, value in given_]
    answer = door.stub.ModelInfer.future(typed(), timeout=10, metadata=metadata)
    assert answer.code() in (grpc.StatusCode.OK, INVALID, grpc.StatusCode.NOT_FOUND), answer.details()


# --- the end of a gateway ------------------------------------------------------------------------------------------


class Asking:
    """Asks as fast as it is answered, from several threads, until the gateway is gone."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.acknowledged: list[str] = []
        self.refusals: list[grpc.StatusCode] = []
        self.threads = [threading.Thread(target=self.ask) for _ in range(4)]
        for each in self.threads:
            each.start()

    def ask(self) -> None:
        while not self.refusals:
            try:
                self.acknowledged += output(self.door.infer(raw(2)), "prediction_id")
            except grpc.RpcError as error:
                self.refusals.append(error.code())

    def until(self, rows: int) -> None:
        end = time.monotonic() + 20
        while len(self.acknowledged) < rows:
            assert time.monotonic() < end
            time.sleep(0.01)

    def ended(self) -> None:
        for each in self.threads:
            each.join(20)
            assert not each.is_alive()


def kept(door: Door) -> set[str]:
    return {
        an_id for each in door.workspace.records if isinstance(each, PredictionRecord) for an_id in each.ids
    }


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_acknowledged_is_in_the_log_however_the_gateway_ends(
    workspace: Workspace, how: signal.Signals
) -> None:
    with opened(workspace) as door:
        asking = Asking(door)
        asking.until(200)
        status, printed = door.process.end(how)
        asking.ended()
        assert (status, printed) == (0 if how is signal.SIGTERM else -signal.SIGKILL, "")
        assert {each.decode() for each in asking.acknowledged} <= kept(door)
        assert set(asking.refusals) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def test_a_gateway_that_drains_answers_what_a_stream_has_asked_and_ends_it(workspace: Workspace) -> None:
    with opened(workspace) as door:
        sent = threading.Event()

        def requests() -> Iterator[Any]:
            for n in range(100):
                yield typed(id=f"r{n}")
            sent.wait(20)

        replies = door.stub.ModelStreamInfer(requests())
        first = next(replies)
        began = time.monotonic()
        door.process.inner.send_signal(signal.SIGTERM)
        answered = [first.infer_response.id]
        with pytest.raises(grpc.RpcError) as ended:
            answered.extend(each.infer_response.id for each in replies)
        sent.set()
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "shuts down" in ended.value.details()
        assert answered == [f"r{n}" for n in range(len(answered))]
        assert {f"{each}/0" for each in answered} <= {each.partition(".")[0] for each in kept(door)}
        assert door.process.inner.wait(20) == 0
        assert time.monotonic() - began < 9, "it waited for a stream that had nothing to say"
