"""From a rollback that is decided to the last answer of the version that was rolled back, under load.

    python benchmarks/rollback.py [--rounds 20] [--json]

A workspace with its database, a gateway on it, 16 callers who ask without a pause. Half of the units are the
challenger's; then a transaction sets the route back, as a rollback does, and its commit is the moment of the decision.
The same is measured for the way there, with a challenger that is warm. The floor is the time of one answer: a caller
who was answered by the challenger just then could not have heard of it sooner. It fails when the last wrong answer
comes a second late or later.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import load
import msgspec
import scoring
import servers

from mainspring.formats.signature import Column, Signature
from mainspring.product import ColumnSpec
from mainspring.registry import ModelVersion
from mainspring.rollouts import Challenger, Route, Variant
from mainspring.settings import Settings
from mainspring.workspace import Workspace, open_workspace

BAR_S = 1.0
SETTLED_S = 1.0
PRODUCT = "bench"


def register(workspace: Workspace, contents: list[bytes]) -> list[Variant]:
    """Register models as versions 1, 2, …"""
    signature = Signature(
        tuple(Column(name, "FP64", False) for name in scoring.FEATURES),
        (Column("probability", "FP32", False),),
    )
    variants = []
    for number, content in enumerate(contents, 1):
        artifact = workspace.blobs.put(content)
        with workspace.database.write() as tx:
            tx.registry.add(
                ModelVersion(
                    product=PRODUCT, number=number, cycle_id=f"c{number}", run_id=f"r{number}", artifact=artifact,
                    native=artifact, signature=signature.to_json(), data=(), lineage={}, metrics={},
                    reference=artifact, reason="a benchmark", registered_at=workspace.clock.now(),
                )
            )  # fmt: skip
        variants.append(Variant(version=number, artifact=artifact))
    return variants


class Callers:
    """Ask without a pause, each by a connection of its own, and remember when which version answered."""

    def __init__(self, port: int, request: bytes) -> None:
        self.answers: list[tuple[float, int]] = []
        self.took: list[float] = []
        self._port, self._request = port, request
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(load.CONNECTIONS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with load.connected(self._port) as connection:
            while not self._stop.is_set():
                asked_at, reply = time.perf_counter(), b""
                connection.sendall(self._request)
                while (body := load.body_of(reply)) is None:
                    reply += connection.recv(65536)
                now = time.perf_counter()
                self.took.append(now - asked_at)
                self.answers.append((now, int(msgspec.json.decode(body)["model_version"])))

    def since(self, moment: float, version: int) -> list[float]:
        """How long after a moment a version answered, in the order of the answers."""
        return [at - moment for at, who in list(self.answers) if who == version and at > moment]


def measure(rounds: int) -> dict[str, Any]:
    """Roll out and back so many times."""
    content = scoring.model()
    with tempfile.TemporaryDirectory() as temporary, servers.all_ended():
        folder, port = Path(temporary), servers.free_port()
        (folder / "product.py").touch()
        (folder / "mainspring.toml").write_text(f"gateway_port = {port}\n")
        with open_workspace(folder, Settings.load(folder, {})) as workspace:
            champion, challenger = register(workspace, scoring.copies(content, 2))
            inputs = tuple(ColumnSpec(name, "FP64", nullable=False) for name in scoring.FEATURES)
            alone = Route(product=PRODUCT, number=1, champion=champion, salt="rollout", inputs=inputs)
            half = replace(alone, challengers=(Challenger(variant=challenger, share=0.5),))

            def decide(route: Route, number: int) -> float:
                with workspace.database.write() as tx:
                    tx.rollouts.put_route(replace(route, number=number))
                return time.perf_counter()

            decide(alone, 1)
            command = [sys.executable, "-m", "mainspring.cli.up", str(folder), "gateway-0"]
            process = servers.start(command, log=folder / "words", folder=folder)
            [question, *_] = scoring.questions(content)
            load.Server(process, port, folder / "words", [question], scoring.first_score).wait(
                scoring.START_S
            )
            first, last = [], []
            with Callers(port, question.message) as callers:
                for number in range(1, rounds + 1):
                    began = decide(half, 2 * number)
                    time.sleep(SETTLED_S)
                    first.append(callers.since(began, 2)[0])
                    ended = decide(alone, 2 * number + 1)
                    time.sleep(SETTLED_S)
                    last.append(max(callers.since(ended, 2), default=0.0))
    return {
        "rounds": rounds,
        "answers": len(callers.answers),
        "answer_p50_ms": round(1000 * statistics.median(callers.took), 1),
        "first_answer_ms": {"median": _ms(statistics.median(first)), "slowest": _ms(max(first))},
        "last_wrong_answer_ms": {"median": _ms(statistics.median(last)), "slowest": _ms(max(last))},
        "bar_ms": _ms(BAR_S),
    }


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(
            f"{figures['rounds']} rounds, {figures['answers']} answers, each {figures['answer_p50_ms']} ms (median)"
        )
        for name in ("first_answer_ms", "last_wrong_answer_ms"):
            each = figures[name]
            told = name.removesuffix("_ms").replace("_", " ")
            print(f"{told:18} median {each['median']:5} ms   slowest {each['slowest']:5} ms")
    if figures["last_wrong_answer_ms"]["slowest"] >= figures["bar_ms"]:
        sys.exit("failed: a wrong answer came a second after the rollback, or later")


if __name__ == "__main__":
    main()
