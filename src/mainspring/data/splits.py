"""Splits: what a model may learn from, and the rows that judge it, by default the newest."""

from __future__ import annotations

__all__ = ["PLACE", "Split", "places", "split", "split_by_place", "unsplit", "window"]

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from mainspring.clock import parse_duration
from mainspring.training import WEIGHT, AllHistory, ByGroup, SinceChange, SlidingWindow, Stratified, Weighted

if TYPE_CHECKING:
    from datetime import timedelta

    import polars as pl

    from mainspring.training import TrainOn


PLACE = "__place"
"""The column with a row's place in [0, 1), or its group's, by which it is held out."""

_STRATA = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Training rows and hold-out rows, and the moment between them: without one, that of the newest row."""

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


def places(values: Iterable[str], *, salt: str) -> list[float]:
    """Give each value a place in [0, 1), the same on every machine and for ever.

    Examples
    --------
    >>> [round(place, 3) for place in places(["N14228", "N24211"], salt="late-arrivals 0")]
    [0.937, 0.326]
    """
    start = blake2b(salt.encode() + b"\0", digest_size=8)
    found = []
    for value in values:
        drawn = start.copy()
        drawn.update(value.encode(errors="surrogatepass"))
        found.append(int.from_bytes(drawn.digest()) / 2**64)
    return found


def split_by_place(
    rows: pl.DataFrame,
    *,
    event_time: str,
    known_at: str,
    label: str,
    as_of: datetime,
    holdout: ByGroup | Stratified,
    numbers: bool,
) -> Split:
    """Split labelled rows by the places that they or their groups have.

    Parameters
    ----------
    rows : polars.DataFrame
        With a column `PLACE`: of the group's value, or of the row's key.
    event_time, known_at, label, as_of
        As for `split`.
    holdout : ByGroup or Stratified
    numbers : bool
        Whether the label is a number: of those, strata are the tenths of their order.

    Returns
    -------
    Split
        With `ByGroup` no group has rows in both. With `Stratified` of each stratum the share, to half a row, of lowest
        place is held out. Both are ordered by event time.
    """
    import polars as pl

    whole = unsplit(rows, event_time=event_time, known_at=known_at, label=label, as_of=as_of)
    place = pl.col(PLACE)
    match holdout:
        case ByGroup(share=share):
            held = place < share
        case Stratified(share=share):
            stratum = (pl.col(label).rank("ordinal") - 1) * _STRATA // pl.len() if numbers else pl.col(label)
            held = place.rank("ordinal").over(stratum) <= (share * pl.len().over(stratum)).round()
    marked = whole.train.with_columns(held.alias("__held"))
    return Split(
        train=marked.filter(~pl.col("__held")).drop("__held"),
        holdout=marked.filter("__held").drop("__held"),
        cut=whole.cut,
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
