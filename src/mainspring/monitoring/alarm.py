"""The moment a monitor speaks: what it has found, what that rests on, and what people have made of it."""

from __future__ import annotations

__all__ = [
    "Alarm",
    "AlarmNotFound",
    "AlarmState",
    "Between",
    "Blame",
    "Change",
    "Grounds",
    "change_of",
    "mean",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mainspring.clock import time_text
from mainspring.digest import Digest, digest_of_json
from mainspring.errors import NotFound
from mainspring.monitoring.change_point import LEVEL, change_days
from mainspring.monitoring.detector import Budget, Evidence, Stream, window_lengths
from mainspring.monitors import Monitor

_BLAMED = 5


class AlarmNotFound(NotFound):
    """An alarm that was never raised."""

    def __init__(self, alarm_id: str) -> None:
        super().__init__(alarm_id)
        self.alarm_id = alarm_id

    def __str__(self) -> str:
        return f"No alarm {self.alarm_id!r}. To see a product's alarms, run `mainspring alarms list PRODUCT`."


class AlarmState(StrEnum):
    """Whether an alarm is known to matter.

    That inputs or predictions have moved is *suspected* to do harm, until labels of the last two weeks show that the
    champion answers worse than it did on the hold-out. What labels have proved, and an age, are *confirmed* at once.
    """

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """What a column, or a loss, has to do with an alarm.

    Attributes
    ----------
    feature : str
        The column, or the loss.
    stream : str
        Which of its streams has risen most evidently.
    log_e : float
        Log e-value of that stream, in nats.
    before, after : float
        Its mean in the reference, or what is allowed, or that of the control since the change; and its mean over the
        days since the change, both in the change's unit.
    effect : float
        The effect size: how far the mean has moved.
    """

    feature: str
    stream: str
    log_e: float
    before: float
    after: float
    effect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Days of which one is the first after the change, unless it is one of the 1 - `level` where none of them is.

    Attributes
    ----------
    level : float
        See `mainspring.monitoring.change_point`.
    first, last : date
        Both included.
    """

    level: float
    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a monitor that bets has seen.

    Attributes
    ----------
    unit : str
        Of the means: `share of rows`, or the name of a loss.
    log_e, needed : float
        Evidence of all streams together, and the threshold that it has reached, in nats.
    since : date
        The first day after the change, as the most evident window has it.
    earliest, latest : date
        Days between which it lies, as far as windows were tried: the days within the next shorter window and those
        before the next longer one look less changed. This is the detector's resolution.
    between : Between, optional
        Days between which it lies, at a stated level; None for alarms from before that was told.
    blame : tuple of Blame
        The five columns with the most evidence, most evident first, each with its most evident stream.
    """

    unit: str
    log_e: float
    needed: float
    since: date
    earliest: date
    latest: date
    blame: tuple[Blame, ...]
    between: Between | None = None

    @property
    def told_since(self) -> str:
        """Since when, in words."""
        if self.between is None:
            return f"about {self.since}, from {self.earliest} to {self.latest}"
        return (
            f"about {self.since}, between {self.between.first} and {self.between.last} at a level of "
            f"{self.between.level:.0%}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """All that a monitor has looked at; what it finds is a function of this and nothing else.

    Attributes
    ----------
    monitor : Monitor
        As it was declared.
    checks, alarms : int, float
        Its share of the budget, as in `Budget`.
    registered_at, at : datetime
        When the version was registered, and when the monitor looked.
    reference : Digest
        What the days were compared with.
    tables : mapping of date to Digest
        The table of each day since the promotion, as it was then: labels that come later change a day's table.
    """

    monitor: Monitor
    checks: int
    alarms: float
    registered_at: datetime
    at: datetime
    reference: Digest
    tables: Mapping[date, Digest]

    @property
    def budget(self) -> Budget:
        """The budget that the evidence was held against."""
        return Budget(checks=self.checks, alarms=self.alarms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What a monitor has said, and when.

    Attributes
    ----------
    product : str
        Of which.
    monitor : str
        Which one speaks: `input_drift`, `prediction_drift`, `quality:log_loss`, `staleness`.
    about : str
        `drift`, `quality` or `staleness`.
    at : datetime
        By the workspace's clock.
    version : int
        The champion that was watched; an alarm is over when another one serves.
    state : AlarmState
        Whether it is known to matter.
    evidence : str
        What it saw, in words.
    change : Change, optional
        What it saw, in figures; None for an age.
    grounds : Digest, optional
        The blob with the `Grounds` that it was computed from; None for alarms of mainspring 0.1.
    acknowledged_by : str
        Who has taken it up; empty before.
    snoozed_until : datetime, optional
        Until when no route tells what this monitor says, by the workspace's clock.
    """

    product: str
    monitor: str
    about: str
    at: datetime
    version: int
    state: AlarmState
    evidence: str
    change: Change | None = None
    grounds: Digest | None = None
    acknowledged_by: str = ""
    snoozed_until: datetime | None = None

    @property
    def alarm_id(self) -> str:
        """Derived from what was said of which version and when, so that a replay gives the same one."""
        return digest_of_json([self.product, self.version, self.monitor, time_text(self.at)])[:12]

    @property
    def advice(self) -> str:
        """What to do next."""
        match self.about, self.state:
            case "drift", AlarmState.SUSPECTED:
                return (
                    "Look at the blamed columns where they come from: a unit, a source or a join may have changed. "
                    "No label shows harm yet, and unless OnDrift(alone=True) is declared no cycle starts of it."
                )
            case "drift", AlarmState.CONFIRMED:
                return (
                    "Labels show harm. If a blamed column is broken, mend its source first, or a new version learns "
                    "from broken values; if the world has changed, let OnDrift retrain or ask for a cycle."
                )
            case "concept", _:
                return (
                    "The same scores meet other outcomes: what inputs mean has changed, or how outcomes are recorded. "
                    "If the labels are sound, let OnDrift retrain on newer data or ask for a cycle."
                )
            case "fairness", _:
                return (
                    "Compare the group with the others by input and by outcome before retraining: a new version learns "
                    "the same gap from the same data. Its inputs may have broken, or a threshold may suit it no more."
                )
            case "data_quality", _:
                return (
                    "Look at the blamed inputs where they come from: a source, a join or a unit has broken. Mend it, "
                    "and do not retrain before, or a new version learns from broken values."
                )
            case "skew", _:
                return (
                    "The model learns from other values than it is asked with. Find out which of the two is late or "
                    "computed otherwise: rows that are published after they were needed, a view's ttl, or the caller's "
                    "own features."
                )
            case "labels", _:
                return (
                    "Find out where labels get stuck: until they come, no monitor of quality sees these days, and no "
                    "rollout is decided by them."
                )
            case "serving", _:
                return (
                    "Look at the gateway's metrics and log of these days. If it is the version, roll back to the one "
                    "before; if it is the load, add a gateway."
                )
            case "traffic", _:
                return (
                    "Ask the callers: an outage, a change of who asks, or a holiday. Evidence of these days is "
                    "thinner, or of other rows, than that of the days before."
                )
            case "lag", _:
                return "Find out why the loop stood still; the days in between have now been looked at, all at once."
            case "quality", _:
                return (
                    "Compare the loss by slice and look for a drift alarm of the same days; if the labels themselves "
                    "are sound, let OnDegradation retrain or ask for a cycle."
                )
            case _:
                return "Ask for a cycle, or raise the age that is allowed if the champion is still good."


def change_of(
    evidence: Evidence,
    streams: Sequence[Stream],
    days: Sequence[date],
    *,
    budget: Budget,
    unit: str,
    scale: float,
) -> Change:
    """Say in figures what a detector has found.

    Parameters
    ----------
    evidence : Evidence
        Of these streams, with a window of at least one check.
    streams : sequence of Stream
        As they were weighed.
    days : sequence of date
        The day of each check, oldest first.
    budget : Budget
        Against which the evidence was held.
    unit : str
        As in `Change`.
    scale : float
        What 1 on the streams' scale is in that unit.

    Returns
    -------
    Change
        Means are taken at the middle of each level, and rounded to six digits as evidence is.
    """
    lengths = window_lengths(len(days)).tolist()
    place = lengths.index(evidence.window)
    shorter = lengths[place - 1] if place else 0
    longer = lengths[place + 1] if place + 1 < len(lengths) else len(days) + 1
    named = {stream.name: stream for stream in streams}
    first, last = change_days(named[evidence.streams[0][0]], among=len(streams), budget=budget)
    since = len(days) - evidence.window
    strongest: dict[str, Blame] = {}
    for name, log_e in evidence.streams:
        stream = named[name]
        if stream.column not in strongest and len(strongest) < _BLAMED:
            before = baseline(stream, evidence.window, scale=scale)
            after = mean(stream, stream.checks[-evidence.window :], scale=scale)
            strongest[stream.column] = Blame(
                feature=stream.column,
                stream=name,
                log_e=log_e,
                before=before,
                after=after,
                effect=round(after - before, 6),
            )
    return Change(
        unit=unit,
        log_e=evidence.log_e,
        needed=round(evidence.log_threshold, 6),
        since=days[-evidence.window],
        earliest=days[-(longer - 1)],
        latest=days[-(shorter + 1)],
        blame=tuple(strongest.values()),
        between=Between(level=LEVEL, first=days[min(first, since)], last=days[max(last, since)]),
    )


def baseline(stream: Stream, window: int, *, scale: float) -> float:
    """What the mean of a stream over its last `window` checks is compared with, rounded as `mean` is."""
    if stream.allowed is not None:
        return float(round(scale * stream.allowed, 6))
    before = [stream.reference] if stream.beside is None else stream.beside[-window:]
    return mean(stream, before, scale=scale)


def mean(stream: Stream, tables: Sequence[Sequence[int]], *, scale: float) -> float:
    """Mean of a stream over the rows of some tables, at the middle of each level; 0 where there are no rows.

    Rows of which nothing is known, in a level from 0 to 1, are left out.
    """
    known = stream.known
    counts = [sum(level) * is_known for level, is_known in zip(zip(*tables, strict=True), known, strict=True)]
    middles = [(low + high) / 2 for low, high in zip(stream.lower, stream.upper, strict=True)]
    total = sum(count * middle for count, middle in zip(counts, middles, strict=True))
    return float(round(scale * total / max(1, sum(counts)), 6))
