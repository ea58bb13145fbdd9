"""What a product's quality monitors will find of a rise of the loss, from the reference and the labels of late."""

from __future__ import annotations

__all__ = ["LabelPaceUnknown", "MonitorPower", "quality_power"]

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid
from mainspring.monitoring import LossTable, quality_stream
from mainspring.monitoring.power import reference_for, stream_power
from mainspring.monitoring.scores import ALL_ROWS, ScoreTable
from mainspring.monitors import Quality
from mainspring.operate.references import reference_of
from mainspring.operate.sights import scale_of, sight_of, unit_of
from mainspring.operate.sights.quality import ReferenceLacks, budget_of_stream, is_of_losses
from mainspring.operate.status import check_product
from mainspring.operate.watch import alarm_budget
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.monitoring import Budget, Stream
    from mainspring.operate.judging import Reference
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_LATELY = timedelta(days=14)
_WANTED = 0.9


class LabelPaceUnknown(Invalid):
    """A product of which no label has come of late, and nobody said how many will."""

    def __init__(self, product: str) -> None:
        super().__init__(product)
        self.product = product

    def __str__(self) -> str:
        return (
            f"How many labels a day {self.product!r} will have is not known: none came in the last 14 days. Say "
            "what you expect, as in --labels-per-day 500."
        )


class MonitorPower(msgspec.Struct, frozen=True, kw_only=True):
    """What one quality monitor will find.

    Attributes
    ----------
    version, metric : str
        The model version, as a ref, and the loss that is watched, or what rises when a metric gets worse: `1 - recall`.
    tolerance, rise : float
        What is allowed and what is to be found, on a scale from 0 to 1.
    rise_in_units : float
        The rise as the metric has it, such as in nats.
    reference_labels, labels_per_day, days : int
        Labels of the reference and of a day, those among them that a metric leaves out, and the days that are looked
        ahead: those of the alarm budget, 90 at most.
    probability, error : float
        Of an alarm within these days, and two standard errors of its simulation.
    half_within : int or None
        Labels within which half of all such rises are found; None where it takes longer than these days.
    reference_for_90 : int or None
        The smallest reference with which 90 % are found, of 100, 200, 500, 1,000, ... labels or as it is; None where
        none would do.
    """

    version: str
    metric: str
    tolerance: float
    rise: float
    rise_in_units: float
    reference_labels: int
    labels_per_day: int
    days: int
    probability: float
    error: float
    half_within: int | None
    reference_for_90: int | None

    @property
    def sentence(self) -> str:
        """The same in words."""
        chance = (
            f"with probability {self.probability:.2f} (give or take {self.error:.2f}) within {self.days} days, "
            f"which is {self.days * self.labels_per_day:,} labels"
        )
        half = f"half of the time within {self.half_within:,} labels" if self.half_within else "mostly later"
        if self.reference_for_90 is None:
            more = "No reference makes that 0.90 with so few labels a day."
        elif self.probability >= _WANTED:
            more = f"{self.reference_for_90:,} labels in the reference would do for 0.90."
        else:
            more = f"For 0.90 the reference needs {self.reference_for_90:,} labels."
        return (
            f"With {self.reference_labels:,} reference labels and {self.labels_per_day:,} a day, a mean {self.metric} "
            f"that rises by {self.rise_in_units:.4g} is found {chance}; {half}. {more}"
        )


def quality_power(
    workspace: Workspace, ref: ModelRef, *, rise: float, labels_per_day: int | None = None
) -> list[MonitorPower]:
    """Say what each quality monitor of a product will find, if it watches this version.

    Parameters
    ----------
    workspace : Workspace
    ref : ModelRef
        The version that would serve.
    rise : float
        Of the mean loss, on the scale from 0 to 1 that tolerances have: 0.05 of ``error`` is five points.
    labels_per_day : int, optional
        By default the mean of the days with labels among the last 14.

    Returns
    -------
    list of MonitorPower
        One for each `Quality`, of all rows, or of those of the first stratum; empty where the product has none. Slices
        and strata share its budget.

    Raises
    ------
    UnknownProduct, mainspring.registry.ModelVersionNotFound
        There is no such product, or it has no such version.
    LabelPaceUnknown
        No label has come of late, and no number was given.
    ReferenceLacks
        The version has no reference for what a monitor watches.
    Invalid
        A number of labels below 1.
    ImpossibleRise
        The losses cannot rise so far.
    """
    if labels_per_day is not None and labels_per_day < 1:
        raise Invalid(f"With {labels_per_day} labels a day nothing is found: give 1 or more.")
    with workspace.database.read() as tx:
        check_product(tx, ref.product)
        spec = workspace.specs(tx)[ref.product]
        version = tx.registry.get(ref)
        labels = _pace(workspace, tx, ref.product) if labels_per_day is None else labels_per_day
    if not labels:
        raise LabelPaceUnknown(ref.product)
    reference, budget = reference_of(workspace.blobs, version.reference), alarm_budget(spec)
    return [
        _told(
            str(version.ref),
            monitor,
            _watched(monitor, reference),
            labels,
            budget_of_stream(monitor, budget),
            rise,
        )
        for monitor in spec.monitors
        if isinstance(monitor, Quality)
    ]


@dataclass(frozen=True, slots=True)
class _Watched:
    """What a monitor looks at: its first stream, of how many, in which unit, and the share of labels that are in it."""

    stream: Stream
    among: int
    unit: str
    scale: float
    share: float


def _watched(monitor: Quality, reference: Reference) -> _Watched:
    if is_of_losses(monitor):
        if monitor.metric not in reference.losses:
            raise ReferenceLacks(monitor.metric, tuple(reference.losses))
        table = LossTable.from_json(reference.losses[monitor.metric])
        stream = quality_stream(monitor.metric, table, [], tolerance=monitor.tolerance)
        return _Watched(stream, 1, monitor.metric, scale_of(monitor, reference), 1.0)
    streams = sight_of(monitor).streams(reference, [])
    unit, scale = unit_of(monitor, reference), scale_of(monitor, reference)
    labelled = sum(ScoreTable.from_json(reference.scores).rows(ALL_ROWS)[1:])
    return _Watched(streams[0], len(streams), unit, scale, streams[0].reference_rows / max(1, labelled))


def _pace(workspace: Workspace, tx: Transaction, product: str) -> int:
    """Labels a day of late, over the days that had some; 0 where none had."""
    since = workspace.clock.now().date() - _LATELY
    days: dict[object, int] = {}
    for row in tx.monitoring.quality(product, since=since):
        days[row.day] = days.get(row.day, 0) + row.labelled
    labelled = [count for count in days.values() if count]
    return round(sum(labelled) / len(labelled)) if labelled else 0


def _told(
    version: str, monitor: Quality, watched: _Watched, labels: int, budget: Budget, rise: float
) -> MonitorPower:
    rows = max(1, round(labels * watched.share))
    found = stream_power(watched.stream, rise=rise, rows_per_check=rows, budget=budget, among=watched.among)
    enough = reference_for(
        _WANTED, watched.stream, rise=rise, rows_per_check=rows, budget=budget, among=watched.among
    )
    if found.probability >= _WANTED:  # only round sizes are tried, and the reference may lie between two
        enough = min(enough or found.reference_rows, found.reference_rows)

    def all_labels(some: int | None) -> int | None:
        return None if some is None else round(some / watched.share)

    return MonitorPower(
        version=version,
        metric=watched.unit,
        tolerance=monitor.tolerance,
        rise=found.rise,
        rise_in_units=found.rise * watched.scale,
        reference_labels=round(found.reference_rows / watched.share),
        labels_per_day=labels,
        days=found.rows // found.rows_per_check,
        probability=found.probability,
        error=round(found.error, 3),
        half_within=all_labels(found.within(0.5)),
        reference_for_90=all_labels(enough),
    )
