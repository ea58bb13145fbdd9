"""Comparisons with the time before a switch: arms that follow one another instead of standing side by side.

The coin that assigns units is not there, so these rest on an assumption that the concurrent tests do without: that the
champion would have gone on as it was. Under it they are as free to be asked at any moment.

Each is the product of two pieces of evidence about a common rate or mean: that what came after the switch lies
above it, and that the reference lies below it. The product is taken at the value of that rate or mean which speaks
most for the challenger, so the reference's own sampling error is inside the promise.
"""

from __future__ import annotations

__all__ = ["latency_after", "mean_after", "share_after"]

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mainspring.rollouts.comparison import (
    BURN_IN,
    Evidence,
    conclude,
    log_mean_evidence,
    needed_for,
    silent,
    slower_than,
)
from mainspring.rollouts.observed import ArmCounts

# Odds ratios to look for, fixed before any data.
_ODDS = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0])
_CELLS = 400
_EVERYWHERE = 1 / (1 + np.exp(-np.linspace(-12, 12, 200)))


def share_after(failing: int, units: int, failing_before: int, units_before: int, alpha: float) -> Evidence:
    """Test whether units fail more often than they did before the switch.

    For a common rate p, the evidence that units fail more often than p is the likelihood ratio of a rate with odds
    r times those of p, averaged over a grid of r, which falls as p rises; the evidence that the reference fails
    less often than p is the same with 1/r, and rises. So between two neighbouring values of p the product is at
    least that of the one at the upper end and the other at the lower: the least of these, over cells that cover all
    rates, is below the product at the true rate.

    *Guarantee*: a chance of at most `alpha` of ever finding harm, at any number of units and moments, for a rate of
    failures after the switch that is never above the one before, with independent units.

    Parameters
    ----------
    failing, units : int
        After the switch.
    failing_before, units_before : int
        Before it, in the champion.
    alpha : float

    Examples
    --------
    >>> share_after(30, 100, 50, 1000, alpha=0.05).finding
    <Finding.HARM: 'harm'>
    >>> share_after(5, 100, 50, 1000, alpha=0.05).finding
    <Finding.NO_HARM_SHOWN: 'no_harm_shown'>
    """
    needed = needed_for(alpha)
    if not units or not units_before:
        return silent("failing units", needed, f"{units} units after the switch and {units_before} before it")
    log_e = _log_rate_evidence(failing, units, failing_before, units_before)
    reason = f"{failing} of {units} units fail, against {failing_before} of {units_before} before the switch"
    return conclude("failing units", log_e, needed, reason)


def latency_after(after: Mapping[int, int], before: Mapping[int, int], alpha: float) -> Evidence:
    """Test whether units are slow more often than before the switch, at any level of slowness.

    The average, over the fixed latencies of `mainspring.rollouts.comparison.latency_test`, of the evidence of
    `share_after`, with its guarantee.

    Parameters
    ----------
    after, before : mapping of int to int
        Units by `latency_bucket`.
    alpha : float
    """
    needed = needed_for(alpha)
    edges_ms, slow, timed = slower_than(after)
    _, slow_before, timed_before = slower_than(before)
    if not timed or not timed_before:
        return silent("latency", needed, f"latencies of {timed} and {timed_before} units")
    logs = [
        _log_rate_evidence(int(ours), timed, int(theirs), timed_before)
        for ours, theirs in zip(slow, slow_before, strict=True)
    ]
    worst = int(np.argmax(logs))
    reason = (
        f"above {edges_ms[worst]:.3g} ms are {slow[worst]} of {timed} units, "
        f"against {slow_before[worst]} of {timed_before} before the switch"
    )
    return conclude("latency", float(np.logaddexp.reduce(logs)) - math.log(len(logs)), needed, reason)


def mean_after(
    arm: ArmCounts, before: ArmCounts, metric: str, margin: float, alpha: float, sign: int = 1
) -> Evidence:
    """Test whether a mean is above the one before the switch by more than a margin.

    As `share_after`, with the one-sided asymptotic confidence sequences of two means in place of the likelihood
    ratios, and so asymptotic.

    Parameters
    ----------
    arm, before : ArmCounts
    metric : str
    margin : float
    alpha : float
    sign : int
        1 where more is worse, -1 where less is.
    """
    needed = needed_for(alpha)
    now, then = arm.metric(metric), before.metric(metric)
    n1, n0 = (now.units if now else 0), (then.units if then else 0)
    if now is None or then is None or min(n1, n0) < BURN_IN:
        return silent(metric, needed, f"{n1} and {n0} units with a {metric}, of {BURN_IN} needed in each")
    if not all(map(math.isfinite, (now.total, now.squares, then.total, then.squares))):
        return silent(metric, needed, f"the sum of {metric} is not a number")
    mean1, mean0 = sign * now.total / n1, sign * then.total / n0
    spread1 = max(0.0, now.squares / n1 - mean1**2) / n1
    spread0 = max(0.0, then.squares / n0 - mean0**2) / n0
    reason = (
        f"mean {metric} {sign * mean1:.5g} on {n1} units, against {sign * mean0:.5g} on {n0} before the switch, "
        f"where {margin:g} is tolerated"
    )
    if mean1 - margin <= mean0:
        return conclude(metric, 0.0, needed, reason)
    # The logarithm of the product is convex: its least lies here, between the means or close to them.
    cuts = np.linspace(mean0 - 6 * math.sqrt(spread0), mean1 - margin + 6 * math.sqrt(spread1), _CELLS + 1)
    log_e = min(
        log_mean_evidence(mean1 - margin - float(upper), spread1, n1, alpha)
        + log_mean_evidence(float(lower) - mean0, spread0, n0, alpha)
        for lower, upper in pairwise(cuts)
    )
    return conclude(metric, log_e, needed, reason)


def _log_rate_evidence(failing: int, units: int, failing_before: int, units_before: int) -> float:
    rate, rate_before = failing / units, failing_before / units_before
    # The cells may depend on the data: the bound holds for any that cover [0, 1].
    sd = math.sqrt(rate_before * (1 - rate_before) / units_before) + 1 / units_before
    low, high = sorted((rate_before, rate))
    near = np.linspace(max(0.0, low - 6 * sd), min(1.0, high + 6 * sd), _CELLS)
    cuts = np.unique(np.concatenate([[0.0], near, _EVERYWHERE, [1.0]]))
    above = _log_odds_evidence(failing, units, cuts[1:], _ODDS)
    below = _log_odds_evidence(failing_before, units_before, cuts[:-1], 1 / _ODDS)
    return float((above + below).min())


def _log_odds_evidence(
    failing: int, units: int, rates: NDArray[np.float64], odds: NDArray[np.float64]
) -> NDArray[np.float64]:
    # With odds r times those of p, the likelihood ratio is r^k / (1 + p (r - 1))^n.
    logs = failing * np.log(odds)[:, None] - units * np.log1p(rates * (odds - 1)[:, None])
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - math.log(odds.size), np.float64)
