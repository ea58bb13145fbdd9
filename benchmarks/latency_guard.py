"""What may be timed for the latency guard: false findings and power of four ways, on simulated requests.

A call of n rows takes 0.3 ms + 0.02 ms for each row, times a lognormal factor; the challenger is as fast, or takes twice as
long. Units are sticky and each request asks for others of them. Every tenth request is looked at.

`first row`: the call that answered the first row, whatever its size. `per row`: the same, divided by its rows. `bucket`:
compared within buckets of its size, evidence averaged. `kept`: as `mainspring.rollouts.timing` has it.

Run it as `python benchmarks/latency_guard.py --json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np

from mainspring.rollouts import Part, Split, latency_bucket, latency_test
from mainspring.rollouts.timing import is_timed

REQUESTS, UNITS, ALPHA = 400, 100_000, 0.05
TRAFFIC: dict[str, Callable[[np.random.Generator], int]] = {
    "one row": lambda random: 1,
    "1 to 5 rows": lambda random: int(random.integers(1, 6)),
    "1 to 60 rows": lambda random: int(random.integers(1, 61)),
    "40 rows": lambda random: 40,
}


def run(way: str, traffic: str, share: float, slower: float, seed: int) -> tuple[bool, int]:
    """Simulate one step; give whether the challenger was found slower, and how many requests were timed."""
    random, split = np.random.default_rng(seed), Split(f"run-{seed}", [Part(0.0, share)])
    sizes: dict[int, list[dict[int, int]]] = {}
    found, timed = False, 0
    for request in range(REQUESTS):
        units = [str(unit) for unit in random.integers(0, UNITS, TRAFFIC[traffic](random))]
        served = [1 if part else 2 for part in split.assign(units)]  # CHAMPION is -1
        size = served.count(served[0])
        took_ms = (0.3 + 0.02 * size) * random.lognormal(0, 0.3) * (slower if served[0] == 2 else 1.0)
        if way == "kept" and not is_timed(units, served, {1: 1 - share, 2: share}, f"{seed} {request}"):
            continue
        if way == "per row":
            took_ms /= size
        timed += 1
        arms = sizes.setdefault(size.bit_length() if way == "bucket" else 0, [{}, {}])
        arm, bucket = arms[served[0] == 2], latency_bucket(took_ms)
        arm[bucket] = arm.get(bucket, 0) + 1
        if not found and request % 10 == 9:
            looks = [latency_test(each[1], each[0], share, ALPHA).e_value for each in sizes.values()]
            found = sum(looks) / len(looks) >= 1 / ALPHA
    return found, timed


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=100)
    asked = parser.parse_args()
    rows = []
    for traffic in TRAFFIC:
        for share in (0.1, 0.25, 0.5, 0.75):
            for way in ("first row", "per row", "bucket", "kept"):
                false = [run(way, traffic, share, 1.0, seed) for seed in range(asked.runs)]
                true = [run(way, traffic, share, 2.0, 10_000 + seed) for seed in range(asked.runs)]
                rows.append(
                    {
                        "traffic": traffic,
                        "share": share,
                        "way": way,
                        "false": sum(found for found, _ in false) / asked.runs,
                        "power": sum(found for found, _ in true) / asked.runs,
                        "timed": sum(timed for _, timed in false) / asked.runs / REQUESTS,
                    }
                )
    if asked.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'traffic':14} {'share':>5} {'way':10} {'false':>6} {'power':>6} {'timed':>6}")
    for row in rows:
        print(
            f"{row['traffic']:14} {row['share']:5.2f} {row['way']:10} "
            f"{row['false']:6.2f} {row['power']:6.2f} {row['timed']:6.2f}"
        )


if __name__ == "__main__":
    main()
