"""Monitors of scores and outcomes in the loop: slices, other metrics, concept, gaps between groups, audits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import polars as pl
import pytest
from tests.operate.tiny import ask, labels, train_first
from tests.operate.watching import DAY, live, spec
from tests.products.tiny.orders import FIRST, orders

from mainspring.loop import TriggerKind, standings
from mainspring.monitoring.scores import ScoreTable
from mainspring.operate.alarms import alarm_curve, replay
from mainspring.operate.audit import wanted_labels
from mainspring.operate.budget import budget_rows
from mainspring.operate.ingest import ingest
from mainspring.operate.observe import observe
from mainspring.operate.sights.scores import SCORES
from mainspring.operate.watch import watch
from mainspring.stores.segments import SegmentWriter
from mainspring.triggers import OnDrift
from mainspring.workspace import Workspace, open_workspace

MONITORS = """[
        ms.Quality("accuracy", tolerance=0.02, slices=("kind",), labels_within="1d"),
        ms.ConceptDrift(tolerance=0.05),
        ms.Fairness("kind", gap=0.5),
        ms.AuditedQuality("brier", tolerance=0.02),
    ]"""


@pytest.fixture(scope="module")
def trained_so(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scores") / "root"

    def declared(text: str) -> str:
        begin = text.index("    monitors=[") + len("    monitors=")
        end = text.index("    retrain=")
        return f"{text[:begin]}{MONITORS},\n{text[end:]}"

    return train_first(folder, declared, per_day=400)


@pytest.fixture
def workspace(trained_so: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(copytree(trained_so, tmp_path / "root"))) as workspace:
        yield workspace


def score_tables(workspace: Workspace) -> list[ScoreTable]:
    with workspace.database.read() as tx:
        return [ScoreTable.from_json(text) for text in tx.monitoring.tables("tiny", 1, SCORES).values()]


def test_traffic_like_that_of_training_is_quiet_for_all_of_them(workspace: Workspace) -> None:
    assert live(workspace, range(1, 15)) == {}
    with workspace.database.read() as tx:
        rows = {row.monitor: row for row in budget_rows(tx, spec(workspace), workspace.clock.now())}
    assert {row.outcome for name, row in rows.items() if "audited" not in name} == {"quiet"}


def test_worse_answers_are_told_by_slice_and_as_a_change_of_concept(workspace: Workspace) -> None:
    spoken = live(workspace, range(1, 12), turned=True)
    assert {"quality:accuracy", "concept_drift"} <= spoken.keys()
    _, worse = spoken["quality:accuracy"]
    assert worse.change is not None
    assert worse.change.unit == "1 - accuracy"
    assert {each.feature for each in worse.change.blame} >= {"accuracy", "kind=a"}
    _, concept = spoken["concept_drift"]
    assert (concept.about, concept.state.value) == ("concept", "confirmed")
    assert "outcome" in concept.evidence
    for _, alarm in spoken.values():
        assert replay(workspace, alarm.alarm_id).same
        assert alarm_curve(workspace, alarm.alarm_id) is not None


def test_a_change_of_concept_is_a_cause_for_on_drift_and_needs_nobody_to_confirm_it(
    workspace: Workspace,
) -> None:
    live(workspace, range(1, 12), turned=True)
    found = {type(each.trigger): each for each in standings(observe(workspace, spec(workspace)))}
    assert {cause.trigger for cause in found[OnDrift].causes} == {TriggerKind.ON_DRIFT}
    assert any("concept_drift: changed since" in cause.evidence for cause in found[OnDrift].causes)


def test_a_group_that_is_answered_otherwise_is_a_gap(workspace: Workspace) -> None:
    def dear(rows: pl.DataFrame) -> pl.DataFrame:
        amount = pl.when(pl.col("kind") == "b").then(900.0).otherwise(10.0)
        return rows.with_columns(amount=amount)

    spoken = live(workspace, range(1, 9), dear)
    _, alarm = spoken["fairness:kind:positive_rate"]
    assert (alarm.about, alarm.state.value) == ("fairness", "confirmed")
    assert "positive_rate higher where kind=b" in alarm.evidence
    assert alarm.change is not None
    blamed = alarm.change.blame[0]
    assert blamed.after > blamed.before + 0.5
    assert replay(workspace, alarm.alarm_id).same


def test_what_a_slice_has_counted_adds_up_and_follows_revised_labels(workspace: Workspace) -> None:
    workspace.advance(FIRST + 31 * DAY)
    rows = orders(FIRST + 31 * DAY, days=1, per_day=60).with_columns(
        kind=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise(pl.col("kind"))
    )
    ask(workspace, rows)
    ingest(workspace)
    (before,) = score_tables(workspace)
    assert before.rows("") == (60, 60)
    assert before.rows("kind=other") == (5, 5)  # the hold-out has no nulls
    assert sum(before.rows(f"kind={each}")[0] for each in before.values("kind")) == 60
    revised = rows.with_columns(late=~pl.col("late"))
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append([labels(revised, at=workspace.clock.now() + timedelta(hours=2))] * 2)
        writer.roll()
    ingest(workspace)
    (after,) = score_tables(workspace)
    assert after.rows("kind=other") == (5, 5)
    for name, counts in before.groups.items():
        assert (after.groups[name] == counts[:, [0, 2, 1]]).all()


def test_labels_of_audited_predictions_alone_raise_an_alarm_while_the_others_have_none(
    workspace: Workspace,
) -> None:
    spoken: dict[str, int] = {}
    for day in range(1, 25):
        first = FIRST + (30 + day) * DAY
        workspace.advance(first + timedelta(hours=12))
        spoken |= {alarm.monitor: day for alarm in watch(workspace, spec(workspace))}
        rows = orders(first, days=1, per_day=6_000, turned=True)
        ask(workspace, rows, labelled=False)
        ingest(workspace)
        wanted = {each.prediction_id for each in wanted_labels(workspace, "tiny", limit=10_000)}
        with SegmentWriter(workspace.logs / "gateway-0") as writer:
            asked = rows.filter(pl.col("order_id").is_in(wanted))
            writer.append([labels(asked, at=workspace.clock.now())])
            writer.roll()
        ingest(workspace)
        if "audited_quality:brier" in spoken:
            break
    assert "audited_quality:brier" in spoken
    with workspace.database.read() as tx:
        alarm = next(each for each in tx.monitoring.alarms("tiny") if each.monitor.startswith("audited"))
    assert alarm.about == "quality"
    assert replay(workspace, alarm.alarm_id).same
