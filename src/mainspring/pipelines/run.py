"""A run of a pipeline and the record of its steps."""

from __future__ import annotations

__all__ = ["Run", "RunNotFound", "RunState", "RunStore", "StepRecord"]

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mainspring.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mainspring.digest import Digest
    from mainspring.pipelines.plan import StepKey


class RunNotFound(NotFound):
    """A run that does not exist."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"No run {self.run_id!r}. To see them all, run `mainspring runs`."


class RunState(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step that has given its output.

    Attributes
    ----------
    key : StepKey
        What the output depends on; its digest is unique among records.
    output : Digest
        The output in the blob store.
    run_id : str
        The run that executed it.
    reason : str
        Why it had to run.
    """

    key: StepKey
    output: Digest
    run_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a product's pipeline.

    Attributes
    ----------
    run_id : str
        Derived from the cycle that caused it.
    product, cycle_id : str
        Whose it is.
    state : RunState
        Where it stands.
    params : mapping
        Params that differ from the declared ones, as `step.name`.
    data : tuple of str
        Refs of the data versions it reads.
    started_at : datetime
        By the workspace's clock.
    metrics : mapping
        What the steps measured.
    steps : tuple of mapping
        Per step: name, key, output, whether reused, and why.
    error : str
        What failed; empty unless it has.
    """

    run_id: str
    product: str
    cycle_id: str
    state: RunState
    params: Mapping[str, str | int | float | bool | None]
    data: tuple[str, ...]
    started_at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[Mapping[str, str], ...] = ()
    error: str = ""


class RunStore(Protocol):
    """Where runs and finished steps are recorded."""

    def put(self, run: Run) -> None:
        """Record a run, or its new state under the same id."""
        ...

    def get(self, run_id: str) -> Run:
        """Give one run; raises `RunNotFound`."""
        ...

    def runs(self, product: str | None = None, *, limit: int = 100) -> tuple[Run, ...]:
        """Give the newest runs, newest first."""
        ...

    def add_step(self, record: StepRecord) -> StepRecord:
        """Record a finished step; when its key is recorded already, that first record stays and is given back."""
        ...

    def find_step(self, key: Digest) -> StepRecord | None:
        """Give the finished step with this key, if there is one."""
        ...

    def earlier_steps(self, product: str, step: str) -> tuple[StepRecord, ...]:
        """Give the records of a product's step, oldest first."""
        ...
