"""`mainspring rollout …`: what people see of a rollout and do to it, and the exit code that each answer has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.operate.rolling import begin_rollout, live

from mainspring.workspace import open_workspace

CANARY = (
    'ms.Canary(steps=(0.5, 1.0), bake="3d", minimum_units=20, '
    'guards=(ms.NoMoreErrors(), ms.NotWorse("log_loss", margin=0.01)))'
)


@pytest.fixture(scope="session")
def begun(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("begun") / "root"))
    with open_workspace(folder) as workspace:
        begin_rollout(workspace, CANARY)
        live(workspace, 31, per_day=400)
    return folder


@pytest.fixture
def rolling(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(begun, tmp_path / "rolling"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("LOGNAME", "grace")
    return copy


def test_acts_are_done_by_name_and_refused_with_exit_code_1(rolling: Path, mainspring: Command) -> None:
    said = mainspring("rollout", "pause", "tiny", "--reason", "a sale", "--json")
    assert (said.code, said.json["phase"]) == (0, "paused")
    again = mainspring("rollout", "pause", "tiny", "--reason", "a sale")
    assert (again.code, again.out) == (1, "")
    assert "Resume it, or abort it" in again.err
    assert mainspring("rollout", "approve", "tiny", "--reason", "fine").code == 1
    assert (
        mainspring("rollout", "resume", "tiny", "--reason", "over").out == "The rollout of tiny is running.\n"
    )
    assert mainspring("rollout", "abort", "tiny", "--reason", "no").code == 0
    assert mainspring("rollout", "abort", "tiny", "--reason", "no").code == 3
    with open_workspace(rolling) as workspace, workspace.database.read() as tx:
        acts = [entry.type for entry in tx.ledger.entries() if entry.actor == "grace"]
    assert acts == ["rollout.paused", "rollout.resumed", "rollout.aborted"]


def test_a_promotion_by_hand_moves_the_champion(rolling: Path, mainspring: Command) -> None:
    assert mainspring("rollout", "promote", "tiny", "--version", "9", "--reason", "x").code == 1
    assert mainspring("rollout", "promote", "tiny", "--reason", "the old one is broken").code == 0
    assert "tiny@2" in mainspring("models", "tiny@champion").out


def test_an_act_needs_a_reason(rolling: Path, mainspring: Command) -> None:
    assert mainspring("rollout", "pause", "tiny").code == 2


def test_a_rollout_is_watched_once_and_as_json(rolling: Path, mainspring: Command) -> None:
    said = mainspring("rollout", "watch", "tiny", "--once")
    assert said.code == 0
    for word in ("tiny@2 against tiny@1", "NotWorse(log_loss)", "░", "rollout.started"):
        assert word in said.out
    assert mainspring("rollout", "watch", "tiny", "--json").json["row"]["decision"] == "hold"
    mainspring("rollout", "abort", "tiny", "--reason", "no")
    ended = mainspring("rollout", "watch", "tiny")
    assert "aborted" in ended.out


def test_a_control_plane_that_does_not_answer_is_named(rolling: Path, mainspring: Command) -> None:
    said = mainspring("rollout", "watch", "tiny", "--once", "--url", "http://127.0.0.1:9")
    assert said.code == 5
    assert "http://127.0.0.1:9" in said.err


def test_a_plan_and_a_simulation_are_told(rolling: Path, mainspring: Command) -> None:
    told = mainspring("rollout", "plan", "tiny", "--failing", "20x", "--worse-by", "1")
    assert told.code == 0
    assert "log_loss is higher by" in told.out
    assert mainspring("rollout", "plan", "tiny", "--slower", "much").code == 2
    ran = mainspring("rollout", "simulate", "tiny", "--runs", "2", "--failing", "0.5", "--output", "runs.svg")
    assert ran.code == 0
    assert "rolled_back" in ran.out
    assert Path("runs.svg").read_text().startswith("<svg")
    assert mainspring("rollout", "simulate", "tiny", "--versions", "1,x").code == 2
    assert mainspring("rollout", "simulate", "tiny", "--versions", "1,9").code == 3


def test_a_report_is_one_file_that_fetches_nothing(rolling: Path, mainspring: Command) -> None:
    said = mainspring("rollout", "report", "tiny", "--output", "report.html")
    assert "nothing is decided yet" in said.out
    page = Path("report.html").read_text()
    assert page.lstrip().startswith("<!doctype html>")
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "src=" not in page
    assert mainspring("rollout", "report", "tiny", "2", "--json").json["summary"]["number"] == 2
    assert mainspring("rollout", "report", "tiny", "7").code == 3


def test_a_rollout_without_shadow_cannot_be_certified(rolling: Path, mainspring: Command) -> None:
    said = mainspring("rollout", "certify", "tiny")
    assert said.code == 1
    assert "has no shadow" in said.err


def test_registered_versions_are_rolled_out_by_number(rolling: Path, mainspring: Command) -> None:
    asked = ("rollout", "start", "tiny", "--reason", "again", "--versions", "2")
    busy = mainspring(*asked)
    assert (busy.code, busy.out) == (1, "")
    assert "cycle 2, which is rolling out" in busy.err
    mainspring("rollout", "abort", "tiny", "--reason", "later")
    assert (
        mainspring(*asked, "--strategy", "ab-test", "--shares", "0.3").out
        == "A rollout of tiny has begun: ABTest of version 2 (30%) against version 1.\n"
    )
    for command in (("rollout", "watch", "tiny", "--once"), ("rollout",), ("status",), ("explain", "tiny")):
        assert "tiny@2" in mainspring(*command).out
    assert "nothing is decided yet" in mainspring("rollout", "report", "tiny", "3").out
    with open_workspace(rolling) as workspace, workspace.database.read() as tx:
        acts = [entry.type for entry in tx.ledger.entries() if entry.actor == "grace"]
    assert acts == ["rollout.aborted", "cycle.started", "rollout.started"]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--versions", "x"), 2, "holds no numbers"),
        (("--versions", ""), 2, "No version is named"),
        (("--versions", "9"), 3, "its newest is 2"),
        (("--versions", "1"), 1, "champion already"),
        (("--versions", "2", "--strategy", "gradual"), 2, "name one of AllAtOnce"),
        (("--versions", "2", "--strategy", '{"type": "Canary", "steps": [2]}'), 2, "at most at 1"),
        (("--versions", "2", "--strategy", '{"type": "Gradual"}'), 2, "no strategy in JSON"),
        (("--versions", "2", "--shares", "1.5"), 2, "between 0 and 1"),
        (("--versions", "2", "--shares", "nan"), 2, "between 0 and 1"),
    ],
)
def test_what_cannot_be_rolled_out_is_told_without_a_traceback(
    rolling: Path, mainspring: Command, more: tuple[str, ...], code: int, said: str
) -> None:
    mainspring("rollout", "abort", "tiny", "--reason", "later")
    told = mainspring("rollout", "start", "tiny", "--reason", "again", *more)
    assert (told.code, said in told.err) == (code, True), told.err
    assert "Traceback" not in told.err
