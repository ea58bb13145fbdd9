"""What the benchmarks of serving have in common: a model, its rows, and the two servers of ours that answer them.

    python benchmarks/scoring.py {floor,gateway} MODEL PORT FOLDER

starts one of the servers: `gateway` is the real one with all that it does, `floor` the same web server with the same
model that does no more than parse, infer and encode.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import load
import msgspec
import numpy as np
import servers
from numpy.typing import NDArray

from mainspring.clock import SystemClock
from mainspring.digest import Digest, digest_of
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.served import Registered
from mainspring.formats.signature import Column, Signature
from mainspring.gateway import serve
from mainspring.gateway.protocols.oip import InferReply, InferRequest, OutputTensor
from mainspring.product import ColumnSpec, ProductSpec
from mainspring.rollouts.route import Route, Variant

FEATURES = [f"feature_{n:02}" for n in range(20)]
TREES = 100
PATH = "/v2/models/bench/infer"
START_S = 60


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


def start(kind: str, content: bytes, folder: Path) -> load.Server:
    """Start one of our servers; its log and its model lie in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    port, log = servers.free_port(), folder / "words"
    command = [sys.executable, __file__, kind, str(folder / "model.onnx"), str(port), str(folder)]
    asked = rows(load.CONNECTIONS)
    questions = [
        load.Question(post(PATH, json.dumps(by_column(row)).encode()), score)
        for row, score in zip(asked.tolist(), scores(content, asked), strict=True)
    ]
    process = servers.start(command, log=log, folder=folder)
    return load.Server(process, port, log, questions, first_score)


# --- the two servers -----------------------------------------------------------------------------------------------


class OneModel:
    """The source of a gateway with one product."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def route_stamp(self) -> int:
        return 1

    def routes(self) -> tuple[Route, ...]:
        champion = Variant(version=1, artifact=digest_of(self.content))
        inputs = tuple(ColumnSpec(name, "FP64", nullable=False) for name in FEATURES)
        return (Route(product="bench", number=1, champion=champion, salt="none", inputs=inputs),)

    def blob(self, digest: Digest) -> bytes:
        return self.content

    def registered(self, product: str, version: int) -> Registered:
        inputs = tuple(Column(name, "FP64", False) for name in FEATURES)
        return Registered(Signature(inputs, (Column("probability", "FP32", False),)), rowwise=True)

    def spec(self, product: str) -> ProductSpec:
        raise NotImplementedError("its route has inputs")


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
    kind, path, port, folder = sys.argv[1:]
    content = Path(path).read_bytes()
    if kind == "floor":
        asyncio.run(serve_floor(content, int(port)))
        os._exit(0)  # the server's threads may still be at work, and end the interpreter with a panic
    serve(OneModel(content), log=Path(folder) / "log", secret=b"-", clock=SystemClock(), port=int(port))


if __name__ == "__main__":
    main()
