"""What was seen of both arms since a rollout's present step began."""

from __future__ import annotations

__all__ = ["ArmCounts", "LossSums", "Observed"]

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Invalid
from mainspring.rollouts.comparison import latency_bucket
from mainspring.rollouts.split import Arm

if TYPE_CHECKING:
    from mainspring.rollouts.store import UnitOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSums:
    """The losses of an arm's labelled units, one per unit.

    Attributes
    ----------
    metric : str
        A metric that is a mean over rows, such as `log_loss` or `brier`.
    units : int
    total, squares : float
        Sum, and sum of squares, of the units' losses.
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
        Units by `latency_bucket` of their first answer.
    losses : tuple of LossSums
        Of the labelled units, one per metric.
    """

    units: int = 0
    failing: int | None = 0
    latencies: Mapping[int, int] = field(default_factory=dict)
    losses: tuple[LossSums, ...] = ()

    def __post_init__(self) -> None:
        parts = {
            "failing": self.failing or 0,
            "timed": sum(self.latencies.values()),
            **{f"with a {each.metric}": each.units for each in self.losses},
        }
        for name, units in parts.items():
            if not 0 <= units <= self.units:
                raise Invalid(
                    f"{units} units {name} of {self.units} units is impossible: count each unit once."
                )

    def loss(self, metric: str) -> LossSums | None:
        """Give the losses by one metric, if there are any."""
        return next((each for each in self.losses if each.metric == metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Both arms over the same time, at one share."""

    challenger: ArmCounts = ArmCounts()
    champion: ArmCounts = ArmCounts()

    @classmethod
    def of(cls, units: Iterable[UnitOutcome]) -> Observed:
        """Count units, in any order: the counts and sums are the same to the last bit.

        Parameters
        ----------
        units : iterable of UnitOutcome
            Those of the present step alone, each once. A greater share moves units to the challenger, so what was
            seen of them in an earlier step says nothing of the arm that they are in now.

        Returns
        -------
        Observed
        """
        seen: dict[str, list[UnitOutcome]] = {each.value: [] for each in Arm}
        for unit in units:
            seen[unit.arm].append(unit)
        return cls(challenger=_count(seen[Arm.CHALLENGER]), champion=_count(seen[Arm.CHAMPION]))

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self, str_keys=True)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Observed:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls, str_keys=True)


def _count(units: Sequence[UnitOutcome]) -> ArmCounts:
    losses = []
    for metric in sorted({metric for unit in units for metric in unit.loss}):
        of_units = [unit.loss[metric] for unit in units if metric in unit.loss]
        total, squares = math.fsum(of_units), math.fsum(loss * loss for loss in of_units)
        losses.append(LossSums(metric=metric, units=len(of_units), total=total, squares=squares))
    return ArmCounts(
        units=len(units),
        failing=sum(unit.failed for unit in units),
        latencies=dict(
            sorted(
                Counter(
                    latency_bucket(1000 * unit.took_s) for unit in units if unit.took_s is not None
                ).items()
            )
        ),
        losses=tuple(losses),
    )
