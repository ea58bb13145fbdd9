"""One-row gRPC predictions per second: our whole gateway against a bare grpc.aio server that does no work.

    python benchmarks/gateway_grpc.py [--json]

Both get the same messages over loopback from the same load generator, in turns, each round one after the other: a
request of 20 raw tensors and a reply of 3. The bare server reads the request with the same library and sends a reply
that it has made before. The gateway does besides all that it does: check, route, ask the model, make ids, have the
record on disk before it answers, and count. A second gateway has its log in memory, which shows what of the difference
is the disk's. The load generator writes HTTP/2 itself, since gRPC's own client takes more of the machine than the
servers do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import load
import scoring
import servers

from mainspring.gateway.grpc.messages import Message, message

ROUNDS = 5
ROUND_S = 2.0
PATH = "/inference.GRPCInferenceService/ModelInfer"

Request, Reply = message("inference.ModelInferRequest"), message("inference.ModelInferResponse")


def request() -> Message:
    """One row, as Triton's client sends it."""
    asked = Request(model_name="bench")
    for name, value in zip(scoring.FEATURES, scoring.rows(1)[0], strict=True):
        asked.inputs.add(name=name, datatype="FP64", shape=[1])
        asked.raw_input_contents.append(value.tobytes())
    return asked


def reply() -> Message:
    """An answer of the size of ours."""
    answered = Reply(model_name="bench", model_version="1")
    for name, datatype, content in (
        ("probability", "FP64", bytes(8)),
        ("prediction_id", "BYTES", (45).to_bytes(4, "little") + bytes(45)),
        ("model_version", "INT64", bytes(8)),
    ):
        answered.outputs.add(name=name, datatype=datatype, shape=[1])
        answered.raw_output_contents.append(content)
    return answered


async def serve_bare(port: int) -> None:
    """Read the request and send a reply, and nothing else."""
    import grpc

    made = reply()

    async def infer(asked: Message, context: Any) -> Message:
        return made

    _, service, method = PATH.split("/")
    handler = grpc.unary_unary_rpc_method_handler(infer, Request.FromString, Reply.SerializeToString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(0)


# --- the load ------------------------------------------------------------------------------------------------------

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def literal(name: str, value: str) -> bytes:
    """A header as HPACK has it when nothing is to be remembered."""
    return b"\0" + b"".join(bytes([len(each)]) + each.encode() for each in (name, value))


class Connection:
    """A connection of HTTP/2 with one call at a time.

    Attributes
    ----------
    sent_at : float
        When the call that is open was made.
    """

    def __init__(self, port: int, content: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Room for all that will ever come, so that no more needs to be made.
        room = (2**31 - 1 - 65535).to_bytes(4)
        settings = b"\0\4" + (2**31 - 1).to_bytes(4)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings)
        self.socket.sendall(preface + frame(WINDOW, 0, 0, room))
        self._head = b"".join(literal(*each) for each in (
            (":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", "localhost"), ("te", "trailers"),
            ("content-type", "application/grpc"),
        ))  # fmt: skip
        self._message = b"\0" + len(content).to_bytes(4) + content
        self._stream, self._received, self._content = -1, b"", b""
        self.ask()

    def ask(self) -> None:
        self._stream += 2
        head = frame(HEADERS, END_HEADERS, self._stream, self._head)
        self.sent_at = time.perf_counter()
        self.socket.sendall(head + frame(DATA, END_STREAM, self._stream, self._message))

    def answered(self) -> bool:
        """Take what has come; say whether the answer has ended."""
        received, at, ended = self._received + self.socket.recv(65536), 0, False
        while len(received) - at >= 9:
            end = at + 9 + int.from_bytes(received[at : at + 3])
            if len(received) < end:
                break
            kind, flags, content = received[at + 3], received[at + 4], received[at + 9 : end]
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, content if kind == PING else b""))
            elif kind in (RESET, GOAWAY):
                raise SystemExit(f"the server broke off: {content!r}")
            elif kind == DATA:
                self._content = content[5:]
            ended = ended or (kind in (DATA, HEADERS) and bool(flags & END_STREAM))
            at = end
        self._received = received[at:]
        if ended and b"probability" not in self._content:
            raise SystemExit(f"the server answered {received!r}")
        return ended


def calls(port: int, seconds: float) -> list[float]:
    """Keep every connection busy with one call at a time; give the seconds that each answer took."""
    content, took = request().SerializeToString(), []
    connections = [Connection(port, content) for _ in range(load.CONNECTIONS)]
    with selectors.DefaultSelector() as ready:
        for each in connections:
            ready.register(each.socket, selectors.EVENT_READ, each)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, _ in ready.select(1):
                connection: Connection = key.data
                if connection.answered():
                    took.append(time.perf_counter() - connection.sent_at)
                    connection.ask()
    for each in connections:
        each.socket.close()
    return took


def start(kind: str, folder: Path, content: bytes) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and wait for its first answer."""
    port = servers.free_port()
    scoring.publish(folder, [scoring.route("bench", (1, content))], [content])
    command = [sys.executable, __file__, "--serve-bare", str(port)]
    if kind != "bare":
        command = scoring.command("gateway", folder, servers.free_port(), port)
    process = servers.start(command, log=folder / "words", folder=folder)
    for _ in range(400):
        try:
            calls(port, load.WARM_UP_S)
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise SystemExit(f"the {kind} did not start: {load.last_words(folder / 'words')}")


def measure() -> dict[str, Any]:
    """Run all rounds; figures are medians over them."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        tempfile.TemporaryDirectory(dir=scoring.IN_MEMORY) as memory,
        servers.all_ended(),
    ):
        content = scoring.model()
        folders = {
            "bare": Path(temporary) / "bare",
            "gateway": Path(temporary) / "gateway",
            "gateway_in_memory": Path(memory) / "gateway",
        }
        started = {kind: start(kind, folder, content) for kind, folder in folders.items()}
        rounds: dict[str, list[load.Round]] = {kind: [] for kind in started}
        for _ in range(ROUNDS):
            for kind, (process, port) in started.items():
                before = servers.cpu_s(process.pid)
                took = calls(port, ROUND_S)
                rounds[kind].append(load.round_of(took, ROUND_S, servers.cpu_s(process.pid) - before))
    figures: dict[str, Any] = {
        kind: {**load.figures(rounds[kind]), "ratio": round(load.ratio(rounds[kind], rounds["bare"]), 3)}
        for kind in rounds
    }
    return {**figures, "connections": load.CONNECTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--serve-bare", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_bare:
        asyncio.run(serve_bare(arguments.serve_bare))
        return
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
        return
    for kind in ("bare", "gateway", "gateway_in_memory"):
        each = figures[kind]
        took = f"p50 {each['p50_ms']} ms   p99 {each['p99_ms']} ms   {each['cpu_us']} us of CPU each"
        print(f"{kind:18} {each['requests_per_s']:6} req/s   {each['ratio']:4.0%}   {took}")
    print(f"{load.CONNECTIONS} connections")


if __name__ == "__main__":
    main()
