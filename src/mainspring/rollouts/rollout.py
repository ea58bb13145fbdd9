"""A rollout: one version taking over from another, in steps."""

from __future__ import annotations

__all__ = ["Phase", "Rollout", "RolloutEnded"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mainspring.errors import Conflict, Invalid
from mainspring.ref import check_name
from mainspring.rollouts.split import check_salt


class Phase(StrEnum):
    """Where a rollout stands; all but `RUNNING` are final."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    EXPIRED = "expired"


class RolloutEnded(Conflict):
    """An act on a rollout that has ended."""

    def __init__(self, rollout_id: str, phase: Phase) -> None:
        super().__init__(rollout_id, phase)
        self.rollout_id, self.phase = rollout_id, phase

    def __str__(self) -> str:
        return f"Rollout {self.rollout_id} has ended: it is {self.phase.value}, for good. Start a new one to try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The state of a change from champion to challenger.

    Attributes
    ----------
    rollout_id : str
    product : str
    champion, challenger : int
        Model versions.
    steps : tuple of float
        The challenger's shares, rising in (0, 1]. Reaching 1 is promotion: there is nothing left to compare
        with.
    step : int
        Index of the present one.
    phase : Phase
    salt : str
        Of the split.
    started_at, step_started_at : datetime
        Timezone-aware, by the workspace's clock.
    """

    rollout_id: str
    product: str
    champion: int
    challenger: int
    steps: tuple[float, ...]
    step: int = 0
    phase: Phase = Phase.RUNNING
    salt: str
    started_at: datetime
    step_started_at: datetime

    def __post_init__(self) -> None:
        check_name(self.product)
        check_salt(self.salt)
        if self.champion == self.challenger or min(self.champion, self.challenger) < 1:
            raise Invalid(f"Version {self.challenger} cannot take over from version {self.champion}.")
        rising = all(before < then for before, then in zip((0.0, *self.steps), self.steps, strict=False))
        if not self.steps or not rising or not self.steps[-1] <= 1:
            raise Invalid(f"A rollout's steps must rise within (0, 1]; these are {self.steps}.")
        if not 0 <= self.step < len(self.steps):
            raise Invalid(f"A rollout of {len(self.steps)} steps has none with index {self.step}.")
        if self.started_at.tzinfo is None or self.step_started_at.tzinfo is None:
            raise Invalid("A rollout's moments need their offset from UTC.")

    @classmethod
    def start(
        cls,
        *,
        rollout_id: str,
        product: str,
        champion: int,
        challenger: int,
        steps: tuple[float, ...],
        at: datetime,
    ) -> Rollout:
        """Begin with the first step; the rollout's id salts its split, so that each draws its own units."""
        return cls(
            rollout_id=rollout_id,
            product=product,
            champion=champion,
            challenger=challenger,
            steps=steps,
            salt=rollout_id,
            started_at=at,
            step_started_at=at,
        )

    @property
    def share(self) -> float:
        """The challenger's share of the units: none once it has ended, unless by promotion."""
        match self.phase:
            case Phase.RUNNING:
                return self.steps[self.step]
            case Phase.PROMOTED:
                return 1.0
            case _:
                return 0.0

    @property
    def next_share(self) -> float:
        """The share that follows the present step; 1, which is promotion, after the last."""
        return self.steps[self.step + 1] if self.step + 1 < len(self.steps) else 1.0

    @property
    def comparisons(self) -> int:
        """How many of the steps have two arms to compare."""
        return sum(share < 1 for share in self.steps)

    def ended(self, phase: Phase) -> Rollout:
        """End in a phase; raises `RolloutEnded` when it has ended already."""
        if self.phase is not Phase.RUNNING:
            raise RolloutEnded(self.rollout_id, self.phase)
        return replace(self, phase=phase)

    def advanced(self, at: datetime) -> Rollout:
        """Go to the next step; raises `RolloutEnded` when it has ended already."""
        if self.phase is not Phase.RUNNING:
            raise RolloutEnded(self.rollout_id, self.phase)
        return replace(self, step=self.step + 1, step_started_at=at)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Rollout:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)
