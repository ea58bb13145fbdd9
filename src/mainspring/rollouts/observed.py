"""What was seen of all arms since a rollout's present step began."""

from __future__ import annotations

__all__ = ["ArmCounts", "MetricSums", "Observed", "answer_bin"]

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Invalid
from mainspring.rollouts.comparison import latency_bucket
from mainspring.rollouts.threshold import Measurement

if TYPE_CHECKING:
    from mainspring.rollouts.store import UnitOutcome

_BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSums:
    """One metric of an arm's units, one figure per unit.

    Attributes
    ----------
    metric : str
        A loss, such as `log_loss`, of the labelled units, or what callers report.
    units : int
    total, squares : float
        Sum, and sum of squares, of the units' figures.
    """

    metric: str
    units: int
    total: float
    squares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """One arm. Units are counted once each, in the arm that the split gives them.

    Attributes
    ----------
    units : int
        That asked for a prediction.
    failing : int or None
        With at least one failed answer; None when failures were not observed.
    latencies : mapping of int to int
        Units by `latency_bucket` of their first timed request.
    outputs : mapping of int to int
        Units by `answer_bin` of their first answer.
    metrics : tuple of MetricSums
        Of the units that have a figure, one per metric.
    """

    units: int = 0
    failing: int | None = 0
    latencies: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[int, int] = field(default_factory=dict)
    metrics: tuple[MetricSums, ...] = ()

    def __post_init__(self) -> None:
        parts = {
            "failing": self.failing or 0,
            "timed": sum(self.latencies.values()),
            "answered": sum(self.outputs.values()),
            **{f"with a {each.metric}": each.units for each in self.metrics},
        }
        for name, units in parts.items():
            if not 0 <= units <= self.units:
                raise Invalid(
                    f"{units} units {name} of {self.units} units is impossible: count each unit once."
                )

    def metric(self, name: str) -> MetricSums | None:
        """Give the sums of one metric, if there are any."""
        return next((each for each in self.metrics if each.metric == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All arms over the same time, at the same shares.

    Attributes
    ----------
    champion : ArmCounts
    challengers : mapping of int to ArmCounts
        By version.
    slices : mapping of str to Observed
        The same of the units of one slice, by `column=value`.
    reference : ArmCounts or None
        The champion's before a switch.
    measured : mapping of str to tuple of Measurement
        By threshold, see `mainspring.rollouts.threshold.name_of`, with the challenger's version where there are
        several.
    """

    champion: ArmCounts = ArmCounts()
    challengers: Mapping[int, ArmCounts] = field(default_factory=dict)
    slices: Mapping[str, Observed] = field(default_factory=dict)
    reference: ArmCounts | None = None
    measured: Mapping[str, tuple[Measurement, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        units: Iterable[UnitOutcome],
        champion: int,
        *,
        before: Iterable[UnitOutcome] | None = None,
        measured: Mapping[str, tuple[Measurement, ...]] | None = None,
    ) -> Observed:
        """Count units, in any order: the counts and sums are the same to the last bit.

        Parameters
        ----------
        units : iterable of UnitOutcome
            Those of the present step alone, each once. A greater share moves units to the challenger, so what was
            seen of them in an earlier step says nothing of the arm that they are in now.
        champion : int
            The version that is the control.
        before : iterable of UnitOutcome, optional
            Those of the step before a switch.
        measured : mapping, optional

        Returns
        -------
        Observed
        """
        arms: dict[int, list[UnitOutcome]] = {champion: []}
        slices: dict[str, list[UnitOutcome]] = {}
        for unit in units:
            arms.setdefault(unit.version, []).append(unit)
            for column, value in unit.slices.items():
                slices.setdefault(f"{column}={value}", []).append(replace(unit, slices={}))
        return cls(
            champion=_count(arms.pop(champion)),
            challengers={version: _count(arms[version]) for version in sorted(arms)},
            slices={name: cls.of(slices[name], champion) for name in sorted(slices)},
            reference=None
            if before is None
            else _count([unit for unit in before if unit.version == champion]),
            measured=dict(measured or {}),
        )

    def of_version(self, version: int) -> ArmCounts:
        """Give the counts of a challenger; zero where no unit came."""
        return self.challengers.get(version, ArmCounts())

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self, str_keys=True)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Observed:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls, str_keys=True)


def answer_bin(score: float) -> int:
    """Bin of an answered probability: twenty of one width.

    Examples
    --------
    >>> answer_bin(0.0), answer_bin(0.05), answer_bin(1.0)
    (0, 1, 19)
    """
    return min(int(score * _BINS), _BINS - 1)


def _count(units: Sequence[UnitOutcome]) -> ArmCounts:
    metrics = []
    for metric in sorted({metric for unit in units for metric in unit.metrics}):
        figures = [unit.metrics[metric] for unit in units if metric in unit.metrics]
        total, squares = math.fsum(figures), math.fsum(figure * figure for figure in figures)
        metrics.append(MetricSums(metric=metric, units=len(figures), total=total, squares=squares))
    return ArmCounts(
        units=len(units),
        failing=sum(unit.failed for unit in units),
        latencies=_histogram(latency_bucket(1000 * unit.took_s) for unit in units if unit.took_s is not None),
        outputs=_histogram(answer_bin(unit.score) for unit in units if unit.score is not None),
        metrics=tuple(metrics),
    )


def _histogram(bins: Iterable[int]) -> dict[int, int]:
    return dict(sorted(Counter(bins).items()))
