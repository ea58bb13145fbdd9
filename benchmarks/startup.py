"""How long a start takes: `import mainspring`, and `mainspring up` until it answers.

    python benchmarks/startup.py [--json]

Both are the times of whole processes, each beside a floor that is measured in turns with it: for the import a bare
interpreter, for `up` one process with the same web server and an empty application. `up` is ready when it prints its
addresses: then the control plane and the gateway have answered. Its first start makes the workspace's state; later
ones find it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "tests" / "products" / "tiny" / "product.py"
IMPORTS, STARTS = 21, 7
IMPORT_BAR_MS, UP_BAR_S = 150, 3.0

EMPTY_SERVER = """
import asyncio, urllib.request
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

def asked(port):
    while True:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).status
        except OSError:
            pass

async def main(port):
    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False,
        log_level=LogLevels.error,
    )
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(asked, port)
    print("ready", flush=True)
    await serving

import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
asyncio.run(main(port))
"""


def run_s(program: str) -> float:
    """Seconds from the start of an interpreter to its end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - started


@contextmanager
def until_line(command: list[str], folder: Path) -> Iterator[float]:
    """Seconds from the start of a process to the first line that it prints; it is ended after the block."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise SystemExit(f"{command[:4]} ended with status {process.wait()}")
        yield time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def imports() -> dict[str, Any]:
    """Milliseconds of an interpreter that imports mainspring, and of one that does nothing."""
    programs = {"floor_ms": "pass", "import_ms": "import mainspring"}
    for program in programs.values():
        run_s(program)  # the first one reads the files from disk, and writes bytecode
    took: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(IMPORTS):
        for name, program in programs.items():
            took[name].append(1000 * run_s(program))
    return _figures(took, digits=1) | {"bar_ms": IMPORT_BAR_MS, "runs": IMPORTS}


def starts() -> dict[str, Any]:
    """Seconds until `mainspring up` is ready, in a new folder and in one with state, and of the floor."""
    took: dict[str, list[float]] = {"floor_s": [], "up_s": [], "up_again_s": []}
    floor = [sys.executable, "-c", EMPTY_SERVER]
    up = [str(Path(sys.executable).with_name("mainspring")), "up", "--json"]
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            shutil.copy(PRODUCT, folder)
            (folder / "mainspring.toml").write_text("port = 0\ngateway_port = 0\n")
            for name, command in (("floor_s", floor), ("up_s", up), ("up_again_s", up)):
                with until_line(command, folder) as seconds:
                    took[name].append(seconds)
    return _figures(took, digits=2) | {"bar_s": UP_BAR_S, "runs": STARTS}


def _figures(took: dict[str, list[float]], digits: int) -> dict[str, Any]:
    """Medians, the slowest run, and medians of the ratios to the floor of the same round."""
    floor, *others = took
    figures: dict[str, Any] = {
        name: {"median": round(statistics.median(each), digits), "slowest": round(max(each), digits)}
        for name, each in took.items()
    }
    for name in others:
        ratios = [ours / theirs for ours, theirs in zip(took[name], took[floor], strict=True)]
        figures[name]["ratio"] = round(statistics.median(ratios), 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = {"import": imports(), "up": starts()}
    if arguments.json:
        print(json.dumps(figures))
        return
    print("| start | median | slowest | to the floor | bar |\n|---|---:|---:|---:|---:|")
    rows = [
        ("a bare interpreter", "import", "floor_ms", "ms", None),
        ("`import mainspring`", "import", "import_ms", "ms", IMPORT_BAR_MS),
        ("an empty server", "up", "floor_s", "s", None),
        ("`mainspring up`, new folder", "up", "up_s", "s", UP_BAR_S),
        ("`mainspring up`, again", "up", "up_again_s", "s", UP_BAR_S),
    ]
    for label, part, name, unit, bar in rows:
        each = figures[part][name]
        ratio = f"{each['ratio']:g}" if "ratio" in each else ""
        told = f"{bar:g} {unit}" if bar else ""
        print(f"| {label} | {each['median']} {unit} | {each['slowest']} {unit} | {ratio} | {told} |")


if __name__ == "__main__":
    main()
