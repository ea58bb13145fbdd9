"""When a change came: the days that cannot be ruled out as its first, at a stated level."""

from __future__ import annotations

__all__ = ["LEVEL", "change_days"]

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mainspring.monitoring.detector import WindowedBetting

if TYPE_CHECKING:
    from mainspring.monitoring.detector import Budget, Detector, Stream

LEVEL = 0.9
"""The chance that a set leaves out the first day after the change, though there was one, is at most 1 - LEVEL."""

_DETECTOR = WindowedBetting()


def change_days(
    stream: Stream, *, among: int, budget: Budget, detector: Detector = _DETECTOR
) -> tuple[int, int]:
    """Give the first and the last check that may have been the first after a change of a stream's mean.

    Parameters
    ----------
    stream : Stream
        That has alarmed, up to the check of the alarm.
    among : int
        Streams from which it was chosen for being the most evident: each has its share of what may go wrong.
    budget : Budget
        Whose checks are how far the promise goes.
    detector : Detector

    Returns
    -------
    (int, int)
        Places in `stream.checks`, both included.

    Notes
    -----
    A test inverted [1]_: check k is ruled out where the checks before it, by themselves, show a change already, or
    where those from it on are no one state, since later ones lie above the first of them. With an error of 5 % for
    each, a share 1 / `among`, (i) the detector is asked about the checks before k, and (ii) about those after k with k
    in place of the reference and no tolerance. Its sum is held against the budget's checks / (0.05 / `among`), which it
    reaches anywhere among them with at most this chance where there is no change: so it may be asked at every k, and
    when the set is made, at an alarm, has no say. The set is given by its ends.

    *Guarantee*: the chance that an alarm comes after the true first check and the set leaves that out is at most 10 %,
    for one change to a state that stays, under the conditions of the detector. *Limits*: a change that comes slowly, or
    two of them, have no first check; a check of fewer rows than a reference must have rules nothing out by (ii); nor
    does a stream with a control beside it.

    References
    ----------
    .. [1] A. Saha, A. Ramdas (2025). Post-detection inference for sequential changepoint localization.
       arXiv 2502.06096.
    """
    needed = math.log(2 * among * budget.checks / (1.0 - LEVEL))

    def shown(tried: Stream) -> bool:
        return detector.weigh([tried], budget=budget).log_e >= needed

    last = len(stream.checks) - 1
    shown_by = next((k for k in range(1, last + 1) if shown(_before(stream, k))), last + 1)
    first = next((k for k in range(shown_by) if k == last or not shown(_from(stream, k))), shown_by - 1)
    return first, shown_by - 1


def _before(stream: Stream, check: int) -> Stream:
    return replace(stream, checks=stream.checks[:check], beside=stream.beside and stream.beside[:check])


def _from(stream: Stream, check: int) -> Stream:
    """The checks after one, with that in place of the reference; a control has moved as well, and tells nothing."""
    following = stream.checks[check + 1 :] if stream.beside is None else ()
    return replace(
        stream, reference=stream.checks[check], checks=following, tolerance=0.0, allowed=None, beside=None
    )
