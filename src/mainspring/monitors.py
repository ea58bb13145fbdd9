"""What is watched of a product in production, and how many false alarms that may cost: a part of a product file."""

from __future__ import annotations

__all__ = [
    "About",
    "AttributionDrift",
    "AuditedQuality",
    "Betting",
    "ConceptDrift",
    "DataQuality",
    "Failures",
    "Fairness",
    "FalseAlarms",
    "InputDrift",
    "JointDrift",
    "LabelDelay",
    "Latency",
    "Monitor",
    "MonitorLag",
    "PredictionDrift",
    "Quality",
    "Rule",
    "ServingSkew",
    "Staleness",
    "Traffic",
    "attributes_of",
    "needs_rows",
]

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, TypeAlias

from mainspring.clock import parse_duration
from mainspring.declared import Value, need, need_tolerance

About: TypeAlias = Literal[
    "drift",
    "quality",
    "concept",
    "fairness",
    "data_quality",
    "skew",
    "labels",
    "serving",
    "traffic",
    "lag",
    "staleness",
]


Strata: TypeAlias = Literal["", "weekend", "weekday"]


class InputDrift(Value, frozen=True):
    """Alarm when an input's distribution has moved from the reference's by more than `tolerance` (a share of rows).

    Inputs to `ignore` are those that move by design, such as the day of the week, which no single day is like. Where
    all of them move with the week, `strata` compares like with like: days with those of their `weekday` in the
    reference, or working days and those of the `weekend` each with their own.

    With `slices`, inputs of the model, the inputs are watched within each of their values besides, so that what moves
    in a tenth of the rows does not drown in the others. Slices share the monitor's budget.
    """

    tolerance: float = 0.02
    ignore: tuple[str, ...] = ()
    strata: Strata = ""
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_tolerance("InputDrift", self.tolerance)
        rule = "slices are not told apart by weekdays: declare one of both"
        need(not (self.strata and self.slices), "The strata of a sliced InputDrift", self.strata, rule)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "input_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "drift"


class JointDrift(Value, frozen=True):
    """Alarm when rows can be told from those of the hold-out by all inputs together, though none may have moved alone.

    A classifier is fitted to the hold-out and to a sample of the rows so far, after 1, 2, 4, … days, and asked about
    later ones; `tolerance` is the rise of the mean of what it says that is not worth an alarm. Inputs to `ignore` are
    left out.
    """

    tolerance: float = 0.02
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_tolerance("JointDrift", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "joint_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "drift"


class AttributionDrift(Value, frozen=True):
    """Alarm when an input moves the answers by more than it did on the hold-out, or by less.

    By how much it moves an answer is how far that changes when the input alone has its usual value. `tolerance` is the
    change of the mean, on the scale of answers, that is not worth an alarm. Inputs to `ignore` are left out.
    """

    tolerance: float = 0.01
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_tolerance("AttributionDrift", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "attribution_drift"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "drift"


class PredictionDrift(Value, frozen=True):
    """Alarm when the predictions' distribution has moved by more than `tolerance` (a share of rows).

    `strata` are as in `InputDrift`; the hold-out needs 100 rows of each.
    """

    tolerance: float = 0.02
    strata: Strata = ""

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
    and more taken for a yes; where a number is predicted `mae`, `mse` or `mape`, as a share of the task's range; or one
    of the product's own, as a share of its range. With `slices`, inputs of the model, each of their values is watched
    besides, so that harm to a tenth of the rows does not drown in the others.

    Say with `labels_within` how long labels may take where bad outcomes are known before good ones. Until then a
    prediction without a label counts as one without loss, so that no alarm comes of the delay; later it is left out.
    Half of the budget is kept for the days that have had this time. By default a day is what its labels say so far.

    `strata` are as in `InputDrift`, by the day on which a prediction was asked; the hold-out needs 100 rows of each.
    """

    metric: str
    tolerance: float = 0.01
    labels_within: str = "0d"
    slices: tuple[str, ...] = ()
    strata: Strata = ""

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
        `false_positive_rate`, or `error`. Where a number is predicted `mae`, as a share of the task's range.
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


class DataQuality(Value, frozen=True):
    """Alarm when more inputs are faulty than in the reference, by more than `tolerance` (a share of rows).

    Faulty is what is missing or of another type, out of the reference's range, or of a category that it has never seen.
    Where values have moved within what was seen before is a matter of `InputDrift`. Inputs to `ignore` are left out.
    """

    tolerance: float = 0.005
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need_tolerance("DataQuality", self.tolerance)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "data_quality"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "data_quality"


class ServingSkew(Value, frozen=True):
    """Alarm when more than a share `allowed` of the rows are served another feature than training would join to them.

    The rows that are kept of a day are joined with the feature views anew, once every source has rows of a later time.
    What was looked up, or sent by the caller, is held against that.
    """

    allowed: float = 0.01

    def __post_init__(self) -> None:
        need(0 <= self.allowed < 1, "The share of ServingSkew", self.allowed, "it is from 0 to below 1")

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "serving_skew"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "skew"


class LabelDelay(Value, frozen=True):
    """Alarm when labels come late, or no more: a `share` of the predictions must have its label `within` that time.

    Predictions that never get a label, such as cancelled orders, belong to those that need none: declare a share that
    leaves them out.
    """

    within: str
    share: float = 0.95

    def __post_init__(self) -> None:
        hours = parse_duration(self.within) / timedelta(hours=1)
        need(hours >= 1, "The time of LabelDelay", self.within, "labels are timed by the hour")
        need(0 < self.share < 1, "The share of LabelDelay", self.share, "it lies between 0 and 1")

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "label_delay"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "labels"


class Latency(Value, frozen=True):
    """Alarm when answers take long: a `share` of the requests must be answered within `limit_ms`."""

    limit_ms: float
    share: float = 0.99

    def __post_init__(self) -> None:
        need(0 < self.limit_ms < math.inf, "The limit of Latency", self.limit_ms, "it must be above 0 ms")
        need(0 < self.share < 1, "The share of Latency", self.share, "it lies between 0 and 1")

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "latency"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "serving"


class Failures(Value, frozen=True):
    """Alarm when the champion cannot answer more than `share` of the rows that it is asked."""

    share: float = 0.001

    def __post_init__(self) -> None:
        need(0 < self.share < 1, "The share of Failures", self.share, "it lies between 0 and 1")

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "failures"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "serving"


class Traffic(Value, frozen=True):
    """Alarm when a day has less than `least` or more than `most` times the predictions of such a day before.

    Such a day is the median of the last four of the same day of the week; before there are two of them, nothing is
    said. This is a rule and no bet: a day's traffic is known, so nothing of the alarm budget is spent.
    """

    least: float = 0.5
    most: float = 2.0

    def __post_init__(self) -> None:
        need(0 <= self.least < 1, "The least traffic", self.least, "it is a part of the usual, from 0 to 1")
        need(
            1 < self.most < math.inf, "The most traffic", self.most, "it is a multiple of the usual, above 1"
        )

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "traffic"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "traffic"


class MonitorLag(Value, frozen=True):
    """Alarm when the monitors have missed days: when the last day that they looked at ended more than `after` before.

    They speak of it when they look again, since nobody looks while the loop stands still; what happened in between is
    then found all at once. It is a rule and no bet.
    """

    after: str = "2d"

    def __post_init__(self) -> None:
        parse_duration(self.after)

    @property
    def name(self) -> str:
        """How alarms name it."""
        return "monitor_lag"

    @property
    def about(self) -> About:
        """What its alarms are about."""
        return "lag"


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


Betting: TypeAlias = (
    InputDrift
    | JointDrift
    | AttributionDrift
    | PredictionDrift
    | DataQuality
    | ServingSkew
    | Quality
    | AuditedQuality
    | ConceptDrift
    | Fairness
    | LabelDelay
    | Latency
    | Failures
)
"""Monitors that bet against "nothing has changed", and may be wrong as often as their share of the budget allows."""

Rule: TypeAlias = Staleness | Traffic | MonitorLag
"""Monitors that hold a figure which is known against what is declared: they cannot be wrong and spend no budget."""

Monitor: TypeAlias = Betting | Rule


class FalseAlarms(Value, frozen=True):
    """How many false alarms a product's monitors may raise together: at most `at_most` expected in each `per`."""

    per: str = "30d"
    at_most: float = 1.0

    def __post_init__(self) -> None:
        parse_duration(self.per)
        rule = "no monitor could keep it: allow some, and not any number"
        need(0 < self.at_most < math.inf, "The number of false alarms", self.at_most, rule)


def needs_rows(monitors: Iterable[Monitor]) -> bool:
    """Whether one of these looks at whole rows, of which a sample is kept then."""
    return any(isinstance(each, JointDrift | AttributionDrift | ServingSkew) for each in monitors)


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
            case Quality(slices=slices) | InputDrift(slices=slices):
                names += slices
            case Fairness(attribute=attribute):
                names.append(attribute)
            case _:
                pass
    return tuple(dict.fromkeys(names))
