"""One-row predictions per second of our gateway beside other servers of models, all with the same trees.

    python benchmarks/gateway_peers.py [--only mlserver,kserve] [--seconds 2] [--json]

Each peer runs in an environment of its own, made by uv from `peers/*.in` in `.peers/`, which can be thrown away. Each
has one worker and is tuned as its documentation advises for one; how, says its program in `peers/`. They are asked in
the shortest JSON that they take, and with a model that takes a row as it comes; the gateway does all that it does in
use. The bare floor is our web server doing parse, infer and encode only.

Every answer of a server must be 200 and hold the right score, or it is not measured. Each peer runs alone beside ours,
their rounds in turns, and a ratio is the median over them. What cannot be installed, started or measured is named with
the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import scoring
import servers
from environments import python_of

HERE = Path(__file__).parent

ROUNDS = 5
START_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server of models: how many of its requests a second are to be ours, and in what form it is asked and answers.

    Attributes
    ----------
    name : str
    server : str
        It has its requirements in `peers/SERVER.in`, and its program is `peers/on_SERVER.py`.
    arguments : tuple of str
        For the program, behind the model, the port and the folder.
    bar : float
    path : str
    ask : callable
        From a row to the request.
    read : callable
        From an answer to the score.
    """

    name: str
    bar: float
    path: str
    ask: Callable[[Sequence[float]], Any]
    read: Callable[[Any], float]
    server: str = ""
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "server", self.server or self.name)


def as_tensor(row: Sequence[float]) -> Any:
    return {"inputs": [{"name": "rows", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}


def oip_score(answer: Any) -> float:
    return float(answer["outputs"][0]["data"][0])


PEERS = [
    Peer(name="mlserver", bar=3, path="/v2/models/bench/infer", ask=as_tensor, read=oip_score),
    Peer(name="kserve", bar=4.5, path="/v2/models/bench/infer", ask=as_tensor, read=oip_score),
    Peer(
        name="bentoml", bar=8, path="/score", ask=lambda row: {"rows": [row]}, read=lambda answer: answer[0]
    ),
    Peer(
        name="litserve",
        bar=7,
        path="/predict",
        ask=lambda row: {"rows": [row]},
        read=lambda answer: answer["scores"][0],
    ),
    Peer(
        name="mlflow",
        bar=7,
        path="/invocations",
        ask=lambda row: {"inputs": [row]},
        read=lambda answer: answer["predictions"]["probability"][0],
    ),
    Peer(
        name="ray",
        bar=20,
        path="/",
        ask=lambda row: {"rows": [row]},
        read=lambda answer: answer["scores"][0],
    ),
    # The bar was set beside this one: what Ray Serve starts when nothing is set.
    Peer(
        name="ray-proxy",
        server="ray",
        arguments=("own-proxy",),
        bar=20,
        path="/",
        ask=lambda row: {"rows": [row]},
        read=lambda answer: answer["scores"][0],
    ),
]
OURS = ("floor", "gateway")


def of_matrix(content: bytes) -> bytes:
    """The same trees with one input, a matrix, in place of one for each column."""
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    [concat] = [node for node in graph.node if node.op_type == "Concat"]
    assert list(concat.input) == scoring.FEATURES
    graph.node.remove(concat)
    del graph.input[:]
    shape: list[str | int] = ["rows", len(scoring.FEATURES)]
    graph.input.append(onnx.helper.make_tensor_value_info(concat.output[0], onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    matrix: bytes = model.SerializeToString()
    return matrix


def start(peer: Peer, content: bytes, folder: Path) -> load.Server:
    """Start a peer; what it writes lies in `folder`."""
    python = python_of(peer.server)
    folder.mkdir()
    path, log, port = folder / "model.onnx", folder / "words", servers.free_port()
    path.write_bytes(of_matrix(content))
    asked = scoring.rows(load.CONNECTIONS)
    questions = [
        load.Question(scoring.post(peer.path, json.dumps(peer.ask(row)).encode()), score)
        for row, score in zip(asked.tolist(), scoring.scores(content, asked), strict=True)
    ]
    program = HERE / "peers" / f"on_{peer.server}.py"
    command = [str(python), str(program), str(path), str(port), str(folder), *peer.arguments]
    # Threads of numerical libraries would compete for the cores with the server, and with the load.
    process = servers.start(command, log=log, folder=folder, environment={"OMP_NUM_THREADS": "1"})
    return load.Server(process, port, log, questions, lambda body: peer.read(json.loads(body)))


def beside(
    ours: Mapping[str, load.Server], peer: Peer, content: bytes, folder: Path, seconds: float
) -> dict[str, list[load.Round]]:
    """Rounds of ours and of a peer in turns, from the peer's start to its end."""
    server = start(peer, content, folder)
    try:
        server.wait(START_S)
        rounds: dict[str, list[load.Round]] = {name: [] for name in (*ours, peer.name)}
        for _ in range(ROUNDS):
            for kind, our in ours.items():
                try:
                    rounds[kind].append(our.measure(seconds))
                except load.Failed as error:
                    raise SystemExit(f"our {kind} cannot be measured: {error}") from error
            rounds[peer.name].append(server.measure(seconds))
    finally:
        servers.end(server.process.pid)
    return rounds


def measure(peers: Sequence[Peer], seconds: float) -> dict[str, Any]:
    """Run all rounds, one peer at a time: some are busy while nobody asks them."""
    content = scoring.model()
    rounds: dict[str, list[load.Round]] = {kind: [] for kind in OURS}
    ratios: dict[str, float] = {}
    failed: dict[str, str] = {}
    # Ray's sockets lie in it, and a socket's path may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="p-") as temporary, servers.all_ended():
        ours = {kind: scoring.start_alone(kind, content, Path(temporary) / kind) for kind in OURS}
        for server in ours.values():
            server.wait(scoring.START_S)
        for peer in peers:
            try:
                measured = beside(ours, peer, content, Path(temporary) / peer.name, seconds)
            except (load.Failed, OSError) as error:
                failed[peer.name] = str(error)
                continue
            ratios[peer.name] = load.ratio(measured["gateway"], measured[peer.name])
            for name, its in measured.items():
                rounds[name] = rounds.get(name, []) + its
    if ratios:
        ratios |= {"gateway": 1.0, "floor": load.ratio(rounds["gateway"], rounds["floor"])}
    return {
        "figures": {
            name: {**load.figures(rounds[name]), "ratio": round(ratio, 2)} for name, ratio in ratios.items()
        },
        "failed": failed,
        "connections": load.CONNECTIONS,
        "rounds": ROUNDS,
        "seconds": seconds,
        "cores": os.cpu_count(),
    }


def verdict(peer: Peer, measured: dict[str, Any]) -> str:
    if peer.name in measured["failed"]:
        return f"not measured: {measured['failed'][peer.name]}"
    theirs, ours = measured["figures"][peer.name], measured["figures"]["gateway"]
    missed = []
    if theirs["ratio"] < peer.bar:
        missed.append(f"{theirs['ratio']:.2f} is less")
    if ours["p99_ms"] >= theirs["p99_ms"]:
        missed.append("its p99 is no higher than ours")
    return f"missed: {', and '.join(missed)}" if missed else "met"


def table(peers: Sequence[Peer], measured: dict[str, Any]) -> str:
    lines = [f"{'':10}{'req/s':>7}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>8}{'gateway':>9}{'bar':>6}"]
    verdicts = {peer.name: (f"{peer.bar:.1f}x", verdict(peer, measured)) for peer in peers}
    for name in (*OURS, *verdicts):
        bar, said = verdicts.get(name, ("", ""))
        figures = measured["figures"].get(name)
        told = " " * 42
        if figures:
            told = (
                f"{figures['requests_per_s']:7}{figures['p50_ms']:9.2f}{figures['p99_ms']:9.2f}"
                f"{figures['cpu_us']:8}{figures['ratio']:8.2f}x"
            )
        lines.append(f"{name:10}{told}{bar:>6}  {said}".rstrip())
    lines.append(
        f"{measured['connections']} connections, {measured['cores']} cores, median of {measured['rounds']} rounds of "
        f"{measured['seconds']:g} s; `gateway` is how many times its requests a second ours has"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--only", help=f"some of {','.join(names)}")
    parser.add_argument("--seconds", type=float, default=2.0, help="the length of a round")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    peers = [peer for peer in PEERS if peer.name in chosen]
    measured = measure(peers, arguments.seconds)
    if arguments.json:
        verdicts = {peer.name: {"bar": peer.bar, "verdict": verdict(peer, measured)} for peer in peers}
        print(json.dumps({**measured, "bars": verdicts}))
    else:
        print(table(peers, measured))


if __name__ == "__main__":
    main()
