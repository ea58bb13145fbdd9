"""What a candidate is judged on: the newest rows, groups that it has not seen, or a share of every outcome."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.events import EventType
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.request import request_training
from mainspring.workspace import Workspace


def declared(holdout: str = '"5d"', gate: str = "") -> Callable[[str], str]:
    def change(text: str) -> str:
        for old, new in (
            ('holdout="5d"', f"holdout={holdout}"),
            ("    gates=[\n", f"    gates=[\n        {gate}\n"),
        ):
            assert text.count(old) == 1
            text = text.replace(old, new)
        return text

    return change


def judged(workspace: Workspace, rows: pl.DataFrame) -> tuple[CycleOutcome | None, dict[str, str]]:
    """Train once, and give what came of it, with the reason of each check by its gate."""
    add_batch(workspace, "orders", parquet(rows), actor="test")
    turn(workspace)
    with workspace.database.read() as tx:
        (cycle,) = tx.loop.cycles("tiny")
        (told,) = [each for each in tx.ledger.entries() if each.type == EventType.CANDIDATE_JUDGED]
    checks = json.loads(told.data)["verdict"]["checks"]
    return cycle.outcome, {each["gate"]: each["reason"] for each in checks}


def test_a_holdout_that_is_declared_otherwise_is_drawn_from_the_same_data_anew(tmp_path: Path) -> None:
    with begin(tmp_path / "root") as workspace:
        judged(workspace, orders(days=30))
        file = tmp_path / "root" / "product.py"
        file.write_text(declared("ms.Stratified(0.2)")(file.read_text()))
        declare(workspace, actor="test")
        request_training(workspace, "tiny", request_id="drawn", actor="test", reason="drawn")
        turn(workspace)
        with workspace.database.read() as tx:
            _, newest = tx.loop.cycles("tiny")
    assert newest.outcome is not CycleOutcome.FAILED, newest.reason


@pytest.mark.parametrize(
    ("holdout", "least", "most"),
    [("ms.Stratified(0.2)", 590, 600), ('ms.ByGroup("order_id", share=0.2)', 520, 680)],
    ids=["stratified", "by group"],
)
def test_a_candidate_is_judged_on_the_rows_that_were_drawn(
    tmp_path: Path, holdout: str, least: int, most: int
) -> None:
    with begin(tmp_path / "root", declared(holdout)) as workspace:
        outcome, reasons = judged(workspace, orders(days=30))
    assert outcome is CycleOutcome.PROMOTED
    found = re.search(r"on (\d+) rows", reasons["roc_auc at least 0.6"])
    assert found
    assert least <= int(found[1]) <= most


@pytest.mark.parametrize(
    ("gate", "outcome", "told"),
    [
        ("ms.NoLeakage(),", CycleOutcome.REFUSED, "hour alone scores 1: it may be known only afterwards"),
        ('ms.NoLeakage(known=["hour"]),', CycleOutcome.PROMOTED, "the highest of all inputs"),
    ],
    ids=["refused", "accepted by name"],
)
def test_an_input_that_tells_the_outcome_is_refused_unless_it_is_said_to_be_known(
    tmp_path: Path, gate: str, outcome: CycleOutcome, told: str
) -> None:
    leak = orders(days=30).with_columns(
        hour=pl.when(pl.col("late").fill_null(value=False)).then(23).otherwise(7)
    )
    with begin(tmp_path / "root", declared(gate=gate)) as workspace:
        found, reasons = judged(workspace, leak)
    assert found is outcome
    assert told in reasons["no input alone scores 0.98"]


@pytest.mark.parametrize(
    ("holdout", "gate", "told"),
    [
        ('ms.ByGroup("customer")', "", "'customer', which is no column of dataset 'orders'|customer"),
        ('"soon"', "", "soon"),
        ('"5d"', 'ms.NoLeakage(known=["letter"]),', "'letter' is known and no input"),
        ('"5d"', 'ms.NoLeakage(known=["amount", "hour", "kind"]),', "has all inputs for known"),
        ("ms.Stratified(0.0)", "", "The share of Stratified is 0.0"),
        ('ms.ByGroup("kind", share=1.0)', "", "The share of ByGroup is 1.0"),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_it_is_declared(
    tmp_path: Path, holdout: str, gate: str, told: str
) -> None:
    with pytest.raises(DeclarationInvalid, match=told):
        begin(tmp_path / "root", declared(holdout, gate))
