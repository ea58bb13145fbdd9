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
    "conclude",
    "latency_bucket",
    "latency_of",
    "latency_test",
    "log_mean_evidence",
    "mean_difference",
    "mean_within",
    "needed_for",
    "output_test",
    "share_test",
    "share_within",
    "silent",
    "slower_than",
]

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid

BURN_IN = 100
"""Units per arm below which `mean_difference` does not answer, because its guarantee is asymptotic."""

# Rate ratios to look for, fixed before any data. A wider or finer grid gains less than a nat.
_RATIOS = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 50.0])

# The number of units at which the confidence sequence of means is tightest; elsewhere it is a little wider.
_TUNED_FOR = 5_000

# How many units the Beta of `output_test` is worth: wide for great differences, narrow for small ones.
_WIDTHS = (10.0, 100.0, 1_000.0)

_FASTEST_MS, _PER_OCTAVE, _OCTAVES = 0.0625, 16, 20
# A tail is tested at every half octave: closer tails nearly repeat each other and dilute the average.
_TAILS = np.arange(_PER_OCTAVE // 2, _PER_OCTAVE * _OCTAVES, _PER_OCTAVE // 2)


class Finding(StrEnum):
    """What a comparison found.

    A test for harm finds `HARM` or `NO_HARM_SHOWN`. A test for what a promotion needs, such as non-inferiority, finds
    it `SHOWN` or `NOT_SHOWN`.
    """

    HARM = "harm"
    NO_HARM_SHOWN = "no_harm_shown"
    SHOWN = "shown"
    NOT_SHOWN = "not_shown"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a comparison found, and on what grounds.

    Attributes
    ----------
    subject : str
        What was compared.
    finding : Finding
        Harm, or shown, when `e_value` has reached `needed`.
    e_value : float
        Evidence of what is looked for: 1 says nothing, and the chance of ever reaching `needed` where it is not so is
        1/`needed` at most. At most 1e300.
    needed : float
    reason : str
        The observed numbers in words.
    version : int or None
        The challenger that was compared.
    """

    subject: str
    finding: Finding
    e_value: float
    needed: float
    reason: str
    version: int | None = None


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
    needed = needed_for(alpha)
    _check_counts(challenger, champion)
    log_e = float(_log_share_evidence(np.array([challenger]), np.array([champion]), rho)[0])
    failing = challenger + champion
    reason = f"{challenger} of {failing} failing units are the challenger's, which has {rho:.1%} of all units"
    return conclude("failing units", log_e, needed, reason)


def share_within(challenger: int, champion: int, rho: float, ratio: float, beta: float) -> Evidence:
    """Test whether units fail less than `ratio` times as often in the challenger as in the champion.

    The same two counts as in `share_test`, held against the other side: a failing unit is the challenger's with a
    chance of at least `ratio * rho / (ratio * rho + 1 - rho)` if the ratio of the rates is `ratio` or more.

    *Guarantee*: that of `share_test`: the chance of ever finding it shown where it is not so is at most `beta`.
    *Limits*: it takes failures in either arm to show anything, some five of them at a ratio of 2 and equal shares.

    Parameters
    ----------
    challenger, champion : int
        Failing units of each arm.
    rho : float
        The challenger's share of the units of both, above 0 and below 1.
    ratio : float
        That is to be excluded, above 1.
    beta : float
        Bounds the chance of a false finding, over all looks together.

    Returns
    -------
    Evidence
        `SHOWN` or `NOT_SHOWN`.

    Raises
    ------
    Invalid
        As for `share_test`.

    Examples
    --------
    >>> share_within(10, 30, rho=0.25, ratio=3.0, beta=0.05).finding
    <Finding.SHOWN: 'shown'>
    >>> share_within(0, 0, rho=0.25, ratio=3.0, beta=0.05).finding
    <Finding.NOT_SHOWN: 'not_shown'>
    """
    needed = needed_for(beta)
    _check_counts(challenger, champion)
    log_e = float(_log_share_evidence(np.array([challenger]), np.array([champion]), rho, against=ratio)[0])
    reason = (
        f"{challenger} of {challenger + champion} failing units are the challenger's, "
        f"where at {ratio:g} times the rate {ratio * rho / (ratio * rho + 1 - rho):.1%} would be"
    )
    return conclude("failing units", log_e, needed, reason, Finding.SHOWN)


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
    needed = needed_for(alpha)
    edges_ms, ours_above, ours = slower_than(challenger)
    _, theirs_above, theirs = slower_than(champion)
    if not ours or not theirs:
        return silent("latency", needed, f"latencies of {ours} and {theirs} units")
    log_e = _log_share_evidence(ours_above, theirs_above, rho)
    worst = int(log_e.argmax())
    reason = (
        f"above {edges_ms[worst]:.3g} ms are {ours_above[worst]} of {ours} of the challenger's units "
        f"and {theirs_above[worst]} of {theirs} of the champion's"
    )
    return conclude("latency", float(np.logaddexp.reduce(log_e)) - math.log(log_e.size), needed, reason)


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
    needed = needed_for(alpha)
    if not math.isfinite(margin):
        raise Invalid(f"A margin of {margin} cannot be compared with: give a number.")
    told, difference, spread = _difference(n1, sum1, sumsq1, n0, sum0, sumsq0)
    if difference is None:
        return silent("mean loss", needed, told)
    log_e = log_mean_evidence(difference - margin, spread, n1 + n0, alpha)
    return conclude("mean loss", log_e, needed, f"{told}, where {margin:g} more is tolerated")


def mean_within(
    n1: int, sum1: float, sumsq1: float, n0: int, sum0: float, sumsq0: float, within: float, beta: float
) -> Evidence:
    """Test whether the challenger's mean loss is less than `within` above the champion's.

    The other side of the confidence sequence of `mean_difference`, with its guarantee and limits: the chance of
    ever finding it shown, where the difference is `within` or more, tends to at most `beta`. With `within` = 0 that
    is a test for a challenger that is better.

    Parameters
    ----------
    n1, sum1, sumsq1, n0, sum0, sumsq0
        As for `mean_difference`.
    within : float
        The difference that is to be excluded.
    beta : float
        Bounds the chance of a false finding, over all looks together.

    Returns
    -------
    Evidence
        `SHOWN`, `NOT_SHOWN`, or of insufficient data.

    Raises
    ------
    Invalid
        As for `mean_difference`.

    Examples
    --------
    >>> mean_within(4000, 1200, 500, 4000, 1200, 500, within=0.05, beta=0.05).finding
    <Finding.SHOWN: 'shown'>
    >>> mean_within(100, 30, 12, 100, 30, 12, within=0.05, beta=0.05).finding
    <Finding.NOT_SHOWN: 'not_shown'>
    """
    needed = needed_for(beta)
    if not math.isfinite(within):
        raise Invalid(f"A margin of {within} cannot be compared with: give a number.")
    told, difference, spread = _difference(n1, sum1, sumsq1, n0, sum0, sumsq0)
    if difference is None:
        return silent("mean loss", needed, told)
    log_e = log_mean_evidence(within - difference, spread, n1 + n0, beta)
    return conclude(
        "mean loss", log_e, needed, f"{told}, where {within:g} more is to be excluded", Finding.SHOWN
    )


def log_mean_evidence(beyond: float, spread: float, units: int, alpha: float) -> float:
    """Log of the evidence that a mean lies above a limit: a half-normal mixture, tightest at 5,000 units [1]_.

    Parameters
    ----------
    beyond : float
        How far the observed mean, or difference of means, lies above the limit.
    spread : float
        Its squared standard error.
    units : int
        On how many observations it rests.
    alpha : float
        The level for which the mixture is tuned.

    References
    ----------
    .. [1] See `mean_difference`.
    """
    if spread <= 0:
        return math.inf if beyond > 0 else -math.inf
    tuning = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _TUNED_FOR
    widened = units * tuning + 1
    # In standard deviations of one observation, the sum of the units is units * beyond / sqrt(units * spread).
    half_square = units * tuning * beyond**2 / spread / (2 * widened)
    root = math.sqrt(half_square)
    if beyond > 0:
        below = math.log1p(-math.erfc(root) / 2) + math.log(2) + half_square
    elif root < 20:
        below = math.log(math.erfc(root)) + half_square
    else:
        below = -math.log(root * math.sqrt(math.pi))
    return below - math.log(widened) / 2


def output_test(
    challenger: Mapping[int, int], champion: Mapping[int, int], rho: float, alpha: float
) -> Evidence:
    """Test whether the arms' answers are distributed alike.

    Whatever the distribution, a unit's answer falls in the same bin in either arm if the versions answer alike, so
    that within each bin the arms are flips of one coin. The evidence is the likelihood ratio of Beta-Binomial
    counts with mean `rho` against Binomial ones, over all bins, averaged over three widths of the Beta.

    *Guarantee*: exact for any distribution, at any moment, for each unit counted once and the same `rho`
    throughout. *Limits*: differences within a bin are not seen; any difference between the versions is found in
    time, small ones too.

    Parameters
    ----------
    challenger, champion : mapping of int to int
        Units of each arm by the bin of their first answer.
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
    >>> output_test({0: 50}, {0: 50, 9: 100}, rho=0.25, alpha=0.05).finding
    <Finding.HARM: 'harm'>
    >>> output_test({0: 50, 9: 50}, {0: 150, 9: 150}, rho=0.25, alpha=0.05).finding
    <Finding.NO_HARM_SHOWN: 'no_harm_shown'>
    """
    needed = needed_for(alpha)
    _check_rho(rho)
    bins = sorted(challenger.keys() | champion.keys())
    counts = [(challenger.get(each, 0), champion.get(each, 0)) for each in bins]
    for ours, theirs in counts:
        _check_counts(ours, theirs)
    n1, n0 = sum(ours for ours, _ in counts), sum(theirs for _, theirs in counts)
    if not n1 or not n0:
        return silent("outputs", needed, f"answers of {n1} and {n0} units")
    logs = [sum(_log_beta_binomial(*pair, rho, width) for pair in counts) for width in _WIDTHS]
    log_e = float(np.logaddexp.reduce(logs)) - math.log(len(logs))
    shifts = [ours / n1 - theirs / n0 for ours, theirs in counts]
    worst = max(range(len(bins)), key=lambda index: abs(shifts[index]))
    reason = (
        f"{counts[worst][0] / n1:.1%} of the challenger's answers are in bin {bins[worst]}, "
        f"and {counts[worst][1] / n0:.1%} of the champion's"
    )
    return conclude("outputs", log_e, needed, reason)


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


def slower_than(counts: Mapping[int, int]) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Count units above each of the fixed latencies that are tested.

    Returns
    -------
    edges_ms : ndarray of float, shape (39,)
    slower : ndarray of int, shape (39,)
        Units above each.
    timed : int
        All of them.
    """
    levels = _histogram(counts)
    # Slower than the lower edge of bucket j: all units in bucket j and above.
    above = levels[::-1].cumsum()[::-1][_TAILS]
    return _FASTEST_MS * 2.0 ** (_TAILS / _PER_OCTAVE), above, int(levels.sum())


def latency_of(bucket: int) -> float:
    """Upper edge of a `latency_bucket`, in milliseconds.

    Examples
    --------
    >>> round(latency_of(63), 6), latency_of(319)
    (1.0, 65536.0)
    """
    return float(_FASTEST_MS * 2 ** ((bucket + 1) / _PER_OCTAVE))


def _log_share_evidence(
    challenger: NDArray[np.int64], champion: NDArray[np.int64], rho: float, against: float = 1.0
) -> NDArray[np.float64]:
    """Log of the grid mixture, for each pair of counts.

    Against a ratio of 1, it rises with the challenger's counts; against a greater one, it falls with them.
    """
    of_ours, of_theirs = _log_weights(rho, against)
    log_ratio = np.outer(challenger, of_ours) + np.outer(champion, of_theirs)
    return np.asarray(np.logaddexp.reduce(log_ratio, axis=1) - math.log(_RATIOS.size), np.float64)


@lru_cache(maxsize=64)
def _log_weights(rho: float, against: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a failing unit of the challenger, and one of the champion, add to the evidence for each ratio."""
    _check_rho(rho)
    null = against * rho / (against * rho + 1 - rho)
    ratios = _RATIOS if against == 1 else against / _RATIOS
    ours = ratios * rho / (ratios * rho + 1 - rho)
    return np.log(ours / null), np.log((1 - ours) / (1 - null))


def _log_beta_binomial(ours: int, theirs: int, rho: float, width: float) -> float:
    a, b = width * rho, width * (1 - rho)
    mixed = (
        math.lgamma(a + ours)
        + math.lgamma(b + theirs)
        - math.lgamma(a + b + ours + theirs)
        - math.lgamma(a)
        - math.lgamma(b)
        + math.lgamma(a + b)
    )
    return mixed - ours * math.log(rho) - theirs * math.log1p(-rho)


def _difference(
    n1: int, sum1: float, sumsq1: float, n0: int, sum0: float, sumsq0: float
) -> tuple[str, float | None, float]:
    """The difference of the means with its squared standard error, in words too; None where it cannot be told."""
    _check_counts(n1, n0)
    if min(n1, n0) < BURN_IN:
        return f"{n1} and {n0} units with a loss, of {BURN_IN} needed in each arm", None, 0.0
    if not all(map(math.isfinite, (sum1, sumsq1, sum0, sumsq0))):
        return "the sum of the losses is not a number", None, 0.0
    mean1, mean0 = sum1 / n1, sum0 / n0
    spread = max(0.0, sumsq1 / n1 - mean1**2) / n1 + max(0.0, sumsq0 / n0 - mean0**2) / n0
    return f"mean loss {mean1:.5g} on {n1} units against {mean0:.5g} on {n0}", mean1 - mean0, spread


def _histogram(counts: Mapping[int, int]) -> NDArray[np.int64]:
    levels = np.zeros(_PER_OCTAVE * _OCTAVES, np.int64)
    for bucket, units in counts.items():
        if not 0 <= bucket < levels.size:
            raise Invalid(f"There is no latency bucket {bucket}: use `latency_bucket`.")
        _check_counts(units, 0)
        levels[bucket] += units
    return levels


def needed_for(alpha: float) -> float:
    """Give the evidence that bounds the chance of a false finding by `alpha`."""
    if not 0 < alpha < 1:
        raise Invalid(f"No test errs with a chance of {alpha}: give an alpha above 0 and below 1.")
    return 1 / alpha


def _check_rho(rho: float) -> None:
    if not 0 < rho < 1:
        raise Invalid(f"A comparison at a share of {rho} is impossible: both arms must be served.")


def _check_counts(challenger: int, champion: int) -> None:
    if challenger < 0 or champion < 0:
        raise Invalid(f"{challenger} and {champion} are not counts of units: they start at 0.")


def conclude(
    subject: str, log_e: float, needed: float, reason: str, looked_for: Finding = Finding.HARM
) -> Evidence:
    """Compare the evidence with what is needed."""
    e_value = math.exp(log_e) if log_e < math.log(1e300) else 1e300
    otherwise = Finding.NO_HARM_SHOWN if looked_for is Finding.HARM else Finding.NOT_SHOWN
    finding = looked_for if e_value >= needed else otherwise
    return Evidence(subject=subject, finding=finding, e_value=e_value, needed=needed, reason=reason)


def silent(subject: str, needed: float, reason: str) -> Evidence:
    """Say that there is too little to go by, which speaks for nothing."""
    return Evidence(
        subject=subject, finding=Finding.INSUFFICIENT_DATA, e_value=1.0, needed=needed, reason=reason
    )
