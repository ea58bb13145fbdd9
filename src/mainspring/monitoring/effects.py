"""How large a change is, in the units people know; these figures are shown and never page anybody.

They grow with noise in small windows and have no bound on false alarms: see `detector` for what alarms.
Each compares two profiles of one column, in one frame, and is an interval: what the rows themselves would give lies in
it, to rounding. What makes it wide is that values of one bucket, or categories of one hash, are not told apart.

`stability_index`, `kullback_leibler`, `jensen_shannon`, `hellinger`, `total_variation`, `chi_square` and `cramers_v`
compare shares of bins. A category is a bin of its own. A number's bins are its values where these are counted and at
most 50; otherwise the deciles of both windows together, cut at bucket edges, so that it does not matter which comes
first, and the counts are exact: `bin_edges` gives them, and there the interval has no width. Rows without a value are
a bin of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profiles import (
    AtomProfile,
    CategoryProfile,
    EmptyWindow,
    Interval,
    NumberProfile,
    ProfileMismatch,
    merge_columns,
)

__all__ = [
    "bin_edges",
    "chi_square",
    "cramers_v",
    "effect_sizes",
    "hellinger",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "kullback_leibler",
    "normalised_wasserstein",
    "stability_index",
    "total_variation",
    "wasserstein",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Term = Callable[[Floats, Floats], Floats]

K = TypeVar("K", str, int)

_VALUES = 50


def effect_sizes(reference: AtomProfile, current: AtomProfile) -> dict[str, Interval]:
    """Give all effects by name, without those that the windows have no rows for.

    Raises
    ------
    ProfileMismatch
        The profiles are of different kinds or frames.
    """
    sizes = {}
    for effect in _OF_SHARES:
        with suppress(EmptyWindow):
            sizes[effect.__name__] = effect(reference, current)
    if isinstance(reference, NumberProfile) and isinstance(current, NumberProfile):
        for distance in (kolmogorov_smirnov, wasserstein, normalised_wasserstein):
            with suppress(EmptyWindow):
                sizes[distance.__name__] = distance(reference, current)
    return sizes


def stability_index(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Population stability index of two windows of a column [1]_.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Sum over bins of (p - q) log(p / q), in nats: 0 where both have the same shares, and the same whichever comes
        first. A bin empty on one side counts as half a row. Where categories share a hash there is no upper end.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.

    References
    ----------
    .. [1] H. Jeffreys (1946). Proc. R. Soc. A 186, 453-461 (the divergence that the index estimates).
    """
    table = _table(reference, current)

    def index(before: Ints, after: Ints) -> float:
        p, q = np.maximum(before, 0.5) / table.rows[0], np.maximum(after, 0.5) / table.rows[1]
        return float(((p - q) * np.log(p / q)).sum())

    # Half a row for each empty bin makes the sum depend on how many there are, which the hashes do not tell.
    told = index(table.before, table.after)
    if not len(table.before_folded):
        return Interval(told, told, told)
    return Interval(told + index(table.before_folded, table.after_folded), told, math.inf)


def kullback_leibler(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Kullback-Leibler divergence of the current window from the reference [1]_.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Sum over bins of q log(q / p), q of the current window, in nats; infinite where it has a bin that the reference
        has not.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.

    References
    ----------
    .. [1] S. Kullback, R. A. Leibler (1951). Ann. Math. Statist. 22, 79-86.
    """

    def term(p: Floats, q: Floats) -> Floats:
        held = q > 0
        with np.errstate(divide="ignore"):
            return np.asarray(q[held] * np.log(q[held] / p[held]))

    return _sum(_table(reference, current), term)


def jensen_shannon(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Jensen-Shannon distance of two windows of a column [1]_.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Square root of the divergence in bits: 0 where both have the same shares, 1 where they share no bin.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.

    References
    ----------
    .. [1] D. M. Endres, J. E. Schindelin (2003). IEEE Trans. Inf. Theory 49, 1858-1860.
    """

    def half(share: Floats, middle: Floats) -> Floats:
        return np.asarray(share * np.log2(np.divide(share, middle, out=np.ones_like(share), where=share > 0)))

    def term(p: Floats, q: Floats) -> Floats:
        middle = (p + q) / 2
        return (half(p, middle) + half(q, middle)) / 2

    return _root(_sum(_table(reference, current), term), most=1.0)


def hellinger(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Hellinger distance of two windows of a column.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Root of half the sum over bins of (sqrt(p) - sqrt(q))^2: from 0 to 1, where they share no bin.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.
    """
    table = _table(reference, current)
    return _root(_sum(table, lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2 / 2), most=1.0)


def total_variation(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Total variation of two windows of a column.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Half the sum over bins of abs(p - q): the share of rows that would have to move.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.
    """
    return _sum(_table(reference, current), lambda p, q: np.abs(p - q) / 2)


def chi_square(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Pearson's chi-square of the table of windows and bins, without a correction.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        The statistic; it grows with the rows, unlike `cramers_v`.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.
    """
    table = _table(reference, current)
    n, m = table.rows

    def term(p: Floats, q: Floats) -> Floats:
        expected = n * p + m * q
        return np.divide(n * m * (p - q) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)

    return _sum(table, term)


def cramers_v(reference: AtomProfile, current: AtomProfile) -> Interval:
    """Cramér's V of window and bin [1]_: root of chi-square over rows, since there are two windows.

    Parameters
    ----------
    reference, current : NumberProfile or CategoryProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        From 0 to 1, where the windows share no bin.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds or frames.

    References
    ----------
    .. [1] H. Cramér (1946). Mathematical Methods of Statistics, section 21.9.
    """
    square, rows = chi_square(reference, current), reference.rows + current.rows
    return _root(Interval(*(each / rows for each in square)), most=1.0)


_OF_SHARES = (
    stability_index,
    kullback_leibler,
    jensen_shannon,
    hellinger,
    total_variation,
    chi_square,
    cramers_v,
)


def kolmogorov_smirnov(reference: NumberProfile, current: NumberProfile) -> Interval:
    """Largest distance of two distribution functions, over rows with a value.

    Parameters
    ----------
    reference, current : NumberProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        From 0 to 1. At the edges of buckets both functions are known: the largest distance there is the value and the
        lower end. Within a bucket either may rise before the other.

    Raises
    ------
    EmptyWindow
        A window has no row with a value.
    ProfileMismatch
        The profiles have different frames.

    Examples
    --------
    >>> import numpy as np
    >>> from mainspring.monitoring import profile
    >>> a = profile({"x": np.array([1, 2, 3, 4])}).columns["x"]
    >>> b = profile({"x": np.array([3, 4, 5, 6])}).columns["x"]
    >>> kolmogorov_smirnov(a, b).value, wasserstein(a, b).value
    (0.5, 2.0)
    """
    lower, upper, before, after = _distributions(reference, current, "Kolmogorov-Smirnov distance")
    value = float(np.abs(before - after).max())
    wide = np.flatnonzero(lower < upper)
    apart = np.maximum(before[wide + 1] - after[wide], after[wide + 1] - before[wide])
    return Interval(value, value, max(value, float(apart.max(initial=0.0))))


def wasserstein(reference: NumberProfile, current: NumberProfile) -> Interval:
    """First Wasserstein distance of two windows of a column, over rows with a finite value.

    Parameters
    ----------
    reference, current : NumberProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        In the column's unit: the area between the distribution functions. Within a bucket these are known at its ends
        alone; the value is for rows spread evenly over it.

    Raises
    ------
    EmptyWindow
        A window has no row with a finite value.
    ProfileMismatch
        The profiles have different frames.
    """
    lower, upper, before, after = _distributions(reference, current, "Wasserstein distance", finite=True)
    # In units of the largest value, so that no difference overflows.
    unit = float(np.maximum(np.abs(lower), np.abs(upper)).max()) or 1.0
    lower, upper = lower / unit, upper / unit
    width, gap = upper - lower, np.maximum(lower[1:] - upper[:-1], 0.0)
    a, b, c, d = before[:-1], before[1:], after[:-1], after[1:]
    first, last = a - c, b - d
    # The area under a line from `first` to `last`, which crosses zero where their signs differ.
    span = np.abs(first) + np.abs(last)
    crossed = np.divide(first**2 + last**2, 2 * span, out=np.zeros_like(span), where=span > 0)
    even = np.where(first * last < 0, crossed, span / 2)
    between = float(np.abs(last[:-1]) @ gap)
    low = float(width @ np.maximum(0.0, np.maximum(c - b, a - d))) + between
    high = float(width @ np.maximum(b - c, d - a)) + between
    return Interval((float(width @ even) + between) * unit, low * unit, high * unit)


def normalised_wasserstein(reference: NumberProfile, current: NumberProfile) -> Interval:
    """First Wasserstein distance in standard deviations of the reference, over rows with a finite value.

    Parameters
    ----------
    reference, current : NumberProfile
        Of one column, with one frame.

    Returns
    -------
    Interval
        Infinite where the reference is constant and the current window has another value; without an upper end where
        all of the reference is in one bucket.

    Raises
    ------
    EmptyWindow
        A window has no row with a finite value.
    ProfileMismatch
        The profiles have different frames.
    """
    distance, deviation = wasserstein(reference, current), reference.deviation()
    return Interval(
        _over(distance.value, deviation.value),
        _over(distance.low, deviation.high),
        _over(distance.high, deviation.low),
    )


def bin_edges(reference: NumberProfile, current: NumberProfile) -> Floats:
    """Greatest value of each bin of numbers that effects compare, but of the last; shape (n_bins - 1,).

    Raises
    ------
    ProfileMismatch
        The profiles have different frames.
    """
    _, upper, before, after = _cells(reference, current)
    return upper[[start - 1 for start in _starts(before + after, reference, current)[1:]]]


def _over(distance: float, deviation: float) -> float:
    if deviation:
        return distance / deviation
    return math.inf if distance else 0.0


def _cells(reference: NumberProfile, current: NumberProfile) -> tuple[Floats, Floats, Ints, Ints]:
    """Ends of all cells of both, and each one's rows in them."""
    both = merge_columns(None, reference, current)
    assert isinstance(both, NumberProfile)
    lower, upper, _ = both.cells()

    def rows(side: NumberProfile) -> Ints:
        if both.values is None:
            return _column([key for key, _ in both.buckets], dict(side.buckets))
        points, _, counts = side.cells()
        found = np.zeros(len(lower), dtype=np.int64)
        found[np.searchsorted(lower, points)] = counts
        return found

    return lower, upper, rows(reference), rows(current)


def _distributions(
    reference: NumberProfile, current: NumberProfile, question: str, *, finite: bool = False
) -> tuple[Floats, Floats, Floats, Floats]:
    """Ends of all cells of both, and each one's share of rows before the first cell and up to each: one more."""
    lower, upper, before, after = _cells(reference, current)
    if finite:
        kept = np.isfinite(lower)
        lower, upper, before, after = lower[kept], upper[kept], before[kept], after[kept]
    if not before.sum() or not after.sum():
        raise EmptyWindow(question)

    def shares(rows: Ints) -> Floats:
        return np.concatenate([[0.0], rows.cumsum() / rows.sum()])

    return lower, upper, shares(before), shares(after)


def _starts(rows: Ints, reference: NumberProfile, current: NumberProfile) -> list[int]:
    """Number of the first cell of each bin."""
    exact = reference.values is not None and current.values is not None
    if len(rows) <= 1 or (exact and len(rows) <= _VALUES):
        return list(range(len(rows)))
    reached = rows.cumsum()
    deciles = {
        int(np.searchsorted(reached, max(1, math.ceil(reached[-1] * j / 10)))) + 1 for j in range(1, 10)
    }
    return [start for start, _ in pairwise(sorted(deciles | {0, len(rows)}))]


class _Table(NamedTuple):
    """Rows of two windows in bins that both share, and in buckets of categories that are not told apart."""

    before: Ints
    after: Ints
    before_folded: Ints
    after_folded: Ints

    @property
    def rows(self) -> tuple[int, int]:
        return (
            int(self.before.sum() + self.before_folded.sum()),
            int(self.after.sum() + self.after_folded.sum()),
        )


def _table(reference: AtomProfile, current: AtomProfile) -> _Table:
    if not reference.rows or not current.rows:
        raise EmptyWindow("effect size")
    before_folded = after_folded = np.zeros(0, dtype=np.int64)
    if isinstance(reference, NumberProfile) and isinstance(current, NumberProfile):
        _, _, before, after = _cells(reference, current)
        starts = _starts(before + after, reference, current)
        if starts:
            before, after = np.add.reduceat(before, starts), np.add.reduceat(after, starts)
    elif isinstance(reference, CategoryProfile) and isinstance(current, CategoryProfile):
        both = reference.merge(current)
        # At the level of both together, either's rows are in the same bins.
        sides = reference.at_level(both.level), current.at_level(both.level)
        before, after = (_column([name for name, _ in both.named], dict(side.named)) for side in sides)
        before_folded, after_folded = (
            _column([bucket for bucket, _ in both.folded], dict(side.folded)) for side in sides
        )
    else:
        raise ProfileMismatch(None, "one is of numbers, the other of categories")
    before, after = np.append(before, reference.missing), np.append(after, current.missing)
    held = (before + after) > 0
    return _Table(before[held], after[held], before_folded, after_folded)


def _column(keys: list[K], rows: dict[K, int]) -> Ints:
    return np.array([rows.get(key, 0) for key in keys], dtype=np.int64)


def _sum(table: _Table, term: Term) -> Interval:
    """Sum a convex term over bins; where bins are not told apart, from no difference within one to all.

    A term that is convex in (p, q), and doubles with both, is subadditive: a bucket taken as one bin gives the least,
    and one whose categories are all in one window only, the most.
    """
    n, m = table.rows
    told = float(term(table.before / n, table.after / m).sum())
    p, q = table.before_folded / n, table.after_folded / m
    least = float(term(p, q).sum())
    most = float((term(p, np.zeros_like(p))).sum() + term(np.zeros_like(q), q).sum()) if len(p) else 0.0
    return Interval(told + least, told + least, told + most)


def _root(interval: Interval, *, most: float) -> Interval:
    return Interval(*(min(most, math.sqrt(max(0.0, each))) for each in interval))
