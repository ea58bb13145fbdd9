"""Time-ordered splits: what a model may learn from, and the newest rows that judge it."""

from __future__ import annotations

__all__ = ["Split", "split", "unsplit", "window"]

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.training import WEIGHT, AllHistory, SinceChange, SlidingWindow, Weighted

if TYPE_CHECKING:
    from datetime import timedelta

    import polars as pl

    from mainspring.training import TrainOn


@dataclass(frozen=True, slots=True)
class Split:
    """Training rows and hold-out rows, and the moment between them."""

    train: pl.DataFrame
    holdout: pl.DataFrame
    cut: datetime


def split(
    rows: pl.DataFrame, *, event_time: str, known_at: str, label: str, as_of: datetime, holdout: timedelta
) -> Split:
    """Split labelled rows in time, as a deployment at the cut would have seen them.

    Parameters
    ----------
    rows : polars.DataFrame
        Any order.
    event_time, known_at, label : str
        The columns with the moment of prediction, the moment at which the label was known, and the label.
    as_of : datetime
        Only labels that were known by then are used.
    holdout : timedelta
        The newest labelled event time that is kept for judging.

    Returns
    -------
    Split
        `train` has only rows whose label was known when the hold-out began, so that a prediction in the hold-out
        could have been made by a model trained on it; `holdout` has every labelled row predicted after that moment.
        Both are ordered by event time; rows of one moment keep their order.
    """
    import polars as pl

    whole = unsplit(rows, event_time=event_time, known_at=known_at, label=label, as_of=as_of)
    labelled, cut = whole.train, whole.cut - holdout
    return Split(
        train=labelled.filter((pl.col(known_at) <= cut) & (pl.col(event_time) <= cut)),
        holdout=labelled.filter(pl.col(event_time) > cut),
        cut=cut,
    )


def unsplit(rows: pl.DataFrame, *, event_time: str, known_at: str, label: str, as_of: datetime) -> Split:
    """Give all labelled rows for training, and none to judge by; as `split` with no hold-out, to the last row."""
    import polars as pl

    labelled = rows.filter(pl.col(label).is_not_null() & (pl.col(known_at) <= as_of)).sort(
        event_time, maintain_order=True
    )
    newest = labelled[event_time].max() if labelled.height else as_of
    assert isinstance(newest, datetime), "a column of moments has a greatest one"
    return Split(train=labelled, holdout=labelled.clear(), cut=newest)


def window(rows: Split, train_on: TrainOn, *, event_time: str, changed_at: datetime | None = None) -> Split:
    """Keep of a split the rows that a policy trains on.

    Parameters
    ----------
    rows : Split
        Everything that may be learnt from.
    train_on : TrainOn
        The policy.
    event_time : str
        The column with the moment of prediction.
    changed_at : datetime, optional
        When what started the cycle had begun, where that is known.

    Returns
    -------
    Split
        With `Weighted` the training rows have their weights, from 0 to 1, in a column of their own.
    """
    import polars as pl

    at = pl.col(event_time)
    match train_on:
        case AllHistory():
            train = rows.train
        case SlidingWindow(length=length):
            train = rows.train.filter(at > rows.cut - parse_duration(length))
        case SinceChange(at_least=at_least):
            latest = rows.cut - parse_duration(at_least)
            train = rows.train if changed_at is None else rows.train.filter(at >= min(changed_at, latest))
        case Weighted(half_life=half_life):
            age = (pl.lit(rows.cut) - at).dt.total_microseconds() / (
                parse_duration(half_life).total_seconds() * 1e6
            )
            train = rows.train.with_columns((pl.lit(0.5) ** age).alias(WEIGHT))
    return Split(train=train, holdout=rows.holdout, cut=rows.cut)
