"""Where a version of a registered model comes from: what a client names is followed to its end before it is kept."""

from __future__ import annotations

__all__ = [
    "NewVersion",
    "Origin",
    "download_uri",
    "latest_versions",
    "named_version",
    "origin_of",
    "origin_of_prompt",
    "version_by_alias",
]

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainspring.errors import NotFound, Refused
from mainspring.operate.log_runs import live_model
from mainspring.operate.model_folder import FOLDERS
from mainspring.ref import ModelRef
from mainspring.registry.limits import LATEST, check_alias, check_model_name, stage_of
from mainspring.registry.prompts import PLACES, is_prompt
from mainspring.registry.registered import (
    AliasNotFound,
    OfProduct,
    RegisteredModel,
    RegisteredVersion,
    RegisteredVersionNotFound,
    Stage,
)
from mainspring.registry.source import (
    Elsewhere,
    InFolder,
    OfLoggedModel,
    OfRun,
    OfVersion,
    SourceRefused,
    lies_within,
    read_source,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mainspring.stores.sql.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version as a client asks for it."""

    name: str
    source: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    user_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from, when all that it names was followed."""

    source: str
    location: str
    run_id: str
    model_id: str


def version_by_alias(tx: Transaction, name: str, alias: str) -> RegisteredVersion:
    """Give the version that an alias points to; `latest` is the newest.

    Raises
    ------
    AliasNotFound
        It points to nothing.
    """
    check_model_name(name)
    check_alias(alias)
    model = tx.registered_models.get(name)
    if alias.lower() == LATEST:
        return _newest(model)
    number = model.aliases.get(alias)
    if number is None:
        raise AliasNotFound(name, alias)
    return tx.registered_versions.get(name, number)


def latest_versions(tx: Transaction, name: str, stages: Sequence[str]) -> tuple[RegisteredVersion, ...]:
    """Give the newest version of each of some stages; of all, where none is named."""
    check_model_name(name)
    wanted = set(map(stage_of, stages)) or set(Stage)
    return tuple(version for version in tx.registered_models.get(name).latest if version.stage in wanted)


def download_uri(tx: Transaction, name: str, number: int) -> str:
    """Say where a version's files are.

    Raises
    ------
    OfProduct
        It is a version of a product, registered by a release that made no folder of it.
    """
    check_model_name(name)
    location = tx.registered_versions.get(name, number).location
    if location:
        return location
    if not tx.registry.get(ModelRef(name, number)).lineage.get("manifest"):
        raise OfProduct(
            name, f"version {number} was registered before versions were kept as clients load them"
        )
    return f"mlflow-artifacts:/{FOLDERS}/{name}/{number}"


def origin_of_prompt(asked: NewVersion) -> Origin:
    """Say where a version of a prompt comes from, which has no files; raises `SourceRefused`."""
    if asked.source not in PLACES:
        raise SourceRefused(asked.source, f"The source of a prompt is one of {', '.join(sorted(PLACES))}.")
    return Origin(asked.source, asked.source, asked.run_id, asked.model_id)


def origin_of(tx: Transaction, asked: NewVersion) -> Origin:
    """Follow what a version names to its end.

    Raises
    ------
    mainspring.registry.source.SourceRefused
        The source leads elsewhere than into the run or the logged model that is named.
    """
    source, location, run_id, model_id = asked.source, asked.source, asked.run_id, asked.model_id
    misnamed = SourceRefused(
        source,
        f"The request must name the {'logged model' if model_id else 'run'} that contains it, as "
        f"`{'model_id' if model_id else 'run_id'}`.",
    )
    match read_source(source):
        case OfVersion() as of:
            version = named_version(tx, of)
            if (run_id and run_id != version.run_id) or (model_id and model_id != version.model_id):
                raise SourceRefused(
                    source,
                    f"It is {version.ref}, which comes from another run or logged model than are named.",
                )
            source = f"models:/{version.name}/{version.number}"
            location = download_uri(tx, version.name, version.number)
            run_id, model_id = version.run_id, version.model_id
        case OfLoggedModel(of_model):
            if of_model != model_id:
                raise SourceRefused(source, "The request must name the same logged model, as `model_id`.")
            location = live_model(tx, model_id).artifact_uri
        case OfRun(of_run):
            if model_id or of_run != run_id:
                raise misnamed
        case InFolder():
            if not (root := _root(tx, run_id, model_id)) or not lies_within(source, root):
                raise misnamed
        case Elsewhere():
            pass
    if model_id and not run_id:
        run_id = live_model(tx, model_id).source_run_id
    return Origin(source, location, run_id, model_id)


def _root(tx: Transaction, run_id: str, model_id: str) -> str | None:
    try:
        if model_id:
            return live_model(tx, model_id).artifact_uri
        return tx.logged_runs.bare(run_id).artifact_uri if run_id else None
    except NotFound:
        return None


def named_version(tx: Transaction, of: OfVersion) -> RegisteredVersion:
    """Give the version that a source names by number, stage or alias; raises `RegisteredVersionNotFound`."""
    if is_prompt(tx.registered_models.get(of.name).tags):
        raise Refused(
            f"Invalid model version source: {of.name!r} is a prompt, and a version of one is no model."
        )
    if of.is_alias:
        return version_by_alias(tx, of.name, of.which)
    if re.fullmatch("[0-9]{1,18}", of.which):
        return tx.registered_versions.get(of.name, int(of.which))
    if of.which.lower() == LATEST:
        return version_by_alias(tx, of.name, LATEST)
    stage = stage_of(of.which)
    found = latest_versions(tx, of.name, [stage.value])
    if not found:
        raise RegisteredVersionNotFound(of.name, stage.value)
    return found[0]


def _newest(model: RegisteredModel) -> RegisteredVersion:
    if not model.latest:
        raise RegisteredVersionNotFound(model.name, LATEST)
    return max(model.latest, key=lambda version: version.number)
