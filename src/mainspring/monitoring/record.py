"""What the prediction log holds: one record per answered request, one per call that brought labels."""

from __future__ import annotations

__all__ = [
    "LARGEST_METRIC",
    "Column",
    "Failure",
    "Fetched",
    "LabelEntry",
    "LabelRecord",
    "LogRecord",
    "Packed",
    "PredictionRecord",
    "Values",
    "listed",
]

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LabelValue: TypeAlias = bool | int | float | str
Values: TypeAlias = list[str | int | float | bool | None]

LARGEST_METRIC = 1e15
"""The greatest magnitude of a business metric; beyond it a double does not hold tenths, and squares soon no number."""

_DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_NUMPY = {datatype: np.dtype(each) for datatype, each in _DTYPES.items()}
_DATATYPES = {dtype: datatype for datatype, dtype in _NUMPY.items()}


class Packed(msgspec.Struct, frozen=True):
    """A column of numbers or truth values in the bytes that it came in, which are kept in less time than its digits.

    Attributes
    ----------
    datatype : str
        What each is.
    data : bytes
        One after the other, little-endian; base64 where they stand in JSON. NaN is a null.
    """

    datatype: Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
    ]
    data: bytes

    @classmethod
    def all_of(cls, columns: NDArray[Any]) -> list[Packed]:
        """Pack the rows of a matrix, each of which is a column."""
        dtype = columns.dtype.newbyteorder("<")
        datatype: Any = _DATATYPES[dtype]
        data, size = columns.astype(dtype, copy=False).tobytes(), columns.shape[1] * dtype.itemsize
        return [cls(datatype, data[start : start + size]) for start in range(0, len(data), size)]

    def __iter__(self) -> Iterator[str | int | float | bool | None]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.data) // _NUMPY[self.datatype].itemsize

    @property
    def values(self) -> Values:
        """The values as they would have come in JSON."""
        array = np.frombuffer(self.data, _NUMPY[self.datatype])
        values: Values = array.tolist()
        if array.dtype.kind == "f" and np.isnan(array).any():
            return [None if value != value else value for value in values]
        return values


Column: TypeAlias = Values | Packed


def listed(column: Column) -> Values:
    r"""Give a column's values one by one, None where one is missing.

    Examples
    --------
    >>> listed([1, None]), listed(Packed("FP32", b"\0\0\x80?\0\0\xc0\x7f"))
    ([1, None], [1.0, None])
    """
    return column.values if isinstance(column, Packed) else column


def _length(column: Column) -> float:
    """Number of values; a fraction where the bytes of the last one are not all there."""
    if isinstance(column, Packed):
        return len(column.data) / _NUMPY[column.datatype].itemsize
    return len(column)


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
    inputs : dict of list or Packed
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
    inputs: dict[str, Column]
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
        sent = {name: listed(column) for name, column in self.inputs.items()}
        return sent | {name: of for view in self.features.values() for name, of in view.columns.items()}

    @property
    def whole(self) -> bool:
        """Whether it says of each row what it says of another; where nobody could answer, no row has an answer."""
        rows = len(self.units)
        found = self.features.values()
        columns = [*self.inputs.values(), *(column for each in found for column in each.columns.values())]
        return (
            len(self.versions) == len(self.scores)
            and len(self.versions) in (0, rows)
            and len(self.ids) in (len(self.versions), rows)
            and all(_length(each) == rows for each in columns)
            and all(len(each.at) == rows for each in found)
            and all(len(each) == rows for each in self.shadow.values())
            and all(0 <= each.row < rows for each in self.failures)
        )


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
