"""What the monitor of joint drift sees: samples of whole rows, as cells of the rows that the version was judged on."""

from __future__ import annotations

__all__ = ["ROWS", "JointSight"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainspring.errors import NotFound
from mainspring.monitoring import LabelledRows
from mainspring.monitoring.joint import CELLS, REFITS, joint_streams
from mainspring.monitoring.sample import RowSample
from mainspring.operate.column_types import series_of
from mainspring.operate.sights.sight import DETECTOR, tables_before

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.monitoring.record import Values
    from mainspring.monitors import JointDrift
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

ROWS = "rows"
"""The kind of table by day that has some whole rows."""


class NoRows(NotFound):
    """A version whose reference has no rows to compare with."""

    def __str__(self) -> str:
        return "The champion was judged before rows of the hold-out were kept: the next version is compared with them."


@dataclass(frozen=True, slots=True)
class JointSight:
    """What `JointDrift` sees."""

    monitor: JointDrift
    unit = "score of a classifier that tells new rows"
    scale = 1.0

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read the samples by day."""
        return tables_before(tx, ref, ROWS, before)

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Ask classifiers that were fitted to the days before."""
        if not reference.labelled:
            raise NoRows(self.monitor.name)
        judged = LabelledRows.from_json(reference.labelled)
        samples = [RowSample.from_json(text) for text in tables]
        # What the log leaves out has no distribution, and is not missing.
        logged = set(judged.cells).intersection(*(each.columns for each in samples)) - set(
            self.monitor.ignore
        )
        watched = {name: codes for name, codes in judged.coarse(CELLS).items() if name in logged}
        days = [judged.coarse_of(_columns(each, judged), CELLS) for each in samples]
        return joint_streams(watched, days, tolerance=self.monitor.tolerance)

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh each classifier by itself, with an equal share, since they come one after the other."""
        if not streams:
            return DETECTOR.weigh((), budget=budget)
        return max(
            (DETECTOR.weigh([each], budget=budget.share(REFITS)) for each in streams),
            key=lambda each: each.log_e,
        )


def _columns(sample: RowSample, judged: LabelledRows) -> dict[str, Any]:
    """Columns of a sample as `LabelledRows` takes them."""
    nothing: Values = [None] * len(sample.hashes)
    given = {name: sample.columns.get(name, nothing) for name in judged.cells}
    return {
        name: values if judged.is_category(name) else series_of(name, values, "FP64").to_numpy()
        for name, values in given.items()
    }
