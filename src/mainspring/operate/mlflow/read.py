"""What a tracking server holds, as values of ours, each read by itself: one that is spoilt spoils no other."""

from __future__ import annotations

__all__ = ["File", "MlflowReader", "Owner", "Unreadable"]

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from mainspring.errors import Invalid
from mainspring.operate.mlflow.server import ServerRefused
from mainspring.registry.registered import RegisteredModel, RegisteredVersion, Stage
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.limits import stored_value
from mainspring.tracking.record import (
    Dataset,
    DatasetInput,
    Experiment,
    Lifecycle,
    LoggedModel,
    Metric,
    ModelOutput,
    ModelStatus,
    Run,
    RunStatus,
)

if TYPE_CHECKING:
    from mainspring.operate.mlflow.server import MlflowServer

T = TypeVar("T")

_API = "/api/2.0/mlflow"
_PAGE = 1000
_POINTS = 25_000
_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


class Unreadable(Invalid):
    """One thing of a server's that cannot be read."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.what, self.why = what, why

    def __str__(self) -> str:
        return f"{self.what} cannot be read: {self.why}"


class Owner(StrEnum):
    """Whose files are listed."""

    RUN = "run"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a run or of a logged model on a server.

    Attributes
    ----------
    owner, owner_id : Owner, str
        Whose.
    named : str
        Its path as the server writes it, by which it is asked for.
    path : ArtifactPath
        The same below the owner's folder, as a path that cannot leave it.
    size : int
        Bytes.
    """

    owner: Owner
    owner_id: str
    named: str
    path: ArtifactPath
    size: int


class _KeyValue(msgspec.Struct):
    key: str
    value: str = ""


class _Experiment(msgspec.Struct):
    experiment_id: str
    name: str
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    creation_time: int = 0
    last_update_time: int = 0
    tags: tuple[_KeyValue, ...] = ()


class _Metric(msgspec.Struct):
    key: str
    value: float | str = 0.0
    timestamp: int = 0
    step: int = 0
    dataset_name: str = ""
    dataset_digest: str = ""
    model_id: str = ""
    run_id: str = ""


class _RunInfo(msgspec.Struct):
    run_id: str = ""
    run_uuid: str = ""
    run_name: str = ""
    user_id: str = ""
    status: str = "RUNNING"
    start_time: int = 0
    end_time: int | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class _RunData(msgspec.Struct):
    metrics: tuple[_Metric, ...] = ()
    params: tuple[_KeyValue, ...] = ()
    tags: tuple[_KeyValue, ...] = ()


class _Dataset(msgspec.Struct):
    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class _DatasetInput(msgspec.Struct):
    dataset: _Dataset
    tags: tuple[_KeyValue, ...] = ()


class _ModelInput(msgspec.Struct):
    model_id: str


class _ModelOutput(msgspec.Struct):
    model_id: str
    step: int = 0


class _Inputs(msgspec.Struct):
    dataset_inputs: tuple[_DatasetInput, ...] = ()
    model_inputs: tuple[_ModelInput, ...] = ()


class _Outputs(msgspec.Struct):
    model_outputs: tuple[_ModelOutput, ...] = ()


class _Run(msgspec.Struct):
    info: _RunInfo
    data: _RunData = msgspec.field(default_factory=_RunData)
    inputs: _Inputs = msgspec.field(default_factory=_Inputs)
    outputs: _Outputs = msgspec.field(default_factory=_Outputs)


class _ModelInfo(msgspec.Struct):
    model_id: str
    name: str
    artifact_uri: str = ""
    creation_timestamp_ms: int = 0
    last_updated_timestamp_ms: int = 0
    status: str | int = "LOGGED_MODEL_PENDING"
    model_type: str = ""
    source_run_id: str = ""
    tags: tuple[_KeyValue, ...] = ()


class _ModelData(msgspec.Struct):
    params: tuple[_KeyValue, ...] = ()
    metrics: tuple[_Metric, ...] = ()


class _Model(msgspec.Struct):
    info: _ModelInfo
    data: _ModelData = msgspec.field(default_factory=_ModelData)


class _Version(msgspec.Struct):
    name: str
    version: int
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    user_id: str = ""
    current_stage: str = "None"
    description: str | None = None
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    tags: tuple[_KeyValue, ...] = ()
    aliases: tuple[str, ...] = ()


class _Alias(msgspec.Struct):
    alias: str
    version: int


class _Registered(msgspec.Struct):
    name: str
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0
    description: str = ""
    tags: tuple[_KeyValue, ...] = ()
    aliases: tuple[_Alias, ...] = ()


class _Listed(msgspec.Struct):
    path: str
    is_dir: bool = False
    file_size: int = 0


class _Page(msgspec.Struct):
    """A page of anything; what is in it is read one by one."""

    experiments: tuple[Any, ...] = ()
    runs: tuple[Any, ...] = ()
    models: tuple[Any, ...] = ()
    metrics: tuple[_Metric, ...] = ()
    registered_models: tuple[Any, ...] = ()
    model_versions: tuple[Any, ...] = ()
    next_page_token: str = ""


class _Files(msgspec.Struct):
    files: tuple[_Listed, ...] = ()


class _Uri(msgspec.Struct):
    artifact_uri: str = ""


class _OneExperiment(msgspec.Struct):
    experiment: _Experiment


class _OneRun(msgspec.Struct):
    run: _Run


class _OneModel(msgspec.Struct):
    model: _Model


@dataclass(frozen=True, slots=True)
class MlflowReader:
    """Reads a server; what is there and cannot be read is given as `Unreadable` in its place."""

    server: MlflowServer

    def experiments(self) -> Iterator[Experiment | Unreadable]:
        """Give all experiments, deleted ones too."""
        asked = {"view_type": "ALL", "max_results": _PAGE}
        for page in self.server.pages("POST", f"{_API}/experiments/search", _Page, asked):
            for each in page.experiments:
                yield _one(each, _Experiment, _experiment, "An experiment", "experiment_id")

    def experiment(self, experiment_id: int) -> Experiment:
        """Give one experiment."""
        asked = {"experiment_id": str(experiment_id)}
        return _experiment(
            self.server.ask("GET", f"{_API}/experiments/get", _OneExperiment, query=asked).experiment
        )

    def runs(self, experiment_id: int) -> Iterator[Run | Unreadable]:
        """Give all runs of an experiment, deleted ones too, with the newest point of each metric."""
        asked = {
            "experiment_ids": [str(experiment_id)],
            "run_view_type": "ALL",
            "max_results": _PAGE,
            "order_by": ["attributes.start_time ASC"],
        }
        for page in self.server.pages("POST", f"{_API}/runs/search", _Page, asked):
            for each in page.runs:
                yield _one(each, _Run, lambda run: _run(run, experiment_id), "A run", "info")

    def run(self, run_id: str) -> Run:
        """Give one run."""
        found = self.server.ask("GET", f"{_API}/runs/get", _OneRun, query={"run_id": run_id})
        return _run(found.run, 0)

    def history(self, run_id: str, key: str) -> Iterator[list[Metric]]:
        """Give all points of a metric, in pages."""
        asked = {"run_id": run_id, "metric_key": key, "max_results": _POINTS}
        for page in self.server.pages("GET", f"{_API}/metrics/get-history", _Page, asked):
            yield [_metric(each) for each in page.metrics]

    def logged_models(self, experiment_id: int) -> Iterator[LoggedModel | Unreadable]:
        """Give the logged models of an experiment; of servers that know none, none."""
        asked = {"experiment_ids": [str(experiment_id)], "max_results": 50}
        try:
            for page in self.server.pages("POST", f"{_API}/logged-models/search", _Page, asked):
                for each in page.models:
                    yield _one(each, _Model, lambda it: _model(it, experiment_id), "A logged model", "info")
        except ServerRefused as error:
            if error.status not in (404, 405, 501):
                raise

    def logged_model(self, model_id: str) -> LoggedModel:
        """Give one logged model."""
        found = self.server.ask("GET", f"{_API}/logged-models/{quote(model_id, safe='')}", _OneModel)
        return _model(found.model, 0)

    def registered_models(self) -> Iterator[RegisteredModel | Unreadable]:
        """Give all registered models, prompts too."""
        seen = set()
        for condition in ("", _PROMPTS):
            asked = {"max_results": 100} | ({"filter": condition} if condition else {})
            for page in self.server.pages("GET", f"{_API}/registered-models/search", _Page, asked):
                for each in page.registered_models:
                    found = _one(each, _Registered, _registered, "A registered model", "name")
                    if isinstance(found, Unreadable):
                        yield found
                    elif found.name not in seen:
                        seen.add(found.name)
                        yield found

    def versions(self, name: str, *, prompt: bool) -> Iterator[RegisteredVersion | Unreadable]:
        """Give the versions of a model; raises `Unreadable` where its name cannot be asked for."""
        if "'" in name and '"' in name:
            raise Unreadable(
                f"The versions of {name!r}", "no filter can name a model with both kinds of quotes"
            )
        quoted = f'"{name}"' if "'" in name else f"'{name}'"
        condition = f"name = {quoted}" + (f" AND {_PROMPTS}" if prompt else "")
        asked = {"filter": condition, "max_results": 100}
        for page in self.server.pages("GET", f"{_API}/model-versions/search", _Page, asked):
            for each in page.model_versions:
                yield _one(each, _Version, _version, f"A version of {name!r}", "version")

    def download_uri(self, name: str, number: int) -> str:
        """Say where the server keeps a version's files."""
        asked = {"name": name, "version": str(number)}
        return self.server.ask(
            "GET", f"{_API}/model-versions/get-download-uri", _Uri, query=asked
        ).artifact_uri

    def files(self, owner: Owner, owner_id: str) -> Iterator[File | Unreadable]:
        """Give all files below a run's or a logged model's folder.

        A name that climbs out of the folder, or means the same file as another, is `Unreadable`.
        """
        seen: set[ArtifactPath] = set()
        folders = [""]
        while folders:
            folder = folders.pop()
            for listed in self._list(owner, owner_id, folder):
                what = f"The file {listed.path[:300]!r} of {owner.value} {owner_id}"
                try:
                    path = ArtifactPath.parse(listed.path)
                except Invalid as error:
                    yield Unreadable(what, str(error))
                    continue
                if posixpath.dirname(listed.path.rstrip("/")) != folder:
                    yield Unreadable(what, f"it was listed in the folder {folder!r}, and does not lie in it")
                elif path in seen:
                    yield Unreadable(what, "another has the same path, when both are decoded")
                else:
                    seen.add(path)
                    if listed.is_dir:
                        folders.append(listed.path.rstrip("/"))
                    else:
                        yield File(owner, owner_id, listed.path, path, listed.file_size)

    def content(self, file: File) -> Iterator[bytes]:
        """Give a file's bytes, once; raises `ServerUnreachable` where they end too early."""
        path, query = _address(file)
        with self.server.opened("GET", path, query=query) as answer:
            yield from answer.iter_bytes(1 << 20)

    def _list(self, owner: Owner, owner_id: str, folder: str) -> tuple[_Listed, ...]:
        if owner is Owner.RUN:
            query = {"run_id": owner_id} | ({"path": folder} if folder else {})
            return self.server.ask("GET", f"{_API}/artifacts/list", _Files, query=query).files
        query = {"artifact_directory_path": folder} if folder else {}
        path = f"{_API}/logged-models/{quote(owner_id, safe='')}/artifacts/directories"
        return self.server.ask("GET", path, _Files, query=query).files


def _address(file: File) -> tuple[str, dict[str, str]]:
    if file.owner is Owner.RUN:
        return "/get-artifact", {"run_id": file.owner_id, "run_uuid": file.owner_id, "path": file.named}
    path = f"/ajax-api/2.0/mlflow/logged-models/{quote(file.owner_id, safe='')}/artifacts/files"
    return path, {"artifact_file_path": file.named}


def _one(given: Any, message: type[Any], read: Any, what: str, named_by: str) -> Any:
    try:
        return read(msgspec.convert(given, message, strict=False))
    except (msgspec.ValidationError, ValueError, Invalid) as error:
        named = given.get(named_by) if isinstance(given, dict) else None
        told = f"{what} ({str(named)[:200]})" if named else what
        return Unreadable(told, str(error))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError(f"{text[:100]!r} is no id of an experiment")
    return int(text)


def _moment(value: int | None) -> int:
    if value is not None and not 0 <= value < 2**63:
        raise ValueError(f"{value} is no moment")
    return value or 0


def _texts(pairs: tuple[_KeyValue, ...]) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def _experiment(found: _Experiment) -> Experiment:
    return Experiment(
        experiment_id=_number(found.experiment_id),
        name=found.name,
        artifact_location=found.artifact_location,
        lifecycle=Lifecycle(found.lifecycle_stage),
        created_ms=_moment(found.creation_time),
        updated_ms=_moment(found.last_update_time),
        tags=_texts(found.tags),
    )


def _metric(found: _Metric) -> Metric:
    return Metric(
        key=found.key,
        value=stored_value(float(found.value)) + 0.0,  # of the two zeros a database keeps one
        timestamp_ms=found.timestamp,
        step=found.step,
        model_id=found.model_id,
        dataset_name=found.dataset_name,
        dataset_digest=found.dataset_digest,
        run_id=found.run_id,
    )


def _run(found: _Run, experiment_id: int) -> Run:
    info, tags = found.info, _texts(found.data.tags)
    return Run(
        run_id=info.run_id or info.run_uuid,
        experiment_id=experiment_id,
        name=info.run_name or tags.get("mlflow.runName", ""),
        user_id=info.user_id,
        status=RunStatus(info.status),
        lifecycle=Lifecycle(info.lifecycle_stage),
        started_ms=_moment(info.start_time),
        ended_ms=_moment(info.end_time) or None,
        artifact_uri=info.artifact_uri,
        metrics=tuple(map(_metric, found.data.metrics)),
        params=_texts(found.data.params),
        tags=tags,
        datasets=tuple(
            DatasetInput(dataset=Dataset(**msgspec.structs.asdict(each.dataset)), tags=_texts(each.tags))
            for each in found.inputs.dataset_inputs
        ),
        models_read=tuple(each.model_id for each in found.inputs.model_inputs),
        models_given=tuple(
            ModelOutput(model_id=each.model_id, step=each.step) for each in found.outputs.model_outputs
        ),
    )


_STATUSES = dict(enumerate(ModelStatus, start=1)) | {each.value: each for each in ModelStatus}


def _model(found: _Model, experiment_id: int) -> LoggedModel:
    info = found.info
    if info.status not in _STATUSES:
        raise ValueError(f"{str(info.status)[:100]!r} is no status of a logged model")
    return LoggedModel(
        model_id=info.model_id,
        experiment_id=experiment_id,
        name=info.name,
        model_type=info.model_type,
        source_run_id=info.source_run_id,
        status=_STATUSES[info.status],
        created_ms=_moment(info.creation_timestamp_ms),
        updated_ms=_moment(info.last_updated_timestamp_ms),
        artifact_uri=info.artifact_uri,
        params=_texts(found.data.params),
        tags=_texts(info.tags),
        metrics=tuple(map(_metric, found.data.metrics)),
    )


def _registered(found: _Registered) -> RegisteredModel:
    return RegisteredModel(
        name=found.name,
        description=found.description,
        created_ms=_moment(found.creation_timestamp),
        updated_ms=_moment(found.last_updated_timestamp),
        tags=_texts(found.tags),
        aliases={each.alias: each.version for each in found.aliases},
    )


def _version(found: _Version) -> RegisteredVersion:
    if not 0 < found.version < 2**31:
        raise ValueError(f"{found.version} is no number of a version")
    return RegisteredVersion(
        name=found.name,
        number=found.version,
        source=found.source,
        location="",
        run_id=found.run_id,
        model_id=found.model_id,
        run_link=found.run_link,
        description=found.description,
        user_id=found.user_id,
        stage=Stage(found.current_stage),
        created_ms=_moment(found.creation_timestamp),
        updated_ms=_moment(found.last_updated_timestamp),
        tags=_texts(found.tags),
        aliases=found.aliases,
    )
