"""Ten minutes at 70 % of what the gateway can answer, with a rollout every minute: no wrong answer, flat memory.

    python benchmarks/gateway_soak.py [--minutes 10] [--json]

Requests fall due evenly, whether those before are answered or not, and one's time counts from when it was due. Every
minute a challenger gets a tenth of them, then half, and then becomes the champion, or in every other minute is taken
back; each is a model that the gateway has to load. It fails when an answer is not 200 or not right, when a connection
is dropped, or when the memory has grown by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import load
import scoring
import servers

from mainspring.rollouts.route import Route

LOAD = 0.7
GROWTH = 1.1
CAPACITY_S = 5.0
MINUTE_S = 60.0


def roll_out(folder: Path, rollout: Sequence[Route], challenger: bytes, stop: threading.Event) -> None:
    """Go through one rollout in three quarters of a minute."""
    for route in rollout:
        if stop.wait(MINUTE_S / 4):
            return
        scoring.publish(folder, [route], [challenger])


def soak(minutes: int) -> dict[str, Any]:
    """Load it minute by minute.

    Raises
    ------
    load.Failed
        An answer was not as it must be.
    """
    with tempfile.TemporaryDirectory() as temporary, servers.all_ended():
        folder, content = Path(temporary) / "gateway", scoring.model()
        server, champion = scoring.start_alone("gateway", content, folder), (1, content)
        server.wait(scoring.START_S)
        capacity = server.measure(CAPACITY_S).requests_per_s
        start_mb = servers.memory_mb(server.process.pid)
        by_minute, stop = [], threading.Event()
        for minute, copy in enumerate(scoring.copies(content, minutes)):
            challenger, number = (minute + 2, copy), 3 * minute + 2
            ends_as = challenger if minute % 2 == 0 else champion
            rollout = [
                scoring.route("bench", champion, challenger, share=0.1, number=number),
                scoring.route("bench", champion, challenger, share=0.5, number=number + 1),
                scoring.route("bench", ends_as, number=number + 2),
            ]
            changes = threading.Thread(target=roll_out, args=(folder, rollout, copy, stop))
            changes.start()
            try:
                by_minute.append(server.measure(MINUTE_S, rate=LOAD * capacity))
            except BaseException:
                stop.set()
                raise
            finally:
                changes.join()
            champion = ends_as
        end_mb = servers.memory_mb(server.process.pid)
    return {
        "capacity_requests_per_s": round(capacity),
        "requests": round(sum(each.requests_per_s * MINUTE_S for each in by_minute)),
        "requests_per_s": [round(each.requests_per_s) for each in by_minute],
        "p50_ms": [round(each.p50_ms, 2) for each in by_minute],
        "p99_ms": [round(each.p99_ms, 2) for each in by_minute],
        "memory_mb": [round(start_mb, 1), round(end_mb, 1)],
        "flat": end_mb <= GROWTH * start_mb,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    try:
        figures = soak(arguments.minutes)
    except load.Failed as error:
        sys.exit(f"failed: {error}")
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(f"capacity {figures['capacity_requests_per_s']} req/s, load {LOAD:.0%} of it")
        for minute, (rate, p50, p99) in enumerate(
            zip(figures["requests_per_s"], figures["p50_ms"], figures["p99_ms"], strict=True), 1
        ):
            print(f"minute {minute:3} {rate:6} req/s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")
        before, after = figures["memory_mb"]
        print(
            f"{figures['requests']} requests, every answer 200 and right; {before} MB at first, {after} MB at last"
        )
    if not figures["flat"]:
        sys.exit(f"failed: the memory has grown by more than {GROWTH - 1:.0%}")


if __name__ == "__main__":
    main()
