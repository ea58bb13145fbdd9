"""Bringing registered models, prompts among them, with their versions, aliases, tags and stages."""

from __future__ import annotations

__all__ = ["ModelBringer"]

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mainspring.errors import Invalid, MainspringError, NotFound
from mainspring.events import Event, EventType
from mainspring.fit import within
from mainspring.operate.mlflow.read import Unreadable
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.operate.mlflow.tally import Compared, of_registered_model, of_version
from mainspring.registry.limits import check_description, check_model_name, check_new_alias, check_tag
from mainspring.registry.prompts import is_prompt
from mainspring.registry.registered import (
    RegisteredModel,
    RegisteredModelNotFound,
    RegisteredVersion,
    RegisteredVersionNotFound,
)
from mainspring.registry.source import Elsewhere, InFolder, OfLoggedModel, OfRun, read_source
from mainspring.stores.artifact_path import ArtifactPath

if TYPE_CHECKING:
    from mainspring.operate.mlflow.read import MlflowReader
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_PROXIED = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True)
class ModelBringer:
    """Brings registered models.

    Attributes
    ----------
    left : list of str
        Gets what stays where it is, and why.
    """

    workspace: Workspace
    reader: MlflowReader
    actor: str
    dry_run: bool
    left: list[str]

    def bring(self, progress: Callable[[str, int, int | None], None]) -> Iterator[Compared]:
        """Bring all, each with its versions, and give each as it is on both sides."""
        for done, model in enumerate(self.reader.registered_models(), 1):
            if isinstance(model, Unreadable):
                yield Compared("model", model.what, differences=[str(model)])
                continue
            compared = Compared("prompt" if is_prompt(model.tags) else "model", model.name)
            try:
                self._model(model, compared)
            except (Invalid, ServerRefused, ServerConfused) as error:
                compared.differences.append(f"it was not brought: {error}")
            progress("registered models", done, None)
            yield compared

    def _model(self, model: RegisteredModel, compared: Compared) -> None:
        check_model_name(model.name)
        check_description(model.description)
        self._need_own(model)
        there = sorted(self._versions(model, compared), key=lambda version: version.number)
        if self.dry_run:
            compared.note("itself", of_registered_model(model), of_registered_model(model), aliases="aliases")
            for each in there:
                compared.note(each.ref, of_version(each), of_version(each), versions="")
            return
        placed = [self._place(each, compared) for each in there]
        with self.workspace.database.write() as tx:
            self._keep_model(tx, model, compared)
            for here in placed:
                if here is not None:
                    self._keep_version(tx, here, compared)
            self._keep_aliases(tx, model, compared)
            tx.registered_models.date(model.name, model.updated_ms)
        with self.workspace.database.read() as tx:
            compared.note(
                "itself",
                of_registered_model(model),
                of_registered_model(tx.registered_models.get(model.name)),
                aliases="aliases",
                tags="tags",
            )
            for version in there:
                ours = None
                with suppress(RegisteredVersionNotFound):
                    ours = of_version(tx.registered_versions.get(version.name, version.number))
                compared.note(version.ref, of_version(version), ours, versions="", tags="tags")

    def _need_own(self, model: RegisteredModel) -> None:
        with self.workspace.database.read() as tx:
            try:
                here = tx.registered_models.get(model.name)
            except RegisteredModelNotFound:
                return
        if here.product:
            raise Invalid("a product here has its name, and a product's versions come from its cycles")
        if here.created_ms != model.created_ms:
            raise Invalid("another model of its name is registered here; rename one of them")

    def _versions(self, model: RegisteredModel, compared: Compared) -> Iterator[RegisteredVersion]:
        for version in self.reader.versions(model.name, prompt=is_prompt(model.tags)):
            if isinstance(version, Unreadable):
                compared.differences.append(str(version))
            elif version.name != model.name:
                compared.differences.append(f"a version of {version.name!r} was told as one of this model")
            else:
                yield version

    def _keep_model(self, tx: Transaction, model: RegisteredModel, compared: Compared) -> None:
        tags = {}
        for key, value in model.tags.items():
            try:
                check_tag(key, value)
                tags[key] = value
            except Invalid as error:
                compared.differences.append(str(error))
        try:
            here = tx.registered_models.get(model.name)
        except RegisteredModelNotFound:
            tx.registered_models.add(model.name, model.description, tags, model.created_ms)
            self._record(tx, EventType.MODEL_REGISTERED, model.name, tags=sorted(tags))
            return
        if here.description != model.description:
            tx.registered_models.describe(model.name, model.description, model.updated_ms)
        for key, value in tags.items():
            if here.tags.get(key) != value:
                tx.registered_models.tag(model.name, key, value)

    def _place(self, version: RegisteredVersion, compared: Compared) -> RegisteredVersion | None:
        """Give a version with the place where its files are now; None where it may not be kept."""
        try:
            check_description(version.description or "")
            for what, text in (
                ("run", version.run_id),
                ("run's link", version.run_link),
                ("user", version.user_id),
            ):
                within(f"Invalid {what} of a version", text, 2048)
            for key, value in version.tags.items():
                check_tag(key, value)
            if is_prompt(version.tags):
                return replace(version, location=version.source)
            return self._placed(version)
        except (Invalid, ServerRefused, ServerConfused) as error:
            compared.differences.append(f"{version.ref} was not brought: {error}")
            return None

    def _placed(self, version: RegisteredVersion) -> RegisteredVersion:
        source = read_source(version.source)
        model_id = version.model_id or (source.model_id if isinstance(source, OfLoggedModel) else "")
        uri = self.reader.download_uri(version.name, version.number) or version.source
        roots = self._roots(version.run_id, model_id)
        location = _moved(uri, roots)
        if location is None:
            location = self._elsewhere(version, uri)
        kept = version.source
        if isinstance(source, InFolder):
            kept = _moved(version.source, roots) or location
        return replace(version, source=kept, location=location, model_id=model_id)

    def _roots(self, run_id: str, model_id: str) -> list[tuple[str, str]]:
        """Give the folders there and here of what a version comes from, where both are."""
        roots = []
        with self.workspace.database.read() as tx:
            with suppress(NotFound, ServerRefused):
                if model_id:
                    here = tx.logged_models.get(model_id).artifact_uri
                    roots.append((self.reader.logged_model(model_id).artifact_uri, here))
            with suppress(NotFound, ServerRefused):
                if run_id:
                    here = tx.logged_runs.bare(run_id).artifact_uri
                    roots.append((self.reader.run(run_id).artifact_uri, here))
        return roots

    def _elsewhere(self, version: RegisteredVersion, uri: str) -> str:
        place = read_source(uri)
        if isinstance(place, OfRun):
            with self.workspace.database.read() as tx, suppress(NotFound):
                tx.logged_runs.bare(place.run_id)
                return uri
        if uri.startswith(_PROXIED):
            # What lies in that server's own store is read through it.
            below = uri.removeprefix(_PROXIED).lstrip("/")
            uri = f"{self.reader.server.url}/api/2.0/mlflow-artifacts/artifacts/{below}"
        told = (
            "" if isinstance(place, Elsewhere) else ", which belongs to no run or logged model that is there"
        )
        self.left.append(f"the files of {version.ref} stay at {uri}{told}")
        return uri

    def _keep_version(self, tx: Transaction, version: RegisteredVersion, compared: Compared) -> None:
        try:
            here = tx.registered_versions.get(version.name, version.number)
        except RegisteredVersionNotFound:
            tx.registered_versions.record(version)
            self._record(
                tx,
                EventType.MODEL_VERSION_REGISTERED,
                version.ref,
                source=version.source,
                location=version.location,
                run=version.run_id,
                logged_model=version.model_id,
                tags=sorted(version.tags),
            )
            return
        if here.created_ms != version.created_ms:
            compared.differences.append(f"{version.ref} was not brought: another version has its number here")
            return
        of, number = version.name, version.number
        if here.description != version.description:
            tx.registered_versions.describe(of, number, version.description, version.updated_ms)
        if here.stage is not version.stage:
            tx.registered_versions.stage(of, number, version.stage, version.updated_ms, alone=False)
        for key, value in version.tags.items():
            if here.tags.get(key) != value:
                tx.registered_versions.tag(of, number, key, value)

    def _keep_aliases(self, tx: Transaction, model: RegisteredModel, compared: Compared) -> None:
        here = tx.registered_models.get(model.name).aliases
        for alias, number in model.aliases.items():
            if here.get(alias) == number:
                continue
            try:
                check_new_alias(alias)
                tx.registered_models.point(model.name, alias, number)
            except MainspringError as error:
                compared.differences.append(f"the alias {alias[:100]!r} was not brought: {error}")
                continue
            self._record(
                tx,
                EventType.MODEL_ALIAS_MOVED,
                f"{model.name}@{alias}",
                before=here.get(alias),
                version=number,
            )

    def _record(self, tx: Transaction, kind: EventType, subject: str, **data: object) -> None:
        tx.ledger.append(
            Event(
                type=kind,
                subject=subject,
                at=self.workspace.clock.now(),
                actor=self.actor,
                reason=f"imported from {self.reader.server.url}",
                data=data,
            )
        )


def _moved(uri: str, roots: list[tuple[str, str]]) -> str | None:
    """Give where a place within one of the folders there is now."""
    for there, here in roots:
        folder = there.rstrip("/")
        if folder and (uri == folder or uri.startswith(f"{folder}/")):
            below = uri[len(folder) :].strip("/")
            return f"{here.rstrip('/')}/{ArtifactPath.parse(below)}" if below else here
    return None
