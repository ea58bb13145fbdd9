"""The decision of a rollout, as a pure function of what was seen of both arms."""

from __future__ import annotations

__all__ = ["Decision", "Kind", "advance", "after"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

import msgspec

from mainspring.clock import duration_text, parse_duration
from mainspring.product import Canary, Guard, NoMoreErrors, NotSlower, NotWorse
from mainspring.rollouts.comparison import Evidence, Finding, latency_test, mean_difference, share_test
from mainspring.rollouts.observed import Observed
from mainspring.rollouts.rollout import Phase, Rollout


class Kind(StrEnum):
    """What to do with a rollout."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, why, and on what evidence.

    Attributes
    ----------
    kind : Kind
    reason : str
        In words, with observed and needed numbers.
    evidence : tuple of Evidence
        What each guard found, in the order of their declaration.
    """

    kind: Kind
    reason: str
    evidence: tuple[Evidence, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Decision:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


def advance(rollout: Rollout, observed: Observed, canary: Canary, now: datetime) -> Decision:
    """Decide about a rollout; it may be asked at any moment and as often as wanted.

    Harm shown by any guard rolls back at once. A step ends when it has lasted for `bake`, both arms have had
    `minimum_units` (with labels, where a guard watches quality), and every guard has answered that no harm is
    shown. After the last step before a share of 1 that is promotion. A rollout that is still undecided at the
    horizon expires, and the champion stays: data that is missing or too few never promotes. A rollout
    declared to begin at a share of 1 has no arms to compare and is promoted at once.

    *Guarantee*: a challenger that does no harm is rolled back, over the whole rollout, with a chance of at
    most the sum of the guards' alphas. Each step is compared by itself, because units change arms between
    steps, so each gets an equal part of alpha.

    Parameters
    ----------
    rollout : Rollout
    observed : Observed
        Since the present step began, at its share.
    canary : Canary
        The declaration. The steps are the rollout's own, as they were when it began.
    now : datetime
        By the workspace's clock; timezone-aware.

    Returns
    -------
    Decision
        `HOLD` for a rollout that has ended.
    """
    if rollout.phase is not Phase.RUNNING:
        return Decision(kind=Kind.HOLD, reason=f"the rollout has ended: {rollout.phase.value}")
    if rollout.share >= 1:
        return Decision(kind=Kind.PROMOTE, reason="declared to take over at once, without arms to compare")
    evidence = tuple(_ask(guard, rollout, observed, canary) for guard in canary.guards)
    if harm := [each for each in evidence if each.finding is Finding.HARM]:
        return Decision(kind=Kind.ROLL_BACK, reason="; ".join(map(_told, harm)), evidence=evidence)
    missing = _missing(rollout, observed, canary, evidence, now)
    expired = now - rollout.started_at >= parse_duration(canary.horizon)
    units = f"{observed.challenger.units} units of the challenger at a share of {rollout.share:g}"
    if not missing and rollout.next_share >= 1:
        return Decision(kind=Kind.PROMOTE, reason=f"no harm shown on {units}", evidence=evidence)
    if not missing and not expired:
        reason = f"no harm shown on {units}; on to {rollout.next_share:g}"
        return Decision(kind=Kind.ADVANCE, reason=reason, evidence=evidence)
    if expired:
        why = "; ".join(missing) or f"a share of {rollout.next_share:g} was not tried"
        reason = f"undecided after {canary.horizon}, so the champion stays: {why}"
        return Decision(kind=Kind.EXPIRE, reason=reason, evidence=evidence)
    return Decision(kind=Kind.HOLD, reason="; ".join(missing), evidence=evidence)


def after(rollout: Rollout, decision: Decision, at: datetime) -> Rollout:
    """Give the rollout as it is once a decision has been carried out.

    Raises
    ------
    RolloutEnded
        The decision asks something of a rollout that has ended.
    """
    match decision.kind:
        case Kind.HOLD:
            return rollout
        case Kind.ADVANCE:
            return rollout.advanced(at)
        case Kind.PROMOTE:
            return rollout.ended(Phase.PROMOTED)
        case Kind.ROLL_BACK:
            return rollout.ended(Phase.ROLLED_BACK)
        case Kind.EXPIRE:
            return rollout.ended(Phase.EXPIRED)
        case _:
            assert_never(decision.kind)


def _ask(guard: Guard, rollout: Rollout, observed: Observed, canary: Canary) -> Evidence:
    alpha, rho = guard.alpha / rollout.comparisons, rollout.share
    ours, theirs = observed.challenger, observed.champion
    match guard:
        case NoMoreErrors():
            if ours.failing is None or theirs.failing is None:
                return _unseen("NoMoreErrors", alpha, "failing units were not observed in both arms")
            found = share_test(ours.failing, theirs.failing, rho, alpha)
            return replace(found, subject="NoMoreErrors")
        case NotSlower():
            found = latency_test(ours.latencies, theirs.latencies, rho, alpha)
            timed = [sum(arm.latencies.values()) for arm in (ours, theirs)]
            if found.finding is not Finding.HARM and min(timed) < _minimum(canary):
                reason = (
                    f"latencies of {timed[0]} and {timed[1]} units, of {_minimum(canary)} needed in each arm"
                )
                return _unseen("NotSlower", alpha, reason)
            return replace(found, subject="NotSlower")
        case NotWorse():
            subject = f"NotWorse({guard.metric})"
            loss1, loss0 = ours.loss(guard.metric), theirs.loss(guard.metric)
            if loss1 is None or loss0 is None:
                return _unseen(subject, alpha, f"no units with a {guard.metric} in both arms yet")
            found = mean_difference(
                loss1.units,
                loss1.total,
                loss1.squares,
                loss0.units,
                loss0.total,
                loss0.squares,
                guard.margin,
                alpha,
            )
            if found.finding is Finding.NO_HARM_SHOWN and min(loss1.units, loss0.units) < _minimum(canary):
                reason = f"{loss1.units} and {loss0.units} labelled units, of {_minimum(canary)} needed in each arm"
                return _unseen(subject, alpha, reason)
            return replace(found, subject=subject)
        case _:
            assert_never(guard)


def _missing(
    rollout: Rollout, observed: Observed, canary: Canary, evidence: tuple[Evidence, ...], now: datetime
) -> list[str]:
    """What a step still needs, in words; nothing when it may end."""
    missing = []
    lasted = now - rollout.step_started_at
    if lasted < parse_duration(canary.bake):
        missing.append(f"this step has lasted {duration_text(lasted)}, of {canary.bake} needed")
    for name, arm in (("challenger", observed.challenger), ("champion", observed.champion)):
        if arm.units < _minimum(canary):
            missing.append(f"{arm.units} units of the {name}, of {_minimum(canary)} needed")
    return missing + [_told(each) for each in evidence if each.finding is not Finding.NO_HARM_SHOWN]


def _minimum(canary: Canary) -> int:
    # Nothing seen is never enough, whatever was declared.
    return max(1, canary.minimum_units)


def _unseen(subject: str, alpha: float, reason: str) -> Evidence:
    return Evidence(
        subject=subject, finding=Finding.INSUFFICIENT_DATA, e_value=1.0, needed=1 / alpha, reason=reason
    )


def _told(found: Evidence) -> str:
    if found.finding is Finding.INSUFFICIENT_DATA:
        return f"{found.subject}: insufficient data, {found.reason}"
    return f"{found.subject}: {found.reason} (evidence {found.e_value:.3g}, {found.needed:.3g} needed)"
