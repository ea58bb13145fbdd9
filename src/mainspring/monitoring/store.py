"""What monitoring keeps: where each log was read to, predictions open to labels, tables by day, alarms."""

from __future__ import annotations

__all__ = ["DayQuality", "Gap", "KnownLabel", "LogCursor", "MonitoringStore", "OpenPrediction"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime

    from mainspring.monitoring.alarm import Alarm
    from mainspring.task import Task


@dataclass(frozen=True, slots=True, order=True)
class LogCursor:
    """How far a gateway's prediction log has been read: everything before `offset` of `segment` (counted from 1)."""

    segment: int = 1
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a log that is lost, and accepted as lost by a person: readers go on at `until`."""

    since: LogCursor
    until: LogCursor


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPrediction:
    """A prediction that is open to labels: to its first ones, and to better ones.

    `groups` are the slices that it is in, of those that monitors look at. `list_id` names the rows that it is put in
    order with; empty where it is in no list.
    """

    prediction_id: str
    product: str
    version: int
    at: datetime
    unit: str
    score: float
    groups: tuple[str, ...] = ()
    list_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLabel:
    """The newest label of an open prediction: the truth, or with a name in `metric` a business metric."""

    prediction_id: str
    metric: str = ""
    value: bool | int | float | str
    known_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DayQuality:
    """The quality of one version on the predictions of one day, as exact integers that merge by adding.

    Attributes
    ----------
    product, version, day : str, int, date
        Of which.
    predictions, labelled, positives : int
        Counts of rows.
    log_loss_millionths, brier_millionths : int
        Sums over labelled rows of the loss in millionths, each rounded before it is added.
    mae_millionths, mse_millionths, mape_millionths : int
        Likewise of predicted numbers, in millionths of the greatest loss that a row can have.
    """

    product: str
    version: int
    day: date
    predictions: int = 0
    labelled: int = 0
    positives: int = 0
    log_loss_millionths: int = 0
    brier_millionths: int = 0
    mae_millionths: int = 0
    mse_millionths: int = 0
    mape_millionths: int = 0

    def loss(self, metric: str, task: Task) -> float:
        """Sum of a loss of the task over the labelled rows, in its own unit."""
        total: int = getattr(self, f"{metric}_millionths")
        return total / 1e6 * (1.0 if isinstance(task, BinaryClassification) else task.span(metric))


class MonitoringStore(Protocol):
    """Where monitoring keeps its tables."""

    def cursor(self, log: str) -> LogCursor:
        """Give how far a log has been read; the start for a log that is new."""
        ...

    def move_cursor(self, log: str, *, expected: LogCursor, to: LogCursor) -> None:
        """Move it; raises `mainspring.errors.Conflict` when another reader moved it first."""
        ...

    def add_open(self, predictions: Sequence[OpenPrediction]) -> frozenset[str]:
        """Keep predictions, and give the ids of those that are new; an id that is kept already stays as it is."""
        ...

    def find_open(self, ids: Iterable[str]) -> Mapping[str, OpenPrediction]:
        """Give the predictions with these ids; ids that are not kept are left out."""
        ...

    def in_lists(self, list_ids: Iterable[str]) -> Mapping[str, Sequence[OpenPrediction]]:
        """Give the predictions of these lists, each ordered by id; lists that are not kept are left out."""
        ...

    def unlabelled(self, product: str, *, since: datetime, until: datetime) -> Iterator[OpenPrediction]:
        """Give the predictions from `since` up to `until` whose truth is not known, ordered by time and id."""
        ...

    def labels(self, ids: Iterable[str]) -> Mapping[tuple[str, str], KnownLabel]:
        """Give all labels of these predictions, by id and metric."""
        ...

    def put_labels(self, labels: Sequence[KnownLabel]) -> None:
        """Keep labels, each in place of the one of the same prediction and metric before; at most one of each."""
        ...

    def forget_labelled(self, before: datetime) -> int:
        """Remove predictions that were asked before a moment and whose truth is known; give their number.

        Those of version 0 are requests that nobody could answer, of which nothing will be known.
        """
        ...

    def add_quality(self, rows: Sequence[DayQuality]) -> None:
        """Add to the rows of the same product, version and day."""
        ...

    def quality(self, product: str, *, since: date | None = None) -> tuple[DayQuality, ...]:
        """Give the rows of a product, ordered by day and version."""
        ...

    def table(self, product: str, version: int, kind: str, day: date) -> str | None:
        """Give the JSON text kept for a version, a kind of table (`profile`, `losses`) and a day."""
        ...

    def tables(self, product: str, version: int, kind: str) -> Mapping[date, str]:
        """Give all JSON texts of a version and a kind, ordered by day."""
        ...

    def put_table(self, product: str, version: int, kind: str, day: date, text: str) -> None:
        """Keep a JSON text, in place of the one before."""
        ...

    def put_alarm(self, alarm: Alarm) -> None:
        """Record an alarm, in place of the one with its id."""
        ...

    def alarm(self, alarm_id: str) -> Alarm:
        """Give one alarm; raises `mainspring.monitoring.alarm.AlarmNotFound`."""
        ...

    def alarms(self, product: str, *, since: datetime | None = None) -> tuple[Alarm, ...]:
        """Give a product's alarms raised at `since` or later, oldest first."""
        ...
