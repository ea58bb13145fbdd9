"""`mainspring runs`: what was logged, found, shown and compared at a terminal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import sleep

import pytest
from tests.cli.conftest import Command
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.log_runs import NewRun, create_experiment, create_run, log
from mainspring.operate.request import request_training
from mainspring.tracking.record import Metric, RunStatus
from mainspring.workspace import open_workspace


@pytest.fixture
def logged(root: Path) -> list[str]:
    """Two runs of a client, beside those of the loop."""
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        home = create_experiment(tx, "trees", "", {}, 5).experiment_id
        for number, depth in enumerate(["3", "5"]):
            run_id = f"{number + 1}{'0' * 30}{number}"
            create_run(
                tx, NewRun(experiment_id=home, name=f"depth {depth}", started_ms=number, run_id=run_id)
            )
            points = [
                Metric(key="auc", value=0.5 + step * (number + 1) / 20, timestamp_ms=step, step=step)
                for step in range(5)
            ]
            log(tx, run_id, points, [("depth", depth), ("same", "x")])
    return [f"1{'0' * 30}0", f"2{'0' * 30}1"]


def test_runs_are_found_by_what_was_logged(logged: list[str], mainspring: Command) -> None:
    found = mainspring("runs", "find", "metrics.auc > 0.55", "--order", "metrics.auc DESC", "--json").json
    assert [run["run_id"] for run in found] == [logged[1], logged[0]]
    assert found[0]["experiment"] == "trees"
    inside = mainspring(
        "runs", "find", "params.depth = '3' OR tags.none IS NOT NULL", "--experiment", "trees"
    )
    assert "depth 3" in inside.out
    assert "depth 5" not in inside.out


def test_only_the_columns_that_are_asked_for_are_shown(logged: list[str], mainspring: Command) -> None:
    asked = (
        "runs",
        "find",
        "metrics.auc > 0.55",
        "--column",
        "params.depth",
        "--column",
        "tags.mlflow.runName",
    )
    [one, _] = mainspring(*asked, "--json").json
    assert (one["metrics"], one["params"], list(one["tags"])) == ({}, {"depth": "5"}, ["mlflow.runName"])
    assert mainspring("runs", "find", "--column", "attributes.status").code == 2
    assert mainspring("runs", "find", "--column", "metrics.auc x").code == 2


def test_the_loops_runs_are_found_with_them(logged: list[str], mainspring: Command) -> None:
    found = mainspring("runs", "find", "tags.mainspring.trigger = 'on_new_data'", "--json").json
    assert [run["name"] for run in found] == ["tiny/1"]


def test_a_run_is_shown_by_the_beginning_of_its_id(logged: list[str], mainspring: Command) -> None:
    said = mainspring("runs", "show", "2000")
    assert "depth 5" in said.out
    assert "▁▃▄▆█" in said.out
    assert mainspring("runs", "show", "2000", "--json").json["params"] == {"depth": "5", "same": "x"}


def test_two_runs_are_compared_in_what_differs(logged: list[str], mainspring: Command) -> None:
    said = mainspring("runs", "compare", "1000", "2000")
    assert "depth" in said.out
    assert "same" not in said.out
    assert "same" in mainspring("runs", "compare", "1000", "2000", "--all-of-it").out
    assert mainspring("runs", "compare", "1000", "1000").out.startswith("They differ in nothing")
    differences = mainspring("runs", "compare", "1000", "2000", "--json").json["differences"]
    assert {"kind": "param", "name": "depth", "values": ["3", "5"]} in differences


def test_of_two_runs_it_is_told_what_differs_in_their_rows(root: Path, mainspring: Command) -> None:
    with open_workspace(root) as workspace:
        newer = orders(FIRST + timedelta(days=30), days=2)
        assert add_batch(workspace, "orders", parquet(newer), actor="ana").version == 2
        request_training(workspace, "tiny", request_id="2", actor="ana", reason="to see")
        turn(workspace)
    runs = mainspring("runs", "find", "tags.mainspring.cycle LIKE '%'", "--json").json
    ids = {run["name"]: run["run_id"] for run in runs}
    said = mainspring("runs", "compare", ids["tiny/1"], ids["tiny/2"])
    assert (
        "orders@v1 → orders@v2: 3,000 → 3,200 rows; 200 added, 0 changed, 0 removed by order_id" in said.out
    )
    (found,) = mainspring("runs", "compare", ids["tiny/1"], ids["tiny/2"], "--json").json["data"]
    assert (found["rows_added"], found["rows_changed"]) == (200, 0)


def test_a_run_that_has_ended_is_told_once(logged: list[str], mainspring: Command) -> None:
    with open_workspace(Path.cwd()) as workspace, workspace.database.write() as tx:
        tx.logged_runs.update(logged[0], status=RunStatus.FINISHED, ended_ms=9)
    said = mainspring("runs", "watch", "1000")
    assert said.out.splitlines() == ["depth 3 finished auc 0.7"]
    assert mainspring("runs", "watch", "1000", "--json").json["status"] == "FINISHED"
    assert mainspring("runs", "watch", "1000", "--every", "0").code == 2


def test_a_run_is_watched_until_it_ends(root: Path, logged: list[str], mainspring: Command) -> None:
    def go_on() -> None:
        with open_workspace(root) as workspace:
            for step in range(5, 8):
                with workspace.database.write() as tx:
                    log(tx, logged[0], [Metric(key="auc", value=step / 10, timestamp_ms=step, step=step)], [])
                sleep(0.3)
            with workspace.database.write() as tx:
                tx.logged_runs.update(logged[0], status=RunStatus.FINISHED, ended_ms=9)

    client = Thread(target=go_on)
    client.start()
    told = mainspring("runs", "watch", "1000", "--every", "0.05").out.splitlines()
    client.join()
    assert told[-1] == "depth 3 finished auc 0.7"
    assert {"depth 3 running auc 0.5", "depth 3 running auc 0.6"} < set(told)


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["find", "metrics.auc >"], 2, "Invalid clause(s) in filter string"),
        (["find", "--order", "metrics.auc UP"], 2, "a key is followed by ASC or DESC at most"),
        (["find", "--limit", "0"], 2, "ask for one run at least"),
        (["find", "--experiment", "none"], 3, "Could not find experiment"),
        (["show", "none"], 3, "Run with id=none not found"),
        (["show", ""], 3, "not found"),
        (["show", "%"], 3, "not found"),
        (["compare", "1", "none"], 3, "Run with id=none not found"),
    ],
)
def test_what_cannot_be_found_is_said(
    logged: list[str], mainspring: Command, asked: list[str], code: int, said: str
) -> None:
    answer = mainspring("runs", *asked)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_the_beginning_of_several_ids_names_them(logged: list[str], root: Path, mainspring: Command) -> None:
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        create_run(tx, NewRun(experiment_id=0, started_ms=1, run_id="1000other"))
    answer = mainspring("runs", "show", "1000")
    assert answer.code == 2
    assert "1000other" in answer.err
