"""The gRPC door: what Triton's own clients, sync and asyncio, are answered in all their modes."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tests.gateway.asked_over_grpc import Door, opened, output, raw, tensors, typed
from tests.gateway.collector import collector
from tests.gateway.conftest import INPUTS, Workspace, body, column, model, wait_until
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from mainspring.rollouts.route import Route

PROBABILITY = 0.525104


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway whose champion is version 1; version 2, which answers more, challenges it for no unit."""
    workspace = Workspace(tmp_path_factory.mktemp("door"))
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0))
    workspace.put_route(1, champion, challenger, 0.0)
    with opened(workspace) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(door.address) as client:
        yield client


# --- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritons_client_is_answered(client: triton.InferenceServerClient, compression: str | None) -> None:
    result = client.infer("late", tensors(2), request_id="order-7", compression_algorithm=compression)
    reply = result.get_response()
    assert (reply.model_name, reply.model_version, reply.id) == ("late", "1", "order-7")
    assert [(each.name, each.datatype, [*each.shape]) for each in reply.outputs] == [
        ("probability", "FP64", [2]),
        ("prediction_id", "BYTES", [2]),
        ("model_version", "INT64", [2]),
    ]
    assert result.as_numpy("probability") == pytest.approx([PROBABILITY] * 2, abs=1e-6)
    assert [each.partition(b".")[0] for each in result.as_numpy("prediction_id")] == [
        b"order-7/0",
        b"order-7/1",
    ]
    assert result.as_numpy("model_version").tolist() == [1, 1]


def test_tritons_client_is_answered_when_it_calls_back(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.async_infer("late", tensors(), lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=20)
    assert error is None
    assert result.as_numpy("probability") == pytest.approx([PROBABILITY], abs=1e-6)


def test_tritons_asyncio_client_is_answered(door: Door) -> None:
    async def ask() -> list[float]:
        async with triton_aio.InferenceServerClient(door.address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("late", "champion")
            many = [client.infer("late", tensors(distance=("FP64", [1000.0 * n]))) for n in range(20)]
            return [(await each).as_numpy("probability")[0] for each in many]

    expected = [1 / (1 + np.exp(-float(n))) for n in range(20)]
    assert asyncio.run(ask()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", [typed, raw])
def test_the_reply_has_the_form_of_the_request(door: Door, form: Any) -> None:
    reply = door.infer(form(3))
    assert bool(reply.raw_output_contents) == (form is raw)
    assert any(each.HasField("contents") for each in reply.outputs) == (form is typed)
    assert output(reply, "probability") == pytest.approx([PROBABILITY] * 3, abs=1e-6)
    assert output(reply, "model_version") == [1, 1, 1]
    assert len(set(output(reply, "prediction_id"))) == 3


def test_the_outputs_that_are_asked_for_are_answered_in_their_order(
    client: triton.InferenceServerClient,
) -> None:
    wanted = [triton.InferRequestedOutput(name) for name in ("model_version", "probability")]
    result = client.infer("late", tensors(), outputs=wanted)
    assert [each.name for each in result.get_response().outputs] == ["model_version", "probability"]
    assert result.as_numpy("model_version").tolist() == [1]


@pytest.mark.parametrize(
    ("distance", "datatype"),
    [
        (np.float16, "FP16"),
        (np.float32, "FP32"),
        (np.int8, "INT8"),
        (np.uint64, "UINT64"),
        ("bfloat16", "BF16"),
    ],
)
def test_a_number_is_taken_in_every_datatype_that_holds_it(
    client: triton.InferenceServerClient, distance: Any, datatype: str
) -> None:
    if distance == "bfloat16":
        import ml_dtypes

        distance = ml_dtypes.bfloat16
    array = np.array([100, 101], distance)
    asked = [
        triton.InferInput("distance", [2], datatype).set_data_from_numpy(array),
        *[each for each in tensors(2) if each.name() != "distance"],
    ]
    expected = [1 / (1 + np.exp(-float(each) / 1000)) for each in array]
    assert client.infer("late", asked).as_numpy("probability") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", [typed, raw])
def test_nan_says_that_a_value_is_missing(door: Door, form: Any) -> None:
    asked = form()
    if form is raw:
        asked.raw_input_contents[0] = np.array([np.nan]).tobytes()
    else:
        asked.inputs[0].contents.fp64_contents[0] = np.nan
    assert output(door.infer(asked), "probability") == [0.5]
    assert door.workspace.predictions[-1].inputs["distance"] == [None]


def test_what_both_doors_are_asked_they_write_down_and_answer_alike(door: Door) -> None:
    over_http = column(door.process.infer(body(2)), "probability")
    for form in (typed, raw):
        assert output(door.infer(form(2)), "probability") == over_http
    written = [
        (each.product, each.route, each.versions, each.scores, each.inputs)
        for each in door.workspace.predictions[-3:]
    ]
    assert written == [written[0]] * 3


def test_a_version_is_asked_for_by_number_or_alias_in_the_message_or_beside_it(door: Door) -> None:
    for named, answers in {"1": 1, "champion": 1, "2": 2, "challenger": 2}.items():
        assert output(door.infer(typed(model_version=named)), "model_version") == [answers]
        assert door.workspace.predictions[-1].pinned
        beside = door.infer(raw(), metadata=[("mainspring-variant", named)])
        assert (beside.model_version, output(beside, "model_version")) == (str(answers), [answers])
    assert output(door.infer(typed()), "model_version") == [1]
    assert not door.workspace.predictions[-1].pinned
    same = door.infer(typed(model_version="2"), metadata=[("mainspring-variant", "2")])
    assert output(same, "model_version") == [2]
    status, told = door.refused(typed(model_version="2"), metadata=[("mainspring-variant", "1")])
    assert (status, told) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "The request names several versions, 1 and 2: name one, in one place.",
    )


def test_who_asks_may_be_named_beside_the_message(workspace: Workspace) -> None:
    champion = workspace.add_version(1, model())
    workspace.put_routes(Route(product="late", number=2, champion=champion, salt="none", inputs=INPUTS))
    with opened(workspace) as door:
        for form in (typed, raw):
            door.infer(form(), metadata=[("mainspring-unit", "ana")])
            assert door.workspace.predictions[-1].units == ["ana"]


def test_parameters_are_passed_over_and_a_client_may_say_how_long_it_waits(
    client: triton.InferenceServerClient,
) -> None:
    result = client.infer(
        "late", tensors(), priority=7, timeout=10_000_000, sequence_id=3, parameters={"anything": "else"}
    )
    assert result.as_numpy("model_version").tolist() == [1]


# --- streams -------------------------------------------------------------------------------------------------------


def test_a_stream_is_answered_in_its_order_and_an_error_costs_its_own_message_alone(
    client: triton.InferenceServerClient,
) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for n in range(200):
        asked = tensors() if n != 50 else tensors()[1:]
        client.async_stream_infer("late", asked, request_id=f"r{n}")
    got = [answers.get(timeout=20) for _ in range(200)]
    client.stop_stream()
    assert "distance: it is missing" in got[50][1].message()
    answered = [result.get_response() for n, (result, _) in enumerate(got) if n != 50]
    assert [each.id for each in answered] == [f"r{n}" for n in range(200) if n != 50]
    assert all(each.parameters["triton_final_response"].bool_param for each in answered)


def test_an_asyncio_stream_is_answered(door: Door) -> None:
    async def ask() -> list[tuple[str, str]]:
        async def requests() -> Any:
            for name in ("late", "early", "late"):
                yield {"model_name": name, "inputs": tensors(), "request_id": f"for-{name}"}

        async with triton_aio.InferenceServerClient(door.address) as client:
            replies = client.stream_infer(requests())
            return [
                (result.get_response().id, "") if result else ("", error.message())
                async for result, error in replies
            ]

    first, second, third = asyncio.run(ask())
    assert first == third == ("for-late", "")
    assert "no model 'early'" in second[1]


def test_a_stream_that_its_client_leaves_takes_nothing_with_it(door: Door) -> None:
    for _ in range(20):
        replies = door.stub.ModelStreamInfer(iter([typed()] * 100))
        next(replies)
        replies.cancel()
    assert output(door.infer(typed()), "model_version") == [1]


# --- about the gateway ---------------------------------------------------------------------------------------------


def test_the_gateway_says_what_it_serves(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata(as_json=True)
    assert server["name"] == "mainspring"
    assert server["extensions"] == ["model_repository", "model_configuration", "statistics"]
    described = client.get_model_metadata("late", as_json=True)
    assert (described["versions"], described["platform"]) == (["1", "2"], "onnx_onnxv1")
    assert [(each["name"], each["datatype"], each["shape"]) for each in described["inputs"]] == [
        (each.name, each.dtype, ["-1"]) for each in INPUTS
    ]
    assert client.get_model_metadata("late", "challenger").versions == ["2"]
    index = client.get_model_repository_index(as_json=True)["models"]
    assert index == [{"name": "late", "version": each, "state": "READY"} for each in ("1", "2")]


def test_a_model_is_configured_and_its_statistics_are_told_as_over_http(
    client: triton.InferenceServerClient, door: Door
) -> None:
    for version in ("", "2"):
        told = door.process.client.get(f"/v2/models/late{'/versions/2' if version else ''}/config").json()
        config = client.get_model_config("late", version, as_json=True)["config"]
        assert config["version_policy"] == told["version_policy"]
        for side in ("input", "output"):
            assert [(each["name"], each["data_type"]) for each in config[side]] == [
                (each["name"], each["data_type"]) for each in told[side]
            ]
        assert (config["platform"], config["backend"]) == ("onnx_onnxv1", "onnxruntime")
    client.infer("late", tensors(3))
    [one] = client.get_inference_statistics("late", "1").model_stats
    assert one.inference_count >= 3
    assert 0 < one.inference_stats.compute_infer.ns < one.inference_stats.success.ns
    [over_http] = door.process.client.get("/v2/models/late/versions/1/stats").json()["model_stats"]
    assert one.inference_stats.success.count == over_http["inference_stats"]["success"]["count"]
    everything = [(each.name, each.version) for each in client.get_inference_statistics().model_stats]
    assert everything == [("late", "1"), ("late", "2")]
    for asked in (client.get_model_config, client.get_inference_statistics):
        for named in (("early",), ("late", "9")):
            with pytest.raises(InferenceServerException) as refused:
                asked(*named)
            assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_a_model_that_is_not_there_is_not_ready(client: triton.InferenceServerClient) -> None:
    ready = {("late", ""): True, ("late", "2"): True, ("late", "9"): False, ("early", ""): False}
    assert {each: client.is_model_ready(*each) for each in ready} == ready


def test_loading_is_looking_at_the_routes_and_what_they_serve_is_not_unloaded(
    client: triton.InferenceServerClient,
) -> None:
    client.load_model("late")
    for asked, status in (
        (lambda: client.load_model("early"), "NOT_FOUND"),
        (lambda: client.load_model("late", config="{}"), "INVALID_ARGUMENT"),
        (lambda: client.unload_model("late"), "FAILED_PRECONDITION"),
        (lambda: client.unload_model("early"), "NOT_FOUND"),
    ):
        with pytest.raises(InferenceServerException) as refused:
            asked()
        assert refused.value.status() == f"StatusCode.{status}"
    assert client.is_model_ready("late")


def test_the_health_check_of_grpc_is_answered(door: Door) -> None:
    def check(service: str) -> bytes:
        name = service.encode()
        call = door.channel.unary_unary("/grpc.health.v1.Health/Check")
        return call(b"\x0a" + bytes([len(name)]) + name if name else b"", timeout=10)

    serving = b"\x08\x01"
    assert check("") == check("inference.GRPCInferenceService") == serving
    with pytest.raises(grpc.RpcError) as refused:
        check("inference.Other")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_requests_are_counted_whichever_door_they_come_to(workspace: Workspace) -> None:
    with opened(workspace) as door:
        door.process.infer(body())
        door.infer(typed())
        for asked in (typed(model_version="9"), typed(id="a b")):
            door.refused(asked)
        figures = door.process.client.get("/metrics").text
        assert 'mainspring_requests_total{product="late",status="200"} 4' in figures
        assert 'mainspring_requests_total{product="late",status="400"} 1' in figures
        assert 'mainspring_requests_total{product="late",status="404"} 1' in figures
        assert 'mainspring_rows_total{product="late",version="1"} 4' in figures


def test_a_route_that_changes_is_followed(workspace: Workspace) -> None:
    with opened(workspace) as door:
        assert door.infer(typed()).model_version == "1"
        workspace.put_route(2, workspace.add_version(2, model(bias=1.0)))
        door.stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name="late"))
        assert door.infer(typed()).model_version == "2"


def test_in_a_replay_requests_say_what_time_it_is(workspace: Workspace) -> None:
    with opened(workspace, "2013-02-01T00:00:00Z") as door:
        door.infer(typed(), metadata=[("mainspring-now", "2013-02-01T03:00:00Z")])
        assert door.workspace.predictions[-1].at.hour == 3
        status, told = door.refused(typed(), metadata=[("mainspring-now", "noon")])
        assert (status, "Mainspring-Now" in told) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_while_nothing_is_served_yet_callers_are_told_to_come_back(workspace: Workspace) -> None:
    (workspace.folder / "routes.json").rename(workspace.folder / "routes.later")
    with opened(workspace) as door:
        assert not door.stub.ServerReady(service_pb2.ServerReadyRequest()).ready
        with pytest.raises(grpc.RpcError) as refused:
            door.infer(typed())
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        (workspace.folder / "routes.later").rename(workspace.folder / "routes.json")
        wait_until(lambda: door.stub.ServerReady(service_pb2.ServerReadyRequest()).ready)
        assert door.infer(typed()).model_version == "1"


def test_calls_are_spans_too(workspace: Workspace) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with collector() as (address, spans):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with opened(workspace, **settings) as door:
            door.infer(typed(), metadata=[("traceparent", f"00-{trace}-00f067aa0ba902b7-01")])
            with pytest.raises(grpc.RpcError):
                door.infer(typed(model_name="early"))
            [answer] = door.stub.ModelStreamInfer(iter([typed()]), timeout=30)
            wait_until(lambda: len(spans) == 3)
        records = workspace.predictions
    assert not answer.error_message
    assert (spans[0].trace_id.hex(), spans[0].parent_span_id.hex()) == (trace, "00f067aa0ba902b7")
    told = [
        {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
        for span in spans
    ]
    assert [each["rpc.method"] for each in told] == ["ModelInfer", "ModelInfer", "ModelStreamInfer"]
    assert [each["rpc.grpc.status_code"] for each in told] == [0, grpc.StatusCode.NOT_FOUND.value[0], 0]
    assert [each.trace for each in records] == [trace, spans[2].trace_id.hex()]
