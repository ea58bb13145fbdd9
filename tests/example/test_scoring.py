"""Scoring the example's flights: what is joined to them is what training was given, and the answers are good."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.example.conftest import FOLDER

from mainspring.digest import Digest
from mainspring.gates.metrics import roc_auc
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.score_data import score_data
from mainspring.product import ProductSpec
from mainspring.ref import DataRef
from mainspring.workspace import open_workspace


def parquet(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.slow
def test_flights_are_scored_with_the_features_that_training_was_given(
    spec: ProductSpec, year: pl.DataFrame, weather: pl.DataFrame, tmp_path: Path
) -> None:
    shutil.copy(FOLDER / "product.py", tmp_path)
    (tmp_path / "mainspring.toml").write_text('clock = "2013-02-08T00:00:00Z"')
    with open_workspace(tmp_path) as workspace:
        declare(workspace, actor="test")
        until = pl.lit(workspace.clock.now())
        for name, rows, known in (("weather", weather, "observed_at"), ("flights", year, "closed_at")):
            batch = add_batch(workspace, name, parquet(rows.filter(pl.col(known) <= until)), actor="test")
            assert batch.version == 1, batch.report
        turn(workspace)
        inputs = [column.name for column in spec.inputs]
        scoring = score_data(
            workspace,
            "late-arrivals",
            ["flights"],
            actor="test",
            columns=[*inputs, "late", "closed_at"],
            part_rows=4_000,
        )
        assert set(scoring.data) == {"flights@v1", "weather@v1"}
        with workspace.database.read() as tx:
            version = tx.data.get(DataRef.parse(scoring.ref))
            (run,) = tx.runs.runs("late-arrivals", limit=1)
        scores = workspace.tables.read(version.dataset, version.table_version)
        given = pl.read_parquet(io.BytesIO(workspace.blobs.get(Digest(dict(run.steps[0])["output"]))))

    assert scores["reason"].null_count() == scores.height == scoring.rows
    scores = scores.sort("predict_at", "flight_id")
    assert_frame_equal(scores.select(inputs), given.select(inputs), check_exact=True)
    newest = scores.filter(pl.col("late").is_not_null()).tail(5_000)
    assert roc_auc(newest["late"].to_numpy().astype(int), newest["probability"].to_numpy()) > 0.6
