"""What monitors of drift and of data quality see: the profiles of the days, beside those of the reference."""

from __future__ import annotations

__all__ = ["FaultSight", "InputSight", "PredictionSight"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.monitoring import Profile, drift_streams
from mainspring.monitoring.faulty import fault_streams
from mainspring.operate.sights.sight import DETECTOR, SHARE, tables_before

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import DataQuality, InputDrift, PredictionDrift
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction


@dataclass(frozen=True, slots=True)
class _ProfileSight:
    unit = SHARE
    scale = 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the profiles by day."""
        return tables_before(tx, ref, "profile", before)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh all columns together."""
        return DETECTOR.weigh(streams, budget=budget)


@dataclass(frozen=True, slots=True)
class InputSight(_ProfileSight):
    """What `InputDrift` sees."""

    monitor: InputDrift

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count every input that is not ignored."""
        inputs, _ = reference.profiles()
        days = [Profile.from_json(text) for text in tables]
        base = _without(inputs, self.monitor.ignore)
        return drift_streams(base, days, tolerance=self.monitor.tolerance)


@dataclass(frozen=True, slots=True)
class FaultSight(_ProfileSight):
    """What `DataQuality` sees."""

    monitor: DataQuality

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count the faults of every input that is not ignored."""
        inputs, _ = reference.profiles()
        days = [Profile.from_json(text) for text in tables]
        base = _without(inputs, self.monitor.ignore)
        return fault_streams(base, days, tolerance=self.monitor.tolerance)


def _without(profile: Profile, ignored: Sequence[str]) -> Profile:
    watched = {name: column for name, column in profile.columns.items() if name not in ignored}
    return Profile(rows=profile.rows, columns=watched)


@dataclass(frozen=True, slots=True)
class PredictionSight(_ProfileSight):
    """What `PredictionDrift` sees."""

    monitor: PredictionDrift

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count the answers."""
        _, predictions = reference.profiles()
        days = [Profile.from_json(text) for text in tables]
        return drift_streams(predictions, days, tolerance=self.monitor.tolerance)
