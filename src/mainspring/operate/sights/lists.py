"""What a monitor of quality sees of lists: what their order lacks, of all and by slice."""

from __future__ import annotations

__all__ = ["LISTS", "ListSight"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.monitoring import SETTLED, quality_stream, settled_stream
from mainspring.monitoring.lists import ListTable
from mainspring.monitoring.scores import ALL_ROWS, group_name, values_among
from mainspring.operate.sights.quality import ReferenceLacks
from mainspring.operate.sights.sight import DETECTOR, tables_before, whole_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitors import Quality
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

LISTS = "lists"
"""The kind of table by day that has them, by the day on which they were asked."""


@dataclass(frozen=True, slots=True)
class ListSight:
    """What `Quality` sees of lists."""

    monitor: Quality

    @property
    def unit(self) -> str:
        """What rises when the order gets worse."""
        return f"1 - {self.monitor.metric}"

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in the unit."""
        return 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Lists by day, with a mark on the days whose labels have not had their time."""
        within = whole_days(self.monitor.labels_within)
        return {
            day: json.dumps([bool(within) and day >= before - within, text])
            for day, text in tables_before(tx, ref, LISTS, before).items()
        }

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count all days, and where labels take their time those that have had it."""
        if not reference.lists:
            raise ReferenceLacks(self.monitor.metric, tuple(reference.losses))
        before = ListTable.from_json(reference.lists)
        days = [(waits, ListTable.from_json(text)) for waits, text in map(json.loads, tables)]
        groups = [
            group_name(name, value)
            for name in self.monitor.slices
            for value in values_among(before.groups, name)
        ]
        found = []
        for group in (ALL_ROWS, *groups):
            metric = self.monitor.metric
            stream = quality_stream(
                f"{self.unit} where {group}" if group else self.unit,
                before.of_group(group).losses(metric, awaited=False),
                [day.of_group(group).losses(metric, awaited=waits) for waits, day in days],
                tolerance=self.monitor.tolerance,
            )
            settled = settled_stream(stream, sum(not waits for waits, _ in days))
            found += [stream] if settled is None else [stream, settled]
        return tuple(found)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh the streams of all days together, and those of settled days: see `settled_stream`."""
        if not parse_duration(self.monitor.labels_within):
            return DETECTOR.weigh(streams, budget=budget)
        parts = [
            [each for each in streams if each.name.endswith(SETTLED) is settled] for settled in (False, True)
        ]
        weighed = [DETECTOR.weigh(part, budget=budget.share(2)) for part in parts if part]
        return max(weighed, key=lambda each: each.log_e)
