"""What an input tells of the outcome by itself: a means to find what was known only afterwards."""

from __future__ import annotations

__all__ = ["mean_outcomes"]

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_BINS, _ROWS_PER_BIN = 1000, 10


def mean_outcomes(learnt: pl.Series, outcomes: NDArray[np.float64], asked: pl.Series) -> NDArray[np.float64]:
    """Predict the outcome by one input alone: the mean outcome of the training rows that are like a row in it.

    Parameters
    ----------
    learnt : polars.Series
        The input on the training rows.
    outcomes : array of float, shape (n_train,)
        Theirs.
    asked : polars.Series
        The input on other rows.

    Returns
    -------
    array of float, shape (n_asked,)
        Values are alike that are equal, of numbers those between two of at most 1,000 quantiles, and those that are
        missing. A value that no training row has is predicted by the mean of all; without training rows, NaN.

    Examples
    --------
    >>> import polars as pl
    >>> mean_outcomes(pl.Series(["a", "a", None]), np.array([0.0, 1.0, 1.0]), pl.Series(["a", None, "b"])).round(2)
    array([0.5 , 1.  , 0.67])
    """
    import polars as pl

    if not len(outcomes):
        return np.full(len(asked), np.nan)
    if learnt.dtype.is_numeric():
        learnt, asked = learnt.cast(pl.Float64).fill_nan(None), asked.cast(pl.Float64).fill_nan(None)
        known = learnt.drop_nulls().to_numpy()
        edges = (
            np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1), method="lower"))
            if known.size
            else known
        )
        learnt, asked = (_bins(values, edges) for values in (learnt, asked))
    means = (
        pl.DataFrame({"value": learnt, "outcome": outcomes}).group_by("value").agg(pl.col("outcome").mean())
    )
    found = pl.DataFrame({"value": asked}).join(
        means, on="value", how="left", nulls_equal=True, maintain_order="left"
    )
    return found["outcome"].fill_null(float(outcomes.mean())).to_numpy()


def _bins(values: pl.Series, edges: NDArray[np.float64]) -> pl.Series:
    import polars as pl

    bins = pl.Series(np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="right"))
    return pl.select(pl.when(values.is_not_null()).then(bins)).to_series()
