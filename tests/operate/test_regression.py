"""A product that predicts a number, through the whole loop."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from tests.operate.minutes import DAY, PRODUCT, ask, live, spec, train_first
from tests.products.minutes.deliveries import FIRST, deliveries, parquet

from mainspring.formats.served import feed, load
from mainspring.loop import CycleOutcome
from mainspring.monitoring.record import LabelEntry, LabelRecord
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.certify import version_certificate
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.gain import Finding, gains
from mainspring.operate.ingest import ingest, log_counts
from mainspring.operate.request import request_training
from mainspring.operate.review import review
from mainspring.operate.score_data import score_data
from mainspring.operate.status import product_status, quality_rows, version_rows
from mainspring.ref import DataRef, ModelRef
from mainspring.rollouts.certificate import Verdict
from mainspring.stores.segments import SegmentWriter
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("delivered") / "root")


@pytest.fixture
def workspace(delivered: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with 30 days of deliveries and a champion trained on them."""
    with open_workspace(Path(shutil.copytree(delivered, tmp_path / "root"))) as workspace:
        yield workspace


def test_it_is_judged_by_its_errors_and_served_from_onnx(workspace: Workspace) -> None:
    (row,) = version_rows(workspace, "minutes")
    assert row.aliases == ["champion"]
    assert set(row.metrics) == {"mae", "mse", "rmse", "mape", "r2"}
    assert 3 < row.metrics["mae"] < 5
    assert row.metrics["rmse"] == pytest.approx(row.metrics["mse"] ** 0.5)
    assert [each["name"] for each in row.signature["outputs"]] == ["prediction"]
    assert row.lineage["serving"]["served"] == "onnx" if "serving" in row.lineage else True


def test_a_model_that_misses_too_far_is_refused(tmp_path: Path) -> None:
    root = train_first(tmp_path / "root", lambda text: text.replace('"mae", 8.0', '"mae", 2.0'))
    with open_workspace(root) as workspace, workspace.database.read() as tx:
        (cycle,) = tx.loop.cycles("minutes")
        assert cycle.outcome is CycleOutcome.REFUSED
        assert "mae at most 2 on vehicle=bicycle: refused" in cycle.reason


def test_its_errors_are_told_by_day_in_the_unit_of_the_label(workspace: Workspace) -> None:
    at = FIRST + 31 * DAY + timedelta(hours=12)
    workspace.advance(at)
    rows = deliveries(FIRST + 31 * DAY, days=1)
    ask(workspace, rows)
    ingest(workspace)
    with workspace.database.read() as tx:
        version = tx.registry.get(tx.registry.versions("minutes")[0].ref)
    model = load(workspace.blobs.get(version.artifact))
    error = np.abs(model.predict(feed(model, rows)).clip(0, 120) - rows["minutes"].to_numpy().clip(0, 120))
    (day,) = quality_rows(workspace, "minutes")
    assert day.metric == "mae"
    assert day.loss == pytest.approx(error.mean(), abs=1e-3)
    assert day.losses["mse"] == pytest.approx((error**2).mean(), abs=0.1)
    assert day.positive_rate is None


def test_no_change_is_quiet_and_before_labels_its_error_is_estimated(workspace: Workspace) -> None:
    assert live(workspace, range(1, 9)) == {}
    row = product_status(workspace, "minutes").estimate
    assert row is not None
    assert row.outcome == "estimated"
    assert row.metrics["mae"].low < row.measured["mae"] < row.metrics["mae"].high


def test_worse_answers_are_an_alarm_in_the_unit_of_the_label_that_comes_out_the_same_again(
    workspace: Workspace,
) -> None:
    live(workspace, range(1, 4))
    spoken = live(workspace, range(4, 12), slower=1.5)
    assert {"quality:mae", "quality:mse"} <= spoken.keys()
    _, alarm = spoken["quality:mae"]
    assert alarm.change is not None
    assert alarm.change.unit == "mae"
    blamed = alarm.change.blame[0]
    assert 3 < blamed.before < 6
    assert blamed.after > 8
    for _, each in spoken.values():
        assert replay(workspace, each.alarm_id).same
    curve = alarm_curve(workspace, alarm.alarm_id)
    assert curve is not None
    assert max(mean for _, mean in curve.days) > 8


def test_the_loop_retrains_on_worse_answers_and_says_what_that_was_worth(tmp_path: Path) -> None:
    def newest(text: str) -> str:
        return text.replace('holdout="5d"', 'holdout="1d",\n    train_on=ms.SlidingWindow("3d")').replace(
            'cool_down="1d"', 'cool_down="4d"'
        )

    with open_workspace(train_first(tmp_path / "root", newest)) as workspace:
        for day in range(1, 19):
            workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
            rows = deliveries(FIRST + (30 + day) * DAY, days=1, slower=1.5)
            brought = rows.with_columns(pl.col("delivery_id") + "x")
            add_batch(workspace, "deliveries", parquet(brought), actor="test")
            turn(workspace)
            ask(workspace, rows)
        turn(workspace)
        with workspace.database.read() as tx:
            cycles = tx.loop.cycles("minutes")
            found = gains(tx, "minutes")
        assert [each.trigger.value for each in cycles[:2]] == ["on_new_data", "on_degradation"]
        assert {each.metric for each in found} == {"mae"}
        assert Finding.HELPED in {each.finding for each in found}
        assert 1 < max(each.estimate or 0 for each in found) < 30
        month = review(workspace, "minutes", frozen=1)[-1]
        assert month.served["mae"] < month.frozen["mae"]


def test_a_challenger_that_misses_farther_is_rolled_back(workspace: Workspace) -> None:
    request_training(
        workspace, "minutes", request_id="r", actor="test", reason="another try", params={"train.rounds": 41}
    )
    turn(workspace)
    for day in range(1, 12):
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
        ask(workspace, deliveries(FIRST + (30 + day) * DAY, days=1), off=8.0)
        turn(workspace)
    with workspace.database.read() as tx:
        cycle = tx.loop.cycles("minutes")[-1]
    assert cycle.outcome is CycleOutcome.ROLLED_BACK
    assert "NotWorse(mae)" in cycle.reason


def test_a_table_is_scored_with_numbers(workspace: Workspace) -> None:
    scoring = score_data(workspace, "minutes@champion", ["deliveries@v1"], actor="test")
    assert scoring.unanswered == {}
    with workspace.database.read() as tx:
        scored = tx.data.get(DataRef.parse(scoring.ref))
    found = workspace.tables.read(scored.dataset, scored.table_version).sort("asked_at", "delivery_id")
    rows = deliveries(days=30, per_day=102).sort("asked_at", "delivery_id")
    with workspace.database.read() as tx:
        version = tx.registry.get(tx.registry.versions("minutes")[0].ref)
    model = load(workspace.blobs.get(version.artifact))
    assert "probability" not in found.columns
    assert found["prediction"].to_list() == pytest.approx(model.predict(feed(model, rows)).tolist(), abs=1e-4)


@pytest.mark.parametrize(("off", "verdict"), [(0.0, Verdict.CERTIFIED), (8.0, Verdict.REFUSED)])
def test_a_shadow_is_certified_by_its_errors(tmp_path: Path, off: float, verdict: Verdict) -> None:
    def shadowed(text: str) -> str:
        begin, end = text.index("    rollout=ms.Canary("), text.index("    monitors=[")
        return (
            text[:begin]
            + '    rollout=ms.Shadow(bake="1d", minimum_units=50,\n'
            + '        then=ms.Canary(guards=(ms.NotWorse("mae", margin=1.0),))),\n'
            + text[end:]
        )

    (tmp_path / "root").mkdir()
    with open_workspace(train_first(tmp_path / "root", shadowed)) as workspace:
        request_training(
            workspace, "minutes", request_id="r", actor="test", reason="again", params={"train.rounds": 41}
        )
        turn(workspace)
        for day in (1, 2, 3):
            workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=12))
            ask(workspace, deliveries(FIRST + (30 + day) * DAY, days=1, per_day=300), off=off)
            turn(workspace)
        with workspace.database.read() as tx:
            kept = version_certificate(workspace, tx, ModelRef("minutes", 2))
    assert kept is not None
    assert kept.verdict is verdict
    assert kept.overall.disagreement is None
    gap = kept.overall.losses[0].gap
    assert gap is not None
    assert gap.estimate == pytest.approx(off / 2 if off else 0.0, abs=4.0)
    assert gap.low >= -120


@pytest.mark.parametrize("value", ["soon", "12.5x"])
def test_a_label_that_is_no_number_does_not_count_and_is_named(workspace: Workspace, value: str) -> None:
    workspace.advance(FIRST + 31 * DAY + timedelta(hours=12))
    rows = deliveries(FIRST + 31 * DAY, days=1)
    ask(workspace, rows, labelled=False)
    at = workspace.clock.now()
    with SegmentWriter(workspace.logs / "gateway-1") as writer:
        writer.append(
            [LabelRecord(at=at, labels=[LabelEntry(each, value, at) for each in rows["delivery_id"]])]
        )
    ingest(workspace)
    with workspace.database.read() as tx:
        assert log_counts(tx, "minutes") == {"unfitting_labels": 100}


def test_a_label_far_out_counts_as_the_end_of_the_range(workspace: Workspace) -> None:
    workspace.advance(FIRST + 31 * DAY + timedelta(hours=12))
    rows = deliveries(FIRST + 31 * DAY, days=1).with_columns(minutes=pl.lit(1e12))
    ask(workspace, rows)
    ingest(workspace)
    (day,) = quality_rows(workspace, "minutes")
    assert day.loss is not None
    assert 60 < day.loss < 120


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"r2", 0.5', '"roc_auc", 0.5'), "knows no metric 'roc_auc' of Regression"),
        (
            lambda text: text.replace('"mae", margin=1.0', '"brier", margin=1.0'),
            "cannot watch 'brier' row by row",
        ),
        (lambda text: text.replace('Quality("mae"', 'Quality("log_loss"'), "cannot watch 'log_loss'"),
        (lambda text: text.replace('Quality("mse"', 'Quality("mape"'), "cannot watch 'mape'"),
        (lambda text: text.replace('metric="mae")', 'metric="recall")'), "cannot watch 'recall'"),
        (lambda text: text.replace("monitors=[", "monitors=[ms.ConceptDrift(),"), "Regression has none"),
        (
            lambda text: text.replace(
                "rollout=ms.Canary(", 'rollout=ms.ABTest(goal=ms.Better("log_loss"),'
            ).replace("steps=(0.5, 1.0),", ""),
            "cannot compare by 'log_loss'",
        ),
        (
            lambda text: text.replace('ms.NotWorse("mae", margin=1.0)', 'ms.Threshold("brier", at_most=1)'),
            "cannot measure 'brier'",
        ),
        (lambda text: text.replace('label="minutes"', 'label="vehicle"'), "Regression predicts numbers"),
        (
            lambda text: text.replace("low=0, high=120", "low=120, high=0"),
            "it goes from a number to a greater one",
        ),
        (lambda text: text.replace("low=0, high=120", "low=0, high=float('nan')"), "to a greater one"),
    ],
)
def test_what_is_not_for_numbers_is_refused_in_the_product_file(
    workspace: Workspace, change: Callable[[str], str], told: str
) -> None:
    (workspace.settings.root / "product.py").write_text(change((PRODUCT / "product.py").read_text()))
    with pytest.raises(DeclarationInvalid, match=told):
        declare(workspace, actor="test")


def test_a_product_with_versions_keeps_its_kind_of_task(workspace: Workspace) -> None:
    text = (PRODUCT / "product.py").read_text()
    other = (
        text.replace(
            'ms.Regression(label="minutes", low=0, high=120)', 'ms.BinaryClassification("vehicle", "car")'
        )
        .replace('inputs=["distance", "hour", "vehicle"]', 'inputs=["distance", "hour"]')
        .replace('ms.AtLeast("r2", 0.5)', 'ms.AtLeast("roc_auc", 0.5)')
    )
    other = (
        other[: other.index("    gates=[")]
        + '    gates=[ms.AtLeast("roc_auc", 0.5)],\n    holdout="5d",\n)\n'
    )
    (workspace.settings.root / "product.py").write_text(other)
    with pytest.raises(DeclarationInvalid, match="its versions are for Regression"):
        declare(workspace, actor="test")
    assert type(spec(workspace).task).__name__ == "Regression"


def test_another_range_holds_from_the_next_version_on(workspace: Workspace) -> None:
    live(workspace, range(1, 3))
    text = (PRODUCT / "product.py").read_text().replace("high=120", "high=60")
    (workspace.settings.root / "product.py").write_text(text)
    declare(workspace, actor="test")
    assert live(workspace, range(3, 9)) == {}
    told = [day.loss for day in quality_rows(workspace, "minutes") if day.loss is not None]
    assert max(told) < 1.5 * min(told)


def test_a_classifier_is_refused_as_a_model_of_numbers(tmp_path: Path) -> None:
    def classify(text: str) -> str:
        begin, end = text.index("    import lightgbm"), text.index("product = ms.Product")
        return (
            text[:begin]
            + "    from sklearn.linear_model import LogisticRegression\n"
            + '    rows = examples.select("distance", "hour").to_numpy()\n'
            + '    model = LogisticRegression().fit(rows, examples["label"] > 30)\n'
            + '    return ms.Fitted(model=model, inputs=("distance", "hour"))\n\n\n'
            + text[end:]
        )

    root = train_first(tmp_path / "root", classify)
    with open_workspace(root) as workspace, workspace.database.read() as tx:
        (cycle,) = tx.loop.cycles("minutes")
    assert cycle.outcome is CycleOutcome.FAILED
    assert "it is a classifier, and the product's task is Regression" in cycle.reason


def test_the_spec_is_the_same_after_a_trip_through_json(workspace: Workspace) -> None:
    declared = spec(workspace)
    assert msgspec.json.decode(declared.to_json(), type=type(declared)) == declared
