"""What the prediction log holds: one record per answered request, one per call that brought labels."""

from __future__ import annotations

__all__ = ["Failure", "Fetched", "LabelEntry", "LabelRecord", "LogRecord", "PredictionRecord"]

from datetime import datetime
from typing import TypeAlias

import msgspec

LabelValue: TypeAlias = bool | int | float | str
Values: TypeAlias = list[str | int | float | bool | None]


class Failure(msgspec.Struct, frozen=True):
    """A row that a version could not answer; another version did, or the caller was told.

    `row` counts from 0 within the request.
    """

    row: int
    version: int
    error: str


class Fetched(msgspec.Struct, frozen=True):
    """What the gateway has looked up of one feature view, in the order of the request's rows.

    `at` says when each row's values were known, None where there were none. Values that were too old to be used are
    null, and have their time.
    """

    at: list[datetime | None]
    columns: dict[str, Values]


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="prediction"):
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
    pinned : bool
        Whether the caller named the version: a prediction like any other, but no unit of a rollout.
    shadow : dict of list
        Per version (as text) what it would have answered, None where it failed or was not asked.
    trace : str
        W3C trace id of the request, empty without one.
    latency_s : float, optional
        From the request's arrival to this record, by the clock.
    features : dict of Fetched
        By feature view what the gateway has looked up.
    redacted : list of str
        Inputs and features whose values were left out or hashed before they came here.
    sampled : float
        The share of units whose predictions are logged; this one stands for 1 / sampled.
    unlogged : dict of int
        What of the product was not logged since the record before, by reason: rows, and values.
    """

    at: datetime
    product: str
    route: int
    ids: list[str]
    units: list[str]
    versions: list[int]
    scores: list[float]
    inputs: dict[str, Values]
    failures: list[Failure] = []
    took_s: dict[str, float] = {}
    pinned: bool = False
    shadow: dict[str, list[float | None]] = {}
    trace: str = ""
    latency_s: float | None = None
    features: dict[str, Fetched] = {}
    redacted: list[str] = []
    sampled: float = 1.0
    unlogged: dict[str, int] = {}

    @property
    def columns(self) -> dict[str, Values]:
        """All that the versions were asked with: what was sent, and what was looked up."""
        if not self.features:
            return self.inputs
        return self.inputs | {
            name: of for view in self.features.values() for name, of in view.columns.items()
        }


class LabelEntry(msgspec.Struct, frozen=True, array_like=True):
    """The truth about one prediction, or a business metric of it, and when it became known.

    An empty `metric` means the truth; any other names a metric, and `value` is a number.
    """

    prediction_id: str
    value: LabelValue
    known_at: datetime
    metric: str = ""


class LabelRecord(msgspec.Struct, frozen=True, kw_only=True, tag="labels"):
    """Labels that one call brought."""

    at: datetime
    labels: list[LabelEntry]


LogRecord: TypeAlias = PredictionRecord | LabelRecord
