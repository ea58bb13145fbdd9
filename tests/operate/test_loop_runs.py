"""What the loop's pipelines did, as clients of the tracking interface find it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.operate.tiny import begin, train_first
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.controller import turn
from mainspring.operate.log_runs import turn_run
from mainspring.operate.loop_runs import end_run
from mainspring.operate.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.pipelines import RunState
from mainspring.search import RUNS, Search, parse_filter
from mainspring.stores.sql import Transaction
from mainspring.tracking.record import Lifecycle, Run, RunStatus
from mainspring.workspace import open_workspace


def found(tx: Transaction, text: str) -> list[Run]:
    home = tx.experiments.named("tiny").experiment_id
    page = tx.logged_runs.search([home], Search(condition=parse_filter(text, RUNS), limit=100))
    return list(page.items)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("runs") / "root")


def test_a_cycles_run_is_logged_with_its_params_metrics_data_and_verdict(root: Path) -> None:
    with open_workspace(root) as workspace, workspace.database.read() as tx:
        assert tx.experiments.named("tiny").tags == {"mainspring.product": "tiny"}
        [run] = found(tx, "tags.mainspring.trigger = 'on_new_data' AND params.`train.rounds` = '20'")
        version = tx.registry.versions("tiny")[0]
        assert (run.run_id, run.name, run.status) == (version.run_id, "tiny/1", RunStatus.FINISHED)
        judged = {
            each.key.removeprefix("judged."): each.value for each in run.metrics if "judged." in each.key
        }
        assert judged == version.metrics
        assert run.tags["mainspring.verdict"] in version.reason
        [read] = run.datasets
        assert json.loads(read.dataset.source)["ref"] == version.data[0]


def test_its_steps_are_nested_runs_that_say_why_they_ran(root: Path) -> None:
    with open_workspace(root) as workspace, workspace.database.read() as tx:
        run = tx.registry.versions("tiny")[0].run_id
        steps = found(tx, f"tags.mlflow.parentRunId = '{run}'")
        assert sorted(step.name for step in steps) == ["examples", "recent", "train"]
        assert {step.tags["mainspring.why"] for step in steps} == {"it never ran before"}


def test_a_run_that_failed_says_of_what(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        workspace.advance(FIRST + timedelta(days=31))
        request_training(
            workspace, "tiny", request_id="r", actor="ana", reason="try", params={"train.rounds": -5}
        )
        turn(workspace)
        with workspace.database.read() as tx:
            failed = found(tx, "attributes.status = 'FAILED'")
            assert [run.params["train.rounds"] for run in failed] == ["-5"]
            assert failed[0].tags["mainspring.error"] == tx.runs.get(failed[0].run_id).error


def test_a_client_that_deletes_the_loops_run_does_not_stop_the_loop(root: Path) -> None:
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        run = tx.runs.runs("tiny")[0]
        turn_run(tx, run.run_id, Lifecycle.DELETED)
        end_run(tx, run, workspace.clock.now())
        assert tx.runs.get(run.run_id).state is RunState.COMPLETED
        turn_run(tx, run.run_id, Lifecycle.ACTIVE)
