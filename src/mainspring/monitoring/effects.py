"""How large a change is, in the units people know; these figures are shown and never page anybody.

They grow with noise in small windows and have no bound on false alarms: see `detector` for what alarms.
Each compares two profiles of one column. A number's bins are the deciles of both windows together, cut at bucket
edges, so that it does not matter which comes first; rows without a value are a bin of their own.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profile import (
    CategoryProfile,
    ColumnProfile,
    EmptyWindow,
    NumberProfile,
    ProfileMismatch,
)

__all__ = ["jensen_shannon", "kolmogorov_smirnov", "stability_index", "wasserstein"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def stability_index(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Population stability index of two windows of a column [1]_.

    Parameters
    ----------
    reference, current : ColumnProfile
        Of one column, with one frame.

    Returns
    -------
    float
        Sum over bins of (p - q) log(p / q), in nats: 0 where both have the same shares, and the same whichever comes
        first. A bin empty on one side counts as half a row.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds, or have different offsets.

    References
    ----------
    .. [1] H. Jeffreys (1946). Proc. R. Soc. A 186, 453-461 (the divergence that the index estimates).
    """
    before, after = _bins(reference, current)
    p, q = np.maximum(before, 0.5) / before.sum(), np.maximum(after, 0.5) / after.sum()
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Jensen-Shannon distance of two windows of a column [1]_.

    Parameters
    ----------
    reference, current : ColumnProfile
        Of one column, with one frame.

    Returns
    -------
    float
        Square root of the divergence in bits: 0 where both have the same shares, 1 where they share no bin.

    Raises
    ------
    EmptyWindow
        A window has no rows.
    ProfileMismatch
        The profiles are of different kinds, or have different offsets.

    References
    ----------
    .. [1] D. M. Endres, J. E. Schindelin (2003). IEEE Trans. Inf. Theory 49, 1858-1860.
    """
    before, after = _bins(reference, current)
    p, q = before / before.sum(), after / after.sum()
    middle = (p + q) / 2

    def divergence(share: Floats) -> float:
        held = share > 0
        return float((share[held] * np.log2(share[held] / middle[held])).sum())

    return math.sqrt(max(0.0, (divergence(p) + divergence(q)) / 2))


def kolmogorov_smirnov(reference: NumberProfile, current: NumberProfile) -> float:
    """Largest distance of two distribution functions at bucket edges, over rows with a value.

    Parameters
    ----------
    reference, current : NumberProfile
        Of one column, with one frame.

    Returns
    -------
    float
        From 0 to 1. The statistic of Kolmogorov and Smirnov is this or more, by at most the share of the
        fullest bucket.

    Raises
    ------
    EmptyWindow
        A window has no row with a value.
    ProfileMismatch
        The profiles have different offsets.

    Examples
    --------
    >>> import numpy as np
    >>> from mainspring.monitoring.profile import profile
    >>> a = profile({"x": np.array([1.0, 2.0, 3.0, 4.0])}).columns["x"]
    >>> b = profile({"x": np.array([3.0, 4.0, 5.0, 6.0])}).columns["x"]
    >>> kolmogorov_smirnov(a, b), wasserstein(a, b) / 2
    (0.5, 1.0)
    """
    _, before, after = _distributions(reference, current, "Kolmogorov-Smirnov distance")
    return float(np.abs(before - after).max())


def wasserstein(reference: NumberProfile, current: NumberProfile) -> float:
    """First Wasserstein distance of two windows of a column, over rows with a finite value.

    Parameters
    ----------
    reference, current : NumberProfile
        Of one column, with one frame.

    Returns
    -------
    float
        In the column's unit. Rows are taken to lie at the lower edge of their bucket, which errs by at most the
        mean width of a row's bucket: a row's distance from the offset, over 16.

    Raises
    ------
    EmptyWindow
        A window has no row with a finite value.
    ProfileMismatch
        The profiles have different offsets.
    """
    edges, before, after = _distributions(_finite(reference), _finite(current), "Wasserstein distance")
    return float((np.abs(before - after)[:-1] * np.diff(edges)).sum())


def _finite(column: NumberProfile) -> NumberProfile:
    if not column.buckets:
        return column
    lower, _ = NumberProfile(offset=column.offset, buckets=column.buckets).ends()
    kept = tuple(pair for pair, edge in zip(column.buckets, lower, strict=True) if math.isfinite(edge))
    return NumberProfile(offset=column.offset, buckets=kept)


def _distributions(
    reference: NumberProfile, current: NumberProfile, question: str
) -> tuple[Floats, Floats, Floats]:
    """Lower edges of all buckets of both, and each one's share of rows up to them."""
    if not reference.buckets or not current.buckets:
        raise EmptyWindow(question)
    _, before, after = _aligned(reference, current)
    edges, _ = NumberProfile(offset=reference.offset, buckets=reference.merge(current).buckets).ends()
    return edges, before.cumsum() / before.sum(), after.cumsum() / after.sum()


def _aligned(reference: NumberProfile, current: NumberProfile) -> tuple[list[int], Ints, Ints]:
    """Keys of all buckets of both, and each one's rows in them."""
    keys = [key for key, _ in reference.merge(current).buckets]
    tables = (dict(reference.buckets), dict(current.buckets))
    before, after = (np.array([table.get(key, 0) for key in keys], dtype=np.int64) for table in tables)
    return keys, before, after


def _bins(reference: ColumnProfile, current: ColumnProfile) -> tuple[Ints, Ints]:
    """Rows of each in bins that both share, without those that are empty in both."""
    if not reference.rows or not current.rows:
        raise EmptyWindow("effect size")
    if isinstance(reference, NumberProfile) and isinstance(current, NumberProfile):
        keys, before, after = _aligned(reference, current)
        starts = [0]
        if keys:
            both = reference.merge(current)
            cuts = sorted({keys.index(both.key_at(j / 10)) + 1 for j in range(1, 10)} | {0, len(keys)})
            starts = [start for start, _ in pairwise(cuts)]
            before, after = np.add.reduceat(before, starts), np.add.reduceat(after, starts)
    elif isinstance(reference, CategoryProfile) and isinstance(current, CategoryProfile):
        both_sides = reference.merge(current)
        # At the level of both together, either's rows are in the same bins.
        empty = CategoryProfile(level=both_sides.level)
        sides = [side.merge(empty) for side in (reference, current)]
        tables = [{**dict(side.named), **dict(side.folded)} for side in sides]
        labels: list[str | int] = [name for name, _ in both_sides.named]
        labels += [bucket for bucket, _ in both_sides.folded]
        before, after = (
            np.array([table.get(label, 0) for label in labels], dtype=np.int64) for table in tables
        )
    else:
        raise ProfileMismatch(None, "one is of numbers, the other of categories")
    before, after = np.append(before, reference.missing), np.append(after, current.missing)
    held = (before + after) > 0
    return before[held], after[held]
