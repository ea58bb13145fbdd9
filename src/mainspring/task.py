"""What a product predicts: what counts as the truth, what a wrong answer costs, and which metrics there are."""

from __future__ import annotations

__all__ = ["BinaryClassification", "Regression", "Task", "answer_shares", "counted_losses"]

import math
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from mainspring.declared import Value, need
from mainspring.ranking import Lists

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BinaryClassification(Value, frozen=True):
    """Predict the probability that `label` equals `positive`.

    Attributes
    ----------
    label : str
        The dataset's column that holds the truth; null as long as it is unknown.
    positive : bool, int or str
        The value that counts as 1.
    lists : Lists, optional
        Where rows are put in order by their probability: which rows, and how many places count.
    """

    answer: ClassVar[Literal["probability", "prediction"]] = "probability"
    """How the model's answer is named wherever it is given."""
    metrics: ClassVar[tuple[str, ...]] = ("log_loss", "brier", "roc_auc")
    """What gates can ask for."""
    losses: ClassVar[tuple[str, ...]] = ("log_loss", "brier")
    """The metrics that are means over labelled rows, and better when lower; the first is the usual one."""

    label: str
    positive: bool | int | str = True
    lists: Lists | None = None

    def outcome(self, value: bool | int | float | str) -> float:
        """Give the truth that a label stands for: 1 or 0."""
        return float(value == self.positive)

    def share(self, answer: float) -> float:
        """Place an answer in [0, 1]: a probability is there."""
        return answer

    def row_losses(self, answer: float, outcome: float) -> dict[str, float]:
        """Log loss in nats and Brier loss of one answer, certainty kept 2.2e-16 away from 0 and 1."""
        came = min(max(answer if outcome else 1.0 - answer, 2.2e-16), 1.0)
        return {"log_loss": -math.log(came), "brier": (1.0 - came) ** 2}

    def span(self, loss: str) -> float:
        """Give the greatest loss of a row that counts where means are weighed: 4 nats, or a Brier loss of 1."""
        return {"log_loss": 4.0, "brier": 1.0}[loss]


class Regression(Value, frozen=True):
    """Predict the number in `label`.

    Labels and answers are kept as they are, and gates measure them so. Where errors are weighed as they come, those
    beyond the range from `low` to `high` count as its ends: only a bounded error has a mean of which anything can be
    said with a stated chance of being wrong. Choose the range that matters, not the widest there might be: changes are
    told as shares of it, and the `tolerance` of a monitor is one.

    Attributes
    ----------
    label : str
        The dataset's column that holds the truth, a number; null as long as it is unknown.
    low, high : float
        The ends of the range.

    Examples
    --------
    >>> minutes = Regression("arrival_delay", low=-30, high=120)
    >>> minutes.share(45.0), minutes.row_losses(answer=15.0, outcome=30.0)["mae"]
    (0.5, 15.0)
    """

    answer: ClassVar[Literal["probability", "prediction"]] = "prediction"
    """How the model's answer is named wherever it is given."""
    metrics: ClassVar[tuple[str, ...]] = ("mae", "mse", "rmse", "mape", "r2")
    """What gates can ask for."""
    losses: ClassVar[tuple[str, ...]] = ("mae", "mse", "mape")
    """The metrics that are means over labelled rows, and better when lower; the first is the usual one."""
    lists: ClassVar[None] = None
    """Numbers put nothing in order."""

    label: str
    low: float
    high: float

    def __post_init__(self) -> None:
        sound = math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high
        need(
            sound,
            "The range of Regression",
            f"{self.low} to {self.high}",
            "it goes from a number to a greater one",
        )

    def outcome(self, value: bool | int | float | str) -> float:
        """Give the truth that a label stands for: its number."""
        return float(value)

    def share(self, answer: float) -> float:
        """Place an answer in [0, 1]: the share of the range below it."""
        return (self._within(answer) - self.low) / (self.high - self.low)

    def error_share(self, answer: float, outcome: float) -> float:
        """Give by how much of the range an answer is too high, or below 0 too low; both count within the range."""
        return self.share(answer) - self.share(outcome)

    def row_losses(self, answer: float, outcome: float) -> dict[str, float]:
        """Absolute, squared and relative error of one answer, within the range; a relative one is at most 1."""
        error, size = abs(self._within(answer) - self._within(outcome)), abs(self._within(outcome))
        relative = error / size if error < size else float(error > 0)
        return {"mae": error, "mse": error * error, "mape": relative}

    def span(self, loss: str) -> float:
        """Give the greatest loss that a row can have: the range, its square, or 1 for a relative error."""
        width = self.high - self.low
        return {"mae": width, "mse": width * width, "mape": 1.0}[loss]

    def _within(self, value: float) -> float:
        return min(max(value, self.low), self.high)


Task: TypeAlias = BinaryClassification | Regression


def answer_shares(task: Task, answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place answers in [0, 1]: a probability is there, and of a number it is the share of the range below it."""
    import numpy as np

    if isinstance(task, BinaryClassification):
        return answers
    return np.asarray((np.clip(answers, task.low, task.high) - task.low) / (task.high - task.low))


def counted_losses(
    task: Task, loss: str, answers: NDArray[np.float64], outcomes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Loss of each row, no more than counts where means are weighed; NaN where the answer or the outcome is.

    Parameters
    ----------
    task : Task
    loss : str
        One of its losses.
    answers, outcomes : ndarray, shape (n,)
        As they were answered, and as `task.outcome` gives them.

    Returns
    -------
    ndarray, shape (n,)
        In the unit of the loss, from 0 to `task.span(loss)`.
    """
    import numpy as np

    if isinstance(task, BinaryClassification):
        wrong = np.clip(np.abs(answers - outcomes), 0.0, 1.0)
        if loss == "brier":
            return np.asarray(wrong**2)
        return np.minimum(-np.log(np.maximum(1.0 - wrong, 1e-300)), task.span(loss))
    known = np.clip(outcomes, task.low, task.high)
    error = np.abs(np.clip(answers, task.low, task.high) - known)
    if loss == "mape":
        size = np.abs(known)
        return np.divide(error, size, out=np.where(error > 0, 1.0, error), where=error < size)
    return error if loss == "mae" else np.asarray(error**2)
