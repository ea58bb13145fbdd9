"""What a monitor of quality sees: the losses of each day's labels, beside those of the hold-out."""

from __future__ import annotations

__all__ = [
    "BY_ASKED",
    "BY_LABELLED",
    "LISTS",
    "ListCounts",
    "QualitySight",
    "ReferenceLacks",
    "budget_of_stream",
    "is_of_losses",
]

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_duration
from mainspring.errors import NotFound
from mainspring.monitoring import LossTable, loss_levels, quality_stream, settled_stream
from mainspring.operate.sights.sight import DETECTOR, tables_before, whole_days
from mainspring.ranking import LIST_METRICS
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


LISTS = "lists"
"""The kind of table by day that says how many lists were asked."""


class ListCounts(msgspec.Struct, frozen=True):
    """Lists that were asked on a day, by what their labels say: a row was right, or none was; of the others some lack.

    An order is measured of those of which a row was right.
    """

    asked: int = 0
    measured: int = 0
    without: int = 0

    @property
    def awaited(self) -> int:
        """Lists of which labels lack."""
        return max(self.asked - self.measured - self.without, 0)

    def merge(self, other: ListCounts) -> ListCounts:
        """Count both."""
        return ListCounts(
            self.asked + other.asked, self.measured + other.measured, self.without + other.without
        )

    def to_json(self) -> str:
        """Text that `from_json` reads back."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> ListCounts:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


def is_of_losses(monitor: Quality) -> bool:
    """Whether a monitor looks at tables of a loss; slices, strata and other metrics go by scores and outcomes."""
    if monitor.metric in LIST_METRICS:
        return True
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
        """The loss, or of lists what they lack of the best order."""
        return f"1 - {self.monitor.metric}" if self.monitor.metric in LIST_METRICS else self.monitor.metric

    @property
    def scale(self) -> float:
        """The loss at 1 on the detector's scale."""
        return loss_levels(self.monitor.metric).unit

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Losses by day, with the predictions whose label is waited for on the days that have not had their time."""
        within = whole_days(self.monitor.labels_within)
        tables = tables_before(tx, ref, self.monitor.metric + (BY_ASKED if within else BY_LABELLED), before)
        for day, awaited in self._awaited(tx, ref, before - within, before).items():
            kept = tables.get(day)
            labelled = LossTable.from_json(kept) if kept else LossTable.empty(self.monitor.metric)
            tables[day] = replace(labelled, awaited=awaited).to_json()
        return dict(sorted(tables.items()))

    def _awaited(self, tx: Transaction, ref: ModelRef, since: date, before: date) -> dict[date, int]:
        """Rows, or lists, of which labels lack, on the days of which they may still come."""
        if self.monitor.metric in LIST_METRICS:
            return {
                day: ListCounts.from_json(text).awaited
                for day, text in tables_before(tx, ref, LISTS, before).items()
                if day >= since
            }
        return {
            row.day: max(row.predictions - row.labelled, 0)
            for row in tx.monitoring.quality(ref.product, since=since)
            if row.version == int(ref.version) and row.day < before
        }

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
