"""MLflow's messages, and what they say of experiments, runs and logged models."""

from __future__ import annotations

__all__ = [
    "DatasetInputMessage",
    "DatasetMessage",
    "ExperimentMessage",
    "GivenDatasetInput",
    "GivenKeyValue",
    "GivenMetric",
    "GivenModelOutput",
    "KeyValue",
    "LoggedModelMessage",
    "MetricMessage",
    "ModelInputMessage",
    "ModelOutputMessage",
    "RunInfoMessage",
    "RunMessage",
    "key_values",
    "metric_of",
    "texts_of",
]

from typing import TYPE_CHECKING

import msgspec

from mainspring.api.mlflow.wire import number_out
from mainspring.fit import Unfit
from mainspring.tracking.limits import stored_value
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelOutput,
    Run,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message: what is unset is left out."""


class KeyValue(Message, frozen=True, kw_only=True):
    """A tag or a param."""

    key: str
    value: str


class GivenKeyValue(Message, frozen=True, kw_only=True):
    """A tag or a param as clients send it."""

    key: str
    value: str = ""


class GivenMetric(Message, frozen=True, kw_only=True):
    """A point as clients send it; `value` is a text where JSON has no such number."""

    key: str
    value: float | str
    timestamp: int
    step: int = 0
    dataset_name: str = ""
    dataset_digest: str = ""
    model_id: str = ""

    def read(self) -> Metric:
        """Read the point; raises `Unfit` where its value is no number."""
        return metric_of(
            key=self.key,
            value=self.value,
            timestamp_ms=self.timestamp,
            step=self.step,
            model_id=self.model_id,
            dataset_name=self.dataset_name,
            dataset_digest=self.dataset_digest,
        )


class MetricMessage(Message, frozen=True, kw_only=True):
    """A point of a metric; `value` is a text where JSON has no such number."""

    key: str
    value: float | str
    timestamp: int
    step: int
    dataset_name: str = ""
    dataset_digest: str = ""
    model_id: str = ""
    run_id: str = ""

    @classmethod
    def of(cls, metric: Metric) -> MetricMessage:
        """Write a point."""
        return cls(
            key=metric.key,
            value=number_out(metric.value),
            timestamp=metric.timestamp_ms,
            step=metric.step,
            dataset_name=metric.dataset_name,
            dataset_digest=metric.dataset_digest,
            model_id=metric.model_id,
            run_id=metric.run_id,
        )


class ExperimentMessage(Message, frozen=True, kw_only=True):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: tuple[KeyValue, ...] = ()

    @classmethod
    def of(cls, experiment: Experiment) -> ExperimentMessage:
        """Write an experiment."""
        return cls(
            experiment_id=str(experiment.experiment_id),
            name=experiment.name,
            artifact_location=experiment.artifact_location,
            lifecycle_stage=experiment.lifecycle.value,
            last_update_time=experiment.updated_ms,
            creation_time=experiment.created_ms,
            tags=key_values(experiment.tags),
        )


class RunInfoMessage(Message, frozen=True, kw_only=True):
    """What a run is; its id stands twice, for clients old and new."""

    run_uuid: str
    run_id: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None = None
    artifact_uri: str
    lifecycle_stage: str

    @classmethod
    def of(cls, run: Run) -> RunInfoMessage:
        """Write what a run is."""
        return cls(
            run_uuid=run.run_id,
            run_id=run.run_id,
            run_name=run.name,
            experiment_id=str(run.experiment_id),
            user_id=run.user_id,
            status=run.status.value,
            start_time=run.started_ms,
            end_time=run.ended_ms,
            artifact_uri=run.artifact_uri,
            lifecycle_stage=run.lifecycle.value,
        )


class RunData(Message, frozen=True, kw_only=True):
    """What was logged to a run."""

    metrics: tuple[MetricMessage, ...] = ()
    params: tuple[KeyValue, ...] = ()
    tags: tuple[KeyValue, ...] = ()


class DatasetMessage(Message, frozen=True, kw_only=True):
    """A dataset."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class GivenDatasetInput(Message, frozen=True, kw_only=True):
    """A dataset that was read, as clients send it."""

    tags: tuple[GivenKeyValue, ...] = ()
    dataset: DatasetMessage

    def read(self) -> DatasetInput:
        """Read a dataset."""
        fields = msgspec.structs.asdict(self.dataset)
        return DatasetInput(dataset=Dataset(**fields), tags=texts_of(self.tags))


class DatasetInputMessage(Message, frozen=True, kw_only=True):
    """A dataset that was read, and what for."""

    tags: tuple[KeyValue, ...] = ()
    dataset: DatasetMessage

    @classmethod
    def of(cls, read: DatasetInput) -> DatasetInputMessage:
        """Write a dataset."""
        dataset = read.dataset
        return cls(
            tags=key_values(read.tags),
            dataset=DatasetMessage(
                name=dataset.name,
                digest=dataset.digest,
                source_type=dataset.source_type,
                source=dataset.source,
                schema=dataset.schema,
                profile=dataset.profile,
            ),
        )


class ModelInputMessage(Message, frozen=True, kw_only=True):
    """A logged model that was read."""

    model_id: str


class ModelOutputMessage(Message, frozen=True, kw_only=True):
    """A logged model that a run gave."""

    model_id: str
    step: int


class GivenModelOutput(Message, frozen=True, kw_only=True):
    """A logged model that a run gave, as clients send it."""

    model_id: str
    step: int = 0

    def read(self) -> ModelOutput:
        """Read it."""
        return ModelOutput(model_id=self.model_id, step=self.step)


class RunInputs(Message, frozen=True, kw_only=True):
    """What a run read."""

    dataset_inputs: tuple[DatasetInputMessage, ...] = ()
    model_inputs: tuple[ModelInputMessage, ...] = ()


class RunOutputs(Message, frozen=True, kw_only=True):
    """What a run gave."""

    model_outputs: tuple[ModelOutputMessage, ...] = ()


class RunMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all that was logged to it."""

    info: RunInfoMessage
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs

    @classmethod
    def of(cls, run: Run) -> RunMessage:
        """Write a run."""
        return cls(
            info=RunInfoMessage.of(run),
            data=RunData(
                metrics=tuple(map(MetricMessage.of, run.metrics)),
                params=key_values(run.params),
                tags=key_values(run.tags),
            ),
            inputs=RunInputs(
                dataset_inputs=tuple(map(DatasetInputMessage.of, run.datasets)),
                model_inputs=tuple(ModelInputMessage(model_id=model_id) for model_id in run.models_read),
            ),
            outputs=RunOutputs(
                model_outputs=tuple(
                    ModelOutputMessage(model_id=each.model_id, step=each.step) for each in run.models_given
                )
            ),
        )


class LoggedModelInfo(Message, frozen=True, kw_only=True):
    """What a logged model is."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str = ""
    source_run_id: str = ""
    tags: tuple[KeyValue, ...] = ()


class LoggedModelData(Message, frozen=True, kw_only=True):
    """What was logged to a logged model."""

    params: tuple[KeyValue, ...] = ()
    metrics: tuple[MetricMessage, ...] = ()


class LoggedModelMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model with all that was logged to it."""

    info: LoggedModelInfo
    data: LoggedModelData

    @classmethod
    def of(cls, model: LoggedModel) -> LoggedModelMessage:
        """Write a logged model."""
        return cls(
            info=LoggedModelInfo(
                model_id=model.model_id,
                experiment_id=str(model.experiment_id),
                name=model.name,
                creation_timestamp_ms=model.created_ms,
                last_updated_timestamp_ms=model.updated_ms,
                artifact_uri=model.artifact_uri,
                status=model.status.value,
                model_type=model.model_type,
                source_run_id=model.source_run_id,
                tags=key_values(model.tags),
            ),
            data=LoggedModelData(
                params=key_values(model.params),
                metrics=tuple(map(MetricMessage.of, model.metrics)),
            ),
        )


def key_values(texts: Mapping[str, str]) -> tuple[KeyValue, ...]:
    """Write tags or params."""
    return tuple(KeyValue(key=key, value=value) for key, value in texts.items())


def texts_of(pairs: Iterable[GivenKeyValue]) -> dict[str, str]:
    """Read tags or params; of one key, the last counts."""
    return {pair.key: pair.value for pair in pairs}


def metric_of(*, key: str, value: float | str, timestamp_ms: int, step: int, **measured_with: str) -> Metric:
    """Read a point; raises `Unfit` where its value is no number."""
    try:
        number = float(value)
    except ValueError:
        raise Unfit(
            f"Invalid value {str(value)[:100]!r} for parameter 'value' of metric {key[:250]!r}",
            "it must be a 64-bit floating point number",
        ) from None
    return Metric(key=key, value=stored_value(number), timestamp_ms=timestamp_ms, step=step, **measured_with)
