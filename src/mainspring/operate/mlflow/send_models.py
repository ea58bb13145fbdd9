"""Sending registered models and prompts: versions keep their numbers, and aliases, tags and stages go with them."""

from __future__ import annotations

__all__ = ["ModelSender"]

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mainspring.operate.mlflow.read import Unreadable
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.operate.mlflow.tally import Compared, of_registered_model, of_version
from mainspring.registry.prompts import is_prompt
from mainspring.registry.registered import (
    RegisteredModel,
    RegisteredVersion,
    RegisteredVersionNotFound,
    Stage,
)
from mainspring.registry.source import OfLoggedModel, OfRun, read_source
from mainspring.search import AllOf, Search

if TYPE_CHECKING:
    from mainspring.operate.mlflow.read import MlflowReader
    from mainspring.workspace import Workspace

_API = "/api/2.0/mlflow"
_MARK = "mainspring.exported"
"""The tag of a model there that says by when it was made here that it is the same."""
_NOTHING = "mainspring:/deleted"
"""The source of a version that is made and deleted, so that those behind it get the numbers that they have here."""


@dataclass(frozen=True, slots=True)
class ModelSender:
    """Sends registered models; those of products stay, since a client could not load their files."""

    workspace: Workspace
    reader: MlflowReader
    run_ids: Mapping[str, str]
    model_ids: Mapping[str, str]
    dry_run: bool
    left: list[str]

    def send(self, progress: Callable[[str, int, int | None], None]) -> Iterator[Compared]:
        """Send all, and give each as it is on both sides."""
        there = {
            each.name: each for each in self.reader.registered_models() if not isinstance(each, Unreadable)
        }
        for done, model in enumerate(self._models(), 1):
            if model.product:
                self.left.append(f"the product {model.name!r} stays: its versions are served by the gateway")
                continue
            compared = Compared("prompt" if is_prompt(model.tags) else "model", model.name)
            versions = sorted(self._versions(model.name), key=lambda version: version.number)
            if self.dry_run:
                compared.note(
                    "itself", of_registered_model(model), of_registered_model(model), aliases="aliases"
                )
                for version in versions:
                    compared.note(version.ref, of_version(version), of_version(version), versions="")
            else:
                try:
                    self._model(model, versions, there.get(model.name), compared)
                except (ServerRefused, ServerConfused, Unreadable) as error:
                    compared.differences.append(f"it was not sent whole: {error}")
            progress("registered models", done, None)
            yield compared

    def _model(
        self,
        model: RegisteredModel,
        versions: list[RegisteredVersion],
        there: RegisteredModel | None,
        compared: Compared,
    ) -> None:
        mark = str(model.created_ms)
        if there is not None and mark not in (there.tags.get(_MARK), str(there.created_ms)):
            compared.differences.append(
                "it was not sent: another model of its name is there; rename one of them"
            )
            return
        if there is None:
            tags = [{"key": key, "value": value} for key, value in ({**model.tags, _MARK: mark}).items()]
            asked = {"name": model.name, "description": model.description, "tags": tags}
            self._ask("POST", "registered-models/create", **asked)
            there = replace(model, aliases={})
        if there.description != model.description:
            self._ask("PATCH", "registered-models/update", name=model.name, description=model.description)
        for key, value in model.tags.items():
            if there.tags.get(key) != value:
                self._ask("POST", "registered-models/set-tag", name=model.name, key=key, value=value)
        prompt = is_prompt(model.tags)
        known = self._known(model.name, prompt=prompt)
        newest = max(known, default=0)
        for version in versions:
            newest = self._version(version, known, newest, compared)
        for alias, number in model.aliases.items():
            if there.aliases.get(alias) != number:
                asked = {"name": model.name, "alias": alias, "version": str(number)}
                self._ask("POST", "registered-models/alias", **asked)
        self._compare(model, versions, compared, prompt=prompt)

    def _version(
        self, version: RegisteredVersion, known: dict[int, RegisteredVersion], newest: int, compared: Compared
    ) -> int:
        """Send a version under its number; give the newest number that is there now."""
        there = known.get(version.number)
        if there is None and version.number <= newest:
            return newest  # it was deleted there, which comparing tells
        while there is None and newest < version.number - 1:
            newest = self._create(version.name, _NOTHING)
            self._ask("DELETE", "model-versions/delete", name=version.name, version=str(newest))
        if there is None:
            newest = self._create(version.name, **self._origin(version))
            if newest != version.number:
                compared.differences.append(f"{version.ref} has become number {newest} there")
                return newest
            there = replace(version, stage=Stage.NONE)
        asked = {"name": version.name, "version": str(version.number)}
        if (there.description or "") != (version.description or ""):
            self._ask("PATCH", "model-versions/update", **asked, description=version.description or "")
        for key, value in version.tags.items():
            if there.tags.get(key) != value:
                self._ask("POST", "model-versions/set-tag", **asked, key=key, value=value)
        if there.stage is not version.stage:
            moved = {"stage": version.stage.value, "archive_existing_versions": False}
            self._ask("POST", "model-versions/transition-stage", **asked, **moved)
        return newest

    def _origin(self, version: RegisteredVersion) -> dict[str, Any]:
        """Say where a version comes from, by the ids and places that there are there."""
        run_id, model_id = self.run_ids.get(version.run_id, ""), self.model_ids.get(version.model_id, "")
        told: dict[str, Any] = {
            "source": version.source,
            "run_link": version.run_link,
            "description": version.description or "",
            "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
        }
        told |= {"run_id": run_id} if run_id else {}
        if is_prompt(version.tags):
            return told
        source = read_source(version.source)
        with self.workspace.database.read() as tx:
            if model_id and isinstance(source, OfLoggedModel):
                return told | {"source": f"models:/{model_id}", "model_id": model_id}
            if model_id:
                here = tx.logged_models.get(version.model_id).artifact_uri
                there = self.reader.logged_model(model_id).artifact_uri
                return told | {"source": _moved(version.location, here, there), "model_id": model_id}
            if run_id:
                if isinstance(source, OfRun):
                    return told | {"source": version.source.replace(source.run_id, run_id, 1)}
                here = tx.logged_runs.bare(version.run_id).artifact_uri
                return told | {"source": _moved(version.location, here, self.reader.run(run_id).artifact_uri)}
        return told

    def _compare(
        self,
        model: RegisteredModel,
        versions: list[RegisteredVersion],
        compared: Compared,
        *,
        prompt: bool,
    ) -> None:
        found = next(
            (
                each
                for each in self.reader.registered_models()
                if isinstance(each, RegisteredModel) and each.name == model.name
            ),
            None,
        )
        own = {"created": None}
        theirs = None
        if found is not None:
            tags = {key: value for key, value in found.tags.items() if key != _MARK}
            theirs = of_registered_model(replace(found, tags=tags)) | own
        compared.note("itself", of_registered_model(model) | own, theirs, aliases="aliases", tags="tags")
        there = self._known(model.name, prompt=prompt)
        own |= {"user": None}
        for version in versions:
            moved = replace(version, run_id=self.run_ids.get(version.run_id, version.run_id))
            sent = there.get(version.number)
            compared.note(
                version.ref,
                of_version(moved) | own,
                None if sent is None else of_version(sent) | own,
                versions="",
                tags="tags",
            )
        compared.differences += [
            f"{each.ref} is there, and not here"
            for number, each in there.items()
            if number not in {version.number for version in versions}
        ]

    def _known(self, name: str, *, prompt: bool) -> dict[int, RegisteredVersion]:
        found = self.reader.versions(name, prompt=prompt)
        return {each.number: each for each in found if not isinstance(each, Unreadable)}

    def _create(self, name: str, source: str, **told: Any) -> int:
        made = self._ask("POST", "model-versions/create", name=name, source=source, **told)
        return int(made["model_version"]["version"])

    def _models(self) -> Iterator[RegisteredModel]:
        search = Search(condition=AllOf(()), limit=1000)
        while True:
            with self.workspace.database.read() as tx:
                page = tx.registered_models.search(search)
            yield from page.items
            if not page.token:
                return
            search = replace(search, token=page.token)

    def _versions(self, name: str) -> Iterator[RegisteredVersion]:
        with self.workspace.database.read() as tx:
            newest = max((each.number for each in tx.registered_models.get(name).latest), default=0)
            for number in range(1, newest + 1):
                with suppress(RegisteredVersionNotFound):  # it was deleted
                    yield tx.registered_versions.get(name, number)

    def _ask(self, verb: str, method: str, **fields: Any) -> Any:
        return self.reader.server.ask(verb, f"{_API}/{method}", dict, body=fields)


def _moved(place: str, here: str, there: str) -> str:
    return there + place[len(here) :] if place.startswith(here) else place
