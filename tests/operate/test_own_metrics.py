"""A product's own metric through the loop: gates judge by it, monitors watch it, and no fault of it goes unnamed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.operate import minutes, tiny
from tests.operate.watching import DAY, live
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.loop import CycleOutcome
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.power import quality_power
from mainspring.operate.status import version_rows
from mainspring.operate.watch import looks
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace, open_workspace

COST = """
def cost(probability: float, outcome: int) -> float:
    refused = probability >= 0.25
    return 20.0 if refused and not outcome else 500.0 if outcome and not refused else 0.0
"""
MONITORS = '[ms.Quality("cost_eur", tolerance=0.02, slices=("kind",)), ms.AuditedQuality("cost_eur"), ms.InputDrift()]'


def declared(text: str, cost: str = COST, gate: str = 'ms.AtLeast("cost_eur", 60.0)') -> str:
    """Declare the tiny product with a cost that its gate and its monitors name."""
    begin, end = text.index("    monitors=["), text.index("    retrain=")
    text = (
        f"{text[:begin]}    metrics=[ms.Metric('cost_eur', cost, low=0, high=500)],\n"
        f"    monitors={MONITORS},\n{text[end:]}"
    )
    text = text.replace("product = ms.Product(", f"{cost}\n\nproduct = ms.Product(")
    return text.replace('ms.AtLeast("roc_auc", 0.6),', f'ms.AtLeast("roc_auc", 0.6), {gate},')


def outcome(workspace: Workspace, monitor: str) -> tuple[str, str]:
    with workspace.database.read() as tx:
        seen = looks(tx, "tiny", monitor)
    assert seen is not None
    return seen.outcome, seen.told


def test_a_cost_is_judged_and_watched_and_its_alarm_comes_out_the_same_again(tmp_path: Path) -> None:
    with open_workspace(tiny.train_first(tmp_path / "root", declared, per_day=400)) as workspace:
        (row,) = version_rows(workspace, "tiny")
        assert 5 < row.metrics["cost_eur"] < 60
        powers = {
            each.metric: each
            for each in quality_power(workspace, ModelRef("tiny", 1), rise=0.1, labels_per_day=400)
        }
        assert powers["cost_eur"].rise_in_units == pytest.approx(50.0)
        assert live(workspace, range(1, 8)) == {}
        assert outcome(workspace, "quality:cost_eur")[0] == "quiet"
        # Declared otherwise since: a version is watched by what it was judged by.
        file = workspace.settings.root / "product.py"
        file.write_text(file.read_text().replace("500.0 if", "300.0 if"))
        declare(workspace, actor="test")
        _, alarm = live(workspace, range(8, 20), turned=True)["quality:cost_eur"]
        assert alarm.change is not None
        assert alarm.change.unit == "cost_eur"
        blamed = alarm.change.blame[0]
        assert blamed.before == pytest.approx(row.metrics["cost_eur"], abs=30)
        assert blamed.after > blamed.before + 20
        assert replay(workspace, alarm.alarm_id).same
        curve = alarm_curve(workspace, alarm.alarm_id)
        assert curve is not None
        assert curve.unit == "cost_eur"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return 1 / (outcome - outcome)", "ZeroDivisionError"),
        ("return float('nan')", "it is nan"),
        ("return 501.0 if outcome else probability", "it is 501, not from 0 to 500"),
    ],
)
def test_a_cost_that_cannot_be_told_lets_nothing_pass_and_the_loop_goes_on(
    tmp_path: Path, body: str, why: str
) -> None:
    broken = f"def cost(probability: float, outcome: int) -> float:\n    {body}\n"
    with open_workspace(
        tiny.train_first(tmp_path / "gate", lambda text: declared(text, broken))
    ) as workspace:
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
        assert cycle.outcome is CycleOutcome.REFUSED
        assert "could_not_judge, cost_eur cannot be told" in cycle.reason
        assert why in cycle.reason


def test_a_monitor_of_a_cost_that_cannot_be_told_could_not_judge_and_the_others_look(tmp_path: Path) -> None:
    broken = "def cost(probability: float, outcome: int) -> float:\n    raise KeyError(outcome)\n"
    root = tiny.train_first(tmp_path / "root", lambda text: declared(text, broken, "ms.Servable(p99_ms=200)"))
    with open_workspace(root) as workspace:
        assert live(workspace, range(1, 6)) == {}
        for monitor in ("quality:cost_eur", "audited_quality:cost_eur"):
            found, told = outcome(workspace, monitor)
            assert found == "could_not_judge"
            assert "KeyError: 0, at a probability of 0.001953 and outcome 0" in told
        assert outcome(workspace, "input_drift")[0] == "quiet"


def test_a_cost_that_is_declared_later_could_not_be_judged_until_the_next_version(tmp_path: Path) -> None:
    with open_workspace(tiny.train_first(tmp_path / "root")) as workspace:
        file = workspace.settings.root / "product.py"
        file.write_text(declared(file.read_text()))
        declare(workspace, actor="test")
        live(workspace, range(1, 4))
        found, told = outcome(workspace, "quality:cost_eur")
        assert found == "could_not_judge"
        assert "no metric 'cost_eur' to watch that the champion was judged by" in told
        add_batch(
            workspace, "orders", parquet(orders(FIRST + 30 * DAY, days=21, per_day=100, seed=1)), actor="test"
        )
        workspace.advance(FIRST + 52 * DAY + timedelta(hours=1))
        turn(workspace)
        with workspace.database.read() as tx:
            cycle = tx.loop.cycles("tiny")[-1]
        assert "cost_eur" in cycle.metrics


def test_what_is_no_metric_of_the_product_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with tiny.begin(tmp_path / "root") as workspace:
        file = workspace.settings.root / "product.py"
        file.write_text(declared(file.read_text()).replace("'cost_eur', cost", "'brier', cost"))
        with pytest.raises(DeclarationInvalid) as refused:
            declare(workspace, actor="test")
        file.write_text(
            declared((tiny.PRODUCT / "product.py").read_text()).replace(
                "minimum_units=20)", 'minimum_units=20, guards=(ms.NotLess("cost_eur"),))'
            )
        )
        with pytest.raises(DeclarationInvalid, match="metric 'cost_eur': is named by the rollout"):
            declare(workspace, actor="test")
    assert "metric 'brier': is the name of one that every product has" in str(refused.value)
    assert "Quality: cannot watch 'cost_eur'" in str(refused.value)


def test_a_number_that_is_too_low_may_cost_more_than_one_that_is_too_high(tmp_path: Path) -> None:
    def promised(text: str) -> str:
        begin, end = text.index("    monitors=["), text.index("    retrain=")
        return (
            f"{text[:begin]}    metrics=[ms.Metric('waited', lambda e: -3 * e if e < 0 else e, low=0, high=360)],\n"
            f"    monitors=[ms.Quality('waited', tolerance=0.01, labels_within='1d')],\n{text[end:]}"
        ).replace('ms.AtLeast("r2", 0.5),', 'ms.AtLeast("r2", 0.5), ms.NotWorseThan("champion", "waited"),')

    with open_workspace(minutes.train_first(tmp_path / "root", promised)) as workspace:
        (row,) = version_rows(workspace, "minutes")
        assert row.metrics["mae"] < row.metrics["waited"] < 3 * row.metrics["mae"]
        assert minutes.live(workspace, range(1, 6)) == {}
        # Deliveries take longer than they were promised to.
        _, alarm = minutes.live(workspace, range(6, 14), slower=1.5)["quality:waited"]
        assert alarm.change is not None
        blamed = alarm.change.blame[0]
        assert blamed.before == pytest.approx(row.metrics["waited"], abs=2.0)
        assert blamed.after > 2 * blamed.before
        assert replay(workspace, alarm.alarm_id).same
