"""What a cycle trains on: a part of a product file."""

from __future__ import annotations

__all__ = ["WEIGHT", "AllHistory", "SinceChange", "SlidingWindow", "TrainOn", "Weighted"]

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


def _need_length(what: str, value: str) -> None:
    need(parse_duration(value) > timedelta(0), what, value, "no row would be left")
