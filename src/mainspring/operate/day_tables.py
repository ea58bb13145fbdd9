"""The tables by day that monitors look at: what one piece of a log adds to them, and adds up with what is there."""

from __future__ import annotations

__all__ = ["DayTables"]

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from mainspring.monitoring import (
    Frame,
    LossTable,
    Profile,
    ProfileKey,
    ProfileSet,
    audit_share,
    is_audited,
    merge,
    profile,
)
from mainspring.monitoring.lists import ListTable
from mainspring.monitoring.operation import OperationTable, latency_bucket
from mainspring.monitoring.sample import RowSample
from mainspring.monitoring.scores import ScoreTable
from mainspring.monitoring.store import DayQuality
from mainspring.operate.judging import read_columns
from mainspring.operate.sights.drift import SLICES
from mainspring.operate.sights.joint import ROWS
from mainspring.operate.sights.lists import LISTS
from mainspring.operate.sights.operation import OPERATION
from mainspring.operate.sights.quality import BY_ASKED, BY_LABELLED
from mainspring.operate.sights.scores import AUDITED, SCORES
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mainspring.monitoring.record import LabelEntry, PredictionRecord
    from mainspring.monitoring.store import KnownLabel, OpenPrediction
    from mainspring.stores.sql.database import Transaction
    from mainspring.task import Task

_Table = TypeVar("_Table", ScoreTable, OperationTable, LossTable, RowSample, ProfileSet, ListTable)

Place: TypeAlias = tuple[str, int, date]
"""A product, a version, and a day."""

_HOUR = timedelta(hours=1)
_LONGEST = 24 * 365  # hours in which labels are told apart by how long they took


class MetricSums(msgspec.Struct, frozen=True):
    """A business metric of a version on the predictions of one day; exact, in whatever order its values come.

    `millionths` and `squared_millionths` are sums over `rows` values and their squares, each rounded before it is
    added.
    """

    rows: int = 0
    millionths: int = 0
    squared_millionths: int = 0

    def plus(self, sign: int, value: float) -> MetricSums:
        """Add a value, or with a sign of -1 take it out again."""
        return MetricSums(
            self.rows + sign,
            self.millionths + sign * round(value * 1e6),
            self.squared_millionths + sign * round(value * value * 1e6),
        )


@dataclass(slots=True)
class DayTables:
    """What is added to the tables of some days, in one transaction; `flush` puts it there.

    Attributes
    ----------
    tx : Transaction
    quality, scores, operation, lists, losses : dict
        What is to be added, by place; losses, as shares of the greatest, by the kind of their table.
    """

    tx: Transaction
    quality: dict[Place, dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    scores: dict[Place, ScoreTable] = field(default_factory=lambda: defaultdict(ScoreTable))
    operation: dict[Place, OperationTable] = field(default_factory=lambda: defaultdict(OperationTable))
    lists: dict[Place, ListTable] = field(default_factory=lambda: defaultdict(ListTable))
    losses: dict[tuple[str, int, str, date], list[float]] = field(default_factory=lambda: defaultdict(list))

    def ask(self, place: Place, prediction_id: str, score: float, groups: Sequence[str], task: Task) -> None:
        """Add a row that was answered."""
        self.quality[place]["predictions"] += 1
        level = score if isinstance(task, BinaryClassification) else 0.0
        self.scores[place].ask(level, _with_audits(prediction_id, place[0], groups))

    def serve(self, record: PredictionRecord) -> None:
        """Add how the versions have served a request."""
        day = record.at.date()
        asked, failed = Counter(record.versions), Counter(each.version for each in record.failures)
        for version in {*asked, *failed}:
            bucket = {} if record.latency_s is None else {latency_bucket(record.latency_s): 1}
            place = record.product, version, day
            self.operation[place] = self.operation[place].merge(
                OperationTable(asked[version], failed[version], bucket if version in asked else {})
            )

    def label(
        self,
        prediction: OpenPrediction,
        losses: Mapping[str, float],
        known_at: datetime,
        came_at: datetime,
        task: Task,
    ) -> None:
        """Add the first label of a prediction to what detectors have been told, which no later one changes."""
        place = prediction.product, prediction.version, prediction.at.date()
        hours = max(0, (known_at - prediction.at) // _HOUR)
        self.operation[place] = self.operation[place].merge(OperationTable(delays={min(hours, _LONGEST): 1}))
        for by, day in ((BY_LABELLED, came_at.date()), (BY_ASKED, prediction.at.date())):
            for name, loss in losses.items():
                self.losses[prediction.product, prediction.version, name + by, day].append(
                    loss / task.span(name)
                )

    def ask_list(self, place: Place, groups: Iterable[str]) -> None:
        """Add a list that was answered, to all and to the slices that it is in."""
        self.lists[place] = self.lists[place].merge(ListTable.asked(groups))

    def measure_list(self, place: Place, losses: Mapping[str, float] | None, groups: Iterable[str]) -> None:
        """Add what the labels of a list say: its losses, None where no row was right."""
        self.lists[place] = self.lists[place].merge(ListTable.labelled(losses, groups))

    def truth(self, prediction: OpenPrediction, outcome: float, sign: int, task: Task) -> dict[str, float]:
        """Add a label to the sums of the prediction's day, or with a sign of -1 take it out again; give its losses."""
        losses = task.row_losses(prediction.score, outcome)
        place = prediction.product, prediction.version, prediction.at.date()
        sums, scores = self.quality[place], self.scores[place]
        groups = _with_audits(prediction.prediction_id, prediction.product, prediction.groups)
        sums["labelled"] += sign
        if isinstance(task, BinaryClassification):
            scores.label(prediction.score, int(outcome), groups, sign)
            sums["positives"] += sign * int(outcome)
            for name, loss in losses.items():
                sums[f"{name}_millionths"] += sign * round(loss * 1e6)
        else:
            scores.label_number(task.error_share(prediction.score, outcome), groups, sign)
            for name, loss in losses.items():
                sums[f"{name}_millionths"] += sign * round(loss / task.span(name) * 1e6)
        return losses

    def metric(self, prediction: OpenPrediction, entry: LabelEntry, before: KnownLabel | None) -> None:
        """Add the value of a business metric to those of the prediction's day."""
        place = prediction.product, prediction.version, f"metric:{entry.metric}", prediction.at.date()
        kept = self.tx.monitoring.table(*place)
        sums = MetricSums() if kept is None else msgspec.json.decode(kept, type=MetricSums)
        if before is not None:
            sums = sums.plus(-1, float(before.value))
        self.tx.monitoring.put_table(*place, msgspec.json.encode(sums.plus(1, float(entry.value))).decode())

    def profile(self, place: Place, values: Mapping[str, list[Any]], frame: Frame) -> int:
        """Add rows to the profile of a day, read by the types that are in the frame.

        Returns
        -------
        int
            How many values are of no such type, and are missing.
        """
        product, version, day = place
        added = profile(read_columns(frame, values), frame)
        kept = self.tx.monitoring.table(product, version, "profile", day)
        whole = added if kept is None else merge(Profile.from_json(kept), added)
        self.tx.monitoring.put_table(product, version, "profile", day, whole.to_json())
        return sum(part.mistyped for part in added.parts().values())

    def slices(
        self, place: Place, values: Mapping[str, list[Any]], rows: Mapping[str, list[int]], frame: Frame
    ) -> None:
        """Add rows to the profiles by slice of a day; `rows` says which are in each."""
        added = {
            ProfileKey("", 0, group): profile(
                read_columns(
                    frame, {name: [column[row] for row in which] for name, column in values.items()}
                ),
                frame,
            )
            for group, which in rows.items()
        }
        self._add(place, SLICES, ProfileSet(added), ProfileSet.from_json)

    def sample(self, place: Place, added: RowSample) -> None:
        """Add rows to the sample of a day."""
        self._add(place, ROWS, added, RowSample.from_json)

    def flush(self) -> None:
        """Add all to what is kept."""
        import numpy as np

        for place, scores in self.scores.items():
            self._add(place, SCORES, scores, ScoreTable.from_json)
        for place, operation in self.operation.items():
            self._add(place, OPERATION, operation, OperationTable.from_json)
        for place, lists in self.lists.items():
            self._add(place, LISTS, lists, ListTable.from_json)
        for (product, version, kind, day), shares in self.losses.items():
            losses = LossTable.of_shares(kind.removesuffix(BY_ASKED), np.array(shares))
            self._add((product, version, day), kind, losses, LossTable.from_json)
        self.tx.monitoring.add_quality(
            [
                DayQuality(product=product, version=version, day=day, **sums)
                for (product, version, day), sums in sorted(self.quality.items())
            ]
        )
        for each in (self.scores, self.operation, self.lists, self.losses, self.quality):
            each.clear()

    def _add(self, place: Place, kind: str, added: _Table, read: Callable[[str], _Table]) -> None:
        product, version, day = place
        kept = self.tx.monitoring.table(product, version, kind, day)
        whole = added if kept is None else read(kept).merge(added)
        self.tx.monitoring.put_table(product, version, kind, day, whole.to_json())


def _with_audits(prediction_id: str, product: str, groups: Sequence[str]) -> list[str]:
    """Groups of a prediction, with those of audits."""
    audits = zip(AUDITED, (False, True), strict=True)
    return [
        *groups,
        *(
            name
            for name, suspected in audits
            if is_audited(prediction_id, salt=product, share=audit_share(suspected=suspected))
        ),
    ]
