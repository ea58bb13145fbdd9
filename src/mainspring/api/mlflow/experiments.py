"""MLflow's methods on experiments."""

from __future__ import annotations

__all__ = ["EXPERIMENTS", "experiment_number"]

from typing import TYPE_CHECKING

from mainspring import search
from mainspring.api.mlflow.messages import ExperimentMessage, GivenKeyValue, Message, texts_of
from mainspring.api.mlflow.wire import Method
from mainspring.errors import Invalid
from mainspring.operate.log_runs import create_experiment, rename_experiment, tag_experiment, turn_experiment
from mainspring.search import Search, View
from mainspring.tracking.record import Lifecycle

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

MOST = 50_000
"""Rows of one page, at most."""


class CreateExperiment(Message, frozen=True, kw_only=True):
    """A new experiment."""

    name: str
    artifact_location: str = ""
    tags: tuple[GivenKeyValue, ...] = ()


class OneExperiment(Message, frozen=True, kw_only=True):
    """An experiment by its id."""

    experiment_id: str


class NamedExperiment(Message, frozen=True, kw_only=True):
    """An experiment by its name."""

    experiment_name: str


class UpdateExperiment(Message, frozen=True, kw_only=True):
    """Another name for an experiment."""

    experiment_id: str
    new_name: str = ""


class TagExperiment(Message, frozen=True, kw_only=True):
    """A tag for an experiment."""

    experiment_id: str
    key: str
    value: str = ""


class UntagExperiment(Message, frozen=True, kw_only=True):
    """A tag to remove."""

    experiment_id: str
    key: str


class SearchExperiments(Message, frozen=True, kw_only=True):
    """What experiments are looked for."""

    max_results: int = 1000
    page_token: str = ""
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: View = View.ACTIVE


class ExperimentId(Message, frozen=True, kw_only=True):
    """The id of a new experiment."""

    experiment_id: str


class ExperimentAnswer(Message, frozen=True, kw_only=True):
    """One experiment."""

    experiment: ExperimentMessage


class ExperimentsAnswer(Message, frozen=True, kw_only=True):
    """A page of experiments."""

    experiments: tuple[ExperimentMessage, ...] = ()
    next_page_token: str = ""


def experiment_number(experiment_id: str) -> int:
    """Read an experiment's id."""
    if not (experiment_id.isascii() and experiment_id.isdigit()) or len(experiment_id) > 18:
        raise Invalid(f"Invalid experiment ID {experiment_id[:100]!r}: it is a whole number.")
    return int(experiment_id)


def page_size(asked: int, most: int = MOST) -> int:
    """Read how many rows a page may have."""
    if not 1 <= asked <= most:
        raise Invalid(f"Invalid value {asked} for parameter 'max_results': it must be from 1 to {most}.")
    return asked


def _create(tx: Transaction, asked: CreateExperiment, now_ms: int) -> ExperimentId:
    made = create_experiment(tx, asked.name, asked.artifact_location, texts_of(asked.tags), now_ms)
    return ExperimentId(experiment_id=str(made.experiment_id))


def _get(tx: Transaction, asked: OneExperiment, now_ms: int) -> ExperimentAnswer:
    found = tx.experiments.get(experiment_number(asked.experiment_id))
    return ExperimentAnswer(experiment=ExperimentMessage.of(found))


def _named(tx: Transaction, asked: NamedExperiment, now_ms: int) -> ExperimentAnswer:
    return ExperimentAnswer(experiment=ExperimentMessage.of(tx.experiments.named(asked.experiment_name)))


def _update(tx: Transaction, asked: UpdateExperiment, now_ms: int) -> None:
    rename_experiment(tx, experiment_number(asked.experiment_id), asked.new_name, now_ms)


def _delete(tx: Transaction, asked: OneExperiment, now_ms: int) -> None:
    turn_experiment(tx, experiment_number(asked.experiment_id), Lifecycle.DELETED, now_ms)


def _restore(tx: Transaction, asked: OneExperiment, now_ms: int) -> None:
    turn_experiment(tx, experiment_number(asked.experiment_id), Lifecycle.ACTIVE, now_ms)


def _tag(tx: Transaction, asked: TagExperiment, now_ms: int) -> None:
    tag_experiment(tx, experiment_number(asked.experiment_id), asked.key, asked.value, now_ms)


def _untag(tx: Transaction, asked: UntagExperiment, now_ms: int) -> None:
    tag_experiment(tx, experiment_number(asked.experiment_id), asked.key, None, now_ms)


def _search(tx: Transaction, asked: SearchExperiments, now_ms: int) -> ExperimentsAnswer:
    found = tx.experiments.search(
        Search(
            condition=search.parse_filter(asked.filter, search.EXPERIMENTS),
            orders=search.parse_order(asked.order_by, search.EXPERIMENTS),
            view=asked.view_type,
            limit=page_size(asked.max_results),
            token=asked.page_token,
        )
    )
    return ExperimentsAnswer(
        experiments=tuple(map(ExperimentMessage.of, found.items)), next_page_token=found.token
    )


EXPERIMENTS = (
    Method("POST", "/experiments/create", CreateExperiment, _create),
    Method("GET", "/experiments/get", OneExperiment, _get, writes=False),
    Method("GET", "/experiments/get-by-name", NamedExperiment, _named, writes=False),
    Method("POST", "/experiments/update", UpdateExperiment, _update),
    Method("POST", "/experiments/delete", OneExperiment, _delete),
    Method("POST", "/experiments/restore", OneExperiment, _restore),
    Method("POST", "/experiments/set-experiment-tag", TagExperiment, _tag),
    Method("POST", "/experiments/delete-experiment-tag", UntagExperiment, _untag),
    Method("POST", "/experiments/search", SearchExperiments, _search, writes=False),
    Method("GET", "/experiments/search", SearchExperiments, _search, writes=False),
)
