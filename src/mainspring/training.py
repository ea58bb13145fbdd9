"""What a cycle trains on, and what it keeps to judge by: parts of a product file."""

from __future__ import annotations

__all__ = [
    "WEIGHT",
    "AllHistory",
    "ByGroup",
    "Holdout",
    "SinceChange",
    "SlidingWindow",
    "Stratified",
    "TrainOn",
    "Weighted",
]

from datetime import timedelta
from typing import TypeAlias

from mainspring.clock import parse_duration
from mainspring.declared import Value, need

WEIGHT = "weight"
"""The column of the examples that holds their weights, with `Weighted`."""


class AllHistory(Value, frozen=True):
    """Train on every row that was labelled before the hold-out."""


class SlidingWindow(Value, frozen=True):
    """Train on the rows of the last `length` before the hold-out."""

    length: str

    def __post_init__(self) -> None:
        _need_length("The length of SlidingWindow", self.length)


class SinceChange(Value, frozen=True):
    """Train on the rows since the change that an alarm has found, and on all where no alarm has started the cycle.

    The change point is that of the alarms that stood when the cycle started, the earliest where there are several.
    Rows of the last `at_least` before the hold-out are trained on in any case: a change of yesterday leaves too few.
    """

    at_least: str = "30d"

    def __post_init__(self) -> None:
        _need_length("The least window of SinceChange", self.at_least)


class Weighted(Value, frozen=True):
    """Train on every row, with a weight that halves with each `half_life` before the hold-out.

    The examples have the weight in a column `weight`, which is no input. The pipeline hands it to its learner, as in
    `lightgbm.Dataset(rows, label, weight=examples["weight"])`; one that does not read it trains as on `AllHistory`.
    """

    half_life: str

    def __post_init__(self) -> None:
        _need_length("The half-life of Weighted", self.half_life)


TrainOn: TypeAlias = AllHistory | SlidingWindow | SinceChange | Weighted


class ByGroup(Value, frozen=True):
    """Keep some groups to judge by, whole: what is judged is how the model does on groups that it has not seen.

    A group stays on its side as data comes, since its side is drawn from its value, the product's name and its seed.

    Attributes
    ----------
    column : str
        A column of the product's dataset, such as the customer; it need not be an input. Rows without a value are one
        group.
    share : float
        Of the groups, not of the rows.
    """

    column: str
    share: float = 0.2

    def __post_init__(self) -> None:
        _need_share("ByGroup", self.share)


class Stratified(Value, frozen=True):
    """Keep the same share of the rows of every outcome to judge by, of numbers of every tenth of their order.

    For outcomes so rare that the newest days may have none. Rows are drawn from their key, the product's name and its
    seed, so that but few change sides as data comes.

    Attributes
    ----------
    share : float
        Of the rows.
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        _need_share("Stratified", self.share)


Holdout: TypeAlias = str | ByGroup | Stratified
"""How much of the newest labelled event time, such as `10d`; or rows drawn without regard to time."""


def _need_share(of: str, value: float) -> None:
    need(0 < value < 1, f"The share of {of}", value, "both to train and to judge takes rows")


def _need_length(what: str, value: str) -> None:
    need(parse_duration(value) > timedelta(0), what, value, "no row would be left")
