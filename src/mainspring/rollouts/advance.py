"""The decision of a rollout, as a pure function of what was seen of its arms."""

from __future__ import annotations

__all__ = ["Decision", "Kind", "advance", "after"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

import msgspec

from mainspring.clock import duration_text, parse_duration
from mainspring.rollouts.comparison import Evidence, Finding
from mainspring.rollouts.guards import weigh
from mainspring.rollouts.observed import Observed
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.rollouts.steps import Mode, Step, horizon_of
from mainspring.rollouts.threshold import (
    Assessment,
    Measurement,
    Outcome,
    assess,
    due,
    judge,
    measure,
    name_of,
)
from mainspring.strategy import ABTest, NotSlower, Shadow, Threshold


class Kind(StrEnum):
    """What to do with a rollout.

    `HOLD` and `INSUFFICIENT_DATA` wait; the latter says that nothing but data is lacking, and has a timeout of its own.
    """

    HOLD = "hold"
    INSUFFICIENT_DATA = "insufficient_data"
    MEASURE = "measure"
    ADVANCE = "advance"
    DROP = "drop"
    PAUSE = "pause"
    AWAIT_APPROVAL = "await_approval"
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
    version : int or None
        The challenger that is to be promoted, or taken out.
    measurements : mapping of str to Measurement
        That were due, by threshold.
    """

    kind: Kind
    reason: str
    evidence: tuple[Evidence, ...] = ()
    version: int | None = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Decision:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


def advance(rollout: Rollout, observed: Observed, now: datetime) -> Decision:
    """Decide about a rollout; it may be asked at any moment and as often as wanted.

    Harm shown by any guard takes the challenger out at once, and with the last one rolls back. A step ends when it
    has lasted for its `bake`, all arms have had its minimum of units, and every guard has answered that no harm is
    shown; from the last one, a challenger is promoted when besides all that its guards and its goal ask for is
    shown. A rollout that is still undecided at the horizon expires, and the champion stays, as does one that lacks
    data for longer than its `data_timeout`: data that is missing or too few never promotes. A rollout declared to
    take over at once has no arms to compare and is promoted.

    *Guarantee*: a challenger that does no harm is rolled back, over the whole rollout, with a chance of at most the
    sum of the guards' alphas; one that is worse than a guard's `within` is promoted with a chance of at most its
    `beta`. See `mainspring.rollouts.guards` for how these are spent. Thresholds are no tests and promise nothing of
    the kind.

    Parameters
    ----------
    rollout : Rollout
    observed : Observed
        Since the present step began, at its shares.
    now : datetime
        By the workspace's clock; timezone-aware.

    Returns
    -------
    Decision
        `HOLD` for a rollout that has ended.
    """
    if rollout.phase.final:
        return Decision(kind=Kind.HOLD, reason=f"the rollout has ended: {rollout.phase.value}")
    step = rollout.present
    if step is None:
        reason = "declared to take over at once, without arms to compare"
        return Decision(kind=Kind.PROMOTE, reason=reason, version=rollout.challenger)
    evidence = weigh(rollout, observed)
    if (harmed := _harmed(rollout, evidence)) is not None:
        return harmed
    thresholds = _assessed(rollout, observed)
    if (broken := _broken(rollout, thresholds, evidence)) is not None:
        return broken
    if measured := _due(rollout, observed, now):
        return Decision(
            kind=Kind.MEASURE, reason="a measurement is due", evidence=evidence, measurements=measured
        )
    if rollout.phase is Phase.PAUSED:
        return Decision(kind=Kind.HOLD, reason="paused; no harm shown", evidence=evidence)
    return _go_on(rollout, step, observed, evidence, thresholds, now)


def after(rollout: Rollout, decision: Decision, at: datetime) -> Rollout:
    """Give the rollout as it is once a decision has been carried out.

    Raises
    ------
    RolloutEnded, IllegalMove
        The decision asks something that the rollout cannot do in its phase.
    """
    match decision.kind:
        case Kind.HOLD | Kind.INSUFFICIENT_DATA | Kind.MEASURE:
            return rollout
        case Kind.ADVANCE:
            return rollout.advanced(at)
        case Kind.DROP:
            assert decision.version is not None  # which one is to go
            return rollout.without(decision.version)
        case Kind.PAUSE:
            return rollout.paused(at)
        case Kind.AWAIT_APPROVAL:
            return rollout.awaiting_approval()
        case Kind.PROMOTE:
            return rollout.promoted()
        case Kind.ROLL_BACK:
            return rollout.rolled_back()
        case Kind.EXPIRE:
            return rollout.expired()
        case _:
            assert_never(decision.kind)


def _harmed(rollout: Rollout, evidence: tuple[Evidence, ...]) -> Decision | None:
    """Take out who has done harm."""
    harm = [each for each in evidence if each.finding is Finding.HARM]
    if not harm:
        return None
    versions = {each.version for each in harm}
    if versions.issuperset(rollout.live):
        return Decision(kind=Kind.ROLL_BACK, reason="; ".join(map(_told, harm)), evidence=evidence)
    version = harm[0].version
    reason = "; ".join(_told(each) for each in harm if each.version == version)
    return Decision(kind=Kind.DROP, reason=reason, evidence=evidence, version=version)


def _thresholds(rollout: Rollout) -> list[tuple[str, Threshold, int]]:
    """Every threshold for every challenger: its name in `Observed.measured`, and the version that it is about."""
    step = rollout.present
    if step is None or step.mode not in (Mode.SPLIT, Mode.SWITCHED):
        return []
    return [
        (
            name_of(guard) if len(rollout.challengers) == 1 else f"{name_of(guard)} of {version}",
            guard,
            version,
        )
        for guard in rollout.strategy.guards
        if isinstance(guard, Threshold)
        for version in rollout.live
    ]


def _assessed(rollout: Rollout, observed: Observed) -> list[tuple[str, Threshold, Assessment]]:
    return [
        (name, threshold, assess(threshold, _measured(rollout, observed, name)))
        for name, threshold, _ in _thresholds(rollout)
    ]


def _measured(rollout: Rollout, observed: Observed, name: str) -> tuple[Measurement, ...]:
    """The measurements that count: those since a person has last seen them and let the rollout go on."""
    since = rollout.resumed_at
    return tuple(each for each in observed.measured.get(name, ()) if since is None or each.at > since)


def _broken(
    rollout: Rollout, thresholds: list[tuple[str, Threshold, Assessment]], evidence: tuple[Evidence, ...]
) -> Decision | None:
    """Roll back where a threshold has failed, and pause where it is inconclusive, as Argo does."""
    acting = [(name, found) for name, threshold, found in thresholds if not threshold.dry_run]
    for kind, outcomes in (
        (Kind.ROLL_BACK, (Outcome.FAILED, Outcome.ERROR)),
        (Kind.PAUSE, (Outcome.INCONCLUSIVE,)),
    ):
        told = [f"{name}: {found.reason}" for name, found in acting if found.outcome in outcomes]
        if told and not (kind is Kind.PAUSE and rollout.phase is not Phase.RUNNING):
            return Decision(kind=kind, reason="; ".join(told), evidence=evidence)
    return None


def _due(rollout: Rollout, observed: Observed, now: datetime) -> dict[str, Measurement]:
    """The measurements to take now; none of what no unit has shown yet, which leaves the threshold running."""
    return {
        name: judge(threshold, value, now)
        for name, threshold, version in _thresholds(rollout)
        if due(threshold, _measured(rollout, observed, name), rollout.step_started_at, now)
        and (value := measure(threshold.metric, observed.of_version(version))) is not None
    }


def _go_on(
    rollout: Rollout,
    step: Step,
    observed: Observed,
    evidence: tuple[Evidence, ...],
    thresholds: list[tuple[str, Threshold, Assessment]],
    now: datetime,
) -> Decision:
    lasted = now - rollout.step_started_at
    waiting = []
    if lasted < step.bake:
        waiting.append(f"this step has lasted {duration_text(lasted)}, of {duration_text(step.bake)} needed")
    waiting += [
        f"{name}: {found.reason}"
        for name, threshold, found in thresholds
        if found.outcome is not Outcome.SUCCESSFUL and not threshold.dry_run
    ]
    if step.mode is Mode.SHADOW and rollout.certificate is None:
        waiting.append("the shadow certificate has not been given")
    # At small shares, requests of many units can hardly be timed (see `mainspring.rollouts.timing`): what is
    # lacking there keeps the promotion back, and not the step.
    lacking = _lacking(rollout, step, observed) + [
        _told(each)
        for each in evidence
        if each.finding is Finding.INSUFFICIENT_DATA and (rollout.last or each.subject != NotSlower.__name__)
    ]
    winner = _winner(rollout, evidence)
    unshown = [] if winner else [_told(each) for each in evidence if each.finding is Finding.NOT_SHOWN]
    undecided = [*waiting, *lacking, *unshown]
    if rollout.last and winner is None and not undecided:
        undecided.append("a test without a goal ends at its horizon")
    horizon = horizon_of(rollout.strategy, step.mode)
    expired = horizon is not None and rollout.elapsed(now) >= horizon

    if not undecided and not (expired and not rollout.last):
        return _through(rollout, step, observed, evidence, winner, expired=expired)
    if expired:
        assert horizon is not None  # it has passed
        why = "; ".join(undecided) or "a greater share was not tried"
        reason = f"undecided after {duration_text(horizon)}, so the champion stays: {why}"
        return Decision(kind=Kind.EXPIRE, reason=reason, evidence=evidence)
    if lacking and not waiting:
        timeout = _data_timeout(rollout)
        if timeout is not None and lasted >= step.bake + parse_duration(timeout):
            reason = f"insufficient data for {timeout} beyond the bake, so the champion stays: {'; '.join(lacking)}"
            return Decision(kind=Kind.EXPIRE, reason=reason, evidence=evidence)
        return Decision(
            kind=Kind.INSUFFICIENT_DATA, reason="; ".join([*lacking, *unshown]), evidence=evidence
        )
    return Decision(kind=Kind.HOLD, reason="; ".join(undecided), evidence=evidence)


def _through(
    rollout: Rollout,
    step: Step,
    observed: Observed,
    evidence: tuple[Evidence, ...],
    winner: int | None,
    *,
    expired: bool,
) -> Decision:
    """What follows a step whose conditions all hold."""
    if step.mode in (Mode.SPLIT, Mode.SWITCHED):
        units = sum(observed.of_version(version).units for version in rollout.live)
        seen = f"no harm shown on {units} units of the challenger at a share of {rollout.share:g}"
    elif step.mode is Mode.SHADOW:
        seen = f"the shadow has its certificate {str(rollout.certificate)[:12]}"
    else:
        seen = f"the champion was seen on {observed.champion.units} units"
    if step.approve and not rollout.approved:
        if expired:
            reason = f"nobody approved by the horizon, so the champion stays: {seen}"
            return Decision(kind=Kind.EXPIRE, reason=reason, evidence=evidence)
        kind = Kind.HOLD if rollout.phase is Phase.AWAITING_APPROVAL else Kind.AWAIT_APPROVAL
        return Decision(kind=kind, reason=f"{seen}; waits for approval", evidence=evidence)
    if rollout.last:
        shown = [_told(each) for each in evidence if each.finding is Finding.SHOWN and each.version == winner]
        return Decision(
            kind=Kind.PROMOTE, reason="; ".join([seen, *shown]), evidence=evidence, version=winner
        )
    following = rollout.steps[rollout.step + 1]
    where = f"{sum(following.shares):g}" if following.mode is Mode.SPLIT else following.mode.value
    return Decision(kind=Kind.ADVANCE, reason=f"{seen}; on to {where}", evidence=evidence)


def _lacking(rollout: Rollout, step: Step, observed: Observed) -> list[str]:
    """Which arms have had too few units. Nothing seen is never enough, whatever was declared."""
    needed = max(1, step.minimum_units)
    arms = [("the champion", observed.champion.units)]
    if step.mode is Mode.SWITCHED:
        arms = []
    if step.mode in (Mode.SPLIT, Mode.SWITCHED):
        only = len(rollout.challengers) == 1
        arms = [
            ("the challenger" if only else f"version {version}", observed.of_version(version).units)
            for version in rollout.live
        ] + arms
    return [f"{units} units of {arm}, of {needed} needed" for arm, units in arms if units < needed]


def _winner(rollout: Rollout, evidence: tuple[Evidence, ...]) -> int | None:
    """Give the first challenger about which everything is shown that its promotion needs.

    With a goal there may be several. The one with the strongest evidence of being better wins, the first of equals.
    """
    wanted = [each for each in evidence if each.finding in (Finding.SHOWN, Finding.NOT_SHOWN)]
    of_goal = {
        each.version: each.e_value
        for each in wanted
        if each.subject.startswith("Better(") and each.finding is Finding.SHOWN
    }
    strategy = rollout.strategy.then if isinstance(rollout.strategy, Shadow) else rollout.strategy
    through = [
        version
        for version in rollout.live
        if all(each.finding is Finding.SHOWN for each in wanted if each.version == version)
        and all(each.finding is not Finding.INSUFFICIENT_DATA for each in evidence if each.version == version)
    ]
    if isinstance(strategy, ABTest):
        better = [version for version in through if version in of_goal]
        return max(better, key=lambda version: of_goal[version]) if better else None
    return through[0] if through else None


def _data_timeout(rollout: Rollout) -> str | None:
    strategy = rollout.strategy.then if isinstance(rollout.strategy, Shadow) else rollout.strategy
    return getattr(strategy, "data_timeout", None)


def _told(found: Evidence) -> str:
    if found.finding is Finding.INSUFFICIENT_DATA:
        return f"{found.subject}: insufficient data, {found.reason}"
    return f"{found.subject}: {found.reason} (evidence {found.e_value:.3g}, {found.needed:.3g} needed)"
