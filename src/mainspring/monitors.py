"""What is watched of a product in production, and how many false alarms that may cost: a part of a product file."""

from __future__ import annotations

__all__ = [
    "About",
    "Betting",
    "FalseAlarms",
    "InputDrift",
    "Monitor",
    "PredictionDrift",
    "Quality",
    "Staleness",
]

import math
from typing import Literal, TypeAlias

from mainspring.clock import parse_duration
from mainspring.declared import Value, need, need_tolerance

About: TypeAlias = Literal["drift", "quality", "staleness"]


class InputDrift(Value, frozen=True):
    """Alarm when an input's distribution has moved from the reference's by more than `tolerance` (a share of rows).

    Inputs to `ignore` are those that move by design, such as the day of the week, which no single day is like.
    """

    tolerance: float = 0.02
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_tolerance("InputDrift", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "input_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "drift"


class PredictionDrift(Value, frozen=True):
    """Alarm when the predictions' distribution has moved by more than `tolerance` (a share of rows)."""

    tolerance: float = 0.02

    def __post_init__(self) -> None:
        need_tolerance("PredictionDrift", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "prediction_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "drift"


class Quality(Value, frozen=True):
    """Alarm when the champion's mean loss has risen above the reference's by more than `tolerance`.

    Say with `labels_within` how long labels may take where bad outcomes are known before good ones. Until then a
    prediction without a label counts as one without loss, so that no alarm comes of the delay; later it is left out.
    Half of the budget is kept for the days that have had this time. By default a day is what its labels say so far.
    """

    metric: str
    tolerance: float = 0.01
    labels_within: str = "0d"

    def __post_init__(self) -> None:
        need_tolerance("Quality", self.tolerance)
        parse_duration(self.labels_within)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return f"quality:{self.metric}"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "quality"


class Staleness(Value, frozen=True):
    """Alarm when the champion is older than `after`."""

    after: str

    def __post_init__(self) -> None:
        parse_duration(self.after)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "staleness"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "staleness"


Betting: TypeAlias = InputDrift | PredictionDrift | Quality
"""Monitors that bet against "nothing has changed", and may be wrong as often as their share of the budget allows."""

Monitor: TypeAlias = Betting | Staleness


class FalseAlarms(Value, frozen=True):
    """How many false alarms a product's monitors may raise together: at most `at_most` expected in each `per`."""

    per: str = "30d"
    at_most: float = 1.0

    def __post_init__(self) -> None:
        parse_duration(self.per)
        rule = "no monitor could keep it: allow some, and not any number"
        need(0 < self.at_most < math.inf, "The number of false alarms", self.at_most, rule)
