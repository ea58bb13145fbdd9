"""What a rollout keeps: the rollout itself, one row per unit that it has seen, and the routes that gateways follow."""

from __future__ import annotations

__all__ = ["RolloutStore", "UnitOutcome"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.rollouts.rollout import Rollout
    from mainspring.rollouts.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOutcome:
    """What a rollout knows of one unit (sticky key): one row per unit, however often it asks.

    Attributes
    ----------
    unit : str
        The sticky key.
    arm : str
        `champion` or `challenger`: the arm that the split assigns.
    failed : bool
        Whether the arm failed for this unit at least once.
    took_s : float, optional
        How long its first timed request took, by the clock. Of a request with many rows only the first row's unit is
        timed: the others waited for the same answer, and would count it again.
    loss : mapping
        Per metric the loss of the unit's first labelled prediction; empty before.
    """

    unit: str
    arm: str
    failed: bool
    took_s: float | None
    loss: Mapping[str, float]


class RolloutStore(Protocol):
    """Where rollouts, their units and routes are kept."""

    def put(self, rollout: Rollout) -> None:
        """Record a rollout, or its new state under the same id."""
        ...

    def running(self, product: str) -> Rollout | None:
        """Give the rollout in progress."""
        ...

    def rollouts(self, product: str | None = None) -> tuple[Rollout, ...]:
        """Give every rollout, oldest first."""
        ...

    def see_units(self, step_id: str, units: Sequence[UnitOutcome]) -> None:
        """Merge what is known of units under a rollout's `step_id`.

        A new unit is kept; of a known one `failed` is or-ed, and the first known `took_s` and `loss` stay.
        """
        ...

    def units(self, step_id: str) -> tuple[UnitOutcome, ...]:
        """Give every unit seen under a rollout's `step_id`, ordered by arm and unit."""
        ...

    def put_route(self, route: Route) -> None:
        """Set a product's route in place of the one before."""
        ...

    def routes(self) -> tuple[Route, ...]:
        """Give the route of every product that has one, ordered by product."""
        ...
