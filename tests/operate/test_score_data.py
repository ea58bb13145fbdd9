"""Scoring: every row gets an answer or a reason, as training would have joined it and as the gateway would answer."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.data import DataVersionNotFound
from mainspring.digest import Digest
from mainspring.errors import Faults, Invalid, MainspringError
from mainspring.events import EventType
from mainspring.formats.onnx import OnnxModel
from mainspring.governance import verify
from mainspring.operate.data.datasets import UnknownDataset
from mainspring.operate.data.publish import add_batch
from mainspring.operate.score_data import NothingToScore, Scoring, score_data, write_scores
from mainspring.operate.status import UnknownProduct, data_row, data_rows
from mainspring.ref import DataRef, ModelRef
from mainspring.registry import ModelVersionNotFound
from mainspring.workspace import Workspace, open_workspace

MONTH = orders()
DAY = timedelta(days=1)


def score(workspace: Workspace, model: str = "tiny", *data: str, **asked: Any) -> Scoring:
    return score_data(workspace, model, data or ["orders"], actor="ana", **asked)


def answers(workspace: Workspace, scoring: Scoring) -> pl.DataFrame:
    with workspace.database.read() as tx:
        version = tx.data.get(DataRef.parse(scoring.ref))
    return workspace.tables.read(version.dataset, version.table_version)


def served(workspace: Workspace, rows: pl.DataFrame) -> list[float]:
    """What the gateway would answer, one row at a time."""
    with workspace.database.read() as tx:
        model = OnnxModel.load(workspace.blobs.get(tx.registry.get(ModelRef("tiny", 1)).artifact))
    feed = {
        "amount": rows["amount"].cast(pl.Float32).to_numpy(),
        "hour": rows["hour"].cast(pl.Float32).to_numpy(),
        "kind": rows["kind"].fill_null("").to_numpy().astype(object),
    }
    return [
        float(model.predict({name: values[row : row + 1] for name, values in feed.items()})[0])
        for row in range(rows.height)
    ]


def test_every_row_is_answered_as_the_gateway_would_and_the_answers_are_a_data_version(
    workspace: Workspace,
) -> None:
    told: list[tuple[int, int]] = []
    scoring = score(
        workspace,
        "tiny@champion",
        "orders@v1",
        part_rows=700,
        columns=["kind"],
        reason="the month's letters",
        progress=lambda done, rows: told.append((done, rows)),
    )
    assert (scoring.ref, scoring.model, scoring.data) == ("tiny-scores@v1", "tiny@1", ("orders@v1",))
    assert (scoring.rows, scoring.unanswered, scoring.reused) == (3_000, {}, False)
    assert [rows for _, rows in told] == [3_000] * 6
    assert {done for done, _ in told} >= {0, 3_000}

    found = answers(workspace, scoring).sort("asked_at")
    assert found.columns == [
        "order_id",
        "asked_at",
        "probability",
        "reason",
        "model_version",
        "scored_at",
        "kind",
    ]
    assert_frame_equal(
        found.select("order_id", "asked_at", "kind"), MONTH.select("order_id", "asked_at", "kind")
    )
    assert found["probability"].to_list() == pytest.approx(served(workspace, MONTH), abs=1e-6)
    assert found["reason"].null_count() == 3_000
    assert found["model_version"].unique().to_list() == [1]
    assert found["scored_at"].unique().to_list() == [workspace.clock.now()] == [scoring.scored_at]

    row = data_row(workspace, DataRef.parse(scoring.ref))
    assert (row.rows, row.quarantined, row.actor, row.failures) == (3_000, 0, "ana", [])
    assert data_rows(workspace, "tiny-scores") == [row]
    with workspace.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        event = tx.ledger.newest(limit=1)[0]
        version = tx.registry.get(ModelRef("tiny", 1))
        source = tx.data.get(DataRef("orders", 1))
    assert (event.type, event.subject, event.actor, event.reason) == (
        EventType.DATA_VERSION_PUBLISHED,
        "tiny-scores@v1",
        "ana",
        "the month's letters",
    )
    data = json.loads(event.data)
    assert data["digest"] == scoring.digest
    lineage = data["scoring"]
    assert (lineage["model"], lineage["artifact"]) == ("tiny@1", version.artifact)
    assert lineage["data"] == {"orders@v1": source.digest}
    assert any("polars==" in name for name in json.loads(workspace.blobs.get(lineage["environment"]))[2])
    assert len(json.loads(workspace.blobs.get(Digest(data["parts"])))) == 5


def test_asked_again_for_the_same_the_answers_are_those_that_are_there(workspace: Workspace) -> None:
    first = score(workspace)
    before = head(workspace)
    workspace.advance(workspace.clock.now() + DAY)
    again = score(workspace, "tiny@1", "orders@v1", reason="again")
    assert again.reused
    assert (again.ref, again.digest, again.scored_at) == (first.ref, first.digest, first.scored_at)
    assert head(workspace) == before
    other = score(workspace, columns=["amount"])
    assert (other.ref, other.reused) == ("tiny-scores@v2", False)
    # What a version holds does not change with those that come after it.
    assert "amount" in answers(workspace, other).columns
    assert "amount" not in answers(workspace, first).columns
    assert answers(workspace, first).height == 3_000


def test_a_part_is_the_same_whatever_the_order_of_the_rows_in_the_table(workspace: Workspace) -> None:
    later = orders(FIRST + 30 * DAY, days=2)
    same_time = later.with_columns(asked_at=pl.lit(later["asked_at"][0]), order_id=pl.col("order_id") + "x")
    add_batch(workspace, "orders", parquet(same_time.sample(fraction=1, shuffle=True, seed=1)), actor="ana")
    add_batch(workspace, "orders", parquet(later.reverse()), actor="ana")
    scoring = score(workspace, "tiny", "orders@v3", since=FIRST + 29 * DAY, part_rows=30)
    found = answers(workspace, scoring)
    rows = pl.concat([MONTH, same_time, later]).filter(pl.col("asked_at") >= FIRST + 29 * DAY)
    rows = rows.sort("asked_at", "order_id")
    assert found["order_id"].to_list() == rows["order_id"].to_list()
    assert found["probability"].to_list() == pytest.approx(served(workspace, rows), abs=1e-6)


def test_a_selection_is_from_a_moment_and_before_another(workspace: Workspace) -> None:
    scoring = score(workspace, since=FIRST + 3 * DAY, until=FIRST + 5 * DAY)
    times = answers(workspace, scoring)["asked_at"]
    assert (scoring.rows, times.min()) == (200, FIRST + 3 * DAY)
    assert times.max() < FIRST + 5 * DAY  # type: ignore[operator]
    with pytest.raises(NothingToScore) as refused:
        score(workspace, since=FIRST + 300 * DAY)
    assert "orders@v1 has no rows from 2024-10-27" in str(refused.value)


def test_a_null_that_the_model_never_met_is_a_reason_and_no_answer(workspace: Workspace) -> None:
    # No training row had a null in `kind`, though the schema lets one pass.
    later = orders(FIRST + 30 * DAY, days=2).with_columns(
        kind=pl.when(pl.int_range(pl.len()) % 50 != 7).then("kind")
    )
    add_batch(workspace, "orders", parquet(later), actor="ana")
    scoring = score(workspace, since=FIRST + 30 * DAY)
    why = "null in kind, never seen there in training"
    assert (scoring.rows, scoring.unanswered) == (200, {why: 4})
    found = answers(workspace, scoring).sort("asked_at")
    without = found.filter(pl.col("reason").is_not_null())
    assert without["order_id"].to_list() == later.filter(pl.col("kind").is_null())["order_id"].to_list()
    assert (without["reason"].unique().to_list(), without["probability"].null_count()) == ([why], 4)
    assert found["probability"].null_count() == 4
    (failure,) = data_row(workspace, DataRef.parse(scoring.ref)).failures
    assert (failure["column"], failure["check"], failure["rows"]) == ("probability", why, 4)


def test_what_is_not_there_is_told_by_its_name(workspace: Workspace) -> None:
    with pytest.raises(UnknownProduct):
        score(workspace, "tyni")
    with pytest.raises(ModelVersionNotFound):
        score(workspace, "tiny@9")
    with pytest.raises(UnknownDataset):
        score(workspace, "tiny", "odrers")
    with pytest.raises(DataVersionNotFound):
        score(workspace, "tiny", "orders@v9")
    with pytest.raises(Invalid):
        score_data(workspace, "tiny", [], actor="ana")
    before = head(workspace)
    with pytest.raises(Faults) as refused:
        score(workspace, columns=["size", "amount", "colour"])
    assert [fault.where for fault in refused.value.faults] == ["column 'size'", "column 'colour'"]
    with pytest.raises(Faults, match="named 2 times"):
        score(workspace, "tiny", "orders@v1", "orders")
    with pytest.raises(Faults, match="is the name of a column with answers"):
        score(workspace, columns=["reason"])
    assert head(workspace) == before


def test_a_product_without_a_model_scores_nothing(empty: Workspace) -> None:
    add_batch(empty, "orders", parquet(orders(days=1)), actor="ana")
    with pytest.raises(ModelVersionNotFound):
        score(empty)


def test_the_answers_can_be_had_as_a_file(workspace: Workspace, tmp_path: Path) -> None:
    scoring = score(workspace)
    file = tmp_path / "scores.parquet"
    write_scores(workspace, scoring, file)
    assert_frame_equal(pl.read_parquet(file), answers(workspace, scoring), check_row_order=False)
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".part")] == []


@pytest.mark.slow
def test_a_scoring_killed_at_every_boundary_gives_the_version_of_an_undisturbed_one(
    trained: Path, tmp_path: Path
) -> None:
    with open_workspace(Path(shutil.copytree(trained, tmp_path / "undisturbed"))) as workspace:
        undisturbed = score(workspace, part_rows=1_500)
        expected, last = answers(workspace, undisturbed), head(workspace)

    root, places = Path(shutil.copytree(trained, tmp_path / "disturbed")), tmp_path / "places"
    command = [sys.executable, "-m", "tests.operate.score_and_die", str(root), str(places)]
    while (ended := subprocess.run(command, capture_output=True, check=False)).returncode != 0:
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert set(places.read_text().splitlines()) == {
        "begun",
        *(f"{when} recording part {part}" for when in ("before", "after") for part in (0, 1)),
        "before publishing",
        "published",
    }
    with open_workspace(root) as workspace:
        assert head(workspace) == last
        again = score(workspace, part_rows=1_500)
        assert (again.reused, again.digest, again.rows) == (True, undisturbed.digest, 3_000)
        assert_frame_equal(answers(workspace, again), expected)


def test_a_scoring_goes_on_with_the_parts_that_are_not_done(workspace: Workspace) -> None:
    class Interrupted(Exception):
        pass

    def stop(place: str) -> None:
        if place == "after recording part 1":
            raise Interrupted

    with pytest.raises(Interrupted):
        score(workspace, part_rows=500, boundary=stop)
    begun_at = workspace.clock.now()
    workspace.advance(begun_at + DAY)
    told: list[int] = []
    scoring = score(workspace, part_rows=500, progress=lambda done, rows: told.append(done))
    assert told[0] >= 500
    assert told[-1] == 3_000
    assert scoring.scored_at == begun_at
    assert answers(workspace, scoring)["scored_at"].unique().to_list() == [begun_at]


def test_a_part_whose_blob_is_lost_is_scored_again(workspace: Workspace) -> None:
    def stop(place: str) -> None:
        if place == "before publishing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(workspace, part_rows=1_500, boundary=stop)
    with workspace.database.read() as tx:
        (done, *_) = [
            json.loads(text) for key, text in tx.values.items("scoring:").items() if key.count(":") == 2
        ]
    workspace.blobs.path(Digest(done["output"])).unlink()
    assert answers(workspace, score(workspace, part_rows=1_500)).height == 3_000


def test_an_attempt_is_told_when_it_begins_and_when_it_fails_and_another_begins_after_that(
    workspace: Workspace,
) -> None:
    impatient = replace(workspace, settings=replace(workspace.settings, batch_timeout_s=1e-9))
    for _ in range(2):
        with pytest.raises(MainspringError):
            score(impatient)
    score(workspace)
    score(workspace)
    with workspace.database.read() as tx:
        told = [
            (entry.type, json.loads(entry.data)["attempt"])
            for entry in tx.ledger.entries()
            if "attempt" in json.loads(entry.data)
        ]
    assert told == [
        (EventType.SCORING_STARTED, 1),
        (EventType.SCORING_FAILED, 1),
        (EventType.SCORING_STARTED, 2),
        (EventType.SCORING_FAILED, 2),
        (EventType.SCORING_STARTED, 3),
        (EventType.DATA_VERSION_PUBLISHED, 3),
    ]
