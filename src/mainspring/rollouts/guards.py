"""What a rollout's guards find: each guard asks one test, about each challenger, and on each declared slice.

How alpha is spent. A guard's `alpha` bounds the chance that it takes a harmless challenger out, over the whole
rollout. It is parted equally among the steps that compare (units change arms between steps, so each step is a
comparison by itself) and among the challengers. A guard with slices gives half of what is left to all units
together and the other half, in equal parts, to the slices, which are fixed before the first unit. `beta` is spent
at promotion alone, so it is parted among the challengers only.
"""

from __future__ import annotations

__all__ = ["OTHER", "weigh"]

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from mainspring.rollouts.comparison import (
    Evidence,
    Finding,
    latency_test,
    mean_difference,
    mean_within,
    needed_for,
    output_test,
    share_test,
    share_within,
    silent,
)
from mainspring.rollouts.observed import ArmCounts, MetricSums, Observed
from mainspring.rollouts.rollout import Rollout
from mainspring.rollouts.steps import Mode, Step
from mainspring.rollouts.switched import latency_after, mean_after, share_after
from mainspring.strategy import (
    LOSSES,
    ABTest,
    Better,
    Guard,
    NoMoreErrors,
    NotLess,
    NotSlower,
    NotWorse,
    SameOutputs,
    Shadow,
    Threshold,
)

OTHER = "other"
"""The slice of all values that are no slice of their own."""

_HOW_TO_TIME = (
    "; requests of many units are timed at even shares, so end with a step of 0.5 where there are few others"
)

_NONE = MetricSums(metric="", units=0, total=0.0, squares=0.0)


def weigh(rollout: Rollout, observed: Observed) -> tuple[Evidence, ...]:
    """Ask every guard about every challenger that is still in.

    Parameters
    ----------
    rollout : Rollout
    observed : Observed
        Of its present step.

    Returns
    -------
    tuple of Evidence
        In the order of the challengers and of the guards' declaration, each with what a promotion needs behind what is
        looked for as harm; nothing in a step that compares no versions.
    """
    step = rollout.present
    if step is None or step.mode not in (Mode.SPLIT, Mode.SWITCHED):
        return ()
    guards = [guard for guard in rollout.strategy.guards if not isinstance(guard, Threshold)]
    found: list[Evidence] = []
    for version in rollout.live:
        for guard in guards:
            found += [
                replace(each, version=version) for each in _of_guard(guard, rollout, step, version, observed)
            ]
        if (goal := _goal(rollout)) is not None:
            found.append(replace(_of_goal(goal, rollout, step, version, observed), version=version))
    return tuple(found)


def _of_guard(
    guard: Guard, rollout: Rollout, step: Step, version: int, observed: Observed
) -> Iterator[Evidence]:
    alpha = guard.alpha / rollout.comparisons / len(rollout.challengers)  # type: ignore[union-attr]
    arms = observed.of_version(version), observed.champion
    if step.mode is Mode.SWITCHED:
        yield _after(guard, arms[0], observed.reference or ArmCounts(), alpha, step)
        return
    rho = _rho(rollout, version)
    columns: tuple[str, ...] = guard.slices  # type: ignore[union-attr]
    names = [f"{column}={value}" for column in columns for value in (*rollout.slices.get(column, ()), OTHER)]
    of_all = alpha / 2 if names else alpha
    yield _harm(guard, *arms, rho, of_all, step.minimum_units)
    for name in names:
        if name in observed.slices:
            part = observed.slices[name]
            # A slice may have too few units to say anything; only what all units lack keeps a step from ending.
            found = _harm(guard, part.of_version(version), part.champion, rho, alpha / 2 / len(names), 0)
            if found.finding is Finding.HARM:
                yield replace(found, subject=f"{found.subject} on {name}")
    beta = getattr(guard, "beta", 0.0) / len(rollout.challengers)
    wanted = _within(guard, *arms, rho, beta)
    if wanted is not None and rollout.last:
        yield wanted


def _harm(
    guard: Guard, ours: ArmCounts, theirs: ArmCounts, rho: float, alpha: float, minimum_units: int
) -> Evidence:
    name, minimum = _name(guard), max(1, minimum_units)
    match guard:
        case NoMoreErrors():
            if ours.failing is None or theirs.failing is None:
                return silent(name, needed_for(alpha), "failing units were not observed in both arms")
            found = share_test(ours.failing, theirs.failing, rho, alpha)
            counted, what = None, ""
        case NotSlower():
            found = latency_test(ours.latencies, theirs.latencies, rho, alpha)
            counted, what = (
                [sum(arm.latencies.values()) for arm in (ours, theirs)],
                "latencies of {} and {} units",
            )
        case SameOutputs():
            found = output_test(ours.outputs, theirs.outputs, rho, alpha)
            counted, what = (
                [sum(arm.outputs.values()) for arm in (ours, theirs)],
                "answers of {} and {} units",
            )
        case NotWorse() | NotLess():
            sums = [arm.metric(guard.metric) or _NONE for arm in (ours, theirs)]
            if not sums[0].units or not sums[1].units:
                return silent(name, needed_for(alpha), f"no units with a {guard.metric} in both arms yet")
            found = mean_difference(*_figures(guard, *sums), guard.margin, alpha)
            counted, what = [each.units for each in sums], "{} and {} units with a " + guard.metric
        case _:
            raise AssertionError(guard)
    if counted is not None and found.finding is Finding.NO_HARM_SHOWN and min(counted) < minimum:
        reason = f"{what.format(*counted)}, of {minimum} needed in each arm"
        return silent(name, found.needed, f"{reason}{_HOW_TO_TIME if isinstance(guard, NotSlower) else ''}")
    return replace(found, subject=name)


def _within(guard: Guard, ours: ArmCounts, theirs: ArmCounts, rho: float, beta: float) -> Evidence | None:
    """What a promotion needs to be shown, where the guard asks for it."""
    match guard:
        case NoMoreErrors(within=float() as ratio):
            name = f"NoMoreErrors within {ratio:g} times"
            if ours.failing is None or theirs.failing is None:
                return silent(name, needed_for(beta), "failing units were not observed in both arms")
            return replace(share_within(ours.failing, theirs.failing, rho, ratio, beta), subject=name)
        case NotWorse(within=float() as within) | NotLess(within=float() as within):
            sums = [arm.metric(guard.metric) or _NONE for arm in (ours, theirs)]
            found = mean_within(*_figures(guard, *sums), within, beta)
            return replace(found, subject=f"{_name(guard)} within {within:g}")
        case _:
            return None


def _after(guard: Guard, ours: ArmCounts, before: ArmCounts, alpha: float, step: Step) -> Evidence:
    name = _name(guard)
    match guard:
        case NoMoreErrors():
            if ours.failing is None or before.failing is None:
                return silent(name, needed_for(alpha), "failing units were not observed before and after")
            found = share_after(ours.failing, ours.units, before.failing, before.units, alpha)
        case NotSlower():
            found = latency_after(ours.latencies, before.latencies, alpha)
            timed = [sum(arm.latencies.values()) for arm in (ours, before)]
            if found.finding is Finding.NO_HARM_SHOWN and min(timed) < max(1, step.minimum_units):
                return silent(
                    name,
                    found.needed,
                    f"latencies of {timed[0]} and {timed[1]} units, of {max(1, step.minimum_units)} needed in each",
                )
        case NotWorse():
            found = mean_after(ours, before, guard.metric, guard.margin, alpha)
        case NotLess():
            found = mean_after(ours, before, guard.metric, guard.margin, alpha, sign=-1)
        case _:
            raise AssertionError(guard)
    return replace(found, subject=name)


def _of_goal(goal: Better, rollout: Rollout, step: Step, version: int, observed: Observed) -> Evidence:
    name = f"Better({goal.metric})"
    beta = goal.alpha / len(rollout.challengers)
    sums = [arm.metric(goal.metric) or _NONE for arm in (observed.of_version(version), observed.champion)]
    if min(each.units for each in sums) < max(1, step.minimum_units):
        reason = f"{sums[0].units} and {sums[1].units} units with a {goal.metric}"
        return silent(name, needed_for(beta), reason)
    sign = 1 if goal.metric in LOSSES else -1
    return replace(mean_within(*_signed(sign, *sums), -goal.by, beta), subject=name)


def _goal(rollout: Rollout) -> Better | None:
    strategy = rollout.strategy.then if isinstance(rollout.strategy, Shadow) else rollout.strategy
    return strategy.goal if isinstance(strategy, ABTest) else None


def _rho(rollout: Rollout, version: int) -> float:
    shares = rollout.shares
    return shares[version] / (shares[version] + shares[rollout.champion])


def _figures(
    guard: NotWorse | NotLess, ours: MetricSums, theirs: MetricSums
) -> tuple[int, float, float, int, float, float]:
    return _signed(-1 if isinstance(guard, NotLess) else 1, ours, theirs)


def _signed(sign: int, ours: MetricSums, theirs: MetricSums) -> tuple[int, float, float, int, float, float]:
    return ours.units, sign * ours.total, ours.squares, theirs.units, sign * theirs.total, theirs.squares


def _name(guard: Guard) -> str:
    match guard:
        case NotWorse() | NotLess():
            return f"{type(guard).__name__}({guard.metric})"
        case NoMoreErrors() | NotSlower() | SameOutputs() | Threshold():
            return type(guard).__name__
        case _:
            assert_never(guard)
