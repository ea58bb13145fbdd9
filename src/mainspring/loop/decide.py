"""The decision of the loop, as a pure function from facts to the next act."""

from __future__ import annotations

__all__ = [
    "Action",
    "Advance",
    "AlarmFact",
    "AskApproval",
    "BeginRollout",
    "DropArm",
    "Expire",
    "Facts",
    "Hold",
    "Judge",
    "Measure",
    "Pause",
    "Promote",
    "Register",
    "RollBack",
    "RolloutFact",
    "Start",
    "Train",
    "decide",
]

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cronsim import CronSim

from mainspring.clock import parse_duration, time_text
from mainspring.loop.cycle import Cycle, CycleState, TrainingRequest, TriggerKind
from mainspring.product import OnDegradation, OnDemand, OnDrift, OnNewData, OnSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mainspring.product import ProductSpec, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFact:
    """An alarm that no cycle has answered yet.

    Attributes
    ----------
    monitor : str
        Which monitor spoke.
    about : str
        `drift`, `quality` or `staleness`.
    at : datetime
        When.
    evidence : str
        What it saw, in words.
    harm : str
        For drift: what labels say of harm, in words; empty when they show none.
    """

    monitor: str
    about: str
    at: datetime
    evidence: str
    harm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFact:
    """What the comparison of the arms says now.

    Attributes
    ----------
    kind : str
        What is to be done, as `mainspring.rollouts.Kind` has it.
    reason : str
        Why.
    evidence : tuple of mapping
        What each guard has found.
    version : int, optional
        The challenger that is to be promoted, or taken out.
    measurements : mapping
        That were due, by threshold.
    """

    kind: str
    reason: str
    evidence: tuple[Mapping[str, object], ...] = ()
    version: int | None = None
    measurements: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the loop knows of a product at one moment.

    Attributes
    ----------
    spec : ProductSpec
        The declaration.
    now : datetime
        By the workspace's clock.
    newest : mapping
        The newest version of each dataset that the product reads and that has one.
    rows : int
        Rows in the newest version of the product's own dataset.
    rows_trained : int
        Rows in the version of it that the last training read.
    champion : int, optional
        The version that serves.
    open_cycle : Cycle, optional
        The cycle in progress.
    last_opened_at : datetime, optional
        When the last cycle that trains started, whoever asked.
    declared_at : datetime
        When the product became known; schedules count from there.
    requests : tuple of TrainingRequest
        Waiting, oldest first.
    alarms : tuple of AlarmFact
        Raised since then.
    rollout : RolloutFact, optional
        While a rollout runs.
    held : frozenset of str
        Causes whose holding has been recorded.
    """

    spec: ProductSpec
    now: datetime
    newest: Mapping[str, int]
    rows: int
    rows_trained: int
    champion: int | None
    open_cycle: Cycle | None
    last_opened_at: datetime | None
    declared_at: datetime
    requests: tuple[TrainingRequest, ...] = ()
    alarms: tuple[AlarmFact, ...] = ()
    rollout: RolloutFact | None = None
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a cycle."""

    cause: str
    trigger: TriggerKind
    evidence: str
    request: TrainingRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Record that a trigger is ready and waits for the cool-down to end."""

    cause: str
    trigger: TriggerKind
    evidence: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Train:
    """Run the pipeline of the open cycle."""

    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge what the run has made."""

    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Register:
    """Register the candidate that passed."""

    cycle: Cycle


@dataclass(frozen=True, slots=True)
class BeginRollout:
    """Begin to roll the new version out; the first version of a product is promoted at once."""

    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Advance:
    """Go to the rollout's next step."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class Measure:
    """Record the measurements that are due."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class DropArm:
    """Take one challenger's traffic away, of several."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class Pause:
    """Let the rollout stand until a person has looked."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Let the rollout wait for a person's approval."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the challenger champion and close the cycle."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class RollBack:
    """Take the challenger's traffic away and close the cycle."""

    cycle: Cycle
    rollout: RolloutFact


@dataclass(frozen=True, slots=True)
class Expire:
    """End an undecided rollout with the champion kept."""

    cycle: Cycle
    rollout: RolloutFact


Action: TypeAlias = (
    Start
    | Hold
    | Train
    | Judge
    | Register
    | BeginRollout
    | Advance
    | Measure
    | DropArm
    | Pause
    | AskApproval
    | Promote
    | RollBack
    | Expire
)


def decide(facts: Facts) -> Action | None:
    """Say what to do next for a product, or nothing.

    One cycle is open at a time and is carried to its end first. Otherwise a person's request comes before every other
    trigger and ignores the cool-down; the first version needs nothing but data. Triggers are asked in the order in
    which the product declares them.

    Parameters
    ----------
    facts : Facts
        Everything that matters; the answer depends on nothing else.

    Returns
    -------
    Action or None
        The next act. None: nothing to do until a fact changes.
    """
    if facts.open_cycle is not None:
        return _carry_on(facts.open_cycle, facts.rollout)
    if any(dataset.name not in facts.newest for dataset in facts.spec.datasets):
        return None  # there is nothing to train on yet; triggers stay ready
    for trigger in sorted(facts.spec.retrain, key=lambda each: not isinstance(each, OnDemand)):
        for start in _ready(trigger, facts):
            if start.request is not None or (until := _cool_until(facts)) is None:
                return start
            if start.cause not in facts.held:
                return Hold(cause=start.cause, trigger=start.trigger, evidence=start.evidence, until=until)
    return None


def _carry_on(cycle: Cycle, rollout: RolloutFact | None) -> Action | None:
    match cycle.state:
        case CycleState.STARTED:
            return Train(cycle)
        case CycleState.TRAINED:
            return Judge(cycle)
        case CycleState.JUDGED:
            return Register(cycle)
        case CycleState.REGISTERED:
            return BeginRollout(cycle)
        case CycleState.ROLLING_OUT if rollout is not None:
            acts: dict[str, Callable[[Cycle, RolloutFact], Action]] = {
                "advance": Advance,
                "measure": Measure,
                "drop": DropArm,
                "pause": Pause,
                "await_approval": AskApproval,
                "promote": Promote,
                "roll_back": RollBack,
                "expire": Expire,
            }
            return acts[rollout.kind](cycle, rollout) if rollout.kind in acts else None
        case _:
            return None


def _cool_until(facts: Facts) -> datetime | None:
    if facts.last_opened_at is None:
        return None
    until = facts.last_opened_at + parse_duration(facts.spec.cool_down)
    return until if facts.now < until else None


def _ready(trigger: Trigger, facts: Facts) -> Iterator[Start]:
    since = facts.last_opened_at or facts.declared_at
    match trigger:
        case OnDemand():
            for request in facts.requests:
                yield Start(
                    cause=f"request {request.request_id}",
                    trigger=TriggerKind.ON_DEMAND,
                    evidence=f"{request.actor} asked: {request.reason}",
                    request=request,
                )
        case OnSchedule(cron=cron):
            if (fired := _last_firing(cron, since, facts.now)) is not None:
                yield Start(
                    cause=f"schedule {time_text(fired)}",
                    trigger=TriggerKind.ON_SCHEDULE,
                    evidence=f"{cron!r} fell due at {fired:%Y-%m-%d %H:%M}",
                )
        case OnNewData(rows=needed):
            if (added := facts.rows - facts.rows_trained) >= needed:
                version = facts.newest[facts.spec.data.name]
                yield Start(
                    cause=f"data {facts.spec.data.name}@v{version}",
                    trigger=TriggerKind.ON_NEW_DATA,
                    evidence=f"{added:,} new rows up to {facts.spec.data.name}@v{version}, of {needed:,} needed",
                )
        case OnDegradation():
            yield from _answers(facts, TriggerKind.ON_DEGRADATION, lambda alarm: alarm.about == "quality")
        case OnDrift(alone=alone):
            yield from _answers(
                facts,
                TriggerKind.ON_DRIFT,
                lambda alarm: alarm.about == "drift" and (alone or bool(alarm.harm)),
            )


def _answers(facts: Facts, trigger: TriggerKind, wanted: Callable[[AlarmFact], bool]) -> Iterator[Start]:
    for alarm in facts.alarms:
        if wanted(alarm):
            harm = f"; {alarm.harm}" if alarm.harm else ""
            yield Start(
                cause=f"alarm {alarm.monitor} {time_text(alarm.at)}",
                trigger=trigger,
                evidence=f"{alarm.monitor}: {alarm.evidence}{harm}",
            )


def _last_firing(cron: str, since: datetime, now: datetime) -> datetime | None:
    """Last moment of a cron expression in (since, now]."""
    # Backwards: a schedule that fell due many times while nothing ran is one reason to train, not many.
    for moment in CronSim(cron, now + timedelta(minutes=1), reverse=True):
        if moment <= now:
            return moment if moment > since else None
    return None
