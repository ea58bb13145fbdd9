"""What it costs to have every answer on disk before it is sent.

    python benchmarks/prediction_log.py [--json]

First the log alone, in one process: callers that each wait for their record before they bring the next one, against
the floor, which is a bare loop that writes as many records as there are callers and calls `fdatasync`. The floor knows
beforehand who comes; the log has to find out, and has an event loop with as many tasks to turn.

Then one sync, by what it writes over: the log writes over zeros. Then a whole gateway: the latency of one-row requests
with the log on disk and with the log in memory, in turns, under the same load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import load
import numpy as np
import scoring
import servers

from mainspring.gateway.log import PredictionLog
from mainspring.monitoring.record import PredictionRecord
from mainspring.stores.segments import SegmentWriter, encode

CALLERS = (1, 16, 64)
ROUNDS = 5
ROUND_S = 0.5
SYNCS = 1000
GATEWAY_ROUNDS = 6
GATEWAY_ROUND_S = 1.5
IN_MEMORY = Path("/dev/shm")


class Kept(NamedTuple):
    """What one stretch showed; the CPU is that of the process, by record."""

    records_per_s: float
    p50_ms: float
    cpu_us: float
    records_a_sync: float


def record() -> PredictionRecord:
    """The answer to one row of twenty numbers."""
    values = np.random.default_rng(2).normal(size=20).round(4).tolist()
    ids = ["5d8c6a1b2f3e4d5c6b7a8f9000000123/0.0123456789"]
    return PredictionRecord(
        at=datetime(2026, 1, 1, 3, 4, 5, 678912, tzinfo=UTC), product="bench", route=1, ids=ids, units=ids,
        versions=[1], scores=[0.2513478], took_s={"1": 0.00012}, latency_s=0.00034,
        inputs={f"feature_{n:02}": [value] for n, value in enumerate(values)},
    )  # fmt: skip


async def _call(log: PredictionLog, each: PredictionRecord, end: float, took: list[float]) -> None:
    while (began := time.perf_counter()) < end:
        await log.append(each)
        took.append(time.perf_counter() - began)


async def _ours(folder: Path, callers: int) -> Kept:
    log, each, took = PredictionLog(SegmentWriter(folder)), record(), []  # type: tuple[Any, Any, list[float]]
    await log.append(each)  # which makes the segment
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_call(log, each, began + ROUND_S, took) for _ in range(callers)))
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    syncs = log.syncs
    await log.close()
    return _kept(took, spent, cpu, syncs)


def ours(folder: Path, callers: int) -> Kept:
    """The log, with so many callers."""
    return asyncio.run(_ours(folder, callers))


def floor(folder: Path, callers: int) -> Kept:
    """Write and sync so many records at a time."""
    each, took = record(), []  # type: tuple[Any, list[float]]
    folder.mkdir(parents=True)
    with (folder / "floor").open("wb", buffering=0) as file:
        began, cpu = time.perf_counter(), time.process_time()
        while (start := time.perf_counter()) < began + ROUND_S:
            file.write(b"".join(encode(each) for _ in range(callers)))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
        spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    return _kept(took * callers, spent, cpu, len(took))


def syncs(folder: Path) -> dict[str, float]:
    """Median time in µs to keep 6 kB where the file grows, over space that is reserved, and over zeros."""
    found, content = {}, b"x" * 6000
    for name, ahead in (("grows", None), ("reserved", b""), ("zeros", bytes(SYNCS * len(content)))):
        took = []
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_DSYNC)
        if ahead is not None:
            os.posix_fallocate(file, 0, SYNCS * len(content))
            os.pwrite(file, ahead, 0)
        for n in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(file, content, n * len(content))
            took.append(time.perf_counter() - began)
        os.close(file)
        found[name] = round(1e6 * statistics.median(took), 1)
    return found


def _kept(took: list[float], spent: float, cpu: float, syncs: int) -> Kept:
    return Kept(len(took) / spent, 1000 * statistics.median(took), 1e6 * cpu / len(took), len(took) / syncs)


def measure_log() -> dict[str, dict[str, Any]]:
    """Run the log and its floor in turns."""
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for callers in CALLERS:
            rounds: dict[str, list[Kept]] = {"floor": [], "log": []}
            for n in range(ROUNDS):
                for name, run in (("floor", floor), ("log", ours)):
                    rounds[name].append(run(Path(temporary) / f"{name}-{callers}-{n}", callers))
            figures[str(callers)] = {
                name: {
                    field: round(statistics.median(getattr(each, field) for each in kept), 3)
                    for field in Kept._fields
                }
                for name, kept in rounds.items()
            }
            ratios = [
                a.records_per_s / b.records_per_s for a, b in zip(*reversed(rounds.values()), strict=True)
            ]
            figures[str(callers)]["ratio"] = round(statistics.median(ratios), 3)
    return figures


def measure_gateway() -> dict[str, Any]:
    """Ask a gateway whose log is on disk and one whose log is in memory, in turns."""
    with (
        tempfile.TemporaryDirectory() as disk,
        tempfile.TemporaryDirectory(dir=IN_MEMORY) as memory,
        servers.all_ended(),
    ):
        content = scoring.model()
        started = {
            name: scoring.start_alone("gateway", content, Path(folder) / "gateway")
            for name, folder in (("disk", disk), ("memory", memory))
        }
        for server in started.values():
            server.wait(scoring.START_S)
        rounds: dict[str, list[load.Round]] = {name: [] for name in started}
        for _ in range(GATEWAY_ROUNDS):
            for name, server in started.items():
                rounds[name].append(server.measure(GATEWAY_ROUND_S))
    added = [on.p50_ms / off.p50_ms - 1 for on, off in zip(rounds["disk"], rounds["memory"], strict=True)]
    figures: dict[str, Any] = {
        name: {field: round(value, 3) for field, value in load.median(of)._asdict().items()}
        for name, of in rounds.items()
    }
    return {**figures, "p50_added": round(statistics.median(added), 3), "connections": load.CONNECTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    log = measure_log()
    with tempfile.TemporaryDirectory() as folder:
        sync_us = syncs(Path(folder))
    gateway = measure_gateway()
    if arguments.json:
        print(json.dumps({"log": log, "sync_us": sync_us, "gateway": gateway}))
        return
    for callers, of in log.items():
        for name in ("floor", "log"):
            each = of[name]
            ratio = f"{of['ratio']:4.0%}" if name == "log" else "    "
            print(
                f"{callers:>3} callers  {name:6} {each['records_per_s']:8.0f} records/s {ratio}   "
                f"p50 {each['p50_ms']:6.2f} ms   {each['cpu_us']:4.0f} us of CPU each   "
                f"{each['records_a_sync']:4.1f} records a sync"
            )
    print("a sync of 6 kB:", ", ".join(f"{name} {us:.0f} us" for name, us in sync_us.items()))
    for name in ("memory", "disk"):
        each = gateway[name]
        print(
            f"gateway, log in {name:7}{each['requests_per_s']:6.0f} req/s   p50 {each['p50_ms']:.2f} ms   "
            f"p99 {each['p99_ms']:.2f} ms   {each['cpu_us']:.0f} us of CPU each"
        )
    print(f"added at p50 by keeping every answer on disk first: {gateway['p50_added']:.0%}")


if __name__ == "__main__":
    main()
