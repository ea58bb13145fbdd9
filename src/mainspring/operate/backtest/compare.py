"""What came of each policy, and how they compare on the same rows."""

from __future__ import annotations

__all__ = [
    "AS_DECLARED",
    "Backtest",
    "CycleOfReplay",
    "Found",
    "PolicyResult",
    "Week",
    "compare",
    "found_again",
]

import math
from collections import Counter
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from mainspring.loop import CycleOutcome
from mainspring.operate.gain import Finding
from mainspring.operate.log_table import outcome
from mainspring.rollouts.interval import bounded_mean
from mainspring.task import counted_losses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mainspring.loop import Cycle
    from mainspring.monitoring import Alarm, Change
    from mainspring.operate.backtest.history import History
    from mainspring.operate.backtest.replay import Replay
    from mainspring.rollouts.interval import Interval

AS_DECLARED = "as declared"
ALPHA = 0.05
"""Of the interval of each comparison, by itself."""


class CycleOfReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that a policy has had. `gain` is what its promotion was worth, positive where it helped."""

    number: int
    trigger: str
    opened_at: datetime
    evidence: str
    outcome: str
    reason: str
    version: int | None
    seconds: float
    finding: str
    gain: float | None


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """The mean loss over the labelled rows of a week; `begins` is its Monday."""

    begins: date
    rows: int
    loss: float


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a policy.

    Attributes
    ----------
    policy : str
        Its name: that of its file, or `as declared`.
    retrains : int
        Cycles that trained, without the first one, which every policy needs.
    promoted : int
        How many of them put a version in service.
    in_vain : int
        How many put none in service, or one that labels do not show to have helped.
    seconds : float
        What training and judging took, in seconds: as it was measured then where a cycle is the same, or else here.
    alarms : int
        That its monitors raised.
    answered, labelled : int
        Rows that a version answered, and of those the ones with a label.
    loss : float, optional
        Mean loss over the labelled rows.
    better_by, low, high : float, optional
        By how much less it loses than the policy that is declared, on rows that both answered; each unit counts once.
        An interval that leaves the true mean out with a chance of at most 5 %, for units that do not depend on one
        another.
    cycles, weeks : list
        In the order of time.
    """

    policy: str
    retrains: int
    promoted: int
    in_vain: int
    seconds: float
    alarms: int
    answered: int
    labelled: int
    loss: float | None
    better_by: float | None
    low: float | None
    high: float | None
    cycles: list[CycleOfReplay]
    weeks: list[Week]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what the loop did then the replay of the declared policy did again, bit for bit.

    `differs` tells the first cycle or alarm that is another one; empty where there is none.
    """

    cycles: int
    cycles_again: int
    alarms: int
    alarms_again: int
    differs: str


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """Policies beside each other, the declared one first."""

    product: str
    metric: str
    since: datetime
    until: datetime
    rows: int
    found_again: Found
    policies: list[PolicyResult]
    notes: list[str]


def compare(history: History, replays: Mapping[str, Replay], metric: str) -> list[PolicyResult]:
    """Give what came of each policy; the first is the one that the others are compared with.

    Parameters
    ----------
    history : History
    replays : mapping of str to Replay
        By the name of the policy.
    metric : str
        A loss of the task.
    """
    known = (
        history.rows.select("prediction_id")
        .join(history.truth, on="prediction_id", how="left", maintain_order="left")
        .select(outcome(history.spec).fill_null(math.nan))
        .to_series()
        .to_numpy()
    )
    task = history.spec.task
    losses = {name: counted_losses(task, metric, each.served.scores, known) for name, each in replays.items()}
    first = next(iter(losses.values()))
    return [
        _result(history, name, each, losses[name], None if losses[name] is first else first, metric)
        for name, each in replays.items()
    ]


def found_again(history: History, again: Replay) -> Found:
    """Hold what the replay of the declared policy did against what was done."""
    end = history.turns[-1].at
    cycles = [each for each in history.cycles if each.opened_at <= end]
    alarms = [
        replace(each, acknowledged_by="", snoozed_until=None) for each in history.alarms if each.at <= end
    ]
    told = {each.alarm_id: each.change for each in alarms}
    own_cycles = {each.cycle_id: each for each in again.cycles}
    own_alarms = {each.alarm_id: _as_told(each, told.get(each.alarm_id)) for each in again.alarms}
    other = [_told(each) for each in cycles if own_cycles.get(each.cycle_id) != each]
    other += [
        f"alarm {each.alarm_id} of {each.monitor}" for each in alarms if own_alarms.get(each.alarm_id) != each
    ]
    new = [_told(each) for key, each in own_cycles.items() if key not in {each.cycle_id for each in cycles}]
    return Found(
        cycles=len(cycles),
        cycles_again=sum(own_cycles.get(each.cycle_id) == each for each in cycles),
        alarms=len(alarms),
        alarms_again=sum(own_alarms.get(each.alarm_id) == each for each in alarms),
        differs=next(iter(other + [f"{each}, which was not there" for each in new]), ""),
    )


def _as_told(alarm: Alarm, then: Change | None) -> Alarm:
    """Give an alarm without what alarms did not tell then."""
    if alarm.change is None or then is None or then.between is not None:
        return alarm
    return replace(alarm, change=replace(alarm.change, between=None))


def _told(cycle: Cycle) -> str:
    return f"cycle {cycle.number} of {cycle.opened_at:%Y-%m-%d %H:%M}"


def _result(
    history: History,
    name: str,
    came: Replay,
    losses: NDArray[np.float64],
    beside: NDArray[np.float64] | None,
    metric: str,
) -> PolicyResult:
    gains = {each.cycle: each for each in came.gains}
    trained = [each for each in came.cycles if each.trains][1:]
    outcomes = Counter(each.outcome for each in trained)
    vain = [
        each
        for each in trained
        if (each.outcome is not None and each.outcome is not CycleOutcome.PROMOTED)
        or (each.number in gains and gains[each.number].finding in (Finding.NOT_SHOWN, Finding.HARMED))
    ]
    labelled = ~np.isnan(losses)
    interval = None if beside is None else _interval(history, beside - losses, metric)
    return PolicyResult(
        policy=name,
        retrains=len(trained),
        promoted=outcomes[CycleOutcome.PROMOTED],
        in_vain=len(vain),
        seconds=round(sum(came.seconds.values()), 3),
        alarms=len(came.alarms),
        answered=int((came.served.versions > 0).sum()),
        labelled=int(labelled.sum()),
        loss=float(losses[labelled].mean()) if labelled.any() else None,
        better_by=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        cycles=[
            CycleOfReplay(
                number=each.number,
                trigger=each.trigger_text,
                opened_at=each.opened_at,
                evidence=each.evidence,
                outcome=each.outcome.value if each.outcome else each.state.value,
                reason=each.reason,
                version=each.version,
                seconds=came.seconds.get(each.cycle_id, 0.0),
                finding=gains[each.number].finding.value if each.number in gains else "",
                gain=gains[each.number].estimate if each.number in gains else None,
            )
            for each in came.cycles
        ],
        weeks=_weeks(history, losses, labelled),
    )


def _interval(history: History, better: NDArray[np.float64], metric: str) -> Interval | None:
    """By how much less is lost, by unit; None where no row has both answers and a label."""
    rows = pl.DataFrame({"unit": history.rows["unit"], "better": better}).filter(
        pl.col("better").is_not_nan()
    )
    if rows.is_empty():
        return None
    by_unit = rows.group_by("unit", maintain_order=True).agg(pl.col("better").mean())["better"].to_numpy()
    span = history.spec.task.span(metric)
    return bounded_mean(by_unit, low=-span, high=span, alpha=ALPHA)


def _weeks(history: History, losses: NDArray[np.float64], labelled: NDArray[np.bool_]) -> list[Week]:
    rows = pl.DataFrame({"week": history.rows["at"].dt.truncate("1w").dt.date(), "loss": losses}).filter(
        pl.Series(labelled)
    )
    found = rows.group_by("week").agg(pl.len().alias("rows"), pl.col("loss").mean()).sort("week")
    return [Week(begins=week, rows=count, loss=loss) for week, count, loss in found.iter_rows()]
