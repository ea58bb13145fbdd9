"""What a quality monitor will find, said before it has looked: how likely, and within how many rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.monitoring.detector import Budget, Stream, WindowedBetting
from mainspring.monitoring.quality import LossTable, quality_stream

__all__ = ["ImpossibleRise", "Power", "power", "reference_for", "stream_power"]

_DETECTOR = WindowedBetting()
_AHEAD = 90
"""Checks that are looked ahead at most."""
_SIZES = tuple(step * 10**exponent for exponent in (2, 3, 4, 5) for step in (1, 2, 5))
"""References that are tried, in rows."""


class ImpossibleRise(Invalid):
    """A rise that the losses seen cannot make, or that no check could show."""

    def __init__(self, loss: str, rise: float, most: float) -> None:
        super().__init__(loss, rise, most)
        self.loss, self.rise, self.most = loss, rise, most

    def __str__(self) -> str:
        return (
            f"The mean {self.loss} cannot rise by {self.rise:g} of its scale: give more than 0 and less than "
            f"{self.most:.3g}, where every row would have the greatest loss that the reference has seen."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How likely a rise of the mean loss is found, by rows since it came.

    Parameters
    ----------
    loss : str
        As in `LossTable`.
    rise : float
        Of the mean, on the scale from 0 to 1 that tolerances have.
    reference_rows, rows_per_check : int
        Labelled rows of the reference and of each check.
    found : tuple of (int, int), shape (n_looks,)
        Rows since the change, and the runs that had found it by then; at few of the looks, so a little too few.
    runs : int
        Simulated.
    """

    loss: str
    rise: float
    reference_rows: int
    rows_per_check: int
    found: tuple[tuple[int, int], ...]
    runs: int

    @property
    def rows(self) -> int:
        """Rows of all checks of the budget."""
        return self.found[-1][0]

    @property
    def probability(self) -> float:
        """Share of runs that found the rise within the budget's checks."""
        return self.found[-1][1] / self.runs

    @property
    def error(self) -> float:
        """Two standard errors of the share, from two more successes and two more failures [1]_.

        References
        ----------
        .. [1] A. Agresti, B. A. Coull (1998). Approximate is better than "exact" for interval estimation of binomial
           proportions. The American Statistician 52, 119-126.
        """
        share = (self.found[-1][1] + 2) / (self.runs + 4)
        return 2 * math.sqrt(share * (1 - share) / (self.runs + 4))

    def within(self, probability: float) -> int | None:
        """Rows within which the rise is found with `probability`; None where not within the budget's checks."""
        return next((rows for rows, runs in self.found if runs >= probability * self.runs), None)


def power(
    reference: LossTable,
    *,
    rise: float,
    tolerance: float,
    rows_per_check: int,
    budget: Budget,
    reference_rows: int | None = None,
    runs: int = 200,
    seed: int = 0,
) -> Power:
    """Say how likely a quality monitor finds a rise of the mean loss, by simulation with the monitor's own detector.

    Each run draws a reference and the checks that follow it. Their losses are distributed as in `reference`; after the
    change a share of the rows has the greatest loss that the reference has seen instead of its own. That is a hard
    rise to find: the growth of a bet on the mean is concave in the loss, so of rises by as much, those are found sooner
    that come in small pieces. The change comes at once: rows before it would only help, since the detector's reference
    grows by them.

    Parameters
    ----------
    reference : LossTable
        Losses of the rows that the model was accepted on.
    rise : float
        Of the mean, on the scale from 0 to 1 that tolerances have.
    tolerance : float
        The monitor's.
    rows_per_check : int
        Labelled rows between two looks.
    budget : Budget
        The monitor's; its checks, 90 at most, are how far is looked.
    reference_rows : int, optional
        As if the reference had so many rows; by default as many as it has.
    runs : int, default 200
        The share of them that finds the rise has a standard error of at most 0.5 / sqrt(runs).
    seed : int, default 0
        Of the draws.

    Returns
    -------
    Power
        The same for the same arguments. A reference that is too small for the detector finds nothing.

    Raises
    ------
    ImpossibleRise
        The reference has no rows, or none with a loss as great as the risen mean; or the rise is not above 0.

    Examples
    --------
    >>> errors = LossTable(loss="error", counts=(900, 100))
    >>> found = power(errors, rise=0.1, tolerance=0.01, rows_per_check=100, budget=Budget(checks=20, alarms=0.05))
    >>> found.reference_rows, found.probability, found.within(0.5)
    (1000, 1.0, 400)
    """
    return stream_power(
        quality_stream(reference.loss, reference, [], tolerance=tolerance),
        rise=rise,
        rows_per_check=rows_per_check,
        budget=budget,
        reference_rows=reference_rows,
        runs=runs,
        seed=seed,
    )


def reference_for(
    probability: float,
    stream: Stream,
    *,
    rise: float,
    rows_per_check: int,
    budget: Budget,
    among: int = 1,
    runs: int = 100,
    seed: int = 0,
) -> int | None:
    """Find the smallest reference of 100, 200, 500, ... 500,000 rows with which the rise is found so probably.

    Parameters
    ----------
    probability : float
        Wanted within the budget's checks.
    stream, rise, rows_per_check, budget, among, runs, seed
        As in `stream_power`, with fewer runs and looks, since each size is simulated anew.

    Returns
    -------
    int or None
        In rows; None where no reference makes up for so few rows in the checks.

    Raises
    ------
    ImpossibleRise
        As in `power`.
    """
    last = min(budget.checks, _AHEAD)
    looks = sorted({-(-last // 4), last})
    low, high = 0, len(_SIZES)
    while low < high:
        middle = (low + high) // 2
        tried = stream_power(
            stream,
            rise=rise,
            rows_per_check=rows_per_check,
            budget=budget,
            among=among,
            reference_rows=_SIZES[middle],
            looks=looks,
            runs=runs,
            seed=seed,
        )
        if tried.probability >= probability:
            high = middle
        else:
            low = middle + 1
    return _SIZES[low] if low < len(_SIZES) else None


def stream_power(
    stream: Stream,
    *,
    rise: float,
    rows_per_check: int,
    budget: Budget,
    among: int = 1,
    reference_rows: int | None = None,
    looks: Sequence[int] | None = None,
    runs: int = 200,
    seed: int = 0,
) -> Power:
    """Say how likely a rise of a stream's mean is found, as `power` does of a loss.

    Parameters
    ----------
    stream : Stream
        With its reference, and without checks.
    rise, rows_per_check, budget, reference_rows, runs, seed
        As in `power`.
    among : int
        How many streams share the decision; the evidence of one must be so many times as large.
    looks : sequence of int, optional
        The checks after which is looked; by default some sixteen of those of the budget.

    Raises
    ------
    ImpossibleRise
        As in `power`.
    """
    random = np.random.default_rng(seed)
    rows = stream.reference_rows if reference_rows is None else reference_rows
    if looks is None:
        looks = sorted({round(look) for look in np.geomspace(1, min(budget.checks, _AHEAD), 16).tolist()})
    shares, risen = _before_and_after(stream, rise)
    references = random.multinomial(rows, shares, runs).tolist()
    checks = random.multinomial(rows_per_check, risen, (runs, looks[-1]))
    needed = budget.log_threshold + math.log(among)
    # Looked at few of the checks: what is found by a look is found by then, and perhaps a little sooner.
    waiting, found = list(range(runs)), []
    for look in looks:
        streams = [
            replace(
                stream,
                name=str(run),
                reference=tuple(references[run]),
                checks=tuple(map(tuple, checks[run, :look].tolist())),
            )
            for run in waiting
        ]
        # Streams of one call share nothing but the end of the grid, which is a little wider for many.
        evidence = _DETECTOR.weigh(streams, budget=budget)
        waiting = sorted(int(name) for name, log_e in evidence.streams if log_e < needed)
        found.append((look * rows_per_check, runs - len(waiting)))
    return Power(
        loss=stream.column,
        rise=rise,
        reference_rows=rows,
        rows_per_check=rows_per_check,
        found=tuple(found),
        runs=runs,
    )


def _before_and_after(stream: Stream, rise: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the levels, and the same where some rows have the greatest value instead of their own."""
    counts, values = np.array(stream.reference), np.array(stream.lower)
    shares = counts / max(stream.reference_rows, 1)
    greatest = int(np.argmax(np.where(counts > 0, values, -1.0)))
    most = float(values[greatest] - values @ shares)
    if not 0.0 < rise < most:
        raise ImpossibleRise(stream.column, rise, most)
    risen = (1 - rise / most) * shares
    risen[greatest] += rise / most
    return shares, risen
