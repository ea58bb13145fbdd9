"""What a quality monitor will find, said before it has looked: how likely, and within how many rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainspring.errors import Invalid
from mainspring.monitoring.detector import Budget, WindowedBetting
from mainspring.monitoring.quality import LossTable, loss_levels, quality_stream

__all__ = ["ImpossibleRise", "Power", "power", "reference_for"]

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
    rows = reference.rows if reference_rows is None else reference_rows
    looks = sorted({round(look) for look in np.geomspace(1, min(budget.checks, _AHEAD), 16).tolist()})
    return _simulated(reference, rise, tolerance, rows_per_check, budget, rows, looks, runs, seed)


def reference_for(
    probability: float,
    reference: LossTable,
    *,
    rise: float,
    tolerance: float,
    rows_per_check: int,
    budget: Budget,
    runs: int = 100,
    seed: int = 0,
) -> int | None:
    """Find the smallest reference of 100, 200, 500, ... 500,000 rows with which the rise is found so probably.

    Parameters
    ----------
    probability : float
        Wanted within the budget's checks.
    reference, rise, tolerance, rows_per_check, budget, runs, seed
        As in `power`, with fewer runs and looks, since each size is simulated anew.

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
        tried = _simulated(
            reference, rise, tolerance, rows_per_check, budget, _SIZES[middle], looks, runs, seed
        )
        if tried.probability >= probability:
            high = middle
        else:
            low = middle + 1
    return _SIZES[low] if low < len(_SIZES) else None


def _simulated(
    reference: LossTable,
    rise: float,
    tolerance: float,
    rows_per_check: int,
    budget: Budget,
    reference_rows: int,
    looks: Sequence[int],
    runs: int,
    seed: int,
) -> Power:
    """Simulate, looking at few of the checks: what is found by a look is found by then, and perhaps a little sooner."""
    random = np.random.default_rng(seed)
    shares, risen = _before_and_after(reference, rise)
    references = random.multinomial(reference_rows, shares, runs)
    checks = random.multinomial(rows_per_check, risen, (runs, looks[-1]))
    waiting, found = list(range(runs)), []
    for look in looks:
        streams = [
            quality_stream(
                str(run),
                LossTable(loss=reference.loss, counts=tuple(references[run].tolist())),
                [
                    LossTable(loss=reference.loss, counts=tuple(check))
                    for check in checks[run, :look].tolist()
                ],
                tolerance=tolerance,
            )
            for run in waiting
        ]
        # Streams of one call share nothing but the end of the grid, which is a little wider for many.
        evidence = _DETECTOR.weigh(streams, budget=budget)
        waiting = sorted(int(name) for name, log_e in evidence.streams if log_e < evidence.log_threshold)
        found.append((look * rows_per_check, runs - len(waiting)))
    return Power(
        loss=reference.loss,
        rise=rise,
        reference_rows=reference_rows,
        rows_per_check=rows_per_check,
        found=tuple(found),
        runs=runs,
    )


def _before_and_after(reference: LossTable, rise: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of the levels, and the same where some rows have the greatest loss instead of their own."""
    counts, values = np.array(reference.counts), np.array(loss_levels(reference.loss).lower)
    shares = counts / max(reference.rows, 1)
    greatest = np.flatnonzero(counts).max(initial=0)
    most = float(values[greatest] - values @ shares)
    if not 0.0 < rise < most:
        raise ImpossibleRise(reference.loss, rise, most)
    risen = (1 - rise / most) * shares
    risen[greatest] += rise / most
    return shares, risen
