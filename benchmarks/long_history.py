"""A chart of a metric with ten million points: what of it is read, beside reading as many rows and reading all.

    python benchmarks/long_history.py [--points 10000000] [--database URL] [--json]

The points are logged in batches of 1,000 through the store, as a client's would be, into SQLite in a folder of its
own, or into the empty PostgreSQL database that is named. The floor reads as many rows of the same table by key. To
read all is estimated: a thousandth of the history, times a thousand.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import track
from sqlalchemy import select

from mainspring.operate.curves import curves
from mainspring.operate.log_runs import NewRun, create_run
from mainspring.stores.sql.marks import read_curve
from mainspring.stores.sql.tracking_schema import metric_points
from mainspring.tracking.compare import thin
from mainspring.tracking.record import Metric
from mainspring.workspace import Workspace, open_workspace

BATCH, SHOWN, TURNS = 1_000, 1_000, 9
BAR_MS = 100


def points(first: int) -> list[Metric]:
    return [
        Metric(key="loss", value=math.sin(step / 1e5) + step % 7 / 10, timestamp_ms=step, step=step)
        for step in range(first, first + BATCH)
    ]


def timed(call: Callable[[], object]) -> float:
    """Seconds of the middle of several calls."""
    found = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def measured(workspace: Workspace, count: int) -> dict[str, float]:
    with workspace.database.write() as tx:
        run_id = create_run(tx, NewRun(experiment_id=0, started_ms=0)).run_id
    extremes = [math.inf, -math.inf]
    begin = time.perf_counter()
    for first in track(range(0, count, BATCH), "logging", console=Console(stderr=True)):
        batch = points(first)
        extremes = [
            f(f(point.value for point in batch), before)
            for f, before in zip((min, max), extremes, strict=True)
        ]
        with workspace.database.write() as tx:
            tx.logged_runs.log(run_id, batch)
    logging = time.perf_counter() - begin

    def chart() -> tuple[Metric, ...]:
        return thin(curves(workspace, run_id, ["loss"])["loss"], SHOWN)

    def rows(some: int) -> None:
        table = metric_points.c
        wanted = select(metric_points).order_by(table.run, table.key, table.timestamp_ms).limit(some)
        with workspace.database.read() as tx:
            tx.logged_runs.connection.execute(wanted).all()

    with workspace.database.read() as tx:
        store = tx.logged_runs
        read = len(read_curve(store.connection, store._row(run_id).position, "loss", most=count)[0])
    shown = chart()
    assert [f(point.value for point in shown) for f in (min, max)] == extremes
    return {
        "points": count,
        "points_a_second": count / logging,
        "points_read": read,
        "points_shown": len(shown),
        "chart_ms": 1000 * timed(chart),
        "floor_ms": 1000 * timed(lambda: rows(read)),
        "all_ms": 1000 * 1000 * timed(lambda: rows(count // 1000)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.database:
            (Path(folder) / "mainspring.toml").write_text(f'database = "{asked.database}"\n')
        (Path(folder) / "product.py").touch()
        with open_workspace(Path(folder)) as workspace:
            found = measured(workspace, asked.points)
    if asked.json:
        print(json.dumps(found))
        return
    chart, floor = found["chart_ms"], found["floor_ms"]
    print(f"{found['points']:,.0f} points logged, {found['points_a_second']:,.0f} a second")
    print(
        f"chart: {chart:.1f} ms, {found['points_read']:,.0f} points read and {found['points_shown']:,.0f} shown"
    )
    print(
        f"floor: {floor:.1f} ms for as many rows, a ratio of {chart / floor:.1f}; all: {found['all_ms']:,.0f} ms"
    )
    print(f"bar: {BAR_MS} ms, {'met' if chart < BAR_MS else 'missed'}")


if __name__ == "__main__":
    main()
