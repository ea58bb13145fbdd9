"""What a rollout is expected to need: units, and with the traffic of late the time, before each guard can answer.

Nothing here is a formula of its own. Counts are drawn for units that behave as is assumed, and handed to the guards
that will decide; the plan says by which number of units most of these draws were answered.
"""

from __future__ import annotations

__all__ = ["Baseline", "Harm", "Moments", "Need", "Pace", "Plan", "StepPlan", "plan"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import msgspec
import numpy as np

from mainspring.errors import Fault, Faults
from mainspring.rollouts.comparison import Finding
from mainspring.rollouts.guards import weigh
from mainspring.rollouts.observed import ArmCounts, MetricSums, Observed
from mainspring.rollouts.rollout import Rollout
from mainspring.rollouts.steps import Mode, Step, horizon_of
from mainspring.strategy import (
    LOSSES,
    Guard,
    NoMoreErrors,
    NotLess,
    NotSlower,
    NotWorse,
    SameOutputs,
    Shadow,
    Threshold,
)

PROBABILITY = 0.8
"""With which a need is stated."""

DRAWS = 25
"""How many streams of units are drawn for each question."""

_FEWEST, _MOST, _GROWTH = 20, 1_000_000, 1.4
_OCTAVE = 16  # latency buckets


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """A metric of the units: mean, standard deviation, and the share of units that have a figure in the end."""

    mean: float
    sd: float
    arrives: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """How the champion's units behave.

    Attributes
    ----------
    failing : float
        The share that it fails for.
    latencies, outputs : mapping of int to float
        Shares by `latency_bucket`, and by `answer_bin`.
    metrics : mapping of str to Moments
        What is known of each.
    assumed : tuple of str
        What of this was not observed, in words.
    """

    failing: float
    latencies: Mapping[int, float] = field(default_factory=dict)
    outputs: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, Moments] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Which harm is to be found.

    Attributes
    ----------
    failing : float
        How many times as many units fail.
    slower : float
        How many times as long calls take.
    worse_by : float
        How much the mean loss is higher, beyond the guard's margin, as a share of the champion's; and how much lower
        what callers report is.
    moved : float
        The share of units whose answer falls into the next higher bin.
    """

    failing: float = 3.0
    slower: float = 2.0
    worse_by: float = 0.1
    moved: float = 0.1

    def __post_init__(self) -> None:
        faults = [
            Fault(name, f"is {value}.", rule)
            for name, value, holds, rule in (
                ("failing", self.failing, 1 < self.failing < np.inf, "It is a number of times, above 1."),
                ("slower", self.slower, 1 < self.slower < np.inf, "It is a number of times, above 1."),
                ("worse_by", self.worse_by, 0 < self.worse_by < np.inf, "It is a share, above 0."),
                ("moved", self.moved, 0 < self.moved <= 1, "It is a share, above 0 and at most 1."),
            )
            if not holds
        ]
        if faults:
            raise Faults("The harm to be found", tuple(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many different units have asked of late.

    Attributes
    ----------
    units : int
    days : float
        Over how long.
    """

    units: int
    days: float

    def hours(self, units: int) -> float | None:
        """The time in which so many come at the same pace; None where none came."""
        return 24 * units * self.days / self.units if self.units else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How many units one guard needs in one step to answer one question.

    Attributes
    ----------
    step : int
        Its index.
    share : float
        The challenger's.
    guard : str
    question : {"answer", "harm", "within"}
        To say anything; to find the harm; to show what a promotion needs, of a challenger that is like the champion.
    about : str
        The question in words.
    units, challenger_units : int or None
        By which it is answered with `probability`; None where it is not, with so many units as can be meant.
    hours : float or None
        The time in which they come.
    probability : float
    """

    step: int
    share: float
    guard: str
    question: str
    about: str
    units: int | None
    challenger_units: int | None
    hours: float | None
    probability: float = PROBABILITY


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What a step of a challenger that is like the champion needs before it ends.

    Attributes
    ----------
    mode : str
    share : float
    bake_hours : float
    units : int or None
        That its minimum and its guards need; None where they never have enough.
    hours : float or None
        The longer of its bake and the time in which the units come.
    approve : bool
        Whether a person is waited for besides.
    """

    mode: str
    share: float
    bake_hours: float
    units: int | None
    hours: float | None
    approve: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is expected of a rollout before it starts.

    Attributes
    ----------
    product, strategy : str
    pace : Pace
    steps : tuple of StepPlan
    needs : tuple of Need
    hours : float or None
        Until a challenger that is like the champion is promoted; None where that is not to be expected.
    horizon_hours : float or None
    fits : bool
        Whether that is expected before the horizon.
    probability : float
        With which each of the needs is met.
    assumed : tuple of str
        What the plan rests on beyond what was observed.
    """

    product: str
    strategy: str
    pace: Pace
    steps: tuple[StepPlan, ...]
    needs: tuple[Need, ...]
    hours: float | None
    horizon_hours: float | None
    fits: bool
    probability: float = PROBABILITY
    assumed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


def plan(rollout: Rollout, baseline: Baseline, harm: Harm, pace: Pace, *, seed: int = 0) -> Plan:
    """Say how many units, and how much time, a rollout is expected to need.

    Each question is put to one guard by itself, on `DRAWS` streams of units: does it say anything, does it find the
    harm, is non-inferiority shown. A number is one of units that have *asked*, of all arms together; of those with
    labels it takes into account how many get one, and not how late.

    *What it states*: with a probability of about `PROBABILITY`, over units that behave as assumed, the question is
    answered by then. *Limits*: means are drawn as normal; units are drawn independently; the pace is that of
    different units over days that have been, which falls where units come again.

    Parameters
    ----------
    rollout : Rollout
        As it would begin.
    baseline : Baseline
    harm : Harm
        To be found.
    pace : Pace
    seed : int

    Returns
    -------
    Plan
    """
    steps, needs = [], []
    for index, step in enumerate(rollout.steps):
        found = (
            _of_step(replace(rollout, step=index), step, baseline, harm, pace, seed)
            if step.mode in (Mode.SPLIT, Mode.SWITCHED)
            else []
        )
        needs += found
        steps.append(_step_plan(step, found, pace))
    each_hours = [step.hours for step in steps]
    hours = None if None in each_hours else sum(each for each in each_hours if each is not None)
    horizon = horizon_of(rollout.strategy, rollout.steps[-1].mode) if rollout.steps else None
    horizon_hours = horizon.total_seconds() / 3600 if horizon is not None else None
    return Plan(
        product=rollout.product,
        strategy=type(rollout.strategy).__name__,
        pace=pace,
        steps=tuple(steps),
        needs=tuple(needs),
        hours=hours,
        horizon_hours=horizon_hours,
        fits=hours is not None and (horizon_hours is None or hours <= horizon_hours),
        assumed=baseline.assumed,
    )


def _step_plan(step: Step, needs: list[Need], pace: Pace) -> StepPlan:
    arms = [1.0] if step.mode is not Mode.SPLIT else [*step.shares, 1 - sum(step.shares)]
    if step.mode is Mode.SHADOW:
        arms = list(step.shares)
    counts = [
        round(max(1, step.minimum_units) / min(arms)),
        *(need.units for need in needs if need.question != "harm"),
    ]
    units = None if None in counts else max(each for each in counts if each is not None)
    bake, comes = step.bake.total_seconds() / 3600, None if units is None else pace.hours(units)
    return StepPlan(
        mode=step.mode.value,
        share=sum(step.shares),
        bake_hours=bake,
        units=units,
        hours=None if comes is None else max(bake, comes),
        approve=step.approve,
    )


def _of_step(
    rollout: Rollout, step: Step, baseline: Baseline, harm: Harm, pace: Pace, seed: int
) -> list[Need]:
    needs = []
    share = sum(step.shares)
    for number, guard in enumerate(rollout.strategy.guards):
        if isinstance(guard, Threshold):
            continue
        alone = replace(rollout, strategy=_with(rollout, guard))
        questions: list[tuple[str, str, Harm | None, Callable[[Finding], bool]]] = [
            ("answer", "says that no harm is shown", None, lambda found: found is Finding.NO_HARM_SHOWN),
            ("harm", _about(guard, baseline, harm), harm, lambda found: found is Finding.HARM),
        ]
        if getattr(guard, "within", None) is not None and rollout.last:
            about = f"shows that it is within {guard.within:g}{' times' if isinstance(guard, NoMoreErrors) else ''}"  # type: ignore[union-attr]
            questions.append(("within", about, None, lambda found: found is Finding.SHOWN))
        for question, about, effect, answered in questions:
            seeds = (seed, rollout.step, number)
            units = _units_until(alone, step, baseline, guard, effect, pace, answered, seeds)
            needs.append(
                Need(
                    step=rollout.step,
                    share=share,
                    guard=_name(guard),
                    question=question,
                    about=about,
                    units=units,
                    challenger_units=None if units is None else round(units * step.shares[0]),
                    hours=None if units is None else pace.hours(units),
                )
            )
    return needs


def _units_until(
    rollout: Rollout,
    step: Step,
    baseline: Baseline,
    guard: Guard,
    harm: Harm | None,
    pace: Pace,
    answered: Callable[[Finding], bool],
    seed: tuple[int, ...],
) -> int | None:
    """By how many units most draws have an answer that they keep, or that ends the rollout."""
    until = []
    version, champion = rollout.challenger, rollout.champion
    shares = {champion: 1 - sum(step.shares), version: step.shares[0]}
    for draw in range(DRAWS):
        random = np.random.default_rng((*seed, draw))
        arms = {version: _Arm(random, baseline, guard, harm), champion: _Arm(random, baseline, guard)}
        reference = None
        if step.mode is Mode.SWITCHED:
            before = rollout.steps[rollout.step - 1]
            of_bake = pace.units / pace.days * before.bake.total_seconds() / 86_400 if pace.units else 0
            reference = _Arm(random, baseline, guard).more(max(before.minimum_units, round(of_bake)))
        units, found_at = 0, None
        for total in _GRID:
            for each, arm in arms.items():
                arm.more(random.binomial(total - units, shares[each]))
            units = total
            observed = Observed(
                champion=arms[champion].counts,
                challengers={version: arms[version].counts},
                reference=reference.counts if reference else None,
            )
            if any(answered(each.finding) for each in weigh(rollout, observed) if each.version == version):
                found_at = total
                break
        until.append(found_at if found_at is not None else _MOST + 1)
    needed = sorted(until)[round(PROBABILITY * DRAWS) - 1]
    return needed if needed <= _MOST else None


def _grid() -> tuple[int, ...]:
    counts, at = [], float(_FEWEST)
    while at <= _MOST:
        counts.append(round(at, -max(0, len(str(int(at))) - 3)))
        at *= _GROWTH
    return tuple(int(each) for each in counts)


_GRID = _grid()


class _Arm:
    """An arm whose units are drawn: what one guard looks at, with a harm or without."""

    def __init__(
        self, random: np.random.Generator, baseline: Baseline, guard: Guard, harm: Harm | None = None
    ) -> None:
        self.random, self.baseline, self.guard, self.harm = random, baseline, guard, harm
        self.counts = ArmCounts()

    def more(self, units: int) -> _Arm:
        """Let so many more units come."""
        known, harm = replace(self.counts, units=self.counts.units + units), self.harm
        match self.guard:
            case NoMoreErrors():
                rate = min(1.0, self.baseline.failing * (harm.failing if harm else 1.0))
                failing = (known.failing or 0) + int(self.random.binomial(units, rate))
                self.counts = replace(known, failing=failing)
            case NotSlower():
                bins = round(_OCTAVE * np.log2(harm.slower)) if harm else 0
                latencies = self._spread(known.latencies, self.baseline.latencies, units, bins, 1.0)
                self.counts = replace(known, latencies=latencies)
            case SameOutputs():
                moved = harm.moved if harm else 0.0
                outputs = self._spread(known.outputs, self.baseline.outputs, units, 1, moved)
                self.counts = replace(known, outputs=outputs)
            case NotWorse() | NotLess():
                self.counts = replace(known, metrics=self._figures(self.guard, units))
            case _:
                self.counts = known
        return self

    def _figures(self, guard: NotWorse | NotLess, units: int) -> tuple[MetricSums, ...]:
        moments = self.baseline.metrics.get(guard.metric)
        if moments is None:
            return ()
        known = self.counts.metric(guard.metric) or MetricSums(
            metric=guard.metric, units=0, total=0.0, squares=0.0
        )
        came = int(self.random.binomial(units, moments.arrives))
        worse = guard.margin + self.harm.worse_by * abs(moments.mean) if self.harm else 0.0
        mean = moments.mean + (worse if isinstance(guard, NotWorse) else -worse)
        if not known.units + came:
            return ()
        return (
            MetricSums(
                metric=guard.metric,
                units=known.units + came,
                total=known.total + came * mean + float(self.random.normal()) * moments.sd * came**0.5,
                squares=known.squares + came * (moments.sd**2 + mean**2),
            ),
        )

    def _spread(
        self, known: Mapping[int, int], law: Mapping[int, float], units: int, bins: int, part: float
    ) -> dict[int, int]:
        """Add units that fall into bins by a law, `part` of which lie some bins higher."""
        if not law:
            return dict(known)
        at = np.array(sorted(law))
        drawn = self.random.multinomial(
            units, np.array([law[each] for each in at.tolist()]) / sum(law.values())
        )
        moving = self.random.binomial(drawn, part if bins else 0.0)
        counts = dict(known)
        for place, stay, move in zip(at.tolist(), (drawn - moving).tolist(), moving.tolist(), strict=True):
            for where, count in ((place, stay), (place + bins, move)):
                if count:
                    counts[where] = counts.get(where, 0) + count
        return counts


def _with(rollout: Rollout, guard: Guard) -> Any:
    """The strategy with one guard alone; its steps, and so its parts of alpha, are the same."""
    strategy = rollout.strategy
    if isinstance(strategy, Shadow):
        return msgspec.structs.replace(strategy, then=msgspec.structs.replace(strategy.then, guards=(guard,)))
    return msgspec.structs.replace(strategy, guards=(guard,))


def _about(guard: Guard, baseline: Baseline, harm: Harm) -> str:
    match guard:
        case NoMoreErrors():
            failing = min(1.0, harm.failing * baseline.failing)
            return f"finds that {failing:.2%} of units fail instead of {baseline.failing:.2%}"
        case NotSlower():
            return f"finds that calls take {harm.slower:g} times as long"
        case NotWorse() | NotLess():
            known = baseline.metrics.get(guard.metric)
            if known is None:
                return f"finds a difference of {guard.metric}, of which nothing is known yet"
            worse = guard.margin + harm.worse_by * abs(known.mean)
            way = "higher" if guard.metric in LOSSES else "lower"
            return f"finds that the mean {guard.metric} is {way} by {worse:.3g}, from {known.mean:.3g}"
        case SameOutputs():
            return f"finds that {harm.moved:.0%} of the answers fall into another bin"
        case Threshold():
            raise AssertionError(guard)
        case _:
            assert_never(guard)


def _name(guard: Guard) -> str:
    return (
        f"{type(guard).__name__}({guard.metric})"
        if isinstance(guard, NotWorse | NotLess)
        else type(guard).__name__
    )
