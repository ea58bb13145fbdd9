"""What monitors see that look at scores and outcomes together: any metric, outcomes at a score, gaps between groups."""

from __future__ import annotations

__all__ = ["AUDITED", "SCORES", "AuditSight", "ConceptSight", "FairnessSight", "ScoreSight", "own_metric"]

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, time
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
        """Scores by day, with a mark on the days whose labels have not had their time."""
        within = whole_days(self.monitor.labels_within)
        return {
            day: json.dumps([bool(within) and day >= before - within, text])
            for day, text in tables_before(tx, ref, SCORES, before).items()
        }

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count all days, and where labels take their time those that have had it."""
        marked = [json.loads(text) for text in tables]
        awaited = [waits for waits, _ in marked]
        days = [ScoreTable.from_json(text) for _, text in marked]
        before = _reference(reference, self.monitor.name)
        found: tuple[Stream, ...] = self._counted(reference, before, days, awaited)
        settled: list[Stream | None] = [settled_stream(each, len(days) - sum(awaited)) for each in found]
        return (*found, *(each for each in settled if each is not None))

    @abstractmethod
    def _counted(
        self,
        reference: Reference,
        before: ScoreTable,
        days: Sequence[ScoreTable],
        awaited: Sequence[bool],
    ) -> tuple[Stream, ...]: ...

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
    """What `Quality` sees of a metric that is no mean of losses, and of slices."""

    @property
    def unit(self) -> str:
        """What rises when the metric gets worse; one of the product's own has its own unit."""
        return SCORE_METRICS[self.monitor.metric][0]

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in the unit."""
        return SCORE_METRICS[self.monitor.metric][1]

    def _counted(
        self,
        reference: Reference,
        before: ScoreTable,
        days: Sequence[ScoreTable],
        awaited: Sequence[bool],
    ) -> tuple[Stream, ...]:
        return metric_streams(
            _metric(reference, self.monitor.metric),
            before,
            days,
            awaited=awaited,
            attributes=self.monitor.slices,
            tolerance=self.monitor.tolerance,
        )


@dataclass(frozen=True, slots=True)
class ConceptSight(_Sight[ConceptDrift]):
    """What `ConceptDrift` sees."""

    def _counted(
        self,
        reference: Reference,
        before: ScoreTable,
        days: Sequence[ScoreTable],
        awaited: Sequence[bool],
    ) -> tuple[Stream, ...]:
        return concept_streams(before, days, awaited=awaited, tolerance=self.monitor.tolerance)


@dataclass(frozen=True, slots=True)
class FairnessSight(_Sight[Fairness]):
    """What `Fairness` sees."""

    def _counted(
        self,
        reference: Reference,
        before: ScoreTable,
        days: Sequence[ScoreTable],
        awaited: Sequence[bool],
    ) -> tuple[Stream, ...]:
        attribute = self.monitor.attribute
        return fairness_streams(
            self.monitor.metric,
            attribute,
            before.values(attribute),
            days,
            awaited=awaited,
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
