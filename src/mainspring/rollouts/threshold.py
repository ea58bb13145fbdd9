"""Thresholds in place of tests: measurements from time to time, and what follows from them.

The algebra and its words are those of Argo Rollouts' analysis [1]_: each measurement is successful, failed,
inconclusive or an error, and limits say how many of each kind are tolerated.

References
----------
.. [1] argoproj/argo-rollouts, `docs/features/analysis.md` and `analysis/analysis.go` (`assessMetricStatus`).
"""

from __future__ import annotations

__all__ = ["Assessment", "Measurement", "Outcome", "Result", "assess", "due", "judge", "measure", "name_of"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.rollouts.comparison import latency_of
from mainspring.strategy import Threshold

if TYPE_CHECKING:
    from mainspring.rollouts.observed import ArmCounts

_QUANTILES = {"latency_p50_ms": 0.50, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}


class Result(StrEnum):
    """What one measurement came to."""

    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class Outcome(StrEnum):
    """What a threshold's measurements come to so far."""

    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A metric at a moment.

    Attributes
    ----------
    at : datetime
    value : float or None
        None where no number came of it.
    result : Result
    """

    at: datetime
    value: float | None
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a threshold's measurements come to, and why."""

    outcome: Outcome
    reason: str


def assess(threshold: Threshold, measurements: Sequence[Measurement]) -> Assessment:
    """Say what a threshold's measurements come to.

    More failed ones than `failure_limit` fail it; more inconclusive ones than `inconclusive_limit` leave it
    inconclusive; more errors in a row than `consecutive_error_limit` are an error. Otherwise it is successful once
    it has `count` measurements, errors not counted, or, without a count, once one was successful; and running
    before.

    Parameters
    ----------
    threshold : Threshold
    measurements : sequence of Measurement
        Of the present step, oldest first.

    Returns
    -------
    Assessment

    Examples
    --------
    >>> limit = Threshold("error_rate", at_most=0.01, failure_limit=1, count=3)
    >>> noon = datetime(2013, 2, 1, 12)
    >>> failed = Measurement(at=noon, value=0.02, result=Result.FAILED)
    >>> assess(limit, [failed]).outcome, assess(limit, [failed, failed]).outcome
    (<Outcome.RUNNING: 'running'>, <Outcome.FAILED: 'failed'>)
    """
    results = [each.result for each in measurements]
    failed, unclear = results.count(Result.FAILED), results.count(Result.INCONCLUSIVE)
    errors = 0
    for result in reversed(results):
        if result is not Result.ERROR:
            break
        errors += 1
    if failed > threshold.failure_limit:
        reason = f"failed ({failed}) > failure_limit ({threshold.failure_limit})"
        return Assessment(outcome=Outcome.FAILED, reason=f"{reason}{_last(measurements, Result.FAILED)}")
    if errors > threshold.consecutive_error_limit:
        reason = (
            f"consecutive errors ({errors}) > consecutive_error_limit ({threshold.consecutive_error_limit})"
        )
        return Assessment(outcome=Outcome.ERROR, reason=reason)
    if unclear > threshold.inconclusive_limit:
        reason = f"inconclusive ({unclear}) > inconclusive_limit ({threshold.inconclusive_limit})"
        return Assessment(
            outcome=Outcome.INCONCLUSIVE, reason=f"{reason}{_last(measurements, Result.INCONCLUSIVE)}"
        )
    taken, good = len(results) - results.count(Result.ERROR), results.count(Result.SUCCESSFUL)
    needed = threshold.count or 1
    reason = f"{good} successful of {taken} measurements"
    if good and (taken >= needed if threshold.count is not None else True):
        return Assessment(outcome=Outcome.SUCCESSFUL, reason=reason)
    return Assessment(outcome=Outcome.RUNNING, reason=f"{reason}, of {needed} needed")


def due(threshold: Threshold, measurements: Sequence[Measurement], began: datetime, now: datetime) -> bool:
    """Say whether it is time for the next measurement; at most one is due at a time, whatever was missed.

    Parameters
    ----------
    threshold : Threshold
    measurements : sequence of Measurement
        Of the present step, oldest first.
    began, now : datetime
        When the step began, and the present moment.
    """
    taken = sum(each.result is not Result.ERROR for each in measurements)
    if threshold.count is not None and taken >= threshold.count:
        return False
    if not measurements:
        return now - began >= parse_duration(threshold.initial_delay)
    return now - measurements[-1].at >= parse_duration(threshold.interval)


def judge(threshold: Threshold, value: float, at: datetime) -> Measurement:
    """Hold a value against the limit; one that is no number is an error.

    Examples
    --------
    >>> limit = Threshold("error_rate", at_most=0.01, grace=0.01)
    >>> [judge(limit, value, datetime(2013, 2, 1)).result.value for value in (0.01, 0.015, 0.03, math.nan)]
    ['successful', 'inconclusive', 'failed', 'error']
    """
    if not math.isfinite(value):
        return Measurement(at=at, value=None, result=Result.ERROR)
    beyond = max(
        value - threshold.at_most if threshold.at_most is not None else -math.inf,
        threshold.at_least - value if threshold.at_least is not None else -math.inf,
    )
    if beyond > threshold.grace:
        return Measurement(at=at, value=value, result=Result.FAILED)
    return Measurement(at=at, value=value, result=Result.INCONCLUSIVE if beyond > 0 else Result.SUCCESSFUL)


def measure(metric: str, arm: ArmCounts) -> float | None:
    """Measure a metric of an arm; None where there are no units to measure it on.

    Examples
    --------
    >>> from mainspring.rollouts import ArmCounts
    >>> measure("error_rate", ArmCounts(units=200, failing=3)), measure("revenue", ArmCounts(units=200))
    (0.015, None)
    """
    if metric == "error_rate":
        return arm.failing / arm.units if arm.units and arm.failing is not None else None
    if metric in _QUANTILES:
        timed = sum(arm.latencies.values())
        rank, passed = _QUANTILES[metric] * timed, 0
        for bucket, units in sorted(arm.latencies.items()):
            passed += units
            if passed >= rank:
                return latency_of(bucket)
        return None
    sums = arm.metric(metric)
    return sums.total / sums.units if sums is not None and sums.units else None


def name_of(threshold: Threshold) -> str:
    """Name a threshold by its metric and limits, which tell those of one rollout apart.

    Examples
    --------
    >>> name_of(Threshold("error_rate", at_most=0.01))
    'Threshold(error_rate <= 0.01)'
    """
    limits = [
        f"{sign} {limit:g}"
        for sign, limit in (("<=", threshold.at_most), (">=", threshold.at_least))
        if limit is not None
    ]
    return f"Threshold({threshold.metric} {' and '.join(limits)})"


def _last(measurements: Sequence[Measurement], result: Result) -> str:
    value = next(each.value for each in reversed(measurements) if each.result is result)
    return "" if value is None else f"; the last measured {value:.4g}"
