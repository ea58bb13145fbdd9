"""One-row JSON predictions per second: our whole gateway against the same server doing parse, infer and encode only.

    python benchmarks/gateway_throughput.py [--json]

The servers get the same requests over loopback from the same load generator, in turns, each round one after the
other. The gateway does besides: check the request, route it, make ids, have the record on disk before it answers, and
count. A second gateway has its log in memory, which shows what of the difference is the disk's; how long the disk takes
is told beside. The load generator takes a part of the machine, the same for all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import load
import scoring
import servers

ROUNDS = 5
ROUND_S = 2.0


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
    """Run all rounds; figures are medians over them."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        tempfile.TemporaryDirectory(dir=scoring.IN_MEMORY) as memory,
        servers.all_ended(),
    ):
        content = scoring.model()
        disk_ms = sync_p50_ms(Path(temporary))
        started = {
            "floor": scoring.start_alone("floor", content, Path(temporary) / "floor"),
            "gateway": scoring.start_alone("gateway", content, Path(temporary) / "gateway"),
            "gateway_in_memory": scoring.start_alone("gateway", content, Path(memory) / "gateway"),
        }
        for server in started.values():
            server.wait(scoring.START_S)
        rounds: dict[str, list[load.Round]] = {kind: [] for kind in started}
        for _ in range(ROUNDS):
            for kind, server in started.items():
                rounds[kind].append(server.measure(ROUND_S))
    figures: dict[str, Any] = {
        kind: {**load.figures(rounds[kind]), "ratio": round(load.ratio(rounds[kind], rounds["floor"]), 3)}
        for kind in rounds
    }
    return {**figures, "connections": load.CONNECTIONS, "disk_sync_p50_ms": disk_ms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
        return
    for kind in ("floor", "gateway", "gateway_in_memory"):
        each = figures[kind]
        took = f"p50 {each['p50_ms']} ms   p99 {each['p99_ms']} ms   {each['cpu_us']} us of CPU each"
        print(f"{kind:18} {each['requests_per_s']:6} req/s   {each['ratio']:4.0%}   {took}")
    print(
        f"{load.CONNECTIONS} connections; the disk takes {figures['disk_sync_p50_ms']} ms to keep a record (median)"
    )


if __name__ == "__main__":
    main()
