"""HTTP around the protocols: compression, methods, versions, traces, figures, and clients that behave badly."""

from __future__ import annotations

import gzip
import json
import re
import resource
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
from tests.gateway.collector import collector
from tests.gateway.conftest import INPUTS, Process, Workspace, body, column, model, running, wait_until

from mainspring.gateway.metrics import Metrics, Timed
from mainspring.rollouts.route import Route

Shared = tuple[Workspace, Process]
INFER = "/v2/models/late/infer"
BODY = json.dumps(body()).encode()


def bare_deflate(content: bytes) -> bytes:
    """As some clients send it, without the header of zlib."""
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(content) + deflate.flush()


# --- compression ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:20]) + gzip.compress(BODY[20:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare_deflate(BODY)),
        ("identity", BODY),
    ],
)
def test_a_compressed_body_is_read(shared: Shared, encoding: str, content: bytes) -> None:
    _, gateway = shared
    reply = gateway.client.post(INFER, content=content, headers={"content-encoding": encoding})
    assert column(reply, "probability") == pytest.approx([0.525104], abs=1e-6)


@pytest.mark.parametrize(
    ("encoding", "content", "status", "told"),
    [
        ("gzip", BODY, 400, "The body is not gzip"),
        ("gzip", gzip.compress(BODY)[:-9], 400, "it ends too early"),
        ("deflate", b"\xff\xff\xff", 400, "The body is not deflate"),
        ("zstd", BODY, 415, "send gzip, deflate"),
        ("gzip", gzip.compress(bytes(64 * 2**20)), 413, "larger than 16 MiB when it is decompressed"),
        ("gzip", gzip.compress(bytes(9 * 2**20)) * 2, 413, "larger than 16 MiB when it is decompressed"),
        ("deflate", bare_deflate(bytes(64 * 2**20)), 413, "larger than 16 MiB when it is decompressed"),
    ],
)
def test_what_is_not_compressed_as_it_says_or_grows_too_large_is_refused(
    shared: Shared, encoding: str, content: bytes, status: int, told: str
) -> None:
    _, gateway = shared
    for path in (INFER, "/v2/repository/index"):
        reply = gateway.client.post(path, content=content, headers={"content-encoding": encoding})
        assert reply.status_code == status
        assert told in reply.json()["error"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0, deflate;q=0.5", "deflate"),
        ("gzip;q=0.0", None),
        ("br", None),
        ("", None),
    ],
)
def test_a_large_answer_is_compressed_as_it_is_accepted(
    shared: Shared, accepted: str, encoding: str | None
) -> None:
    _, gateway = shared
    large = gateway.infer(body(500), accept_encoding=accepted)
    assert large.headers.get("content-encoding") == encoding
    assert len(column(large, "probability")) == 500
    assert "content-encoding" not in gateway.infer(body(), accept_encoding=accepted).headers


# --- methods and pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/ready", "/livez", "/readyz", "/v2/models", "/v2/models/late"]
)
def test_head_tells_the_headers_of_what_get_would_answer(shared: Shared, path: str) -> None:
    _, gateway = shared
    whole, head = gateway.client.get(path), gateway.client.head(path)
    assert (whole.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", INFER, "POST"),
        ("PUT", "/v2", "GET, HEAD"),
        ("GET", "/invocations", "POST"),
        ("POST", "/ping", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_ones_there_are(
    shared: Shared, method: str, path: str, allowed: str
) -> None:
    _, gateway = shared
    reply = gateway.client.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)


def test_mlflows_clients_find_what_its_server_has(shared: Shared) -> None:
    _, gateway = shared
    records = {"dataframe_records": [{"distance": 100.5, "hour": 7, "carrier": "UA", "holiday": False}]}
    for path in ("/invocations", "/invocations/late"):
        answered = gateway.client.post(path, json=records).json()
        assert answered["predictions"] == pytest.approx([0.525104], abs=1e-6)
        assert gateway.client.post(
            "/v1/labels", json={"labels": [{"prediction_id": answered["prediction_ids"][0], "value": True}]}
        ).json() == {"accepted": 1}  # fmt: skip
    refused = gateway.client.post("/invocations", json={"dataframe_records": [{"hour": 7}]})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "distance: it is missing" in refused.json()["message"]
    unknown = gateway.client.post("/invocations/early", json=records)
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert [gateway.client.get(path).text for path in ("/ping", "/health")] == ["\n", "\n"]
    assert re.fullmatch(r"\d+\.\d+.*", gateway.client.get("/version").text)


def test_of_several_products_mlflows_clients_have_to_name_one(workspace: Workspace) -> None:
    variants = {name: workspace.add_version(1, model(), product=name) for name in ("early", "late")}
    workspace.put_routes(*(
        Route(product=name, number=1, champion=variant, salt="none", inputs=INPUTS)
        for name, variant in variants.items()
    ))  # fmt: skip
    with running(workspace) as gateway:
        reply = gateway.client.post("/invocations", json={})
        assert reply.status_code == 404
        assert "/invocations/early, /invocations/late" in reply.json()["message"]
        assert gateway.client.get("/v2/models").json() == {"models": ["early", "late"]}
        states = [each["state"] for each in gateway.client.post("/v2/repository/index").json()]
        assert states == ["READY", "READY"]


# --- which version -------------------------------------------------------------------------------------------------


def test_a_tester_may_name_the_version_by_header_or_query(workspace: Workspace) -> None:
    champion, challenger = workspace.add_version(1, model()), workspace.add_version(2, model(bias=1.0))
    workspace.put_route(2, champion, challenger, share=0.0)
    with running(workspace) as gateway:
        for name, version in (("challenger", 2), ("2", 2), ("champion", 1)):
            by_header = gateway.infer(body(), mainspring_variant=name)
            by_query = gateway.infer(body(), path=f"{INFER}?variant={name}")
            assert column(by_header, "model_version") == column(by_query, "model_version") == [version]
        assert all(each.pinned for each in workspace.predictions)
        both = gateway.infer(
            body(), path="/v2/models/late/versions/2/infer?variant=2", mainspring_variant="2"
        )
        assert column(both, "model_version") == [2]
        assert gateway.infer(body(), mainspring_variant="9").status_code == 404
        contrary = gateway.infer(body(), path=f"{INFER}?variant=1", mainspring_variant="2")
        assert contrary.status_code == 400
        assert "names several versions, 1 and 2" in contrary.json()["error"]
        assert column(gateway.infer(body(), path=f"{INFER}?other=3"), "model_version") == [1]


# --- traces --------------------------------------------------------------------------------------------------------

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("told", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", ""),
        ("nonsense", ""),
    ],
)
def test_the_trace_of_a_request_is_written_down_with_it(shared: Shared, told: str, trace: str) -> None:
    workspace, gateway = shared
    assert gateway.infer(body(), traceparent=told).status_code == 200
    assert workspace.predictions[-1].trace == trace


def test_spans_go_to_the_collector_that_opentelemetrys_variables_name(workspace: Workspace) -> None:
    with collector() as (address, spans):
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with running(workspace, **settings) as gateway:
            gateway.infer(body(), traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
            gateway.infer(body(), path="/v2/models/early/infer")
            gateway.infer(body())
            wait_until(lambda: len(spans) == 3)
        records = workspace.predictions
    first, refused, own = spans
    assert (first.name, first.trace_id.hex(), first.parent_span_id.hex()) == (
        "predict late",
        TRACE,
        "00f067aa0ba902b7",
    )
    statuses = [
        each.value.int_value
        for span in (first, refused, own)
        for each in span.attributes
        if each.key == "http.response.status_code"
    ]
    assert statuses == [200, 404, 200]
    assert [each.trace for each in records] == [TRACE, own.trace_id.hex()]


def test_nothing_of_opentelemetry_or_polars_is_loaded_unasked() -> None:
    code = (
        "import sys, mainspring.gateway as gateway\n"
        "from mainspring.gateway.trace import tracer\n"
        "assert tracer({}) is tracer({'OTEL_TRACES_EXPORTER': 'none'}) is None\n"
        "assert tracer({'OTEL_SDK_DISABLED': 'true', 'OTEL_TRACES_EXPORTER': 'otlp'}) is None\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'polars')])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )


# --- figures -------------------------------------------------------------------------------------------------------

SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="([^"\\\n]|\\["\\n])*",?)*\})? [0-9.e+-]+')


def test_figures_have_tritons_names_beside_ours(workspace: Workspace) -> None:
    with running(workspace) as gateway:
        gateway.infer(body(3))
        gateway.infer(body(), path="/v2/models/late/versions/9/infer")
        gateway.infer({"inputs": []})
        text = gateway.client.get("/metrics").text
    for line in text.splitlines():
        assert line.startswith("# ") or SAMPLE.fullmatch(line), line
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    late = '{model="late",version="1"}'
    assert figures[f"nv_inference_request_success{late}"] == "1"
    assert figures[f"nv_inference_count{late}"] == "3"
    assert figures[f"nv_inference_exec_count{late}"] == "1"
    assert figures['nv_inference_request_failure{model="late",version="1",reason="OTHER"}'] == "2"
    assert figures["nv_inference_pending_request_count"] == "0"
    parts = [
        int(figures[f"nv_inference_{part}_duration_us{late}"])
        for part in ("compute_input", "compute_infer", "compute_output", "queue")
    ]
    assert 0 < parts[1] <= sum(parts) <= int(figures[f"nv_inference_request_duration_us{late}"]) + 4
    assert figures['mainspring_requests_total{product="late",status="404"}'] == "1"


def test_a_label_of_a_figure_is_escaped() -> None:
    metrics = Metrics()
    metrics.answered('a"b\\c\nd', 200, Timed(0.0, 0.0, 0.0, (1,)))
    lines = [*metrics._tritons_lines(0)]
    assert r'nv_inference_request_success{model="a\"b\\c\nd",version="1"} 1' in lines


# --- clients that behave badly -------------------------------------------------------------------------------------

HEAD = b"POST /v2/models/late/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@contextmanager
def connected(gateway: Process, *sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        for each in sent:
            connection.sendall(each)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    received = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def test_pipelined_requests_are_answered_in_their_order(shared: Shared) -> None:
    _, gateway = shared
    requests = []
    for n in range(10):
        content = json.dumps({**body(), "id": f"order-{n}"}).encode()
        last = b"\r\nconnection: close" if n == 9 else b""
        requests.append(b"POST %b HTTP/1.1\r\nhost: x%b\r\ncontent-length: %d\r\n\r\n%b" % (
            INFER.encode(), last, len(content), content
        ))  # fmt: skip
    with connected(gateway, b"".join(requests)) as connection:
        answered = everything(connection)
    assert re.findall(rb'"id":"order-(\d)"', answered) == [b"%d" % n for n in range(10)]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (HEAD.replace(b"content-length: ", b"content-length: x"), b"400"),
        (HEAD.replace(b"\r\n\r\n", b"\r\ncontent-length: 1\r\n\r\n"), b"400"),
        (HEAD.replace(b"host: x", b"\r\n".join(b"x-%d: x" % n for n in range(200))), b"431"),
        (b"POST /v2/models/late/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", b"400"),
    ],
)  # fmt: skip
def test_what_is_not_http_is_refused_and_hung_up_on(shared: Shared, sent: bytes, status: bytes) -> None:
    _, gateway = shared
    with connected(gateway) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        received = everything(connection)
    assert not received or received.split(b" ")[1] == status
    assert gateway.infer(body()).status_code == 200


def test_a_client_that_hangs_up_costs_nobody_else_anything(shared: Shared) -> None:
    _, gateway = shared
    for sent in (HEAD, HEAD + BODY[:20], HEAD + BODY, b"GET /v2 HT", b""):
        for way in (
            socket.SHUT_WR,
            socket.SHUT_RDWR,
        ):  # a client that has closed one half counts as gone as well
            with connected(gateway, sent) as connection:
                connection.shutdown(way)
    assert gateway.infer(body()).status_code == 200

    def pending() -> str:
        return gateway.client.get("/metrics").text

    wait_until(lambda: "nv_inference_pending_request_count 0" in pending())


def test_bodies_that_do_not_come_are_given_up_and_others_are_answered_meanwhile(workspace: Workspace) -> None:
    with running(workspace, "--timeout=1") as gateway, ExitStack() as stack:
        paths = (INFER, "/v1/labels", "/v2/repository/index", "/invocations")
        slow = [
            stack.enter_context(connected(gateway, HEAD.replace(INFER.encode(), path.encode()) + BODY[:9]))
            for path in paths * 50
        ]
        assert gateway.infer(body()).status_code == 200
        for each in slow:
            answered = b""
            while b"The body has not come in time" not in answered:
                part = each.recv(65536)
                assert part, answered
                answered += part
            assert answered.startswith(b"HTTP/1.1 408")
        assert gateway.infer(body()).status_code == 200


@pytest.mark.slow
def test_headers_that_do_not_come_are_given_up(silent: socket.socket) -> None:
    assert everything(silent) == b""


IDLE = 10_000


@pytest.mark.slow
def test_ten_thousand_idle_clients_keep_nobody_out(workspace: Workspace) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < IDLE + 1000:
        pytest.skip(f"idle clients: this machine allows {before[1]} open files, and {IDLE + 1000} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 1000, before[1]))
    try:
        with running(workspace) as gateway, ExitStack() as stack:
            for _ in range(IDLE):
                stack.enter_context(connected(gateway))
            with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30) as newcomer:
                assert column(newcomer.post(INFER, content=BODY), "model_version") == [1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
