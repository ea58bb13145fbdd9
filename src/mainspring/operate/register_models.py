"""What clients ask of registered models: the rules that hold before anything is recorded, and the event of each change.

A product is a registered model too. What its versions are and where its aliases point is the loop's to say.
"""

from __future__ import annotations

__all__ = [
    "change_model",
    "change_version",
    "create_model",
    "create_version",
    "delete_model",
    "delete_version",
    "point_alias",
    "rename_model",
    "tag_model",
    "tag_version",
    "transition",
]

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainspring.events import Event, EventType
from mainspring.fit import Unfit, within
from mainspring.operate.asking import Asking
from mainspring.operate.log_runs import live_model
from mainspring.operate.version_origins import NewVersion, origin_of, origin_of_prompt
from mainspring.operate.webhooks import tell
from mainspring.registry.limits import (
    check_alias,
    check_description,
    check_model_name,
    check_new_alias,
    check_tag,
    stage_of,
)
from mainspring.registry.prompts import is_prompt, text_of_prompt, told_tags
from mainspring.registry.registered import (
    OfProduct,
    RegisteredModel,
    RegisteredVersion,
    Stage,
)

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

_VERSIONS_OF = "mlflow.modelVersions"
"""The tag in which clients look for the versions that a logged model became."""


def create_model(
    tx: Transaction, name: str, description: str, tags: Mapping[str, str], asking: Asking
) -> RegisteredModel:
    """Register a model, which has no versions yet."""
    check_model_name(name)
    check_description(description)
    for key, value in tags.items():
        check_tag(key, value)
    model = tx.registered_models.add(name, description, tags, asking.now_ms)
    _record(tx, EventType.MODEL_REGISTERED, name, "registered by a client", asking, tags=sorted(tags))
    prompt = is_prompt(tags)
    told = {"name": name, "tags": told_tags(tags) if prompt else dict(tags), "description": description}
    tell(tx, "prompt.created" if prompt else "registered_model.created", told, asking.at)
    return model


def change_model(tx: Transaction, name: str, description: str, asking: Asking) -> RegisteredModel:
    """Describe a model otherwise."""
    check_model_name(name)
    check_description(description)
    tx.registered_models.describe(name, description, asking.now_ms)
    _record(tx, EventType.MODEL_CHANGED, name, "described otherwise", asking, description=description)
    return tx.registered_models.get(name)


def rename_model(tx: Transaction, name: str, to: str, asking: Asking) -> RegisteredModel:
    """Give a model another name, with its versions and aliases."""
    check_model_name(to)
    _own(tx, name, "cannot be renamed")
    tx.registered_models.rename(name, to, asking.now_ms)
    _record(tx, EventType.MODEL_RENAMED, to, f"it was called {name}", asking, before=name)
    return tx.registered_models.get(to)


def delete_model(tx: Transaction, name: str, asking: Asking) -> None:
    """Delete a model with its versions; their files stay where they are."""
    model = _own(tx, name, "cannot be deleted")
    tx.registered_models.remove(name)
    latest = max((version.number for version in model.latest), default=0)
    _record(
        tx,
        EventType.MODEL_DELETED,
        name,
        f"deleted with its versions, of which {latest} was the newest"
        if latest
        else "deleted without a version",
        asking,
        aliases=dict(model.aliases),
        newest=latest,
    )


def tag_model(tx: Transaction, name: str, key: str, value: str | None, asking: Asking) -> None:
    """Set a tag of a model; None removes it, and where it is not there, nothing happens."""
    check_model_name(name)
    check_tag(key, value or "")
    prompt = is_prompt(tx.registered_models.get(name).tags)
    known = tx.registered_models.tag(name, key, value)
    if value is None and not known:
        return
    _record(tx, EventType.MODEL_CHANGED, name, _tagged(key, value), asking, tag=key, value=value)
    if prompt:
        told = {"name": name, "key": key} | ({} if value is None else {"value": value})
        tell(tx, f"prompt_tag.{'deleted' if value is None else 'set'}", told, asking.at)


def point_alias(tx: Transaction, name: str, alias: str, number: int | None, asking: Asking) -> None:
    """Let an alias point to a version; None removes it, and where it is not there, nothing happens."""
    check_model_name(name)
    if number is None:
        check_alias(alias)
    else:
        check_new_alias(alias)
    model = _own(tx, name, f"its alias {alias!r} cannot be moved here")
    before = model.aliases.get(alias)
    if number is None and before is None:
        return
    tx.registered_models.point(name, alias, number)
    was = "nothing" if before is None else str(before)
    reason = (
        f"{alias} pointed to {was}, and is removed"
        if number is None
        else f"{alias} moved from {was} to {number}"
    )
    _record(tx, EventType.MODEL_ALIAS_MOVED, f"{name}@{alias}", reason, asking, before=before, version=number)
    told = {"name": name, "alias": alias} | ({} if number is None else {"version": str(number)})
    of = "prompt_alias" if is_prompt(model.tags) else "model_version_alias"
    tell(tx, f"{of}.{'deleted' if number is None else 'created'}", told, asking.at)


def create_version(tx: Transaction, asked: NewVersion, asking: Asking) -> RegisteredVersion:
    """Register the next version of a model, if its source is what it says to come from.

    Raises
    ------
    mainspring.registry.source.SourceRefused
        The source leads elsewhere than into the run or the logged model that is named.
    """
    check_model_name(asked.name)
    check_description(asked.description)
    for what, text in (
        ("run", asked.run_id),
        ("logged model", asked.model_id),
        ("run's link", asked.run_link),
    ):
        within(f"Invalid {what} of a version", text, 2048)
    for key, value in asked.tags.items():
        check_tag(key, value)
    _own(tx, asked.name, "a client cannot give it a version")
    prompt = is_prompt(asked.tags)
    origin = origin_of_prompt(asked) if prompt else origin_of(tx, asked)
    version = tx.registered_versions.add(
        RegisteredVersion(
            name=asked.name,
            number=0,  # the store counts
            source=origin.source,
            location=origin.location,
            run_id=origin.run_id,
            model_id=origin.model_id,
            run_link=asked.run_link,
            description=asked.description,
            user_id=asked.user_id,
            created_ms=asking.now_ms,
            updated_ms=asking.now_ms,
            tags=asked.tags,
        )
    )
    if version.model_id:
        _note_version(tx, version)
    _record(
        tx,
        EventType.MODEL_VERSION_REGISTERED,
        version.ref,
        f"registered by a client from {version.source}",
        asking,
        source=version.source,
        location=version.location,
        run=version.run_id,
        logged_model=version.model_id,
        tags=sorted(version.tags),
    )
    told: dict[str, object] = {
        "name": version.name,
        "version": str(version.number),
        "description": asked.description or None,
    }
    if prompt:
        told |= {"template": text_of_prompt(asked.tags), "tags": told_tags(asked.tags)}
    else:
        told |= {"source": version.source, "run_id": version.run_id or None, "tags": dict(asked.tags)}
    tell(tx, "prompt_version.created" if prompt else "model_version.created", told, asking.at)
    return version


def change_version(
    tx: Transaction, name: str, number: int, description: str | None, asking: Asking
) -> RegisteredVersion:
    """Describe a version otherwise."""
    check_model_name(name)
    check_description(description or "")
    tx.registered_versions.describe(name, number, description, asking.now_ms)
    version = tx.registered_versions.get(name, number)
    _record(
        tx,
        EventType.MODEL_VERSION_CHANGED,
        version.ref,
        "described otherwise",
        asking,
        description=description,
    )
    return version


def tag_version(tx: Transaction, name: str, number: int, key: str, value: str | None, asking: Asking) -> None:
    """Set a tag of a version; None removes it, and where it is not there, nothing happens."""
    check_model_name(name)
    check_tag(key, value or "")
    version = tx.registered_versions.get(name, number)
    known = tx.registered_versions.tag(name, number, key, value)
    if value is None and not known:
        return
    _record(
        tx, EventType.MODEL_VERSION_CHANGED, version.ref, _tagged(key, value), asking, tag=key, value=value
    )
    told = {"name": name, "version": str(number), "key": key} | ({} if value is None else {"value": value})
    of = "prompt_version_tag" if is_prompt(version.tags) else "model_version_tag"
    tell(tx, f"{of}.{'deleted' if value is None else 'set'}", told, asking.at)


def transition(
    tx: Transaction, name: str, number: int, stage: str, asking: Asking, *, archive: bool
) -> RegisteredVersion:
    """Move a version to a stage; where asked, others that are in it are archived."""
    check_model_name(name)
    to = stage_of(stage)
    if archive and to not in (Stage.STAGING, Stage.PRODUCTION):
        raise Unfit(
            "Model version transition cannot archive existing model versions",
            f"{to.value!r} is not an active stage; those are {Stage.STAGING.value!r} and {Stage.PRODUCTION.value!r}",
        )
    _own(tx, name, "its versions have no stages")
    before = tx.registered_versions.get(name, number)
    archived = tx.registered_versions.stage(name, number, to, asking.now_ms, alone=archive)
    _record(
        tx,
        EventType.MODEL_VERSION_STAGED,
        before.ref,
        f"moved from {before.stage.value} to {to.value}",
        asking,
        before=before.stage.value,
        stage=to.value,
        archived=list(archived),
    )
    return tx.registered_versions.get(name, number)


def delete_version(tx: Transaction, name: str, number: int, asking: Asking) -> None:
    """Delete a version with the aliases that point to it; its files stay, and its number is not given again."""
    check_model_name(name)
    _own(tx, name, "its versions cannot be deleted")
    version = tx.registered_versions.get(name, number)
    tx.registered_versions.remove(name, number, asking.now_ms)
    _record(
        tx,
        EventType.MODEL_VERSION_DELETED,
        version.ref,
        "deleted by a client",
        asking,
        source=version.source,
        aliases=list(version.aliases),
    )


def _own(tx: Transaction, name: str, what: str) -> RegisteredModel:
    """Give a model that is the clients' own; of a product, tell what cannot be done."""
    check_model_name(name)
    model = tx.registered_models.get(name)
    if model.product:
        raise OfProduct(name, what)
    return model


def _note_version(tx: Transaction, version: RegisteredVersion) -> None:
    """Add to the tag in which a logged model says which versions it became."""
    try:
        known = json.loads(live_model(tx, version.model_id).tags.get(_VERSIONS_OF, "[]"))
    except ValueError:
        known = []  # a client has written something else there
    note = {"name": version.name, "version": version.number}
    notes = [*(known if isinstance(known, list) else []), note]
    tx.logged_models.log(version.model_id, tags={_VERSIONS_OF: json.dumps(notes)})


def _tagged(key: str, value: str | None) -> str:
    return f"its tag {key} was removed" if value is None else f"its tag {key} was set"


def _record(
    tx: Transaction, kind: EventType, subject: str, reason: str, asking: Asking, **data: object
) -> None:
    tx.ledger.append(
        Event(type=kind, subject=subject, at=asking.at, actor=asking.actor, reason=reason, data=data)
    )
