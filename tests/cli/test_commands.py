"""Each command on a workspace with a champion: what it prints, under which names, and with which exit code."""

from __future__ import annotations

import io
import sqlite3
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.cli.conftest import Command
from tests.operate.tiny import ask, begin
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.loop import Cycle, CycleState, TrainingRequest, TriggerKind
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.ingest import ingest
from mainspring.operate.logs import LogRow
from mainspring.operate.status import (
    CycleRow,
    DataRow,
    EventRow,
    ProductStatus,
    RolloutRow,
    RunRow,
    VersionRow,
)
from mainspring.operate.why_not import WhyNot
from mainspring.rollouts import Rollout
from mainspring.rollouts.store import UnitOutcome
from mainspring.strategy import Canary
from mainspring.workspace import open_workspace

NEXT = FIRST + timedelta(days=30)


def names(row: type[msgspec.Struct]) -> set[str]:
    return set(row.__struct_fields__)


# --- looking -----------------------------------------------------------------------------------------------------


def test_status_tells_champion_and_counts(root: Path, mainspring: Command) -> None:
    said = mainspring("status")
    assert said.code == 0
    assert "tiny@1, registered 2024-01-31 12:00" in said.out
    assert "none in progress, 1 so far" in said.out
    (found,) = mainspring("status", "tiny", "--json").json
    assert found.keys() == names(ProductStatus)
    assert found["champion"]["ref"] == "tiny@1"


def test_status_tells_the_estimate_before_labels_and_beside_it_what_labels_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mainspring: Command
) -> None:
    with begin(tmp_path / "busy") as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30, per_day=200)), actor="ada")
        turn(workspace)
        workspace.advance(NEXT)
        ask(workspace, orders(NEXT, days=1, per_day=300))
        ingest(workspace)
        workspace.advance(NEXT + timedelta(days=1))
    monkeypatch.chdir(tmp_path / "busy")
    said = " ".join(mainspring("status").out.split())
    assert (
        "on 300 predictions of 2024-01-31 to 2024-01-31, without their labels; measured on 300 labels" in said
    )
    assert "if the same inputs have the same outcomes as on the hold-out" in said
    (found,) = mainspring("status", "--json").json
    loss = found["estimate"]["metrics"]["log_loss"]
    assert loss["low"] < loss["value"] < loss["high"]


def test_status_says_why_there_is_no_estimate(root: Path, mainspring: Command) -> None:
    with open_workspace(root) as workspace:
        workspace.advance(NEXT)
        ask(workspace, orders(NEXT, days=1))
        ingest(workspace)
        workspace.advance(NEXT + timedelta(days=1))
    said = " ".join(mainspring("status").out.split())
    assert "not the log loss of 100 predictions of 2024-01-31" in said
    assert "and 500 and 50 are needed (reference_too_small)" in said


def test_status_names_the_monitors_that_cannot_see(root: Path, mainspring: Command) -> None:
    assert "insufficient data:" not in mainspring("status").out
    with open_workspace(root) as workspace:
        for day in (0, 1):
            workspace.advance(NEXT + timedelta(days=day, hours=13))
            ask(workspace, orders(NEXT + timedelta(days=day), days=1), labelled=False)
            turn(workspace)
    said = " ".join(mainspring("status").out.split())
    assert "spent by looking; insufficient data: quality:log_loss" in said
    assert "quality:log_loss cannot tell: insufficient data" in " ".join(mainspring("why-not").out.split())


def test_wanted_labels_are_listed_with_the_share_that_is_audited(root: Path, mainspring: Command) -> None:
    assert "No label is asked for now." in mainspring("labels", "wanted", "tiny").out
    with open_workspace(root) as workspace:
        workspace.advance(NEXT)
        ask(workspace, orders(NEXT, days=1, per_day=300), labelled=False)
        ingest(workspace)
    said = mainspring("labels", "wanted", "tiny")
    found = mainspring("labels", "wanted", "tiny", "--json").json
    assert 1 <= len(found) < 20
    assert found[0]["prediction_id"] in said.out
    assert "1%" in said.out
    assert len(mainspring("labels", "wanted", "tiny", "--limit", "1", "--json").json) == 1
    assert mainspring("labels", "wanted", "tiny", "--limit", "0").code == 2
    assert mainspring("labels", "wanted", "nope").code == 3


def test_status_of_a_workspace_that_nobody_started_says_what_to_do(root: Path, mainspring: Command) -> None:
    (root / ".mainspring" / "state.db").unlink()
    assert "mainspring up" in mainspring("status").out
    assert mainspring("status", "--json").json == []
    assert mainspring("explain").code == 2


def test_runs_tell_why_each_step_ran(root: Path, mainspring: Command) -> None:
    assert "train ran: it never ran before" in mainspring("runs").out
    (found,) = mainspring("runs", "tiny", "--json").json
    assert found.keys() == names(RunRow)
    assert [step["name"] for step in found["steps"]][:3] == ["examples", "recent", "train"]


def test_models_lists_versions_and_shows_one_by_number_or_alias(root: Path, mainspring: Command) -> None:
    assert "champion" in mainspring("models").out
    (row,) = mainspring("models", "tiny", "--json").json
    assert row.keys() == names(VersionRow)
    by_alias = mainspring("models", "tiny@champion", "--json").json
    assert by_alias == mainspring("models", "tiny@1", "--json").json == row
    text = mainspring("models", "tiny@1").out
    assert all(word in text for word in ("orders@v1", "probability", "as declared", row["artifact"]))


def test_versions_are_verified_one_or_all(root: Path, mainspring: Command) -> None:
    said = mainspring("models", "verify", "tiny@champion")
    assert said.code == 0
    assert "data/model.onnx" in said.out
    found = mainspring("models", "verify", "tiny@champion", "--json").json
    assert (found["ref"], found["sound"], found["signed"], found["faults"]) == ("tiny@1", True, True, [])
    assert mainspring("models", "verify", "--json").json == [found]
    assert mainspring("models", "verify", "tiny", "--json").json == [found]
    (digest,) = (part["sha256"] for part in found["parts"] if part["name"] == "artifact")
    (root / ".mainspring" / "blobs" / digest[:2] / digest[2:4] / digest).write_bytes(b"another")
    said = mainspring("models", "verify")
    assert said.code == 1
    assert "changed or damaged" in said.out
    assert mainspring("models", "verify", "tiny@1", "--json").json["sound"] is False
    assert "tiny@1 is not what was registered" in mainspring("status").out
    assert "tiny@1 is not what was registered" in mainspring("models", "sbom", "tiny@1").err


def test_the_bill_of_materials_is_listed_with_licences(root: Path, mainspring: Command) -> None:
    assert "BSD-3-Clause" in mainspring("models", "sbom", "tiny@champion").out
    assert mainspring("models", "sbom", "tiny@1", "--json").json["bomFormat"] == "CycloneDX"
    assert "its newest is 1" in mainspring("models", "sbom", "tiny@9").err


def test_cycles_are_listed(root: Path, mainspring: Command) -> None:
    assert "promoted" in mainspring("cycles").out
    (row,) = mainspring("cycles", "tiny", "--json").json
    assert row.keys() == names(CycleRow)


def test_explain_tells_a_cycle_from_trigger_to_outcome(root: Path, mainspring: Command) -> None:
    said = mainspring("explain").out
    story = ("on_new_data", "Trained", "recent", "Judged", "roc_auc at least 0.6", "Registered", "Promoted")
    assert [said.find(word) for word in story] == sorted(said.find(word) for word in story)
    assert -1 not in [said.find(word) for word in story]
    told = mainspring("explain", "tiny", "--cycle", "1", "--json").json
    assert told["cycle"].keys() == names(CycleRow)
    assert {event["type"] for event in told["events"]} >= {
        "cycle.started",
        "candidate.judged",
        "cycle.closed",
    }


def test_why_not_says_of_every_trigger_what_it_needs_and_has(root: Path, mainspring: Command) -> None:
    said = mainspring("why-not").out
    assert "No cycle starts." in said
    assert all(
        words in said for words in ("OnSchedule('0 3 1 * *')", "2,000 new rows of orders", "cooling down")
    )
    told = mainspring("why-not", "tiny", "--json").json
    assert told.keys() == names(WhyNot)
    assert {row["ready"] for row in told["triggers"]} == {False}
    assert mainspring("why-not", "tiny", "--at", told["at"], "--json").json == told
    assert mainspring("why-not", "tiny", "--at", "2999-01-01T00:00:00Z").code == 2
    assert mainspring("why-not", "tiny", "--at", "yesterday").code == 2


def test_a_rollout_is_shown_with_both_arms_and_what_each_guard_found(root: Path, mainspring: Command) -> None:
    assert "No rollout is in progress" in mainspring("rollout").out
    assert mainspring("rollout", "--json").json == []
    begin_rollout(root)
    said = mainspring("rollout", "tiny").out
    assert "tiny@2 against tiny@1" in said
    assert "20%" in said
    (row,) = mainspring("rollout", "--json").json
    assert row.keys() == names(RolloutRow)
    assert (row["arms"]["champion"]["units"], row["arms"]["challenger"]["failing"]) == (80, 1)
    assert len(row["evidence"]) == 2
    assert "tiny@2 serves 20%" in mainspring("status").out


def begin_rollout(root: Path) -> None:
    with open_workspace(root) as workspace, workspace.database.write() as tx:
        now = workspace.clock.now()
        cycle = Cycle(
            cycle_id="second",
            product="tiny",
            number=2,
            trigger=TriggerKind.ON_DEMAND,
            evidence="ada asked",
            actor="ada",
            params={},
            data={"orders": 1},
            opened_at=now,
            state=CycleState.ROLLING_OUT,
            version=2,
        )
        tx.loop.open(cycle)
        tx.rollouts.put(
            Rollout.start(
                rollout_id="second",
                product="tiny",
                champion=1,
                challengers=(2,),
                strategy=Canary(steps=(0.2, 0.5, 1.0), minimum_units=10),
                at=now,
            )
        )
        tx.rollouts.see_units(
            "second/0",
            [
                UnitOutcome(
                    unit=f"{version}-{number}",
                    version=version,
                    failed=version == 2 and number == 0,
                    took_s=0.001,
                    metrics={"log_loss": 0.5} if number % 2 else {},
                )
                for version, units in ((1, 80), (2, 20))
                for number in range(units)
            ],
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "nope"], "There are: tiny"),
        (["runs", "nope"], "There are: tiny"),
        (["models", "nope"], "There are: tiny"),
        (["models", "nope@1"], "There are: tiny"),
        (["models", "tiny@9"], "its newest is 1"),
        (["models", "tiny@challenger"], "tiny@challenger"),
        (["cycles", "nope"], "There are: tiny"),
        (["explain", "nope"], "There are: tiny"),
        (["explain", "--cycle", "7"], "mainspring cycles"),
        (["rollout", "nope"], "There are: tiny"),
        (["data", "list", "nope"], "There are: orders"),
        (["data", "show", "orders@v9"], "its newest is v1"),
        (["data", "show", "nope@v1"], "it has no versions yet"),
        (["ledger", "show", "99"], "its newest is 8"),
        (["ledger", "show", "0"], "its newest is 8"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(
    arguments: list[str], words: str, root: Path, mainspring: Command
) -> None:
    said = mainspring(*arguments)
    assert (said.code, said.out) == (3, "")
    assert words in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["models", "tiny@@1"], ["data", "show", "orders@12"], ["data", "show", "../orders@v1"]]
)
def test_a_malformed_ref_is_misuse(arguments: list[str], root: Path, mainspring: Command) -> None:
    said = mainspring(*arguments)
    assert said.code == 2
    assert "is not a ref" in said.err


# --- data --------------------------------------------------------------------------------------------------------


def test_data_add_publishes_once_and_says_the_same_again(root: Path, mainspring: Command) -> None:
    Path("february.parquet").write_bytes(parquet(orders(NEXT, days=1)))
    said = mainspring("data", "add", "orders", "february.parquet", "--reason", "a day more")
    assert (said.code, said.out) == (0, "orders@v2: 100 rows added.\n")
    again = mainspring("data", "add", "orders", "february.parquet", "--json")
    assert again.code == 0
    assert again.json.keys() == names(DataRow)
    assert (again.json["ref"], again.json["actor"]) == ("orders@v2", "grace")
    listed = mainspring("data", "list", "orders", "--json").json
    assert [row["ref"] for row in listed] == ["orders@v1", "orders@v2"]
    assert "a day more" in mainspring("ledger", "list", "--subject", "orders").out


def test_rows_set_aside_are_told_with_examples(root: Path, mainspring: Command) -> None:
    rows = orders(NEXT, days=2).with_columns(
        amount=pl.when(pl.int_range(pl.len()) == 7).then(5_000.0).otherwise("amount")
    )
    Path("batch.parquet").write_bytes(parquet(rows))
    said = mainspring("data", "add", "orders", "batch.parquet")
    assert said.code == 0
    assert "199 rows added, 1 set aside" in said.out
    assert "in 0-20240131-00007" in said.out
    shown = mainspring("data", "show", "orders@v2").out
    assert all(word in shown for word in ("set aside  1", "amount", "in 0-20240131-00007"))


def test_a_refused_batch_names_column_check_and_rows_and_keeps_the_version_before(
    root: Path, mainspring: Command
) -> None:
    rows = orders(NEXT, days=2).with_columns(
        order_id=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("order_id"),
        amount=pl.col("amount") * 100,
    )
    Path("batch.parquet").write_bytes(parquet(rows))
    said = mainspring("data", "add", "orders", "batch.parquet")
    assert said.code == 1
    assert said.err.startswith(
        "The batch for 'orders' was refused, and nothing of it is kept: order_id: is never null"
    )
    assert "amount" in said.err
    refused = mainspring("data", "add", "orders", "batch.parquet", "--json")
    assert refused.code == 1
    assert refused.json["ref"] is None
    assert {failure["column"] for failure in refused.json["failures"]} == {"order_id", "amount"}
    assert [row["outcome"] for row in mainspring("data", "list", "--json").json] == ["published", "refused"]


def test_bytes_that_are_no_batch_are_refused_or_not_found(root: Path, mainspring: Command) -> None:
    Path("noise.bin").write_bytes(b"\x00\xff" * 100)
    said = mainspring("data", "add", "orders", "noise.bin")
    assert said.code == 1
    assert "no Parquet, Arrow, NDJSON or CSV table" in said.err
    assert mainspring("data", "add", "orders", "nowhere.csv").code == 3
    assert mainspring("data", "add", "nope", "noise.bin").code == 3


def test_a_csv_without_a_column_is_refused_by_that_columns_name(root: Path, mainspring: Command) -> None:
    buffer = io.BytesIO()
    orders(NEXT, days=1).drop("settled_at").write_csv(buffer)
    Path("batch.csv").write_bytes(buffer.getvalue())
    said = mainspring("data", "add", "orders", "batch.csv")
    assert said.code == 1
    assert "settled_at" in said.err


# --- training ----------------------------------------------------------------------------------------------------


def test_train_records_the_request_with_its_params_and_data(root: Path, mainspring: Command) -> None:
    said = mainspring(
        "train", "tiny", "--set", "train.rounds=5", "--set", "train.learning_rate=1", "--data", "orders@v1",
        "--reason", "to see", "--json",
    )  # fmt: skip
    assert said.code == 0
    assert said.json.keys() == {field.name for field in fields(TrainingRequest)}
    assert said.json["params"] == {"train.rounds": 5, "train.learning_rate": 1}
    assert (said.json["data"], said.json["actor"]) == ({"orders": 1}, "grace")
    assert "1 waiting" in mainspring("status").out
    (event, *_) = mainspring("ledger", "list", "--json").json
    assert (event["type"], event["reason"]) == ("training.requested", "to see")


def test_all_that_is_wrong_with_a_request_is_told_at_once(root: Path, mainspring: Command) -> None:
    said = mainspring(
        "train", "tiny", "--set", "train.depth=5", "--set", "train.rounds=many", "--data", "orders@v9",
        "--data", "weather@v1", "--reason", "to see",
    )  # fmt: skip
    assert said.code == 2
    assert "4 faults" in said.err
    assert all(
        word in said.err
        for word in ("train.depth", "train.learning_rate", "'many'", "newest is v1", "weather@v1")
    )


def test_a_model_that_nobody_logged_cannot_be_registered(root: Path, mainspring: Command) -> None:
    said = mainspring("models", "register", "models:/nothing@best", "--product", "tiny", "--reason", "to see")
    assert said.code == 3
    assert "nothing" in said.err
    assert "waiting" not in mainspring("status").out


@pytest.mark.parametrize(
    "arguments", [["--set", "rounds=5"], ["--set", "train.rounds"], ["--data", "orders@"]]
)
def test_a_malformed_option_is_misuse_before_anything_is_opened(
    arguments: list[str], root: Path, mainspring: Command
) -> None:
    assert mainspring("train", "tiny", "--reason", "to see", *arguments).code == 2


def test_approvals_of_a_version_tell_how_it_stands(root: Path, mainspring: Command) -> None:
    said = mainspring("models", "approvals", "tiny@1")
    assert "no policy asks for approval" in said.out
    assert mainspring("models", "approvals", "tiny@1", "--json").json["standing"] == "approved"
    refused = mainspring("models", "approve", "tiny@1", "--reason", "sound")
    assert (refused.code != 0, "ApprovalPolicy" in refused.err) == (True, True)
    assert mainspring("models", "refuse", "tiny", "--reason", "not sound").code == 2


# --- the ledger and the database ---------------------------------------------------------------------------------


def test_the_ledger_lists_and_shows_entries(root: Path, mainspring: Command) -> None:
    listed = mainspring("ledger", "list", "--limit", "3", "--json").json
    assert [row["number"] for row in listed] == [8, 7, 6]
    assert listed[0].keys() == names(EventRow)
    assert mainspring("ledger", "show", "8", "--json").json == listed[0]
    assert '"trigger": "on_new_data"' in mainspring("ledger", "show", "3").out


def test_a_sound_ledger_says_so(root: Path, mainspring: Command) -> None:
    said = mainspring("ledger", "verify")
    assert said.code == 0
    assert "sound: 8 entries" in said.out
    assert mainspring("ledger", "verify", "--json").json["sound"] is True


def test_a_changed_entry_is_named(root: Path, mainspring: Command) -> None:
    with sqlite3.connect(root / ".mainspring" / "state.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE events SET reason = 'nobody knows' WHERE number = 5")
    said = mainspring("ledger", "verify")
    assert (said.code, said.out) == (1, "")
    assert "entry 5" in said.err
    found = mainspring("ledger", "verify", "--json")
    assert found.code == 1
    assert (found.json["sound"], found.json["broken_at"], found.json["entries"]) == (False, 5, 4)


def test_a_damaged_log_is_told_until_its_loss_is_accepted(root: Path, mainspring: Command) -> None:
    assert mainspring("log", "list", "--json").json == []
    with open_workspace(root) as workspace:
        for day in range(3):
            ask(workspace, orders(NEXT + timedelta(days=day), days=1, per_day=2))
        lost = workspace.logs / "gateway-0" / "00000002.log"
        lost.unlink()
        ingest(workspace)
    told = " ".join(mainspring("status").out.split())
    assert "not read" in told
    assert "mainspring log accept-loss gateway-0" in told
    (row,) = mainspring("log", "list", "--json").json
    assert row.keys() == names(LogRow)
    assert str(lost) in row["damage"]
    assert mainspring("log", "accept-loss", "gateway-0").code == 2
    assert mainspring("log", "accept-loss", "gateway-1", "--reason", "x").code == 3
    said = mainspring("log", "accept-loss", "gateway-0", "--reason", "no copy")
    assert (said.code, "from segment 2 up to segment 3 is lost" in " ".join(said.out.split())) == (0, True)
    assert mainspring("log", "accept-loss", "gateway-0", "--reason", "no copy").code == 1
    entry = mainspring("ledger", "list", "--limit", "1", "--json").json[0]
    assert (entry["type"], entry["actor"], entry["reason"]) == ("log.loss.accepted", "grace", "no copy")
    assert mainspring("status", "--json").json[0]["damaged_logs"] == []
    assert mainspring("log", "list", "--json").json[0]["losses"] == 1


def test_upgrade_says_that_there_is_nothing_to_do(root: Path, mainspring: Command) -> None:
    said = mainspring("upgrade")
    assert said.code == 0
    assert "already" in said.out
    found = mainspring("upgrade", "--json").json
    assert found["before"] == found["after"]


def test_a_newer_database_is_refused_and_left_alone(root: Path, mainspring: Command) -> None:
    file = root / ".mainspring" / "state.db"
    with sqlite3.connect(file) as database:
        (table,) = database.execute("SELECT name FROM sqlite_master WHERE name LIKE '%revision%'").fetchone()
        database.execute(f"UPDATE {table} SET version_num = '9999'")
    for command in (["status"], ["upgrade"], ["ledger", "verify"]):
        said = mainspring(*command)
        assert said.code == 1
        assert "Nothing was changed" in said.err
    with sqlite3.connect(file) as database:
        assert database.execute(f"SELECT version_num FROM {table}").fetchone() == ("9999",)
