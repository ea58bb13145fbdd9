"""A metric of a product's own: a bounded number of one prediction and its label, as a table of what rows count.

The function that says so is the user's. It is asked once, in the worker process that loads the product file, for every
cell in which predictions and labels are counted; whoever judges or watches looks the answers up.
"""

from __future__ import annotations

__all__ = ["LEVELS", "Metric", "MetricSpec", "level_of", "measured"]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from mainspring.declared import Value, need
from mainspring.task import BinaryClassification, Task, answer_shares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEVELS = 256
"""Into how many levels scores, and roots of errors, are cut where they are counted."""


def level_of(score: float) -> int:
    """Level of a score in [0, 1]: the 256th part of that range in which it lies.

    Examples
    --------
    >>> level_of(0.0), level_of(0.5), level_of(1.0)
    (0, 128, 255)
    """
    return min(LEVELS - 1, max(0, int(score * LEVELS)))


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of one prediction and its label, from `low` to `high`, whose mean gates and monitors measure.

    Attributes
    ----------
    name : str
        By which gates and monitors name it.
    function : callable
        For `BinaryClassification` of the probability and the outcome, 0 or 1. For `Regression` of the error alone, the
        answer less the label, both within the range, in the unit of the label. It must give the same again for the
        same arguments, and knows of no other row.
    low, high : float
        Between which it lies, both included.
    better : {"lower", "higher"}
        Which way it improves.

    Notes
    -----
    The function is asked when the product file is loaded, for the middle of each 256th part of the probabilities and
    for either outcome; of errors, for either sign and the middles of levels that are finer the nearer to 0. So a row
    counts as the middle of its level does, to gates and to monitors alike.

    Examples
    --------
    >>> def cost(probability: float, outcome: int) -> float:
    ...     refused = probability >= 0.25
    ...     return 20.0 if refused and not outcome else 500.0 if outcome and not refused else 0.0
    >>> spec = measured(Metric("cost_eur", cost, low=0, high=500), BinaryClassification("late"))
    >>> spec.mean(BinaryClassification("late"), [1, 0, 0, 1], [0.1, 0.9, 0.2, 0.6])
    130.0
    """

    name: str
    function: Callable[..., float]
    low: float
    high: float
    better: Literal["lower", "higher"] = "lower"

    def __post_init__(self) -> None:
        need(
            str(self.name).isidentifier(),
            "The name of a Metric",
            repr(self.name),
            "it is a word, as cost_eur",
        )
        sound = math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high
        span = f"{self.low} to {self.high}"
        need(sound, f"The range of {self.name}", span, "it goes from a number to a greater one")
        way = "it improves towards 'lower' or 'higher'"
        need(self.better in ("lower", "higher"), f"The better of {self.name}", repr(self.better), way)


class MetricSpec(Value, frozen=True, kw_only=True):
    """A metric without its function.

    Attributes
    ----------
    name, low, high, better
        As in `Metric`.
    values : tuple of float, shape (512,)
        What a row counts: for each level first with outcome 0, or an answer too high, then with outcome 1, or one too
        low. Empty where the function could not be asked.
    fault : str
        Why it could not be; otherwise empty.
    """

    name: str
    low: float
    high: float
    better: Literal["lower", "higher"]
    values: tuple[float, ...] = ()
    fault: str = ""

    @property
    def unit(self) -> str:
        """What rises when it gets worse, as far as it is above its least."""
        if self.better == "higher":
            return f"{self.high:g} - {self.name}"
        return self.name if self.low == 0 else f"{self.name} - {self.low:g}"

    @property
    def span(self) -> float:
        """The range."""
        return self.high - self.low

    @property
    def harms(self) -> tuple[float, ...]:
        """The values as shares of the range, 0 the best and 1 the worst."""
        best = self.low if self.better == "lower" else self.high
        return tuple(min(1.0, abs(value - best) / self.span) for value in self.values)

    def mean(self, task: Task, labels: ArrayLike, answers: ArrayLike) -> float:
        """Mean over rows.

        Parameters
        ----------
        task : Task
            Of the product.
        labels, answers : array-like of float, shape (n_rows,)
            As gates have them.

        Returns
        -------
        float
            NaN where there is a fault, or no row, or where a label or an answer is none.
        """
        import numpy as np

        truth, given = np.asarray(labels, np.float64).ravel(), np.asarray(answers, np.float64).ravel()
        sound = np.isfinite(truth) & np.isfinite(given)
        if isinstance(task, BinaryClassification):
            sound &= ((truth == 0) | (truth == 1)) & (given >= 0) & (given <= 1)
        if self.fault or not truth.size or not sound.all():
            return math.nan
        if isinstance(task, BinaryClassification):
            scores, second = given, truth == 1
        else:
            errors = answer_shares(task, given) - answer_shares(task, truth)
            scores, second = np.sqrt(np.abs(errors)), errors < 0
        levels = np.minimum((scores * LEVELS).astype(np.int64), LEVELS - 1)
        return float(np.mean(np.array(self.values)[2 * levels + second]))


def measured(metric: Metric, task: Task) -> MetricSpec:
    """Ask a metric's function for every cell; what it raises, or gives out of its range, becomes the fault."""
    spec = MetricSpec(name=metric.name, low=float(metric.low), high=float(metric.high), better=metric.better)
    values: list[float] = []
    for arguments, words in _cells(task):
        try:
            value, again = (float(metric.function(*arguments)) for _ in range(2))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's function may raise anything
            return replace(spec, fault=f"{type(error).__name__}: {str(error)[:200]}, {words}")
        if not spec.low <= value <= spec.high:
            why = f"it is {value:g}, not from {spec.low:g} to {spec.high:g}"
            return replace(spec, fault=f"{why}, {words}")
        if value != again:
            return replace(spec, fault=f"it is not the same when asked twice, {words}")
        values.append(value)
    if len(set(values[::2])) == len(set(values[1::2])) == 1 and isinstance(task, BinaryClassification):
        # Nobody would ask for a probability to ignore it: a threshold lies within one level.
        return replace(spec, fault=f"it is the same at the middle of every {LEVELS}th of the probabilities")
    return replace(spec, values=tuple(values))


def _cells(task: Task) -> Iterator[tuple[tuple[float, ...], str]]:
    """Arguments of the function for each cell, and the same in words."""
    for level in range(LEVELS):
        middle = (level + 0.5) / LEVELS
        if isinstance(task, BinaryClassification):
            for outcome in (0, 1):
                yield (middle, outcome), f"at a probability of {middle:.4g} and outcome {outcome}"
        else:
            size = middle**2 * (task.high - task.low)
            for error in (size, -size):
                yield (error,), f"at an error of {error:.4g}"
