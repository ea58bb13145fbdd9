"""Made again: a candidate that has passed learns from the hold-out too, and is registered only if it came out whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from tests.operate.tiny import train_first

from mainspring.events import EventType
from mainspring.loop import CycleOutcome
from mainspring.operate.acts.judge import REFIT
from mainspring.operate.controller import turn
from mainspring.operate.request import request_training
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion
from mainspring.workspace import Workspace, open_workspace

PART = 2_450
"""More rows than are trained on for judging, and fewer than there are."""


def again(text: str) -> str:
    return text.replace("    retrain=[", "    refit=True,\n    retrain=[")


def version(workspace: Workspace, number: int) -> ModelVersion:
    with workspace.database.read() as tx:
        return tx.registry.get(ModelRef("tiny", number))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("again") / "root", again)


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(copytree(made, tmp_path / "root"))) as workspace:
        yield workspace


def test_what_is_registered_has_learnt_from_all_rows_and_what_is_judged_has_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    mine = version(workspace, 1)
    assert mine.lineage["judged"] != mine.lineage["package"]
    steps = {each["name"]: each for each in mine.lineage["steps"]}  # type: ignore[attr-defined]
    assert steps[REFIT]["output"] == mine.lineage["package"]
    assert steps["train"]["output"] == mine.lineage["judged"]
    with open_workspace(train_first(tmp_path / "once")) as once:
        plain = version(once, 1)
    assert mine.reference == plain.reference
    assert mine.metrics == plain.metrics
    assert mine.artifact != plain.artifact
    assert "judged" not in plain.lineage


def test_the_next_candidate_is_held_against_the_champion_as_it_was_judged(workspace: Workspace) -> None:
    request_training(
        workspace, "tiny", request_id="r", actor="ana", reason="again", params={"train.rounds": 19}
    )
    turn(workspace)
    with workspace.database.read() as tx:
        (judged,) = (
            json.loads(each.data)["verdict"]
            for each in tx.ledger.entries()
            if each.type == EventType.CANDIDATE_JUDGED and each.subject == "tiny/2"
        )
    champion = version(workspace, 1).metrics["log_loss"]
    (most,) = re.findall(r"at most ([0-9.]+)", json.dumps(judged))
    assert float(most) == pytest.approx(champion + 0.02, abs=1e-5)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ('raise ValueError("too many")', "could not be made again from all rows"),
        (
            "examples = examples.with_columns(1 - examples['label'])",
            "made again from all rows, it does not pass",
        ),
    ],
    ids=["it raises", "it comes out broken"],
)
def test_one_that_does_not_come_out_whole_is_refused_and_the_champion_stays(
    tmp_path: Path, fault: str, told: str
) -> None:
    def broken(text: str) -> str:
        before = "    inputs, kinds = "
        return again(text).replace(before, f"    if examples.height > {PART}:\n        {fault}\n{before}")

    with open_workspace(train_first(tmp_path / "root", broken)) as workspace:
        with workspace.database.read() as tx:
            (cycle,) = tx.loop.cycles("tiny")
            assert tx.registry.aliases("tiny") == {}
        assert cycle.outcome is CycleOutcome.REFUSED
        assert told in cycle.reason
