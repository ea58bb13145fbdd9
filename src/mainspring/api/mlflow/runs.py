"""MLflow's methods on runs, and on what is logged to them."""

from __future__ import annotations

__all__ = ["RUNS"]

from typing import TYPE_CHECKING

import msgspec

from mainspring import search
from mainspring.api.mlflow.experiments import experiment_number, page_size
from mainspring.api.mlflow.messages import (
    GivenDatasetInput,
    GivenKeyValue,
    GivenMetric,
    GivenModelOutput,
    Message,
    MetricMessage,
    ModelInputMessage,
    RunInfoMessage,
    RunMessage,
    metric_of,
    texts_of,
)
from mainspring.api.mlflow.wire import Method
from mainspring.errors import Invalid
from mainspring.operate.log_runs import (
    NewRun,
    change_run,
    create_run,
    log,
    log_given,
    log_read,
    note_model,
    turn_run,
    untag_run,
)
from mainspring.search import Search, View
from mainspring.tracking.limits import check_run_id
from mainspring.tracking.record import Lifecycle, RunStatus

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

MOST_POINTS = 100_000


class CreateRun(Message, frozen=True, kw_only=True):
    """A new run."""

    experiment_id: str = "0"
    user_id: str = ""
    run_name: str = ""
    start_time: int = 0
    tags: tuple[GivenKeyValue, ...] = ()


class OneRun(Message, frozen=True, kw_only=True):
    """A run by its id."""

    run_id: str


class UpdateRun(Message, frozen=True, kw_only=True):
    """What has become of a run."""

    run_id: str
    status: str | int = ""
    end_time: int | None = None
    run_name: str = ""


class SearchRuns(Message, frozen=True, kw_only=True):
    """What runs are looked for; `columns`, of ours, names the metrics, params and tags that are wanted of each."""

    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    run_view_type: View = View.ACTIVE
    max_results: int = 1000
    order_by: tuple[str, ...] = ()
    page_token: str = ""
    columns: tuple[str, ...] | None = None


class LogMetric(Message, frozen=True, kw_only=True):
    """A point of a metric."""

    run_id: str
    key: str
    value: float | str
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogText(Message, frozen=True, kw_only=True):
    """A param or a tag."""

    run_id: str
    key: str
    value: str = ""


class DeleteTag(Message, frozen=True, kw_only=True):
    """A tag to remove."""

    run_id: str
    key: str


class LogBatch(Message, frozen=True, kw_only=True):
    """Points, params and tags together."""

    run_id: str
    metrics: tuple[GivenMetric, ...] = ()
    params: tuple[GivenKeyValue, ...] = ()
    tags: tuple[GivenKeyValue, ...] = ()


class LogInputs(Message, frozen=True, kw_only=True):
    """What a run read."""

    run_id: str
    datasets: tuple[GivenDatasetInput, ...] = ()
    models: tuple[ModelInputMessage, ...] = ()


class LogOutputs(Message, frozen=True, kw_only=True):
    """What a run gave."""

    run_id: str
    models: tuple[GivenModelOutput, ...] = ()


class LogModel(Message, frozen=True, kw_only=True):
    """A model's description, from clients before version 3."""

    run_id: str
    model_json: str


class MetricHistory(Message, frozen=True, kw_only=True):
    """A metric of a run."""

    run_id: str
    metric_key: str
    max_results: int | None = None
    page_token: str = ""


class RunAnswer(Message, frozen=True, kw_only=True):
    """One run."""

    run: RunMessage


class RunInfoAnswer(Message, frozen=True, kw_only=True):
    """What one run is."""

    run_info: RunInfoMessage


class RunsAnswer(Message, frozen=True, kw_only=True):
    """A page of runs."""

    runs: tuple[RunMessage, ...] = ()
    next_page_token: str = ""


class MetricsAnswer(Message, frozen=True, kw_only=True):
    """A page of points."""

    metrics: tuple[MetricMessage, ...] = ()
    next_page_token: str = ""


def _create(tx: Transaction, asked: CreateRun, now_ms: int) -> RunAnswer:
    run = create_run(
        tx,
        NewRun(
            experiment_id=experiment_number(asked.experiment_id or "0"),
            name=asked.run_name,
            user_id=asked.user_id,
            started_ms=asked.start_time,
            tags=texts_of(asked.tags),
        ),
    )
    return RunAnswer(run=RunMessage.of(run))


def _update(tx: Transaction, asked: UpdateRun, now_ms: int) -> RunInfoAnswer:
    # Words that are not known are passed over, as MLflow's servers do; numbers are those of its protocol.
    known = dict(enumerate(RunStatus, start=1)) | {each.value: each for each in RunStatus}
    return RunInfoAnswer(
        run_info=RunInfoMessage.of(
            change_run(tx, asked.run_id, known.get(asked.status), asked.end_time, asked.run_name)
        )
    )


def _get(tx: Transaction, asked: OneRun, now_ms: int) -> RunAnswer:
    check_run_id(asked.run_id)
    return RunAnswer(run=RunMessage.of(tx.logged_runs.get(asked.run_id)))


def _delete(tx: Transaction, asked: OneRun, now_ms: int) -> None:
    turn_run(tx, asked.run_id, Lifecycle.DELETED, now_ms)


def _restore(tx: Transaction, asked: OneRun, now_ms: int) -> None:
    turn_run(tx, asked.run_id, Lifecycle.ACTIVE, now_ms)


def _search(tx: Transaction, asked: SearchRuns, now_ms: int) -> RunsAnswer:
    found = tx.logged_runs.search(
        known_experiments(asked.experiment_ids),
        Search(
            condition=search.parse_filter(asked.filter, search.RUNS),
            orders=search.parse_order(asked.order_by, search.RUNS),
            view=asked.run_view_type,
            limit=page_size(asked.max_results),
            token=asked.page_token,
            columns=None if asked.columns is None else search.parse_columns(asked.columns, search.RUNS),
        ),
    )
    return RunsAnswer(runs=tuple(map(RunMessage.of, found.items)), next_page_token=found.token)


def known_experiments(experiment_ids: tuple[str, ...]) -> list[int]:
    """Read the experiments to search in; an id that none can have finds nothing."""
    return [int(each) for each in experiment_ids if each.isascii() and each.isdigit() and len(each) <= 18]


def _log_metric(tx: Transaction, asked: LogMetric, now_ms: int) -> None:
    metric = metric_of(
        key=asked.key,
        value=asked.value,
        timestamp_ms=asked.timestamp,
        step=asked.step,
        model_id=asked.model_id,
        dataset_name=asked.dataset_name,
        dataset_digest=asked.dataset_digest,
    )
    log(tx, asked.run_id, metrics=[metric])


def _log_param(tx: Transaction, asked: LogText, now_ms: int) -> None:
    log(tx, asked.run_id, params=[(asked.key, asked.value)])


def _set_tag(tx: Transaction, asked: LogText, now_ms: int) -> None:
    log(tx, asked.run_id, tags=[(asked.key, asked.value)])


def _delete_tag(tx: Transaction, asked: DeleteTag, now_ms: int) -> None:
    untag_run(tx, asked.run_id, asked.key)


def _log_batch(tx: Transaction, asked: LogBatch, now_ms: int) -> None:
    log(
        tx,
        asked.run_id,
        [metric.read() for metric in asked.metrics],
        [(param.key, param.value) for param in asked.params],
        [(tag.key, tag.value) for tag in asked.tags],
    )


def _log_inputs(tx: Transaction, asked: LogInputs, now_ms: int) -> None:
    log_read(
        tx, asked.run_id, [each.read() for each in asked.datasets], [each.model_id for each in asked.models]
    )


def _log_outputs(tx: Transaction, asked: LogOutputs, now_ms: int) -> None:
    log_given(tx, asked.run_id, [each.read() for each in asked.models])


def _log_model(tx: Transaction, asked: LogModel, now_ms: int) -> None:
    try:
        model = msgspec.json.decode(asked.model_json, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(
            f"Malformed model info: the parameter 'model_json' is no JSON object: {error}."
        ) from None
    note_model(tx, asked.run_id, model)


def _history(tx: Transaction, asked: MetricHistory, now_ms: int) -> MetricsAnswer:
    check_run_id(asked.run_id)
    limit = None if asked.max_results is None else page_size(asked.max_results, MOST_POINTS)
    found = tx.logged_runs.history(asked.run_id, asked.metric_key, limit=limit, token=asked.page_token)
    return MetricsAnswer(metrics=tuple(map(MetricMessage.of, found.items)), next_page_token=found.token)


RUNS = (
    Method("POST", "/runs/create", CreateRun, _create),
    Method("POST", "/runs/update", UpdateRun, _update),
    Method("GET", "/runs/get", OneRun, _get, writes=False),
    Method("POST", "/runs/search", SearchRuns, _search, writes=False),
    Method("POST", "/runs/delete", OneRun, _delete),
    Method("POST", "/runs/restore", OneRun, _restore),
    Method("POST", "/runs/log-batch", LogBatch, _log_batch),
    Method("POST", "/runs/log-metric", LogMetric, _log_metric),
    Method("POST", "/runs/log-parameter", LogText, _log_param),
    Method("POST", "/runs/set-tag", LogText, _set_tag),
    Method("POST", "/runs/delete-tag", DeleteTag, _delete_tag),
    Method("POST", "/runs/log-inputs", LogInputs, _log_inputs),
    Method("POST", "/runs/outputs", LogOutputs, _log_outputs),
    Method("POST", "/runs/log-model", LogModel, _log_model),
    Method("GET", "/metrics/get-history", MetricHistory, _history, writes=False),
)
