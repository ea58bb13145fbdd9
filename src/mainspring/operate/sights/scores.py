"""What monitors see that look at scores and outcomes together: any metric, outcomes at a score, gaps between groups."""

from __future__ import annotations

__all__ = ["AUDITED", "SCORES", "AuditSight", "ConceptSight", "FairnessSight", "ScoreSight", "own_metric"]

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from functools import reduce
from typing import TYPE_CHECKING, Generic, TypeVar

from mainspring.clock import parse_duration
from mainspring.errors import MainspringError, NotFound
from mainspring.monitoring import SETTLED, settled_stream
from mainspring.monitoring.scores import (
    ALL_ROWS,
    SCORE_METRICS,
    ScoreTable,
    concept_streams,
    fairness_streams,
    metric_streams,
)
from mainspring.monitors import ConceptDrift, Fairness, Quality
from mainspring.operate.sights.sight import DETECTOR, SHARE, tables_before, whole_days
from mainspring.operate.sights.strata import NoStrata, strata_of
from mainspring.operate.suspicion import is_suspected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.metric import MetricSpec
    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import AuditedQuality
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

SCORES = "scores"
"""The kind of table by day that has them."""

AUDITED = ("audited at 1 %", "audited at 10 %")
"""Groups of predictions that are audited, without and with a suspicion; the first is part of the second."""

_Monitor = TypeVar("_Monitor", Quality, ConceptDrift, Fairness)


class NoScores(NotFound):
    """A version whose reference has no scores to compare with."""

    def __str__(self) -> str:
        return (
            "The champion was judged before its scores on the hold-out were kept by outcome and slice: "
            "the next version is compared with what is declared by then."
        )


class MetricUnknown(NotFound):
    """A metric of the product's own that the champion was not judged by."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"There is no metric {self.name!r} to watch that the champion was judged by: if it is declared by now, the "
            "next version is compared with its own."
        )


class MetricFaulty(MainspringError):
    """A metric of the product's own whose function could not be asked."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(name, fault)
        self.name, self.fault = name, fault

    def __str__(self) -> str:
        return (
            f"When the champion was judged, {self.name} could not be told: {self.fault}. Mend its function in the "
            "product file: it holds from the next version on."
        )


def _reference(reference: Reference, monitor: str) -> ScoreTable:
    if not reference.scores:
        raise NoScores(monitor)
    return ScoreTable.from_json(reference.scores)


def _metric(reference: Reference, name: str) -> str | MetricSpec:
    """Give a metric by its name: one that every product has, or the product's own as the version was judged by it."""
    if name in SCORE_METRICS:
        return name
    own = own_metric(reference, name)
    if own is None:
        raise MetricUnknown(name)
    if own.fault:
        raise MetricFaulty(own.name, own.fault)
    return own


def own_metric(reference: Reference, name: str) -> MetricSpec | None:
    """Give a metric of the product's own, as a version was judged by it; None where it was not."""
    return next((each for each in reference.metrics if each.name == name), None)


@dataclass(frozen=True, slots=True)
class _Day:
    """The scores of a day, whether its labels may still come, and with strata its weekday, Monday being 0."""

    table: ScoreTable
    awaited: bool
    weekday: int | None = None

    @classmethod
    def read(cls, text: str) -> _Day:
        """Read what `_Sight.read` gave."""
        awaited, table, *weekday = json.loads(text)
        return cls(ScoreTable.from_json(table), awaited, *weekday)


@dataclass(frozen=True, slots=True)
class _Sight(ABC, Generic[_Monitor]):
    monitor: _Monitor

    @property
    def unit(self) -> str:
        """What is told of."""
        return SHARE

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in the unit."""
        return 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Scores by day, with a mark on the days whose labels have not had their time, and with strata the weekday."""
        within = whole_days(self.monitor.labels_within)
        found = {}
        for day, text in tables_before(tx, ref, SCORES, before).items():
            marks: list[bool | str | int] = [bool(within) and day >= before - within, text]
            found[day] = json.dumps([*marks, day.weekday()] if getattr(self.monitor, "strata", "") else marks)
        return found

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count all days, and where labels take their time those that have had it."""
        days = [_Day.read(text) for text in tables]
        found: tuple[Stream, ...] = self._counted(reference, days)
        had_their_time = sum(not day.awaited for day in days)
        settled: list[Stream | None] = [settled_stream(each, had_their_time) for each in found]
        return (*found, *(each for each in settled if each is not None))

    @abstractmethod
    def _counted(self, reference: Reference, days: Sequence[_Day]) -> tuple[Stream, ...]: ...

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh the streams of all days together, and those of settled days: see `settled_stream`."""
        if not parse_duration(self.monitor.labels_within):
            return DETECTOR.weigh(streams, budget=budget)
        groups = [
            [each for each in streams if each.name.endswith(SETTLED) is settled] for settled in (False, True)
        ]
        weighed = [DETECTOR.weigh(group, budget=budget.share(2)) for group in groups if group]
        return max(weighed, key=lambda each: each.log_e)


@dataclass(frozen=True, slots=True)
class ScoreSight(_Sight[Quality]):
    """What `Quality` sees of a metric that is no mean of losses, of slices and of strata."""

    @property
    def unit(self) -> str:
        """What rises when the metric gets worse; one of the product's own has its own unit."""
        return SCORE_METRICS[self.monitor.metric][0]

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in the unit."""
        return SCORE_METRICS[self.monitor.metric][1]

    def _counted(self, reference: Reference, days: Sequence[_Day]) -> tuple[Stream, ...]:
        if not self.monitor.strata:
            return self._since(reference, _reference(reference, self.monitor.name), days)
        if not reference.scores_by_weekday:
            raise NoStrata(self.monitor.name)
        by_weekday = [ScoreTable.from_json(text) for text in reference.scores_by_weekday]
        return tuple(
            replace(stream, name=f"{stream.name} on {name}")
            for name, weekdays in strata_of(self.monitor.strata).items()
            for stream in self._since(
                reference,
                reduce(ScoreTable.merge, (by_weekday[each] for each in weekdays)),
                [day if day.weekday in weekdays else replace(day, table=ScoreTable()) for day in days],
            )
        )

    def _since(self, reference: Reference, before: ScoreTable, days: Sequence[_Day]) -> tuple[Stream, ...]:
        return metric_streams(
            _metric(reference, self.monitor.metric),
            before,
            [day.table for day in days],
            awaited=[day.awaited for day in days],
            attributes=self.monitor.slices,
            tolerance=self.monitor.tolerance,
        )


@dataclass(frozen=True, slots=True)
class ConceptSight(_Sight[ConceptDrift]):
    """What `ConceptDrift` sees."""

    def _counted(self, reference: Reference, days: Sequence[_Day]) -> tuple[Stream, ...]:
        return concept_streams(
            _reference(reference, self.monitor.name),
            [day.table for day in days],
            awaited=[day.awaited for day in days],
            tolerance=self.monitor.tolerance,
        )


@dataclass(frozen=True, slots=True)
class FairnessSight(_Sight[Fairness]):
    """What `Fairness` sees."""

    def _counted(self, reference: Reference, days: Sequence[_Day]) -> tuple[Stream, ...]:
        attribute = self.monitor.attribute
        return fairness_streams(
            self.monitor.metric,
            attribute,
            _reference(reference, self.monitor.name).values(attribute),
            [day.table for day in days],
            awaited=[day.awaited for day in days],
            gap=self.monitor.gap,
        )


@dataclass(frozen=True, slots=True)
class AuditSight:
    """What `AuditedQuality` sees: of each day the predictions audited at the share that was settled before it."""

    monitor: AuditedQuality

    @property
    def unit(self) -> str:
        """What rises when the metric gets worse; one of the product's own has its own unit."""
        return SCORE_METRICS[self.monitor.metric][0]

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in the unit."""
        return SCORE_METRICS[self.monitor.metric][1]

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Scores of the audited by day, as a table of their own."""
        found = {}
        for day, text in tables_before(tx, ref, SCORES, before).items():
            begin = datetime.combine(day, time(), UTC)
            suspected = is_suspected(tx, ref.product, int(ref.version), begin)
            audited = ScoreTable.from_json(text).of_group(AUDITED[suspected])
            found[day] = ScoreTable({ALL_ROWS: audited}).to_json()
        return found

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count the audited; whose label has not come is awaited for ever."""
        days = [ScoreTable.from_json(text) for text in tables]
        return metric_streams(
            _metric(reference, self.monitor.metric),
            _reference(reference, self.monitor.name),
            days,
            awaited=[True] * len(days),
            tolerance=self.monitor.tolerance,
        )

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh them: see `mainspring.monitoring.audit_cohort`."""
        return DETECTOR.weigh(streams, budget=budget)
