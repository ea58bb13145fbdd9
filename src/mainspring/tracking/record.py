"""What a client logs: experiments, runs, logged models, and all that hangs on them.

Moments are milliseconds since 1970 in UTC, as clients state them; they are kept as they came.
"""

from __future__ import annotations

__all__ = [
    "Dataset",
    "DatasetInput",
    "Experiment",
    "Lifecycle",
    "LoggedModel",
    "Metric",
    "ModelOutput",
    "ModelStatus",
    "Run",
    "RunStatus",
]

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Lifecycle(StrEnum):
    """Whether something was deleted; what was can be restored."""

    ACTIVE = "active"
    DELETED = "deleted"


class RunStatus(StrEnum):
    """Where a run stands, by its client's word."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class ModelStatus(StrEnum):
    """Whether the files of a logged model are all there, by its client's word."""

    PENDING = "LOGGED_MODEL_PENDING"
    READY = "LOGGED_MODEL_READY"
    UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A named group of runs.

    Attributes
    ----------
    experiment_id : int
        Counted from 0, which is "Default".
    name : str
        Unique among all experiments, deleted ones too; `/` makes folders of them.
    artifact_location : str
        Where the artifacts of its runs lie.
    """

    experiment_id: int
    name: str
    artifact_location: str
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    created_ms: int
    updated_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One point of a metric.

    Attributes
    ----------
    value : float
        Finite, or NaN.
    model_id, dataset_name, dataset_digest : str
        The logged model and the dataset that it was measured with; empty where none was named.
    """

    key: str
    value: float
    timestamp_ms: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset as its client describes it; `source` says where it lies, in the client's own words."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """A dataset that a run read, and the tags that say what for."""

    dataset: Dataset
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutput:
    """A logged model that a run gave, at a step."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its client told it.

    Attributes
    ----------
    deleted_ms : int or None
        When it was deleted last.
    metrics : tuple of Metric
        The newest point of each: the one with the largest step, then timestamp, then value.
    """

    run_id: str
    experiment_id: int
    name: str
    user_id: str = ""
    status: RunStatus = RunStatus.RUNNING
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    started_ms: int
    ended_ms: int | None = None
    artifact_uri: str
    deleted_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[DatasetInput, ...] = ()
    models_read: tuple[str, ...] = ()
    models_given: tuple[ModelOutput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """A model's files as a client logged them, whether or not they are ever registered."""

    model_id: str
    experiment_id: int
    name: str
    model_type: str = ""
    source_run_id: str = ""
    status: ModelStatus = ModelStatus.PENDING
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    created_ms: int
    updated_ms: int
    artifact_uri: str
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
