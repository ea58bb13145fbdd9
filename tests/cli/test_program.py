"""The program as a whole: help, exit codes, completion, and finding the workspace."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App
from tests.cli.conftest import Command

from mainspring.cli.main import app, exit_code
from mainspring.errors import Conflict, Fault, Faults, Invalid, MainspringError, NotFound, Refused
from mainspring.ref import ModelRef
from mainspring.stores.errors import StoreUnavailable


def commands(of: App = app, called: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in of:
        if not name.startswith("-"):
            yield (*called, name)
            yield from commands(of[name], (*called, name))


COMMANDS = list(commands())


def test_help_names_every_command_and_every_exit_code(mainspring: Command) -> None:
    said = mainspring("--help")
    assert said.code == 0
    assert {called[0] for called in COMMANDS} <= set(re.findall(r"^│ ([\w-]+)", said.out, re.MULTILINE))
    assert re.findall(r"^  (\d)  ", said.out, re.MULTILINE) == list("012345")


@pytest.mark.parametrize("called", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example(called: tuple[str, ...], mainspring: Command) -> None:
    said = mainspring(*called, "--help")
    assert said.code == 0
    if called in (("data",), ("ledger",), ("log",)):
        assert "list" in said.out
    else:
        assert re.search(rf"Examples?:\n  .*mainspring {' '.join(called)}", said.out)


@pytest.mark.parametrize("called", COMMANDS, ids=" ".join)
def test_what_prints_can_print_json(called: tuple[str, ...], mainspring: Command) -> None:
    if called[0] not in ("up", "server", "gateway", "completion") and called not in (
        ("data",),
        ("ledger",),
        ("alarms",),
        ("alerts",),
        ("export",),
        ("features",),
        ("import",),
        ("labels",),
        ("triggers",),
    ):
        assert "--json" in mainspring(*called, "--help").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tarin"], 'Did you mean "train"'),
        (["train"], "requires an argument"),
        (["data", "add", "orders"], "requires an argument"),
        (["status", "--jsn"], "--json"),
        (["runs", "--limit", "many"], "--limit"),
    ],
)
def test_a_call_that_cannot_be_read_is_misuse(arguments: list[str], words: str, mainspring: Command) -> None:
    said = mainspring(*arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert "--help`." in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 1),
        (Invalid("what?"), 2),
        (Faults("it", (Fault("here", "is wrong."),)), 2),
        (NotFound("nothing"), 3),
        (Conflict("taken"), 4),
        (StoreUnavailable("disk", "it is full", "Free space."), 5),
        (MainspringError("oh"), 5),
    ],
)
def test_the_exit_code_tells_refusal_from_misuse_from_failure(error: MainspringError, code: int) -> None:
    assert exit_code(error) == code


def test_a_folder_without_a_workspace_is_told_how_to_begin_one(
    mainspring: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in (["status"], ["upgrade"], ["status", "--root", str(tmp_path / "nowhere")]):
        said = mainspring(*arguments)
        assert said.code == 3
        assert "mainspring init NAME" in said.err
    assert list(tmp_path.iterdir()) == []


def test_the_workspace_is_found_upward_or_by_its_root(
    root: Path, mainspring: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "notes" / "deep").mkdir(parents=True)
    monkeypatch.chdir(root / "notes" / "deep")
    assert "tiny@1" in mainspring("status").out
    monkeypatch.chdir("/")
    assert "tiny@1" in mainspring("status", "--root", str(root)).out


def test_a_setting_that_is_none_is_misuse(root: Path, mainspring: Command) -> None:
    (root / "mainspring.toml").write_text('prot = 80\nport = "high"\n')
    said = mainspring("status")
    assert said.code == 2
    assert "2 faults" in said.err
    assert "prot: is no setting" in said.err


def test_a_file_that_may_not_be_read_is_a_failure_in_one_line(root: Path, mainspring: Command) -> None:
    (root / ".mainspring" / "state.db").unlink()
    (root / ".mainspring" / "state.db").mkdir()
    said = mainspring("status")
    assert said.code == 5
    assert "Traceback" not in said.err
    assert "state.db" in said.err


def test_completions_are_scripts_that_the_shell_reads(mainspring: Command) -> None:
    script = mainspring("completion", "bash")
    assert script.code == 0
    assert "rollout" in script.out
    if bash := shutil.which("bash"):
        subprocess.run([bash, "-n"], input=script.out, text=True, check=True)
    assert mainspring("completion", "cmd").code == 2


def test_the_installed_program_ends_with_the_code(root: Path) -> None:
    program = [sys.executable, "-c", "from mainspring.cli.main import run; run()", "models"]
    assert subprocess.run([*program, "tiny"], cwd=root, capture_output=True).returncode == 0
    missing = subprocess.run([*program, "tiny@9"], cwd=root, capture_output=True, text=True)
    assert (missing.returncode, missing.stdout) == (3, "")
    assert (
        missing.stderr
        == f"No {ModelRef('tiny', 9)}: its newest is 1. To see them all, run `mainspring models tiny`.\n"
    )


def test_a_reader_that_has_seen_enough_is_no_failure(root: Path) -> None:
    program = [sys.executable, "-c", "from mainspring.cli.main import run; run()", "ledger", "list", "--json"]
    with subprocess.Popen(program, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
