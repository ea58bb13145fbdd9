"""What is watched of a product in production, and how many false alarms that may cost: a part of a product file."""

from __future__ import annotations

__all__ = [
    "About",
    "AuditedQuality",
    "Betting",
    "ConceptDrift",
    "Fairness",
    "FalseAlarms",
    "InputDrift",
    "Monitor",
    "PredictionDrift",
    "Quality",
    "Staleness",
    "attributes_of",
]

import math
from collections.abc import Iterable
from typing import Literal, TypeAlias

from mainspring.clock import parse_duration
from mainspring.declared import Value, need, need_tolerance

About: TypeAlias = Literal["drift", "quality", "concept", "fairness", "staleness"]


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
    """Alarm when the champion has become worse by a metric, by more than `tolerance` on the scale from 0 to 1.

    The metric is `log_loss` or `brier`, or `accuracy`, `precision`, `recall`, `f1` or `roc_auc` with predictions of 0.5
    and more taken for a yes. With `slices`, inputs of the model, each of their values is watched besides, so that harm
    to a tenth of the rows does not drown in the others.

    Say with `labels_within` how long labels may take where bad outcomes are known before good ones. Until then a
    prediction without a label counts as one without loss, so that no alarm comes of the delay; later it is left out.
    Half of the budget is kept for the days that have had this time. By default a day is what its labels say so far.
    """

    metric: str
    tolerance: float = 0.01
    labels_within: str = "0d"
    slices: tuple[str, ...] = ()

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


class AuditedQuality(Value, frozen=True):
    """Alarm when the predictions that are audited show the champion to have become worse, whoever else is labelled.

    `mainspring labels wanted` lists them: a random share, greater while a drift alarm stands. One whose label does not
    come counts as one without loss, for however long, so that no choice of who gets a label makes an alarm. `metric`
    and `tolerance` are as in `Quality`.
    """

    metric: str = "log_loss"
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        need_tolerance("AuditedQuality", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return f"audited_quality:{self.metric}"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "quality"


class ConceptDrift(Value, frozen=True):
    """Alarm when outcomes have moved where the scores are the same, by more than `tolerance` (a share of rows).

    That is a change of what the inputs mean and not of the inputs themselves. `labels_within` is as in `Quality`.
    """

    tolerance: float = 0.02
    labels_within: str = "0d"

    def __post_init__(self) -> None:
        need_tolerance("ConceptDrift", self.tolerance)
        parse_duration(self.labels_within)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "concept_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "concept"


class Fairness(Value, frozen=True):
    """Alarm when a rate of one group is farther than `gap` from that of all other groups together.

    Attributes
    ----------
    attribute : str
        The input whose values are the groups.
    metric : str
        `positive_rate`, the share of predictions of 0.5 and more, which needs no labels; `recall`,
        `false_positive_rate`, or `error`.
    gap : float
        The difference that is allowed.
    labels_within : str
        As in `Quality`.
    """

    attribute: str
    metric: str = "positive_rate"
    gap: float = 0.1
    labels_within: str = "0d"

    def __post_init__(self) -> None:
        need(0 < self.gap < 1, "The gap of Fairness", self.gap, "it is a share, above 0 and below 1")
        parse_duration(self.labels_within)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return f"fairness:{self.attribute}:{self.metric}"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "fairness"


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


Betting: TypeAlias = InputDrift | PredictionDrift | Quality | AuditedQuality | ConceptDrift | Fairness
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


def attributes_of(monitors: Iterable[Monitor]) -> tuple[str, ...]:
    """Inputs by whose values some monitors look at rows apart, each once.

    Examples
    --------
    >>> attributes_of([Quality("log_loss", slices=("carrier", "origin")), Fairness("origin")])
    ('carrier', 'origin')
    """
    names: list[str] = []
    for monitor in monitors:
        match monitor:
            case Quality(slices=slices):
                names += slices
            case Fairness(attribute=attribute):
                names.append(attribute)
            case _:
                pass
    return tuple(dict.fromkeys(names))
