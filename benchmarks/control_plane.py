"""What the control plane adds to a cycle: its wall time less the time that the user's own steps took.

    python benchmarks/control_plane.py [--json]

Cycles of the tiny product of the tests are carried to promotion in a temporary workspace: each on a new data version,
so that no step is reused. The steps time themselves, in the worker process where they run. The floor is the same steps
on the same rows in one plain Python process, from its start to its end. Traffic is logged and counted between the
turns and not timed; what is timed is the turns of the loop: deciding, training, judging with champion and clean
process, registering, and the steps of the rollout, with every transaction and its events.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.operate.tiny import ask  # noqa: E402
from tests.products.tiny.orders import orders, parquet  # noqa: E402

from mainspring.loop import CycleOutcome  # noqa: E402
from mainspring.operate.controller import turn  # noqa: E402
from mainspring.operate.data.publish import add_batch  # noqa: E402
from mainspring.operate.declare import declare  # noqa: E402
from mainspring.operate.ingest import ingest  # noqa: E402
from mainspring.operate.request import request_training  # noqa: E402
from mainspring.workspace import Workspace, open_workspace  # noqa: E402

PRODUCT = ROOT / "tests" / "products" / "tiny"
CYCLES = 5
PER_DAY = 1_000

# Between the declaration of a step and its function: `inspect` and so mainspring see the function through it.
TIMED = """
import functools as _functools, pathlib as _pathlib, time as _time

def _timed(function):
    @_functools.wraps(function)
    def run(*args, **kwargs):
        started = _time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            with _pathlib.Path(__file__).with_name("steps.txt").open("a") as file:
                file.write(f"{_time.perf_counter() - started}\\n")
    return run

"""

PLAIN = """
import sys
import polars as pl
import product
rows = pl.read_parquet(sys.argv[1])
known = rows.filter(pl.col("settled_at") <= rows["asked_at"].max() - pl.duration(days=5)).sort("asked_at")
examples = known.select("asked_at", pl.col("late").cast(pl.Int8).alias("label"), *product.product.inputs)
product.train(product.recent(examples))
"""


def begin(folder: Path) -> Workspace:
    """Open a workspace with the tiny product, its steps timed."""
    declared = (PRODUCT / "product.py").read_text()
    head, steps = declared.split("\n\n@ms.step\n", 1)
    timed = steps.replace("@ms.step\n", "@ms.step\n@_timed\n")
    (folder / "product.py").write_text(f"{head}\n{TIMED}\n@ms.step\n@_timed\n{timed}")
    (folder / "mainspring.toml").write_text((PRODUCT / "mainspring.toml").read_text())
    workspace = open_workspace(folder)
    declare(workspace, actor="benchmark")
    return workspace


def one_cycle(workspace: Workspace, number: int) -> dict[str, float]:
    """Carry a cycle from request to promotion; seconds by act, of all turns, and of the user's steps."""
    stopwatch, steps = Stopwatch(), workspace.settings.root / "steps.txt"
    steps.unlink(missing_ok=True)
    request_training(
        workspace, "tiny", request_id=f"{number}", actor="benchmark", reason="to measure", params={}
    )
    stopwatch.turn(workspace)
    while (cycle := _last(workspace)).outcome is None:
        workspace.advance(workspace.clock.now() + timedelta(days=1))
        ask(workspace, orders(workspace.clock.now() - timedelta(days=1), days=1, per_day=PER_DAY))
        ingest(workspace)
        stopwatch.turn(workspace)
    if cycle.outcome is not CycleOutcome.PROMOTED:
        raise SystemExit(f"cycle {number} was to be promoted, and it is {cycle.outcome}: {cycle.reason}")
    seconds = {"cycle": stopwatch.total_s, "steps": sum(map(float, steps.read_text().split()))}
    return seconds | dict(stopwatch.acts_s)


class Stopwatch:
    """Times turns, and within them the acts."""

    def __init__(self) -> None:
        self.total_s, self.acts_s = 0.0, defaultdict[str, float](float)
        self._began_at = 0.0

    def turn(self, workspace: Workspace) -> None:
        started = time.perf_counter()
        turn(workspace, self._boundary)
        self.total_s += time.perf_counter() - started

    def _boundary(self, place: str) -> None:
        when, _, act = place.partition(" ")
        if when == "before":
            self._began_at = time.perf_counter()
        elif when == "after":
            self.acts_s[act] += time.perf_counter() - self._began_at


def _last(workspace: Workspace) -> Any:
    with workspace.database.read() as tx:
        return tx.loop.cycles("tiny")[-1]


def plain(folder: Path, rows: pl.DataFrame) -> float:
    """Seconds of the same steps in one plain process."""
    file = folder / "rows.parquet"
    rows.write_parquet(file)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", PLAIN, str(file)], cwd=PRODUCT, check=True)
    return time.perf_counter() - started


def measure() -> dict[str, Any]:
    """Run the cycles, each beside the floor on as many rows; figures are medians."""
    cycles: list[dict[str, float]] = []
    batches: list[pl.DataFrame] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "workspace"
        folder.mkdir()
        with begin(folder) as workspace:
            for number in range(CYCLES + 1):
                now = workspace.clock.now()
                batches.append(orders(now - timedelta(days=30), days=29, per_day=PER_DAY, seed=number))
                add_batch(workspace, "orders", parquet(batches[-1]), actor="benchmark")
                seconds = one_cycle(workspace, number)
                workspace.advance(workspace.clock.now() + timedelta(days=28))
                if number > 0:  # the first version has no champion to be compared with
                    cycles.append(seconds | {"plain": plain(folder, pl.concat(batches))})

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(of, cycles))

    acts = {name for seconds in cycles for name in seconds if name[0].isupper()}
    return {
        "cycles": CYCLES,
        "cycle_s": round(median(lambda each: each["cycle"]), 3),
        "steps_s": round(median(lambda each: each["steps"]), 3),
        "control_plane_s": round(median(lambda each: each["cycle"] - each["steps"]), 3),
        "plain_process_s": round(median(lambda each: each["plain"]), 3),
        "ratio": round(median(lambda each: each["cycle"] / each["plain"]), 2),
        "acts_s": {
            name: round(median(lambda each, name=name: each.get(name, 0.0)), 3) for name in sorted(acts)
        },
    }


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
    print("| of a cycle | seconds |\n|---|---:|")
    print(f"| the whole cycle | {figures['cycle_s']:.3f} |")
    print(f"| the user's own steps, in the worker | {figures['steps_s']:.3f} |")
    print(f"| **control plane: all but the steps** | **{figures['control_plane_s']:.3f}** |")
    for act, seconds in sorted(figures["acts_s"].items(), key=lambda each: -each[1]):
        print(f"| - {act} | {seconds:.3f} |")
    print(f"| floor: the same steps in one plain process | {figures['plain_process_s']:.3f} |")
    print(f"\nA cycle takes {figures['ratio']} times the floor; medians of {CYCLES} cycles.")


if __name__ == "__main__":
    main()
