"""A control plane that is killed under many writers keeps what it acknowledged, and tells none that it is locked."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from tests.operate.tiny import PRODUCT

WRITERS = 8
ROOT = "/api/2.0/mlflow"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The control plane's process; it is killed at the end of the block."""
    command = [sys.executable, "-m", "mainspring.cli.up", str(root), "server"]
    environment = os.environ | {"MAINSPRING_PORT": str(port)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").text == "OK":
                    break
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_server_killed_under_eight_writers_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    root, port = tmp_path / "root", free_port()
    root.mkdir()
    shutil.copy(PRODUCT / "product.py", root)
    acknowledged: list[tuple[str, int]] = []
    answers: Counter[int] = Counter()
    enough = threading.Event()

    def write(run_id: str) -> None:
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
            suppress(httpx.TransportError),
        ):
            for number in range(100_000):
                point = {"run_id": run_id, "key": "m", "value": number, "timestamp": number, "step": number}
                answer = client.post(f"{ROOT}/runs/log-metric", json=point)
                answers[answer.status_code] += 1
                acknowledged.append((run_id, number))
                if len(acknowledged) > 400:
                    enough.set()

    with served(root, port) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            runs = [
                client.post(f"{ROOT}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"][
                    "run_id"
                ]
                for _ in range(WRITERS)
            ]
        writers = [threading.Thread(target=write, args=(run_id,)) for run_id in runs]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        process.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.join()
    assert set(answers) == {200}
    kept: set[tuple[str, int]] = set()
    with served(root, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for run_id in runs:
            history = client.get(
                f"{ROOT}/metrics/get-history", params={"run_id": run_id, "metric_key": "m"}
            ).json()
            kept |= {(run_id, point["step"]) for point in history.get("metrics", ())}
    assert set(acknowledged) <= kept
    assert len(kept) - len(acknowledged) <= WRITERS  # what was asked and not answered
