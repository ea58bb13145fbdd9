"""Approving a version: a person's word under the policy in force, and how that stands."""

from __future__ import annotations

__all__ = [
    "ApprovalRow",
    "Approvals",
    "NothingToApprove",
    "answer_version",
    "approvals_of",
    "say",
    "version_stands",
]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.approval import ApprovalPolicy
from mainspring.errors import Conflict
from mainspring.events import Event, EventType
from mainspring.governance.approval import (
    ROLLING_OUT,
    Answer,
    Approval,
    Approved,
    check_entitled,
    stand,
)
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from collections.abc import Set

    from mainspring.registry import ModelVersion
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class NothingToApprove(Conflict):
    """A version of a product that no policy is declared for."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return (
            f"No version of {self.product!r} waits for approval: the product declares no policy. To ask for approvals, "
            "add `approval=ms.ApprovalPolicy(...)` to it."
        )


class ApprovalRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person's yes or no; `policy` is the number of the policy under which it was given."""

    about: str
    answer: str
    actor: str
    reason: str
    policy: int
    at: datetime


class Approvals(msgspec.Struct, frozen=True, kw_only=True):
    """How a version stands for being rolled out, the policy in force with its number, and all that was said."""

    ref: str
    standing: str
    why: str
    number: int | None
    policy: ApprovalPolicy | None
    approvals: list[ApprovalRow]


def answer_version(
    workspace: Workspace, ref: ModelRef, answer: Answer, *, actor: str, reason: str
) -> Approvals:
    """Record a person's yes or no to rolling a version out.

    Parameters
    ----------
    workspace : Workspace
    ref : ModelRef
        By number or alias.
    answer : Answer
    actor, reason : str
        Who, and why.

    Raises
    ------
    mainspring.registry.ModelVersionNotFound
        There is no such version.
    NothingToApprove
        The product declares no policy.
    mainspring.governance.approval.NotEntitled
        Their word does not count under the policy.
    """
    with workspace.database.write() as tx:
        version = tx.registry.get(ref)
        say(
            tx,
            version.ref,
            ROLLING_OUT,
            answer,
            actor=actor,
            reason=reason,
            asked_by={_asker(tx, version)},
            at=workspace.clock.now(),
        )
    return approvals_of(workspace, version.ref)


def approvals_of(workspace: Workspace, ref: ModelRef) -> Approvals:
    """Tell how a version stands, and what was said of it; raises `ModelVersionNotFound`."""
    with workspace.database.read() as tx:
        version = tx.registry.get(ref)
        declared = tx.approvals.policy(ref.product)
        found = version_stands(tx, version, now=workspace.clock.now())
        return Approvals(
            ref=str(version.ref),
            standing=found.standing.value,
            why=found.why,
            number=declared.number if declared else None,
            policy=declared.policy if declared else None,
            approvals=[
                ApprovalRow(
                    about=each.about,
                    answer=each.answer.value,
                    actor=each.actor,
                    reason=each.reason,
                    policy=each.policy,
                    at=each.at,
                )
                for each in tx.approvals.of(version.ref)
            ],
        )


def version_stands(tx: Transaction, version: ModelVersion, *, now: datetime, starter: str = "") -> Approved:
    """Say whether a version may be rolled out.

    Parameters
    ----------
    tx : Transaction
    version : ModelVersion
    now : datetime
    starter : str
        Who starts its rollout by hand, long after its own cycle perhaps: then it waits for ever, and their word counts
        no more than that of who asked for the cycle.
    """
    return stand(
        tx.approvals.policy(version.product),
        tx.approvals.of(version.ref),
        ROLLING_OUT,
        asked_by={_asker(tx, version), starter},
        asked_at=None if starter else version.registered_at,
        now=now,
    )


def say(
    tx: Transaction,
    ref: ModelRef,
    about: str,
    answer: Answer,
    *,
    actor: str,
    reason: str,
    asked_by: Set[str],
    at: datetime,
) -> Approved:
    """Record a yes or no to a transition in a transaction, and say how it stands then.

    Raises
    ------
    NothingToApprove
        The product declares no policy.
    mainspring.governance.approval.NotEntitled
        The word does not count under the policy.
    """
    declared = tx.approvals.policy(ref.product)
    if declared is None or declared.policy is None:
        raise NothingToApprove(ref.product)
    check_entitled(declared, actor, asked_by)
    given = Approval(
        product=ref.product,
        version=int(ref.version),
        about=about,
        answer=answer,
        actor=actor,
        reason=reason,
        policy=declared.number,
        at=at,
    )
    tx.approvals.add(given)
    found = stand(declared, tx.approvals.of(ref), about, asked_by=asked_by, asked_at=None, now=at)
    tx.ledger.append(
        Event(
            type=EventType.APPROVAL_GIVEN,
            subject=str(ref),
            at=at,
            actor=actor,
            reason=reason,
            data={
                "about": about,
                "answer": answer.value,
                "policy": declared.number,
                "standing": found.standing.value,
            },
        )
    )
    return found


def _asker(tx: Transaction, version: ModelVersion) -> str:
    return tx.loop.get(version.cycle_id).actor
