"""A workspace of files with tiny models, and gateway processes that serve it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from mainspring.digest import digest_of
from mainspring.formats.served import Registered
from mainspring.formats.signature import Column, Signature
from mainspring.gateway.ids import PredictionIds
from mainspring.monitoring.record import LabelRecord, PredictionRecord
from mainspring.monitoring.store import LogCursor
from mainspring.product import ColumnSpec
from mainspring.rollouts.route import Challenger, Route, Variant
from mainspring.stores import segments

INPUTS = (
    ColumnSpec("distance", "FP64", nullable=True),
    ColumnSpec("hour", "INT64", nullable=False),
    ColumnSpec("carrier", "BYTES", nullable=True),
    ColumnSpec("holiday", "BOOL", nullable=True),
)


def model(kind: str = "sound", *, bias: float = 0.0) -> bytes:
    """An ONNX model of the inputs above, which answers sigmoid(distance / 1000 + bias).

    Kinds: `sound`; `nan` answers NaN from a distance of 500 on; `raises` fails on an hour of 24 or later; `long`
    answers twice as many rows as it was asked; `number` answers the distance itself, and `infinite` what no float holds
    from a distance of 500 on.
    """
    from onnx import TensorProto, helper

    def constant(name: str, value: float) -> Any:
        return helper.make_tensor(name, TensorProto.FLOAT, [], [value])

    nodes = [
        helper.make_node("Div", ["distance", "thousand"], ["scaled"]),
        helper.make_node("IsNaN", ["scaled"], ["missing"]),
        helper.make_node("Where", ["missing", "bias", "scaled"], ["known"]),
        helper.make_node("Add", ["known", "bias"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["sound"]),
        *{
            "sound": [],
            "nan": [
                helper.make_node("GreaterOrEqual", ["distance", "far"], ["is_far"]),
                helper.make_node("Where", ["is_far", "not_a_number", "sound"], ["nan"]),
            ],
            "raises": [
                helper.make_node("Cast", ["hour"], ["index"], to=TensorProto.INT64),
                helper.make_node("Gather", ["zeros", "index"], ["zero"]),
                helper.make_node("Add", ["sound", "zero"], ["raises"]),
            ],
            "number": [helper.make_node("Mul", ["log_odds", "thousand"], ["number"])],
            "infinite": [
                helper.make_node("GreaterOrEqual", ["distance", "far"], ["is_far"]),
                helper.make_node("Where", ["is_far", "infinity", "distance"], ["infinite"]),
            ],
            "long": [helper.make_node("Concat", ["sound", "sound"], ["long"], axis=0)],
        }[kind],
        helper.make_node("Reshape", [kind, "flat"], ["probability"]),
    ]
    names = {"distance": TensorProto.FLOAT, "hour": TensorProto.FLOAT, "carrier": TensorProto.STRING}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, ["rows", 1]) for name, dtype in names.items()],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["answers"])],
        [
            constant("thousand", 1000),
            constant("bias", bias),
            constant("far", 500),
            constant("not_a_number", float("nan")),
            constant("infinity", float("inf")),
            helper.make_tensor("zeros", TensorProto.FLOAT, [24], [0.0] * 24),
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        ],
    )
    opsets = [helper.make_opsetid("", 16)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def body(rows: int = 1, **columns: Any) -> dict[str, Any]:
    """A request of so many rows; `columns` replaces values."""
    values: dict[str, list[Any]] = {
        "distance": [100.5] * rows,
        "hour": [7] * rows,
        "carrier": ["UA"] * rows,
        "holiday": [False] * rows,
        **columns,
    }
    datatypes = {each.name: each.dtype for each in INPUTS}
    tensors = [
        {"name": name, "shape": [len(data)], "datatype": datatypes[name], "data": data}
        for name, data in values.items()
    ]
    return {"inputs": tensors}


def column(reply: httpx.Response, name: str) -> list[Any]:
    """An output's data."""
    assert reply.status_code == 200, reply.text
    [data] = [each["data"] for each in reply.json()["outputs"] if each["name"] == name]
    return data


@dataclass
class Workspace:
    """The files that a gateway serves."""

    folder: Path

    def add_version(
        self,
        number: int,
        content: bytes,
        *,
        nullable: bool = True,
        product: str = "late",
        rowwise: bool = True,
        answer: str = "probability",
    ) -> Variant:
        digest = digest_of(content)
        (self.folder / digest).write_bytes(content)
        signature = Signature(
            tuple(
                Column(each.name, each.dtype, nullable and each.nullable)
                for each in INPUTS
                if each.name != "holiday"
            ),
            (Column(answer, "FP32", False),),
        )
        registered = Registered(signature, rowwise=rowwise)
        (self.folder / f"{product}@{number}").write_bytes(msgspec.json.encode(registered))
        return Variant(version=number, artifact=digest)

    def put_routes(self, *routes: Route) -> None:
        fresh = self.folder / "routes.fresh"
        fresh.write_bytes(msgspec.json.encode(routes))
        fresh.rename(self.folder / "routes.json")

    def put_route(
        self, number: int, champion: Variant, challenger: Variant | None = None, share: float = 0.0
    ) -> None:
        challengers = (Challenger(variant=challenger, share=share),) if challenger else ()
        self.put_routes(Route(
            product="late", number=number, champion=champion, challengers=challengers,
            salt="rollout-1", split_by="carrier", inputs=INPUTS,
        ))  # fmt: skip

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def records(self) -> list[PredictionRecord | LabelRecord]:
        """Everything in the prediction log."""
        found, cursor = [], LogCursor()
        while True:
            records, cursor = segments.read(self.log, cursor)
            if not records:
                return found
            found += records

    @property
    def predictions(self) -> list[PredictionRecord]:
        return [each for each in self.records if isinstance(each, PredictionRecord)]

    @property
    def ids(self) -> PredictionIds:
        return PredictionIds(b"of this workspace")


@dataclass
class Process:
    """A gateway process, and a client of it."""

    inner: subprocess.Popen[str]
    port: int
    client: httpx.Client

    @staticmethod
    def command(workspace: Workspace, port: int, *arguments: str) -> list[str]:
        script = str(Path(__file__).with_name("served.py"))
        return [sys.executable, "-W", "error", script, str(workspace.folder), str(port), *arguments]

    def infer(self, request: Any, *, path: str = "/v2/models/late/infer", **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=msgspec.json.encode(request), headers=names)

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Send a signal; give the exit status and what was printed to stderr."""
        self.inner.send_signal(how)
        _, printed = self.inner.communicate(timeout=20)
        return self.inner.returncode, printed


def free_port() -> int:
    """A port that nobody has, and that the system gives to no connection before it is listened at."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)  # below those that connections go out from
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def running(
    workspace: Workspace, *arguments: str, port: int | None = None, **environment: str
) -> Iterator[Process]:
    """A gateway that is ready; killed in the end, unless it has ended."""
    port = port or free_port()
    inner = subprocess.Popen(
        Process.command(workspace, port, *arguments),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            wait_until(lambda: answers(client, inner))
            yield Process(inner, port, client)
        finally:
            inner.kill()
            inner.communicate()


def answers(client: httpx.Client, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, process.communicate()[1]
    try:
        return client.get("/v2/health/live").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool], *, at_most_s: float = 20) -> None:
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One product, one version, one route."""
    workspace = Workspace(tmp_path)
    workspace.put_route(1, workspace.add_version(1, model()))
    return workspace


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Process]]:
    """As `workspace`, with a gateway; for tests that leave both as they are."""
    workspace = Workspace(tmp_path_factory.mktemp("shared"))
    workspace.put_route(1, workspace.add_version(1, model(), nullable=False))
    with running(workspace) as process:
        yield workspace, process


@pytest.fixture(scope="session", autouse=True)
def silent(shared: tuple[Workspace, Process]) -> Iterator[socket.socket]:
    """A client that has begun a request and does not go on; when its time is up other tests have been run."""
    _, gateway = shared
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\n")
        yield connection
