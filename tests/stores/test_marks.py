"""Marks of long histories: no extreme is missed, whenever points come, and short histories are what they are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from tests.operate.tiny import begin
from tests.stores.conftest import BOTH

from mainspring.operate.curves import curves
from mainspring.operate.free import free
from mainspring.operate.log_runs import NewRun, create_run, turn_run
from mainspring.stores.sql import Database
from mainspring.stores.sql.insert import add_new
from mainspring.stores.sql.marks import STRETCH, keep_marks, mark, read_curve
from mainspring.stores.sql.tracking_schema import metric_late, metric_marked, metric_marks, metric_points
from mainspring.tracking.record import Lifecycle, Metric
from mainspring.workspace import open_workspace

SHORT = 8


def row(run: int, ms: int, step: int, value: float, *, is_nan: bool = False) -> dict[str, Any]:
    return {"run": run, "key": "m", "timestamp_ms": ms, "step": step, "value": value, "is_nan": is_nan}


numbers = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float)
batches = st.lists(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), numbers, st.booleans()), max_size=30),
    max_size=8,
)


@given(batches=batches)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_extremes_ends_and_late_points_are_among_the_points_of_a_chart(
    shared_database: Database, batches: list[list[tuple[int, int, float, bool]]]
) -> None:
    with shared_database.write() as tx:
        connection = tx.logged_runs.connection  # type: ignore[attr-defined]
        nested = connection.begin_nested()
        tx.experiments.add("e", None, {}, 1)
        run_id = create_run(tx, NewRun(experiment_id=0, started_ms=0)).run_id
        run = tx.logged_runs._row(run_id).position  # type: ignore[attr-defined]
        known = set()
        for batch in batches:
            rows = [row(run, ms, step, 0.0 if nan else value, is_nan=nan) for ms, step, value, nan in batch]
            if rows:
                add_new(connection, metric_points, rows)
                keep_marks(connection, run, rows, stretch=SHORT)
            known |= {(each["timestamp_ms"], each["step"], each["value"], each["is_nan"]) for each in rows}
        while mark(connection, run, "m", stretch=SHORT):
            pass
        found, more = read_curve(connection, run, "m", most=1_000)
        nested.rollback()
    shown = {tuple(each) for each in found}
    assert not more
    assert shown <= known
    if known:
        steps = [step for _, step, _, _ in known]
        assert {min(steps), max(steps)} <= {step for _, step, _, _ in shown}
    told = [value for _, _, value, nan in known if not nan]
    if told:
        assert {min(told), max(told)} <= {value for _, _, value, nan in shown if not nan}
    if len(known) <= 2 * SHORT:
        assert shown == known


def arrivals(way: str, steps: int) -> list[tuple[int, int]]:
    """Moment and step of each point of a history, in the order in which they come."""
    order = list(range(steps))
    match way:
        case "newest first":
            return [(step, step) for step in reversed(order)]
        case "four at once":  # each in a quarter of the steps
            quarter = steps // 4
            return [(step, step % 4 * quarter + step // 4) for step in order]
        case "blocks in any order":
            blocks = [order[first : first + 50] for first in range(0, steps, 50)]
            return [(step, step) for place in range(len(blocks)) for step in blocks[place * 37 % len(blocks)]]
        case _:
            return [(step, step) for step in order]


@pytest.mark.parametrize("way", ["in order", "newest first", "four at once", "blocks in any order"])
def test_each_peak_of_its_neighbourhood_is_drawn_and_few_points_are_read_however_they_come(
    shared_database: Database, way: str
) -> None:
    stretch, steps = 64, 8_000
    peaks = range(100, steps, 16 * stretch)
    with shared_database.write() as tx:
        connection = tx.logged_runs.connection  # type: ignore[attr-defined]
        nested = connection.begin_nested()
        tx.experiments.add("e", None, {}, 1)
        run_id = create_run(tx, NewRun(experiment_id=0, started_ms=0)).run_id
        run = tx.logged_runs._row(run_id).position  # type: ignore[attr-defined]
        # Values differ by where they are: a peak of one part of the steps lies below all of another.
        rows = [
            row(run, ms, step, 1000.0 * (step * 4 // steps) + (500.0 if step in peaks else step % 7))
            for ms, step in arrivals(way, steps)
        ]
        for first in range(0, steps, 100):
            add_new(connection, metric_points, rows[first : first + 100])
            keep_marks(connection, run, rows[first : first + 100], stretch=stretch)
        found, more = read_curve(connection, run, "m", most=1_000)
        nested.rollback()
    assert not more
    assert {*peaks, 0, steps - 1} <= {step for _, step, _, _ in found}
    assert len(found) <= steps // 4


def point(step: int, value: float = 0.0, ms: int | None = None) -> Metric:
    return Metric(key="m", value=value, timestamp_ms=step if ms is None else ms, step=step)


def log(database: Database, run_id: str, points: list[Metric]) -> None:
    for first in range(0, len(points), 1000):
        with database.write() as tx:
            tx.logged_runs.log(run_id, points[first : first + 1000])


@pytest.mark.parametrize("kind", BOTH)
def test_of_a_long_history_few_points_are_read_and_no_peak_is_missed(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    root = tmp_path / "root"
    workspace = begin(root)
    if kind == "postgresql":
        workspace.close()
        with (root / "mainspring.toml").open("a") as file:
            file.write(f'database = "{request.getfixturevalue("postgresql_url")}"\n')
        workspace = open_workspace(root)
    with workspace:
        with workspace.database.write() as tx:
            run_id = create_run(tx, NewRun(experiment_id=0, started_ms=0)).run_id
        points = [point(step, value=step % 7) for step in range(15 * STRETCH)]
        points[STRETCH + 5] = point(STRETCH + 5, value=99.0)
        log(workspace.database, run_id, points)
        # What came before marks were kept is marked when a chart is asked for.
        with workspace.database.write() as tx:
            while tx.logged_runs.mark(run_id, "m"):
                pass
        drawn = curves(workspace, run_id, ["m"])["m"]
        assert len(drawn) <= 2_000
        assert max(each.value for each in drawn) == 99.0
        assert (drawn[0].step, drawn[-1].step) == (0, 15 * STRETCH - 1)
        late = point(7 * STRETCH + 1, value=-5.0, ms=3)
        log(workspace.database, run_id, [late])
        assert min(each.value for each in curves(workspace, run_id, ["m"])["m"]) == -5.0

        with workspace.database.write() as tx:
            turn_run(tx, run_id, Lifecycle.DELETED, 0)
        free(workspace, older_than=timedelta(0), actor="ana")
        with workspace.database.read() as tx:
            for table in (metric_points, metric_marks, metric_late, metric_marked):
                count = select(func.count()).select_from(table)
                assert tx.logged_runs.connection.execute(count).scalar_one() == 0  # type: ignore[attr-defined]


def test_a_history_that_is_not_marked_yet_is_marked_when_its_chart_is_asked_for(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        with workspace.database.write() as tx:
            run_id = create_run(tx, NewRun(experiment_id=0, started_ms=0)).run_id
            run = tx.logged_runs._row(run_id).position  # type: ignore[attr-defined]
            rows = [
                {
                    "run": run,
                    "key": "m",
                    "timestamp_ms": step,
                    "step": step,
                    "value": float(step == 777),
                    "is_nan": False,
                }
                for step in range(60_000)
            ]
            add_new(tx.logged_runs.connection, metric_points, rows)  # type: ignore[attr-defined]
        drawn = curves(workspace, run_id, ["m"])["m"]
        assert len(drawn) <= 2_000
        assert [each.step for each in drawn if each.value == 1.0] == [777]
