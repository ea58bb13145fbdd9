"""Strata in the loop: days are compared with those of their kind, so that a week that comes again is no drift."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.operate.watching import live
from tests.products.tiny.orders import orders, parquet

from mainspring.operate.alarms import replay
from mainspring.operate.controller import turn
from mainspring.operate.publish import add_batch
from mainspring.operate.watch import looks
from mainspring.workspace import Workspace


def weekly(rows: pl.DataFrame) -> pl.DataFrame:
    """Orders that are twice as large at weekends."""
    weekend = pl.col("asked_at").dt.weekday() > 5
    return rows.with_columns(
        amount=pl.when(weekend).then((pl.col("amount") * 2).clip(0, 1_000)).otherwise("amount")
    )


def larger(rows: pl.DataFrame) -> pl.DataFrame:
    """Every order like one at a weekend, which is a change on working days alone."""
    return rows.with_columns(amount=(pl.col("amount") * 2).clip(0, 1_000))


def trained(root: Path, monitors: str) -> Workspace:
    def declared(text: str) -> str:
        begin, end = text.index("    monitors=[") + len("    monitors="), text.index("    retrain=")
        return f"{text[:begin]}{monitors},\n{text[end:]}"

    workspace = begin(root, declared)
    add_batch(workspace, "orders", parquet(weekly(orders(per_day=200))), actor="test")
    turn(workspace)
    return workspace


def test_a_week_that_comes_again_is_drift_without_strata_and_none_with_them(tmp_path: Path) -> None:
    with trained(tmp_path / "mixed", "[ms.InputDrift()]") as mixed:
        assert "input_drift" in live(mixed, range(1, 12), weekly)
    with trained(tmp_path / "apart", '[ms.InputDrift(strata="weekend")]') as apart:
        assert live(apart, range(1, 12), weekly) == {}
        with apart.database.read() as tx:
            seen = looks(tx, "tiny", "input_drift")
        assert seen is not None
        assert seen.outcome == "quiet"
        _, alarm = live(apart, range(12, 19), larger)["input_drift"]
        assert alarm.change is not None
        assert alarm.change.blame[0].feature == "amount"
        assert alarm.change.blame[0].stream.endswith("on working days")
        assert replay(apart, alarm.alarm_id).same


@pytest.mark.parametrize(
    "monitors", ['[ms.InputDrift(strata="weekday"), ms.PredictionDrift(strata="weekend")]']
)
def test_strata_without_rows_yet_are_named_and_are_not_quiet(tmp_path: Path, monitors: str) -> None:
    with trained(tmp_path / "root", monitors) as workspace:
        assert live(workspace, range(1, 4), weekly) == {}
        with workspace.database.read() as tx:
            seen = looks(tx, "tiny", "input_drift")
        assert seen is not None
        assert seen.outcome == "insufficient_data"
        assert "days" in seen.told
