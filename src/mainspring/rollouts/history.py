"""Which versions served when, told by the events of rollouts alone: the same moves, made again one by one."""

from __future__ import annotations

__all__ = ["MOVES", "Served"]

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from mainspring.events import EventType
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.strategy import Strategy

MOVES = frozenset(
    {
        EventType.ROLLOUT_STARTED,
        EventType.ROLLOUT_ADVANCED,
        EventType.ROLLOUT_ARM_DROPPED,
        EventType.ROLLOUT_PAUSED,
        EventType.ROLLOUT_RESUMED,
        EventType.ROLLOUT_APPROVAL_ASKED,
        EventType.ROLLOUT_APPROVED,
        EventType.ROLLOUT_PROMOTED,
        EventType.ROLLOUT_ROLLED_BACK,
        EventType.ROLLOUT_EXPIRED,
        EventType.ROLLOUT_ABORTED,
    }
)
"""The events that say what serves."""


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a product's endpoint from an event on.

    Attributes
    ----------
    champion : int or None
        None before the first promotion, when nothing is served.
    rollout : Rollout or None
        The one in progress.
    """

    champion: int | None = None
    rollout: Rollout | None = None

    @property
    def aliases(self) -> dict[str, int]:
        """By alias the version that it points to."""
        champion = {} if self.champion is None else {"champion": self.champion}
        return champion | ({} if self.rollout is None else {"challenger": self.rollout.challenger})

    @property
    def shares(self) -> dict[int, float]:
        """By version its share of the units; those of a challenger that was dropped are the champion's."""
        if self.champion is None:
            return {}
        parts = self.rollout.parts if self.rollout else {}
        live = self.rollout.live if self.rollout else ()
        given = {version: parts[version].share for version in live if version in parts}
        return {self.champion: 1.0 - sum(given.values())} | given

    @property
    def shadow(self) -> dict[int, float]:
        """The version that is asked without answering, and its share of the units."""
        share = self.rollout.shadow_share if self.rollout else 0.0
        return {self.rollout.challenger: share} if self.rollout and share else {}

    @property
    def phase(self) -> Phase | None:
        """Where the rollout in progress stands."""
        return self.rollout.phase if self.rollout else None

    def after(self, kind: EventType, version: int, at: datetime, data: Mapping[str, Any]) -> Served:
        """Give what serves after one of the `MOVES`.

        Parameters
        ----------
        kind : EventType
        version : int
            Of the event's subject.
        at : datetime
        data : mapping
            The event's own.
        """
        match kind:
            case EventType.ROLLOUT_STARTED:
                begun = Rollout.start(
                    rollout_id=data["cycle"],
                    product="any",
                    champion=data["champion"],
                    challengers=tuple(data["challengers"]),
                    strategy=msgspec.convert(data["strategy"], Strategy),
                    at=at,
                )
                return Served(data["champion"], begun)
            case EventType.ROLLOUT_PROMOTED:
                return Served(version)
            case EventType.ROLLOUT_ROLLED_BACK | EventType.ROLLOUT_EXPIRED | EventType.ROLLOUT_ABORTED:
                return Served(self.champion)
        if self.rollout is None:
            return self
        return replace(self, rollout=_moved(self.rollout, kind, version, at))


def _moved(rollout: Rollout, kind: EventType, version: int, at: datetime) -> Rollout:
    match kind:
        case EventType.ROLLOUT_ADVANCED:
            return rollout.advanced(at)
        case EventType.ROLLOUT_ARM_DROPPED:
            return rollout.without(version)
        case EventType.ROLLOUT_PAUSED:
            return rollout.paused(at)
        case EventType.ROLLOUT_RESUMED:
            return rollout.resumed(at)
        case EventType.ROLLOUT_APPROVAL_ASKED:
            return rollout.awaiting_approval()
        case EventType.ROLLOUT_APPROVED:
            return rollout.approve()
    return rollout
