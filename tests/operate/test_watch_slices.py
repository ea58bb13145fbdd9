"""Drift of inputs by slice in the loop: what moves in one slice is blamed with it, and no slice is quiet unseen."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.operate.watching import live
from tests.products.tiny.orders import orders, parquet

from mainspring.errors import Invalid
from mainspring.monitoring import Profile, ProfileSet
from mainspring.monitors import InputDrift
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.references import reference_of
from mainspring.operate.sights.drift import SLICES
from mainspring.operate.watch import looks
from mainspring.workspace import Workspace


def trained(root: Path, monitor: str, rows: pl.DataFrame | None = None) -> Workspace:
    def declared(text: str) -> str:
        begin, end = text.index("    monitors=["), text.index("    retrain=")
        text = f"{text[:begin]}    monitors=[{monitor}],\n{text[end:]}"
        return text.replace('"roc_auc", 0.6', '"roc_auc", 0.4')

    workspace = begin(root, declared)
    add_batch(workspace, "orders", parquet(orders(per_day=200) if rows is None else rows), actor="test")
    turn(workspace)
    return workspace


def outcome(workspace: Workspace) -> tuple[str, str]:
    with workspace.database.read() as tx:
        seen = looks(tx, "tiny", "input_drift")
    assert seen is not None
    return seen.outcome, seen.told


def dearer(rows: pl.DataFrame) -> pl.DataFrame:
    """Orders of the rarest kind that are larger."""
    larger = (pl.col("amount") * 1.6).clip(0, 1_000)
    return rows.with_columns(amount=pl.when(pl.col("kind") == "c").then(larger).otherwise("amount"))


def test_what_moves_in_a_slice_is_blamed_with_it_and_comes_out_the_same_again(tmp_path: Path) -> None:
    with trained(tmp_path / "root", 'ms.InputDrift(slices=("kind",), tolerance=0.05)') as workspace:
        assert live(workspace, range(1, 8)) == {}
        assert outcome(workspace)[0] == "quiet"
        _, alarm = live(workspace, range(8, 20), dearer)["input_drift"]
        assert alarm.change is not None
        blamed = alarm.change.blame[0]
        assert blamed.feature == "amount where kind=c"
        assert blamed.stream.startswith("amount ")
        assert replay(workspace, alarm.alarm_id).same
        assert alarm_curve(workspace, alarm.alarm_id) is not None
        with workspace.database.read() as tx:
            whole = tx.monitoring.tables("tiny", 1, "profile")
            parts = tx.monitoring.tables("tiny", 1, SLICES)
        assert whole.keys() == parts.keys()
        for day, text in parts.items():
            found = ProfileSet.from_json(text)
            assert found.slices() == ("kind=a", "kind=b", "kind=c")
            assert (
                sum(found.of_slice(each).rows for each in found.slices())
                == Profile.from_json(whole[day]).rows
            )


def test_a_slice_that_the_reference_lacks_is_named_and_is_not_quiet(tmp_path: Path) -> None:
    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        new = pl.int_range(pl.len()) < 3
        return rows.with_columns(kind=pl.when(new).then(pl.lit("d")).otherwise("kind"))

    with trained(tmp_path / "root", 'ms.InputDrift(slices=("kind",), tolerance=0.05)') as workspace:
        assert live(workspace, range(1, 4), renamed) == {}
        found, told = outcome(workspace)
        assert found == "insufficient_data"
        assert "where kind=other: the reference has 0 rows" in told


def test_slices_that_the_champion_was_not_judged_by_could_not_be_judged(tmp_path: Path) -> None:
    with trained(tmp_path / "root", "ms.InputDrift()") as workspace:
        file = workspace.settings.root / "product.py"
        file.write_text(file.read_text().replace("InputDrift()", 'InputDrift(slices=("kind",))'))
        declare(workspace, actor="test")
        live(workspace, range(1, 4))
        found, told = outcome(workspace)
        assert found == "could_not_judge"
        assert "before slices by kind were declared" in told


def test_no_more_than_fifty_values_have_a_slice_and_the_others_are_one(tmp_path: Path) -> None:
    amounts = (pl.int_range(pl.len()) % 70).cast(pl.Float64)  # with some 140 rows of each on the hold-out
    rows = orders(per_day=2_000).with_columns(amount=amounts)
    with trained(tmp_path / "root", 'ms.InputDrift(slices=("amount",))', rows) as workspace:
        with workspace.database.read() as tx:
            version = tx.registry.get(tx.registry.versions("tiny")[0].ref)
        slices = ProfileSet.from_json(reference_of(workspace.blobs, version.reference).slices)
        assert len(slices.slices()) == 51
        assert slices.of_slice("amount=other").rows == pytest.approx(60_000 * 20 / 70, rel=0.05)


def test_strata_and_slices_of_one_monitor_and_slices_that_are_no_input_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="declare one of both"):
        InputDrift(strata="weekend", slices=("kind",))
    with begin(tmp_path / "root") as workspace:
        file = workspace.settings.root / "product.py"
        file.write_text(file.read_text().replace("InputDrift()", 'InputDrift(slices=("colour",))'))
        with pytest.raises(DeclarationInvalid, match="InputDrift slices 'colour': is no input"):
            declare(workspace, actor="test")
