"""Triton's own client, unmodified, in all of its modes."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tests.gateway.conftest import Process, Workspace
from tritonclient.utils import InferenceServerException

Shared = tuple[Workspace, Process]

DISTANCES = [100.5, 2000.0]
COLUMNS: dict[str, tuple[str, Any]] = {
    "distance": ("FP32", np.array(DISTANCES, np.float32)),
    "hour": ("INT64", np.array([7, 23], np.int64)),
    "carrier": ("BYTES", np.array(["UA", "é"], object)),
    "holiday": ("BOOL", np.array([True, False])),
}
PROBABILITIES = pytest.approx([1 / (1 + np.exp(-each / 1000)) for each in DISTANCES], abs=1e-6)
COMPRESSIONS = (None, "gzip", "deflate")


def inputs(*, binary: bool | None, shape: list[int] | None = None) -> list[triton.InferInput]:
    """All columns as binary data, as JSON, or (None) in turns."""
    made = []
    for n, (name, (datatype, values)) in enumerate(COLUMNS.items()):
        tensor = triton.InferInput(name, shape or [2], datatype)
        tensor.set_data_from_numpy(
            values.reshape(shape or [2]), binary_data=n % 2 == 0 if binary is None else binary
        )
        made.append(tensor)
    return made


def need_answer(result: Any) -> None:
    assert result.as_numpy("probability").tolist() == PROBABILITIES
    assert result.get_output("probability")["datatype"] == "FP64"


@pytest.fixture
def client(shared: Shared) -> Any:
    with triton.InferenceServerClient(f"127.0.0.1:{shared[1].port}") as client:
        yield client


@pytest.mark.parametrize("binary", [True, False, None])
@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_inputs_are_taken_as_binary_data_as_json_and_mixed(
    client: Any, binary: bool | None, shape: list[int]
) -> None:
    result = client.infer("late", inputs(binary=binary, shape=shape), request_id="order-7")
    need_answer(result)
    assert result.get_response()["id"] == "order-7"
    assert [each.decode().partition(".")[0] for each in result.as_numpy("prediction_id")] == [
        "order-7/0",
        "order-7/1",
    ]
    assert result.as_numpy("model_version").tolist() == [1, 1]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    "wanted", [{"probability": True}, {"probability": False}, {"prediction_id": False, "probability": True}]
)
def test_outputs_are_given_as_they_are_wanted(client: Any, binary: bool, wanted: dict[str, bool]) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=each) for name, each in wanted.items()]
    result = client.infer("late", inputs(binary=binary), outputs=outputs)
    need_answer(result)
    answered = result.get_response()["outputs"]
    assert [each["name"] for each in answered] == list(wanted)
    assert ["binary_data_size" in each.get("parameters", {}) for each in answered] == list(wanted.values())
    if "prediction_id" in wanted:
        assert len(result.as_numpy("prediction_id")) == 2


@pytest.mark.parametrize(("asked", "answered"), [*product(COMPRESSIONS, COMPRESSIONS)])
def test_requests_and_answers_may_be_compressed(client: Any, asked: str | None, answered: str | None) -> None:
    for binary in (True, False):
        tensors = inputs(binary=binary)
        need_answer(client.infer(
            "late", tensors, request_compression_algorithm=asked, response_compression_algorithm=answered
        ))  # fmt: skip


def test_a_large_answer_is_compressed_when_the_client_takes_it(client: Any, shared: Shared) -> None:
    rows = 1000
    tensors = []
    for name, (datatype, values) in COLUMNS.items():
        tensor = triton.InferInput(name, [rows], datatype)
        tensor.set_data_from_numpy(np.repeat(values[:1], rows))
        tensors.append(tensor)
    body, header = client.generate_request_body(tensors)
    path = f"http://127.0.0.1:{shared[1].port}/v2/models/late/infer"
    headers = {"inference-header-content-length": str(header), "accept-encoding": "gzip"}
    reply = shared[1].client.post(path, content=body, headers=headers)
    assert reply.headers["content-encoding"] == "gzip"
    for answered in COMPRESSIONS:
        result = client.infer("late", tensors, response_compression_algorithm=answered)
        assert result.as_numpy("probability").shape == (rows,)


def test_requests_run_side_by_side(shared: Shared) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared[1].port}", concurrency=4) as client:
        for each in [client.async_infer("late", inputs(binary=True)) for _ in range(20)]:
            need_answer(each.get_result())


@pytest.mark.parametrize("version", ["", "1", "champion"])
def test_a_version_is_asked_by_number_or_alias(client: Any, version: str) -> None:
    need_answer(client.infer("late", inputs(binary=True), model_version=version))
    assert client.is_model_ready("late", version)
    assert client.get_model_metadata("late", version)["versions"] == ["1"]


def test_a_request_may_carry_what_triton_knows(client: Any) -> None:
    need_answer(client.infer(
        "late", inputs(binary=True), priority=1, timeout=5_000_000, parameters={"anything": "at all"},
        sequence_id=3, sequence_start=True, sequence_end=True, headers={"x-anything": "1"}, query_params={"a": "b"},
    ))  # fmt: skip


def test_a_body_made_and_read_by_hand_is_the_same(client: Any, shared: Shared) -> None:
    body, size = triton.InferenceServerClient.generate_request_body(inputs(binary=True))
    headers = {"inference-header-content-length": str(size)}
    reply = shared[1].client.post("/v2/models/late/infer", content=body, headers=headers)
    length = int(reply.headers["inference-header-content-length"])
    assert reply.headers["content-type"] == "application/octet-stream"
    need_answer(triton.InferenceServerClient.parse_response_body(reply.content, header_length=length))


def test_the_server_and_its_models_are_described(client: Any) -> None:
    need_answer(client.infer("late", inputs(binary=True)))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("late")
    assert not client.is_model_ready("early")
    assert "model_repository" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("late")["inputs"][0] == {
        "name": "distance",
        "datatype": "FP64",
        "shape": [-1],
    }
    config = client.get_model_config("late")
    assert config["input"][2] == {"name": "carrier", "data_type": "TYPE_STRING", "dims": [-1]}
    [told] = client.get_inference_statistics("late", "1")["model_stats"]
    assert told["inference_stats"]["success"]["count"] >= 1
    assert told["inference_count"] >= told["execution_count"] >= 1
    assert 0 < told["inference_stats"]["compute_infer"]["ns"] < told["inference_stats"]["success"]["ns"]
    assert client.get_inference_statistics()["model_stats"][0]["name"] == "late"


def test_the_repository_is_the_control_planes(client: Any) -> None:
    assert client.get_model_repository_index() == [
        {"name": "late", "version": "1", "state": "READY", "reason": ""}
    ]
    client.load_model("late")
    with pytest.raises(InferenceServerException, match="Models come from the registry"):
        client.load_model("late", config="{}")
    with pytest.raises(InferenceServerException, match="There is no model 'early'"):
        client.load_model("early")
    with pytest.raises(InferenceServerException, match="Route 1 names late, so it stays loaded"):
        client.unload_model("late")


def test_an_error_comes_through_with_its_text(client: Any) -> None:
    [distance, *others] = inputs(binary=True)
    with pytest.raises(InferenceServerException, match="distance: it is missing"):
        client.infer("late", others)
    with pytest.raises(InferenceServerException, match="There is no model 'early'"):
        client.infer("early", [distance])
    with pytest.raises(InferenceServerException, match="Version '9' of late is not served"):
        client.infer("late", [distance, *others], model_version="9")


def test_the_asyncio_client_works_the_same(shared: Shared) -> None:
    async def main() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{shared[1].port}") as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("late", "champion")
            assert (await client.get_model_metadata("late"))["name"] == "late"
            assert (await client.get_model_config("late"))["name"] == "late"
            assert [each["state"] for each in await client.get_model_repository_index()] == ["READY"]
            await client.load_model("late")
            asked = []
            for binary, compression in product((True, False, None), COMPRESSIONS):
                asked.append(client.infer(
                    "late", inputs(binary=binary),
                    outputs=[triton_aio.InferRequestedOutput("probability", binary_data=bool(binary))],
                    request_compression_algorithm=compression, response_compression_algorithm=compression,
                ))  # fmt: skip
            for result in await asyncio.gather(*asked):
                need_answer(result)
            with pytest.raises(InferenceServerException, match="There is no model 'early'"):
                await client.infer("early", inputs(binary=True))

    asyncio.run(main())
