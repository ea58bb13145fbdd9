"""The decision of the loop, as a pure function from facts to the next act."""

from __future__ import annotations

__all__ = [
    "Action",
    "Advance",
    "AskApproval",
    "BeginRollout",
    "DropArm",
    "Expire",
    "Hold",
    "Judge",
    "Measure",
    "NotApproved",
    "Pause",
    "Promote",
    "Register",
    "RollBack",
    "Start",
    "Train",
    "decide",
]

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mainspring.loop.cycle import Cycle, CycleState, TrainingRequest, TriggerKind
from mainspring.loop.facts import ApprovalFact, Facts, RolloutFact
from mainspring.loop.standing import Held, standings

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a cycle; `declared` is the trigger as it is declared, since several may be of one kind."""

    declared: str
    cause: str
    trigger: TriggerKind
    evidence: str
    request: TrainingRequest | None = None
    parts: tuple[TriggerKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Record what holds a trigger back that would start a cycle: each thing once for each cause."""

    cause: str
    trigger: TriggerKind
    evidence: str
    held: tuple[Held, ...]
    parts: tuple[TriggerKind, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """What is recorded by it."""
        return frozenset(_key(each, self.cause) for each in self.held)


def _key(held: Held, cause: str) -> str:
    return f"{held.by}:{cause}"


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
class NotApproved:
    """End the cycle of a version that people have refused, or not approved in time."""

    cycle: Cycle
    approval: ApprovalFact


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
    | NotApproved
    | AskApproval
    | Promote
    | RollBack
    | Expire
)


def decide(facts: Facts) -> Action | None:
    """Say what to do next for a product, or nothing.

    One cycle is open at a time and is carried on first. Otherwise a trigger that is ready starts one: a person's
    request before all others, which come in the order in which the product declares them. What holds a trigger back
    that has a cause is recorded, once.

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
        act = _carry_on(facts.open_cycle, facts.rollout, facts.approval)
        if act is not None:
            return act
    found = standings(facts)
    ready = next((each for each in found if each.ready), None)
    if ready is not None:
        cause = ready.causes[0]
        return Start(
            declared=repr(ready.trigger),
            cause=cause.name,
            trigger=cause.trigger,
            parts=cause.parts,
            evidence=cause.evidence,
            request=cause.request,
        )
    for standing in found:
        for cause in standing.causes:
            news = tuple(each for each in standing.held if _key(each, cause.name) not in facts.held)
            if news:
                return Hold(
                    cause=cause.name,
                    trigger=cause.trigger,
                    parts=cause.parts,
                    evidence=cause.evidence,
                    held=news,
                )
    return None


def _registered(cycle: Cycle, approval: ApprovalFact | None) -> Action | None:
    if approval is None or approval.standing == "approved":
        return BeginRollout(cycle)
    return NotApproved(cycle, approval) if approval.standing in ("refused", "expired") else None


def _carry_on(cycle: Cycle, rollout: RolloutFact | None, approval: ApprovalFact | None) -> Action | None:
    match cycle.state:
        case CycleState.STARTED:
            return Train(cycle)
        case CycleState.TRAINED:
            return Judge(cycle)
        case CycleState.JUDGED:
            return Register(cycle)
        case CycleState.REGISTERED:
            return _registered(cycle, approval)
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
