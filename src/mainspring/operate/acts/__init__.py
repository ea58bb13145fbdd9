"""The acts of a cycle. Each is one piece of work, then one transaction that records it together with its event.

Killed before its transaction, an act has changed nothing and is done again: what it had finished is found by content.
"""

from __future__ import annotations

__all__ = ["carry_out"]

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mainspring.loop import (
    Action,
    Advance,
    AskApproval,
    BeginRollout,
    DropArm,
    Expire,
    Hold,
    Judge,
    Measure,
    NotApproved,
    Pause,
    Promote,
    Register,
    RollBack,
    Start,
    Train,
)
from mainspring.operate.acts.judge import judge_cycle
from mainspring.operate.acts.register import register
from mainspring.operate.acts.roll_out import (
    advance,
    ask_approval,
    begin_rollout,
    close_unapproved,
    drop_arm,
    expire,
    pause,
    promote,
    record_measurements,
    roll_back,
)
from mainspring.operate.acts.stage import Stage
from mainspring.operate.acts.start import hold, start
from mainspring.operate.acts.train import train
from mainspring.product import ProductSpec

if TYPE_CHECKING:
    from mainspring.workspace import Workspace


def carry_out(
    workspace: Workspace,
    spec: ProductSpec,
    action: Action,
    boundary: Callable[[str], None] = lambda place: None,
) -> None:
    """Do what the loop has decided.

    Parameters
    ----------
    workspace : Workspace
        What to do it with.
    spec : ProductSpec
        Whose loop.
    action : Action
        The decision.
    boundary : callable
        Told where the act stands: before it, when its work is done and nothing is committed, and when all is.
    """
    stage, kind = Stage(workspace, spec, boundary), type(action).__name__
    boundary(f"before {kind}")
    started = time.perf_counter()
    match action:
        case Start():
            start(stage, action)
        case Hold():
            hold(stage, action)
        case Train(cycle):
            train(stage, cycle)
        case Judge(cycle):
            judge_cycle(stage, cycle)
        case Register(cycle):
            register(stage, cycle)
        case BeginRollout(cycle):
            begin_rollout(stage, cycle)
        case Advance(cycle, fact):
            advance(stage, cycle, fact)
        case Promote(cycle, fact):
            promote(stage, cycle, fact)
        case Measure(cycle, fact):
            record_measurements(stage, cycle, fact)
        case DropArm(cycle, fact):
            drop_arm(stage, cycle, fact)
        case Pause(cycle, fact):
            pause(stage, cycle, fact)
        case NotApproved(cycle, approval):
            close_unapproved(stage, cycle, approval)
        case AskApproval(cycle, fact):
            ask_approval(stage, cycle, fact)
        case RollBack(cycle, fact):
            roll_back(stage, cycle, fact)
        case Expire(cycle, fact):
            expire(stage, cycle, fact)
    boundary(f"after {kind}")
    if isinstance(action, Train | Judge):
        # Measured figures differ between two replays, so they stay out of the ledger.
        with workspace.database.write() as tx:
            tx.values.put(
                f"seconds:{action.cycle.cycle_id}:{kind.lower()}", f"{time.perf_counter() - started:.3f}"
            )
