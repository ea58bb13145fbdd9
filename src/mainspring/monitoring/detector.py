"""The one primitive behind every alarm: a one-sided bounded-mean e-detector over integer count tables.

A *stream* is a number in [0, 1] per row (a loss, an indicator) of which only the counts per level are kept: one
table for the reference, one for each check since. A detector weighs how strongly the tables say that the mean has
risen above the reference's by more than a tolerance; or above a mean that is allowed, or above that of a control whose
rows come at the same time. It is a pure function of the tables: rows may come in any order, partitions add up, and a
stored alarm can be replayed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import compress
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid

__all__ = [
    "NO_EVIDENCE",
    "Budget",
    "Detector",
    "Evidence",
    "InvalidBudget",
    "InvalidStream",
    "Outcome",
    "Stream",
    "WindowedBetting",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class InvalidStream(Invalid):
    """A stream whose tables do not fit together."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return (
            f"Stream {self.name!r} cannot be weighed: {self.reason}. Give each stream its own name, a tolerance "
            "in [0, 1), and one count per level with 0 <= lower <= upper <= 1, for the reference and every check."
        )


class InvalidBudget(Invalid):
    """A budget of false alarms that promises nothing."""

    def __init__(self, checks: int, alarms: float) -> None:
        super().__init__(checks, alarms)
        self.checks, self.alarms = checks, alarms

    def __str__(self) -> str:
        return (
            f"A budget of {self.alarms} alarms in {self.checks} checks makes no promise: both must be above zero "
            "and finite. For one false alarm in twenty periods of 60 checks, say Budget(checks=60, alarms=0.05)."
        )


class Outcome(Enum):
    """What the evidence says."""

    QUIET = "quiet"
    ALARM = "alarm"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One bounded number per row, as counts per level.

    Parameters
    ----------
    name : str
        What rose if this stream alarms, for people; one of a kind within a call.
    column : str
        The column, or the loss, that it was taken from.
    lower, upper : tuple of float, shape (n_levels,)
        Smallest and largest value of a row in each level, in [0, 1]; equal for exact levels such as 0 and 1.
    reference : tuple of int, shape (n_levels,)
        Rows of the reference in each level; none where the mean is compared with something else.
    checks : tuple of tuple of int, shape (n_checks, n_levels)
        Rows of each check since the reference, oldest first. A check may be empty.
    tolerance : float
        Rise of the mean that is not worth an alarm, on the scale of the levels.
    allowed : float, optional
        In place of a reference, the mean up to which nothing is wrong, on that scale.
    beside : tuple of tuple of int, shape (n_checks, n_levels), optional
        In place of a reference, rows of a control in each check: other rows that came at the same time.

    Raises
    ------
    InvalidStream
        The tables do not fit together.
    """

    name: str
    column: str
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    reference: tuple[int, ...]
    checks: tuple[tuple[int, ...], ...]
    tolerance: float
    allowed: float | None = None
    beside: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        levels = len(self.lower)
        tables = (self.reference, *self.checks, *(self.beside or ()))
        if levels == 0 or any(len(table) != levels for table in (self.upper, *tables)):
            raise InvalidStream(self.name, "its tables differ in their number of levels, or have none")
        if not all(0.0 <= low <= high <= 1.0 for low, high in zip(self.lower, self.upper, strict=True)):
            raise InvalidStream(self.name, "a level lies outside [0, 1] or ends before it begins")
        if any(min(table) < 0 for table in tables):
            raise InvalidStream(self.name, "a count is negative")
        if not 0.0 <= self.tolerance < 1.0:
            raise InvalidStream(self.name, f"its tolerance is {self.tolerance}, not in [0, 1)")
        if any(self.reference) + (self.allowed is not None) + (self.beside is not None) > 1:
            raise InvalidStream(
                self.name, "it is compared with more than one of reference, allowed and beside"
            )
        if self.allowed is not None and not 0.0 <= self.allowed <= 1.0 - self.tolerance:
            raise InvalidStream(self.name, f"with {self.allowed} allowed its mean can never be too high")
        if self.beside is not None and len(self.beside) != len(self.checks):
            raise InvalidStream(self.name, "its control has not as many checks")

    @property
    def known(self) -> tuple[bool, ...]:
        """Whether a row of each level is known to be more than 0 or less than 1."""
        return tuple(low > 0.0 or high < 1.0 for low, high in zip(self.lower, self.upper, strict=True))

    @property
    def reference_rows(self) -> int:
        """Rows of the reference."""
        return sum(self.reference)

    @property
    def rows(self) -> int:
        """Rows of all checks."""
        return sum(map(sum, self.checks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many false alarms are allowed, and over how many looks.

    Parameters
    ----------
    checks : int
        Looks that the promise covers, counted from the first check after the reference.
    alarms : float
        False alarms allowed in them: an upper bound on the probability of one, and on the expected number
        when the detector starts anew, with a new reference, after each.

    Raises
    ------
    InvalidBudget
        Either is not above zero and finite.

    Notes
    -----
    A threshold A gives P(alarm within j checks) <= j / A for every j. Starting anew after each alarm, the
    expected number in T checks is then at most (1 + 1/A)^T - 1 <= exp(T / A) - 1, the renewal equation's solution;
    A = T / log(1 + alarms) keeps it at `alarms`, and the probability of any below that.

    Examples
    --------
    >>> Budget(checks=60, alarms=0.06).share(3)
    Budget(checks=60, alarms=0.02)
    """

    checks: int
    alarms: float

    def __post_init__(self) -> None:
        if self.checks <= 0 or not 0.0 < self.alarms < math.inf:
            raise InvalidBudget(self.checks, self.alarms)

    @property
    def log_threshold(self) -> float:
        """Log of the e-value at which to alarm, in nats."""
        return math.log(self.checks) - math.log(math.log1p(self.alarms))

    def share(self, n: int) -> Budget:
        """The budget of one of `n` monitors that share this one equally."""
        return Budget(checks=self.checks, alarms=self.alarms / n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a detector found, enough to say why it spoke or kept quiet.

    Parameters
    ----------
    log_e : float
        Log of the e-value of all streams together, in nats, to six digits: -700 or more, which is none at all. 0 where
        nothing could be weighed.
    log_threshold : float
        `log_e` at or above this is an alarm.
    window : int
        Checks, counted back from the newest, over which the most evident stream looks most changed: the
        change is estimated to have come just before them. 0 where nothing could be weighed.
    streams : tuple of (str, float)
        Each stream with its own log e-value, most evident first.
    outcome : Outcome
        ALARM where the threshold is reached; else INSUFFICIENT_DATA where any stream could not be weighed, since
        silence would then say too much; else QUIET.
    insufficient : tuple of (str, str)
        Each stream that could not be weighed, with the reason. It counts as an e-value of 1.
    """

    log_e: float
    log_threshold: float
    window: int
    streams: tuple[tuple[str, float], ...]
    outcome: Outcome
    insufficient: tuple[tuple[str, str], ...] = ()


NO_EVIDENCE = -700.0
"""Log e-value, in nats, of what shows no rise whatever."""

_AT_ONCE = 512

_Weigh: TypeAlias = Callable[[Sequence[Stream], float], tuple[Floats, Ints]]


class Detector(Protocol):
    """Weighs streams together, for one decision."""

    def weigh(self, streams: Sequence[Stream], *, budget: Budget) -> Evidence:
        """Weigh the evidence that any stream's mean rose above its reference by more than its tolerance.

        Parameters
        ----------
        streams : sequence of Stream
            Streams that share the decision, and the clock of checks.
        budget : Budget
            False alarms allowed to this decision over all its checks.

        Returns
        -------
        Evidence
            The same for the same tables, always.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedBetting:
    """Bet, over windows ending now, that the mean has risen [1]_ [2]_.

    For a window, the wealth of bets against "mean at most m" is L(m) = sum_k w_k prod_i (1 + lambda_k (g_i - m)),
    an e-value. The reference's unknown mean p enters through an e-value of its own, against "mean at least p":
    K(p) = sum_z w_z prod_i (1 + l_z(p) (p - r_i)). The evidence of a window is the least of K(p) L(p + tolerance) over
    p, so that the reference's sampling error is inside the bound and not plugged in. The sum over windows of
    1, 2, 3, ... 16, 18, 20, ... 32, 36, ... checks and of all is taken (i) against the reference and (ii) against the
    reference and all checks before the window; the two are averaged, then the streams are.

    Parameters
    ----------
    effects : tuple of float
        The rises that bets are best for. Their range matters, their exact values hardly.
    reference_bets : tuple of float
        The z of l_z(p) = z / sqrt(rows p (1 - p)): standard deviations of a 0/1 mean by which the reference's may have
        fallen short. They must not be chosen by looking at the reference: E K(p) <= 1 needs them free of the data.
        With 0 among them no p below the reference's mean matters, since L falls with p.
    minimum_reference : int
        Rows that a reference or a control must have. The bound holds with fewer, but nothing could be found.
    cells : tuple of int
        Cells of the grid of p below and above the reference's mean.

    Notes
    -----
    *Guarantee.* P(any alarm in the first T checks) <= T / A for threshold A, where (a) the reference's rows are
    independent, (b) at every check, given the past, the mean is at most p + tolerance, and (c) rows before a
    window are independent, their number does not depend on their values, and the mean within the window is at
    most their average mean plus the tolerance. Independent rows that do not change have all three. Each form's
    sum is at most the sum over all starts of the wealth since, weighted by K at that start; at a stopping
    time within T checks, the expected value of this sum is at most T.

    *A mean that is allowed* is known, so the evidence of a window is L(allowed + tolerance), with bets best for a 0/1
    stream of that mean, and only (b) is needed: at every check, given the past, the mean is at most this much.

    *A control beside the rows* takes the place of the reference within each window, in one form alone. With p the mean
    of the control at some check, (b) is wanted of both, so that K(p) L(p + tolerance) is an e-process from every start:
    seasons, storms and whatever else moves both by the same are no changes. Since a control grows with its window, the
    stakes of K are here d / (p (1 - p) + d^2) for the same effects d, which know of no data, nor do the bets.

    *The grid is no approximation.* L(p + tolerance) falls with p. K rises: a row counts 1 + l_z(p) p at r = 0 and
    1 - l_z(p) (1 - p) at r = 1, which both rise, and between them on a straight line. So in a cell [a, b], L is taken
    at b and K at a: less than the least value within. The grid begins at 0 and ends where n kl(mean, p) exceeds a
    bound from Hoeffding's theorem 1 [3]_ such that all true means of all streams and windows are inside, except with
    a probability of 1 % of the budget, for which e-values are multiplied by 0.99.

    *What counts as nothing.* A window whose mean is not above that before it by more than the tolerance, and one whose
    evidence at the mean before it, which is never less than its evidence, is below 1, are left out of the sum: it only
    falls, by less than 1 for each, and most windows of streams that do not change need no further work.

    *Weights* fall evenly from the first bet to the last: what is large is found soon anyway.

    *Limits.* Evidence is capped near n_ref delta^2 / (2 var) nats for a rise by delta beyond the tolerance, until
    the growing form has seen more: ask for 5,000 reference rows. Rows that vary together by more than the
    tolerance (seasons, storms) are changes. A level's width is added to the tolerance, since a stream's row counts
    at the lower end of its level and a reference's at the upper.

    References
    ----------
    .. [1] J. Shin, A. Ramdas, A. Rinaldo (2023). E-detectors: a nonparametric framework for sequential change
       detection. New England J. Stat. Data Sci. (arXiv 2203.03532).
    .. [2] I. Waudby-Smith, A. Ramdas (2023). Estimating means of bounded random variables by betting.
       J. R. Stat. Soc. B 86, 1-27.
    .. [3] W. Hoeffding (1963). Probability inequalities for sums of bounded random variables.
       J. Am. Stat. Assoc. 58, 13-30.

    Examples
    --------
    An error rate of 10 % in the reference goes to 20 % in the last two of four checks of 500 rows:

    >>> errors = Stream(
    ...     name="error", column="error", lower=(0.0, 1.0), upper=(0.0, 1.0), reference=(4500, 500),
    ...     checks=((450, 50), (452, 48), (400, 100), (400, 100)), tolerance=0.01,
    ... )
    >>> evidence = WindowedBetting().weigh([errors], budget=Budget(checks=60, alarms=0.05))
    >>> evidence.outcome.value, evidence.window
    ('alarm', 2)
    """

    effects: tuple[float, ...] = tuple(0.01 * 50 ** (k / 5) for k in range(6))
    reference_bets: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    minimum_reference: int = 100
    cells: tuple[int, int] = (4, 40)

    def weigh(self, streams: Sequence[Stream], *, budget: Budget) -> Evidence:
        """Weigh `streams` for one decision; see `Detector.weigh`."""
        names = Counter(stream.name for stream in streams)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise InvalidStream(repeated[0], "another stream of this call has the same name")
        insufficient = tuple((stream.name, why) for stream in streams if (why := self._lacks(stream)))
        lacking = {name for name, _ in insufficient}
        groups: defaultdict[tuple[int, int, _Weigh], list[Stream]] = defaultdict(list)
        for stream in streams:
            if stream.name not in lacking:
                groups[len(stream.lower), len(stream.checks), self._way(stream)].append(stream)

        # Hoeffding's bound is used for the reference and for what is before each check.
        log_outside = math.log(100 * max(len(streams), 1) * (budget.checks + 1) / min(budget.alarms, 1.0))
        found = dict.fromkeys(lacking, (0.0, 0))
        for (_, _, weigh), group in groups.items():
            for chunk in (group[start : start + _AT_ONCE] for start in range(0, len(group), _AT_ONCE)):
                evidence, windows = weigh(chunk, log_outside)
                for stream, value, window in zip(chunk, evidence.tolist(), windows.tolist(), strict=True):
                    found[stream.name] = (round(value, 6), window)

        # Ties fall to the order of the names, so that one table always gives one ranking.
        ranked = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
        values = np.array([value for _, (value, _) in ranked])
        log_e = round(float(_log_sum_exp(values)) - math.log(len(values)), 6) if ranked else 0.0
        log_threshold = budget.log_threshold
        if log_e >= log_threshold:
            outcome = Outcome.ALARM
        else:
            outcome = Outcome.INSUFFICIENT_DATA if insufficient or not streams else Outcome.QUIET
        return Evidence(
            log_e=log_e,
            log_threshold=log_threshold,
            window=ranked[0][1][1] if ranked else 0,
            streams=tuple((name, value) for name, (value, _) in ranked),
            outcome=outcome,
            insufficient=insufficient,
        )

    def _lacks(self, stream: Stream) -> str | None:
        control = None if stream.beside is None else sum(map(sum, stream.beside))
        if control is not None and control < self.minimum_reference:
            return f"the control has {control} rows, {self.minimum_reference} are needed"
        if control is stream.allowed is None and stream.reference_rows < self.minimum_reference:
            return f"the reference has {stream.reference_rows} rows, {self.minimum_reference} are needed"
        if not stream.checks:
            return "there has been no check since the reference"
        if not any(any(compress(check, stream.known)) for check in stream.checks):
            return "no check since the reference has any row that is known"
        return None

    def _way(self, stream: Stream) -> _Weigh:
        if stream.allowed is not None:
            return self._weigh_allowed
        return self._weigh_alike if stream.beside is None else self._weigh_beside

    def _weigh_allowed(self, streams: Sequence[Stream], log_outside: float) -> tuple[Floats, Ints]:
        """Log e-value and window of each of n streams with a mean that is allowed, shapes (n,)."""
        lower, _, tolerance = _ends(streams)
        allowed = np.array([stream.allowed for stream in streams], dtype=np.float64)
        m = allowed + tolerance
        effects = np.array(self.effects)
        bets = effects / ((allowed * (1.0 - allowed) + tolerance)[:, None] + effects**2)
        bets = np.minimum(bets, 0.95 / np.maximum(m, 1e-12)[:, None])
        _, recent, lengths = _windows([stream.checks for stream in streams])
        wealth = np.log1p(bets.T[:, :, None] * (lower - m[:, None]))
        log_l = np.einsum("nwl,knl->knw", recent, wealth) + _log_weights(len(bets.T))
        return _summed(np.where(recent.any(axis=2), _log_sum_exp(log_l), -np.inf), lengths)

    def _weigh_beside(self, streams: Sequence[Stream], log_outside: float) -> tuple[Floats, Ints]:
        """Log e-value and window of each of n streams with a control beside them, shapes (n,)."""
        lower, upper, tolerance = _ends(streams)
        _, recent, lengths = _windows([stream.checks for stream in streams])
        _, control, _ = _windows([stream.beside or () for stream in streams])
        effects = np.array(self.effects)
        # For rare events and for even ones; a bet that is too high for a mean is left out where it would be.
        bets = np.concatenate([effects / (variance + effects**2) for variance in (0.05, 0.25)])
        bets = np.broadcast_to(bets, (len(streams), len(bets)))

        def stakes(_: Ints, p: Floats) -> Floats:
            drops = np.array([0.0, *self.effects])[:, None, None]
            return np.asarray(drops / np.maximum(p * (1.0 - p) + drops**2, 1e-12))

        # The control's mean is to be inside for every start and every end.
        log_outside += math.log(recent.shape[1] + 1)
        rows = np.maximum(control, _no_rows(control))
        least = self._least(rows, recent, lower, upper, tolerance, bets, log_outside, stakes)
        least[~control.any(axis=2)] = -np.inf
        return _summed(least, lengths, 0.99)

    def _weigh_alike(self, streams: Sequence[Stream], log_outside: float) -> tuple[Floats, Ints]:
        """Log e-value and window of each of n streams with a reference, shapes (n,)."""
        lower, upper, tolerance = _ends(streams)
        reference = np.array([stream.reference for stream in streams], dtype=np.int64)[:, None, :]
        earlier, recent, lengths = _windows([stream.checks for stream in streams])

        # One set of bets serves all windows: it comes from the reference alone, so it is known before any of them.
        mean = (reference[:, 0] * upper).sum(axis=1) / reference.sum(axis=2)[:, 0]
        variance = (reference[:, 0] * (upper - mean[:, None]) ** 2).sum(axis=1) / reference.sum(axis=2)[:, 0]
        ceiling = _greatest_mean(mean, reference.sum(axis=2)[:, 0], log_outside)
        effects = np.array(self.effects)
        # About the variance of a 0/1 stream that has risen by the tolerance; never 0, even if no 1 was ever seen.
        bets = effects / ((variance + tolerance)[:, None] + effects**2)
        bets = np.minimum(bets, 0.95 / (ceiling + tolerance)[:, None])

        def stakes(rows: Ints, p: Floats) -> Floats:
            deviation = np.sqrt(rows[:, None] * np.maximum(p * (1.0 - p), 1e-12))
            return np.asarray(np.array(self.reference_bets)[:, None, None] / deviation)

        fixed = self._least(reference, recent, lower, upper, tolerance, bets, log_outside, stakes)
        growing = self._least(reference + earlier, recent, lower, upper, tolerance, bets, log_outside, stakes)
        both = np.concatenate([fixed, growing], axis=1)
        return _summed(both, np.tile(lengths, 2), 0.99 / 2)

    def _least(
        self,
        before: Ints,
        recent: Ints,
        lower: Floats,
        upper: Floats,
        tolerance: Floats,
        bets: Floats,
        log_outside: float,
        stakes_at: Callable[[Ints, Floats], Floats],
    ) -> Floats:
        """Least log of K(p) L(p + tolerance) over p, for n streams and w windows.

        Parameters
        ----------
        before : ndarray of int, shape (n, 1 or w, n_levels)
            Rows to take p from; 1 where all windows share them.
        recent : ndarray of int, shape (n, w, n_levels)
            Rows in each window.
        lower, upper : ndarray, shape (n, n_levels)
            Ends of the levels.
        tolerance : ndarray, shape (n,)
            Tolerance of each stream.
        bets : ndarray, shape (n, n_effects)
            The bets lambda.
        log_outside : float
            n kl(mean, p) beyond which p is left out, in nats.
        stakes_at : callable
            The stakes l of K, shape (n_stakes, m, cells), of the rows of m windows and these p.

        Returns
        -------
        ndarray, shape (n, w)
            In nats; -inf for a window that counts as nothing, see the class.
        """
        rows = np.broadcast_to(before.sum(axis=2), recent.shape[:2])
        mean = (before * upper[:, None, :]).sum(axis=2) / before.sum(axis=2)
        now = (recent * lower[:, None, :]).sum(axis=2) / np.maximum(recent.sum(axis=2), 1)
        least = np.full(recent.shape[:2], -np.inf)
        # No rows are no evidence, and not the evidence of a bet that nobody lost.
        stream, window = np.nonzero(recent.any(axis=2) & (now > mean + tolerance[:, None]))
        mean = np.broadcast_to(mean, recent.shape[:2])
        # As many at a time as stay near the processor's cache.
        size = max(1, 2**14 // len(lower[0]))
        for start in range(0, len(stream), size):
            i, j = stream[start : start + size], window[start : start + size]
            j_before = j if before.shape[1] > 1 else np.zeros_like(j)

            def wealth(left: Floats, right: Floats, at: NDArray[np.bool_] | slice = slice(None)) -> Floats:
                of, while_ = i[at], j[at]  # noqa: B023 - it is used up in this turn
                return _log_wealth(
                    before[of, j_before[at]],  # noqa: B023
                    recent[of, while_],
                    lower[of],
                    upper[of],
                    bets[of],
                    stakes_at(rows[of, while_], left),
                    left,
                    right + tolerance[of, None],
                )

            middle = mean[i, j][:, None]
            worth = wealth(middle, middle)[:, 0] > 0.0
            centre = middle[worth]
            high = _greatest_mean(centre[:, 0], rows[i, j][worth], log_outside)[:, None]
            steps = np.linspace(0.0, 1.0, self.cells[0])
            low = np.maximum(2 * centre - high, 0.0)
            below = low + (centre - low) * steps
            below[:, -1:] = centre
            above = centre + (high - centre) * np.linspace(0.0, 1.0, self.cells[1] + 1)[1:]
            above[:, -1:] = high
            edges = np.concatenate([np.zeros_like(centre), below, above], axis=1)
            least[i[worth], j[worth]] = wealth(edges[:, :-1], edges[:, 1:], worth).min(axis=1)
        return least


def _log_wealth(
    before: Ints,
    recent: Ints,
    lower: Floats,
    upper: Floats,
    bets: Floats,
    stakes: Floats,
    left: Floats,
    right: Floats,
) -> Floats:
    """Log of K at `left` and L at `right`, the product of both, shape (m, cells); L at a ruinous m is nothing.

    Of m windows there are counts of shape (m, n_levels), bets of shape (m, n_effects), and stakes of shape
    (n_stakes, m, cells).
    """
    # The axis of the bets comes first: sums over a short last axis are slow.
    stakes = np.minimum(stakes, 0.95 / np.maximum(1.0 - left, 1e-12))
    lam = bets.T[:, :, None]
    # A bet that could lose more than it has at this m is not made: its wealth counts as nothing.
    ruin = lam * right >= 0.999
    price = np.where(ruin, 0.5, lam * right)
    log_k = np.broadcast_to(_log_weights(len(stakes)), stakes.shape).copy()
    log_l = np.broadcast_to(_log_weights(len(lam)), price.shape).copy()
    for level in range(lower.shape[1]):
        if before[:, level].any():
            _add_log(log_k, before[:, level], 1.0 + stakes * (left - upper[:, level, None]))
        if recent[:, level].any():
            _add_log(log_l, recent[:, level], 1.0 + lam * lower[:, level, None] - price)
    log_l[ruin] = -np.inf
    return _log_sum_exp(log_k) + _log_sum_exp(log_l)


def _ends(streams: Sequence[Stream]) -> tuple[Floats, Floats, Floats]:
    """Lower and upper ends of the levels of n streams, shape (n, n_levels), and their tolerances, shape (n,)."""
    lower = np.array([stream.lower for stream in streams], dtype=np.float64)
    upper = np.array([stream.upper for stream in streams], dtype=np.float64)
    return lower, upper, np.array([stream.tolerance for stream in streams], dtype=np.float64)


def _windows(checks: Sequence[Sequence[Sequence[int]]]) -> tuple[Ints, Ints, Ints]:
    """Rows before and within each window, shape (n, w, n_levels), and the windows' lengths, shape (w,)."""
    tables = np.array(checks, dtype=np.int64)
    lengths = window_lengths(tables.shape[1])
    running = np.concatenate([np.zeros_like(tables[:, :1]), tables.cumsum(axis=1)], axis=1)
    earlier = running[:, tables.shape[1] - lengths, :]
    return earlier, running[:, -1:, :] - earlier, lengths


def _no_rows(tables: Ints) -> Ints:
    """A row in the last level wherever a table has none, so that it has a mean."""
    filled = np.zeros_like(tables)
    filled[..., -1] = ~tables.any(axis=-1)
    return filled


def _summed(windows: Floats, lengths: Ints, factor: float = 1.0) -> tuple[Floats, Ints]:
    """Log of the e-values of windows, shape (n, w), summed and weighed, and the length of the most evident one."""
    # Wealth may vanish altogether; a floor far below any threshold keeps every figure finite.
    return np.maximum(_log_sum_exp(windows.T) + math.log(factor), NO_EVIDENCE), lengths[
        windows.argmax(axis=1)
    ]


def window_lengths(checks: int) -> Ints:
    """Lengths 1, 2, 3, ... 16, 18, 20, ... 32, 36, ... up to `checks`, and `checks` itself."""
    eighths = {2**k * eighth // 8 for k in range(checks.bit_length()) for eighth in range(8, 16)}
    return np.array(sorted({n for n in eighths if n <= checks} | {checks}), dtype=np.int64)


def _log_weights(bets: int) -> Floats:
    """Log of weights that fall evenly from the first bet to the last, shape (bets, 1, 1)."""
    weights = np.arange(bets, 0, -1, dtype=np.float64)[:, None, None]
    return np.asarray(np.log(weights / weights.sum()))


def _greatest_mean(mean: Floats, rows: Ints, nats: float) -> Floats:
    """Where ``rows * kl(mean, p)`` reaches `nats` above `mean`, by bisection, rounded up."""
    inside, outside = mean.copy(), np.ones_like(mean)
    for _ in range(40):
        middle = (inside + outside) / 2
        within = rows * _bernoulli_kl(mean, middle) <= nats
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return outside


def _bernoulli_kl(q: Floats, p: Floats) -> Floats:
    """Kullback-Leibler divergence of coins with heads probability `q` from `p`, in nats."""
    tiny = np.finfo(np.float64).tiny
    heads = q * np.log(np.maximum(q, tiny) / np.maximum(p, tiny))
    tails = (1 - q) * np.log(np.maximum(1 - q, tiny) / np.maximum(1 - p, tiny))
    return np.asarray(heads + tails)


def _add_log(total: Floats, rows: Ints, factor: Floats) -> None:
    """Add ``rows * log(factor)`` to `total` in place; `rows` lack the first and last axis, `factor` is used up."""
    np.log(factor, out=factor)
    total += rows[:, None] * factor


def _log_sum_exp(values: Floats) -> Floats:
    """Log of the sum of exp over the first axis."""
    top = np.maximum(values.max(axis=0), -1e300)
    shifted = values - top
    np.exp(shifted, out=shifted)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shifted.sum(axis=0)) + top)
