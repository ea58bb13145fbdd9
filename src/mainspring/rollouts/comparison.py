"""Sequential tests between two arms that are served at the same time.

Each is a function of counts (or sums) per arm and may be asked at any moment, as often as wanted: its
evidence is an e-value, whose chance of *ever* reaching 1/alpha is at most alpha when the challenger does no
harm (Ville's inequality).

One observation per unit. The unit is the sticky key of the split, and each counts once in the arm that its
hash says, however often it asks. Requests of one unit are alike, so counting requests would find harm where
there is none: at a nominal 5 % such a test rolled back 12 % of harmless challengers, and a repeated z-test 47
%.
"""

from __future__ import annotations

__all__ = [
    "BURN_IN",
    "Evidence",
    "Finding",
    "latency_bucket",
    "latency_test",
    "mean_difference",
    "share_test",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid

BURN_IN = 100
"""Units per arm below which `mean_difference` does not answer, because its guarantee is asymptotic."""

# Rate ratios to look for, fixed before any data. A wider or finer grid gains less than a nat.
_RATIOS = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0])

# The number of units at which the confidence sequence of means is tightest; elsewhere it is a little wider.
_TUNED_FOR = 5_000

_FASTEST_MS, _PER_OCTAVE, _OCTAVES = 0.0625, 16, 20
# A tail is tested at every half octave: closer tails nearly repeat each other and dilute the average.
_TAILS = np.arange(_PER_OCTAVE // 2, _PER_OCTAVE * _OCTAVES, _PER_OCTAVE // 2)


class Finding(StrEnum):
    """What a comparison found."""

    HARM = "harm"
    NO_HARM_SHOWN = "no_harm_shown"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a comparison found, and on what grounds.

    Attributes
    ----------
    subject : str
        What was compared.
    finding : Finding
        Harm when `e_value` has reached `needed`.
    e_value : float
        Evidence of harm: 1 says nothing, and the chance of ever reaching `needed` without harm is 1/`needed`
        at most. At most 1e300.
    needed : float
    reason : str
        The observed numbers in words.
    """

    subject: str
    finding: Finding
    e_value: float
    needed: float
    reason: str


def share_test(challenger: int, champion: int, rho: float, alpha: float) -> Evidence:
    """Test whether units fail more often in the challenger than in the champion.

    Under no harm, a failing unit is the challenger's with a chance of at most its share `rho`, as if by one
    flip of a coin. The evidence is the likelihood ratio of those flips, averaged over a fixed grid of rate
    ratios above 1 [1]_.

    *Guarantee*: exact at any number of units and any moment, also while the rate of failures changes over
    time, for each unit counted once and the same `rho` throughout. *Limits*: it relies on the split having
    been as declared, and it needs failures: by itself, no failures anywhere is no harm shown, so ask for a
    minimum of units beside it.

    Parameters
    ----------
    challenger, champion : int
        Failing units of each arm.
    rho : float
        The challenger's share of all units, above 0 and below 1.
    alpha : float
        Bounds the chance of a false finding of harm, over all looks together.

    Returns
    -------
    Evidence
        Never of insufficient data.

    Raises
    ------
    Invalid
        A negative count, or `rho` or `alpha` outside of (0, 1).

    References
    ----------
    .. [1] M. Lindon, A. Malek (2022). Anytime-valid inference for multinomial count data. NeurIPS 35;
       arXiv:2011.03567 (with a grid in place of the Beta mixture, to look on the side of harm alone).

    Examples
    --------
    >>> share_test(5, 0, rho=0.25, alpha=0.05).finding
    <Finding.HARM: 'harm'>
    >>> share_test(5, 15, rho=0.25, alpha=0.05).finding
    <Finding.NO_HARM_SHOWN: 'no_harm_shown'>
    """
    needed = _needed(alpha)
    _check_counts(challenger, champion)
    log_e = float(_log_share_evidence(np.array([challenger]), np.array([champion]), rho)[0])
    failing = challenger + champion
    reason = f"{challenger} of {failing} failing units are the challenger's, which has {rho:.1%} of all units"
    return _conclude("failing units", log_e, needed, reason)


def latency_test(
    challenger: Mapping[int, int], champion: Mapping[int, int], rho: float, alpha: float
) -> Evidence:
    """Test whether units are slow more often in the challenger, at any level of slowness.

    For each of 39 fixed latencies, half an octave apart, it compares who is slower than that, as `share_test`
    does, and averages the evidence; an average of e-values is one.

    *Guarantee*: that of `share_test`, for no harm meaning that at every latency the challenger is slower no
    more often. *Limits*: a shift of less than half an octave shows only through the shares of units that
    cross a tested latency.

    Parameters
    ----------
    challenger, champion : mapping of int to int
        Units of each arm by the `latency_bucket` of their first request.
    rho, alpha : float
        As for `share_test`.

    Returns
    -------
    Evidence
        Of insufficient data when an arm has no units.

    Raises
    ------
    Invalid
        As for `share_test`.

    Examples
    --------
    >>> quick, slow = latency_bucket(2.0), latency_bucket(9.0)
    >>> latency_test({slow: 40}, {quick: 110, slow: 10}, rho=0.25, alpha=0.05).finding
    <Finding.HARM: 'harm'>
    """
    needed = _needed(alpha)
    ours, theirs = _histogram(challenger), _histogram(champion)
    if not ours.any() or not theirs.any():
        return _silent("latency", needed, f"latencies of {ours.sum()} and {theirs.sum()} units")
    # Slower than the lower edge of bucket j: all units in bucket j and above.
    ours_above, theirs_above = ours[::-1].cumsum()[::-1][_TAILS], theirs[::-1].cumsum()[::-1][_TAILS]
    log_e = _log_share_evidence(ours_above, theirs_above, rho)
    worst = int(log_e.argmax())
    edge_ms = _FASTEST_MS * 2 ** (_TAILS[worst] / _PER_OCTAVE)
    reason = (
        f"above {edge_ms:.3g} ms are {ours_above[worst]} of {ours.sum()} of the challenger's units "
        f"and {theirs_above[worst]} of {theirs.sum()} of the champion's"
    )
    return _conclude("latency", float(np.logaddexp.reduce(log_e)) - math.log(log_e.size), needed, reason)


def mean_difference(
    n1: int, sum1: float, sumsq1: float, n0: int, sum0: float, sumsq0: float, margin: float, alpha: float
) -> Evidence:
    """Test whether the challenger's mean loss is above the champion's by more than a margin.

    The difference of the arms' means is that of the treatment effect estimated with arm means as outcome
    models; its one-sided asymptotic confidence sequence, from a half-normal mixture, is read as evidence
    [1]_.

    *Guarantee*: asymptotic, so no answer before `BURN_IN` units per arm; then the chance of ever finding harm
    where there is none tends to at most alpha, for independent units with a finite variance. *Limits*: losses
    whose variance comes from one unit in thousands need a longer burn-in; what stands for a unit must not be
    revised later.

    Parameters
    ----------
    n1, n0 : int
        Units with a loss, in the challenger and in the champion.
    sum1, sum0, sumsq1, sumsq0 : float
        Sum, and sum of squares, of the units' losses: one loss per unit, such as that of its first labelled
        request.
    margin : float
        The difference that is tolerated.
    alpha : float
        Bounds the chance of a false finding of harm, over all looks together.

    Returns
    -------
    Evidence

    Raises
    ------
    Invalid
        A negative count, a margin that is not finite, or `alpha` outside of (0, 1).

    References
    ----------
    .. [1] I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas (2024). Time-uniform central limit
       theory and asymptotic confidence sequences. Ann. Stat. 52, 2613-2640; arXiv:2103.06476.

    Examples
    --------
    >>> mean_difference(400, 200, 140, 1200, 360, 150, margin=0.01, alpha=0.05).finding
    <Finding.HARM: 'harm'>
    >>> mean_difference(20, 10, 7, 1200, 360, 150, margin=0.01, alpha=0.05).finding
    <Finding.INSUFFICIENT_DATA: 'insufficient_data'>
    """
    needed = _needed(alpha)
    _check_counts(n1, n0)
    if not math.isfinite(margin):
        raise Invalid(f"A margin of {margin} cannot be compared with: give a number.")
    if min(n1, n0) < BURN_IN:
        return _silent(
            "mean loss", needed, f"{n1} and {n0} units with a loss, of {BURN_IN} needed in each arm"
        )
    if not all(map(math.isfinite, (sum1, sumsq1, sum0, sumsq0))):
        return _silent("mean loss", needed, "the sum of the losses is not a number")
    mean1, mean0 = sum1 / n1, sum0 / n0
    spread = max(0.0, sumsq1 / n1 - mean1**2) / n1 + max(0.0, sumsq0 / n0 - mean0**2) / n0
    beyond = mean1 - mean0 - margin
    reason = (
        f"mean loss {mean1:.5g} on {n1} units against {mean0:.5g} on {n0}, where {margin:g} more is tolerated"
    )
    if beyond <= 0:
        return _conclude("mean loss", 0.0, needed, reason)
    if spread == 0:
        return _conclude("mean loss", math.inf, needed, reason)
    t = n1 + n0
    tuning = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _TUNED_FOR
    widened = t * tuning + 1
    # In standard deviations of one observation, the sum of t of them is t * beyond / sqrt(t * spread).
    half_square = t * tuning * beyond**2 / spread / (2 * widened)
    log_e = math.log(2) - math.log(widened) / 2 + half_square + math.log1p(-math.exp(-half_square) / 2)
    return _conclude("mean loss", log_e, needed, reason)


def latency_bucket(latency_ms: float) -> int:
    """Bucket of a latency: 16 to the octave (4.4 % wide), from 1/16 ms to 65 s.

    Quicker ones are in the first bucket, slower ones in the last.

    Examples
    --------
    >>> latency_bucket(0.01), latency_bucket(1.0), latency_bucket(2.0), latency_bucket(1e9)
    (0, 64, 80, 319)
    """
    if not latency_ms >= 0:
        raise Invalid(f"A latency of {latency_ms} ms is impossible: give a number from 0.")
    if latency_ms <= _FASTEST_MS:
        return 0
    if latency_ms >= _FASTEST_MS * 2**_OCTAVES:
        return _PER_OCTAVE * _OCTAVES - 1
    return int(math.log2(latency_ms / _FASTEST_MS) * _PER_OCTAVE)


def _log_share_evidence(
    challenger: NDArray[np.int64], champion: NDArray[np.int64], rho: float
) -> NDArray[np.float64]:
    """Log of the grid mixture, for each pair of counts: it rises with the challenger's counts."""
    if not 0 < rho < 1:
        raise Invalid(f"A comparison at a share of {rho} is impossible: both arms must be served.")
    ours = rho * _RATIOS / (rho * _RATIOS + 1 - rho)
    log_ratio = np.outer(challenger, np.log(ours / rho)) + np.outer(champion, np.log((1 - ours) / (1 - rho)))
    return np.asarray(np.logaddexp.reduce(log_ratio, axis=1) - math.log(_RATIOS.size), np.float64)


def _histogram(counts: Mapping[int, int]) -> NDArray[np.int64]:
    levels = np.zeros(_PER_OCTAVE * _OCTAVES, np.int64)
    for bucket, units in counts.items():
        if not 0 <= bucket < levels.size:
            raise Invalid(f"There is no latency bucket {bucket}: use `latency_bucket`.")
        _check_counts(units, 0)
        levels[bucket] += units
    return levels


def _needed(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise Invalid(f"No test errs with a chance of {alpha}: give an alpha above 0 and below 1.")
    return 1 / alpha


def _check_counts(challenger: int, champion: int) -> None:
    if challenger < 0 or champion < 0:
        raise Invalid(f"{challenger} and {champion} are not counts of units: they start at 0.")


def _conclude(subject: str, log_e: float, needed: float, reason: str) -> Evidence:
    e_value = math.exp(log_e) if log_e < math.log(1e300) else 1e300
    finding = Finding.HARM if e_value >= needed else Finding.NO_HARM_SHOWN
    return Evidence(subject=subject, finding=finding, e_value=e_value, needed=needed, reason=reason)


def _silent(subject: str, needed: float, reason: str) -> Evidence:
    return Evidence(
        subject=subject, finding=Finding.INSUFFICIENT_DATA, e_value=1.0, needed=needed, reason=reason
    )
