"""What a request must be: everything wrong with it is told at once, and never as a fault of the server."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS, Process, Workspace, body, column, running

Shared = tuple[Workspace, Process]


def tensors(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in request["inputs"]}


def refused(reply: httpx.Response, status: int = 400) -> str:
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    return reply.json()["error"]


def test_an_answer_has_the_protocols_form(shared: Shared) -> None:
    _, gateway = shared
    reply = gateway.infer({**body(2), "id": "order-7", "parameters": {"anything": 1}})
    assert reply.headers["mainspring-route"] == "1"
    answered = reply.json()
    assert (answered["model_name"], answered["model_version"], answered["id"]) == ("late", "1", "order-7")
    assert [(each["name"], each["datatype"], each["shape"]) for each in answered["outputs"]] == [
        ("probability", "FP64", [2]),
        ("prediction_id", "BYTES", [2]),
        ("model_version", "INT64", [2]),
    ]
    assert column(reply, "probability") == pytest.approx([0.525104] * 2, abs=1e-6)
    assert [each.partition(".")[0] for each in column(reply, "prediction_id")] == ["order-7/0", "order-7/1"]


def test_only_the_outputs_that_are_asked_for_are_answered(shared: Shared) -> None:
    _, gateway = shared
    reply = gateway.infer({**body(), "outputs": [{"name": "model_version"}, {"name": "probability"}]})
    assert [each["name"] for each in reply.json()["outputs"]] == ["model_version", "probability"]


def test_requests_without_an_id_get_ids_of_their_own(shared: Shared) -> None:
    _, gateway = shared
    first, second = (column(gateway.infer(body()), "prediction_id") for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    "change",
    [
        {"distance": {"datatype": "FP32"}},
        {"distance": {"datatype": "INT32", "data": [100, 100]}},
        {"distance": {"data": [100, 100]}},
        {"distance": {"shape": [2, 1], "data": [[100], [100]]}},
        {"hour": {"datatype": "FP64", "data": [7.0, 7]}},
        {"hour": {"datatype": "UINT8"}},
        {"hour": {"shape": [2, 1]}},
    ],
)
def test_a_number_is_taken_in_every_form_that_holds_it(shared: Shared, change: dict[str, Any]) -> None:
    workspace, gateway = shared
    request = body(2, distance=[100.0, 100.0])
    expected = column(gateway.infer(request), "probability")
    kept = workspace.predictions[-1].inputs
    for name, fields in change.items():
        tensors(request)[name].update(fields)
    assert column(gateway.infer(request), "probability") == expected
    again = workspace.predictions[-1].inputs
    assert again == kept
    assert {name: list(map(type, values)) for name, values in again.items()} == {
        name: list(map(type, values)) for name, values in kept.items()
    }


def test_a_null_is_taken_where_the_version_has_met_one(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        reply = gateway.infer(body(1, distance=[None], carrier=[None], holiday=[None]))
        assert column(reply, "probability") == [0.5]
        assert workspace.predictions[-1].inputs["distance"] == [None]


def test_a_null_is_refused_by_row_and_column_where_the_version_has_never_met_one(shared: Shared) -> None:
    workspace, gateway = shared
    before = len(workspace.records)
    told = refused(gateway.infer(body(3, distance=[1.0, None, 2.0], carrier=["UA", None, None])))
    assert "row 1: null in carrier, distance" in told
    assert "row 2: null in carrier, never" in told
    assert len(workspace.records) == before


FAULTS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "wrong datatype": ({"distance": {"datatype": "BYTES"}}, "distance: its datatype is 'BYTES'. The product's is FP64"),
    "unknown datatype": ({"hour": {"datatype": "INT7"}}, "hour: its datatype is 'INT7'"),
    "text for a number": ({"distance": {"data": ["far"]}}, "distance: row 0 is not of datatype FP64: row 0 is text"),
    "number for a text": ({"carrier": {"data": [7]}}, "carrier: row 0 is not of datatype BYTES"),
    "truth value for a number": ({"hour": {"data": [True]}}, "hour: row 0 is not of datatype INT64"),
    "an object for a number": ({"hour": {"data": [{}]}}, "row 0 is an object"),
    "a broken whole number": ({"hour": {"data": [7.5]}}, "hour: row 0 is not whole"),
    "a whole number that is too large": ({"hour": {"data": [2**63]}}, "hour: row 0 is beyond"),
    "beyond the datatype": ({"hour": {"datatype": "INT8", "data": [300]}}, "hour: row 0 is beyond -128 to 127"),
    "infinite for the model": ({"distance": {"data": [1e39]}}, "distance: row 0 is beyond -3.4"),
    "infinite for everyone": ({"distance": {"data": [10**400]}}, "distance: row 0 is beyond -3.4"),
    "shape without rows": ({"distance": {"shape": []}}, "distance: its shape is []"),
    "shape of a matrix": ({"distance": {"shape": [1, 2]}}, "distance: its shape is [1, 2]. Send [rows]"),
    "shape of other rows": ({"distance": {"shape": [2]}}, "distance: its shape is [2], but there are 1 values"),
    "no rows": ({"distance": {"shape": [0], "data": []}}, "distance: it has no rows"),
    "negative rows": ({"distance": {"shape": [-1]}}, "distance: its shape is [-1]"),
    "too many rows": ({"distance": {"shape": [10_001], "data": [1.0] * 10_001}}, "10001 rows. Send at most 10000"),
    "other rows than the others": ({"hour": {"shape": [2], "data": [1, 2]}}, "number of rows: distance 1, hour 2"),
    "unknown tensor": ({"hour": {"name": "hours"}}, "hours: the product has no such input. It has distance, hour"),
    "missing tensor": ({"hour": {"name": "hours"}}, "hour: it is missing. Send this tensor, INT64"),
    "tensor twice": ({"hour": {"name": "distance"}}, "distance: it is there more than once"),
    "no shape": ({"hour": {"shape": "x"}}, "inputs[1].shape: Expected `array`"),
    "no name": ({"hour": {"name": None}}, "inputs[1].name: Expected `str`"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place(shared: Shared, name: str) -> None:
    _, gateway = shared
    change, told = FAULTS[name]
    request = body()
    by_name = tensors(request)
    for column_name, fields in change.items():
        by_name[column_name].update(fields)
    assert told in refused(gateway.client.post("/v2/models/late/infer", content=json.dumps(request)))


def test_all_faults_of_a_request_are_told_at_once(shared: Shared) -> None:
    _, gateway = shared
    request = body(2, distance=["far", 1.0], hour=[1, 2, 3])
    request["inputs"][2] = {"name": 7, "shape": [2]}
    request["inputs"].append({"name": "gate", "shape": [2], "datatype": "INT64", "data": [1, 2]})
    told = refused(gateway.infer({**request, "id": "a b", "outputs": [{"name": "certainty"}]}))
    for part in (
        "distance: row 0", "hour 3", "inputs[2].name", "inputs[2].datatype: it is missing", "inputs[2].data",
        "gate: the product has no such input", "id: it becomes part", "there is no 'certainty'",
    ):  # fmt: skip
        assert part in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"inputs": [NaN]}', "not JSON"),
        (b'{"id": "\xff"}', "utf-8"),
        (b'{"id": "\\ud800"}', "JSON"),
        (b"[" * 100_000, "recursion"),
        (b"[]", "not an object"),
        (b"{}", "inputs: there is no such list"),
        (b'{"inputs": [1], "id": 3, "outputs": 4}', "inputs[0]: it is not an object"),
        (
            b'{"inputs": [{"name": "hour", "shape": [1], "datatype": "FP64", "data": [1e999]}]}',
            "out of range",
        ),
    ],
)
def test_a_body_that_is_no_request_is_told_so(shared: Shared, content: bytes, told: str) -> None:
    _, gateway = shared
    assert told in refused(gateway.client.post("/v2/models/late/infer", content=content))


def test_a_body_that_is_too_large_is_refused_announced_or_not(shared: Shared) -> None:
    _, gateway = shared

    def pieces() -> Any:
        for _ in range(17):
            yield b" " * 2**20

    for content in (b" " * (16 * 2**20 + 1), pieces()):
        try:
            reply = gateway.client.post("/v2/models/late/infer", content=content)
        except httpx.WriteError:
            continue  # it may hang up on a client that goes on sending
        assert "larger than 16 MiB" in refused(reply, 413)
    with socket.create_connection(("127.0.0.1", gateway.port)) as raw:  # one that waits for the answer first
        raw.sendall(b"POST /v2/models/late/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    assert gateway.infer(body()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/late/infer", 405),
        ("POST", "/v2/models/late", 405),
        ("DELETE", "/v1/labels", 405),
        ("POST", "/metrics", 405),
        ("POST", "/v2/models/early/infer", 404),
        ("POST", "/v2/models/late/versions/9/infer", 404),
        ("POST", "/v2/models/late/versions/challenger/infer", 404),
        ("GET", "/v2/models/late/versions/9/ready", 404),
        ("GET", "/v2/models/early/ready", 404),
        ("GET", "/v2/models/%2e%2e/..%2f/infer", 404),
        ("GET", "/v2/models//", 404),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/v2/repository/models/early/load", 404),
        ("POST", "/v2/repository/models/early/unload", 404),
        ("POST", "/v2/repository/models/late/unload", 409),
        ("POST", "/v2/repository/models/late", 404),
        ("GET", "/v2/models/early/stats", 404),
        ("GET", "/v2/models/late/versions/9/config", 404),
        ("POST", "/livez", 405),
        ("GET", "/", 404),
    ],
)
def test_what_is_not_there_is_told_so(shared: Shared, method: str, path: str, status: int) -> None:
    _, gateway = shared
    refused(gateway.client.request(method, path, content=b"{}"), status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/csv"}, 200),  # clients send anything or nothing, so it says nothing
        ({"content-type": ""}, 200),
        ({"content-encoding": "identity"}, 200),
        ({"content-encoding": "gzip"}, 400),
        ({"content-encoding": "br"}, 415),
        ({"inference-header-content-length": "10"}, 400),
        ({"inference-header-content-length": "-1"}, 400),
        ({"inference-header-content-length": "ten"}, 400),
        ({"content-type": "Application/JSON; charset=utf-8"}, 200),
        ({"content-type": "application/x-www-form-urlencoded"}, 200),
        ({"mainspring-now": "2013-02-01T03:00:00Z"}, 400),
    ],
)
def test_the_headers_say_how_to_read_a_body(shared: Shared, headers: dict[str, str], status: int) -> None:
    _, gateway = shared
    assert gateway.infer(body(), **headers).status_code == status


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)
tensor = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from([each.name for each in INPUTS]) | values,
        "shape": st.lists(st.integers(-1, 3), max_size=2) | values,
        "datatype": st.sampled_from(["FP32", "FP64", "INT8", "INT32", "INT64", "UINT64", "BOOL", "BYTES"])
        | values,
        "data": st.lists(scalars, max_size=3) | values,
    },
)
nearly_requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensor, max_size=5) | values},
    optional={
        "id": st.text(max_size=5) | values,
        "outputs": st.lists(values, max_size=2),
        "parameters": values,
    },
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A sound request with some tensors changed."""
    request = body(2)
    for each in request["inputs"]:
        if draw(st.booleans()):
            each.update(draw(tensor))
    return request


@settings(max_examples=200)
@given(st.one_of(nearly_requests.map(json.dumps), mutated().map(json.dumps), st.binary(max_size=50)))
def test_no_body_whatever_is_a_fault_of_the_server(shared: Shared, content: str | bytes) -> None:
    _, gateway = shared
    for path in ("/v2/models/late/infer", "/v1/labels"):
        reply = gateway.client.post(path, content=content)
        assert reply.status_code in (200, 400, 422), reply.text
        assert reply.status_code == 200 or reply.json()["error" if "models" in path else "detail"]


labels = st.fixed_dictionaries(
    {},
    optional={
        "prediction_id": st.text() | values,
        "value": values,
        "known_at": st.datetimes().map(str) | values,
    },
)


@settings(max_examples=100)
@given(st.lists(labels, max_size=3))
def test_no_label_whatever_is_a_fault_of_the_server(shared: Shared, brought: list[Any]) -> None:
    _, gateway = shared
    reply = gateway.client.post("/v1/labels", content=json.dumps({"labels": brought}))
    assert (
        reply.status_code == (422 if brought else 200)
        or "NaN" in json.dumps(brought)
        or "Inf" in json.dumps(brought)
    )


PARTS = [
    "v2",
    "v1",
    "models",
    "late",
    "versions",
    "1",
    "infer",
    "ready",
    "labels",
    "health",
    "metrics",
    "é",
    "",
]


@settings(max_examples=100)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    st.lists(st.sampled_from(PARTS)),
    st.dictionaries(
        st.sampled_from(["content-type", "content-encoding", "mainspring-now", "x"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9),
    ),
)  # fmt: skip
def test_no_path_or_header_whatever_is_a_fault_of_the_server(
    shared: Shared, method: str, parts: list[str], headers: dict[str, str]
) -> None:
    _, gateway = shared
    path = f"http://127.0.0.1:{gateway.port}/" + "/".join(parts)
    reply = gateway.client.request(method, path, headers=headers, content=b"{}")
    assert reply.status_code < 500, reply.text
