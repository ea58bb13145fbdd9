"""Scores and outcomes, or errors of predicted numbers, by level and by group: what every metric is made from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.metric import LEVELS, MetricSpec, level_of
from mainspring.monitoring.detector import Stream

__all__ = [
    "ALL_ROWS",
    "GAPS",
    "OTHER_VALUES",
    "SCORE_METRICS",
    "ScoreTable",
    "UnknownScoreMetric",
    "concept_streams",
    "fairness_streams",
    "group_name",
    "metric_streams",
    "values_among",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ALL_ROWS = ""
"""The group of all rows."""
OTHER_VALUES = "other"
"""The value of an attribute in place of all those that are no groups of their own."""

_LEVELS = LEVELS
_HALF = _LEVELS // 2
_NATS = 4.0
_BANDS = 10
_ASKED, _NEGATIVE, _POSITIVE = range(3)
_LOW = np.arange(_LEVELS) / _LEVELS
_HIGH = np.arange(1, _LEVELS + 1) / _LEVELS
_IS_HIGH = np.arange(_LEVELS) >= _HALF


class UnknownScoreMetric(Invalid):
    """A metric that score tables do not give."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name, known)
        self.name, self.known = name, tuple(known)

    def __str__(self) -> str:
        return f"There is no metric {self.name!r} to watch: it is one of {', '.join(self.known)}."


def group_name(attribute: str, value: str) -> str:
    """Name of the rows in which an attribute has a value.

    Examples
    --------
    >>> group_name("carrier", "AA")
    'carrier=AA'
    """
    return f"{attribute}={value}"


def values_among(groups: Iterable[str], attribute: str) -> tuple[str, ...]:
    """Values of an attribute that are among some groups, in order.

    Examples
    --------
    >>> values_among(["", "carrier=UA", "origin=JFK", "carrier=AA"], "carrier")
    ('AA', 'UA')
    """
    begin = group_name(attribute, "")
    return tuple(sorted(name.removeprefix(begin) for name in groups if name.startswith(begin)))


class ScoreTable:
    """Predictions by level of their score, for all rows and for groups of them: how many were asked, and the labels.

    Parameters
    ----------
    groups : mapping of str to ndarray of int, shape (256, 3)
        By the group's name, for each level the rows that were asked, those with label 0 and those with label 1.

    Examples
    --------
    >>> january = ScoreTable.of([0.9, 0.2], [1, None], {"carrier": ["AA", "UA"]})
    >>> february = ScoreTable.of([0.4], [1], {"carrier": ["AA"]})
    >>> january.merge(february).rows("carrier=AA")
    (2, 2)
    """

    __slots__ = ("groups",)

    def __init__(self, groups: Mapping[str, Ints] | None = None) -> None:
        self.groups: dict[str, Ints] = {ALL_ROWS: _no_rows()} if groups is None else dict(groups)

    @classmethod
    def of(
        cls,
        scores: Sequence[float],
        outcomes: Sequence[int | None],
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> ScoreTable:
        """Count predictions.

        Parameters
        ----------
        scores : sequence of float, shape (n,)
            Predicted probability of outcome 1.
        outcomes : sequence of int or None, shape (n,)
            0 or 1; None where it is not known.
        attributes : mapping of str to sequence of str, shape (n,), optional
            By which to make groups.
        """
        table = cls()
        for row, (score, outcome) in enumerate(zip(scores, outcomes, strict=True)):
            groups = [group_name(name, of[row]) for name, of in (attributes or {}).items()]
            table.ask(score, groups)
            if outcome is not None:
                table.label(score, outcome, groups)
        return table

    def ask(self, score: float, groups: Iterable[str]) -> None:
        """Count a prediction among all rows and in its groups, in place."""
        self._add(score, _ASKED, 1, groups)

    def label(self, score: float, outcome: int, groups: Iterable[str], sign: int = 1) -> None:
        """Count the label of a prediction likewise; with a sign of -1 take it out again."""
        self._add(score, _POSITIVE if outcome else _NEGATIVE, sign, groups)

    def label_number(self, error: float, groups: Iterable[str], sign: int = 1) -> None:
        """Count the label of a predicted number by its error, a share of the range from -1 to 1.

        The size of an error is a score, and whether it was too low is the outcome. Levels are finer the nearer to 0,
        since errors mostly are a small part of their range. Before the label came the prediction was asked with a score
        of 0.
        """
        score = math.sqrt(abs(error))
        self._add(0.0, _ASKED, -sign, groups)
        self._add(score, _ASKED, sign, groups)
        self._add(score, _POSITIVE if error < 0 else _NEGATIVE, sign, groups)

    def _add(self, score: float, what: int, count: int, groups: Iterable[str]) -> None:
        level = level_of(score)
        for name in (ALL_ROWS, *groups):
            if name not in self.groups:
                self.groups[name] = _no_rows()
            self.groups[name][level, what] += count

    def of_group(self, name: str) -> Ints:
        """Rows of a group by level, shape (256, 3); none where it is not there."""
        return self.groups.get(name, _NOTHING)

    def rows(self, name: str) -> tuple[int, int]:
        """How many rows of a group were asked, and how many are labelled."""
        table = self.of_group(name)
        return int(table[:, _ASKED].sum()), int(table[:, 1:].sum())

    def values(self, attribute: str) -> tuple[str, ...]:
        """Values of an attribute that are groups, in order."""
        return values_among(self.groups, attribute)

    def merge(self, other: ScoreTable) -> ScoreTable:
        """Table of the rows of both; exact, in any order."""
        names = {*self.groups, *other.groups}
        return ScoreTable({name: self.of_group(name) + other.of_group(name) for name in names})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScoreTable) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        raise TypeError("A ScoreTable changes as rows come, so it has no hash.")

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal tables."""
        told = {}
        for name, table in sorted(self.groups.items()):
            levels = np.flatnonzero(table.any(axis=1))
            if name == ALL_ROWS or len(levels):
                told[name] = [[int(level), *table[level].tolist()] for level in levels]
        return json.dumps({"levels": _LEVELS, "groups": told}, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ScoreTable:
        """Read what `to_json` wrote."""
        groups = {}
        for name, rows in json.loads(text)["groups"].items():
            groups[name] = _no_rows()
            for level, *counts in rows:
                groups[name][level] = counts
        return cls(groups)


def _no_rows() -> Ints:
    return np.zeros((_LEVELS, 3), dtype=np.int64)


_NOTHING = _no_rows()
_NOTHING.setflags(write=False)


# --- metrics -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cells:
    """What rows of each level and outcome count as, and which are in the stream at all.

    `lower` and `upper` are of shape (256, 2), by outcome; NaN for rows that are not in it. `suffix` tells two streams
    of one metric apart.
    """

    lower: Floats
    upper: Floats
    suffix: str = ""

    @classmethod
    def exact(cls, negative: Floats, positive: Floats, suffix: str = "") -> _Cells:
        values = np.stack([negative, positive], axis=1)
        return cls(values, values, suffix)

    @property
    def turned(self) -> _Cells:
        """What rises where these fall."""
        return _Cells(1.0 - self.upper, 1.0 - self.lower, self.suffix)


_Metric = Callable[[Ints], Sequence[_Cells]]
_OUT = np.full(_LEVELS, math.nan)
_WRONG_POSITIVE = _IS_HIGH.astype(np.float64)
_WRONG_NEGATIVE = (~_IS_HIGH).astype(np.float64)


def _error(_: Ints) -> Sequence[_Cells]:
    return (_Cells.exact(_WRONG_POSITIVE, _WRONG_NEGATIVE),)


def _brier(_: Ints) -> Sequence[_Cells]:
    lower = np.stack([_LOW**2, (1.0 - _HIGH) ** 2], axis=1)
    return (_Cells(lower, np.stack([_HIGH**2, (1.0 - _LOW) ** 2], axis=1)),)


def _log_loss(_: Ints) -> Sequence[_Cells]:
    with np.errstate(divide="ignore"):
        nats = [-np.log(each) for each in (1.0 - _LOW, _HIGH, 1.0 - _HIGH, _LOW)]
    low_0, low_1, high_0, high_1 = (np.minimum(each / _NATS, 1.0) for each in nats)
    return (_Cells(np.stack([low_0, low_1], axis=1), np.stack([high_0, high_1], axis=1)),)


def _precision(_: Ints) -> Sequence[_Cells]:
    return (_Cells.exact(np.where(_IS_HIGH, 1.0, math.nan), np.where(_IS_HIGH, 0.0, math.nan)),)


def _recall(_: Ints) -> Sequence[_Cells]:
    return (_Cells.exact(_OUT, _WRONG_NEGATIVE),)


def _false_positive_rate(_: Ints) -> Sequence[_Cells]:
    return (_Cells.exact(_WRONG_POSITIVE, _OUT),)


def _f1(_: Ints) -> Sequence[_Cells]:
    return (_Cells.exact(np.where(_IS_HIGH, 1.0, math.nan), _WRONG_NEGATIVE),)


def _roc_auc(reference: Ints) -> Sequence[_Cells]:
    negative, positive = reference[:, _NEGATIVE], reference[:, _POSITIVE]
    if not negative.any() or not positive.any():
        return (_Cells.exact(_OUT, _OUT),)

    def place(table: Ints) -> Floats:
        """Share of rows below each level, those in it by half."""
        # In whole numbers, so that no share is a rounding below 0 or above 1.
        return np.asarray((2 * np.cumsum(table) - table) / (2 * table.sum()))

    return (
        _Cells.exact(_OUT, 1.0 - place(negative), " of positives"),
        _Cells.exact(place(positive), _OUT, " of negatives"),
    )


def _absolute_error(_: Ints) -> Sequence[_Cells]:
    return (_Cells(np.stack([_LOW**2] * 2, axis=1), np.stack([_HIGH**2] * 2, axis=1)),)


def _squared_error(_: Ints) -> Sequence[_Cells]:
    return (_Cells(np.stack([_LOW**4] * 2, axis=1), np.stack([_HIGH**4] * 2, axis=1)),)


_METRICS: Mapping[str, tuple[_Metric, str, float]] = MappingProxyType(
    {
        "log_loss": (_log_loss, "log_loss", _NATS),
        "brier": (_brier, "brier", 1.0),
        "accuracy": (_error, "1 - accuracy", 1.0),
        "precision": (_precision, "1 - precision", 1.0),
        "recall": (_recall, "1 - recall", 1.0),
        "f1": (_f1, "share of mistakes where either says yes", 1.0),
        "roc_auc": (_roc_auc, "1 - roc_auc", 1.0),
        "mae": (_absolute_error, "mae", 1.0),
        "mse": (_squared_error, "mse", 1.0),
    }
)
SCORE_METRICS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {name: (unit, scale) for name, (_, unit, scale) in _METRICS.items()}
)
"""By metric the unit in which its streams are told, and what 1 on the detector's scale is in it."""


def metric_streams(
    metric: str | MetricSpec,
    reference: ScoreTable,
    checks: Sequence[ScoreTable],
    *,
    awaited: Sequence[bool],
    attributes: Sequence[str] = (),
    tolerance: float = 0.01,
) -> tuple[Stream, ...]:
    """Streams that rise when a metric has become worse, over all rows and in every group of some attributes.

    Parameters
    ----------
    metric : str or MetricSpec
        One of `SCORE_METRICS`, or one of the product's own, without a fault.
    reference : ScoreTable
        Rows that the model was accepted on, all labelled.
    checks : sequence of ScoreTable
        Cohorts of predictions since, oldest first.
    awaited : sequence of bool, one for each check
        Whether labels may still come; if not, rows without one are left out.
    attributes : sequence of str
        Whose groups are watched besides.
    tolerance : float, default 0.01
        Rise of the mean that is not worth an alarm, on the scale from 0 to 1.

    Returns
    -------
    tuple of Stream
        All rows first, then group by group. ROC AUC has two: positives that rank lower, negatives that rank higher.

    Raises
    ------
    UnknownScoreMetric
        It is none of these.

    Notes
    -----
    Each is the mean of one bounded number per row, so that the detector's promise holds as it is.

    ``accuracy``: whether the likelier outcome did not come. ``precision``: the same of rows with a score of 0.5 up;
    ``recall``: of rows whose outcome is 1. ``f1``: of rows that have either, which is 1 - J for Jaccard's index J, of
    which F1 = 2 J / (1 + J) is an increasing function. ``roc_auc``: by the U-statistic [1]_, 1 - AUC is the mean over
    positive rows of the share of the reference's negative rows that score higher (ties by half), and the mean over
    negative rows likewise; either rises when positives or negatives, by themselves, rank worse among the other kind as
    it was. Scores count by 256 levels, losses by the ends of a level.

    A row that waits for its label counts as one without loss where a rise is looked for and as one with the greatest
    before it, as in `mainspring.monitoring.quality_stream`. Where it will turn out not to be in the stream (a negative,
    for recall) both take evidence away.

    References
    ----------
    .. [1] H. B. Mann, D. R. Whitney (1947). On a test of whether one of two random variables is stochastically larger
       than the other. Ann. Math. Stat. 18, 50-60.
    """
    cells_of, unit, column = _told(metric)
    streams = []
    for name in (ALL_ROWS, *_groups(reference, attributes)):
        before = reference.of_group(name)
        where = f" where {name}" if name else ""
        for cells in cells_of(before):
            since = [(check.of_group(name), waits) for check, waits in zip(checks, awaited, strict=True)]
            stream = _stream(cells, before, since)
            streams.append(
                replace(
                    stream, name=f"{unit}{cells.suffix}{where}", column=name or column, tolerance=tolerance
                )
            )
    return tuple(streams)


def _told(metric: str | MetricSpec) -> tuple[_Metric, str, str]:
    """As what rows count for a metric, the unit of that, and the metric's name."""
    if isinstance(metric, MetricSpec):
        harms = np.array(metric.harms).reshape(_LEVELS, 2)
        return lambda _: (_Cells(harms, harms),), metric.unit, metric.name
    if metric not in _METRICS:
        raise UnknownScoreMetric(metric, SCORE_METRICS)
    cells_of, unit, _ = _METRICS[metric]
    return cells_of, unit, metric


def concept_streams(
    reference: ScoreTable, checks: Sequence[ScoreTable], *, awaited: Sequence[bool], tolerance: float = 0.02
) -> tuple[Stream, ...]:
    """Streams that rise when outcomes have moved where the scores are the same.

    The reference's rows are cut into ten bands of about as many rows by their score. In each, the share of outcome 1 is
    watched in both directions. Inputs whose distribution moves along the score leave it as it is, as far as it does not
    vary within a band. What is left is a change of what a score says of the outcome.

    Parameters
    ----------
    reference, checks, awaited
        As in `metric_streams`.
    tolerance : float, default 0.02
        Change of the share of outcome 1 in a band that is not worth an alarm.

    Returns
    -------
    tuple of Stream
        Two for each band that has rows in the reference.
    """
    before = reference.of_group(ALL_ROWS)
    streams = []
    for begin, end in _bands(before):
        inside = np.zeros(_LEVELS, dtype=bool)
        inside[begin:end] = True
        often = _Cells.exact(np.where(inside, 0.0, math.nan), np.where(inside, 1.0, math.nan))
        since = [
            (check.of_group(ALL_ROWS) * inside[:, None], waits)
            for check, waits in zip(checks, awaited, strict=True)
        ]
        band = f"score {begin / _LEVELS:.3g} to {end / _LEVELS:.3g}"
        for cells, how in ((often, "more"), (often.turned, "less")):
            stream = _stream(cells, before, since)
            streams.append(
                replace(stream, name=f"outcome {how} often at {band}", column=band, tolerance=tolerance)
            )
    return tuple(streams)


def _bands(reference: Ints) -> list[tuple[int, int]]:
    """Begin and end of each band of levels; together they are all levels."""
    rows = np.cumsum(reference[:, 1:].sum(axis=1))
    if not rows[-1]:
        return []
    edges = {int(np.searchsorted(rows, rows[-1] * part / _BANDS)) + 1 for part in range(1, _BANDS)}
    ends = sorted({each for each in edges if rows[each - 1] < rows[-1]} | {_LEVELS})
    return list(zip([0, *ends[:-1]], ends, strict=True))


_GAPS: Mapping[str, _Cells] = MappingProxyType(
    {
        "positive_rate": _Cells.exact(_WRONG_POSITIVE, _WRONG_POSITIVE),
        "recall": _recall(_NOTHING)[0].turned,
        "false_positive_rate": _false_positive_rate(_NOTHING)[0],
        "error": _error(_NOTHING)[0],
        "mae": _absolute_error(_NOTHING)[0],
    }
)
GAPS: tuple[str, ...] = tuple(_GAPS)
"""Rates whose gaps between groups can be watched."""


def fairness_streams(
    metric: str,
    attribute: str,
    values: Sequence[str],
    checks: Sequence[ScoreTable],
    *,
    awaited: Sequence[bool],
    gap: float,
) -> tuple[Stream, ...]:
    """Streams that rise when a rate of one group is farther than `gap` from that of all the others.

    Parameters
    ----------
    metric : str
        One of `GAPS`; ``positive_rate``, the share of scores of at least 0.5, needs no labels. ``mae`` is of predicted
        numbers, the others are of probabilities.
    attribute : str
        Whose values are the groups.
    values : sequence of str
        The groups; with fewer than two there is nothing to compare.
    checks, awaited
        As in `metric_streams`.
    gap : float
        The difference that is allowed.

    Returns
    -------
    tuple of Stream
        Two for each group, with the other groups of the same days beside it, so that what moves all groups is no gap.

    Raises
    ------
    UnknownScoreMetric
        It is none of these.
    """
    if metric not in _GAPS:
        raise UnknownScoreMetric(metric, GAPS)
    labelled = metric != "positive_rate"
    tables = [
        {value: _counted(check.of_group(group_name(attribute, value)), labelled) for value in values}
        for check in checks
    ]
    streams = []
    for value in values if len(values) > 1 else ():
        own = [(each[value], waits) for each, waits in zip(tables, awaited, strict=True)]
        others = [
            (sum((table for of, table in each.items() if of != value), _NOTHING), waits)
            for each, waits in zip(tables, awaited, strict=True)
        ]
        for cells, how in ((_GAPS[metric], "higher"), (_GAPS[metric].turned, "lower")):
            stream, beside = _stream(cells, _NOTHING, own), _stream(cells, _NOTHING, others)
            name = group_name(attribute, value)
            streams.append(
                replace(
                    stream,
                    name=f"{metric} {how} where {name}",
                    column=name,
                    tolerance=gap,
                    beside=beside.checks,
                )
            )
    return tuple(streams)


def _counted(table: Ints, labelled: bool) -> Ints:
    """Count rows by their labels, or whoever was asked as if it had one."""
    if labelled:
        return table
    counted = _no_rows()
    counted[:, _ASKED] = counted[:, _NEGATIVE] = table[:, _ASKED]
    return counted


def _groups(reference: ScoreTable, attributes: Sequence[str]) -> list[str]:
    # An attribute of which the reference keeps nothing is looked at nevertheless: it lacks data, and is not quiet.
    return [
        group_name(each, value) for each in attributes for value in reference.values(each) or (OTHER_VALUES,)
    ]


def _stream(cells: _Cells, reference: Ints, checks: Sequence[tuple[Ints, bool]]) -> Stream:
    """Count rows by what they count as; name, column and tolerance are still to be told."""
    inside = ~np.isnan(cells.lower)
    ends = np.stack([cells.lower[inside], cells.upper[inside]], axis=1)
    levels, place = np.unique(ends, axis=0, return_inverse=True)
    # Where no row can be, there is one level all the same.
    levels = levels if len(levels) else np.array([[0.0, 1.0]])

    def counts(table: Ints) -> Ints:
        rows = table[:, 1:][inside]
        return np.bincount(place.ravel(), weights=rows, minlength=len(levels)).astype(np.int64)

    # A row waits in this stream if it would be in it with either label.
    may_be_in = inside.any(axis=1)
    waiting = [
        int(np.maximum(table[:, _ASKED] - table[:, 1:].sum(axis=1), 0)[may_be_in].sum()) if waits else 0
        for table, waits in checks
    ]
    lower, upper = levels.T.tolist()
    return Stream(
        name="",
        column="",
        lower=(*lower, 0.0),
        upper=(*upper, 1.0),
        reference=(*counts(reference).tolist(), 0),
        checks=tuple(
            (*counts(table).tolist(), rows) for (table, _), rows in zip(checks, waiting, strict=True)
        ),
        tolerance=0.0,
    )
