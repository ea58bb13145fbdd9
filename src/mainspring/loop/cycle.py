"""A cycle: one turn of the loop, from trigger to promotion, refusal or rollback."""

from __future__ import annotations

__all__ = [
    "Cycle",
    "CycleNotFound",
    "CycleOutcome",
    "CycleState",
    "LoopStore",
    "Offer",
    "StaleCycle",
    "TrainingRequest",
    "TriggerKind",
    "cycle_id",
    "trigger_text",
]

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from mainspring.digest import digest_of_json
from mainspring.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class CycleNotFound(NotFound):
    """A cycle that does not exist."""

    def __init__(self, cycle_id: str) -> None:
        super().__init__(cycle_id)
        self.cycle_id = cycle_id

    def __str__(self) -> str:
        return f"No cycle {self.cycle_id!r}. To see them all, run `mainspring cycles`."


class StaleCycle(Conflict):
    """A cycle that has moved on since it was read."""

    def __init__(self, cycle_id: str, expected: CycleState, found: CycleState) -> None:
        super().__init__(cycle_id, expected, found)
        self.cycle_id, self.expected, self.found = cycle_id, expected, found

    def __str__(self) -> str:
        return f"Cycle {self.cycle_id} is {self.found.value}, not {self.expected.value}: another process moved it on."


class TriggerKind(StrEnum):
    """The five reasons to start a cycle, and several of them together."""

    ON_DEMAND = "on_demand"
    ON_SCHEDULE = "on_schedule"
    ON_NEW_DATA = "on_new_data"
    ON_DEGRADATION = "on_degradation"
    ON_DRIFT = "on_drift"
    ALL_OF = "all_of"


class CycleState(StrEnum):
    """How far a cycle has come; each names the last act that is done."""

    STARTED = "started"
    TRAINED = "trained"
    JUDGED = "judged"
    REGISTERED = "registered"
    ROLLING_OUT = "rolling_out"
    CLOSED = "closed"


class CycleOutcome(StrEnum):
    """How a cycle ended."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"
    ABORTED = "aborted"
    FAILED = "failed"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a client logged, offered to a product as its next version.

    Attributes
    ----------
    source : str
        The model by its address: `models:/m-…`, `models:/NAME/VERSION` or `runs:/RUN/PATH`.
    run_id, model_id : str
        The client's run and logged model that it comes from; empty where they are not known.
    files : dict of str to str
        Digests of the files that are read, by their path in the model's folder, as they were when it was offered.
    """

    source: str
    run_id: str = ""
    model_id: str = ""
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """A person's wish for a new version: to train one, or to take the one that is offered.

    Attributes
    ----------
    request_id : str
        Given by the caller or drawn; asked again under the same id, it is the same request.
    product : str
        What to train.
    params : mapping
        Params to change for this cycle, as `step.name`.
    data : mapping
        Dataset names to version numbers; a dataset that is not named is read at its newest version.
    actor, reason : str
        Who asks, and why.
    at : datetime
        When it was asked.
    cycle_id : str, optional
        The cycle that it started.
    offer : Offer, optional
        What is judged instead of a model that the pipeline trains.
    """

    request_id: str
    product: str
    params: Mapping[str, str | int | float | bool | None]
    data: Mapping[str, int]
    actor: str
    reason: str
    at: datetime
    cycle_id: str | None = None
    offer: Offer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One turn of the loop.

    Attributes
    ----------
    cycle_id : str
        Derived from what caused it, so that the same cause never starts two.
    product, number : str, int
        Whose cycle, counted 1, 2, 3….
    trigger : TriggerKind
        Why it started.
    parts : tuple of TriggerKind
        Of `ALL_OF` alone: the kinds that spoke together, each once. A cycle that was recorded before there was
        `ALL_OF` has the kind of the first of them, and no parts.
    evidence : str
        What the trigger saw, in words.
    actor : str
        `loop`, or the person who asked.
    params, data : mapping
        As in `TrainingRequest`, with every dataset's version filled in. Empty where nothing is trained.
    opened_at : datetime
        By the workspace's clock.
    state : CycleState
        How far it has come.
    version : int, optional
        The model version that it registered, or rolls out.
    verdict : str
        What the judge said, in short; empty before.
    outcome : CycleOutcome, optional
        How it ended.
    reason : str
        Why it ended so.
    closed_at : datetime, optional
        When.
    offer : Offer, optional
        As in `TrainingRequest`.
    """

    cycle_id: str
    product: str
    number: int
    trigger: TriggerKind
    evidence: str
    actor: str
    params: Mapping[str, str | int | float | bool | None]
    data: Mapping[str, int]
    opened_at: datetime
    state: CycleState = CycleState.STARTED
    version: int | None = None
    verdict: str = ""
    outcome: CycleOutcome | None = None
    reason: str = ""
    closed_at: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[TriggerKind, ...] = ()
    offer: Offer | None = None

    @property
    def run_id(self) -> str:
        """The id of the cycle's run."""
        return f"run-{self.cycle_id}"

    @property
    def trigger_text(self) -> str:
        """Its trigger for people, with the parts of a combination."""
        return trigger_text(self.trigger, self.parts)

    @property
    def trains(self) -> bool:
        """Whether it trains a version.

        One that rolls out what is registered, or judges what is offered, answers none of the triggers but a request.
        """
        return bool(self.data) and self.offer is None


class LoopStore(Protocol):
    """Where cycles and requests are recorded."""

    def open(self, cycle: Cycle) -> None:
        """Record a new cycle; raises `mainspring.errors.Conflict` when its id is taken or another one is open."""
        ...

    def move(self, cycle: Cycle, *, expected: CycleState) -> None:
        """Record a cycle's new state; raises `StaleCycle` when it is no longer in the expected one."""
        ...

    def get(self, cycle_id: str) -> Cycle:
        """Give one cycle; raises `CycleNotFound`."""
        ...

    def cycles(self, product: str | None = None) -> tuple[Cycle, ...]:
        """Give every cycle, ordered by product and number."""
        ...

    def request(self, request: TrainingRequest) -> TrainingRequest:
        """Record a request; under an id that is known, that first request stays and is given back."""
        ...

    def requests(self, product: str, *, waiting: bool = True) -> tuple[TrainingRequest, ...]:
        """Give a product's requests, oldest first; with `waiting` those that no cycle has taken up."""
        ...

    def take_up(self, request_id: str, cycle_id: str) -> None:
        """Record which cycle a request started."""
        ...


def trigger_text(trigger: TriggerKind, parts: Sequence[TriggerKind]) -> str:
    """Print the kind of a trigger, with those of which it is combined.

    Examples
    --------
    >>> trigger_text(TriggerKind.ON_DRIFT, ())
    'on_drift'
    >>> trigger_text(TriggerKind.ALL_OF, (TriggerKind.ON_SCHEDULE, TriggerKind.ON_NEW_DATA))
    'all_of (on_schedule, on_new_data)'
    """
    return f"{trigger} ({', '.join(parts)})" if parts else trigger.value


def cycle_id(product: str, cause: str) -> str:
    """Id of the cycle that a cause starts.

    Examples
    --------
    >>> cycle_id("late-arrivals", "schedule 2013-03-01") == cycle_id("late-arrivals", "schedule 2013-03-01")
    True
    """
    return digest_of_json([product, cause])[:12]
