"""What the gateway measures, in Prometheus' text format. By the machine's time: none of it reaches the ledger.

Beside our own names stand Triton's, which the dashboards of many clusters read already [1]_.

References
----------
.. [1] Triton Inference Server, `docs/user_guide/metrics.md`.
"""

from __future__ import annotations

__all__ = ["Metrics", "Spent", "Timed", "merged", "statistics"]

from bisect import bisect_left
from collections import defaultdict
from http import HTTPStatus
from time import perf_counter, time
from typing import TYPE_CHECKING

import msgspec

from mainspring.gateway.runtimes import WorkerModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mainspring.features.online import Found
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.log import PredictionLog
    from mainspring.gateway.score import Scored, Served
    from mainspring.product import FeatureViewSpec

_UP = "mainspring_gateway_up"
_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)


class _Histogram:
    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_S) + 1)
        self.total_s = 0.0


_REASONS = {429: "REJECTED", 499: "CANCELED", 500: "BACKEND", 503: "REJECTED"}


class Timed(msgspec.Struct):
    """When a request reached which point, by `perf_counter`.

    Attributes
    ----------
    arrived, read, predicted : float
        When it was there, was checked, and had its prediction; 0 as long as it has not come so far.
    versions : sequence of int
        Who has answered it, or was to.
    """

    arrived: float
    read: float = 0.0
    predicted: float = 0.0
    versions: Sequence[int] = ()


class Spent(msgspec.Struct):
    """What one version has done since the process started, in Triton's terms; times in seconds.

    Attributes
    ----------
    success, fail : int
        Requests. One that several versions answered counts for each of them.
    success_s, fail_s : float
        From the moment that the request was there to the moment that its answer was, the log's write included.
    rows, executions : int
        Rows answered, and calls of the model.
    read_s, infer_s, write_s : float
        Reading and checking requests, in the model, writing answers.
    last : float
        When it last answered, in seconds since 1970.
    """

    success: int = 0
    fail: int = 0
    success_s: float = 0.0
    fail_s: float = 0.0
    rows: int = 0
    executions: int = 0
    read_s: float = 0.0
    infer_s: float = 0.0
    write_s: float = 0.0
    last: float = 0.0


class Metrics:
    """Counts since the process started."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._failures: dict[tuple[str, int], int] = defaultdict(int)
        self._took: dict[tuple[str, int], _Histogram] = defaultdict(_Histogram)
        self._refused: dict[tuple[str, int, str], int] = defaultdict(int)
        self._looked_up: dict[tuple[str, str, str], int] = defaultdict(int)
        self.spent: dict[tuple[str, int], Spent] = defaultdict(Spent)

    def answered(self, product: str, status: int, timed: Timed | None = None) -> None:
        """Count a request for predictions, by the status that its answer has or would have over HTTP."""
        self._requests[product, status] += 1
        if timed is None:
            return
        now = perf_counter()
        if status != HTTPStatus.OK:
            reason = _REASONS.get(status, "OTHER")
            for version in timed.versions:
                self._refused[product, version, reason] += 1
                spent = self.spent[product, version]
                spent.fail += 1
                spent.fail_s += now - timed.arrived
            return
        for version in set(timed.versions):
            spent = self.spent[product, version]
            spent.success += 1
            spent.success_s += now - timed.arrived
            spent.read_s += timed.read - timed.arrived
            spent.write_s += now - timed.predicted
            spent.last = time()

    def scored(self, product: str, scored: Scored) -> None:
        """Count rows and failures, and how long the versions took."""
        for version in set(scored.versions):
            self.answered_rows(product, version, scored.versions.count(version))
        for failure in scored.failures:
            self._failures[product, failure.version] += 1
        for version, measured_s in scored.measured_s.items():
            self.called(product, version, [measured_s])

    def answered_rows(self, product: str, version: int, rows: int) -> None:
        """Count rows that a version answered."""
        self.spent[product, version].rows += rows

    def called(self, product: str, version: int, took_s: Sequence[float]) -> None:
        """Count how long a version took for the rows of requests, each of which waited for so long."""
        took, total_s = self._took[product, version], sum(took_s)
        took.total_s += total_s
        for each in took_s:
            took.counts[bisect_left(_BUCKETS_S, each)] += 1
        spent = self.spent[product, version]
        spent.executions += len(took_s)
        spent.infer_s += total_s

    def looked_up(self, product: str, found: Iterable[Found]) -> None:
        """Count the rows for which features were looked up, by what came of it."""
        for each in found:
            for status in each.statuses:
                self._looked_up[product, each.view.name, status] += 1

    def store_away(self, product: str, view: FeatureViewSpec, rows: int) -> None:
        """Count the rows for which features could not be looked up, since the online store was away."""
        self._looked_up[product, view.name, "STORE_AWAY"] += rows

    def text(self, servings: Collection[Serving], log: PredictionLog, pending: int) -> str:
        """Print everything; `pending` requests have no answer yet."""
        return "\n".join([*self._lines(servings), *_log_lines(log), *self._tritons_lines(pending)]) + "\n"

    def _lines(self, servings: Collection[Serving]) -> Iterator[str]:
        yield from _head(
            "mainspring_requests_total", "counter", "Requests for predictions, by status of the answer."
        )
        for (product, status), count in sorted(self._requests.items()):
            yield _line("mainspring_requests_total", count, product=product, status=status)
        yield from _head("mainspring_rows_total", "counter", "Rows that a version answered.")
        for (product, version), spent in sorted(self.spent.items()):
            if spent.rows:
                yield _line("mainspring_rows_total", spent.rows, product=product, version=version)
        yield from _head("mainspring_failures_total", "counter", "Rows that a version could not answer.")
        for (product, version), count in sorted(self._failures.items()):
            yield _line("mainspring_failures_total", count, product=product, version=version)
        name = "mainspring_lookups_total"
        yield from _head(name, "counter", "Rows for which the features of a view were looked up, by status.")
        for (product, view, what), count in sorted(self._looked_up.items()):
            yield _line(name, count, product=product, view=view, status=what)
        name = "mainspring_predict_seconds"
        yield from _head(name, "histogram", "How long a version took for the rows of a request.")
        for (product, version), took in sorted(self._took.items()):
            below = 0
            for bucket, count in zip((*_BUCKETS_S, "+Inf"), took.counts, strict=True):
                below += count
                yield _line(f"{name}_bucket", below, product=product, version=version, le=bucket)
            yield _line(f"{name}_sum", took.total_s, product=product, version=version)
            yield _line(f"{name}_count", below, product=product, version=version)
        yield from _head("mainspring_route", "gauge", "Number of the route in force.")
        for serving in servings:
            yield _line("mainspring_route", serving.route.number, product=serving.route.product)
        name = "mainspring_snapshot_taken_seconds"
        yield from _head(
            name, "gauge", "When the snapshot was taken in which a view is looked up, since 1970."
        )
        for serving in servings:
            for view, snapshot in sorted(serving.snapshots.items()):
                yield _line(name, snapshot.until.timestamp(), product=serving.route.product, view=view)
        yield from _running_lines(
            [(serving.route.product, each) for serving in servings for each in serving.loaded]
        )

    def _tritons_lines(self, pending: int) -> Iterator[str]:
        by_version = sorted(self.spent.items())
        for name, what, values in (
            ("request_success", "Requests answered.", [each.success for _, each in by_version]),
            ("count", "Rows answered.", [each.rows for _, each in by_version]),
            ("exec_count", "Calls of the model.", [each.executions for _, each in by_version]),
            (
                "request_duration_us",
                "Time of requests from end to end, in microseconds.",
                [_us(each.success_s) for _, each in by_version],
            ),
            (
                "compute_input_duration_us",
                "Time of reading and checking requests, in microseconds.",
                [_us(each.read_s) for _, each in by_version],
            ),
            (
                "compute_infer_duration_us",
                "Time in the model, in microseconds.",
                [_us(each.infer_s) for _, each in by_version],
            ),
            (
                "compute_output_duration_us",
                "Time of writing answers, in microseconds.",
                [_us(each.write_s) for _, each in by_version],
            ),
            (
                "queue_duration_us",
                "Time that requests waited, for the model or for the log's disk, in microseconds.",
                [_us(waited_s(each)) for _, each in by_version],
            ),
        ):
            yield from _head(f"nv_inference_{name}", "counter", what)
            for ((product, version), _), value in zip(by_version, values, strict=True):
                yield _line(f"nv_inference_{name}", value, model=product, version=version)
        yield from _head("nv_inference_request_failure", "counter", "Requests not answered, by reason.")
        for (product, version, reason), count in sorted(self._refused.items()):
            yield _line("nv_inference_request_failure", count, model=product, version=version, reason=reason)
        yield from _head(
            "nv_inference_pending_request_count", "gauge", "Requests that wait for their answer."
        )
        yield f"nv_inference_pending_request_count {pending}"


def _running_lines(loaded: Sequence[tuple[str, Served]]) -> Iterator[str]:
    """How the models that are loaded are run: with company, or in a process of their own."""
    batched = [(product, each.version, each.batcher or each) for product, each in loaded if each.rowwise]
    for name, what, batches in (
        (
            "batched_requests_total",
            "Requests whose rows might share a call.",
            [each.requests for *_, each in batched],
        ),
        ("batched_calls_total", "Calls that such requests came to.", [each.calls for *_, each in batched]),
    ):
        yield from _head(f"mainspring_{name}", "counter", what)
        for (product, version, _), count in zip(batched, batches, strict=True):
            yield _line(f"mainspring_{name}", count, product=product, version=version)
    apart = [
        (product, each.version, each.model) for product, each in loaded if isinstance(each.model, WorkerModel)
    ]
    for name, kind, what, values in (
        (
            "worker_restarts_total",
            "counter",
            "Starts of its process after the first.",
            [each.restarts for *_, each in apart],
        ),
        (
            "worker_timeouts_total",
            "counter",
            "Calls that took too long.",
            [each.timeouts for *_, each in apart],
        ),
        (
            "worker_crashes_total",
            "counter",
            "Ends of its process by itself.",
            [each.crashes for *_, each in apart],
        ),
        ("worker_memory_bytes", "gauge", "Memory that its process holds.", [each.size for *_, each in apart]),
    ):
        yield from _head(f"mainspring_{name}", kind, what)
        for (product, version, _), value in zip(apart, values, strict=True):
            yield _line(f"mainspring_{name}", value, product=product, version=version)


def _log_lines(log: PredictionLog) -> Iterator[str]:
    for name, kind, value, what in (
        ("log_queue", "gauge", log.queue, "Records that are not yet on disk."),
        ("log_waited_seconds", "gauge", log.waited_s, "How long the oldest of them has been waiting."),
        (
            "log_window_seconds",
            "gauge",
            log.window_s,
            "How long after its answer a record may set out for the disk.",
        ),
        (
            "log_trouble",
            "gauge",
            int(bool(log.trouble)),
            "Whether the disk does not take what is to be written.",
        ),
        ("log_records_total", "counter", log.written, "Records on disk."),
        ("log_syncs_total", "counter", log.syncs, "Groups in which they came there."),
        (
            "log_refused_total",
            "counter",
            log.refused,
            "Records that could not be kept, and were not acknowledged.",
        ),
        ("log_lost_total", "counter", log.lost, "Records that were acknowledged, and could not be kept."),
    ):
        yield from _head(f"mainspring_{name}", kind, what)
        yield _line(f"mainspring_{name}", value)
    name = "mainspring_log_left_out_total"
    yield from _head(name, "counter", "Rows and values that may not be logged, by reason.")
    for product, counts in sorted(log.unlogged.items()):
        for reason, count in sorted(counts.items()):
            yield _line(name, count, product=product, reason=reason)


def merged(texts: Mapping[str, str | None]) -> str:
    r"""Put what `Metrics.text` gave in several gateways, by their names, into one text with a label `gateway`.

    One that gave None, because it does not answer, is told to be down.

    Examples
    --------
    >>> one = "# HELP rows_total Rows.\n# TYPE rows_total counter\nrows_total 3\n"
    >>> print(merged({"a": one, "b": one.replace("3", "4"), "c": None}), end="")
    # HELP rows_total Rows.
    # TYPE rows_total counter
    rows_total{gateway="a"} 3
    rows_total{gateway="b"} 4
    # HELP mainspring_gateway_up Whether a gateway that has not shut down answers.
    # TYPE mainspring_gateway_up gauge
    mainspring_gateway_up{gateway="a"} 1
    mainspring_gateway_up{gateway="b"} 1
    mainspring_gateway_up{gateway="c"} 0
    """
    heads: dict[str, str] = {}
    samples: dict[str, list[str]] = defaultdict(list)
    for gateway, text in texts.items():
        if text is None:
            continue
        label = f'gateway="{_escaped(gateway)}"'
        # A line ends at a newline alone: labels may hold whatever else Python takes for the end of one.
        for family in ("\n" + text.removesuffix("\n")).split("\n# HELP ")[1:]:
            told, kind, *lines = family.split("\n")
            name = told.partition(" ")[0]
            heads.setdefault(name, f"# HELP {told}\n{kind}")
            samples[name] += [_of_gateway(line, label) for line in lines]
    families = [each for name, head in heads.items() for each in (head, *samples[name])]
    families += _head(_UP, "gauge", "Whether a gateway that has not shut down answers.")
    families += (_line(_UP, int(text is not None), gateway=gateway) for gateway, text in texts.items())
    return "".join(f"{each}\n" for each in families)


def _of_gateway(line: str, label: str) -> str:
    name, labelled, rest = line.partition("{")
    if labelled:
        return f"{name}{{{label},{rest}"
    name, _, value = line.partition(" ")
    return f"{name}{{{label}}} {value}"


def waited_s(spent: Spent) -> float:
    """Give how long answered requests have waited: all of their time in which nothing was done for them."""
    return max(0.0, spent.success_s - spent.read_s - spent.infer_s - spent.write_s)


def statistics(product: str, version: int, spent: Spent) -> Mapping[str, object]:
    """Give what Triton's statistics extension tells of a version; its times are in nanoseconds."""

    def took(count: int, seconds: float) -> dict[str, int]:
        return {"count": count, "ns": int(1e9 * seconds)}

    return {
        "name": product,
        "version": str(version),
        "last_inference": int(1000 * spent.last),
        "inference_count": spent.rows,
        "execution_count": spent.executions,
        "inference_stats": {
            "success": took(spent.success, spent.success_s),
            "fail": took(spent.fail, spent.fail_s),
            "queue": took(spent.success, waited_s(spent)),
            "compute_input": took(spent.success, spent.read_s),
            "compute_infer": took(spent.executions, spent.infer_s),
            "compute_output": took(spent.success, spent.write_s),
            "cache_hit": took(0, 0),
            "cache_miss": took(0, 0),
        },
        "batch_stats": [],
    }


def _us(seconds: float) -> int:
    return int(1e6 * seconds)


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"


def _line(name: str, value: float, **labels: object) -> str:
    told = ",".join(f'{label}="{_escaped(str(each))}"' for label, each in labels.items())
    return f"{name}{{{told}}} {value}" if told else f"{name} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
