"""What the gateway measures, in Prometheus' text format. By the machine's time: none of it reaches the ledger."""

from __future__ import annotations

__all__ = ["Metrics"]

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mainspring.gateway.follow import Serving
    from mainspring.gateway.score import Scored

_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


class _Histogram:
    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_S) + 1)
        self.total_s = 0.0


class Metrics:
    """Counts since the process started."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._rows: dict[tuple[str, int], int] = defaultdict(int)
        self._failures: dict[tuple[str, int], int] = defaultdict(int)
        self._took: dict[tuple[str, int], _Histogram] = defaultdict(_Histogram)

    def answered(self, product: str, status: int) -> None:
        """Count a request for predictions."""
        self._requests[product, status] += 1

    def scored(self, product: str, scored: Scored) -> None:
        """Count rows and failures, and how long the versions took."""
        for version in set(scored.versions):
            self._rows[product, version] += scored.versions.count(version)
        for failure in scored.failures:
            self._failures[product, failure.version] += 1
        for version, measured_s in scored.measured_s.items():
            took = self._took[product, version]
            took.counts[bisect_left(_BUCKETS_S, measured_s)] += 1
            took.total_s += measured_s

    def text(self, servings: Iterable[Serving], queue: int) -> str:
        """Print everything."""
        return "\n".join(self._lines(servings, queue)) + "\n"

    def _lines(self, servings: Iterable[Serving], queue: int) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests for predictions, by status of the answer.")
        for (product, status), count in sorted(self._requests.items()):
            yield f'mainspring_requests_total{{product="{product}",status="{status}"}} {count}'
        for name, counts, what in (
            ("rows_total", self._rows, "Rows that a version answered."),
            ("failures_total", self._failures, "Rows that a version could not answer."),
        ):
            yield from _head(name, "counter", what)
            for (product, version), count in sorted(counts.items()):
                yield f'mainspring_{name}{{product="{product}",version="{version}"}} {count}'
        yield from _head("predict_seconds", "histogram", "How long a version took for the rows of a request.")
        for (product, version), took in sorted(self._took.items()):
            labels, below = f'product="{product}",version="{version}"', 0
            for bucket, count in zip((*_BUCKETS_S, "+Inf"), took.counts, strict=True):
                below += count
                yield f'mainspring_predict_seconds_bucket{{{labels},le="{bucket}"}} {below}'
            yield f"mainspring_predict_seconds_sum{{{labels}}} {took.total_s}"
            yield f"mainspring_predict_seconds_count{{{labels}}} {below}"
        yield from _head("route", "gauge", "Number of the route in force.")
        for serving in servings:
            yield f'mainspring_route{{product="{serving.route.product}"}} {serving.route.number}'
        yield from _head("log_queue", "gauge", "Records that are not yet on disk.")
        yield f"mainspring_log_queue {queue}"


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP mainspring_{name} {what}"
    yield f"# TYPE mainspring_{name} {kind}"
