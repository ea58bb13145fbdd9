"""Strata in the loop: days are compared with those of their kind, so that a week that comes again is no drift."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.operate.watching import Change, live
from tests.products.tiny.orders import orders, parquet

from mainspring.monitoring import Budget, Outcome
from mainspring.monitoring.scores import ScoreTable
from mainspring.monitors import Quality
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.judging import Reference
from mainspring.operate.power import quality_power
from mainspring.operate.sights.scores import ScoreSight
from mainspring.operate.watch import looks
from mainspring.ref import ModelRef
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


def guessed(rows: pl.DataFrame, days: pl.Expr) -> pl.DataFrame:
    """Orders whose outcome is a coin's on some days."""
    coin = pl.col("order_id").hash(seed=7) % 2 == 0
    return rows.with_columns(late=pl.when(days).then(coin).otherwise("late"))


def harder(rows: pl.DataFrame) -> pl.DataFrame:
    """Working days of which nobody can tell the outcome."""
    return guessed(rows, pl.col("asked_at").dt.weekday() <= 5)


def hard(rows: pl.DataFrame) -> pl.DataFrame:
    """Weekends that have become so too."""
    return guessed(rows, pl.lit(True))


def trained(root: Path, monitors: str, change: Change = weekly, *, per_day: int = 200) -> Workspace:
    def declared(text: str) -> str:
        begin, end = text.index("    monitors=[") + len("    monitors="), text.index("    retrain=")
        text = f"{text[:begin]}{monitors},\n{text[end:]}"
        return text.replace('"roc_auc", 0.6', '"roc_auc", 0.5')

    workspace = begin(root, declared)
    add_batch(workspace, "orders", parquet(change(orders(per_day=per_day))), actor="test")
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


def test_answers_that_are_worse_on_working_days_as_ever_are_no_harm_with_strata(tmp_path: Path) -> None:
    quality = 'ms.Quality("accuracy", tolerance=0.02'
    with trained(tmp_path / "mixed", f"[{quality})]", harder) as mixed:
        assert "quality:accuracy" in live(mixed, range(1, 14), harder)
    sliced = f'[{quality}, strata="weekend", slices=("kind",))]'
    with trained(tmp_path / "apart", sliced, harder, per_day=400) as apart:
        assert live(apart, range(1, 14), harder) == {}
        with apart.database.read() as tx:
            seen = looks(tx, "tiny", "quality:accuracy")
        assert seen is not None
        assert seen.outcome == "quiet"
        (power,) = quality_power(apart, ModelRef("tiny", 1), rise=0.2, labels_per_day=100)
        assert power.metric == "1 - accuracy"
        _, alarm = live(apart, range(14, 42), hard)["quality:accuracy"]
        assert alarm.change is not None
        assert all(each.stream.endswith(" on weekends") for each in alarm.change.blame)
        assert replay(apart, alarm.alarm_id).same
        assert alarm_curve(apart, alarm.alarm_id) is not None


def test_strata_of_quality_that_the_champion_was_not_judged_by_are_named(tmp_path: Path) -> None:
    with trained(tmp_path / "root", '[ms.Quality("brier")]') as workspace:
        file = workspace.settings.root / "product.py"
        file.write_text(file.read_text().replace('"brier"', '"brier", strata="weekday"'))
        declare(workspace, actor="test")
        live(workspace, range(1, 4))
        with workspace.database.read() as tx:
            seen = looks(tx, "tiny", "quality:brier")
    assert seen is not None
    assert seen.outcome == "could_not_judge"
    assert "before strata were declared" in seen.told


def test_weekdays_of_which_the_holdout_has_no_rows_are_named_and_are_not_quiet(tmp_path: Path) -> None:
    with trained(tmp_path / "root", '[ms.Quality("brier", strata="weekday")]') as workspace:
        assert live(workspace, range(1, 16)) == {}
        with workspace.database.read() as tx:
            seen = looks(tx, "tiny", "quality:brier")
    assert seen is not None
    assert seen.outcome == "insufficient_data"
    assert "brier on Wednesdays: the reference has 0 rows, 100 are needed" in seen.told


def week(rng: np.random.Generator, weekday: int, n: int, *, awaited: bool = False) -> ScoreTable:
    """Rows of a day; weekends are harder. Of rows whose label may still come, only wrong answers are known."""
    wrong = rng.random(n) < (0.3 if weekday > 4 else 0.1)
    labels = [None if awaited and not each else int(not each) for each in wrong]
    return ScoreTable.of([0.9] * n, labels)


@pytest.mark.parametrize("within", [0, 3])
@pytest.mark.parametrize("strata", ["weekend", "weekday"])
def test_with_strata_a_season_of_quality_alarms_no_more_often_than_the_budget_allows(
    strata: str, within: int
) -> None:
    rng = np.random.default_rng(within)
    monitor = Quality("accuracy", tolerance=0.0, labels_within=f"{within}d", strata=strata)  # type: ignore[arg-type]
    sight, budget = ScoreSight(monitor), Budget(checks=14, alarms=0.2)
    runs, spoken, mixed = 150, 0, 0
    for _ in range(runs):
        judged = [week(rng, weekday, 400) for weekday in range(7)]
        whole = judged[0]
        for table in judged[1:5]:  # the mean of a hold-out that ends before the weekend is of working days
            whole = whole.merge(table)
        reference = Reference(
            inputs="",
            predictions="",
            losses={},
            scores=whole.to_json(),
            scores_by_weekday=[each.to_json() for each in judged],
        )
        days = [week(rng, number % 7, 100) for number in range(14)]
        waiting = [week(rng, number % 7, 100, awaited=True) for number in range(14)]

        def alarmed(sight: ScoreSight, last: int) -> bool:
            told = [
                json.dumps(
                    [
                        number >= last - within,
                        table.to_json(),
                        *([number % 7] if sight.monitor.strata else []),
                    ]
                )
                for number in range(last)
                for table in [(waiting if number >= last - within else days)[number]]  # noqa: B023
            ]
            streams = sight.streams(reference, told)  # noqa: B023
            return sight.weigh(streams, budget).outcome is Outcome.ALARM

        spoken += any(alarmed(sight, last) for last in (7, 14))
        mixed += any(alarmed(ScoreSight(Quality("accuracy", tolerance=0.0)), last) for last in (7, 14))
    assert spoken <= runs * budget.alarms + 3 * math.sqrt(runs * budget.alarms)
    assert mixed > runs / 2 or within
