"""Lists of rows that a score puts in order: what counts as one, and how well the first places are taken."""

from __future__ import annotations

__all__ = ["LIST_METRICS", "Lists", "list_losses", "rows_of_lists"]

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

from mainspring.declared import Value, need

LIST_METRICS = ("ndcg", "mrr")
"""What is measured of lists; better when higher."""


class Lists(Value, frozen=True):
    """Which rows are put in order by their score, those that a search has found, say.

    In data the rows with one value of `column` are a list; in production the rows of one request are. Each list is to
    be answered by one version: declare a `split_by` that its rows have in common, such as who asks.

    Attributes
    ----------
    column : str
        Of the dataset; the model does not see it unless it is an input as well.
    top : int, optional
        How many places count; all, where it is left out.
    """

    column: str
    top: int | None = None

    def __post_init__(self) -> None:
        rule = "at least the first place counts"
        need(self.top is None or self.top >= 1, "The top of Lists", self.top, rule)


def list_losses(
    scores: Sequence[float], outcomes: Sequence[float], top: int | None = None
) -> dict[str, float] | None:
    """What is lost by the order of one list: 1 - NDCG [1]_ and 1 - the reciprocal rank.

    Where scores are equal, each order of these rows is as likely as another, and the mean over all of them counts [2]_.

    Parameters
    ----------
    scores, outcomes : sequence of float, shape (n_rows,)
        Higher scores come first; an outcome is 1 where the row was the right one, else 0.
    top : int, optional
        How many places count.

    Returns
    -------
    dict of str to float, or None
        By metric, from 0 for the best order to 1. None where no row is right, so that no order is better than another.

    References
    ----------
    .. [1] K. Jarvelin, J. Kekalainen (2002). Cumulated gain-based evaluation of IR techniques. ACM TOIS 20, 422-446.
    .. [2] F. McSherry, M. Najork (2008). Computing information retrieval performance measures efficiently in the
       presence of tied scores. ECIR, 414-421.

    Examples
    --------
    >>> list_losses([0.9, 0.5, 0.1], [1, 0, 0])
    {'ndcg': 0.0, 'mrr': 0.0}
    >>> list_losses([0.9, 0.5, 0.1], [0, 1, 0])["mrr"]
    0.5
    >>> list_losses([0.5, 0.5], [0, 1])["mrr"], list_losses([0.5], [0])
    (0.25, None)
    """
    right = round(sum(outcomes))
    if not right:
        return None
    counted = len(scores) if top is None else min(top, len(scores))
    discounts = [1 / math.log2(place + 2) if place < counted else 0.0 for place in range(len(scores))]
    gain, first, reciprocal = 0.0, 0, None
    pairs = sorted(zip(scores, outcomes, strict=True), key=lambda pair: -pair[0])
    for _, tied in groupby(pairs, key=lambda pair: pair[0]):
        among = [outcome for _, outcome in tied]
        rows, hits = len(among), round(sum(among))
        gain += hits / rows * sum(discounts[first : first + rows])
        if hits and reciprocal is None:
            # The first right one is the n-th of them where all others right come after it.
            ways = [math.comb(rows - 1 - n, hits - 1) for n in range(rows - hits + 1)]
            reciprocal = sum(
                way / (first + n + 1) for n, way in enumerate(ways) if first + n < counted
            ) / math.comb(rows, hits)
        first += rows
    best = sum(discounts[:right])
    return {"ndcg": min(1.0, max(0.0, 1 - gain / best)), "mrr": 1 - (reciprocal or 0.0)}


def rows_of_lists(names: Iterable[object]) -> list[list[int]]:
    """Give the rows of each list in a table, from the list that each row is in; one that is in none has None.

    Examples
    --------
    >>> rows_of_lists(["a", "b", "a", None])
    [[0, 2], [1]]
    """
    rows: dict[object, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        if name is not None:
            rows[name].append(row)
    return list(rows.values())
