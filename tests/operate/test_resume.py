"""A controller that is killed anywhere leaves a ledger like that of one that never was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.operate.tiny import ask, begin, head
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.governance import verify
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.workspace import Workspace

Turn = Callable[[Workspace], None]


def live(workspace: Workspace, turn_loop: Turn) -> None:
    """A few weeks with a first version, a promotion, a refusal and a rollback, and logs that are compacted."""
    add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
    turn_loop(workspace)
    failing = None
    for day in range(1, 15):
        workspace.advance(FIRST + timedelta(days=30 + day, hours=13))
        ask(workspace, orders(FIRST + timedelta(days=30 + day), days=1), failing_version=failing)
        if day == 4:
            add_batch(workspace, "orders", parquet(orders(FIRST + timedelta(days=31), days=25)), actor="test")
        if day in (8, 10):
            params = {"train.rounds": 1} if day == 8 else {"train.rounds": 21}
            request_training(
                workspace, "tiny", request_id=f"{day}", actor="test", reason="to see", params=params
            )
        turn_loop(workspace)
        if day == 10:
            with workspace.database.read() as tx:
                failing = max(version.number for version in tx.registry.versions("tiny"))


@contextmanager
def turn_and_die(root: Path, places: Path) -> Iterator[Turn]:
    command = [sys.executable, "-m", "tests.operate.turn_and_die", str(root), str(places)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout

        def turn_loop(workspace: Workspace) -> None:
            print("turn", file=process.stdin, flush=True)
            assert process.stdout.readline() == "turned\n"

        yield turn_loop
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.slow
def test_a_controller_killed_at_every_boundary_ends_with_the_ledger_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    with begin(tmp_path / "undisturbed") as undisturbed:
        live(undisturbed, lambda workspace: turn(workspace) and None)
        with undisturbed.database.read() as tx:
            outcomes = {cycle.outcome for cycle in tx.loop.cycles("tiny")}
            assert verify(tx.ledger.entries()).sound
    assert outcomes >= {CycleOutcome.PROMOTED, CycleOutcome.REFUSED, CycleOutcome.ROLLED_BACK}

    places = tmp_path / "places"
    with (
        begin(tmp_path / "disturbed") as disturbed,
        turn_and_die(tmp_path / "disturbed", places) as turn_loop,
    ):
        live(disturbed, turn_loop)
        assert head(disturbed) == head(undisturbed)
    killed_at = set(places.read_text().splitlines())
    for act in ("Start", "Train", "Judge", "Register", "BeginRollout", "Advance", "Promote", "RollBack"):
        assert {f"before {act}", f"after {act}"} <= killed_at
    assert {"before Compact", "within Compact", "after Compact"} <= killed_at
