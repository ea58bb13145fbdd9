"""MLflow's methods on logged models."""

from __future__ import annotations

__all__ = ["LOGGED_MODELS"]

from typing import TYPE_CHECKING

from mainspring import search
from mainspring.api.mlflow.experiments import experiment_number, page_size
from mainspring.api.mlflow.messages import GivenKeyValue, LoggedModelMessage, Message, texts_of
from mainspring.api.mlflow.runs import known_experiments
from mainspring.api.mlflow.wire import Method
from mainspring.errors import Invalid
from mainspring.operate.log_runs import (
    create_logged_model,
    delete_logged_model,
    finish_logged_model,
    live_model,
    log_model_texts,
    untag_logged_model,
)
from mainspring.search import Search
from mainspring.tracking.record import ModelStatus

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction


class CreateLoggedModel(Message, frozen=True, kw_only=True):
    """A new logged model."""

    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: tuple[GivenKeyValue, ...] = ()
    tags: tuple[GivenKeyValue, ...] = ()


class OneLoggedModel(Message, frozen=True, kw_only=True):
    """A logged model by its id."""

    model_id: str
    allow_deleted: bool = False


class FinalizeLoggedModel(Message, frozen=True, kw_only=True):
    """Whether a logged model's files have come."""

    model_id: str
    status: ModelStatus


class LogModelParams(Message, frozen=True, kw_only=True):
    """Params of a logged model."""

    model_id: str
    params: tuple[GivenKeyValue, ...] = ()


class SetModelTags(Message, frozen=True, kw_only=True):
    """Tags of a logged model."""

    model_id: str
    tags: tuple[GivenKeyValue, ...] = ()


class DeleteModelTag(Message, frozen=True, kw_only=True):
    """A tag to remove."""

    model_id: str
    tag_key: str


class DatasetAsked(Message, frozen=True, kw_only=True):
    """A dataset that metrics were measured on."""

    dataset_name: str
    dataset_digest: str = ""


class OrderAsked(Message, frozen=True, kw_only=True):
    """What comes first."""

    field_name: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class SearchLoggedModels(Message, frozen=True, kw_only=True):
    """What logged models are looked for."""

    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    datasets: tuple[DatasetAsked, ...] = ()
    max_results: int = 100
    order_by: tuple[OrderAsked, ...] = ()
    page_token: str = ""


class ModelAnswer(Message, frozen=True, kw_only=True):
    """One logged model."""

    model: LoggedModelMessage


class ModelsAnswer(Message, frozen=True, kw_only=True):
    """A page of logged models."""

    models: tuple[LoggedModelMessage, ...] = ()
    next_page_token: str = ""


def _create(tx: Transaction, asked: CreateLoggedModel, now_ms: int) -> ModelAnswer:
    model = create_logged_model(
        tx,
        experiment_number(asked.experiment_id),
        name=asked.name,
        model_type=asked.model_type,
        source_run_id=asked.source_run_id,
        params=texts_of(asked.params),
        tags=texts_of(asked.tags),
        now_ms=now_ms,
    )
    return ModelAnswer(model=LoggedModelMessage.of(model))


def _get(tx: Transaction, asked: OneLoggedModel, now_ms: int) -> ModelAnswer:
    model = tx.logged_models.get(asked.model_id) if asked.allow_deleted else live_model(tx, asked.model_id)
    return ModelAnswer(model=LoggedModelMessage.of(model))


def _finalize(tx: Transaction, asked: FinalizeLoggedModel, now_ms: int) -> ModelAnswer:
    return ModelAnswer(
        model=LoggedModelMessage.of(finish_logged_model(tx, asked.model_id, asked.status, now_ms))
    )


def _delete(tx: Transaction, asked: OneLoggedModel, now_ms: int) -> None:
    delete_logged_model(tx, asked.model_id, now_ms)


def _log_params(tx: Transaction, asked: LogModelParams, now_ms: int) -> None:
    log_model_texts(tx, asked.model_id, params=texts_of(asked.params))


def _set_tags(tx: Transaction, asked: SetModelTags, now_ms: int) -> ModelAnswer:
    model = log_model_texts(tx, asked.model_id, tags=texts_of(asked.tags))
    return ModelAnswer(model=LoggedModelMessage.of(model))


def _delete_tag(tx: Transaction, asked: DeleteModelTag, now_ms: int) -> None:
    untag_logged_model(tx, asked.model_id, asked.tag_key)


def _search(tx: Transaction, asked: SearchLoggedModels, now_ms: int) -> ModelsAnswer:
    if not asked.experiment_ids:
        raise Invalid(
            "Missing value for required parameter 'experiment_ids'. Name the experiments to search in."
        )
    found = tx.logged_models.search(
        known_experiments(asked.experiment_ids),
        Search(
            condition=search.parse_filter(asked.filter, search.LOGGED_MODELS),
            orders=search.parse_order(
                [f"{each.field_name} {'ASC' if each.ascending else 'DESC'}" for each in asked.order_by],
                search.LOGGED_MODELS,
            ),
            limit=page_size(asked.max_results),
            token=asked.page_token,
        ),
        [(each.dataset_name, each.dataset_digest) for each in asked.datasets],
    )
    return ModelsAnswer(models=tuple(map(LoggedModelMessage.of, found.items)), next_page_token=found.token)


LOGGED_MODELS = (
    Method("POST", "/logged-models", CreateLoggedModel, _create),
    Method("POST", "/logged-models/search", SearchLoggedModels, _search, writes=False),
    Method("GET", "/logged-models/{model_id}", OneLoggedModel, _get, writes=False),
    Method("PATCH", "/logged-models/{model_id}", FinalizeLoggedModel, _finalize),
    Method("DELETE", "/logged-models/{model_id}", OneLoggedModel, _delete),
    Method("POST", "/logged-models/{model_id}/params", LogModelParams, _log_params),
    Method("PATCH", "/logged-models/{model_id}/tags", SetModelTags, _set_tags),
    Method("DELETE", "/logged-models/{model_id}/tags/{tag_key}", DeleteModelTag, _delete_tag),
)
