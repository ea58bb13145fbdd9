"""Where experiments, runs and logged models are kept."""

from __future__ import annotations

__all__ = [
    "ExperimentNotFound",
    "ExperimentStore",
    "ExperimentTaken",
    "LoggedModelNotFound",
    "LoggedModelStore",
    "LoggedRunStore",
    "NotActive",
    "NotToTurn",
    "ParamChanged",
    "RunNotFound",
    "TagNotFound",
]

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from mainspring.errors import NotFound, Refused, Taken

if TYPE_CHECKING:
    from mainspring.search import Found, Search
    from mainspring.tracking.record import (
        DatasetInput,
        Experiment,
        Lifecycle,
        LoggedModel,
        Metric,
        ModelOutput,
        ModelStatus,
        Run,
        RunStatus,
    )


class ExperimentNotFound(NotFound):
    """An experiment that does not exist."""

    def __init__(self, named: str) -> None:
        super().__init__(named)
        self.named = named

    def __str__(self) -> str:
        return f"Could not find experiment with {self.named}"


class ExperimentTaken(Taken):
    """A second experiment of one name."""

    def __init__(self, name: str, lifecycle: Lifecycle) -> None:
        super().__init__(name, lifecycle)
        self.name, self.lifecycle = name, lifecycle

    def __str__(self) -> str:
        mend = (
            ""
            if self.lifecycle.value == "active"
            else " in a deleted state: restore it, or take another name"
        )
        return f"Experiment {self.name!r} already exists{mend}."


class RunNotFound(NotFound):
    """A run that does not exist."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id

    def __str__(self) -> str:
        return f"Run with id={self.run_id} not found"


class LoggedModelNotFound(NotFound):
    """A logged model that does not exist, or was deleted."""

    def __init__(self, model_id: str) -> None:
        super().__init__(model_id)
        self.model_id = model_id

    def __str__(self) -> str:
        return f"Logged model with ID {self.model_id!r} not found."


class TagNotFound(NotFound):
    """A tag that is not there."""

    def __init__(self, key: str, of: str) -> None:
        super().__init__(key, of)
        self.key, self.of = key, of

    def __str__(self) -> str:
        return f"No tag with name: {self.key} in {self.of}"


class NotActive(Refused):
    """A write to what was deleted."""

    def __init__(self, what: str, lifecycle: Lifecycle) -> None:
        super().__init__(what, lifecycle)
        self.what, self.lifecycle = what, lifecycle

    def __str__(self) -> str:
        state = f"Current state is {self.lifecycle.value}: restore it first."
        return f"The {self.what} must be in the 'active' state. {state}"


class NotToTurn(NotFound):
    """An experiment that is asked to become what it is."""

    def __init__(self, experiment_id: int, is_now: Lifecycle) -> None:
        super().__init__(experiment_id, is_now)
        self.experiment_id, self.is_now = experiment_id, is_now

    def __str__(self) -> str:
        other = "active" if self.is_now.value == "deleted" else "deleted"
        return (
            f"There is no {other} experiment with ID {self.experiment_id}: it is {self.is_now.value} already."
        )


class ParamChanged(Refused):
    """A param that was logged with another value before."""

    def __init__(self, run_id: str, changed: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(run_id, changed)
        self.run_id, self.changed = run_id, changed

    def __str__(self) -> str:
        told = "; ".join(
            f"{key!r} was {old[:200]!r} and would be {new[:200]!r}"
            for key, (old, new) in self.changed.items()
        )
        return (
            f"Changing param values is not allowed. Of the run {self.run_id!r}, {told}. "
            "Log the other value in a run of its own, which may be nested in this one."
        )


class ExperimentStore(Protocol):
    """Where experiments are kept."""

    def add(self, name: str, location: str | None, tags: Mapping[str, str], now_ms: int) -> Experiment:
        """Record an experiment; without a location it lies beside the others. Raises `ExperimentTaken`."""
        ...

    def record(self, experiment: Experiment) -> Experiment:
        """Record one as it stands, under its id or, where that is taken, the next; raises `ExperimentTaken`."""
        ...

    def get(self, experiment_id: int) -> Experiment:
        """Give one, deleted or not; raises `ExperimentNotFound`."""
        ...

    def named(self, name: str) -> Experiment:
        """Give the one of this name, deleted or not; raises `ExperimentNotFound`."""
        ...

    def names(self) -> tuple[tuple[int, str, int], ...]:
        """Give id, name and moment of the last change of all that were not deleted, the last changed first."""
        ...

    def rename(self, experiment_id: int, name: str, now_ms: int) -> None:
        """Give it another name; raises `ExperimentTaken`."""
        ...

    def turn(self, experiment_id: int, lifecycle: Lifecycle, now_ms: int) -> None:
        """Delete or restore it, with all its runs."""
        ...

    def settle(self, experiment_id: int, lifecycle: Lifecycle, updated_ms: int) -> None:
        """Give it the state that it had elsewhere, without its runs, which have theirs."""
        ...

    def tag(self, experiment_id: int, tags: Mapping[str, str | None], now_ms: int) -> None:
        """Set tags; None removes one, and raises `TagNotFound` where it is not."""
        ...

    def search(self, search: Search) -> Found[Experiment]:
        """Find experiments, the newest first."""
        ...


class LoggedRunStore(Protocol):
    """Where runs are kept with all that was logged to them.

    What is logged to a run that was deleted is refused with `NotActive`, to one that is not there with `RunNotFound`.
    """

    def add(self, run: Run) -> None:
        """Record a run with its tags."""
        ...

    def get(self, run_id: str) -> Run:
        """Give one, deleted or not, with all that it has; raises `RunNotFound`."""
        ...

    def bare(self, run_id: str) -> Run:
        """Give one without its entries; raises `RunNotFound`."""
        ...

    def update(
        self,
        run_id: str,
        *,
        status: RunStatus | None = None,
        ended_ms: int | None = None,
        name: str | None = None,
        lifecycle: Lifecycle | None = None,
        deleted_ms: int | None = None,
    ) -> None:
        """Change what is given."""
        ...

    def log(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] = {},
        tags: Mapping[str, str] = {},
    ) -> None:
        """Record entries. The same point twice is one; raises `ParamChanged`, and then nothing was recorded."""
        ...

    def untag(self, run_id: str, key: str) -> None:
        """Remove a tag; raises `TagNotFound`."""
        ...

    def read(self, run_id: str, datasets: Iterable[DatasetInput], models: Iterable[str]) -> None:
        """Record what a run read."""
        ...

    def give(self, run_id: str, models: Iterable[ModelOutput]) -> None:
        """Record the models that a run gave."""
        ...

    def history(self, run_id: str, key: str, *, limit: int | None, token: str) -> Found[Metric]:
        """Give the points of a metric by timestamp, step and value; of a run that is not there, none."""
        ...

    def curve(self, run_id: str, key: str, *, shown: int, most: int) -> tuple[tuple[Metric, ...], bool]:
        """Give the points of a metric that a chart needs, by step, and whether they are all.

        Of a short history these are all its points; of a longer one about `shown` of them, the first, the last, the
        least and the largest of each part among them. Where more than `most` points are in no stretch yet, the rest is
        to be had when `mark` was called.

        Raises
        ------
        RunNotFound
        """
        ...

    def mark(self, run_id: str, key: str) -> bool:
        """Divide the next part of a metric's history into stretches; says whether there is more to divide."""
        ...

    def search(self, experiment_ids: Sequence[int], search: Search) -> Found[Run]:
        """Find runs, the last started first."""
        ...


class LoggedModelStore(Protocol):
    """Where logged models are kept."""

    def add(self, model: LoggedModel) -> None:
        """Record a model with its params and tags."""
        ...

    def get(self, model_id: str) -> LoggedModel:
        """Give one, deleted or not; raises `LoggedModelNotFound`."""
        ...

    def update(
        self,
        model_id: str,
        now_ms: int,
        *,
        status: ModelStatus | None = None,
        lifecycle: Lifecycle | None = None,
    ) -> None:
        """Change what is given."""
        ...

    def log(self, model_id: str, params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}) -> None:
        """Record params and tags; a later value replaces an earlier one."""
        ...

    def measure(self, model_id: str, metrics: Sequence[Metric]) -> None:
        """Record points of a model's metrics, each of the run that it names; the same point twice is one."""
        ...

    def untag(self, model_id: str, key: str) -> None:
        """Remove a tag; raises `TagNotFound`."""
        ...

    def search(
        self, experiment_ids: Sequence[int], search: Search, datasets: Sequence[tuple[str, str]] = ()
    ) -> Found[LoggedModel]:
        """Find models, the newest first; metrics count where they were measured on one of the datasets."""
        ...
