"""What a monitor of quality sees: the losses of each day's labels, beside those of the hold-out."""

from __future__ import annotations

__all__ = [
    "BY_ASKED",
    "BY_LABELLED",
    "QualitySight",
    "ReferenceLacks",
    "budget_of_stream",
    "is_of_losses",
]

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.errors import NotFound
from mainspring.monitoring import LossTable, loss_levels, quality_stream, settled_stream
from mainspring.operate.sights.sight import DETECTOR, tables_before, whole_days
from mainspring.strategy import LOSSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import Quality
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

BY_LABELLED, BY_ASKED = "", ":asked"
"""Of a loss there are tables by the day on which a label came, and by the day of its prediction.

The first are whole when the day is over: what is in them is not changed by what comes later, and after the first days
they are like one another, whatever labels wait for. The second are what a monitor needs that waits for labels: the
rows of a day, labelled and not. In the first days of a version the former have only what is known soon.
"""


def is_of_losses(monitor: Quality) -> bool:
    """Whether a monitor looks at tables of a loss; slices, strata and other metrics go by scores and outcomes."""
    return monitor.metric in LOSSES and not monitor.slices and not monitor.strata


class ReferenceLacks(NotFound):
    """A loss that the reference of a version has no table of."""

    def __init__(self, metric: str, known: tuple[str, ...]) -> None:
        super().__init__(metric, known)
        self.metric, self.known = metric, known

    def __str__(self) -> str:
        return (
            f"The champion's reference has no {self.metric}, but {', '.join(self.known) or 'no loss'}: "
            "the next version is compared with what is declared by then."
        )


def budget_of_stream(monitor: Quality, budget: Budget) -> Budget:
    """What each stream of a quality monitor may spend: half where labels are waited for, since there are two then."""
    return budget.share(2) if parse_duration(monitor.labels_within) else budget


@dataclass(frozen=True, slots=True)
class QualitySight:
    """What `Quality` sees."""

    monitor: Quality

    @property
    def unit(self) -> str:
        """The loss."""
        return self.monitor.metric

    @property
    def scale(self) -> float:
        """The loss at 1 on the detector's scale."""
        return loss_levels(self.monitor.metric).unit

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Losses by day, with the predictions whose label is waited for on the days that have not had their time."""
        within = whole_days(self.monitor.labels_within)
        tables = tables_before(tx, ref, self.monitor.metric + (BY_ASKED if within else BY_LABELLED), before)
        waited_since = before - within
        for row in tx.monitoring.quality(ref.product, since=waited_since):
            if row.version == int(ref.version) and row.day < before:
                kept = tables.get(row.day)
                labelled = LossTable.from_json(kept) if kept else LossTable.empty(self.monitor.metric)
                waiting = replace(labelled, awaited=max(row.predictions - row.labelled, 0))
                tables[row.day] = waiting.to_json()
        return dict(sorted(tables.items()))

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count all days, and where labels take their time those that have had it."""
        metric = self.monitor.metric
        if metric not in reference.losses:
            raise ReferenceLacks(metric, tuple(reference.losses))
        before = LossTable.from_json(reference.losses[metric])
        since = [LossTable.from_json(text) for text in tables]
        stream = quality_stream(metric, before, since, tolerance=self.monitor.tolerance)
        settled = settled_stream(stream, sum(day.awaited is None for day in since))
        return (stream,) if settled is None else (stream, settled)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh each alone: see `mainspring.monitoring.settled_stream`."""
        share = budget_of_stream(self.monitor, budget)
        weighed = [DETECTOR.weigh([stream], budget=share) for stream in streams]
        return max(weighed, key=lambda each: each.log_e)
