"""Rows a second of `mainspring score` against the bare loop: the same model on the same rows in one plain process.

    python benchmarks/batch_scoring.py [--rows 1000000] [--json]

The product of the tests, with 120 trees of 31 leaves, scores rows of a data version in a temporary workspace: planned,
scored in parts by worker processes, each part a blob, all of them published as a data version with its event. The bare
loop reads the same rows from one Parquet file, asks the model once, on as many threads as there are cores, and writes
one Parquet file; nothing of it can be resumed, found again or traced. Both are timed in turns, from the start of their
processes; a last figure leaves out the start of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.products.tiny.orders import FIRST, orders, parquet  # noqa: E402

from mainspring.operate.controller import turn  # noqa: E402
from mainspring.operate.data.publish import add_batch  # noqa: E402
from mainspring.operate.declare import declare  # noqa: E402
from mainspring.operate.score_data import score_data  # noqa: E402
from mainspring.ref import ModelRef  # noqa: E402
from mainspring.workspace import Workspace, open_workspace  # noqa: E402

PRODUCT = ROOT / "tests" / "products" / "tiny"
RUNS = 3
NEXT = FIRST + timedelta(days=30)

BARE = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from mainspring.formats.onnx import OnnxModel
rows = pl.read_parquet(sys.argv[1])
model = OnnxModel.load(Path(sys.argv[2]).read_bytes(), threads=int(sys.argv[4]))
answers = model.predict({
    "amount": rows["amount"].cast(pl.Float32).to_numpy(),
    "hour": rows["hour"].cast(pl.Float32).to_numpy(),
    "kind": rows["kind"].to_numpy().astype(object),
})
rows.select("order_id", "asked_at", probability=answers).write_parquet(sys.argv[3])
"""


def begin(folder: Path, rows: int) -> Workspace:
    """Open a workspace with a champion, and with a second data version of that many more rows."""
    declared = (PRODUCT / "product.py").read_text()
    for small, large in (('"num_leaves": 7', '"num_leaves": 31'), ("rounds: int = 20", "rounds: int = 120")):
        assert small in declared
        declared = declared.replace(small, large)
    (folder / "product.py").write_text(declared)
    (folder / "mainspring.toml").write_text((PRODUCT / "mainspring.toml").read_text())
    workspace = open_workspace(folder)
    declare(workspace, actor="benchmark")
    add_batch(workspace, "orders", parquet(orders(days=30)), actor="benchmark")
    turn(workspace)
    added = add_batch(workspace, "orders", parquet(more(rows)), actor="benchmark")
    if added.version != 2:
        raise SystemExit(f"the rows to score were refused: {added.report.refusal}")
    return workspace


def more(rows: int) -> pl.DataFrame:
    """Orders of one month, as those of the tests."""
    rng = np.random.default_rng(1)
    asked = pl.Series(np.sort(rng.integers(0, 30 * 86_400_000_000, rows))).cast(pl.Duration("us")) + NEXT
    return pl.DataFrame(
        {
            "order_id": pl.int_range(rows, eager=True).cast(pl.String),
            "asked_at": asked,
            "amount": np.round(rng.gamma(2.0, 60.0, rows).clip(0, 1_000), 2),
            "hour": asked.dt.hour().cast(pl.Int64),
            "kind": rng.choice(["a", "b", "c"], rows),
            "late": rng.random(rows) < 0.2,
            "settled_at": asked + timedelta(hours=5),
        }
    )


def cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def ours(workspace: Workspace, run: int) -> tuple[float, float, float]:
    """Seconds of a scoring, those from its plan to its end, and its CPU seconds."""
    planned_at: list[float] = []
    started, used = time.perf_counter(), cpu_s()
    scoring = score_data(
        workspace,
        "tiny",
        ["orders@v2"],
        actor="benchmark",
        since=NEXT,
        until=NEXT
        + timedelta(days=31, microseconds=run),  # another question each time, with the same answers
        progress=lambda done, rows: planned_at.append(time.perf_counter()),
    )
    ended = time.perf_counter()
    assert not scoring.reused
    assert not scoring.unanswered
    return ended - started, ended - planned_at[0], cpu_s() - used


def bare(file: Path, model: Path, output: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of the bare loop, as a process."""
    arguments = [str(each) for each in (file, model, output, os.cpu_count())]
    started, used = time.perf_counter(), cpu_s()
    subprocess.run([sys.executable, "-c", BARE, *arguments], check=True)
    return time.perf_counter() - started, cpu_s() - used


def measure(rows: int) -> dict[str, Any]:
    """Time both in turns; figures are medians."""
    scored, floor = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "workspace"
        folder.mkdir()
        with begin(folder, rows) as workspace:
            with workspace.database.read() as tx:
                artifact = tx.registry.get(ModelRef("tiny", 1)).artifact
            file = Path(temporary) / "rows.parquet"
            more(rows).write_parquet(file)
            for run in range(RUNS):
                floor.append(bare(file, workspace.blobs.path(artifact), Path(temporary) / "bare.parquet"))
                scored.append(ours(workspace, run))
    whole, planned, used = (statistics.median(each) for each in zip(*scored, strict=True))
    bare_whole, bare_used = (statistics.median(each) for each in zip(*floor, strict=True))
    return {
        "rows": rows,
        "runs": RUNS,
        "rows_per_s": round(rows / whole),
        "rows_per_s_after_plan": round(rows / planned),
        "cpu_s": round(used, 2),
        "bare_rows_per_s": round(rows / bare_whole),
        "bare_cpu_s": round(bare_used, 2),
        "ratio": round(statistics.median(b[0] / o[0] for b, o in zip(floor, scored, strict=True)), 2),
        "cpu_ratio": round(statistics.median(b[1] / o[2] for b, o in zip(floor, scored, strict=True)), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many rows to score")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.rows)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"{figures['rows']:,} rows, medians of {figures['runs']} runs in turns\n")
    print("| | rows a second | CPU seconds |\n|---|---:|---:|")
    print(f"| bare loop, one process | {figures['bare_rows_per_s']:,} | {figures['bare_cpu_s']} |")
    print(f"| **`mainspring score`** | **{figures['rows_per_s']:,}** | {figures['cpu_s']} |")
    print(f"| the same, once planned | {figures['rows_per_s_after_plan']:,} | |")
    print(
        f"\nIt reaches {figures['ratio']:.0%} of the bare loop's rows a second, "
        f"and {figures['cpu_ratio']:.0%} of its rows per CPU second."
    )


if __name__ == "__main__":
    main()
