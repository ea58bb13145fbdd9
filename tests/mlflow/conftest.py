"""MLflow's clients, of both generations, and the servers that they are pointed at."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.operate.tiny import PRODUCT

from mainspring.cli.up import running
from mainspring.settings import Settings

# These files are read by the clients' own Python.
collect_ignore = ["client"]

ROOT = Path(__file__).parents[2]
_READY_S = 90


def python_of(generation: str) -> Path:
    """The Python that has a client; a test that asks for it carries `server("mlflow")`."""
    found = ROOT / ".mlflow" / generation / "bin" / "python"
    if not found.exists():
        pytest.skip(f"MLflow {generation} is not there: `make .mlflow/{generation}/.ready` installs it")
    return found


@contextlib.contextmanager
def mlflow_server(folder: Path, generation: str = "3") -> Iterator[str]:
    """MLflow's own server on an empty SQLite database; that of generation 2 keeps files alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    command = [
        python_of(generation),
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "said").open("wb") as said:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        until = time.monotonic() + _READY_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            if server.poll() is not None or time.monotonic() > until:
                pytest.fail(f"MLflow's server did not start:\n{(folder / 'said').read_text()}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@contextlib.contextmanager
def mainspring_server(folder: Path) -> Iterator[str]:
    """Ours, with a product that nothing is asked of."""
    folder.mkdir()
    shutil.copy(PRODUCT / "product.py", folder)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with running(replace(Settings.load(folder), port=0, gateway_port=0)) as up:
            yield up.url
    finally:
        signal.signal(signal.SIGTERM, before)
