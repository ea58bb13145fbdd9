"""Approvals: what people have said about a transition, and what follows from it under a policy."""

from __future__ import annotations

__all__ = [
    "ROLLING_OUT",
    "Answer",
    "Approval",
    "ApprovalStore",
    "Approved",
    "NotEntitled",
    "PolicyVersion",
    "Standing",
    "check_entitled",
    "stand",
]

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mainspring.clock import parse_duration
from mainspring.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Set
    from datetime import datetime

    from mainspring.approval import ApprovalPolicy
    from mainspring.ref import ModelRef

ROLLING_OUT = "rolling out"
"""What is approved before a version's first rollout; a step of a rollout is named by the rollout."""


class Answer(StrEnum):
    """What a person says."""

    APPROVED = "approved"
    REFUSED = "refused"


class Standing(StrEnum):
    """How a transition stands under a policy."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"


class NotEntitled(Refused):
    """An approval by somebody whose word does not count; nothing is recorded."""

    def __init__(self, actor: str, why: str) -> None:
        super().__init__(actor, why)
        self.actor, self.why = actor, why

    def __str__(self) -> str:
        return f"{self.actor!r} may not say so: {self.why}. Ask somebody else."


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy as it was declared: it is never changed, another number follows it.

    Attributes
    ----------
    product, number : str, int
        Whose, counted 1, 2, 3….
    policy : ApprovalPolicy or None
        None where approval is asked no more.
    declared_at : datetime
        By the workspace's clock.
    """

    product: str
    number: int
    policy: ApprovalPolicy | None
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's yes or no to a transition.

    Attributes
    ----------
    product, version : str, int
        Of which model version.
    about : str
        The transition: `ROLLING_OUT`, or a part of a rollout.
    answer : Answer
    actor, reason : str
        Who, and why.
    policy : int
        The number of the policy under which it was given.
    at : datetime
        By the workspace's clock.
    """

    product: str
    version: int
    about: str
    answer: Answer
    actor: str
    reason: str
    policy: int
    at: datetime


class ApprovalStore(Protocol):
    """Where policies and approvals are kept; neither is ever changed."""

    def policy(self, product: str) -> PolicyVersion | None:
        """Give a product's newest policy; None where it never had one."""
        ...

    def policies(self, product: str) -> tuple[PolicyVersion, ...]:
        """Give every policy of a product, oldest first."""
        ...

    def declare(self, policy: PolicyVersion) -> None:
        """Keep a policy; raises `mainspring.errors.Conflict` when its number is taken."""
        ...

    def add(self, approval: Approval) -> None:
        """Keep an approval."""
        ...

    def of(self, ref: ModelRef) -> tuple[Approval, ...]:
        """Give every approval of a version, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Approved:
    """How a transition stands, and why so in words.

    Attributes
    ----------
    standing : Standing
    why : str
    by : tuple of str
        Whose approvals count.
    """

    standing: Standing
    why: str
    by: tuple[str, ...] = ()


def stand(
    declared: PolicyVersion | None,
    approvals: Iterable[Approval],
    about: str,
    *,
    asked_by: Set[str],
    asked_at: datetime | None,
    now: datetime,
) -> Approved:
    """Say how a transition stands.

    What counts is the last word of each person who is entitled, given under the policy in force: one that was declared
    since asks everybody again. A single refusal is final until who gave it approves.

    Parameters
    ----------
    declared : PolicyVersion or None
        The policy in force.
    approvals : iterable of Approval
        All that were given of the version, oldest first.
    about : str
        The transition.
    asked_by : set of str
        Who wants it; with `four_eyes` their word does not count.
    asked_at : datetime or None
        Since when it waits; None where it may wait for ever.
    now : datetime
    """
    if declared is None or declared.policy is None:
        return Approved(Standing.APPROVED, "no policy asks for approval")
    policy, under = declared.policy, f"under policy {declared.number}"
    said = {
        each.actor: each
        for each in approvals
        if each.policy == declared.number
        and each.about == about
        and not _not_entitled(policy, each.actor, asked_by)
    }
    refused = [each for each in said.values() if each.answer is Answer.REFUSED]
    if refused:
        told = "; ".join(f"{each.actor} refused: {each.reason}" for each in refused)
        return Approved(Standing.REFUSED, f"{told} ({under})")
    by = tuple(sorted(said))
    count = f"{len(by)} of {policy.needed} approvals {under}" + (f", by {', '.join(by)}" if by else "")
    if len(by) >= policy.needed:
        return Approved(Standing.APPROVED, f"approved by {', '.join(by)} {under}", by)
    if asked_at is not None and now - asked_at >= parse_duration(policy.within):
        return Approved(Standing.EXPIRED, f"{count} within {policy.within}, so the champion stays", by)
    return Approved(Standing.WAITING, count, by)


def check_entitled(declared: PolicyVersion, actor: str, asked_by: Set[str]) -> None:
    """Refuse a word that would not count; raises `NotEntitled`."""
    if declared.policy is not None and (why := _not_entitled(declared.policy, actor, asked_by)):
        raise NotEntitled(actor, f"{why} under policy {declared.number}")


def _not_entitled(policy: ApprovalPolicy, actor: str, asked_by: Set[str]) -> str:
    if policy.by and actor not in policy.by:
        return f"{', '.join(policy.by)} may approve"
    if policy.four_eyes and actor in asked_by:
        return "who has asked for it may not approve it"
    return ""
