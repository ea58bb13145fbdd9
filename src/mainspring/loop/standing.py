"""How each trigger of a product stands: what it needs, what is there, and what holds it back."""

from __future__ import annotations

__all__ = ["Cause", "Held", "HeldBy", "Standing", "cool_down_of", "spent_cycles", "standings"]

from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from mainspring.clock import duration_text, parse_duration, time_text
from mainspring.loop.cycle import TriggerKind
from mainspring.loop.schedule import last_due, next_due, quiet_until, zone
from mainspring.monitors import (
    AttributionDrift,
    AuditedQuality,
    ConceptDrift,
    InputDrift,
    JointDrift,
    PredictionDrift,
    Quality,
)
from mainspring.triggers import AllOf, AnyOf, OnDegradation, OnDemand, OnDrift, OnNewData, OnSchedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, tzinfo

    from mainspring.loop.cycle import Cycle, TrainingRequest
    from mainspring.loop.facts import AlarmFact, Facts
    from mainspring.monitors import Monitor
    from mainspring.product import ProductSpec
    from mainspring.triggers import CycleBudget, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A reason to start a cycle.

    Attributes
    ----------
    name : str
        The same for the same reason, so that it never starts two.
    trigger : TriggerKind
        Of which kind.
    parts : tuple of TriggerKind
        Of `ALL_OF` alone: the kinds that speak together, each once.
    evidence : str
        What the trigger saw, in words.
    request : TrainingRequest, optional
        Of a person who asked.
    """

    name: str
    trigger: TriggerKind
    evidence: str
    request: TrainingRequest | None = None
    parts: tuple[TriggerKind, ...] = ()


class HeldBy(StrEnum):
    """What can hold a trigger back."""

    OPEN_CYCLE = "open_cycle"
    NO_DATA = "no_data"
    COOL_DOWN = "cool_down"
    QUIET_HOURS = "quiet_hours"
    CYCLE_BUDGET = "cycle_budget"
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that holds a trigger back.

    Attributes
    ----------
    by : HeldBy
        What.
    why : str
        The same in words.
    until : datetime, optional
        When it lets go; None where that depends on something else than time.
    """

    by: HeldBy
    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a trigger stands at one moment.

    Attributes
    ----------
    trigger : Trigger
        As declared.
    needs, has : str
        What it needs to start a cycle, and what there is, in words.
    causes : tuple of Cause
        Why it would start one now, the first before the others; empty while it has no cause.
    held : tuple of Held
        What holds it back, whether it has a cause or not.
    parts : tuple of Standing
        Of a combination; what holds them back all is told of the combination alone.
    near : float, optional
        What there is of what it needs, as a share from 0 to 1, where it counts something: of several things the one
        that lacks most. 1 exactly where it has a cause.
    next_due : datetime, optional
        Of a schedule: its next moment after this one.
    """

    trigger: Trigger
    needs: str
    has: str
    causes: tuple[Cause, ...] = ()
    held: tuple[Held, ...] = ()
    parts: tuple[Standing, ...] = ()
    near: float | None = None
    next_due: datetime | None = None

    @property
    def kind(self) -> str:
        """Its kind: that of `TriggerKind` which it gives a cycle, or `any_of`, whose parts each give their own."""
        match self.trigger:
            case OnDemand():
                return TriggerKind.ON_DEMAND.value
            case OnSchedule():
                return TriggerKind.ON_SCHEDULE.value
            case OnNewData():
                return TriggerKind.ON_NEW_DATA.value
            case OnDegradation():
                return TriggerKind.ON_DEGRADATION.value
            case OnDrift():
                return TriggerKind.ON_DRIFT.value
            case AllOf():
                return TriggerKind.ALL_OF.value
            case AnyOf():
                return "any_of"

    @property
    def ready(self) -> bool:
        """Whether it starts a cycle, unless another trigger comes first."""
        return bool(self.causes) and not self.held

    @property
    def sentence(self) -> str:
        """Why it starts a cycle or does not, in a sentence."""
        if not self.causes:
            waits = f"It waits for {self.needs}. So far: {self.has}."
            return waits + (f" It would be held back too: {self._held_text}." if self.held else "")
        first, more = self.causes[0].evidence, len(self.causes) - 1
        why = f"{first}, and {more} more" if more else first
        if self.held:
            return f"It would start a cycle ({why}), but is held back: {self._held_text}."
        return f"It starts a cycle with the loop's next turn: {why}."

    @property
    def _held_text(self) -> str:
        return "; ".join(each.why for each in self.held)


def standings(facts: Facts) -> tuple[Standing, ...]:
    """Say of each trigger how it stands: requests first, then in the order of declaration.

    An `AnyOf` that is declared by itself is the same as its parts, and told so.

    Parameters
    ----------
    facts : Facts
        Everything that matters; the answer depends on nothing else.
    """
    triggers = sorted(_apart(facts.spec.retrain), key=lambda each: not isinstance(each, OnDemand))
    found = (_standing(trigger, facts) for trigger in triggers)
    return tuple(replace(each, held=(*each.held, *_holds(each.trigger, facts))) for each in found)


def _apart(triggers: Sequence[Trigger]) -> Iterator[Trigger]:
    for trigger in triggers:
        if isinstance(trigger, AnyOf):
            yield from _apart(trigger.triggers)
        else:
            yield trigger


def _standing(trigger: Trigger, facts: Facts) -> Standing:
    match trigger:
        case OnDemand():
            return _demand(trigger, facts)
        case OnSchedule():
            return _schedule(trigger, facts)
        case OnNewData():
            return _new_data(trigger, facts)
        case OnDegradation():
            return _degradation(trigger, facts)
        case OnDrift():
            return _drift(trigger, facts)
        case AnyOf(triggers=triggers) | AllOf(triggers=triggers):
            return _combination(trigger, tuple(_standing(each, facts) for each in triggers))


# --- what each of them sees ---------------------------------------------------------------------------------------


def _demand(trigger: OnDemand, facts: Facts) -> Standing:
    causes = tuple(
        Cause(
            name=f"request {request.request_id}",
            trigger=TriggerKind.ON_DEMAND,
            evidence=_asked(request),
            request=request,
        )
        for request in facts.requests
    )
    has = f"{len(causes)} waiting" if causes else "nobody has asked"
    return Standing(trigger=trigger, needs="a person's request", has=has, causes=causes)


def _asked(request: TrainingRequest) -> str:
    if request.offer is None:
        return f"{request.actor} asked: {request.reason}"
    return f"{request.actor} offered {request.offer.source}: {request.reason}"


def _schedule(trigger: OnSchedule, facts: Facts) -> Standing:
    since = facts.last_opened_at or facts.declared_at
    tz = zone(trigger.tz)
    asked = repr(trigger.cron) if trigger.tz == "UTC" else f"{trigger.cron!r} in {trigger.tz}"
    needs = f"a moment of {asked} after {_minute(since, tz)}"
    due = last_due(trigger, since, facts.now)
    if due is None:
        upcoming = next_due(trigger, facts.now)
        then = f"the next is {_minute(upcoming, tz)}" if upcoming else "there is none in the next 50 years"
        return Standing(trigger=trigger, needs=needs, has=f"none has passed; {then}", next_due=upcoming)
    has = f"{asked} fell due at {_minute(due, tz)}"
    cause = Cause(name=f"schedule {time_text(due)}", trigger=TriggerKind.ON_SCHEDULE, evidence=has)
    held = []
    upcoming = next_due(trigger, facts.now)
    if trigger.start_within is not None and facts.now - due > parse_duration(trigger.start_within):
        why = f"missed, since no cycle could start within {trigger.start_within}"
        held.append(Held(by=HeldBy.MISSED, why=why, until=upcoming))
    return Standing(
        trigger=trigger, needs=needs, has=has, causes=(cause,), held=tuple(held), next_due=upcoming
    )


class _Check(NamedTuple):
    """One of the things that `OnNewData` asks; `counted` says how much of it is there, where that is counted."""

    needs: str
    has: str
    told: str
    met: bool
    counted: float = 0.0

    @property
    def near(self) -> float:
        # Met decides: a quotient may come out as 1 a little before, or not quite when it is.
        return 1.0 if self.met else min(max(self.counted, 0.0), _ALMOST)


_ALMOST = 0.999
"""The share of what is needed, at most, where it is not there yet."""


def _new_data(trigger: OnNewData, facts: Facts) -> Standing:
    name = trigger.dataset or facts.spec.data.name
    checks = tuple(_checks(trigger, name, facts))
    met = all(each.met for each in checks)
    cause = Cause(
        name=f"data {name}@v{facts.data[name].version if name in facts.data else 0}",
        trigger=TriggerKind.ON_NEW_DATA,
        evidence=", ".join(f"{each.has}, of {each.told}" for each in checks),
    )
    return Standing(
        trigger=trigger,
        needs=", ".join(each.needs for each in checks),
        has=", ".join(each.has for each in checks),
        causes=(cause,) if met else (),
        near=min(each.near for each in checks),
    )


def _checks(trigger: OnNewData, name: str, facts: Facts) -> Iterator[_Check]:
    data = facts.data.get(name)
    added = data.rows - data.rows_trained if data else 0
    asked = "a new row" if trigger.rows == 1 else f"{trigger.rows:,} new rows"
    yield _Check(
        needs=f"{asked} of {name}",
        has=f"{added:,} new rows up to {name}@v{data.version}" if data else f"{name} has no version yet",
        told=f"{trigger.rows:,} needed",
        met=added >= trigger.rows,
        counted=added / trigger.rows,
    )
    if trigger.grown:
        read = data.rows_trained if data else 0
        yield _Check(
            needs=f"{trigger.grown:.0%} more rows than the last cycle read",
            has=f"{added / read:.0%} more rows" if read else "no cycle yet",
            told=f"{trigger.grown:.0%} needed",
            met=data is not None and added >= trigger.grown * read,
            counted=added / (trigger.grown * read) if read else 0.0,
        )
    # Where the event time is not known nothing is met: a trigger that cannot see must not fire.
    newest, trained = (data.newest, data.newest_trained) if data else (None, None)
    if trigger.days:
        days = (newest.date() - trained.date()).days if newest and trained else None
        first = newest is not None and data is not None and not data.rows_trained
        yield _Check(
            needs=f"{trigger.days} new days of event time",
            has="the first data" if first else f"{'no' if days is None else days} new days of event time",
            told=f"{trigger.days} needed",
            met=first or (days is not None and days >= trigger.days),
            counted=(days or 0) / trigger.days,
        )
    if trigger.fresh is not None:
        age = max(timedelta(0), facts.now - newest) if newest else None
        yield _Check(
            needs=f"a newest row at most {trigger.fresh} old",
            has="no row" if age is None else f"a newest row {duration_text(age)} old",
            told=f"{trigger.fresh} allowed",
            met=age is not None and age <= parse_duration(trigger.fresh),
        )


def _degradation(trigger: OnDegradation, facts: Facts) -> Standing:
    alarms = [each for each in facts.alarms if each.about == "quality"]
    return Standing(
        trigger=trigger,
        needs="an alarm about quality since the last cycle started",
        has=_alarms_text(alarms, facts, (Quality, AuditedQuality)),
        causes=_causes(alarms, TriggerKind.ON_DEGRADATION),
    )


def _drift(trigger: OnDrift, facts: Facts) -> Standing:
    alarms = [each for each in facts.alarms if each.about in ("drift", "concept")]
    answered = [each for each in alarms if trigger.alone or each.harm or each.about == "concept"]
    has = _alarms_text(
        alarms, facts, (InputDrift, JointDrift, AttributionDrift, PredictionDrift, ConceptDrift)
    )
    return Standing(
        trigger=trigger,
        needs="an alarm about drift since the last cycle started"
        + ("" if trigger.alone else ", and labels that show harm"),
        has=f"{has}; labels show no harm" if alarms and not answered else has,
        causes=_causes(answered, TriggerKind.ON_DRIFT),
    )


def _alarms_text(alarms: Sequence[AlarmFact], facts: Facts, monitors: tuple[type[Monitor], ...]) -> str:
    """Name the alarms, or say that there are none; and which of the monitors that raise them have seen nothing."""
    declared = [each.name for each in facts.spec.monitors if isinstance(each, monitors)]
    told = [f"{each.monitor} at {each.at:%Y-%m-%d %H:%M}" for each in alarms]
    if not told:
        told = ["none" if declared else "none, and no monitor that could raise one is declared"]
    told += [
        f"{name} cannot tell: {facts.blind[name].replace('_', ' ')}"
        for name in declared
        if name in facts.blind
    ]
    return "; ".join(told)


def _causes(alarms: Sequence[AlarmFact], trigger: TriggerKind) -> tuple[Cause, ...]:
    return tuple(
        Cause(
            name=f"alarm {each.monitor} {time_text(each.at)}",
            trigger=trigger,
            evidence=f"{each.monitor}: {each.evidence}" + (f"; {each.harm}" if each.harm else ""),
        )
        for each in alarms
    )


def _combination(trigger: AnyOf | AllOf, parts: tuple[Standing, ...]) -> Standing:
    ready = [part for part in parts if part.ready]
    causes = [cause for part in ready for cause in part.causes]
    if isinstance(trigger, AllOf):
        firsts = [part.causes[0] for part in ready]
        causes = [_together(firsts)] if len(ready) == len(parts) else []
    return Standing(
        trigger=trigger,
        needs=f"{'all' if isinstance(trigger, AllOf) else 'any'} of {len(parts)} triggers",
        has=f"{len(ready)} of them",
        causes=tuple(causes),
        parts=parts,
        near=len(ready) / len(parts) if isinstance(trigger, AllOf) else None,
    )


def _together(causes: Sequence[Cause]) -> Cause:
    kinds = [kind for each in causes for kind in each.parts or (each.trigger,)]
    return Cause(
        name=" and ".join(each.name for each in causes),
        trigger=TriggerKind.ALL_OF,
        parts=tuple(dict.fromkeys(kinds)),
        evidence="; ".join(each.evidence for each in causes),
    )


# --- what holds them back ------------------------------------------------------------------------------------------


def _holds(trigger: Trigger, facts: Facts) -> Iterator[Held]:
    spec, now = facts.spec, facts.now
    if (cycle := facts.open_cycle) is not None:
        yield Held(by=HeldBy.OPEN_CYCLE, why=f"cycle {cycle.number} is open")
    for dataset in spec.datasets:
        if dataset.name not in facts.data:
            yield Held(by=HeldBy.NO_DATA, why=f"dataset {dataset.name!r} has no version yet")
    if (cool_down := cool_down_of(trigger, spec)) is None:
        return  # a person's request waits for nothing else
    if facts.last_opened_at is not None:
        until = facts.last_opened_at + parse_duration(cool_down)
        if now < until:
            yield Held(by=HeldBy.COOL_DOWN, why=f"cooling down until {_minute(until)}", until=until)
    if (quiet := quiet_until(spec.quiet_hours, now)) is not None:
        yield Held(by=HeldBy.QUIET_HOURS, why=f"quiet hours until {_minute(quiet)}", until=quiet)
    if (budget := spec.cycle_budget) is not None:
        spent = [each.opened_at for each in spent_cycles(budget, facts)]
        if len(spent) >= budget.at_most:
            until = spent[-budget.at_most] + parse_duration(budget.per)
            yield Held(
                by=HeldBy.CYCLE_BUDGET,
                why=f"{len(spent)} cycles started in {budget.per}, {budget.at_most} allowed, until {_minute(until)}",
                until=until,
            )


def cool_down_of(trigger: Trigger, spec: ProductSpec) -> str | None:
    """How long a trigger waits after a cycle has started: its own time, or the product's; None: it does not wait."""
    match trigger:
        case OnDemand():
            return None
        case AnyOf():
            return spec.cool_down
        case _:
            return trigger.cool_down or spec.cool_down


def spent_cycles(budget: CycleBudget, facts: Facts) -> tuple[Cycle, ...]:
    """The cycles that count against a budget now, oldest first."""
    span = parse_duration(budget.per)
    return tuple(each for each in facts.trainings if each.opened_at + span > facts.now)


def _minute(at: datetime, tz: tzinfo = UTC) -> str:
    return f"{at.astimezone(tz):%Y-%m-%d %H:%M}"
