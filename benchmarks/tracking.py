"""What MLflow's unmodified client does in a second here, and on MLflow's own server beside it.

    python benchmarks/tracking.py [--json] [--runs N] [--rounds N]

Both servers are started as their documents advise for one machine, each on an empty database of the same kind, and the
client (`make .mlflow/3/.ready`) works on one and then on the other, in turns; medians are printed. What takes the
client's own time is the same on both sides and is not taken off, so that a ratio is what a team would see. Ours has
every point on disk before it answers; SQLite under MLflow's server is as that server sets it.

For the search, both databases are filled with runs by their own tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from servers import all_ended, end, free_port, memory_mb, start

ROOT = Path(__file__).parents[1]
PEER = ROOT / ".mlflow" / "3" / "bin" / "python"
CLIENT = Path(__file__).parent / "peers" / "tracking_client.py"
PRODUCT = ROOT / "tests" / "products" / "tiny" / "product.py"
CLIENTS = 8


@dataclass(frozen=True)
class Server:
    """A server under test: where it listens, where its database is, and how it began."""

    name: str
    url: str
    database: Path
    ready_s: float
    idle_mb: float


def ask(server: Server, *asked: str) -> dict[str, float]:
    ran = subprocess.run([PEER, CLIENT, server.url, *asked], capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"the client of {server.name} ended with {ran.returncode}:\n{ran.stderr[-3000:]}")
    answer: dict[str, float] = json.loads(ran.stdout)
    return answer


@contextmanager
def ours(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    shutil.copy(PRODUCT, folder)
    port, gateway = free_port(), free_port()
    environment = {"MAINSPRING_PORT": str(port), "MAINSPRING_GATEWAY_PORT": str(gateway)}
    command = [sys.executable, "-m", "mainspring.cli.up", str(folder), "server"]
    with served(
        "mainspring", command, folder, environment, port, folder / ".mainspring" / "state.db"
    ) as server:
        yield server


@contextmanager
def theirs(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    port = free_port()
    command = [str(PEER), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with served("mlflow server", command, folder, environment, port, folder / "mlflow.db") as server:
        yield server


@contextmanager
def floor(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("tracking_floor.py"), folder)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--port", str(port)]
    with served("the floor", [*command, "tracking_floor:app"], folder, {}, port, folder / "none") as server:
        yield server


@contextmanager
def served(
    name: str, command: list[str], folder: Path, environment: dict[str, str], port: int, database: Path
) -> Iterator[Server]:
    began = time.monotonic()
    process = start(command, log=folder / "log.txt", folder=folder, environment=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() - began > 120:
                sys.exit(f"{name} did not start:\n{(folder / 'log.txt').read_text()[-3000:]}")
            time.sleep(0.02)
        ready = time.monotonic() - began
        time.sleep(2)
        yield Server(name, url, database, ready, memory_mb(process.pid))
    finally:
        end(process.pid)


def rates(servers: list[Server], rounds: int) -> dict[str, dict[str, float]]:
    seen: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for server in servers:
            for work, rate in ask(server, "rates", "3").items():
                seen.setdefault(work, {}).setdefault(server.name, []).append(rate)
    return {work: {name: statistics.median(found) for name, found in by.items()} for work, by in seen.items()}


def points(server: Server, batches: int, *, kept: bool = True) -> float:
    """Points a second of eight clients at once; all of them must be there afterwards, where the server keeps any."""
    command = [PEER, CLIENT, server.url, "points", str(batches)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(CLIENTS)]
    told = [json.loads(process.communicate()[0]) for process in running]
    for each in told:
        if kept and each["kept"] != each["sent"]:
            print(
                f"{server.name} lost points: {each['kept']:,} of {each['sent']:,} are there", file=sys.stderr
            )
    spent = max(each["ended"] for each in told) - min(each["began"] for each in told)
    return float(sum(each["sent"] for each in told) / spent)


def begin_experiment(server: Server, runs: int) -> int:
    made = httpx.post(
        f"{server.url}/api/2.0/mlflow/experiments/create", json={"name": f"filled-{runs}"}
    ).json()
    return int(made["experiment_id"])


def fill_ours(server: Server, runs: int) -> str:
    home = begin_experiment(server, runs)
    with closing(sqlite3.connect(server.database, timeout=60)) as connection, connection:
        first = connection.execute("SELECT COALESCE(MAX(position), 0) + 1 FROM logged_runs").fetchone()[0]
        connection.executemany(
            "INSERT INTO logged_runs (position, run_id, experiment_id, name, user_id, status, lifecycle, started_ms, "
            "artifact_uri) VALUES (?, ?, ?, 'r', '', 'RUNNING', 'active', ?, 'x')",
            ((first + number, f"{runs:08x}{number:024x}", home, number) for number in range(runs)),
        )
        connection.executemany(
            "INSERT INTO run_metrics (run, key, value, is_nan, step, timestamp_ms, model_id, dataset_name, "
            "dataset_digest) VALUES (?, 'loss', ?, 0, 0, 1, '', '', '')",
            ((first + number, loss_of(number)) for number in range(runs)),
        )
        connection.executemany(
            "INSERT INTO run_params (run, key, value) VALUES (?, 'kind', ?)",
            ((first + number, kind_of(number)) for number in range(runs)),
        )
    return str(home)


def fill_theirs(server: Server, runs: int) -> str:
    home = begin_experiment(server, runs)
    ids = [f"{runs:08x}{number:024x}" for number in range(runs)]
    with closing(sqlite3.connect(server.database, timeout=60)) as connection, connection:
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, status, start_time, lifecycle_stage, artifact_uri, "
            "experiment_id, user_id) VALUES (?, 'r', 'LOCAL', 'RUNNING', ?, 'active', 'x', ?, '')",
            ((run_id, number, home) for number, run_id in enumerate(ids)),
        )
        connection.executemany(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', ?, 1, 0, 0, ?)",
            ((loss_of(number), run_id) for number, run_id in enumerate(ids)),
        )
        connection.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES ('kind', ?, ?)",
            ((kind_of(number), run_id) for number, run_id in enumerate(ids)),
        )
    return str(home)


def loss_of(number: int) -> float:
    return (number * 2_654_435_761 % 2**32) / 2**32


def kind_of(number: int) -> str:
    return "tree" if number % 2 else "line"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=100_000, help="runs that are searched")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not PEER.exists():
        sys.exit("MLflow's client and server are not there: `make .mlflow/3/.ready` installs them.")
    rows: list[dict[str, Any]] = []

    def row(work: str, unit: str, our: float, their: float, *, more_is_better: bool = True) -> None:
        ratio = our / their if more_is_better else their / our
        rows.append({"work": work, "unit": unit, "mainspring": our, "mlflow server": their, "ratio": ratio})
        if not given.json:
            print(f"{work:<44}{our:>12,.1f}{their:>14,.1f} {unit:<8}{ratio:>8.1f}x", flush=True)

    if not given.json:
        print(f"{'':<44}{'mainspring':>12}{'mlflow server':>14}")
    with tempfile.TemporaryDirectory() as folder, all_ended():
        place = Path(folder)
        with ours(place / "ours") as our, theirs(place / "theirs") as their:
            row("start to ready", "s", our.ready_s, their.ready_s, more_is_better=False)
            row("memory, idle", "MB", our.idle_mb, their.idle_mb, more_is_better=False)
            for work, by in rates([our, their], given.rounds).items():
                row(work, "a second", by[our.name], by[their.name])
            mine = points(our, 30)
            row("metric points, 8 clients at once", "a second", mine, points(their, 5))
            with floor(place / "floor") as most:
                sent = points(most, 30, kept=False)
            rows.append({"work": "points, of what 8 clients can send", "unit": "share", "ratio": mine / sent})
            if not given.json:
                print(
                    f"  of {sent:,.1f} a second that the clients can send at most: {mine / sent:.0%}",
                    flush=True,
                )
            for runs in (2_000, given.runs):
                mine, yours = (
                    1000 * ask(server, "search", fill(server, runs), "3")["seconds"]
                    for server, fill in ((our, fill_ours), (their, fill_theirs))
                )
                row(f"page of 1,000 of {runs:,} runs by a metric", "ms", mine, yours, more_is_better=False)
    if given.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
