"""MLflow's methods on the versions of registered models."""

from __future__ import annotations

__all__ = ["MODEL_VERSIONS"]

from typing import TYPE_CHECKING

from mainspring import search
from mainspring.api.mlflow.experiments import page_size
from mainspring.api.mlflow.messages import GivenKeyValue, Message, texts_of
from mainspring.api.mlflow.model_messages import Asked, ModelVersionMessage, version_number
from mainspring.api.mlflow.wire import UNNAMED, Method
from mainspring.operate.register_models import (
    change_version,
    create_version,
    delete_version,
    tag_version,
    transition,
)
from mainspring.operate.version_origins import NewVersion, download_uri
from mainspring.registry.limits import check_model_name
from mainspring.registry.prompts import prompts_apart
from mainspring.search import Search

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

_MOST = 200_000
"""Versions of one page, at most."""


class CreateModelVersion(Asked, frozen=True, kw_only=True):
    """A new version."""

    name: str
    source: str
    run_id: str = ""
    tags: tuple[GivenKeyValue, ...] = ()
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class OneModelVersion(Asked, frozen=True, kw_only=True):
    """A version by its model's name and its number."""

    name: str
    version: str

    @property
    def number(self) -> int:
        """The number; raises `mainspring.errors.Invalid`."""
        return version_number(self.version)


class UpdateModelVersion(OneModelVersion, frozen=True, kw_only=True):
    """Another description for a version; without one, it is taken away."""

    description: str | None = None


class TransitionStage(OneModelVersion, frozen=True, kw_only=True):
    """The stage that a version moves to."""

    stage: str
    archive_existing_versions: bool = False


class TagModelVersion(OneModelVersion, frozen=True, kw_only=True):
    """A tag for a version."""

    key: str
    value: str = ""


class UntagModelVersion(OneModelVersion, frozen=True, kw_only=True):
    """A tag to remove."""

    key: str


class SearchModelVersions(Message, frozen=True, kw_only=True):
    """What versions are looked for."""

    filter: str = ""
    max_results: int = 10_000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class ModelVersionAnswer(Message, frozen=True, kw_only=True):
    """One version."""

    model_version: ModelVersionMessage


class ModelVersionsAnswer(Message, frozen=True, kw_only=True):
    """A page of versions."""

    model_versions: tuple[ModelVersionMessage, ...] = ()
    next_page_token: str = ""


class DownloadUri(Message, frozen=True, kw_only=True):
    """Where a version's files are."""

    artifact_uri: str


def _create(tx: Transaction, asked: CreateModelVersion, now_ms: int) -> ModelVersionAnswer:
    made = create_version(
        tx,
        NewVersion(
            name=asked.name,
            source=asked.source,
            run_id=asked.run_id,
            model_id=asked.model_id,
            run_link=asked.run_link,
            description=asked.description,
            user_id="" if asked.actor == UNNAMED else asked.actor,
            tags=texts_of(asked.tags),
        ),
        asked.asking(now_ms),
    )
    return ModelVersionAnswer(model_version=ModelVersionMessage.of(made))


def _get(tx: Transaction, asked: OneModelVersion, now_ms: int) -> ModelVersionAnswer:
    check_model_name(asked.name)
    found = tx.registered_versions.get(asked.name, asked.number)
    return ModelVersionAnswer(model_version=ModelVersionMessage.of(found))


def _search(tx: Transaction, asked: SearchModelVersions, now_ms: int) -> ModelVersionsAnswer:
    found = tx.registered_versions.search(
        Search(
            condition=prompts_apart(search.parse_filter(asked.filter, search.MODEL_VERSIONS)),
            orders=search.parse_order(asked.order_by, search.MODEL_VERSIONS),
            limit=page_size(asked.max_results, _MOST),
            token=asked.page_token,
        )
    )
    return ModelVersionsAnswer(
        model_versions=tuple(map(ModelVersionMessage.of, found.items)), next_page_token=found.token
    )


def _update(tx: Transaction, asked: UpdateModelVersion, now_ms: int) -> ModelVersionAnswer:
    changed = change_version(tx, asked.name, asked.number, asked.description, asked.asking(now_ms))
    return ModelVersionAnswer(model_version=ModelVersionMessage.of(changed))


def _transition(tx: Transaction, asked: TransitionStage, now_ms: int) -> ModelVersionAnswer:
    moved = transition(
        tx,
        asked.name,
        asked.number,
        asked.stage,
        asked.asking(now_ms),
        archive=asked.archive_existing_versions,
    )
    return ModelVersionAnswer(model_version=ModelVersionMessage.of(moved))


def _delete(tx: Transaction, asked: OneModelVersion, now_ms: int) -> None:
    delete_version(tx, asked.name, asked.number, asked.asking(now_ms))


def _tag(tx: Transaction, asked: TagModelVersion, now_ms: int) -> None:
    tag_version(tx, asked.name, asked.number, asked.key, asked.value, asked.asking(now_ms))


def _untag(tx: Transaction, asked: UntagModelVersion, now_ms: int) -> None:
    tag_version(tx, asked.name, asked.number, asked.key, None, asked.asking(now_ms))


def _download_uri(tx: Transaction, asked: OneModelVersion, now_ms: int) -> DownloadUri:
    return DownloadUri(artifact_uri=download_uri(tx, asked.name, asked.number))


MODEL_VERSIONS = (
    Method("POST", "/model-versions/create", CreateModelVersion, _create),
    Method("GET", "/model-versions/get", OneModelVersion, _get, writes=False),
    Method("GET", "/model-versions/search", SearchModelVersions, _search, writes=False),
    Method("PATCH", "/model-versions/update", UpdateModelVersion, _update),
    Method("POST", "/model-versions/transition-stage", TransitionStage, _transition),
    Method("DELETE", "/model-versions/delete", OneModelVersion, _delete),
    Method("POST", "/model-versions/set-tag", TagModelVersion, _tag),
    Method("DELETE", "/model-versions/delete-tag", UntagModelVersion, _untag),
    Method("GET", "/model-versions/get-download-uri", OneModelVersion, _download_uri, writes=False),
)
