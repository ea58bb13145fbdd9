"""What the monitor of training/serving skew sees: which features were served otherwise than they would be learned."""

from __future__ import annotations

__all__ = ["SKEW", "SkewSight"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.errors import MainspringError
from mainspring.monitoring.skew import SkewTable, skew_streams
from mainspring.operate.sights.sight import DETECTOR, SHARE, tables_before

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import ServingSkew
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

SKEW = "skew"
"""The kind of table by day that has them."""


class NotJoined(MainspringError):
    """A day whose rows could not be joined with their features again."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"What the newest rows would be learned with cannot be told: {self.why}."


@dataclass(frozen=True, slots=True)
class SkewSight:
    """What `ServingSkew` sees: the days of which all sources have told by now."""

    monitor: ServingSkew
    unit = SHARE
    scale = 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the counts by day."""
        return tables_before(tx, ref, SKEW, before)

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count rows that were served another value, by feature."""
        days = [SkewTable.from_json(text) for text in tables]
        for day in days:
            if day.why:
                raise NotJoined(day.why)
        return skew_streams(days, allowed=self.monitor.allowed)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh what is above the share that is allowed."""
        return DETECTOR.weigh(streams, budget=budget)
