"""What profiling costs on one core: rows a second, beside a bare read of the same bytes and beside others.

    make dev
    .venv/bin/python benchmarks/profiles.py [--rows 1000000] [--peers evidently,whylogs] [--json]

A table of 20 columns of float64, in memory. The floor reads every byte once: it sums each column. It and the profile
take turns, each round gives a ratio, and the medians over the rounds are told. A row is one row of all 20 columns.

Peers run in environments of their own, made by uv from `peers/*.in` in `.peers/`, and measure themselves without their
imports and after a first run on 100 rows. whylogs logs one window, and is compared with our profile of it. Evidently
compares two windows with its preset for drift, and is compared with all that we do from the rows of both: the frame,
two profiles and ten effects of each column.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import load
import numpy as np
from environments import python_of

from mainspring.monitoring import NumberProfile, Profile, effect_sizes, frame, profile

COLUMNS, ROUNDS, PEER_S = 20, 9, 600
BAR_ROWS, BAR_READ, BAR_PEER = 10e6, 8.0, 100.0
HERE = Path(__file__).parent


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Columns of other scales, signs and shapes, some far from zero."""
    rng = np.random.default_rng(seed)
    columns = {}
    for number in range(COLUMNS):
        scale = 10.0 ** (number % 5 - 2)
        shaped = rng.normal(size=rows) if number % 2 else rng.exponential(size=rows)
        columns[f"x{number}"] = shaped * scale + (1000.0 * scale if number % 4 == 3 else 0.0)
    return columns


def read(columns: dict[str, np.ndarray]) -> float:
    """Touch every byte."""
    return sum(float(column.sum()) for column in columns.values())


def compare(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> int:
    """Do all that a comparison of two windows takes, from their rows; give the number of effects."""
    shape = frame(before)
    reference, current = profile(before, shape).parts(), profile(after, shape).parts()
    return sum(len(effect_sizes(reference[name], current[name])) for name in reference)


def took(act: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def measure(rows: int) -> dict[str, Any]:
    """Time floor and profile in turns."""
    columns = table(rows, seed=1)
    shape = frame(columns)
    profiled: Profile = profile(columns, shape)
    counted = {column.valid for column in profiled.columns.values() if isinstance(column, NumberProfile)}
    assert counted == {rows}, "every row is counted in every column"
    rounds = [(took(partial(read, columns)), took(partial(profile, columns, shape))) for _ in range(ROUNDS)]
    own = statistics.median(own for _, own in rounds)
    return {
        "rows": rows,
        "columns": COLUMNS,
        "read_s": statistics.median(floor for floor, _ in rounds),
        "profile_s": own,
        "rows_per_s": rows / own,
        "over_read": statistics.median(own / floor for floor, own in rounds),
        "compare_s": statistics.median(
            took(partial(compare, columns, table(rows, seed=2))) for _ in range(3)
        ),
    }


def beside(peer: str, rows: int, measured: dict[str, Any]) -> dict[str, Any]:
    """Time a peer on the same tables; or say why it could not be."""
    try:
        python = python_of(peer)
    except load.Failed as error:
        return {"peer": peer, "refused": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.npy" for name in ("reference", "current")]
        for seed, file in enumerate(files, 1):
            np.save(file, np.stack(list(table(rows, seed).values())))
        program = HERE / "peers" / f"profile_with_{peer}.py"
        try:
            said = subprocess.run(
                [python, "-W", "ignore", program, *files],
                capture_output=True,
                text=True,
                timeout=PEER_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            return {"peer": peer, "refused": " ".join(error.stderr.split())[-400:]}
        except subprocess.TimeoutExpired:
            return {"peer": peer, "refused": f"it took more than {PEER_S} s"}
    told = json.loads(said.stdout.splitlines()[-1])
    if (told["rows"], told["columns"]) != (rows, COLUMNS):
        return {"peer": peer, "refused": f"it counted {told}"}
    own = measured["compare_s" if peer == "evidently" else "profile_s"]
    return {"peer": peer, "seconds": told["seconds"], "own_s": own, "ratio": told["seconds"] / own}


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peers", default="", help="evidently, whylogs or both, with a comma between them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    measured = measure(asked.rows)
    peers = [beside(peer, asked.rows, measured) for peer in asked.peers.split(",") if peer]
    if asked.json:
        print(json.dumps({**measured, "peers": peers}, indent=2))
        return
    print(f"{asked.rows:,} rows x {COLUMNS} columns of float64\n")
    print("| what | measured | bar |\n|---|---:|---:|")
    print(f"| bare read | {measured['read_s'] * 1e3:.1f} ms | |")
    print(f"| profile | {measured['profile_s'] * 1e3:.1f} ms | |")
    print(f"| rows of 20 columns a second | {measured['rows_per_s'] / 1e6:.1f} M | {BAR_ROWS / 1e6:.0f} M |")
    print(f"| profile over bare read | {measured['over_read']:.1f} | {BAR_READ:.0f} |")
    print(f"| two windows from their rows, with all effects | {measured['compare_s'] * 1e3:.0f} ms | |")
    for peer in peers:
        if "refused" in peer:
            print(f"| {peer['peer']} | not measured: {peer['refused']} | |")
        else:
            print(f"| {peer['peer']}, {peer['seconds']:.1f} s | {peer['ratio']:.0f}x | {BAR_PEER:.0f}x |")


if __name__ == "__main__":
    main()
