"""Joint drift in the loop: inputs that hang together otherwise, each being what it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import polars as pl
import pytest
from tests.operate.tiny import train_first
from tests.operate.watching import live

from mainspring.operate.alarms import replay
from mainspring.workspace import Workspace, open_workspace

MONITORS = "[ms.InputDrift(), ms.JointDrift(ignore=())]"


@pytest.fixture(scope="module")
def trained_so(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def declared(text: str) -> str:
        begin = text.index("    monitors=[") + len("    monitors=")
        end = text.index("    retrain=")
        return f"{text[:begin]}{MONITORS},\n{text[end:]}"

    return train_first(tmp_path_factory.mktemp("joint") / "root", declared, per_day=200)


@pytest.fixture
def workspace(trained_so: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(copytree(trained_so, tmp_path / "root"))) as workspace:
        yield workspace


def large_ones_late(rows: pl.DataFrame) -> pl.DataFrame:
    """The same amounts and the same hours, but large orders come in the evening."""
    return rows.with_columns(amount=pl.col("amount").sort().gather(pl.col("hour").rank("ordinal") - 1))


def test_inputs_that_hang_together_otherwise_are_an_alarm_of_joint_drift_alone(workspace: Workspace) -> None:
    assert live(workspace, range(1, 5)) == {}
    spoken = live(workspace, range(5, 12), large_ones_late)
    assert spoken.keys() == {"joint_drift"}
    _, alarm = spoken["joint_drift"]
    # Outcomes went with the amounts that the orders had: labels show harm.
    assert (alarm.about, alarm.state.value) == ("drift", "confirmed")
    assert alarm.change is not None
    assert alarm.change.blame[0].feature == "amount and hour"
    assert alarm.change.blame[0].effect > 0
    assert replay(workspace, alarm.alarm_id).same
