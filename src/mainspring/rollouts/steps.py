"""What a strategy comes to: the steps that a rollout takes, one after the other."""

from __future__ import annotations

__all__ = ["Mode", "Step", "horizon_of", "steps_of"]

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from mainspring.clock import parse_duration
from mainspring.strategy import ABTest, AllAtOnce, BlueGreen, Canary, CanaryStep, Linear, Shadow, Strategy


class Mode(StrEnum):
    """How the versions are served in a step.

    `SPLIT`: side by side, each to its own units. `SHADOW`: the challenger is asked and does not answer.
    `REFERENCE`: the champion alone answers, the challenger being loaded. `SWITCHED`: the challenger alone answers,
    the champion being kept warm.
    """

    SHADOW = "shadow"
    REFERENCE = "reference"
    SPLIT = "split"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a rollout.

    Attributes
    ----------
    mode : Mode
    shares : tuple of float
        Of the units, by challenger; of a shadow the share that the first is asked for.
    bake : timedelta
        How long it lasts at least.
    minimum_units : int
        How many units of each arm must have been seen before it ends.
    approve : bool
        Whether a person must approve before the rollout goes on.
    """

    mode: Mode
    shares: tuple[float, ...]
    bake: timedelta
    minimum_units: int
    approve: bool = False


def steps_of(strategy: Strategy) -> tuple[Step, ...]:
    """Say which steps come before the promotion; none where it comes at once.

    Parameters
    ----------
    strategy : Strategy

    Returns
    -------
    tuple of Step

    Examples
    --------
    >>> [step.shares for step in steps_of(Canary(steps=(0.05, 0.25, 1.0)))]
    [(0.05,), (0.25,)]
    >>> [step.shares for step in steps_of(Linear(by=0.3))]
    [(0.3,), (0.6,), (0.9,)]
    >>> [step.mode.value for step in steps_of(Shadow(then=BlueGreen()))]
    ['shadow', 'reference', 'switched']
    """
    match strategy:
        case AllAtOnce():
            return ()
        case Canary():
            return tuple(
                _split(
                    (step.share,),
                    step.bake or strategy.bake,
                    strategy.minimum_units if step.minimum_units is None else step.minimum_units,
                    approve=step.approve,
                )
                for step in (
                    each if isinstance(each, CanaryStep) else CanaryStep(each) for each in strategy.steps
                )
                if step.share < 1
            )
        case Linear():
            # Rounded, so that 0.1 ten times is 1 and not a little less, which would be a step of its own.
            shares = [round(strategy.by * count, 9) for count in range(1, 101)]
            return tuple(
                _split((share,), strategy.every, strategy.minimum_units) for share in shares if share < 1
            )
        case BlueGreen():
            return (
                Step(
                    mode=Mode.REFERENCE,
                    shares=(0.0,),
                    bake=parse_duration(strategy.reference),
                    minimum_units=strategy.minimum_units,
                ),
                Step(
                    mode=Mode.SWITCHED,
                    shares=(1.0,),
                    bake=parse_duration(strategy.bake),
                    minimum_units=strategy.minimum_units,
                ),
            )
        case ABTest():
            return (_split(tuple(strategy.shares.values()), strategy.bake, strategy.minimum_units),)
        case Shadow():
            rest = steps_of(strategy.then)
            others = len(rest[0].shares) - 1 if rest else 0
            shadow = Step(
                mode=Mode.SHADOW,
                shares=(strategy.share, *[0.0] * others),
                bake=parse_duration(strategy.bake),
                minimum_units=strategy.minimum_units,
            )
            return (shadow, *rest)
        case _:
            assert_never(strategy)


def horizon_of(strategy: Strategy, mode: Mode) -> timedelta | None:
    """Say how long after its beginning a rollout in such a step ends undecided; None for never.

    Examples
    --------
    >>> horizon_of(Shadow(horizon="2d", then=Canary(horizon="5d")), Mode.SPLIT).days
    7
    """
    match strategy:
        case AllAtOnce():
            return None
        case Shadow():
            own = parse_duration(strategy.horizon)
            rest = horizon_of(strategy.then, mode)
            return own if mode is Mode.SHADOW else rest and own + rest
        case _:
            return parse_duration(strategy.horizon)


def _split(shares: tuple[float, ...], bake: str, minimum_units: int, *, approve: bool = False) -> Step:
    return Step(
        mode=Mode.SPLIT,
        shares=shares,
        bake=parse_duration(bake),
        minimum_units=minimum_units,
        approve=approve,
    )
