"""Steering a rollout by hand: a person pauses, resumes, approves or aborts it, and certifies its shadow.

Each is one transaction that moves the rollout and writes who did it and why. Two people who steer at the same time
are put in order by the database, and the second is told what the first has left.
"""

from __future__ import annotations

__all__ = ["NoRollout", "abort", "approve", "certify", "pause", "resume"]

from typing import TYPE_CHECKING

from mainspring.errors import NotFound
from mainspring.events import EventType
from mainspring.operate.acts.roll_out import keep_champion
from mainspring.operate.acts.stage import Stage
from mainspring.operate.status import check_product
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from mainspring.digest import Digest
    from mainspring.rollouts import Rollout
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class NoRollout(NotFound):
    """A product with no rollout in progress."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return f"No rollout of {self.product!r} is in progress. To see how the last one ended, run `mainspring cycles`."


def pause(workspace: Workspace, product: str, *, actor: str, reason: str) -> Rollout:
    """Let a rollout stand: shares stay, no step ends, and harm still rolls back.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to pause.
    IllegalMove
        It is paused, or waits for approval.
    """
    return _move(
        workspace,
        product,
        lambda stage, rollout: rollout.paused(stage.now),
        EventType.ROLLOUT_PAUSED,
        actor=actor,
        reason=reason,
    )


def resume(workspace: Workspace, product: str, *, actor: str, reason: str) -> Rollout:
    """Let a paused rollout go on; its horizon moves on by the length of the pause.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to resume.
    IllegalMove
        It is not paused.
    """
    return _move(
        workspace,
        product,
        lambda stage, rollout: rollout.resumed(stage.now),
        EventType.ROLLOUT_RESUMED,
        actor=actor,
        reason=reason,
    )


def approve(workspace: Workspace, product: str, *, actor: str, reason: str) -> Rollout:
    """Let a rollout that waits for approval go on, with the next turn of the loop.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to approve.
    IllegalMove
        It does not wait for approval.
    """
    return _move(
        workspace,
        product,
        lambda stage, rollout: rollout.approve(),
        EventType.ROLLOUT_APPROVED,
        actor=actor,
        reason=reason,
    )


def certify(workspace: Workspace, product: str, certificate: Digest, *, actor: str, reason: str) -> Rollout:
    """Let a rollout leave the shadow, on the certificate of this digest.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to certify.
    IllegalMove
        It waits for approval.
    """
    return _move(
        workspace,
        product,
        lambda stage, rollout: rollout.certified(certificate),
        EventType.ROLLOUT_CERTIFIED,
        actor=actor,
        reason=reason,
        certificate=certificate,
    )


def abort(workspace: Workspace, product: str, *, actor: str, reason: str) -> Rollout:
    """End a rollout with the champion kept; its cycle is closed.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to abort.
    """
    with workspace.database.write() as tx:
        rollout = _in_progress(tx, product)
        stage = _stage(workspace, tx, product)
        ended = rollout.aborted()
        cycle = tx.loop.get(rollout.rollout_id)  # a rollout has the id of its cycle
        keep_champion(stage, tx, cycle, ended, f"aborted by {actor}: {reason}", actor=actor)
    return ended


def _move(
    workspace: Workspace,
    product: str,
    move: Callable[[Stage, Rollout], Rollout],
    kind: EventType,
    *,
    actor: str,
    reason: str,
    **data: object,
) -> Rollout:
    with workspace.database.write() as tx:
        rollout = _in_progress(tx, product)
        stage = _stage(workspace, tx, product)
        moved = move(stage, rollout)
        tx.rollouts.put(moved)
        subject = ModelRef(product, rollout.challenger)
        stage.event(tx, kind, subject, reason, actor=actor, cycle=rollout.rollout_id, **data)
    return moved


def _in_progress(tx: Transaction, product: str) -> Rollout:
    check_product(tx, product)
    rollout = tx.rollouts.running(product)
    if rollout is None:
        raise NoRollout(product)
    return rollout


def _stage(workspace: Workspace, tx: Transaction, product: str) -> Stage:
    return Stage(workspace, workspace.specs(tx)[product], lambda place: None)
