"""What the prediction log holds: one record per answered request, one per call that brought labels."""

from __future__ import annotations

__all__ = ["Failure", "LabelEntry", "LabelRecord", "LogRecord", "PredictionRecord"]

from datetime import datetime
from typing import TypeAlias

import msgspec

LabelValue: TypeAlias = bool | int | float | str


class Failure(msgspec.Struct, frozen=True):
    """A row that a version could not answer; another version did, or the caller was told.

    `row` counts from 0 within the request.
    """

    row: int
    version: int
    error: str


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True, tag="prediction"):
    """The answer to one request of n rows, all lists in the order of the rows.

    Attributes
    ----------
    at : datetime
        When it was asked, by the clock.
    product : str
        Whose prediction.
    route : int
        The number of the route that was in force.
    ids : list of str
        Prediction ids, under which labels come.
    units : list of str
        Sticky keys by which the traffic was split.
    versions : list of int
        The version that answered each row.
    scores : list of float
        The probabilities that were answered.
    inputs : dict of list
        The columns that were sent, nulls included.
    failures : list of Failure
        Rows that a version failed on.
    took_s : dict of float
        Per version (as text) how long its rows took, by the clock.
    """

    at: datetime
    product: str
    route: int
    ids: list[str]
    units: list[str]
    versions: list[int]
    scores: list[float]
    inputs: dict[str, list[str | int | float | bool | None]]
    failures: list[Failure] = []
    took_s: dict[str, float] = {}


class LabelEntry(msgspec.Struct, frozen=True, array_like=True):
    """The truth about one prediction, and when it became known."""

    prediction_id: str
    value: LabelValue
    known_at: datetime


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True, tag="labels"):
    """Labels that one call brought."""

    at: datetime
    labels: list[LabelEntry]


LogRecord: TypeAlias = PredictionRecord | LabelRecord
