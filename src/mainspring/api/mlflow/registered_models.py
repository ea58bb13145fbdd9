"""MLflow's methods on registered models, their aliases and their tags."""

from __future__ import annotations

__all__ = ["REGISTERED_MODELS"]

from typing import TYPE_CHECKING

from mainspring import search
from mainspring.api.mlflow.experiments import page_size
from mainspring.api.mlflow.messages import GivenKeyValue, Message, texts_of
from mainspring.api.mlflow.model_messages import (
    Asked,
    ModelVersionMessage,
    RegisteredModelMessage,
    version_number,
)
from mainspring.api.mlflow.wire import Method
from mainspring.operate.register_models import (
    change_model,
    create_model,
    delete_model,
    point_alias,
    rename_model,
    tag_model,
)
from mainspring.operate.version_origins import latest_versions, version_by_alias
from mainspring.registry.limits import check_model_name
from mainspring.registry.prompts import prompts_apart
from mainspring.search import Search

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

_MOST = 1000
"""Models of one page, at most."""


class CreateRegisteredModel(Asked, frozen=True, kw_only=True):
    """A new registered model."""

    name: str
    tags: tuple[GivenKeyValue, ...] = ()
    description: str = ""


class OneRegisteredModel(Asked, frozen=True, kw_only=True):
    """A registered model by its name."""

    name: str


class RenameRegisteredModel(Asked, frozen=True, kw_only=True):
    """Another name for a registered model."""

    name: str
    new_name: str


class UpdateRegisteredModel(Asked, frozen=True, kw_only=True):
    """Another description for a registered model."""

    name: str
    description: str = ""


class SearchRegisteredModels(Message, frozen=True, kw_only=True):
    """What registered models are looked for."""

    filter: str = ""
    max_results: int = 100
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class LatestVersions(Message, frozen=True, kw_only=True):
    """Of which stages the newest versions are asked for; of all, where none is named."""

    name: str
    stages: tuple[str, ...] = ()


class TagRegisteredModel(Asked, frozen=True, kw_only=True):
    """A tag for a registered model."""

    name: str
    key: str
    value: str = ""


class UntagRegisteredModel(Asked, frozen=True, kw_only=True):
    """A tag to remove."""

    name: str
    key: str


class SetAlias(Asked, frozen=True, kw_only=True):
    """An alias, and the version it is to point to."""

    name: str
    alias: str
    version: str


class OneAlias(Asked, frozen=True, kw_only=True):
    """An alias of a registered model."""

    name: str
    alias: str


class RegisteredModelAnswer(Message, frozen=True, kw_only=True):
    """One registered model."""

    registered_model: RegisteredModelMessage


class RegisteredModelsAnswer(Message, frozen=True, kw_only=True):
    """A page of registered models."""

    registered_models: tuple[RegisteredModelMessage, ...] = ()
    next_page_token: str = ""


class VersionAnswer(Message, frozen=True, kw_only=True):
    """One version."""

    model_version: ModelVersionMessage


class VersionsAnswer(Message, frozen=True, kw_only=True):
    """Some versions."""

    model_versions: tuple[ModelVersionMessage, ...] = ()


def _create(tx: Transaction, asked: CreateRegisteredModel, now_ms: int) -> RegisteredModelAnswer:
    made = create_model(tx, asked.name, asked.description, texts_of(asked.tags), asked.asking(now_ms))
    return RegisteredModelAnswer(registered_model=RegisteredModelMessage.of(made))


def _get(tx: Transaction, asked: OneRegisteredModel, now_ms: int) -> RegisteredModelAnswer:
    check_model_name(asked.name)
    return RegisteredModelAnswer(
        registered_model=RegisteredModelMessage.of(tx.registered_models.get(asked.name))
    )


def _rename(tx: Transaction, asked: RenameRegisteredModel, now_ms: int) -> RegisteredModelAnswer:
    renamed = rename_model(tx, asked.name, asked.new_name, asked.asking(now_ms))
    return RegisteredModelAnswer(registered_model=RegisteredModelMessage.of(renamed))


def _update(tx: Transaction, asked: UpdateRegisteredModel, now_ms: int) -> RegisteredModelAnswer:
    changed = change_model(tx, asked.name, asked.description, asked.asking(now_ms))
    return RegisteredModelAnswer(registered_model=RegisteredModelMessage.of(changed))


def _delete(tx: Transaction, asked: OneRegisteredModel, now_ms: int) -> None:
    delete_model(tx, asked.name, asked.asking(now_ms))


def _search(tx: Transaction, asked: SearchRegisteredModels, now_ms: int) -> RegisteredModelsAnswer:
    found = tx.registered_models.search(
        Search(
            condition=prompts_apart(search.parse_filter(asked.filter, search.REGISTERED_MODELS)),
            orders=search.parse_order(asked.order_by, search.REGISTERED_MODELS),
            limit=page_size(asked.max_results, _MOST),
            token=asked.page_token,
        )
    )
    return RegisteredModelsAnswer(
        registered_models=tuple(map(RegisteredModelMessage.of, found.items)), next_page_token=found.token
    )


def _latest(tx: Transaction, asked: LatestVersions, now_ms: int) -> VersionsAnswer:
    found = latest_versions(tx, asked.name, asked.stages)
    return VersionsAnswer(model_versions=tuple(map(ModelVersionMessage.of, found)))


def _tag(tx: Transaction, asked: TagRegisteredModel, now_ms: int) -> None:
    tag_model(tx, asked.name, asked.key, asked.value, asked.asking(now_ms))


def _untag(tx: Transaction, asked: UntagRegisteredModel, now_ms: int) -> None:
    tag_model(tx, asked.name, asked.key, None, asked.asking(now_ms))


def _set_alias(tx: Transaction, asked: SetAlias, now_ms: int) -> None:
    number = version_number(asked.version)
    point_alias(tx, asked.name, asked.alias, number, asked.asking(now_ms))


def _get_by_alias(tx: Transaction, asked: OneAlias, now_ms: int) -> VersionAnswer:
    return VersionAnswer(model_version=ModelVersionMessage.of(version_by_alias(tx, asked.name, asked.alias)))


def _delete_alias(tx: Transaction, asked: OneAlias, now_ms: int) -> None:
    point_alias(tx, asked.name, asked.alias, None, asked.asking(now_ms))


REGISTERED_MODELS = (
    Method("POST", "/registered-models/create", CreateRegisteredModel, _create),
    Method("GET", "/registered-models/get", OneRegisteredModel, _get, writes=False),
    Method("GET", "/registered-models/search", SearchRegisteredModels, _search, writes=False),
    Method("POST", "/registered-models/rename", RenameRegisteredModel, _rename),
    Method("PATCH", "/registered-models/update", UpdateRegisteredModel, _update),
    Method("DELETE", "/registered-models/delete", OneRegisteredModel, _delete),
    Method("POST", "/registered-models/get-latest-versions", LatestVersions, _latest, writes=False),
    Method("GET", "/registered-models/get-latest-versions", LatestVersions, _latest, writes=False),
    Method("POST", "/registered-models/set-tag", TagRegisteredModel, _tag),
    Method("DELETE", "/registered-models/delete-tag", UntagRegisteredModel, _untag),
    Method("POST", "/registered-models/alias", SetAlias, _set_alias),
    Method("GET", "/registered-models/alias", OneAlias, _get_by_alias, writes=False),
    Method("DELETE", "/registered-models/alias", OneAlias, _delete_alias),
)
