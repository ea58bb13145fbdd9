"""What the benchmarks of serving have in common: a model, its rows, and the two servers of ours that answer them.

    python benchmarks/scoring.py {floor,gateway} FOLDER PORT [GRPC_PORT]

starts one of the servers on what `publish` has put into the folder: `gateway` is the real one with all that it does,
`floor` the same web server with the first model that does no more than parse, infer and encode.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import load
import msgspec
import numpy as np
import servers
import uvloop
from numpy.typing import NDArray

from mainspring.clock import SystemClock
from mainspring.digest import Digest, digest_of
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.served import Registered
from mainspring.formats.signature import Column, Signature
from mainspring.gateway import serve
from mainspring.gateway.protocols.oip import InferReply, InferRequest, OutputTensor
from mainspring.product import ColumnSpec, ProductSpec
from mainspring.rollouts.route import Challenger, Route, Variant

FEATURES = [f"feature_{n:02}" for n in range(20)]
TREES = 100
START_S = 60
IN_MEMORY = Path("/dev/shm")


def model() -> bytes:
    """A gradient-boosted model of numbers, converted as registration does it."""
    import lightgbm

    from mainspring.formats.fitted import Fitted
    from mainspring.formats.lightgbm import to_onnx

    random = np.random.default_rng(1)
    rows = random.normal(size=(4000, len(FEATURES)))
    label = rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=4000) > 0
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 15, "verbosity": -1, "seed": 1, "num_threads": 1},
        lightgbm.Dataset(rows.astype(np.float32), label),
        TREES,
    )
    return to_onnx(Fitted(model=booster, inputs=tuple(FEATURES)))


def rows(count: int) -> NDArray[np.float64]:
    """Rows to ask for, shape (count, features), in as many digits as people's data has."""
    return np.random.default_rng(2).normal(size=(count, len(FEATURES))).round(4)


def scores(content: bytes, asked: NDArray[np.float64]) -> list[float]:
    """What the model answers: the truth against which servers are held."""
    columns = {name: asked[:, n].astype(np.float32) for n, name in enumerate(FEATURES)}
    answer: list[float] = OnnxModel.load(content).predict(columns).tolist()
    return answer


def post(path: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """A request as a client sends it."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n{named}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def by_column(row: Sequence[float]) -> dict[str, Any]:
    """A row as the gateway's protocol has it: a tensor for each input of the model."""
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in zip(FEATURES, row, strict=True)
        ]
    }


def first_score(body: bytes) -> float:
    """The score in an answer of the Open Inference Protocol to one row."""
    return float(json.loads(body)["outputs"][0]["data"][0])


def start(kind: str, folder: Path, asked: Sequence[load.Question]) -> load.Server:
    """Start one of our servers on what was published in the folder."""
    port, log = servers.free_port(), folder / "words"
    process = servers.start(command(kind, folder, port), log=log, folder=folder)
    return load.Server(process, port, log, asked, first_score)


def command(kind: str, folder: Path, *ports: int) -> list[str]:
    """What starts one of our servers; the second port is the gateway's for gRPC."""
    return [sys.executable, __file__, kind, str(folder), *map(str, ports)]


def start_alone(kind: str, content: bytes, folder: Path) -> load.Server:
    """Start one of our servers with one model and no rollout."""
    publish(folder, [route("bench", (1, content))], [content])
    return start(kind, folder, questions(content))


def questions(content: bytes, products: Sequence[str] = ("bench",)) -> list[load.Question]:
    """One row a request, each another, asked of the products in turn."""
    asked = rows(max(load.CONNECTIONS, len(products)))
    truth = zip(cycle(products), asked.tolist(), scores(content, asked), strict=False)
    return [
        load.Question(post(f"/v2/models/{product}/infer", json.dumps(by_column(row)).encode()), score)
        for product, row, score in truth
    ]


# --- what is served ------------------------------------------------------------------------------------------------


def copies(content: bytes, count: int) -> list[bytes]:
    """So many models that answer alike and are not the same."""
    import onnx

    found = []
    for n in range(count):
        model = onnx.load_from_string(content)
        model.doc_string = f"copy {n}"
        found.append(model.SerializeToString())
    return found


def route(
    product: str,
    champion: tuple[int, bytes],
    *challengers: tuple[int, bytes],
    share: float = 0,
    number: int = 1,
) -> Route:
    """A route whose challengers, each a version with its model, have a part of that share each."""
    versions = [
        Variant(version=version, artifact=digest_of(content)) for version, content in (champion, *challengers)
    ]
    return Route(
        product=product,
        number=number,
        champion=versions[0],
        challengers=tuple(
            Challenger(variant=variant, share=share, start=n * share)
            for n, variant in enumerate(versions[1:])
        ),
        salt="none",
        inputs=tuple(ColumnSpec(name, "FP64", nullable=False) for name in FEATURES),
    )


def publish(folder: Path, routes: Sequence[Route], contents: Sequence[bytes]) -> None:
    """Put models and routes where the servers find them; the routes change as a whole."""
    folder.mkdir(exist_ok=True)
    for content in contents:
        (folder / digest_of(content)).write_bytes(content)
    written = folder / "routes.written"
    written.write_bytes(msgspec.json.encode(routes))
    written.replace(folder / "routes.json")


class Published:
    """The source of a gateway: what lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def snapshots(self) -> dict[str, Digest]:
        return {}

    def route_stamp(self) -> int:
        return (self._folder / "routes.json").stat().st_mtime_ns

    def routes(self) -> tuple[Route, ...]:
        return msgspec.json.decode((self._folder / "routes.json").read_bytes(), type=tuple[Route, ...])

    def blob(self, digest: Digest) -> bytes:
        return (self._folder / digest).read_bytes()

    def registered(self, product: str, version: int) -> Registered:
        inputs = tuple(Column(name, "FP64", False) for name in FEATURES)
        return Registered(Signature(inputs, (Column("probability", "FP32", False),)), rowwise=True)

    def spec(self, product: str) -> ProductSpec:
        raise NotImplementedError("its routes have inputs")


# --- the two servers -----------------------------------------------------------------------------------------------


async def serve_floor(content: bytes, port: int) -> None:
    """Parse, infer, encode, and nothing else."""
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    onnx = OnnxModel.load(content)
    decode = msgspec.json.Decoder(InferRequest).decode
    encode = msgspec.json.Encoder().encode

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        asked = decode(message["body"])
        columns = {each.name: np.array(each.data, np.float32) for each in asked.inputs}
        answer = onnx.predict(columns).tolist()
        reply = encode(InferReply("bench", [OutputTensor("probability", "FP64", [len(answer)], answer)], "1"))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False,
        backlog=1024, backpressure=1024, log_level=LogLevels.error,
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


def main() -> None:
    kind, folder, port, *grpc_port = sys.argv[1:]
    source = Published(Path(folder))
    if kind == "floor":
        [route, *_] = source.routes()
        uvloop.run(serve_floor(source.blob(route.champion.artifact), int(port)))
        os._exit(0)  # the server's threads may still be at work, and end the interpreter with a panic
    ports: dict[str, Any] = {"port": int(port), "grpc_port": int(grpc_port[0]) if grpc_port else None}
    serve(source, log=Path(folder) / "log", secret=b"-", clock=SystemClock(), **ports)


if __name__ == "__main__":
    main()
