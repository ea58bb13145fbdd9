"""How a judged version takes over, and what is watched meanwhile: the part of a product file about rollouts."""

from __future__ import annotations

__all__ = [
    "CANDIDATE",
    "LOSSES",
    "ABTest",
    "AllAtOnce",
    "Better",
    "BlueGreen",
    "Canary",
    "CanaryStep",
    "Guard",
    "Linear",
    "NoMoreErrors",
    "NotLess",
    "NotSlower",
    "NotWorse",
    "SameOutputs",
    "Shadow",
    "Strategy",
    "Threshold",
]

import math
from itertools import pairwise
from typing import TypeAlias

import msgspec

from mainspring.clock import parse_duration
from mainspring.declared import Value, need, need_alpha, need_margin
from mainspring.errors import Invalid
from mainspring.task import BinaryClassification, Regression

CANDIDATE = "candidate"
"""How an `ABTest` names the version that the cycle has made."""

LOSSES = (*BinaryClassification.losses, *Regression.losses)
"""Metrics of any task that are a mean over labelled rows, and better when lower."""

# --- guards ------------------------------------------------------------------------------------------------------


class NoMoreErrors(Value, frozen=True):
    """Roll back when the challenger is shown to fail for more units than its share.

    Attributes
    ----------
    alpha : float
        The chance of rolling a harmless challenger back, over the whole rollout.
    within : float, optional
        A ratio above 1. With it a promotion also needs non-inferiority to be *shown*: that the challenger fails for
        fewer than `within` times as many units as its share. It takes failures to show that, in either arm.
        Without it, a promotion means that no harm was shown.
    beta : float
        The chance of promoting a challenger that fails `within` times as often, or more.
    slices : tuple of str
        Inputs, texts, on each value of which harm is looked for as well. Half of `alpha` goes to all units together,
        the other half in equal parts to the slices: the 20 values that the champion's training data has most of, in
        each column, and `other` for the rest.
    """

    alpha: float = 0.05
    within: float | None = None
    beta: float = 0.05
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_alpha("NoMoreErrors", self.alpha)
        need_alpha("NoMoreErrors (beta)", self.beta)
        if self.within is not None:
            rule = "it is how many times as many failing units are tolerated, above 1"
            need(1 < self.within < math.inf, "The `within` of NoMoreErrors", self.within, rule)


class NotSlower(Value, frozen=True):
    """Roll back when the challenger is shown to be slow more often than the champion.

    Attributes
    ----------
    alpha : float
        The chance of rolling a challenger back that is as fast.
    slices : tuple of str
        As for `NoMoreErrors`.
    """

    alpha: float = 0.05
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_alpha("NotSlower", self.alpha)


class NotWorse(Value, frozen=True):
    """Roll back when the challenger's mean loss is shown to be above the champion's by more than `margin`.

    Attributes
    ----------
    metric : str
        A loss of the product's task: `log_loss` or `brier`, or `mae`, `mse` or `mape`.
    margin : float
        How much worse is no harm.
    alpha : float
        The chance of rolling a challenger back that is not worse by more than `margin`.
    within : float, optional
        A difference above 0. With it a promotion also needs non-inferiority to be shown: that the mean loss is
        less than `within` above the champion's.
    beta : float
        The chance of promoting a challenger that is worse by `within` or more.
    slices : tuple of str
        As for `NoMoreErrors`.
    """

    metric: str
    margin: float = 0.0
    alpha: float = 0.05
    within: float | None = None
    beta: float = 0.05
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_means("NotWorse", self.margin, self.alpha, self.within, self.beta)


class NotLess(Value, frozen=True):
    """Roll back when a metric that callers report is shown to be lower than the champion's by more than `margin`.

    More is better; report the negative of a cost. The first figure that comes for a unit is the unit's.

    Attributes
    ----------
    metric : str
        The name under which it is reported.
    margin, alpha, within, beta, slices
        As for `NotWorse`.
    """

    metric: str
    margin: float = 0.0
    alpha: float = 0.05
    within: float | None = None
    beta: float = 0.05
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_means("NotLess", self.margin, self.alpha, self.within, self.beta)
        need(self.metric not in LOSSES, "The metric of NotLess", self.metric, "a loss is for NotWorse")


class SameOutputs(Value, frozen=True):
    """Roll back when the challenger's answers are shown to be distributed otherwise than the champion's.

    For a version that should answer alike, such as one in another format: any retrained model differs in time.

    Attributes
    ----------
    alpha : float
        The chance of rolling a challenger back whose answers are distributed alike.
    slices : tuple of str
        As for `NoMoreErrors`.
    """

    alpha: float = 0.05
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_alpha("SameOutputs", self.alpha)


class Threshold(Value, frozen=True):
    """Measure a metric of the challenger from time to time and hold it against a limit, as Argo Rollouts does.

    A limit promises nothing about chance: with few units it is crossed by luck. Its words are Argo's.

    Attributes
    ----------
    metric : str
        `error_rate` (share of failing units), `latency_p50_ms`, `latency_p95_ms`, `latency_p99_ms`, a mean loss
        (`log_loss`, `brier`, `mae`, …), or the mean of a metric that callers report; of the units of the present step.
    at_most, at_least : float, optional
        A measurement within is successful. One of the two is needed.
    grace : float
        A measurement that is beyond the limit by at most this is inconclusive; further beyond, it has failed.
    failure_limit, inconclusive_limit : int
        How many failed, or inconclusive, measurements of a step are tolerated. One more failed rolls back; one more
        inconclusive pauses the rollout for a person to see.
    consecutive_error_limit : int
        How many measurements in a row may give no number; one more rolls back.
    interval : str
        The time between two measurements.
    count : int, optional
        How many make the threshold successful; without it measurements go on as long as the step, and one
        successful is enough for the step to end.
    initial_delay : str
        The time from the step's beginning to the first measurement.
    dry_run : bool
        Measure and tell, without consequences.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    grace: float = 0.0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    interval: str = "5m"
    count: int | None = None
    initial_delay: str = "0s"
    dry_run: bool = False

    def __post_init__(self) -> None:
        of = f"Threshold({self.metric!r})"
        limits = [each for each in (self.at_most, self.at_least) if each is not None]
        if not limits or not all(map(math.isfinite, limits)):
            raise Invalid(f"{of} needs a limit: set `at_most` or `at_least` to a number.")
        need_margin(f"{of} (grace)", self.grace)
        for name in ("failure_limit", "inconclusive_limit", "consecutive_error_limit"):
            need(getattr(self, name) >= 0, f"The {name} of {of}", getattr(self, name), "it counts from 0")
        need(self.count is None or self.count >= 1, f"The count of {of}", self.count, "one is the least")
        need(
            parse_duration(self.interval).total_seconds() > 0,
            f"The interval of {of}",
            self.interval,
            "it is above 0s",
        )
        parse_duration(self.initial_delay)


Guard: TypeAlias = NoMoreErrors | NotSlower | NotWorse | NotLess | SameOutputs | Threshold


def _check_means(of: str, margin: float, alpha: float, within: float | None, beta: float) -> None:
    need_margin(of, margin)
    need_alpha(of, alpha)
    need_alpha(f"{of} (beta)", beta)
    if within is not None:
        need(
            0 < within < math.inf, f"The `within` of {of}", within, "it is the difference to exclude, above 0"
        )


# --- strategies --------------------------------------------------------------------------------------------------

_GUARDS: tuple[Guard, ...] = (NoMoreErrors(), NotSlower())


class AllAtOnce(Value, frozen=True):
    """Promote at once, compared with nothing: the gates are all that a version passes."""

    split_by: str | None = None

    @property
    def guards(self) -> tuple[Guard, ...]:
        """None: there is nothing to watch before it is over."""
        return ()


class CanaryStep(Value, frozen=True):
    """A step of a canary that differs from the others.

    Attributes
    ----------
    share : float
        Of the units, which the challenger serves.
    bake : str, optional
        How long the step lasts at least; the canary's own without it.
    minimum_units : int, optional
        How many units of each arm must have been seen; the canary's own without it.
    approve : bool
        Whether a person must approve before the rollout goes on from here.
    """

    share: float
    bake: str | None = None
    minimum_units: int | None = None
    approve: bool = False

    def __post_init__(self) -> None:
        if self.bake is not None:
            parse_duration(self.bake)
        if self.approve and self.share >= 1:
            raise Invalid("A share of 1 is the promotion itself: ask for approval at the step before it.")


class Canary(Value, frozen=True):
    """Move traffic to the challenger in steps, as long as no guard shows harm.

    Attributes
    ----------
    steps : tuple of float or CanaryStep
        Shares of the units that the challenger serves, rising; 1.0 last means promotion.
    bake : str
        How long a step lasts at least.
    minimum_units : int
        How many units of each arm must have been seen before a step ends.
    horizon : str
        When a rollout that is still undecided ends with the champion kept.
    split_by : str, optional
        The input that names a unit; requests without it are units of their own.
    guards : tuple of Guard
        What is watched.
    data_timeout : str, optional
        How long after its bake a step may go on lacking data, before the rollout ends with the champion kept;
        without it, to the horizon.
    """

    steps: tuple[float | CanaryStep, ...] = (0.05, 0.25, 1.0)
    bake: str = "1d"
    minimum_units: int = 30
    horizon: str = "14d"
    split_by: str | None = None
    guards: tuple[Guard, ...] = _GUARDS
    data_timeout: str | None = None

    def __post_init__(self) -> None:
        _check_times(self.bake, self.horizon, self.data_timeout)
        shares = [step.share if isinstance(step, CanaryStep) else step for step in self.steps]
        for share in shares:
            need(0 < share <= 1, "A rollout's step", share, "a share lies above 0 and at most at 1")
        if not shares or shares[-1] != 1.0 or any(a >= b for a, b in pairwise(shares)):
            raise Invalid(f"A rollout's steps must rise and end at 1.0; these are {tuple(shares)}.")
        _check_units(self.minimum_units)


class Linear(Value, frozen=True):
    """A canary in equal steps: `by` more of the units every so often.

    Attributes
    ----------
    by : float
        What each step adds to the challenger's share, down to 0.01.
    every : str
        How long a step lasts at least.
    minimum_units, horizon, split_by, guards, data_timeout
        As for `Canary`.
    """

    by: float = 0.1
    every: str = "1h"
    minimum_units: int = 30
    horizon: str = "14d"
    split_by: str | None = None
    guards: tuple[Guard, ...] = _GUARDS
    data_timeout: str | None = None

    def __post_init__(self) -> None:
        _check_times(self.every, self.horizon, self.data_timeout)
        need(0.01 <= self.by <= 1, "The `by` of Linear", self.by, "a step adds from 0.01 to 1")
        _check_units(self.minimum_units)


class BlueGreen(Value, frozen=True):
    """Switch all units at once, watch, and switch back on harm; both versions stay loaded meanwhile.

    What comes after the switch is held against the champion's figures before it. The arms are not served at the
    same time, so a difference between the two times, such as a busier hour, counts as one between the versions: the
    guards' promise holds for traffic that stays alike. Use `Canary` where that is not so.

    Attributes
    ----------
    reference : str
        How long the champion is watched before the switch, at least.
    bake : str
        How long the challenger is watched after it, at least.
    minimum_units, horizon, split_by, guards, data_timeout
        As for `Canary`. `SameOutputs`, `within` and `slices` need arms that are served at one time and are refused.
    """

    reference: str = "1h"
    bake: str = "1d"
    minimum_units: int = 30
    horizon: str = "14d"
    split_by: str | None = None
    guards: tuple[Guard, ...] = _GUARDS
    data_timeout: str | None = None

    def __post_init__(self) -> None:
        parse_duration(self.reference)
        _check_times(self.bake, self.horizon, self.data_timeout)
        _check_units(self.minimum_units)
        for guard in self.guards:
            sliced, within = getattr(guard, "slices", None), getattr(guard, "within", None)
            if isinstance(guard, SameOutputs) or sliced or within:
                raise Invalid(
                    f"BlueGreen cannot watch {type(guard).__name__} so with arms that follow one another: "
                    "leave `SameOutputs`, `slices` and `within` out, or use Canary."
                )


class Better(Value, frozen=True):
    """What an A/B test is about: the metric by which a challenger must be shown better than the control.

    Attributes
    ----------
    metric : str
        A loss (`log_loss`, `brier`, `mae`, …; less is better), or a metric that callers report (more is better).
    by : float
        How much better, at least.
    alpha : float
        The chance of promoting any challenger that is not better by that much.
    """

    metric: str
    by: float = 0.0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        need_margin("Better", self.by)
        need_alpha("Better", self.alpha)


class ABTest(Value, frozen=True):
    """Serve several versions side by side, against the champion as control.

    A challenger that a guard shows to be harmful is taken out; with none left, the rollout is rolled back. With a
    `goal` the first challenger that is shown better is promoted. Without one, or when none is by the horizon, the test
    ends there with the champion kept and its report.

    Attributes
    ----------
    shares : dict of str to float
        Of each challenger: `candidate`, which is needed, and registered versions by their number or alias. The
        control has the rest. A version that is not there when the test begins is left out.
    goal : Better, optional
        What decides.
    bake : str
        How long the test lasts at least.
    minimum_units : int
        How many units of each arm must have been seen.
    horizon : str
        When it ends.
    split_by, guards, data_timeout
        As for `Canary`.
    """

    shares: dict[str, float] = msgspec.field(default_factory=lambda: {CANDIDATE: 0.5})
    goal: Better | None = None
    bake: str = "7d"
    minimum_units: int = 100
    horizon: str = "28d"
    split_by: str | None = None
    guards: tuple[Guard, ...] = _GUARDS
    data_timeout: str | None = None

    def __post_init__(self) -> None:
        _check_times(self.bake, self.horizon, self.data_timeout)
        _check_units(self.minimum_units)
        for name, share in self.shares.items():
            need(0 < share < 1, f"The share of {name!r}", share, "a share lies between 0 and 1")
        if CANDIDATE not in self.shares:
            raise Invalid(f"An A/B test needs a share for {CANDIDATE!r}, the version that the cycle makes.")
        # In one order however they are written or were stored: a challenger's part of the units follows from it.
        ordered = sorted(self.shares, key=lambda name: (name != CANDIDATE, name))
        msgspec.structs.force_setattr(self, "shares", {name: self.shares[name] for name in ordered})
        total = sum(self.shares.values())
        need(total < 1, "The sum of an A/B test's shares", total, "the control needs some units as well")


class Shadow(Value, frozen=True):
    """Ask the challenger beside the champion, without answering by it, then go on with another strategy.

    Both answer the same rows, so that their answers are pairs. Going on needs the shadow certificate: the report of the
    paired differences, overall and by slice.

    Attributes
    ----------
    share : float
        Of the units, whose rows the challenger is asked for as well.
    then : Strategy
        How it takes over afterwards. Its `split_by` holds from the beginning.
    bake : str
        How long the shadow lasts at least.
    minimum_units : int
        How many units must have been asked for.
    horizon : str
        When a rollout that is still in the shadow ends with the champion kept. What the shadow leaves of it is added
        to the horizon of `then`.
    """

    share: float = 1.0
    then: AllAtOnce | Canary | Linear | BlueGreen | ABTest = msgspec.field(default_factory=Canary)
    bake: str = "1d"
    minimum_units: int = 30
    horizon: str = "14d"

    def __post_init__(self) -> None:
        _check_times(self.bake, self.horizon, None)
        need(0 < self.share <= 1, "The share of Shadow", self.share, "it lies above 0 and at most at 1")
        _check_units(self.minimum_units)

    @property
    def split_by(self) -> str | None:
        """The input that names a unit."""
        return self.then.split_by

    @property
    def guards(self) -> tuple[Guard, ...]:
        """What is watched after the shadow."""
        return self.then.guards


Strategy: TypeAlias = AllAtOnce | Canary | Linear | BlueGreen | ABTest | Shadow


def _check_times(bake: str, horizon: str, data_timeout: str | None) -> None:
    for text in (bake, horizon, *((data_timeout,) if data_timeout is not None else ())):
        parse_duration(text)


def _check_units(minimum_units: int) -> None:
    need(minimum_units >= 0, "minimum_units", minimum_units, "units are counted from 0")
