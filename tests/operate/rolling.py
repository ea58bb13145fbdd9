"""A workspace whose tiny product rolls out by a strategy of the test's own, and days of traffic for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.operate.tiny import ask
from tests.products.tiny.orders import FIRST, orders

from mainspring.operate.controller import turn
from mainspring.operate.declare import declare
from mainspring.operate.request import request_training
from mainspring.rollouts import Rollout
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
DECLARED = 'ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20)'


def begin_rollout(workspace: Workspace, strategy: str) -> None:
    """Declare a strategy, and let a second version begin to roll out on day 31."""
    file = Path(workspace.settings.root) / "product.py"
    text = file.read_text()
    assert DECLARED in text
    file.write_text(text.replace(DECLARED, strategy))
    declare(workspace, actor="ada")
    params = {"train.rounds": 25}
    request_training(workspace, "tiny", request_id="second", actor="ada", reason="more trees", params=params)
    workspace.advance(FIRST + 31 * DAY)
    turn(workspace)


def live(workspace: Workspace, day: int, *, per_day: int = 300, **more: Any) -> None:
    """Let a day's orders be asked for, twelve hours into the day, and turn the loop."""
    workspace.advance(FIRST + day * DAY + timedelta(hours=12))
    ask(workspace, orders(FIRST + day * DAY, days=1, per_day=per_day), **more)
    turn(workspace)


def rollout_of(workspace: Workspace) -> Rollout:
    """The newest rollout."""
    with workspace.database.read() as tx:
        return tx.rollouts.rollouts("tiny")[-1]
