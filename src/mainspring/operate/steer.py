"""Steering a rollout by hand: a person pauses, resumes, approves, promotes or aborts it.

Each is one transaction that moves the rollout and writes who did it and why. Two people who steer at the same time
are put in order by the database, and the second is told what the first has left.
"""

from __future__ import annotations

__all__ = ["NoRollout", "NotPromotable", "abort", "approve", "pause", "promote", "resume"]

from typing import TYPE_CHECKING

from mainspring.errors import Conflict, NotFound
from mainspring.events import EventType
from mainspring.governance.approval import Answer, Standing
from mainspring.loop import CycleOutcome
from mainspring.operate.acts.roll_out import keep_champion, publish_route
from mainspring.operate.acts.stage import Stage
from mainspring.operate.approve import say
from mainspring.operate.status import check_product
from mainspring.operate.verify_version import need_all_sound
from mainspring.ref import ModelRef
from mainspring.rollouts import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

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


class NotPromotable(Conflict):
    """A promotion by hand that would skip what a person cannot make up for."""

    def __init__(self, product: str, why: str) -> None:
        super().__init__(product, why)
        self.product, self.why = product, why

    def __str__(self) -> str:
        return f"The rollout of {self.product!r} cannot be promoted: {self.why}."


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

    Where the product has a policy, it goes on when as many people as that asks for have said so; until then it is given
    back as it was.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to approve.
    IllegalMove
        It does not wait for approval.
    mainspring.governance.approval.NotEntitled
        Their word does not count under the policy.
    """
    with workspace.database.write() as tx:
        rollout = _in_progress(tx, product)
        moved = rollout.approve()
        if not _agreed(
            workspace, tx, rollout, rollout.step_id, rollout.challenger, actor=actor, reason=reason
        ):
            return rollout
        stage = _stage(workspace, tx, product)
        tx.rollouts.put(moved)
        subject = ModelRef(product, rollout.challenger)
        stage.event(tx, EventType.ROLLOUT_APPROVED, subject, reason, actor=actor, cycle=rollout.rollout_id)
    return moved


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


def promote(
    workspace: Workspace, product: str, *, actor: str, reason: str, version: int | None = None
) -> Rollout:
    """Make a challenger champion now, whatever the guards still wait for; its cycle is closed.

    Where the product has a policy, it is made champion when as many people as that asks for have promoted it; until
    then the rollout is given back as it was.

    Parameters
    ----------
    workspace : Workspace
    product : str
    actor, reason : str
        Who, and why.
    version : int, optional
        Which challenger; needed where there are several.

    Raises
    ------
    UnknownProduct, NoRollout
        There is nothing to promote.
    IllegalMove
        It is paused, or waits for approval.
    NotPromotable
        Its shadow has no certificate, or it is not said which of several challengers is meant.
    mainspring.governance.approval.NotEntitled
        Their word does not count under the policy.
    VersionChanged
        It is not what was registered.
    """
    with workspace.database.read() as tx:
        running = tx.rollouts.running(product)
    need_all_sound(workspace, product, running.live if running and version is None else (version or 0,))
    with workspace.database.write() as tx:
        rollout = _in_progress(tx, product)
        stage = _stage(workspace, tx, product)
        step = rollout.present
        if step is not None and step.mode is Mode.SHADOW and rollout.certificate is None:
            raise NotPromotable(
                product, "its shadow has no certificate; `mainspring rollout certify` asks for one"
            )
        if version is None and len(rollout.live) > 1:
            raise NotPromotable(
                product, f"say which of versions {', '.join(map(str, rollout.live))} is meant"
            )
        chosen = rollout.live[0] if version is None else version
        if chosen not in rollout.live:
            raise NotPromotable(product, f"version {chosen} is none of its challengers")
        ended, about = rollout.promoted(), f"{rollout.rollout_id}/promotion"
        if not _agreed(workspace, tx, rollout, about, chosen, actor=actor, reason=reason):
            return rollout
        tx.rollouts.put(ended)
        stage.move_alias(tx, product, "challenger", expected=rollout.challenger, to=None)
        stage.move_alias(tx, product, "champion", expected=rollout.champion, to=chosen)
        publish_route(stage, tx, None)
        told = f"promoted by {actor}: {reason}"
        stage.event(
            tx,
            EventType.ROLLOUT_PROMOTED,
            ModelRef(product, chosen),
            told,
            actor=actor,
            cycle=rollout.rollout_id,
            before=rollout.champion,
        )
        stage.close(tx, tx.loop.get(rollout.rollout_id), CycleOutcome.PROMOTED, told)
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


def _agreed(
    workspace: Workspace,
    tx: Transaction,
    rollout: Rollout,
    about: str,
    version: int,
    *,
    actor: str,
    reason: str,
) -> bool:
    """Whether all who must agree to a part of a rollout have done so, with the word of one who does now."""
    declared = tx.approvals.policy(rollout.product)
    if declared is None or declared.policy is None:
        return True
    found = say(
        tx,
        ModelRef(rollout.product, version),
        about,
        Answer.APPROVED,
        actor=actor,
        reason=reason,
        asked_by={tx.loop.get(rollout.rollout_id).actor},  # a rollout has the id of its cycle
        at=workspace.clock.now(),
    )
    return found.standing is Standing.APPROVED


def _in_progress(tx: Transaction, product: str) -> Rollout:
    check_product(tx, product)
    rollout = tx.rollouts.running(product)
    if rollout is None:
        raise NoRollout(product)
    return rollout


def _stage(workspace: Workspace, tx: Transaction, product: str) -> Stage:
    return Stage(workspace, workspace.specs(tx)[product], lambda place: None)
