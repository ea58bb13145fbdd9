"""How a version was served and labelled, counted by day: latencies, failures, and how long labels took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from mainspring.monitoring.detector import Stream

__all__ = ["OperationTable", "failure_stream", "label_stream", "latency_bucket", "slow_stream"]

_PER_DOUBLING = 8
_LEAST_S = 1e-5
_EVENT = (0.0, 1.0)
_NOTHING = (0, 0)


def latency_bucket(seconds: float) -> int:
    """Bucket of a latency, an eighth of a doubling wide: bucket n ends at 10 us times 2^(n/8).

    Examples
    --------
    >>> latency_bucket(1e-5), latency_bucket(2e-5), latency_bucket(0.0)
    (0, 8, 0)
    """
    # Rounded, so that a latency at an edge is in the bucket that ends there.
    return max(0, math.ceil(round(_PER_DOUBLING * math.log2(max(seconds, _LEAST_S) / _LEAST_S), 9)))


class OperationTable(msgspec.Struct, frozen=True):
    """Counts of one version and day; they merge by adding.

    Attributes
    ----------
    asked : int
        Rows that it answered.
    failed : int
        Rows that it could not answer.
    latencies : dict of int
        Requests by `latency_bucket`.
    delays : dict of int
        Labelled rows by the whole hours from the prediction to its first label.
    """

    asked: int = 0
    failed: int = 0
    latencies: dict[int, int] = {}
    delays: dict[int, int] = {}

    def merge(self, other: OperationTable) -> OperationTable:
        """Table of the rows of both, its keys sorted; exact, in any order."""
        return OperationTable(
            self.asked + other.asked,
            self.failed + other.failed,
            _added(self.latencies, other.latencies),
            _added(self.delays, other.delays),
        )

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal tables."""
        return msgspec.json.encode(self.merge(OperationTable())).decode()

    @classmethod
    def from_json(cls, text: str) -> OperationTable:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)

    def labelled_within(self, hours: int) -> int:
        """Rows whose first label came within so many hours."""
        return sum(count for hour, count in self.delays.items() if hour < hours)


def _added(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    return dict(sorted((Counter(first) + Counter(second)).items()))


def slow_stream(days: Sequence[OperationTable], *, limit_ms: float, share: float) -> Stream:
    """Stream of requests that took longer than a limit, of which a share may.

    A request in the bucket in which the limit lies counts as fast enough, so that none is counted that was.
    """
    edge = latency_bucket(limit_ms / 1000)
    checks = []
    for day in days:
        slow = sum(count for bucket, count in day.latencies.items() if bucket > edge)
        checks.append((sum(day.latencies.values()) - slow, slow))
    return _stream(f"slower than {limit_ms:g} ms", "latency", checks, share)


def failure_stream(days: Sequence[OperationTable], *, share: float) -> Stream:
    """Stream of rows that the version could not answer, of which a share may be."""
    return _stream("failed", "failures", [(day.asked, day.failed) for day in days], share)


def label_stream(days: Sequence[OperationTable], *, hours: int, share: float) -> Stream:
    """Stream of rows that had no label so many hours after they were asked, of which a share may be.

    All days must have had the time. It does not know whether a label came later, or never.
    """
    checks = []
    for day in days:
        came = min(day.asked, day.labelled_within(hours))
        checks.append((came, day.asked - came))
    return _stream(f"without a label after {hours} h", "labels", checks, share)


def _stream(name: str, column: str, checks: Sequence[tuple[int, int]], allowed: float) -> Stream:
    return Stream(
        name=name,
        column=column,
        lower=_EVENT,
        upper=_EVENT,
        reference=_NOTHING,
        checks=tuple(checks),
        tolerance=0.0,
        allowed=allowed,
    )
