"""Backtests: the declared policy does again what it did, bit for bit, and others do what they would have done."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.operate.tiny import ask, head, train_first
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.errors import Faults
from mainspring.operate.backtest import Backtest, backtest
from mainspring.operate.backtest.history import NothingRecorded
from mainspring.operate.backtest.run import _beside
from mainspring.operate.compact import prediction_log
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid
from mainspring.operate.log_table import truth
from mainspring.operate.request import request_training
from mainspring.operate.review import ask_again, review
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace, open_workspace

DAY = timedelta(days=1)


def live(workspace: Workspace, days: range) -> None:
    """Let days pass with traffic, labels and data; from the 6th on orders are paid otherwise."""
    for day in days:
        morning = FIRST + (30 + day) * DAY + timedelta(hours=13)
        workspace.advance(morning)
        turn(workspace)
        rows = orders(FIRST + (30 + day) * DAY, days=1, turned=day >= 6)
        if day % 7 == 6:
            known = orders(FIRST + (30 + day - 6) * DAY, days=7, turned=day >= 12)
            add_batch(workspace, "orders", parquet(known), actor="test")
        if day == 3:
            request_training(workspace, "tiny", request_id="r", actor="ana", reason="to see")
        workspace.advance(morning + timedelta(minutes=1))
        turn(workspace)
        ask(workspace, rows)


FROZEN = """\
from __future__ import annotations

import mainspring as ms

_never = "3650d"
retrain = [ms.OnNewData()]
cool_down = _never
"""
RECENT = """\
import mainspring as ms

train_on = ms.SlidingWindow("7d")
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that has seen 18 days of traffic, in which the world has changed."""
    folder = train_first(tmp_path_factory.mktemp("lived") / "root")
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 19))
    return folder


@pytest.fixture(scope="module")
def found(lived: Path, tmp_path_factory: pytest.TempPathFactory) -> Backtest:
    """Its history under the declared policy, one that never retrains, and one that trains on newer rows."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "frozen.py").write_text(FROZEN)
    (folder / "recent.py").write_text(RECENT)
    with open_workspace(lived) as workspace:
        before = head(workspace)
        found = backtest(workspace, "tiny", [folder / "frozen.py", folder / "recent.py"])
        assert head(workspace) == before
        assert list((workspace.settings.state / "backtests").iterdir()) == []
    return found


def test_the_policy_that_was_in_force_does_again_what_it_did_bit_for_bit(found: Backtest) -> None:
    again = found.found_again
    assert again.differs == ""
    assert (again.cycles_again, again.alarms_again) == (again.cycles, again.alarms)
    assert again.cycles >= 3
    assert again.alarms >= 2


def test_what_the_declared_policy_answered_is_what_was_answered(found: Backtest, lived: Path) -> None:
    with open_workspace(lived) as workspace:
        months = review(workspace, "tiny")
    served = sum(month.rows * month.served["log_loss"] for month in months) / sum(
        month.rows for month in months
    )
    assert found.policies[0].policy == "as declared"
    # Labels of the last day came after the last turn.
    assert found.policies[0].labelled == sum(month.rows for month in months) - 100
    assert found.policies[0].loss == pytest.approx(served, abs=0.02)


def test_a_policy_is_judged_by_the_models_that_it_would_have_had(found: Backtest, lived: Path) -> None:
    frozen = found.policies[1]
    assert (frozen.policy, frozen.retrains, frozen.promoted, frozen.in_vain) == ("frozen", 0, 0, 0)
    (cycle,) = frozen.cycles
    assert (cycle.trigger, cycle.outcome, cycle.version) == ("on_new_data", "promoted", 1)
    with open_workspace(lived) as workspace:
        predictions, labels = prediction_log(workspace, "tiny")
        with workspace.database.read() as tx:
            first = tx.registry.get(ModelRef("tiny", 1))
        rows = predictions.filter(pl.col("at") < predictions["at"].max()).join(
            truth(labels), on="prediction_id"
        )
        answers = ask_again(workspace, first, rows.select("amount", "hour", "kind"))
    late = rows["value"].to_numpy() == "1"
    losses = -np.log(np.where(late, answers, 1 - np.array(answers, float)))
    assert frozen.loss == pytest.approx(np.minimum(losses, 4.0).mean(), abs=1e-6)


def test_what_a_cycle_trains_on_is_compared(found: Backtest) -> None:
    declared, _, recent = found.policies
    assert recent.policy == "recent"
    assert recent.loss is not None
    assert declared.loss is not None
    assert recent.loss < declared.loss
    assert recent.seconds != declared.seconds
    assert recent.low is not None
    assert recent.better_by is not None
    assert recent.low <= recent.better_by == pytest.approx(declared.loss - recent.loss, abs=1e-9)
    assert declared.better_by is None


def test_each_policy_tells_its_weeks(found: Backtest) -> None:
    for each in found.policies:
        assert sum(week.rows for week in each.weeks) == each.labelled
        mean = sum(week.rows * week.loss for week in each.weeks) / each.labelled
        assert mean == pytest.approx(each.loss)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retrian = []", "retrian"),
        ("name = 'other'", "name"),
        ("import mainspring", "sets nothing"),
        ("retrain = [", "no valid Python"),
        ("import mainspring as ms\nretrain = [ms.OnNewData(rows=0)]", "rows"),
        ("holdout = 'soon'", "soon"),
    ],
)
def test_a_policy_that_says_nothing_sound_is_refused_with_what_is_wrong(
    workspace: Workspace, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(DeclarationInvalid, match=told):
        backtest(workspace, "tiny", [tmp_path / "odd.py"])
    assert list((workspace.settings.state / "backtests").iterdir()) == []


def test_all_that_is_wrong_with_the_files_is_told_at_once(workspace: Workspace, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.py").write_text(RECENT)
    files = [tmp_path / "a" / "same.py", tmp_path / "b" / "same.py", tmp_path / "gone.py"]
    with pytest.raises(Faults, match=r"gone\.py.*\n.*same"):
        backtest(workspace, "tiny", files)


def test_nothing_recorded_is_told(empty: Workspace) -> None:
    with pytest.raises(NothingRecorded, match="has not turned"):
        backtest(empty, "tiny")


def test_a_product_that_no_file_declares_any_more_is_told(workspace: Workspace) -> None:
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace('"tiny",', '"other",'))
    with pytest.raises(DeclarationInvalid, match="'tiny' any more"):
        backtest(workspace, "tiny")


def test_what_a_killed_backtest_left_is_removed_by_the_next_and_what_another_uses_is_not(
    empty: Workspace,
) -> None:
    with _beside(empty) as used:
        left = used.parent / "left"
        (left / "blobs").mkdir(parents=True)
        (left / "lock").touch()
        with _beside(empty) as own:
            assert set(used.parent.iterdir()) == {used, own}
    assert list(used.parent.iterdir()) == []
