"""Rollouts that did not happen: logged traffic, split anew for each seed, through the decisions that decide.

One version against itself shows how often chance alone takes a challenger out; with an effect put into its answers,
how soon that would be found, on this traffic, by these guards.
"""

from __future__ import annotations

__all__ = ["Answers", "Effect", "Run", "Simulation", "Tally", "Traffic", "simulate"]

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Fault, Faults, Invalid
from mainspring.rollouts.advance import Decision, Kind, advance, after
from mainspring.rollouts.comparison import latency_bucket
from mainspring.rollouts.observed import ArmCounts, MetricSums, Observed, answer_bin
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.rollouts.steps import Mode
from mainspring.rollouts.threshold import Measurement
from mainspring.strategy import LOSSES

LOOKS = 200
"""How often a simulated rollout is looked at, evenly over the time of the log."""

UNDECIDED = "undecided"
"""How a run ends that has come to the end of the log."""

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one version answers to every row of the traffic.

    Attributes
    ----------
    scores : ndarray of float, shape (n_rows,)
        Probabilities; NaN where it fails.
    took_s : ndarray of float, shape (n_rows,)
        How long its call took; NaN where that is not one to compare.
    metrics : mapping of str to ndarray of float, shape (n_rows,)
        Losses, and what callers report; NaN where nothing has come.
    """

    scores: Floats
    took_s: Floats
    metrics: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Logged rows, in the order in which they were asked.

    Attributes
    ----------
    began : datetime
        When the log begins.
    at_s : ndarray of float, shape (n_rows,)
        When each row was asked, in seconds since then.
    known_s : ndarray of float, shape (n_rows,)
        When its label or figure came; infinite where none did.
    units : tuple of str
        Every sticky key.
    unit : ndarray of int, shape (n_rows,)
        Which of them has asked.
    slices : mapping of str to sequence of str
        By column, the slice that each row belongs to.
    """

    began: datetime
    at_s: Floats
    known_s: Floats
    units: tuple[str, ...]
    unit: Indexes
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.at_s.size:
            raise Invalid(
                "There is no traffic to simulate with: no prediction of this product is in the log."
            )
        if np.any(np.diff(self.at_s) < 0):
            raise Invalid("Traffic must be in the order in which it was asked.")

    @property
    def lasts_s(self) -> float:
        """The time from the first row to the last that is known of."""
        known = self.known_s[np.isfinite(self.known_s)]
        return float(max(self.at_s[-1], known.max(initial=0.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What is put into the challenger's answers.

    Attributes
    ----------
    worse_by : float
        Added to every loss, and taken from every figure that callers report.
    failing : float
        The share of units for which it fails.
    slower : float
        How many times as long its calls take.
    """

    worse_by: float = 0.0
    failing: float = 0.0
    slower: float = 1.0

    def __post_init__(self) -> None:
        # Each rule is written so that NaN breaks it.
        faults = [
            Fault(name, f"is {value}.", rule)
            for name, value, holds, rule in (
                ("worse_by", self.worse_by, abs(self.worse_by) < np.inf, "It is added to each loss."),
                ("failing", self.failing, 0 <= self.failing <= 1, "A share lies between 0 and 1."),
                ("slower", self.slower, 0 < self.slower < np.inf, "A duration is multiplied by it."),
            )
            if not holds
        ]
        if faults:
            raise Faults("The effect", tuple(faults))

    def __str__(self) -> str:
        told = [
            f"{self.worse_by:+g} of every loss" if self.worse_by else "",
            f"failing for {self.failing:.2%} of the units" if self.failing else "",
            f"{self.slower:g} times as slow" if self.slower != 1 else "",
        ]
        return ", ".join(filter(None, told)) or "no effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one simulated rollout went.

    Attributes
    ----------
    seed : int
    outcome : str
        A final phase, `paused` where a threshold has called for a person, or `undecided` at the end of the log.
    lasted_s : float
        From its beginning.
    units, challenger_units : int
        That had asked by then, of all and of the challengers.
    share : float
        The challengers' when it ended.
    reason : str
    """

    seed: int
    outcome: str
    lasted_s: float
    units: int
    challenger_units: int
    share: float
    reason: str


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one outcome: how many, and at the median and at the ninth decile when and on how many units."""

    outcome: str
    runs: int
    share: float
    hours: tuple[float, float]
    units: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Simulated rollouts of one kind."""

    effect: str
    runs: tuple[Run, ...]

    def tallies(self) -> list[Tally]:
        """Count the runs by outcome, the most frequent first."""
        by_outcome: dict[str, list[Run]] = {}
        for run in self.runs:
            by_outcome.setdefault(run.outcome, []).append(run)
        return [
            Tally(
                outcome=outcome,
                runs=len(runs),
                share=len(runs) / len(self.runs),
                hours=tuple(np.quantile([run.lasted_s / 3600 for run in runs], (0.5, 0.9)).tolist()),
                units=tuple(np.quantile([run.units for run in runs], (0.5, 0.9)).astype(int).tolist()),
            )
            for outcome, runs in sorted(by_outcome.items(), key=lambda each: (-len(each[1]), each[0]))
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "effect": self.effect,
            "outcomes": msgspec.to_builtins(self.tallies()),
            "runs": msgspec.to_builtins(self.runs),
        }


def simulate(
    rollout: Rollout,
    traffic: Traffic,
    answers: Mapping[int, Answers],
    effect: Effect,
    seeds: Iterable[int],
    *,
    looks: int = LOOKS,
) -> Simulation:
    """Run a rollout over logged traffic once for each seed.

    Each seed salts the split, and draws the units that fail. Everything else is as it was logged. An approval is
    given as soon as it is asked for; a strategy that begins with a shadow must be given without it, since pairs have
    no arms.

    Parameters
    ----------
    rollout : Rollout
        As it begins; its product, versions and strategy are what counts.
    traffic : Traffic
    answers : mapping of int to Answers
        By version, the champion and every challenger.
    effect : Effect
        Put into the challengers' answers.
    seeds : iterable of int
    looks : int
        How often the decision is asked; real rollouts are looked at more often, which the guards' promise allows.

    Returns
    -------
    Simulation

    Raises
    ------
    Invalid
        The strategy begins with a shadow.
    """
    if any(step.mode is Mode.SHADOW for step in rollout.steps):
        raise Invalid("A shadow has no arms to simulate: give the strategy that follows it.")
    began = replace(rollout, started_at=traffic.began, step_started_at=traffic.began)
    without = Effect()
    binned = {
        version: _Binned.of(given, effect if version in rollout.challengers else without)
        for version, given in answers.items()
    }
    runs = []
    for seed in seeds:
        salted = replace(began, salt=f"{rollout.rollout_id}/{seed}")
        seeded = dict(binned)
        for version in rollout.challengers:
            fails = np.random.default_rng((seed, version)).random(len(traffic.units)) < effect.failing
            seeded[version] = replace(
                binned[version], answered=binned[version].answered & ~fails[traffic.unit]
            )
        runs.append(_run(salted, traffic, seeded, seed, looks))
    return Simulation(effect=str(effect), runs=tuple(runs))


@dataclass(frozen=True, slots=True)
class _Binned:
    """A version's answers, with an effect, as they are counted; bins are -1 where there is nothing to count."""

    answered: NDArray[np.bool_]
    outputs: Indexes
    latencies: Indexes
    metrics: Mapping[str, Floats]

    @classmethod
    def of(cls, answers: Answers, effect: Effect) -> _Binned:
        scores, took_ms = answers.scores.tolist(), (1000 * effect.slower * answers.took_s).tolist()
        return cls(
            answered=np.isfinite(answers.scores),
            outputs=np.array([answer_bin(each) if math.isfinite(each) else -1 for each in scores], np.int64),
            latencies=np.array(
                [latency_bucket(each) if math.isfinite(each) else -1 for each in took_ms], np.int64
            ),
            metrics={
                name: values + (effect.worse_by if name in LOSSES else -effect.worse_by)
                for name, values in answers.metrics.items()
            },
        )


def _run(rollout: Rollout, traffic: Traffic, answers: Mapping[int, _Binned], seed: int, looks: int) -> Run:
    step = _Step.of(rollout, traffic, answers)
    reference: ArmCounts | None = None
    measured: dict[str, tuple[Measurement, ...]] = {}
    decision = Decision(kind=Kind.HOLD, reason="")
    now_s = 0.0
    for now_s in np.linspace(0.0, traffic.lasts_s, looks + 1)[1:].tolist():
        now = traffic.began + timedelta(seconds=now_s)
        observed = step.observed(now_s, reference, measured)
        while True:
            decision = advance(rollout, observed, now)
            match decision.kind:
                case Kind.MEASURE:
                    for name, measurement in decision.measurements.items():
                        measured[name] = (*measured.get(name, ()), measurement)
                    observed = replace(observed, measured=dict(measured))
                case Kind.AWAIT_APPROVAL:
                    rollout = rollout.awaiting_approval().approve()
                case Kind.DROP:
                    rollout = after(rollout, decision, now)
                case _:
                    break
        share = rollout.share
        rollout = after(rollout, decision, now)
        if rollout.phase.final or rollout.phase is Phase.PAUSED:
            return _ended(seed, rollout.phase.value, traffic, step, now_s, share, decision.reason)
        if decision.kind is Kind.ADVANCE:
            reference, measured = observed.champion, {}
            step = _Step.of(rollout, traffic, answers)
    return _ended(seed, UNDECIDED, traffic, step, now_s, rollout.share, decision.reason)


def _ended(
    seed: int, outcome: str, traffic: Traffic, step: _Step, now_s: float, share: float, reason: str
) -> Run:
    asked = np.unique(traffic.unit[: np.searchsorted(traffic.at_s, now_s, side="right")]).size
    # Shares grow, so that who was a challenger's unit before is one in the last step.
    challenged = sum(arm.units(now_s) for version, arm in step.arms.items() if version != step.champion)
    return Run(
        seed=seed,
        outcome=outcome,
        lasted_s=now_s,
        units=int(asked),
        challenger_units=challenged,
        share=share,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class _Arm:
    """What is known of an arm's units, each with the moment from which it is known, in order."""

    first_s: Floats
    failed_s: Floats
    timed: tuple[Floats, Indexes]
    answered: tuple[Floats, Indexes]
    metrics: Mapping[str, tuple[Floats, Floats, Floats]]

    def units(self, now_s: float) -> int:
        return int(np.searchsorted(self.first_s, now_s, side="right"))

    def counts(self, now_s: float) -> ArmCounts:
        return ArmCounts(
            units=self.units(now_s),
            failing=int(np.searchsorted(self.failed_s, now_s, side="right")),
            latencies=_histogram(self.timed, now_s),
            outputs=_histogram(self.answered, now_s),
            metrics=tuple(
                MetricSums(metric=name, units=n, total=float(totals[n - 1]), squares=float(squares[n - 1]))
                for name, (at_s, totals, squares) in sorted(self.metrics.items())
                if (n := int(np.searchsorted(at_s, now_s, side="right")))
            ),
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """A step's arms, of all units and by slice."""

    champion: int
    arms: Mapping[int, _Arm]
    slices: Mapping[str, Mapping[int, _Arm]]

    @classmethod
    def of(cls, rollout: Rollout, traffic: Traffic, answers: Mapping[int, _Binned]) -> _Step:
        start_s = (rollout.step_started_at - traffic.began).total_seconds()
        rows = np.arange(np.searchsorted(traffic.at_s, start_s), traffic.at_s.size)
        of_unit = np.array([version or 0 for version in rollout.assign(list(traffic.units))], np.int64)
        mine = {
            version: rows[of_unit[traffic.unit[rows]] == version]
            for version in (rollout.champion, *rollout.challengers)
        }
        columns = {column for guard in rollout.strategy.guards for column in getattr(guard, "slices", ())}
        slices: dict[str, dict[int, _Arm]] = {}
        for column in sorted(columns & traffic.slices.keys()):
            # A unit belongs to the slice of its first request.
            first = rows[_first(traffic.unit[rows])]
            of_first = np.full(len(traffic.units), "", dtype=traffic.slices[column].dtype)
            of_first[traffic.unit[first]] = traffic.slices[column][first]
            for value in np.unique(traffic.slices[column][first]).tolist():
                inside = of_first[traffic.unit] == value
                slices[f"{column}={value}"] = {
                    version: _arm(traffic, answers[version], own[inside[own]])
                    for version, own in mine.items()
                }
        arms = {version: _arm(traffic, answers[version], own) for version, own in mine.items()}
        return cls(rollout.champion, arms, slices)

    def observed(
        self,
        now_s: float,
        reference: ArmCounts | None,
        measured: Mapping[str, tuple[Measurement, ...]],
    ) -> Observed:
        return replace(
            self._of(self.arms, now_s),
            slices={name: self._of(arms, now_s) for name, arms in self.slices.items()},
            reference=reference,
            measured=dict(measured),
        )

    def _of(self, arms: Mapping[int, _Arm], now_s: float) -> Observed:
        return Observed(
            champion=arms[self.champion].counts(now_s),
            challengers={
                version: arm.counts(now_s) for version, arm in arms.items() if version != self.champion
            },
        )


def _arm(traffic: Traffic, answers: _Binned, rows: Indexes) -> _Arm:
    """Follow an arm's rows; as in a real rollout, of each unit the first counts of what there are several."""
    unit = traffic.unit
    first = rows[_first(unit[rows])]
    failed = rows[~answers.answered[rows]]
    timed = rows[answers.latencies[rows] >= 0]
    timed = timed[_first(unit[timed])]
    given = first[answers.answered[first]]
    metrics = {}
    for name, values in answers.metrics.items():
        # A row that the version has failed on was answered by another, whose label it is.
        known = rows[np.isfinite(values[rows]) & answers.answered[rows] & np.isfinite(traffic.known_s[rows])]
        known = known[np.argsort(traffic.known_s[known], kind="stable")]
        known = known[_first(unit[known])]
        figures = values[known]
        metrics[name] = (traffic.known_s[known], figures.cumsum(), (figures**2).cumsum())
    return _Arm(
        first_s=traffic.at_s[first],
        failed_s=traffic.at_s[failed[_first(unit[failed])]],
        timed=(traffic.at_s[timed], answers.latencies[timed]),
        answered=(traffic.at_s[given], answers.outputs[given]),
        metrics=metrics,
    )


def _first(units: Indexes) -> Indexes:
    """Where each unit comes first, in order."""
    return np.sort(np.unique(units, return_index=True)[1])


def _histogram(seen: tuple[Floats, Indexes], now_s: float) -> dict[int, int]:
    at_s, bins = seen
    counts = np.bincount(bins[: np.searchsorted(at_s, now_s, side="right")])
    return {int(each): int(counts[each]) for each in np.flatnonzero(counts)}
