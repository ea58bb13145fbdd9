"""What a rollout keeps: itself, a row per unit that it has seen, measurements, and the routes that gateways follow."""

from __future__ import annotations

__all__ = ["RolloutStore", "UnitOutcome"]

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.rollouts.rollout import Rollout
    from mainspring.rollouts.route import Route
    from mainspring.rollouts.threshold import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOutcome:
    """What a rollout knows of one unit (sticky key) in one step: one row per unit, however often it asks.

    Attributes
    ----------
    unit : str
        The sticky key.
    version : int
        The version whose unit it is, by the split.
    failed : bool
        Whether that version failed for this unit at least once.
    took_s : float, optional
        How long its first timed request took, by the clock; see `mainspring.rollouts.timing` for which are.
    score : float, optional
        The version's first answer to it.
    slices : mapping of str to str
        By column the slice to which its first request belongs.
    metrics : mapping of str to float
        By metric the first figure that came for it: the losses of its first labelled prediction, and what callers
        report.
    """

    unit: str
    version: int
    failed: bool = False
    took_s: float | None = None
    score: float | None = None
    slices: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class RolloutStore(Protocol):
    """Where rollouts, their units, measurements and routes are kept."""

    def put(self, rollout: Rollout) -> None:
        """Record a rollout, or its new state under the same id; raises `Conflict` when another one is in progress."""
        ...

    def running(self, product: str) -> Rollout | None:
        """Give the rollout in progress, be it paused or waiting for approval."""
        ...

    def rollouts(self, product: str | None = None) -> tuple[Rollout, ...]:
        """Give every rollout, oldest first."""
        ...

    def see_units(self, step_id: str, units: Sequence[UnitOutcome]) -> None:
        """Merge what is known of units under a rollout's `step_id`.

        A new unit is kept; of a known one `failed` is or-ed, the version stays, and so does all else that is known: of
        `slices` and `metrics` by key.
        """
        ...

    def units(self, step_id: str) -> tuple[UnitOutcome, ...]:
        """Give every unit seen under a rollout's `step_id`, ordered by version and unit."""
        ...

    def measure(self, step_id: str, threshold: str, measurement: Measurement) -> None:
        """Record a measurement; one that is recorded for the same threshold and moment stays as it is."""
        ...

    def measurements(self, step_id: str) -> Mapping[str, tuple[Measurement, ...]]:
        """Give the measurements of a step by threshold, oldest first."""
        ...

    def put_route(self, route: Route) -> None:
        """Set a product's route in place of the one before."""
        ...

    def routes(self) -> tuple[Route, ...]:
        """Give the route of every product that has one, ordered by product."""
        ...
