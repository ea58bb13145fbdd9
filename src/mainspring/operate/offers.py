"""Models that clients have logged, offered to a product: what is named is followed to files, and these are kept."""

from __future__ import annotations

__all__ = ["UnknownOffer", "read_offer"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.errors import Invalid, NotFound
from mainspring.formats.mlmodel import LARGEST_MLMODEL, MLMODEL, PickleNotAllowed, form_of
from mainspring.loop import Offer
from mainspring.operate.find_runs import run_named
from mainspring.operate.log_runs import live_model
from mainspring.operate.version_origins import download_uri, named_version
from mainspring.registry.source import OfLoggedModel, OfRun, OfVersion, read_source
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.record import Lifecycle

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.stores.sql.database import Transaction
    from mainspring.tracking.record import Run
    from mainspring.workspace import Workspace

_LARGEST = 2 * 2**30
"""Bytes of a model's file: it is read into memory to be served."""


class UnknownOffer(NotFound):
    """What names no model of a client's."""

    def __init__(self, named: str, why: str) -> None:
        super().__init__(named, why)
        self.named, self.why = named, why

    def __str__(self) -> str:
        return (
            f"{self.named[:300]!r} names no logged model: {self.why}. Name a run, a logged model as models:/m-…, or a "
            "registered version as models:/NAME/VERSION or models:/NAME@ALIAS."
        )


@dataclass(frozen=True, slots=True)
class _Found:
    source: str
    folder: str
    run_id: str
    model_id: str = ""


def read_offer(workspace: Workspace, named: str, *, allow_code: bool = False) -> Offer:
    """Follow what names a logged model to its files, and keep them by digest.

    What the model's folder holds later is no matter of the offer.

    Parameters
    ----------
    workspace : Workspace
    named : str
        A run by its id or the beginning of it, `runs:/RUN/PATH`, `models:/m-…`, `models:/NAME/VERSION` or
        `models:/NAME@ALIAS`.
    allow_code : bool
        Whether a pickle may be offered.

    Raises
    ------
    UnknownOffer
        There is no such model, or several that could be meant.
    mainspring.formats.mlmodel.Unofferable
        It is in no form that can be read.
    mainspring.errors.Invalid
        Its files are not kept by this server.
    """
    with workspace.database.read() as tx:
        found = _find(workspace, tx, named)
    folder = ArtifactPath.of_uri(found.folder)
    mlmodel = _keep(workspace, folder, MLMODEL, LARGEST_MLMODEL)
    form = form_of(workspace.blobs.get(mlmodel))
    if form.kind == "pickle" and not allow_code:
        raise PickleNotAllowed(form.file)
    model = _keep(workspace, folder, form.file, _LARGEST)
    files: dict[str, str] = {MLMODEL: mlmodel, form.file: model}
    return Offer(source=found.source, run_id=found.run_id, model_id=found.model_id, files=files)


def _find(workspace: Workspace, tx: Transaction, named: str) -> _Found:
    if ":/" not in named:
        return _of_run(workspace, tx, run_named(tx, named), "")
    match read_source(named):
        case OfVersion() as of:
            version = named_version(tx, of)
            location = download_uri(tx, version.name, version.number)
            source = f"models:/{version.name}/{version.number}"
            return _Found(source, location, version.run_id, version.model_id)
        case OfLoggedModel(model_id):
            return _of_model(tx, model_id)
        case OfRun(run_id):
            path = named.partition(":/")[2].strip("/").partition("/")[2]
            return _of_run(workspace, tx, tx.logged_runs.get(run_id), path)
    raise UnknownOffer(named, "it is an address of files")


def _of_model(tx: Transaction, model_id: str) -> _Found:
    model = live_model(tx, model_id)
    return _Found(f"models:/{model_id}", model.artifact_uri, model.source_run_id, model_id)


def _of_run(workspace: Workspace, tx: Transaction, run: Run, path: str) -> _Found:
    """The model that a run gave: under the name, or its only one.

    Clients of the third generation keep models beside the run, which names them; those of the second put a model's
    folder among the run's artifacts.
    """
    if run.lifecycle is not Lifecycle.ACTIVE:
        raise UnknownOffer(run.run_id, "the run was deleted, and may be restored")
    logged = [_of_model(tx, each.model_id) for each in run.models_given]
    names = [tx.logged_models.get(each.model_id).name for each in logged]
    found = [each for each, name in zip(logged, names, strict=True) if path in ("", name)]
    for folder in [path] if path else _folders(workspace, run.artifact_uri):
        if _has_model(workspace, f"{run.artifact_uri}/{folder}"):
            found.append(_Found(f"runs:/{run.run_id}/{folder}", f"{run.artifact_uri}/{folder}", run.run_id))
    if len(found) > 1:
        raise UnknownOffer(run.run_id, f"the run gave several, {', '.join(each.source for each in found)}")
    if not found:
        raise UnknownOffer(
            run.run_id, f"the run gave none that is called {path!r}" if path else "the run gave none"
        )
    return found[0]


def _folders(workspace: Workspace, uri: str) -> list[str]:
    return [each.name for each in workspace.artifacts.list(ArtifactPath.of_uri(uri)) if each.is_folder]


def _has_model(workspace: Workspace, uri: str) -> bool:
    return any(each.name == MLMODEL for each in workspace.artifacts.list(ArtifactPath.of_uri(uri)))


def _keep(workspace: Workspace, folder: ArtifactPath, file: str, largest: int) -> Digest:
    """Keep a file of the folder by its digest; a name that would lead out of the folder is none."""
    path = folder / ArtifactPath.parse(file)
    opened = workspace.artifacts.open(path)
    with opened.file as source:
        if opened.size > largest:
            raise Invalid(f"'{path}' has {opened.size:,} bytes, and {largest:,} is the most that is taken.")
        return workspace.blobs.put(source.read())
