"""Backtests: the declared policy does again what it did, bit for bit, and others do what they would have done."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.operate.tiny import ask, head, train_first
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.backtest import backtest
from mainspring.operate.controller import turn
from mainspring.operate.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.workspace import Workspace, open_workspace

DAY = timedelta(days=1)


def live(workspace: Workspace, days: range) -> None:
    """Let days pass with traffic, labels and data; from the 10th on orders are paid otherwise."""
    for day in days:
        morning = FIRST + (30 + day) * DAY + timedelta(hours=13)
        workspace.advance(morning)
        turn(workspace)
        rows = orders(FIRST + (30 + day) * DAY, days=1, turned=day >= 10)
        if day % 7 == 6:
            known = orders(FIRST + (30 + day - 6) * DAY, days=7, turned=day >= 16)
            add_batch(workspace, "orders", parquet(known), actor="test")
        if day == 3:
            request_training(workspace, "tiny", request_id="r", actor="ana", reason="to see")
        workspace.advance(morning + timedelta(minutes=1))
        turn(workspace)
        ask(workspace, rows)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that has seen 24 days of traffic, in which the world has changed."""
    folder = train_first(tmp_path_factory.mktemp("lived") / "root")
    with open_workspace(folder) as workspace:
        live(workspace, range(1, 25))
    return folder


def test_the_policy_that_was_in_force_does_again_what_it_did_bit_for_bit(lived: Path) -> None:
    with open_workspace(lived) as workspace:
        before = head(workspace)
        found = backtest(workspace, "tiny")
        assert head(workspace) == before
    again = found.found_again
    assert again.differs == ""
    assert (again.cycles_again, again.alarms_again) == (again.cycles, again.alarms)
    assert again.cycles >= 3
    assert again.alarms >= 2
