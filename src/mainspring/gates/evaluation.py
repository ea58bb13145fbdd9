"""What was measured of a model: the facts that the judge reads."""

from __future__ import annotations

__all__ = ["OVERALL", "POOL", "Evaluation", "Servability", "Slice"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mainspring.errors import Invalid

OVERALL = "overall"
"""The subject of a check on all rows."""

POOL = "other"
"""The slice that holds all rows of slices too small to be judged alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What was measured on the rows that share a value.

    Attributes
    ----------
    column, value : str
        Which rows.
    pool_below : int
        The pooling under which the slice was formed: values with fewer rows are together in the slice
        `other`.
    rows : int
    metrics : Mapping of str to float or None
        None where the metric is undefined on these rows.
    """

    column: str
    value: str
    pool_below: int = 0
    rows: int
    metrics: Mapping[str, float | None]

    def __post_init__(self) -> None:
        _check_rows(self.rows)
        object.__setattr__(self, "metrics", _defined(self.metrics))

    @property
    def subject(self) -> str:
        """The slice in words, as `carrier=AA`."""
        return f"{self.column}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servability:
    """How the packaged model behaved in a clean process.

    Attributes
    ----------
    parity : bool
        Whether it answered as the trained model does on sample rows.
    p99_ms : float or None
        99th percentile of the latency of one row, in milliseconds.
    error : str or None
        Why the trial could not be carried out, if it could not.
    """

    parity: bool
    p99_ms: float | None
    error: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "p99_ms", _finite(self.p99_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured of one model on the hold-out.

    An undefined metric has one form only: NaN and infinity become None, so it can neither be compared by
    accident nor written as JSON that others cannot read.

    Attributes
    ----------
    rows : int
        Rows of the hold-out.
    metrics : Mapping of str to float or None
        On all of them.
    slices : tuple of Slice
    servability : Servability or None
        None when it was not tried.
    error : str or None
        Why the model could not be measured, if it could not.
    alone : Mapping of str to float or None
        What each input is worth by itself; empty when that was not asked.

    Examples
    --------
    >>> Evaluation(rows=3, metrics={"roc_auc": float("nan")}).metrics
    {'roc_auc': None}
    """

    rows: int
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    servability: Servability | None = None
    error: str | None = None
    alone: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_rows(self.rows)
        object.__setattr__(self, "metrics", _defined(self.metrics))
        object.__setattr__(self, "alone", _defined(self.alone))

    @classmethod
    def failed(cls, error: str) -> Evaluation:
        """Stand for a model that could not be measured; every check on it answers `could_not_judge`."""
        return cls(rows=0, error=error)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Evaluation:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in metrics.items()}


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _check_rows(rows: int) -> None:
    if rows < 0:
        raise Invalid(f"An evaluation on {rows} rows is impossible: count from 0.")
