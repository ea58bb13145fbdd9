"""What monitors see of how a version is served and labelled: latencies, failures, and labels that are late."""

from __future__ import annotations

__all__ = ["OPERATION", "FailureSight", "LabelSight", "LatencySight"]

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.monitoring.operation import OperationTable, failure_stream, label_stream, slow_stream
from mainspring.operate.sights.sight import DETECTOR, tables_before, whole_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import Failures, LabelDelay, Latency
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

OPERATION = "operation"
"""The kind of table by day that has them."""


@dataclass(frozen=True, slots=True)
class _Sight:
    unit = "share of rows"
    scale = 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the counts by day."""
        return tables_before(tx, ref, OPERATION, before)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh what is above the share that is allowed."""
        return DETECTOR.weigh(streams, budget=budget)


@dataclass(frozen=True, slots=True)
class LatencySight(_Sight):
    """What `Latency` sees."""

    monitor: Latency
    unit = "share of requests"

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count slow requests."""
        days = [OperationTable.from_json(text) for text in tables]
        return (slow_stream(days, limit_ms=self.monitor.limit_ms, share=1.0 - self.monitor.share),)


@dataclass(frozen=True, slots=True)
class FailureSight(_Sight):
    """What `Failures` sees."""

    monitor: Failures

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count rows that the version could not answer."""
        days = [OperationTable.from_json(text) for text in tables]
        return (failure_stream(days, share=self.monitor.share),)


@dataclass(frozen=True, slots=True)
class LabelSight(_Sight):
    """What `LabelDelay` sees: the days whose labels have had their time."""

    monitor: LabelDelay

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the counts of the days whose last prediction has had the time."""
        return tables_before(tx, ref, OPERATION, before - whole_days(self.monitor.within))

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count rows without a label in time."""
        days = [OperationTable.from_json(text) for text in tables]
        hours = parse_duration(self.monitor.within) // timedelta(hours=1)
        return (label_stream(days, hours=hours, share=1.0 - self.monitor.share),)
