"""MLflow's messages about registered models and their versions."""

from __future__ import annotations

__all__ = ["Asked", "ModelVersionMessage", "RegisteredModelMessage", "version_number"]

import re
from typing import TYPE_CHECKING

from mainspring.api.mlflow.messages import KeyValue, Message, key_values
from mainspring.api.mlflow.wire import UNNAMED
from mainspring.errors import Invalid
from mainspring.operate.asking import Asking

if TYPE_CHECKING:
    from mainspring.registry.registered import RegisteredModel, RegisteredVersion


class Asked(Message, frozen=True, kw_only=True):
    """A request that the ledger keeps: it says who asks, whatever its body says."""

    actor: str = UNNAMED

    def asking(self, now_ms: int) -> Asking:
        """Say who asks, and when."""
        return Asking(self.actor, now_ms)


class ModelVersionMessage(Message, frozen=True, kw_only=True):
    """A version of a registered model."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: str = ""
    current_stage: str
    description: str | None = None
    source: str
    run_id: str
    status: str
    tags: tuple[KeyValue, ...] = ()
    run_link: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, version: RegisteredVersion) -> ModelVersionMessage:
        """Write a version."""
        return cls(
            name=version.name,
            version=str(version.number),
            creation_timestamp=version.created_ms,
            last_updated_timestamp=version.updated_ms,
            user_id=version.user_id,
            current_stage=version.stage.value,
            description=version.description,
            source=version.source,
            run_id=version.run_id,
            status="READY",
            tags=key_values(version.tags),
            run_link=version.run_link,
            aliases=version.aliases,
        )


class AliasMessage(Message, frozen=True, kw_only=True):
    """An alias, and the version it points to."""

    alias: str
    version: str


class RegisteredModelMessage(Message, frozen=True, kw_only=True):
    """A registered model."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str = ""
    latest_versions: tuple[ModelVersionMessage, ...] = ()
    tags: tuple[KeyValue, ...] = ()
    aliases: tuple[AliasMessage, ...] = ()

    @classmethod
    def of(cls, model: RegisteredModel) -> RegisteredModelMessage:
        """Write a registered model."""
        return cls(
            name=model.name,
            creation_timestamp=model.created_ms,
            last_updated_timestamp=model.updated_ms,
            description=model.description,
            latest_versions=tuple(map(ModelVersionMessage.of, model.latest)),
            tags=key_values(model.tags),
            aliases=tuple(
                AliasMessage(alias=alias, version=str(number)) for alias, number in model.aliases.items()
            ),
        )


def version_number(text: str) -> int:
    """Read the number of a version; raises `Invalid`."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise Invalid(f"Parameter 'version' must be an integer, and {text[:100]!r} is none.")
    return int(text)
