"""Intervals that hold at every moment at once: what the data so far have not excluded.

They are the other face of the tests in `comparison`: an interval leaves out a value when the evidence against it has
reached 1/`alpha`, so that one may look after every unit and stop when one likes.
"""

from __future__ import annotations

__all__ = ["Interval", "bounded_mean", "mean", "mean_difference_interval"]

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid

# Shares of the capital that are bet, fixed before any data: small ones for many units, great ones for few.
_STAKES = np.geomspace(3e-4, 0.98, 12)

# Observations are counted in so many levels of their range, each rounded outward: what is told is wider, never wrong.
_LEVELS = 2**14

# The number of units at which asymptotic intervals are tightest, as in `comparison`.
_TUNED_FOR = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimated mean, and the values that are not excluded.

    Attributes
    ----------
    estimate : float
        The observed mean.
    low, high : float
        The chance that they *ever* leave the true mean out is at most `alpha`.
    units : int
        On how many observations it rests.
    alpha : float
    exact : bool
        Whether that holds at any number of units. Otherwise it holds in the limit of many.
    """

    estimate: float
    low: float
    high: float
    units: int
    alpha: float
    exact: bool

    def __str__(self) -> str:
        return f"{self.estimate:+.4g} ({self.low:+.4g} to {self.high:+.4g})"


def bounded_mean(values: NDArray[np.float64], *, low: float, high: float, alpha: float) -> Interval:
    """Mean of observations that lie in a known range, with an interval by betting [1]_.

    A gambler bets against each candidate for the mean, on each side, with 12 fixed shares of the capital at once; a
    candidate against which the capital has grown 2/`alpha`-fold is out. It is a function of how many observations lie
    on each of 16,384 levels, so order and partition do not matter.

    *Guarantee*: exact for any law on the range, at any moment. *Limits*: the observations of different units must not
    depend on each other; it is wider than an interval whose bets follow the data, by the price of 12 bets at once.

    Parameters
    ----------
    values : ndarray of float, shape (n_units,)
        One per unit.
    low, high : float
        The range.
    alpha : float

    Returns
    -------
    Interval
        The whole range where there are no observations, with an estimate of NaN.

    Raises
    ------
    Invalid
        An observation is outside of the range or not a number, or `alpha` outside of (0, 1).

    References
    ----------
    .. [1] I. Waudby-Smith, A. Ramdas (2023). Estimating means of bounded random variables by betting. J. R. Stat. Soc.
       B 86, 1-27 (with a mixture over fixed bets, as in its section 4.2, in place of ones that follow the data).

    Examples
    --------
    >>> found = bounded_mean(np.repeat([0.0, 1.0], [970, 30]), low=0, high=1, alpha=0.05)
    >>> found.estimate, round(found.low, 3), round(found.high, 3)
    (0.03, 0.015, 0.053)
    """
    _check_alpha(alpha)
    if not low < high:
        raise Invalid(f"No observation lies in a range from {low} to {high}.")
    if not np.all((values >= low) & (values <= high)):
        raise Invalid(f"Observations must be numbers from {low} to {high}.")
    if not values.size:
        return Interval(estimate=math.nan, low=low, high=high, units=0, alpha=alpha, exact=True)
    scaled = (values - low) / (high - low) * _LEVELS
    below = _lower(np.floor(scaled), 2 / alpha)
    above = 1.0 - _lower(_LEVELS - np.ceil(scaled), 2 / alpha)
    return Interval(
        estimate=math.fsum(values) / values.size,
        low=low + below * (high - low),
        high=low + above * (high - low),
        units=int(values.size),
        alpha=alpha,
        exact=True,
    )


def mean(units: int, total: float, squares: float, alpha: float) -> Interval:
    """Mean of observations without a known range, with an asymptotic confidence sequence [1]_.

    *Guarantee*: asymptotic, for independent units with a finite variance. *Limits*: ask for at least
    `comparison.BURN_IN` units; a variance that comes from one unit in thousands needs more.

    Parameters
    ----------
    units : int
        At least 1.
    total, squares : float
        Sum, and sum of squares, of the observations: one per unit.
    alpha : float

    Returns
    -------
    Interval

    References
    ----------
    .. [1] I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas (2024). Time-uniform central limit theory and
       asymptotic confidence sequences. Ann. Stat. 52, 2613-2640; arXiv:2103.06476.

    Examples
    --------
    >>> found = mean(10_000, 300.0, 400.0, alpha=0.05)
    >>> found.estimate, round(found.low, 3), round(found.high, 3)
    (0.03, 0.024, 0.036)
    """
    estimate = total / units
    variance = max(0.0, squares / units - estimate**2)
    radius = _radius(variance / units, units, alpha)
    return Interval(
        estimate=estimate,
        low=estimate - radius,
        high=estimate + radius,
        units=units,
        alpha=alpha,
        exact=False,
    )


def mean_difference_interval(
    n1: int, sum1: float, sumsq1: float, n0: int, sum0: float, sumsq0: float, alpha: float
) -> Interval:
    """Difference of two arms' means, with the interval of which `comparison.mean_difference` tests one side.

    Parameters
    ----------
    n1, n0 : int
        Units in the challenger and in the champion, at least 1.
    sum1, sum0, sumsq1, sumsq0 : float
        Sum, and sum of squares, of the units' values.
    alpha : float

    Returns
    -------
    Interval
        Of the challenger's mean less the champion's.

    Examples
    --------
    >>> found = mean_difference_interval(9_000, 2_700.0, 1_800.0, 9_000, 2_900.0, 1_900.0, alpha=0.05)
    >>> found.high < 0
    True
    """
    mean1, mean0 = sum1 / n1, sum0 / n0
    spread = max(0.0, sumsq1 / n1 - mean1**2) / n1 + max(0.0, sumsq0 / n0 - mean0**2) / n0
    radius = _radius(spread, n1 + n0, alpha)
    estimate = mean1 - mean0
    return Interval(
        estimate=estimate,
        low=estimate - radius,
        high=estimate + radius,
        units=n1 + n0,
        alpha=alpha,
        exact=False,
    )


def _lower(levels: NDArray[np.float64], needed: float) -> float:
    """The least mean, of observations in [0, 1] given by their level, against which the evidence is too small."""
    at, counts = np.unique(levels, return_counts=True)
    observed = at / _LEVELS

    def log_evidence(candidate: float) -> float:
        gains = np.log1p(_STAKES[:, None] * (observed / candidate - 1.0)) @ counts
        return float(np.logaddexp.reduce(gains)) - math.log(_STAKES.size)

    # The evidence falls as the candidate rises, and by Jensen's inequality it is below 1 at the observed mean.
    low, high = 0.0, float(observed @ counts / counts.sum())
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if log_evidence(middle) >= math.log(needed) else (low, middle)
    return low


def _radius(spread: float, units: int, alpha: float) -> float:
    _check_alpha(alpha)
    tuning = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _TUNED_FOR
    widened = units * tuning + 1
    return math.sqrt(spread * 2 * widened / (units * tuning) * math.log(math.sqrt(widened) / alpha))


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise Invalid(f"No interval errs with a chance of {alpha}: give an alpha above 0 and below 1.")
