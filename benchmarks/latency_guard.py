"""What may be timed for the latency guard: false findings and power of four ways, on simulated requests.

A call of n rows takes 0.3 ms + 0.02 ms for each row, times a lognormal factor; the challenger is as fast, or takes
twice as long. Units are sticky and each request asks for others of them. Every twentieth request is looked at.

`first row`: the call that answered the first row, whatever its size. `per row`: the same, divided by its rows.
`bucket`: compared within buckets of its size, evidence averaged. `kept`: as `mainspring.rollouts.timing` has it.

Run it as `python benchmarks/latency_guard.py --json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np

from mainspring.rollouts import Part, Split, latency_bucket, latency_test
from mainspring.rollouts.timing import is_timed

REQUESTS, LOOK, UNITS, ALPHA = 400, 20, 100_000, 0.05
SHARES = (0.1, 0.25, 0.5, 0.75)
WAYS = ("first row", "per row", "bucket", "kept")
TRAFFIC: dict[str, Callable[[np.random.Generator], int]] = {
    "1 to 5 rows": lambda random: int(random.integers(1, 6)),
    "1 to 60 rows": lambda random: int(random.integers(1, 61)),
    "40 rows": lambda random: 40,
}


def run(traffic: str, share: float, slower: float, seed: int) -> dict[str, tuple[bool, int]]:
    """Simulate one step; give by way whether the challenger was found slower, and how many requests were timed."""
    random, split = np.random.default_rng(seed), Split(f"run-{seed}", [Part(0.0, share)])
    sizes: dict[str, dict[int, tuple[dict[int, int], dict[int, int]]]] = {way: {} for way in WAYS}
    found, timed = dict.fromkeys(WAYS, False), dict.fromkeys(WAYS, 0)
    for request in range(REQUESTS):
        units = [str(unit) for unit in random.integers(0, UNITS, TRAFFIC[traffic](random))]
        served = [1 if part else 2 for part in split.assign(units)]  # CHAMPION is -1
        size, ours = served.count(served[0]), served[0] == 2
        took_ms = (0.3 + 0.02 * size) * random.lognormal(0, 0.3) * (slower if ours else 1.0)
        kept = is_timed(units, served, {1: 1 - share, 2: share}, f"{seed} {request}")
        for way in WAYS if kept else WAYS[:-1]:
            timed[way] += 1
            arm = sizes[way].setdefault(size.bit_length() if way == "bucket" else 0, ({}, {}))[ours]
            bucket = latency_bucket(took_ms / size if way == "per row" else took_ms)
            arm[bucket] = arm.get(bucket, 0) + 1
        if request % LOOK == LOOK - 1:
            for way in WAYS:
                looks = [latency_test(arm, other, share, ALPHA).e_value for other, arm in sizes[way].values()]
                found[way] |= bool(looks) and sum(looks) / len(looks) >= 1 / ALPHA
    return {way: (found[way], timed[way]) for way in WAYS}


def main() -> None:
    """Measure, and print a row for each traffic, share and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object per line")
    parser.add_argument("--runs", type=int, default=40)
    asked = parser.parse_args()
    for traffic in TRAFFIC:
        for share in SHARES:
            equal = [run(traffic, share, 1.0, seed) for seed in range(asked.runs)]
            slower = [run(traffic, share, 2.0, 10_000 + seed) for seed in range(asked.runs)]
            for way in WAYS:
                row = {
                    "traffic": traffic,
                    "share": share,
                    "way": way,
                    "false": sum(each[way][0] for each in equal) / asked.runs,
                    "power": sum(each[way][0] for each in slower) / asked.runs,
                    "timed": round(sum(each[way][1] for each in equal) / asked.runs / REQUESTS, 3),
                }
                line = (
                    json.dumps(row) if asked.json else "  ".join(f"{value!s:>12}" for value in row.values())
                )
                print(line, flush=True)


if __name__ == "__main__":
    main()
