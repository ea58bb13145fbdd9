"""What a cycle trains on: a window, a change point, weights; recorded, reused for the same, judged by the same rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.operate.tiny import train_first
from tests.operate.watching import live, moved

from mainspring.errors import Invalid
from mainspring.events import EventType
from mainspring.loop import CycleOutcome, TriggerKind
from mainspring.monitoring import Profile
from mainspring.operate.controller import turn
from mainspring.operate.references import reference_of
from mainspring.operate.request import request_training
from mainspring.operate.suspicion import change_behind
from mainspring.ref import ModelRef
from mainspring.training import SinceChange, SlidingWindow, Weighted
from mainspring.workspace import Workspace, open_workspace

Declared = Callable[[str], str]


def training_on(policy: str, *changes: tuple[str, str]) -> Declared:
    def declared(text: str) -> str:
        for before, after in (("    retrain=[", f"    train_on={policy},\n    retrain=["), *changes):
            assert before in text
            text = text.replace(before, after)
        return text

    return declared


def reasons(workspace: Workspace) -> list[str]:
    with workspace.database.read() as tx:
        return [each.reason for each in tx.ledger.entries() if each.type == EventType.RUN_COMPLETED]


def rows_of_reference(workspace: Workspace, version: int) -> int:
    with workspace.database.read() as tx:
        digest = tx.registry.get(ModelRef("tiny", version)).reference
    return Profile.from_json(reference_of(workspace.blobs, digest).inputs).rows


def test_a_sliding_window_is_trained_on_told_and_is_what_inputs_are_compared_with(tmp_path: Path) -> None:
    train_first(tmp_path / "all")
    train_first(tmp_path / "some", training_on('ms.SlidingWindow("10d")'))
    with open_workspace(tmp_path / "all") as every, open_workspace(tmp_path / "some") as some:
        assert reasons(every) == ["3 steps gave a model, 0 of them reused"]
        assert reasons(some) == [
            "3 steps gave a model, 0 of them reused, trained on SlidingWindow(length='10d')"
        ]
        assert rows_of_reference(every, 1) > rows_of_reference(some, 1) > 1_000


def test_weights_reach_the_steps_and_are_no_input(tmp_path: Path) -> None:
    weighted = training_on(
        'ms.Weighted("5d")',
        (
            'examples["label"].to_numpy(), feature_name',
            'examples["label"].to_numpy(), weight=examples["weight"].to_numpy(), feature_name',
        ),
    )
    train_first(tmp_path / "weighted", weighted)
    train_first(tmp_path / "all")
    with open_workspace(tmp_path / "weighted") as one, open_workspace(tmp_path / "all") as other:
        artifacts = []
        for workspace in (one, other):
            with workspace.database.read() as tx:
                artifacts.append(tx.registry.get(ModelRef("tiny", 1)).artifact)
        assert artifacts[0] != artifacts[1]
        assert rows_of_reference(one, 1) == rows_of_reference(other, 1)


def test_a_window_without_rows_ends_the_cycle_in_words(tmp_path: Path) -> None:
    train_first(tmp_path / "root", training_on('ms.SlidingWindow("1m")'))
    with open_workspace(tmp_path / "root") as workspace, workspace.database.read() as tx:
        (cycle,) = tx.loop.cycles("tiny")
    assert cycle.outcome is CycleOutcome.FAILED
    assert "no rows to learn from" in cycle.reason
    assert "SlidingWindow" in cycle.reason


def test_since_a_change_starts_at_the_change_point_of_the_alarm_behind_the_cycle(tmp_path: Path) -> None:
    train_first(tmp_path / "root", training_on('ms.SinceChange("2d")'))
    with open_workspace(tmp_path / "root") as workspace:
        assert reasons(workspace)[0].endswith(
            "trained on SinceChange(at_least='2d'): no alarm has started it"
        )
        live(workspace, range(1, 4))
        live(workspace, range(4, 18), moved)
        with workspace.database.read() as tx:
            (first,) = tx.loop.cycles("tiny")
            begun = {
                trigger: change_behind(
                    tx,
                    replace(first, cycle_id="c2", number=2, trigger=trigger, opened_at=workspace.clock.now()),
                )
                for trigger in (TriggerKind.ON_DRIFT, TriggerKind.ON_DEMAND)
            }
            several = replace(
                first,
                cycle_id="c2",
                number=2,
                trigger=TriggerKind.ALL_OF,
                parts=(TriggerKind.ON_SCHEDULE, TriggerKind.ON_DRIFT),
                opened_at=workspace.clock.now(),
            )
            begun[TriggerKind.ALL_OF] = change_behind(tx, several)
            changes = [each.change for each in tx.monitoring.alarms("tiny")]
    earliest = min(each.since for each in changes if each is not None)
    assert date(2024, 2, 2) <= earliest <= date(2024, 2, 6)
    assert begun == {
        TriggerKind.ON_DRIFT: datetime.combine(earliest, datetime.min.time(), UTC),
        TriggerKind.ON_DEMAND: None,
        TriggerKind.ALL_OF: datetime.combine(earliest, datetime.min.time(), UTC),
    }


def test_the_same_window_is_reused_and_another_is_said_to_be_another(tmp_path: Path) -> None:
    train_first(tmp_path / "root", training_on('ms.SlidingWindow("10d")'))
    with open_workspace(tmp_path / "root") as workspace:
        request_training(workspace, "tiny", actor="ana", reason="again", request_id="again")
        turn(workspace)
        assert reasons(workspace)[-1].startswith("3 steps gave a model, 3 of them reused")


@pytest.mark.parametrize(
    ("policy", "length", "why"),
    [
        (SlidingWindow, "soon", "is not a duration"),
        (SinceChange, "-3d", "is not a duration"),
        (Weighted, "0d", "no row would be left"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(
    policy: Callable[[str], object], length: str, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        policy(length)
