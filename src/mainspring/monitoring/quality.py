"""Losses of a model whose labels have come, as mergeable tables that a detector can weigh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.monitoring.detector import Stream

__all__ = [
    "SETTLED",
    "Levels",
    "LossMismatch",
    "LossTable",
    "UnknownLoss",
    "loss_levels",
    "quality_stream",
    "settled_stream",
]

SETTLED = " where labels had their time"
"""How the name of a stream of settled checks ends."""

_LEVELS = 256
_LOG_LOSS_NATS = 4.0


class UnknownLoss(Invalid):
    """A loss that has no levels."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"There is no loss {self.name!r} to watch: it is one of {', '.join(sorted(_LOSSES))}."


class LossMismatch(Invalid):
    """Losses that cannot be put in one table."""

    def __init__(self, loss: str, reason: str) -> None:
        super().__init__(loss, reason)
        self.loss, self.reason = loss, reason

    def __str__(self) -> str:
        return f"These values of {self.loss} cannot be put in one table: {self.reason}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Ends of the levels of a loss.

    Parameters
    ----------
    lower, upper : tuple of float, shape (n_levels,)
        On the detector's scale, in [0, 1].
    unit : float
        The loss at 1 on that scale; a greater loss counts as this.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    unit: float


def _finer(power: int) -> Levels:
    """Levels that are finer the nearer to 0: of errors, which mostly are a small part of their range."""
    ends = [(level / _LEVELS) ** power for level in range(_LEVELS + 1)]
    return Levels(lower=tuple(ends[:-1]), upper=tuple(ends[1:]), unit=1.0)


_EVEN = Levels(
    lower=tuple(level / _LEVELS for level in range(_LEVELS)),
    upper=tuple((level + 1) / _LEVELS for level in range(_LEVELS)),
    unit=1.0,
)
_LOSSES: Mapping[str, Levels] = MappingProxyType(
    {
        "error": Levels(lower=(0.0, 1.0), upper=(0.0, 1.0), unit=1.0),
        "brier": _EVEN,
        "ndcg": _EVEN,
        "mrr": _EVEN,
        "log_loss": Levels(lower=_EVEN.lower, upper=_EVEN.upper, unit=_LOG_LOSS_NATS),
        "mae": _finer(2),
        "mse": _finer(4),
        "mape": _finer(2),
    }
)


def loss_levels(loss: str) -> Levels:
    """Levels of a loss.

    There are ``error`` (0 or 1), ``brier`` (in [0, 1]), ``log_loss`` (clipped at 4 nats), of lists what they lack of an
    ``ndcg`` or ``mrr`` of 1, and ``mae``, ``mse`` and ``mape``, as shares of the greatest that a row can have.

    Raises
    ------
    UnknownLoss
        It is none of these.
    """
    try:
        return _LOSSES[loss]
    except KeyError:
        raise UnknownLoss(loss) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTable:
    """Labelled rows by the level of their loss, and how many rows wait for their label.

    Parameters
    ----------
    loss : str
        One that `loss_levels` has.
    counts : tuple of int, shape (n_levels,)
        Labelled rows in each level.
    awaited : int, optional
        Rows whose label may still come; by default labels have had their time, and rows without one are not counted.

    Raises
    ------
    LossMismatch
        There are not as many counts as levels, or fewer rows than none are awaited.
    UnknownLoss
        The loss has no levels.

    Examples
    --------
    >>> january = LossTable.of("brier", probability=np.array([0.9, 0.2]), outcome=np.array([1, 0]))
    >>> february = LossTable.of("brier", probability=np.array([0.5]), outcome=np.array([1]))
    >>> january.merge(february).rows
    3
    >>> low, high = january.mean
    >>> low <= (0.1**2 + 0.2**2) / 2 <= high
    True
    """

    loss: str
    counts: tuple[int, ...]
    awaited: int | None = None

    def __post_init__(self) -> None:
        if self.awaited is not None and self.awaited < 0:
            raise LossMismatch(self.loss, f"{self.awaited} rows cannot be awaited")
        levels = len(loss_levels(self.loss).lower)
        if len(self.counts) != levels:
            raise LossMismatch(self.loss, f"there are {len(self.counts)} counts for {levels} levels")

    @classmethod
    def empty(cls, loss: str) -> Self:
        """Table of no rows."""
        return cls(loss=loss, counts=(0,) * len(loss_levels(loss).lower))

    @classmethod
    def of(cls, loss: str, *, probability: NDArray[np.float64], outcome: NDArray[np.generic]) -> Self:
        """Count the losses of binary predictions.

        Parameters
        ----------
        loss : str
            ``error`` (the likelier outcome, at 0.5 or more the positive one, did not come), ``brier`` or ``log_loss``.
        probability : ndarray, shape (n,)
            Predicted probability of the positive outcome.
        outcome : ndarray of bool or int, shape (n,)
            Whether it came.

        Raises
        ------
        LossMismatch
            The arrays differ in length, a probability is NaN or outside [0, 1], or an outcome is neither 0 nor 1.
        UnknownLoss
            The loss has no levels.
        """
        levels = loss_levels(loss)
        p, y = np.asarray(probability, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
        if p.shape != y.shape or p.ndim != 1:
            raise LossMismatch(
                loss, f"there are probabilities of shape {p.shape} for outcomes of shape {y.shape}"
            )
        if not ((p >= 0) & (p <= 1)).all():
            raise LossMismatch(loss, "a probability is not in [0, 1]")
        if not ((y == 0) | (y == 1)).all():
            raise LossMismatch(loss, "an outcome is neither 0 nor 1")
        if loss == "error":
            placed = ((p >= 0.5) != (y == 1)).astype(np.int64)
        else:
            came = np.where(y == 1, p, 1 - p)
            with np.errstate(divide="ignore"):
                value = (1 - came) ** 2 if loss == "brier" else -np.log(came) / levels.unit
            placed = np.minimum(np.minimum(value, 1.0) * _LEVELS, _LEVELS - 1).astype(np.int64)
        counts = np.bincount(placed, minlength=len(levels.lower))
        return cls(loss=loss, counts=tuple(counts.tolist()))

    @classmethod
    def of_shares(cls, loss: str, shares: NDArray[np.float64]) -> Self:
        """Count losses that are known.

        Parameters
        ----------
        loss : str
            One that `loss_levels` has.
        shares : ndarray, shape (n,)
            Of the loss at 1 on the detector's scale; those above 1 count as 1.

        Raises
        ------
        LossMismatch
            One is NaN, or below 0.
        UnknownLoss
            The loss has no levels.
        """
        levels = loss_levels(loss)
        if not (shares >= 0).all():
            raise LossMismatch(loss, "one is no number from 0")
        placed = np.searchsorted(np.array(levels.lower), shares, side="right") - 1
        return cls(loss=loss, counts=tuple(np.bincount(placed, minlength=len(levels.lower)).tolist()))

    @property
    def rows(self) -> int:
        """Labelled rows."""
        return sum(self.counts)

    @property
    def mean(self) -> tuple[float, float] | None:
        """Interval that holds the mean of the clipped loss, in its own unit; None where there are no rows."""
        if not self.rows:
            return None
        levels, counts = loss_levels(self.loss), np.array(self.counts)
        low, high = (float(counts @ np.array(ends)) for ends in (levels.lower, levels.upper))
        return levels.unit * low / self.rows, levels.unit * high / self.rows

    def merge(self, other: LossTable) -> LossTable:
        """Table of the rows of both; exact, in any order."""
        if self.loss != other.loss:
            raise LossMismatch(self.loss, f"the other table is of {other.loss}")
        return LossTable(
            loss=self.loss,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            awaited=None
            if self.awaited is other.awaited is None
            else (self.awaited or 0) + (other.awaited or 0),
        )

    def to_json(self) -> str:
        """Text that `from_json` reads back; the same for equal tables."""
        awaited = {} if self.awaited is None else {"awaited": self.awaited}
        return json.dumps({"loss": self.loss, "counts": self.counts, **awaited}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        document = json.loads(text)
        return cls(loss=document["loss"], counts=tuple(document["counts"]), awaited=document.get("awaited"))


def quality_stream(
    name: str, reference: LossTable, checks: Sequence[LossTable], *, tolerance: float = 0.01
) -> Stream:
    """Stream that rises when a model has become worse than it was.

    Parameters
    ----------
    name : str
        Name of the stream, such as the loss, or the loss and a slice.
    reference : LossTable
        Rows that the model was accepted on; 5,000 and more see small changes.
    checks : sequence of LossTable
        Cohorts of rows since, by the time of their prediction, oldest first.
    tolerance : float, default 0.01
        Rise of the mean loss that is not worth an alarm, on the scale from 0 to 1: 0.01 of ``log_loss`` is 0.04 nats.

    Returns
    -------
    Stream
        One-sided: a loss that falls is no alarm. Where rows of a check wait for their label, they have a last level.

    Raises
    ------
    LossMismatch
        A check is of another loss than the reference.

    Notes
    -----
    A row that waits for its label counts as one without loss where a rise is looked for, and as one with the greatest
    where rows before a window are compared with. Its loss lies between, so whatever the delay has to do with the
    outcome, evidence is never more than it would be with all labels: delay alone makes no false alarm beyond the
    budget. Rows that are never labelled are left out by not counting them as awaited, as though they were like the
    others; where they are not, no table can show it.
    """
    for check in checks:
        if check.loss != reference.loss:
            raise LossMismatch(reference.loss, f"a check is of {check.loss}")
    levels = loss_levels(reference.loss)
    stream = Stream(
        name=name,
        column=reference.loss,
        lower=levels.lower,
        upper=levels.upper,
        reference=reference.counts,
        checks=tuple(check.counts for check in checks),
        tolerance=tolerance,
    )
    if all(check.awaited is None for check in checks):
        return stream
    return replace(
        stream,
        lower=(*levels.lower, 0.0),
        upper=(*levels.upper, 1.0),
        reference=(*reference.counts, 0),
        checks=tuple((*check.counts, check.awaited or 0) for check in checks),
    )


def settled_stream(stream: Stream, settled: int) -> Stream | None:
    """The same of the checks alone whose labels have had their time.

    While most labels are awaited, the stream of all checks hardly rises. This one does not care, and is late by as long
    as labels take. Each is to be weighed alone, with half of the budget: rows that are not in this one yet are known to
    the other, so that of their average nothing is promised.

    Parameters
    ----------
    stream : Stream
        From `quality_stream`, say.
    settled : int
        The first so many of its checks have had the time.

    Returns
    -------
    Stream or None
        With empty checks in the place of the others, so that the two keep in step. None where it is the same, or has
        no rows.
    """
    if settled >= len(stream.checks) or not any(map(any, stream.checks[:settled])):
        return None
    nothing = ((0,) * len(stream.lower),) * (len(stream.checks) - settled)
    return replace(
        stream,
        name=f"{stream.name}{SETTLED}",
        checks=stream.checks[:settled] + nothing,
        beside=None if stream.beside is None else stream.beside[:settled] + nothing,
    )
