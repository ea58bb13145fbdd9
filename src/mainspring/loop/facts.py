"""What the loop knows of a product at one moment."""

from __future__ import annotations

__all__ = ["AlarmFact", "ApprovalFact", "DataFact", "Facts", "RolloutFact"]

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainspring.loop.cycle import Cycle, CycleState, TrainingRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mainspring.product import ProductSpec


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
class DataFact:
    """A dataset's newest version, beside the one that the last training read.

    Attributes
    ----------
    version : int
        The newest one's number.
    rows, rows_trained : int
        Rows in either; 0 where none has read any.
    newest, newest_trained : datetime, optional
        Event time of the newest row in either, where a trigger asks for it.
    """

    version: int
    rows: int
    rows_trained: int = 0
    newest: datetime | None = None
    newest_trained: datetime | None = None


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
class ApprovalFact:
    """How a version stands that waits for approval.

    Attributes
    ----------
    standing : str
        As `mainspring.governance.approval.Standing` has it.
    reason : str
        Why.
    """

    standing: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the loop knows of a product at one moment.

    Attributes
    ----------
    spec : ProductSpec
        The declaration.
    now : datetime
        By the workspace's clock.
    data : mapping
        The datasets that the product reads and that have a version, by name.
    champion : int, optional
        The version that serves.
    cycles : tuple of Cycle
        Every cycle so far, oldest first.
    declared_at : datetime
        When the product became known; schedules count from there.
    requests : tuple of TrainingRequest
        Waiting, oldest first.
    alarms : tuple of AlarmFact
        Raised since the last training started.
    blind : mapping of str to str
        Monitors that could not tell anything when they last looked, and what came of that look.
    rollout : RolloutFact, optional
        While a rollout runs.
    approval : ApprovalFact, optional
        While the open cycle has a version that is not rolled out yet, and a policy asks for approval.
    held : frozenset of str
        What has been recorded as held back, as `mainspring.loop.Hold.keys` has it.
    """

    spec: ProductSpec
    now: datetime
    data: Mapping[str, DataFact]
    champion: int | None
    cycles: tuple[Cycle, ...]
    declared_at: datetime
    requests: tuple[TrainingRequest, ...] = ()
    alarms: tuple[AlarmFact, ...] = ()
    blind: Mapping[str, str] = field(default_factory=dict)
    rollout: RolloutFact | None = None
    held: frozenset[str] = frozenset()
    approval: ApprovalFact | None = None

    @property
    def open_cycle(self) -> Cycle | None:
        """The cycle in progress."""
        last = self.cycles[-1] if self.cycles else None
        return last if last is not None and last.state is not CycleState.CLOSED else None

    @property
    def trainings(self) -> tuple[Cycle, ...]:
        """The cycles that train; one that rolls out what is registered answers no trigger."""
        return tuple(each for each in self.cycles if each.trains)

    @property
    def last_opened_at(self) -> datetime | None:
        """When the last cycle that trains started, whoever asked."""
        return max((each.opened_at for each in self.trainings), default=None)
