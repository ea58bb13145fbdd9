"""What monitors of drift and of data quality see: the profiles of the days, beside those of the reference."""

from __future__ import annotations

__all__ = ["SLICES", "FaultSight", "InputSight", "PredictionSight", "SlicedInputSight"]

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mainspring.errors import NotFound
from mainspring.monitoring import Profile, ProfileSet, drift_streams, merge
from mainspring.monitoring.drift import sliced_drift_streams
from mainspring.monitoring.faulty import fault_streams
from mainspring.monitoring.scores import values_among
from mainspring.operate.sights.sight import DETECTOR, SHARE, tables_before
from mainspring.operate.sights.strata import NoStrata, strata_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import DataQuality, InputDrift, PredictionDrift
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction


SLICES = "profile by slice"
"""The kind of table by day that has the profiles of slices."""

_NO_SLICES = ProfileSet({}).to_json()
_NO_ROWS = Profile(rows=0, columns={})


class NoSlices(NotFound):
    """An attribute whose slices the reference of a version has not."""

    def __init__(self, attribute: str) -> None:
        super().__init__(attribute)
        self.attribute = attribute

    def __str__(self) -> str:
        return (
            f"The champion was judged before slices by {self.attribute} were declared: the next version is compared "
            "with its own."
        )


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
class _DriftSight(_ProfileSight, ABC):
    """What a monitor of drift sees: with strata, of each the days of its own."""

    monitor: InputDrift | PredictionDrift

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the profiles by day, with strata each with its weekday."""
        found = tables_before(tx, ref, "profile", before)
        if not self.monitor.strata:
            return found
        return {day: json.dumps([day.weekday(), text]) for day, text in found.items()}

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count what is watched."""
        if not self.monitor.strata:
            days = [Profile.from_json(text) for text in tables]
            return drift_streams(self._watched(*reference.profiles()), days, tolerance=self.monitor.tolerance)
        if not reference.strata:
            raise NoStrata(self.monitor.name)
        dated = [(weekday, Profile.from_json(text)) for weekday, text in map(json.loads, tables)]
        return tuple(
            replace(stream, name=f"{stream.name} on {name}")
            for name, weekdays in strata_of(self.monitor.strata).items()
            for stream in drift_streams(
                merge(*(self._of_weekday(reference, each) for each in weekdays)),
                [day if weekday in weekdays else _NO_ROWS for weekday, day in dated],
                tolerance=self.monitor.tolerance,
            )
        )

    def _of_weekday(self, reference: Reference, weekday: int) -> Profile:
        inputs, predictions = map(Profile.from_json, reference.strata[weekday])
        return self._watched(inputs, predictions)

    @abstractmethod
    def _watched(self, inputs: Profile, predictions: Profile) -> Profile: ...


@dataclass(frozen=True, slots=True)
class InputSight(_DriftSight):
    """What `InputDrift` sees: every input that is not ignored."""

    monitor: InputDrift

    def _watched(self, inputs: Profile, predictions: Profile) -> Profile:
        return _without(inputs, self.monitor.ignore)


@dataclass(frozen=True, slots=True)
class SlicedInputSight(_ProfileSight):
    """What `InputDrift` sees with slices: every input that is not ignored, in all rows and in those of each value."""

    monitor: InputDrift

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the profiles by day, each with those of its slices."""
        sliced = tables_before(tx, ref, SLICES, before)
        whole = tables_before(tx, ref, "profile", before)
        return {day: json.dumps([text, sliced.get(day, _NO_SLICES)]) for day, text in whole.items()}

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count all rows, and those of each slice."""
        inputs, _ = reference.profiles()
        before = ProfileSet.from_json(reference.slices)
        days = [json.loads(text) for text in tables]
        whole = [Profile.from_json(text) for text, _ in days]
        sliced = [ProfileSet.from_json(text) for _, text in days]
        found = drift_streams(_without(inputs, self.monitor.ignore), whole, tolerance=self.monitor.tolerance)
        for attribute in self.monitor.slices:
            if not values_among(before.slices(), attribute):
                raise NoSlices(attribute)
            found += sliced_drift_streams(
                before,
                sliced,
                frame=inputs.frame,
                attribute=attribute,
                ignore=self.monitor.ignore,
                tolerance=self.monitor.tolerance,
            )
        return found


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
class PredictionSight(_DriftSight):
    """What `PredictionDrift` sees: the answers."""

    monitor: PredictionDrift

    def _watched(self, inputs: Profile, predictions: Profile) -> Profile:
        return predictions
