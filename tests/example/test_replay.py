"""The replay as a newcomer runs it, on the first weeks of the year."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mainspring.governance import verify
from mainspring.loop import TriggerKind
from mainspring.workspace import open_workspace

REPLAY = Path(__file__).parents[2] / "examples" / "late-arrivals" / "replay.py"


def replay(folder: Path, *options: str) -> str:
    """Run the replay, and give what it printed."""
    command = [sys.executable, str(REPLAY), "--folder", str(folder), *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def head(printed: str) -> str:
    found = re.search(r"head\s+([0-9a-f]{64})", printed)
    assert found, printed
    return found[1]


@pytest.mark.slow
def test_two_replays_with_one_seed_leave_the_same_ledger(tmp_path: Path) -> None:
    first, second = (head(replay(tmp_path / name, "--until", "2013-02-16")) for name in ("first", "second"))
    assert first == second
    with open_workspace(tmp_path / "first") as workspace, workspace.database.read() as tx:
        found = verify(tx.ledger.entries())
        assert (found.sound, found.head) == (True, first)
        # The wind of 1,048 mph is set aside, and the rest of its week is published.
        (windy,) = [batch for batch in tx.data.batches("weather") if batch.report.quarantined]
        assert windy.version is not None
        assert [(failure.column, failure.rows) for failure in windy.report.failures] == [("wind_speed", 1)]
    assert (tmp_path / "first" / "report.html").stat().st_size < 200_000


@pytest.mark.slow
def test_on_rows_shuffled_in_time_no_monitor_starts_a_cycle(tmp_path: Path) -> None:
    replay(tmp_path / "control", "--shuffled", "--until", "2013-02-24")
    with open_workspace(tmp_path / "control") as workspace, workspace.database.read() as tx:
        triggers = {cycle.trigger for cycle in tx.loop.cycles("late-arrivals")}
        assert triggers
        assert triggers <= {TriggerKind.ON_NEW_DATA, TriggerKind.ON_SCHEDULE}
        assert sum(row.labelled for row in tx.monitoring.quality("late-arrivals")) > 15_000
        assert [alarm.monitor for alarm in tx.monitoring.alarms("late-arrivals")] == []
