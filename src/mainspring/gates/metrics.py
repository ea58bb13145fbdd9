"""Metrics of a binary classifier's probabilities, and of predicted numbers; where one is undefined it is NaN."""

from __future__ import annotations

__all__ = [
    "METRICS",
    "UnknownMetric",
    "brier",
    "higher_is_better",
    "log_loss",
    "mae",
    "mape",
    "mse",
    "r2",
    "rmse",
    "roc_auc",
]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mainspring.errors import Invalid

_SMALLEST = float(np.finfo(np.float64).eps)


class UnknownMetric(Invalid):
    """A metric that gates cannot compute."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"No metric is called {self.name!r}: use one of {', '.join(METRICS)}."


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean negative log-likelihood of the labels [1]_; lower is better.

    Parameters
    ----------
    labels : array-like of 0 and 1, shape (n_rows,)
    probabilities : array-like of float, shape (n_rows,)
        Of label 1. An answer of exactly 0 or 1 counts as 2.2e-16 away from it, so that one wrong certainty
        costs 36 nats and not infinity.

    Returns
    -------
    float
        In nats. NaN without rows, with a label other than 0 and 1, or with a probability that is NaN or
        outside [0, 1].

    Raises
    ------
    Invalid
        The two have different lengths.

    References
    ----------
    .. [1] I. J. Good (1952). Rational decisions. J. R. Stat. Soc. B 14, 107-114.

    Examples
    --------
    >>> round(log_loss([1, 0], [0.8, 0.4]), 4)
    0.367
    """
    truth, given = _rows(labels, probabilities)
    if not truth.size:
        return float("nan")
    clipped = np.clip(given, _SMALLEST, 1 - _SMALLEST)
    return float(-np.mean(np.where(truth == 1, np.log(clipped), np.log1p(-clipped))))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance of the probabilities from the labels [1]_; lower is better.

    Parameters and errors are those of `log_loss`, and so is when it is undefined.

    Returns
    -------
    float
        From 0 to 1, or NaN.

    References
    ----------
    .. [1] G. W. Brier (1950). Verification of forecasts expressed in terms of probability. Mon. Weather Rev.
       78, 1-3.

    Examples
    --------
    >>> round(brier([1, 0], [0.8, 0.4]), 4)
    0.1
    """
    truth, given = _rows(labels, probabilities)
    return float(np.mean((given - truth) ** 2)) if truth.size else float("nan")


def roc_auc(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Chance that a random row of label 1 is ranked above a random row of label 0, ties counting half [1]_.

    Computed from mid-ranks (the Mann-Whitney statistic), exactly and in any order of the rows. Parameters and
    errors are those of `log_loss`. It says nothing of calibration: read `log_loss` beside it.

    Returns
    -------
    float
        From 0 to 1; 0.5 for a ranking without information. NaN where `log_loss` is, and also when all rows
        have one label.

    References
    ----------
    .. [1] J. A. Hanley, B. J. McNeil (1982). The meaning and use of the area under a ROC curve. Radiology
       143, 29-36.

    Examples
    --------
    >>> roc_auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.9])
    0.875
    >>> roc_auc([1, 1], [0.1, 0.4])
    nan
    """
    truth, given = _rows(labels, probabilities)
    positive = truth == 1
    n_positive = int(np.count_nonzero(positive))
    n_negative = truth.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, level, count = np.unique(given, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(count) - (count - 1) / 2
    above = float(mid_rank[level][positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def mae(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean absolute error; lower is better.

    Parameters
    ----------
    labels, predictions : array-like of float, shape (n_rows,)

    Returns
    -------
    float
        In the labels' unit. NaN without rows, and where a label or a prediction is no finite number.

    Raises
    ------
    Invalid
        The two have different lengths.

    Examples
    --------
    >>> mae([10.0, 20.0], [12.0, 16.0])
    3.0
    """
    truth, given = _numbers(labels, predictions)
    return float(np.mean(np.abs(given - truth))) if truth.size else float("nan")


def mse(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean squared error; lower is better. Parameters and errors are those of `mae`.

    Returns
    -------
    float
        In the square of the labels' unit, or NaN.

    Examples
    --------
    >>> mse([10.0, 20.0], [12.0, 16.0])
    10.0
    """
    truth, given = _numbers(labels, predictions)
    return float(np.mean((given - truth) ** 2)) if truth.size else float("nan")


def rmse(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Root of `mse`, in the labels' unit.

    Examples
    --------
    >>> round(rmse([10.0, 20.0], [12.0, 16.0]), 4)
    3.1623
    """
    return math.sqrt(mse(labels, predictions))


def mape(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean absolute error relative to the label's size, each at most 1; lower is better.

    Parameters and errors are those of `mae`. A label of 0 makes an error of 1, unless it is met.

    Returns
    -------
    float
        From 0 to 1, or NaN.

    Examples
    --------
    >>> mape([10.0, 20.0], [12.0, 16.0])
    0.2
    >>> mape([0.0, 1.0], [1.0, 100.0])
    1.0
    """
    truth, given = _numbers(labels, predictions)
    if not truth.size:
        return float("nan")
    error, size = np.abs(given - truth), np.abs(truth)
    relative = np.divide(error, size, out=(error > 0).astype(np.float64), where=error < size)
    return float(np.mean(relative))


def r2(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the labels' variance that is explained: 1 less `mse` over that of their own mean; higher is better.

    Parameters and errors are those of `mae`.

    Returns
    -------
    float
        At most 1; below 0 for what is worse than their mean. NaN where `mae` is, and where all labels are equal.

    Examples
    --------
    >>> r2([10.0, 20.0], [12.0, 16.0])
    0.6
    """
    truth, given = _numbers(labels, predictions)
    spread = float(np.var(truth)) if truth.size else 0.0
    return 1.0 - float(np.mean((given - truth) ** 2)) / spread if spread > 0 else float("nan")


def _numbers(labels: ArrayLike, predictions: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64; empty when any row cannot be measured, since the error of the others would hide it."""
    truth, given = _paired(labels, predictions)
    if np.isfinite(truth).all() and np.isfinite(given).all():
        return truth, given
    return truth[:0], given[:0]


def _rows(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64; empty when any row cannot be scored, since a score of the others would hide it."""
    truth, given = _paired(labels, probabilities)
    if np.all((truth == 0) | (truth == 1)) and np.all((given >= 0) & (given <= 1)):
        return truth, given
    return truth[:0], given[:0]


def _paired(labels: ArrayLike, answers: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, given = np.asarray(labels, np.float64).ravel(), np.asarray(answers, np.float64).ravel()
    if truth.size != given.size:
        raise Invalid(f"{truth.size} labels do not belong to {given.size} answers: give one each per row.")
    return truth, given


@dataclass(frozen=True, slots=True)
class _Metric:
    compute: Callable[[ArrayLike, ArrayLike], float]
    higher_is_better: bool


_METRICS = {
    "log_loss": _Metric(log_loss, higher_is_better=False),
    "brier": _Metric(brier, higher_is_better=False),
    "roc_auc": _Metric(roc_auc, higher_is_better=True),
    "mae": _Metric(mae, higher_is_better=False),
    "mse": _Metric(mse, higher_is_better=False),
    "rmse": _Metric(rmse, higher_is_better=False),
    "mape": _Metric(mape, higher_is_better=False),
    "r2": _Metric(r2, higher_is_better=True),
}

METRICS: Mapping[str, Callable[[ArrayLike, ArrayLike], float]] = {
    name: each.compute for name, each in _METRICS.items()
}
"""Every metric that a gate can name, from labels and answers to its value; which ones, a task says."""


def higher_is_better(metric: str) -> bool:
    """Say in which direction a metric improves.

    Raises
    ------
    UnknownMetric
        No metric has that name.

    Examples
    --------
    >>> higher_is_better("roc_auc"), higher_is_better("log_loss")
    (True, False)
    """
    if metric not in _METRICS:
        raise UnknownMetric(metric)
    return _METRICS[metric].higher_is_better
