"""One-row JSON predictions per second: our whole gateway against the same server doing parse, infer and encode only.

    python benchmarks/gateway_throughput.py [--json]

The servers get the same requests over loopback from the same load generator, in turns, each round one after the
other. The gateway does besides: check the request, route it, make ids, have the record on disk before it answers, and
count. A second gateway has its log in memory, which shows what of the difference is the disk's; how long the disk takes
is told beside. The load generator takes a part of the machine, the same for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mainspring.gateway.oip import InferReply, InferRequest, OutputTensor

from mainspring.clock import SystemClock
from mainspring.digest import Digest, digest_of
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.signature import Column, Signature
from mainspring.gateway import serve
from mainspring.product import ColumnSpec, ProductSpec
from mainspring.rollouts.route import Route, Variant

FEATURES = [f"feature_{n:02}" for n in range(20)]
TREES = 100
CONNECTIONS = 16
ROUNDS = 4
ROUND_S = 1.5
PATH = "/v2/models/bench/infer"
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


def request(port: int) -> bytes:
    """One row, as a client sends it."""
    values = np.random.default_rng(2).normal(size=len(FEATURES)).round(4).tolist()
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
        for name, value in zip(FEATURES, values, strict=True)
    ]
    body = json.dumps({"inputs": tensors}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


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

    def artifact(self, digest: Digest) -> bytes:
        return self.content

    def signature(self, product: str, version: int) -> Signature:
        return Signature(
            tuple(Column(name, "FP64", False) for name in FEATURES), (Column("probability", "FP32", False),)
        )

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
        scores = onnx.predict(columns).tolist()
        reply = encode(InferReply("bench", [OutputTensor("probability", "FP64", [len(scores)], scores)], "1"))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False,
        backlog=1024, backpressure=1024, log_level=LogLevels.error,
    )  # fmt: skip
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


# --- the load ------------------------------------------------------------------------------------------------------


def load(port: int, seconds: float) -> list[float]:
    """Keep every connection busy with one request at a time; give the seconds that each answer took."""
    message, took = request(port), []
    with selectors.DefaultSelector() as ready:
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        for each in connections:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.sendall(message)
            ready.register(each, selectors.EVENT_READ, [time.perf_counter(), b""])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, _ in ready.select(1):
                sent_at, before = key.data
                reply = before + key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not _whole(reply):
                    key.data[1] = reply
                    continue
                now = time.perf_counter()
                took.append(now - sent_at)
                key.data[:] = now, b""
                key.fileobj.send(message)  # type: ignore[union-attr]
        for each in connections:
            each.close()
    return took


def _whole(reply: bytes) -> bool:
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the server answered {reply[:300]!r}")
    start = head.find(b"content-length: ") + 16
    return len(body) >= int(head[start:].partition(b"\r\n")[0])


def start(kind: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and wait for its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", kind, str(folder), str(port)])
    for _ in range(400):
        try:
            load(port, 0.05)
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise SystemExit(f"the {kind} did not start")


def cpu_of(process: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sync_p50_ms(folder: Path) -> float:
    """How long the disk takes to keep one record, in ms."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(300):
            began = time.perf_counter()
            file.write(b"x" * 800)
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(took), 2)


def measure() -> dict[str, Any]:
    """Run all rounds; requests per second are medians over rounds, latencies over all answers."""
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory(dir=IN_MEMORY) as memory:
        content = model()
        folders = {"floor": Path(temporary), "gateway": Path(temporary), "gateway_in_memory": Path(memory)}
        for folder in folders.values():
            (folder / "model.onnx").write_bytes(content)
        servers: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        rates: dict[str, list[float]] = {kind: [] for kind in folders}
        took: dict[str, list[float]] = {kind: [] for kind in folders}
        cpu_s = dict.fromkeys(rates, 0.0)
        disk_ms = sync_p50_ms(Path(temporary))
        try:
            for kind, folder in folders.items():
                servers[kind] = start(kind, folder)
            for _, port in servers.values():
                load(port, ROUND_S / 2)
            for _ in range(ROUNDS):
                for kind, (process, port) in servers.items():
                    before = cpu_of(process.pid)
                    answers = load(port, ROUND_S)
                    cpu_s[kind] += cpu_of(process.pid) - before
                    rates[kind].append(len(answers) / ROUND_S)
                    took[kind] += answers
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(20)
    figures: dict[str, Any] = {
        kind: {
            "requests_per_s": round(statistics.median(rates[kind])),
            "cpu_us": round(1e6 * cpu_s[kind] / len(took[kind])),
            "p50_ms": round(1000 * float(np.quantile(took[kind], 0.5)), 2),
            "p99_ms": round(1000 * float(np.quantile(took[kind], 0.99)), 2),
        }
        for kind in rates
    }
    for kind in rates:
        ratios = [ours / floor for ours, floor in zip(rates[kind], rates["floor"], strict=True)]
        figures[kind]["ratio"] = round(statistics.median(ratios), 3)
    return {**figures, "connections": CONNECTIONS, "disk_sync_p50_ms": disk_ms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "FOLDER", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        kind, folder, port = arguments.serve
        content = (Path(folder) / "model.onnx").read_bytes()
        if kind == "floor":
            asyncio.run(serve_floor(content, int(port)))
            os._exit(0)  # the server's threads may still be at work, and end the interpreter with a panic
        else:
            serve(
                OneModel(content), log=Path(folder) / "log", secret=b"-", clock=SystemClock(), port=int(port)
            )
        return
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
        return
    for kind in ("floor", "gateway", "gateway_in_memory"):
        each = figures[kind]
        took = f"p50 {each['p50_ms']} ms   p99 {each['p99_ms']} ms   {each['cpu_us']} us of CPU each"
        print(f"{kind:18} {each['requests_per_s']:6} req/s   {each['ratio']:4.0%}   {took}")
    print(
        f"{CONNECTIONS} connections; the disk takes {figures['disk_sync_p50_ms']} ms to keep a record (median)"
    )


if __name__ == "__main__":
    main()
