"""What the loop's pipelines did, as clients of the tracking interface find it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import pytest
from tests.operate.tiny import begin, train_first
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.digest import Digest, canonical_json
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.find_runs import compare_runs
from mainspring.operate.log_runs import turn_run
from mainspring.operate.loop_runs import end_run
from mainspring.operate.made_with import COMMIT, DIFF, MACHINE, made_with
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
        turn_run(tx, run.run_id, Lifecycle.DELETED, 0)
        end_run(tx, run, workspace.clock.now())
        assert tx.runs.get(run.run_id).state is RunState.COMPLETED
        turn_run(tx, run.run_id, Lifecycle.ACTIVE, 0)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_a_run_knows_the_commit_of_its_product_files_and_what_was_not_committed(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        (tmp_path / "other.txt").write_text("one")
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "other.txt", "root/product.py")
        git(tmp_path, "commit", "-qm", "a")
        told = made_with(workspace.settings.root, workspace.blobs)
        assert len(told[COMMIT]) == 40
        assert DIFF not in told
        (tmp_path / "other.txt").write_text("two")  # is none of the product's files
        assert DIFF not in made_with(workspace.settings.root, workspace.blobs)
        file = tmp_path / "root" / "product.py"
        file.write_text(file.read_text().replace("rounds: int = 20", "rounds: int = 21"))
        diff = workspace.blobs.get(Digest(made_with(workspace.settings.root, workspace.blobs)[DIFF])).decode()
        assert "+    examples: pl.DataFrame, *, rounds: int = 21" in diff


def test_what_a_repository_configures_is_not_run(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "root/product.py")
        git(tmp_path, "commit", "-qm", "a")
        for name in ("core.fsmonitor", "diff.external", "diff.py.command", "diff.py.textconv"):
            git(tmp_path, "config", name, f"touch {tmp_path / 'harmed'}; false")
        (tmp_path / ".gitattributes").write_text("*.py diff=py\n")
        (tmp_path / "root" / "product.py").write_text("x = 1\n")
        assert DIFF in made_with(workspace.settings.root, workspace.blobs)
        assert not (tmp_path / "harmed").exists()


def test_a_run_tells_the_machine_and_what_its_steps_have_used(root: Path) -> None:
    with open_workspace(root) as workspace, workspace.database.read() as tx:
        run = tx.logged_runs.get(tx.registry.versions("tiny")[0].run_id)
        steps = found(tx, f"tags.mlflow.parentRunId = '{run.run_id}'")
        assert "cores" in run.tags[MACHINE]
        used = {each.name: {metric.key: metric.value for metric in each.metrics} for each in steps}
        assert all(
            0 < each["cost.cpu_s"] < 600 and 10 < each["cost.peak_mib"] < 20_000 for each in used.values()
        )
        whole = {metric.key: metric.value for metric in run.metrics}
        assert whole["cost.cpu_s"] == pytest.approx(sum(each["cost.cpu_s"] for each in used.values()))
        assert whole["cost.peak_mib"] == max(each["cost.peak_mib"] for each in used.values())
        assert "cost" not in "".join(each.data for each in tx.ledger.entries())


def test_two_runs_of_other_code_and_packages_differ_in_both(root: Path, tmp_path: Path) -> None:
    with open_workspace(Path(copytree(root, tmp_path / "root"))) as workspace:
        with workspace.database.read() as tx:
            first = tx.logged_runs.get(tx.registry.versions("tiny")[0].run_id)
        kind, version, packages = json.loads(
            workspace.blobs.get(Digest(first.tags["mainspring.environment"]))
        )
        other = workspace.blobs.put(canonical_json([kind, version, [*packages[1:], "new==1"]]).encode())
        files = json.loads(workspace.blobs.get(Digest(first.tags["mainspring.code"])))
        files["product.py"] = files["product.py"].replace("rounds: int = 20", "rounds: int = 21")
        code = workspace.blobs.put(canonical_json(files).encode())
        with workspace.database.write() as tx:
            second = replace(
                first,
                run_id="b" * 32,
                tags=dict(first.tags) | {"mainspring.environment": other, "mainspring.code": code},
            )
            tx.logged_runs.add(second)
        compared = compare_runs(workspace, first.run_id, second.run_id)
        assert compared.packages == {
            packages[0].split("==")[0]: (packages[0].split("==")[1], None),
            "new": (None, "1"),
        }
        assert "-    examples: pl.DataFrame, *, rounds: int = 20" in compared.code
        assert compare_runs(workspace, first.run_id, first.run_id).code == ""


@pytest.mark.parametrize("tag", ["", "x", "0" * 64])
def test_a_digest_that_a_client_made_up_names_nothing(root: Path, tmp_path: Path, tag: str) -> None:
    with open_workspace(Path(copytree(root, tmp_path / "root"))) as workspace:
        with workspace.database.write() as tx:
            first = tx.logged_runs.get(tx.registry.versions("tiny")[0].run_id)
            tags = dict(first.tags) | {
                "mainspring.environment": tag,
                "mainspring.code": first.tags["mainspring.environment"],
            }
            tx.logged_runs.add(replace(first, run_id="c" * 32, tags=tags))
        compared = compare_runs(workspace, first.run_id, "c" * 32)
        assert (compared.code, compared.packages) == ("", {})
