"""Quality before the labels come: what the rows that a version was judged on say of a window that has none yet.

The labelled rows are weighed so that they have the window's scores and, column by column, its inputs; the metric on
the weighed rows is the estimate. Of the window nothing is needed but its profile, so it may be a day, or the merge of
many from many machines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.monitoring.profiles import (
    CategoryProfile,
    ColumnProfile,
    Frame,
    NumberProfile,
    Profile,
    ProfileMismatch,
    profile,
)
from mainspring.monitoring.profiles.buckets import bucket_keys

__all__ = ["Estimability", "Estimate", "Estimates", "LabelledRows", "RowsMismatch", "estimate"]

Floats = NDArray[np.float64]

_FORMAT = 1
_LEAST_ROWS, _LEAST_OUTCOMES = 500, 50
_LEAST_WINDOW, _LEAST_EVENTS = 200, 30
_MOST_ROWS = 10_000
_CELLS, _SCORE_KNOTS, _KNOTS, _CATEGORIES, _NAMES = 32, 12, 6, 10, 250
_LEAST_APART = 20
_ROWS_PER_MOMENT, _MOST_MOMENTS = 25, 150
_UNSEEN = 0.01
_LEAST_EFFECTIVE = 0.05
_CERTAINTY = 2.2e-16
_OTHER_FRAME = "the window was not profiled in the frame of the labelled rows"
_NORMAL = NormalDist()
_HALF = _NORMAL.inv_cdf(0.95)


class RowsMismatch(Invalid):
    """Labelled rows that no estimate can be made from."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"No estimate can be made from these labelled rows: {self.reason}. "
            "Give each row a finite score in [0, 1], an outcome of 0 or 1, and a value or a null per column."
        )


class Estimability(Enum):
    """Whether a window's quality can be estimated, and if not, why."""

    ESTIMATED = "estimated"
    REFERENCE_TOO_SMALL = "reference_too_small"
    WINDOW_TOO_SMALL = "window_too_small"
    NOT_COVERED = "not_covered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a metric will be when the window's labels have come.

    Parameters
    ----------
    value : float
        In the metric's own unit.
    low, high : float
        Ends of its interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """The estimates of a window, or why there are none.

    Parameters
    ----------
    outcome : Estimability
        With any other than ``ESTIMATED`` there is no figure.
    reason : str
        What was found and what was needed; empty with ``ESTIMATED``.
    rows : int
        Of the window, with a score.
    metrics : mapping of str to Estimate
        Of ``log_loss`` (nats), ``brier``, ``accuracy``, ``precision``, ``recall``, ``f1`` (all four at a score of 0.5)
        and ``roc_auc`` those that could be estimated; of predicted numbers of the losses that are kept.
    withheld : mapping of str to str
        The others, each with its reason.
    """

    outcome: Estimability
    reason: str = ""
    rows: int = 0
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    withheld: Mapping[str, str] = field(default_factory=dict)


class _Numbers(msgspec.Struct, frozen=True, kw_only=True, tag="numbers"):
    """Cells of a column of numbers: up to the first bucket key, up to the next, ..., above the last; then missing.

    The first and the last cell lie outside what the labelled rows have seen.
    """

    offset: float
    keys: tuple[int, ...]

    @classmethod
    def of(cls, column: NumberProfile) -> Self:
        if not column.buckets:
            return cls(offset=column.offset, keys=())
        inner = {column.key_at(share / _CELLS) for share in range(1, _CELLS)}
        outer = {column.buckets[0][0] - 1, column.buckets[-1][0]}
        return cls(offset=column.offset, keys=tuple(sorted(inner | outer)))

    def codes(self, values: Any) -> NDArray[np.uint8]:
        numbers = np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
        # By the buckets themselves: an edge that has the offset put back is rounded, and a zero has no width.
        cells = np.searchsorted(self.keys, bucket_keys(numbers, self.offset))
        return np.where(np.isnan(numbers), len(self.keys) + 1, cells).astype(np.uint8)

    def counts(self, name: str, column: ColumnProfile) -> NDArray[np.int64]:
        if not isinstance(column, NumberProfile) or column.offset != self.offset:
            raise ProfileMismatch(name, _OTHER_FRAME)
        reached = [0, *(column.at_most(key) for key in self.keys), column.valid]
        return np.array([*np.diff(reached), column.missing])

    def coarse(self, codes: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
        """Codes of at most so many cells: neighbours among those inside go together."""
        inside, room = len(self.keys) - 1, most - 3
        together = max(1, -(-inside // room))
        joined = [0, *(1 + place // together for place in range(inside))]
        above = joined[-1] + 1
        return np.array([*joined, above, above + 1], dtype=np.uint8)[codes]

    def moments(self, known: NDArray[np.int64], knots: int) -> list[Floats]:
        """How far a value lies up its distribution, how far above each of some knots, and whether there is none.

        The scale is that of a normal distribution with the same ranks. A knot has enough rows on either side.
        """
        given, missing = known[:-1], (np.arange(len(known)) == len(known) - 1).astype(np.float64)
        total = given.sum()
        if not total:
            return [missing]
        reached = given.cumsum()
        ranks = np.clip((reached - given / 2) / total, 1e-4, 1 - 1e-4)
        scale = np.array([_NORMAL.inv_cdf(rank) for rank in ranks])
        places: list[int] = []
        for knot in range(1, knots + 1):
            place = int(np.searchsorted(reached, total * knot / (knots + 1)))
            before = reached[places[-1]] if places else 0
            if place and min(reached[place - 1] - before, total - reached[place]) >= _LEAST_APART:
                places.append(place)
        found = [scale, *(np.maximum(scale - scale[place], 0) for place in places)]
        return [*(np.append(each, 0.0) for each in found), missing]


class _Categories(msgspec.Struct, frozen=True, kw_only=True, tag="categories"):
    """Cells of a column of categories: each that was seen, the most frequent first; any other; then missing."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, column: CategoryProfile) -> Self:
        frequent = sorted(column.named, key=lambda pair: (-pair[1], pair[0]))
        return cls(names=tuple(name for name, _ in frequent[:_NAMES]))

    def codes(self, values: Any) -> NDArray[np.uint8]:
        places: dict[str | None, int] = {name: place for place, name in enumerate(self.names)}
        places[None] = len(self.names) + 1
        return np.array([places.get(value, len(self.names)) for value in values], dtype=np.uint8)

    def counts(self, name: str, column: ColumnProfile) -> NDArray[np.int64] | None:
        if not isinstance(column, CategoryProfile):
            raise ProfileMismatch(name, _OTHER_FRAME)
        if column.level and column.known is None:
            return None  # counted by hash: how many each category has is not known
        named = dict(column.named)
        known = [named.get(name, 0) for name in self.names]
        return np.array([*known, column.valid - sum(known), column.missing])

    def coarse(self, codes: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
        """Codes of at most so many cells: rarer categories are among the others; the last two are these and none."""
        other = min(len(self.names), most - 2)
        missing = codes == len(self.names) + 1
        return np.where(missing, other + 1, np.minimum(codes, other)).astype(np.uint8)

    def moments(self, known: NDArray[np.int64], knots: int) -> list[Floats]:
        """Whether a value is each of the frequent categories, and whether there is none."""
        one = np.eye(len(known))
        return [*one[: min(len(self.names), _CATEGORIES)], one[-1]]


class _Head(msgspec.Struct):
    format: int


class _Document(_Head, omit_defaults=True):
    """The text of labelled rows; numbers as their bytes, the least first."""

    score: str
    cells: dict[str, _Numbers | _Categories]
    codes: bytes
    scores: bytes
    outcomes: bytes
    losses: dict[str, bytes] = {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRows:
    """Rows that a version was judged on, as an estimate needs them.

    Each column is kept as the cell that its value falls in. Cells end at the edges of a profile's buckets, so that a
    window's profile says exactly how many of its rows fall in each.

    Parameters
    ----------
    score : str
        The column of the scores.
    cells : mapping of str
        The cells of each column, the scores' among them.
    codes : ndarray of uint8, shape (n_columns, n)
        The cell of each row, column by column as in `cells`.
    scores : ndarray of float32, shape (n,)
        Predicted probability of the positive outcome.
    outcomes : ndarray of bool, shape (n,)
        Whether it came.
    losses : mapping of str to ndarray of float32, shape (n,)
        Where numbers were predicted, of each metric the loss of each row, and no `scores` and `outcomes`.
    """

    score: str
    cells: Mapping[str, _Numbers | _Categories]
    codes: NDArray[np.uint8]
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    outcomes: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    losses: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        columns: Mapping[str, NDArray[Any] | Sequence[str | None]],
        frame: Frame,
        *,
        score: str,
        outcomes: NDArray[np.generic],
    ) -> Self:
        """Keep labelled rows; of more than 10,000, as many at even steps.

        Parameters
        ----------
        columns : mapping of str to array, each of shape (n,)
            Numbers with a mask or NaN for null, categories with None, and the scores. Texts, vectors and lists are not
            weighed by.
        frame : mapping of str to ColumnProfile
            That windows will be profiled in.
        score : str
            Which column holds the scores.
        outcomes : ndarray of bool or int, shape (n,)
            Whether the positive outcome came.

        Raises
        ------
        RowsMismatch
            Columns differ in length, a score is not in [0, 1], or an outcome is neither 0 nor 1.
        """
        y = np.asarray(outcomes, dtype=np.float64)
        scores = np.asarray(columns[score], dtype=np.float64)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise RowsMismatch("a score is not in [0, 1]")
        if not ((y == 0) | (y == 1)).all():
            raise RowsMismatch("an outcome is neither 0 nor 1")
        cells, codes, step = cls._cells(columns, frame, score, len(y))
        return cls(
            score=score,
            cells=cells,
            codes=codes,
            scores=scores[::step].astype(np.float32),
            outcomes=(y == 1)[::step],
        )

    @classmethod
    def of_numbers(
        cls,
        columns: Mapping[str, NDArray[Any] | Sequence[str | None]],
        frame: Frame,
        *,
        score: str,
        losses: Mapping[str, NDArray[np.float64]],
    ) -> Self:
        """Keep rows of which numbers were predicted; of more than 10,000, as many at even steps.

        Parameters
        ----------
        columns, frame, score
            As for `of`; a score is a prediction, and any number.
        losses : mapping of str to ndarray, each of shape (n,)
            By metric.

        Raises
        ------
        RowsMismatch
            Columns differ in length, or a loss is no finite number.
        """
        if not all(np.isfinite(each).all() for each in losses.values()):
            raise RowsMismatch("a loss is no finite number")
        cells, codes, step = cls._cells(columns, frame, score, len(next(iter(losses.values()))))
        kept = {name: each[::step].astype(np.float32) for name, each in losses.items()}
        return cls(score=score, cells=cells, codes=codes, losses=kept)

    @staticmethod
    def _cells(
        columns: Mapping[str, NDArray[Any] | Sequence[str | None]], frame: Frame, score: str, rows: int
    ) -> tuple[dict[str, _Numbers | _Categories], NDArray[np.uint8], int]:
        """Cells of each column, those of the rows that are kept, and the step at which these are taken."""
        for name, values in columns.items():
            if len(values) != rows:
                raise RowsMismatch(f"column {name!r} has {len(values)} rows, and there are {rows} outcomes")
        summary = profile(columns, frame)
        cells: dict[str, _Numbers | _Categories] = {}
        codes = []
        for name in sorted(columns):
            column = summary.columns[name]
            if isinstance(column, NumberProfile):
                numbers = _Numbers.of(column)
                codes.append(numbers.codes(columns[name]))
                cells[name] = numbers
            elif isinstance(column, CategoryProfile):
                categories = _Categories.of(column)
                codes.append(categories.codes(columns[name]))
                cells[name] = categories
        step = -(-rows // _MOST_ROWS) or 1
        return cells, np.stack(codes)[:, ::step], step

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.codes.shape[1])

    def is_category(self, name: str) -> bool:
        """Whether a column is one of categories, and not of numbers."""
        return isinstance(self.cells[name], _Categories)

    def coarse(self, most: int) -> dict[str, NDArray[np.uint8]]:
        """Cells of the rows by input, at most so many of each: the rarer categories are among the others."""
        return {
            name: cells.coarse(codes, most)
            for (name, cells), codes in zip(self.cells.items(), self.codes, strict=True)
            if name != self.score
        }

    def coarse_of(self, columns: Mapping[str, Any], most: int) -> dict[str, NDArray[np.uint8]]:
        """Cells of other rows, as `coarse` has them.

        Parameters
        ----------
        columns : mapping of str to array, each of shape (n,)
            As in `of`, with every input.
        most : int
        """
        return {
            name: cells.coarse(cells.codes(columns[name]), most)
            for name, cells in self.cells.items()
            if name != self.score
        }

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for the same rows."""
        document = _Document(
            format=_FORMAT,
            score=self.score,
            cells=dict(self.cells),
            codes=self.codes.tobytes(),
            scores=self.scores.astype("<f4").tobytes(),
            outcomes=self.outcomes.tobytes(),
            losses={name: each.astype("<f4").tobytes() for name, each in self.losses.items()},
        )
        return msgspec.json.encode(document).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        RowsMismatch
            It is of another format than this version's.
        """
        if (found := msgspec.json.decode(text, type=_Head).format) != _FORMAT:
            raise RowsMismatch(f"the text has format {found}, this version reads {_FORMAT}")
        document = msgspec.json.decode(text, type=_Document)
        return cls(
            score=document.score,
            cells=document.cells,
            codes=np.frombuffer(document.codes, dtype=np.uint8).reshape(len(document.cells), -1),
            scores=np.frombuffer(document.scores, dtype="<f4"),
            outcomes=np.frombuffer(document.outcomes, dtype=np.bool_),
            losses={name: np.frombuffer(each, dtype="<f4") for name, each in document.losses.items()},
        )


def estimate(reference: LabelledRows, window: Profile) -> Estimates:
    """Estimate a model's metrics on rows that have no labels yet.

    Parameters
    ----------
    reference : LabelledRows
        Rows that the model was not trained on: 500 and more, of a binary classifier 50 and more of each outcome.
    window : Profile
        Of 200 rows and more, in the reference's frame. A column that it lacks, or that was left out of the log, is not
        weighed by.

    Returns
    -------
    Estimates
        Each metric has an interval that 90 % of such windows shall have their measured metric in: it holds the chance
        in the window's own labels as well as that in the reference.

    Raises
    ------
    ProfileMismatch
        The window was profiled in another frame than the reference's.

    Notes
    -----
    *What it assumes.* The same row has the same chance of a positive outcome as it had in the reference. **It is blind
    to concept drift**: where that chance has changed, the estimate stays, and is wrong. It is no test, and raises no
    alarm.

    *How.* The reference's rows get the weights nearest to even ones, in Kullback-Leibler divergence, under which each
    moment has the window's mean [1]_: of a number where it lies, on the scale of a normal distribution with its ranks
    in the reference, and how far above each of 6 quantiles, 12 of scores; whether a category is each of the 10 most
    frequent; whether there is no value. A number's place is that of its cell, a 32nd of the reference. Where there are
    more moments than a 25th of the rows, or than 150, the columns that have moved most come first; no label has a say
    in which. To balance scores alone is a calibration, as CBPE is an isotonic one [2]_, and wants the chance given the
    score to stay. To balance inputs too corrects what scores do not tell, as PAPE does with a classifier [2]_. The
    estimate is consistent where the logarithm of the density ratio is a sum over moments, or what a row adds to the
    metric is; of a change in how columns go together it sees what the scores see of it.

    *The interval* is normal, from the influence of each row on the metric, less its regression on the moments [3]_.
    With e this rest over one minus the row's leverage, the variance is ``sum(w**2 e**2)`` for the reference and
    ``sum(w e**2) / m`` for the m labels to come.

    *Refused* is a window with more than 1 % of rows in a column where labelled rows have none (outside their range, a
    new category, another type), one whose shares no weights reach, and one whose weights leave fewer than a 20th of the
    rows effective. Precision, recall, F1 and ROC AUC need 30 rows of each kind that they divide by.

    References
    ----------
    .. [1] J. Hainmueller (2012). Entropy balancing for causal effects. Political Analysis 20, 25-46.
    .. [2] J. Bialek, J. Kivimaki, W. Kuberski, N. Perrakis (2024). Estimating model performance under covariate shift
       without labels. arXiv:2401.08348.
    .. [3] J.-C. Deville, C.-E. Sarndal (1992). Calibration estimators in survey sampling. JASA 87, 376-382.
    """
    scored = window.columns.get(reference.score)
    rows = scored.valid if isinstance(scored, NumberProfile) else 0
    if lacking := _lacking(reference):
        return _refused(Estimability.REFERENCE_TOO_SMALL, lacking, rows)
    if rows < _LEAST_WINDOW:
        return _refused(
            Estimability.WINDOW_TOO_SMALL,
            f"there are {rows:,} rows, and {_LEAST_WINDOW} are needed",
            rows,
        )
    columns = list(_counted(reference, window))
    for column in columns:
        unseen = int(column.counts[column.known == 0].sum()) / int(column.counts.sum())
        if unseen > _UNSEEN:
            return _refused(
                Estimability.NOT_COVERED,
                f"{unseen:.1%} of {column.name} lies outside what labelled rows have had",
                rows,
            )
    moments, means = _moments(reference, columns)
    weights = _balance(moments, means)
    effective = 0.0 if weights is None else 1 / float(weights @ weights)
    if weights is None or effective < _LEAST_EFFECTIVE * reference.rows:
        return _refused(
            Estimability.NOT_COVERED,
            f"the labelled rows can stand for the window only by the weight of {effective:,.0f} of {reference.rows:,}, "
            f"and a share of {_LEAST_EFFECTIVE:.0%} is needed",
            rows,
        )
    metrics, withheld = {}, {}
    spread = _spread(moments, weights)
    for metric, (counted, value, influence) in _influences(reference, weights).items():
        if min(counted * rows, counted * effective) < _LEAST_EVENTS:
            withheld[metric] = (
                f"about {counted * min(rows, effective):.0f} rows count, and {_LEAST_EVENTS} are needed"
            )
            continue
        half = _HALF * math.sqrt(spread(influence, rows))
        if not half > 0:
            withheld[metric] = (
                "no labelled row that counts differs from the others, so its spread is not known"
            )
            continue
        most = math.inf if metric == "log_loss" or reference.losses else 1.0
        metrics[metric] = Estimate(value=value, low=max(0.0, value - half), high=min(most, value + half))
    return Estimates(outcome=Estimability.ESTIMATED, rows=rows, metrics=metrics, withheld=withheld)


def _lacking(reference: LabelledRows) -> str:
    """Say what labelled rows lack; empty where they are enough."""
    if reference.losses:
        enough = reference.rows >= _LEAST_ROWS
        return "" if enough else f"there are {reference.rows:,} labelled rows, and {_LEAST_ROWS} are needed"
    positives = int(reference.outcomes.sum())
    fewest = min(positives, reference.rows - positives)
    if reference.rows >= _LEAST_ROWS and fewest >= _LEAST_OUTCOMES:
        return ""
    return (
        f"there are {reference.rows:,} labelled rows, {fewest:,} of the rarer outcome, and "
        f"{_LEAST_ROWS} and {_LEAST_OUTCOMES} are needed"
    )


def _refused(outcome: Estimability, reason: str, rows: int) -> Estimates:
    return Estimates(outcome=outcome, reason=reason, rows=rows)


class _Column(NamedTuple):
    """How many rows of the window, and of the labelled ones, each cell of a column has."""

    name: str
    cells: _Numbers | _Categories
    codes: NDArray[np.uint8]
    counts: NDArray[np.int64]
    known: NDArray[np.int64]


def _counted(reference: LabelledRows, window: Profile) -> Iterator[_Column]:
    for (name, cells), codes in zip(reference.cells.items(), reference.codes, strict=True):
        column = window.columns.get(name)
        counts = None if column is None else cells.counts(name, column)
        if counts is not None and counts.any():
            yield _Column(name, cells, codes, counts, np.bincount(codes, minlength=len(counts)))


def _moments(reference: LabelledRows, columns: Sequence[_Column]) -> tuple[Floats, Floats]:
    """Moments of the labelled rows, a column for each, and their means in the window."""
    found: list[tuple[float, list[tuple[Floats, float]]]] = []
    for column in columns:
        moved, chosen = 0.0, []
        before, now = (each / each.sum() for each in (column.known, column.counts))
        is_score = column.name == reference.score
        for moment in column.cells.moments(column.known, _SCORE_KNOTS if is_score else _KNOTS):
            usual = float(before @ moment)
            if column.known[moment != moment[column.known.argmax()]].sum() < _LEAST_APART:
                continue
            mean, variance = float(now @ moment), float(before @ (moment - usual) ** 2)
            sd = math.sqrt(variance * (1 / reference.rows + 1 / int(column.counts.sum())))
            moved = max(moved, abs(mean - usual) / sd)
            chosen.append((moment[column.codes], mean))
        found.append((math.inf if is_score else moved, chosen))
    most = min(reference.rows // _ROWS_PER_MOMENT, _MOST_MOMENTS)
    kept: list[tuple[Floats, float]] = []
    for _, chosen in sorted(found, key=lambda pair: -pair[0]):
        if len(kept) + len(chosen) <= most:
            kept += chosen
    moments = np.empty((reference.rows, len(kept)))
    for place, (moment, _) in enumerate(kept):
        moments[:, place] = moment
    return moments, np.array([mean for _, mean in kept], dtype=np.float64)


def _balance(moments: Floats, means: Floats) -> Floats | None:
    """Weights of sum 1 under which moments have their means; None where no weights do."""
    apart = moments - means
    tilt, ridge = np.zeros(len(means)), 1e-6

    def potential(tilt: Floats) -> tuple[float, Floats]:
        exponent = apart @ tilt
        most = exponent.max(initial=-math.inf)
        weights = np.exp(exponent - most)
        total = weights.sum()
        return float(most + math.log(total) + ridge / 2 * tilt @ tilt), weights / total

    value, weights = potential(tilt)
    for _ in range(50):
        mean = weights @ apart
        slope = mean + ridge * tilt
        if np.abs(slope).max(initial=0.0) < 1e-7:
            return weights if np.abs(mean).max(initial=0.0) < 1e-3 else None
        curvature = (apart * weights[:, None]).T @ apart - np.outer(mean, mean) + ridge * np.eye(len(tilt))
        step = np.linalg.solve(curvature, slope)
        length = 1.0
        while length > 1e-6:
            tried, tried_weights = potential(tilt - length * step)
            if tried <= value - 1e-4 * length * (slope @ step):
                break
            length /= 2
        else:
            return None
        tilt, value, weights = tilt - length * step, tried, tried_weights
    return None


def _spread(moments: Floats, weights: Floats) -> Callable[[Floats, int], float]:
    """Variance of a metric of a window, from the influence of each row of the reference and the window's rows."""
    design = np.column_stack([np.ones(len(weights)), moments])
    inverse = np.linalg.pinv((design * weights[:, None]).T @ design, hermitian=True)
    leverage = weights * np.einsum("ij,jk,ik->i", design, inverse, design, optimize=True)

    def spread(influence: Floats, rows: int) -> float:
        fitted = design @ (inverse @ (design.T @ (weights * influence)))
        left = (influence - fitted) / np.maximum(1 - leverage, 0.1)
        return float((weights**2 + weights / rows) @ left**2)

    return spread


def _influences(reference: LabelledRows, weights: Floats) -> dict[str, tuple[float, float, Floats]]:
    """Of each metric the share of rows that its rarest divisor counts, its value, and each row's influence on it."""
    if reference.losses:
        values = {
            name: (each.astype(np.float64), float(weights @ each)) for name, each in reference.losses.items()
        }
        return {name: (1.0, value, losses - value) for name, (losses, value) in values.items()}
    return dict(_each_influence(reference.scores.astype(np.float64), reference.outcomes, weights))


def _each_influence(
    scores: Floats, outcomes: NDArray[np.bool_], weights: Floats
) -> Iterator[tuple[str, tuple[float, float, Floats]]]:
    y, said = outcomes.astype(np.float64), (scores >= 0.5).astype(np.float64)
    came = np.clip(np.where(outcomes, scores, 1 - scores), _CERTAINTY, 1.0)
    every = np.ones_like(y)
    ratios = {
        "log_loss": (-np.log(came), every),
        "brier": ((1 - came) ** 2, every),
        "accuracy": ((said == y).astype(np.float64), every),
        "precision": (said * y, said),
        "recall": (said * y, y),
        "f1": (2 * said * y, said + y),
    }
    for metric, (part, whole) in ratios.items():
        counted = float(weights @ whole)
        value = float(weights @ part) / counted if counted else 0.0
        yield metric, (counted, value, (part - value * whole) / (counted or 1.0))
    _, place = np.unique(scores, return_inverse=True)
    one, other = np.bincount(place, weights * y), np.bincount(place, weights * (1 - y))
    counted = float(min(one.sum(), other.sum()))
    positive, negative = one.sum() or 1.0, other.sum() or 1.0
    below = ((np.cumsum(other) - other / 2) / negative)[place]
    above = (1 - (np.cumsum(one) - one / 2) / positive)[place]
    area = float(weights @ (y * below) / positive)
    influence = y * (below - area) / positive + (1 - y) * (above - area) / negative
    yield "roc_auc", (counted, area, influence)
