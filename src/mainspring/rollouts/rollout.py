"""A rollout: versions that may take over from the champion, in steps, and what may happen to it when.

A transition is a method that gives the rollout as it is afterwards. Who asked and why is no part of this state: it
stands in the event that is written with it.
"""

from __future__ import annotations

__all__ = ["IllegalMove", "Move", "Phase", "Rollout", "RolloutEnded"]

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate
from typing import Any

import msgspec

from mainspring.digest import Digest
from mainspring.errors import Conflict, Invalid
from mainspring.ref import check_name
from mainspring.rollouts.split import Part, Split, check_salt
from mainspring.rollouts.steps import Mode, Step, steps_of
from mainspring.strategy import Strategy


class Phase(StrEnum):
    """Where a rollout stands.

    In progress are `RUNNING`; `PAUSED`, where the shares stand and no step ends, and harm still rolls back; and
    `AWAITING_APPROVAL`, where a step is through and a person must say so. The others are final.
    """

    RUNNING = "running"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting_approval"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self not in (Phase.RUNNING, Phase.PAUSED, Phase.AWAITING_APPROVAL)


class Move(StrEnum):
    """What may happen to a rollout."""

    ADVANCE = "advance"
    DROP = "drop"
    CERTIFY = "certify"
    PAUSE = "pause"
    RESUME = "resume"
    AWAIT_APPROVAL = "await_approval"
    APPROVE = "approve"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    EXPIRE = "expire"
    ABORT = "abort"


_LEGAL: Mapping[Phase, frozenset[Move]] = {
    Phase.RUNNING: frozenset(Move) - {Move.RESUME, Move.APPROVE},
    Phase.PAUSED: frozenset({Move.RESUME, Move.DROP, Move.CERTIFY, Move.ROLL_BACK, Move.ABORT}),
    Phase.AWAITING_APPROVAL: frozenset({Move.APPROVE, Move.DROP, Move.ROLL_BACK, Move.EXPIRE, Move.ABORT}),
}

_MENDS: Mapping[Phase, str] = {
    Phase.RUNNING: "It goes on by itself; pause it to make it stand, or abort it",
    Phase.PAUSED: "Resume it, or abort it",
    Phase.AWAITING_APPROVAL: "Approve it, or abort it",
}


class RolloutEnded(Conflict):
    """An act on a rollout that has ended."""

    def __init__(self, rollout_id: str, phase: Phase) -> None:
        super().__init__(rollout_id, phase)
        self.rollout_id, self.phase = rollout_id, phase

    def __str__(self) -> str:
        return f"Rollout {self.rollout_id} has ended: it is {self.phase.value}, for good. Start a new one to try again."


class IllegalMove(Conflict):
    """An act that a rollout in its phase cannot take."""

    def __init__(self, rollout_id: str, phase: Phase, move: Move) -> None:
        super().__init__(rollout_id, phase, move)
        self.rollout_id, self.phase, self.move = rollout_id, phase, move

    def __str__(self) -> str:
        move = self.move.value.replace("_", " ")
        phase = self.phase.value.replace("_", " ")
        return f"Rollout {self.rollout_id} is {phase}, so it cannot {move}. {_MENDS[self.phase]}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The state of a change from the champion to a challenger.

    Attributes
    ----------
    rollout_id : str
    product : str
    champion : int
        The model version that serves, and the control.
    challengers : tuple of int
        The model versions that may take over; the first is the cycle's own.
    strategy : Strategy
        As it was declared when the rollout began, which is what holds to its end.
    step : int
        Index of the present step, of `steps`.
    phase : Phase
    salt : str
        Of the split.
    started_at, step_started_at : datetime
        Timezone-aware, by the workspace's clock.
    dropped : tuple of int
        Challengers that were taken out; the champion serves their units.
    approved : bool
        Whether a person has approved that the rollout goes on from its present step.
    paused_at : datetime or None
        Since when it is paused.
    paused_s : float
        How long it was paused before, in seconds; the horizon moves on by that.
    resumed_at : datetime or None
        When a person last let it go on from a pause in this step; measurements before have been seen and count no more.
    certificate : Digest or None
        Of the shadow certificate with which it may leave the shadow.
    slices : mapping of str to tuple of str
        By column the values that are slices of their own, fixed before the first unit; all others are one, `other`.
    """

    rollout_id: str
    product: str
    champion: int
    challengers: tuple[int, ...]
    strategy: Strategy
    step: int = 0
    phase: Phase = Phase.RUNNING
    salt: str
    started_at: datetime
    step_started_at: datetime
    dropped: tuple[int, ...] = ()
    approved: bool = False
    paused_at: datetime | None = None
    paused_s: float = 0.0
    resumed_at: datetime | None = None
    certificate: Digest | None = None
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.product)
        check_salt(self.salt)
        versions = (self.champion, *self.challengers)
        if not self.challengers or len(set(versions)) < len(versions) or min(versions) < 1:
            raise Invalid(f"Versions {self.challengers} cannot take over from version {self.champion}.")
        for step in self.steps:
            if len(step.shares) != len(self.challengers):
                raise Invalid(f"{len(self.challengers)} challengers need as many shares, not {step.shares}.")
        if not 0 <= self.step < max(1, len(self.steps)):
            raise Invalid(f"A rollout of {len(self.steps)} steps has none with index {self.step}.")
        if self.started_at.tzinfo is None or self.step_started_at.tzinfo is None:
            raise Invalid("A rollout's moments need their offset from UTC.")
        if not set(self.dropped) < set(self.challengers):
            raise Invalid(f"Of challengers {self.challengers} one must be left; {self.dropped} are dropped.")

    @classmethod
    def start(
        cls,
        *,
        rollout_id: str,
        product: str,
        champion: int,
        challengers: tuple[int, ...],
        strategy: Strategy,
        at: datetime,
        slices: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Rollout:
        """Begin with the first step; the rollout's id salts its split, so that each draws its own units."""
        return cls(
            rollout_id=rollout_id,
            product=product,
            champion=champion,
            challengers=challengers,
            strategy=strategy,
            salt=rollout_id,
            started_at=at,
            step_started_at=at,
            slices=slices or {},
        )

    # --- what it is at present -------------------------------------------------------------------------------------

    @property
    def challenger(self) -> int:
        """The cycle's own version."""
        return self.challengers[0]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps before the promotion; none where it comes at once."""
        return _steps(self.strategy)

    @property
    def present(self) -> Step | None:
        """The present step; None once the rollout has ended, or when it has no steps."""
        return None if self.phase.final or not self.steps else self.steps[self.step]

    @property
    def live(self) -> tuple[int, ...]:
        """The challengers that are still in."""
        return tuple(each for each in self.challengers if each not in self.dropped)

    @property
    def parts(self) -> Mapping[int, Part]:
        """By challenger its part of the units, also of one that was dropped, so that the others' parts stand."""
        step = self.present
        if step is None or step.mode is Mode.SHADOW:
            return {}
        starts = accumulate(step.shares[:-1], initial=0.0)
        return {
            version: Part(start, share)
            for version, start, share in zip(self.challengers, starts, step.shares, strict=True)
        }

    @property
    def shares(self) -> Mapping[int, float]:
        """By version, the champion first, its share of the units that are compared; a dropped one has none."""
        parts = self.parts
        control = 1.0 - sum(part.share for part in parts.values())
        return {self.champion: control} | {version: parts[version].share for version in self.live if parts}

    @property
    def share(self) -> float:
        """The challengers' share of the units: none once it has ended, unless by promotion."""
        if self.phase is Phase.PROMOTED:
            return 1.0
        return sum(self.parts[version].share for version in self.live) if self.parts else 0.0

    @property
    def shadow_share(self) -> float:
        """The share of the units for which the challenger is asked without answering."""
        step = self.present
        return step.shares[0] if step is not None and step.mode is Mode.SHADOW else 0.0

    @property
    def step_id(self) -> str:
        """Under which the present step's units are kept: each step compares its own."""
        return f"{self.rollout_id}/{self.step}"

    @property
    def last(self) -> bool:
        """Whether the promotion comes after the present step."""
        return self.step + 1 >= len(self.steps)

    @property
    def comparisons(self) -> int:
        """In how many steps versions are compared."""
        return sum(step.mode in (Mode.SPLIT, Mode.SWITCHED) for step in self.steps)

    def assign(self, units: list[str]) -> list[int | None]:
        """Say which version each unit is compared as; None for those of a dropped challenger."""
        parts = self.parts
        versions = list(parts)
        found = Split(self.salt, parts.values()).assign(units)
        arms = [None if version in self.dropped else version for version in versions]
        return [self.champion if index < 0 else arms[index] for index in found]

    def elapsed(self, now: datetime) -> timedelta:
        """How long it has been in progress, without the time that it was paused."""
        return (self.paused_at or now) - self.started_at - timedelta(seconds=self.paused_s)

    # --- what may happen to it -------------------------------------------------------------------------------------

    def checked(self, move: Move) -> Rollout:
        """Give it back if the move is legal.

        Raises
        ------
        RolloutEnded
            It has ended.
        IllegalMove
            It is in a phase in which this cannot happen.
        """
        if self.phase.final:
            raise RolloutEnded(self.rollout_id, self.phase)
        if move not in _LEGAL[self.phase]:
            raise IllegalMove(self.rollout_id, self.phase, move)
        return self

    def advanced(self, at: datetime) -> Rollout:
        """Go to the next step."""
        self.checked(Move.ADVANCE)
        return replace(self, step=self.step + 1, step_started_at=at, approved=False, resumed_at=None)

    def without(self, version: int) -> Rollout:
        """Go on without a challenger, of several."""
        self.checked(Move.DROP)
        return replace(self, dropped=(*self.dropped, version))

    def certified(self, certificate: Digest) -> Rollout:
        """Let it leave the shadow, on the certificate with this digest."""
        self.checked(Move.CERTIFY)
        return replace(self, certificate=certificate)

    def paused(self, at: datetime) -> Rollout:
        """Let the shares stand; no step ends, and harm still rolls back."""
        self.checked(Move.PAUSE)
        return replace(self, phase=Phase.PAUSED, paused_at=at)

    def resumed(self, at: datetime) -> Rollout:
        """Go on after a pause, which moves the horizon on by its length."""
        self.checked(Move.RESUME)
        assert self.paused_at is not None  # it is paused
        paused_s = self.paused_s + (at - self.paused_at).total_seconds()
        return replace(self, phase=Phase.RUNNING, paused_at=None, paused_s=paused_s, resumed_at=at)

    def awaiting_approval(self) -> Rollout:
        """Wait for a person before going on."""
        self.checked(Move.AWAIT_APPROVAL)
        return replace(self, phase=Phase.AWAITING_APPROVAL)

    def approve(self) -> Rollout:
        """Go on from the present step, as soon as its conditions hold again."""
        self.checked(Move.APPROVE)
        return replace(self, phase=Phase.RUNNING, approved=True)

    def promoted(self) -> Rollout:
        """End with a challenger as champion."""
        self.checked(Move.PROMOTE)
        return replace(self, phase=Phase.PROMOTED)

    def rolled_back(self) -> Rollout:
        """End with the champion kept, because of harm."""
        self.checked(Move.ROLL_BACK)
        return replace(self, phase=Phase.ROLLED_BACK, paused_at=None)

    def expired(self) -> Rollout:
        """End with the champion kept, undecided."""
        self.checked(Move.EXPIRE)
        return replace(self, phase=Phase.EXPIRED)

    def aborted(self) -> Rollout:
        """End with the champion kept, because a person says so."""
        self.checked(Move.ABORT)
        return replace(self, phase=Phase.ABORTED, paused_at=None)

    def to_dict(self) -> dict[str, Any]:
        """JSON values that `from_dict` reads back to an equal value."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Rollout:
        """Read what `to_dict` gave, also after a trip through JSON."""
        return msgspec.convert(values, cls)


@lru_cache(maxsize=64)
def _steps_of(text: bytes) -> tuple[Step, ...]:
    return steps_of(msgspec.json.decode(text, type=Strategy))


def _steps(strategy: Strategy) -> tuple[Step, ...]:
    # By its text, since a strategy may hold a dict of shares and lists that a product file has given.
    return _steps_of(msgspec.json.encode(strategy))
