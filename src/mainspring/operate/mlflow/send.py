"""Sending what a workspace holds to an MLflow tracking server, and proving that it is all there."""

from __future__ import annotations

__all__ = ["RUN_ID", "send"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mainspring.digest import digest_of_json
from mainspring.events import Event, EventType
from mainspring.operate.mlflow.read import MlflowReader, Owner, Unreadable
from mainspring.operate.mlflow.send_files import FileSender
from mainspring.operate.mlflow.send_models import ModelSender
from mainspring.operate.mlflow.send_runs import MODEL_ID, RUN_ID, RunSender
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.operate.mlflow.several import at_once
from mainspring.operate.mlflow.tally import Compared, Moved, compare, of_experiment, of_logged_model, of_run
from mainspring.search import AllOf, Search, View
from mainspring.tracking.record import Experiment, Lifecycle, LoggedModel, Run

if TYPE_CHECKING:
    from mainspring.operate.mlflow.server import MlflowServer
    from mainspring.workspace import Workspace

_API = "/api/2.0/mlflow"
_SPOILT = (ServerRefused, ServerConfused, Unreadable)


def send(
    workspace: Workspace,
    server: MlflowServer,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None,
) -> Moved:
    """Send experiments, runs, logged models, files and registered models; what was sent before is not doubled.

    A server gives runs and logged models ids of its own: theirs here stand there in the tags `mainspring.run_id` and
    `mainspring.model_id`, by which the next call finds them. Moments of creation cannot be sent.

    Raises
    ------
    ServerUnreachable, ServerRefused, ServerConfused
        The server cannot be written to any more. What was sent is there, and the next call goes on.
    """
    sender = _Sender(workspace, MlflowReader(server), dry_run, progress)
    # In this order an empty server gives them the ids that they have here.
    ordered = sorted(sender.experiments(), key=lambda each: each.experiment_id)
    compared = [sender.experiment(each) for each in ordered]
    models = ModelSender(workspace, sender.reader, sender.run_ids, sender.model_ids, dry_run, sender.left)
    moved = Moved(server.url, dry_run, (*compared, *models.send(progress)), tuple(sender.left))
    if not dry_run:
        with workspace.database.write() as tx:
            tx.ledger.append(
                Event(
                    type=EventType.TRACKING_EXPORTED,
                    subject=server.url,
                    at=workspace.clock.now(),
                    actor=actor,
                    reason=f"{len(moved.differences):,} differences were found"
                    if moved.differences
                    else "both sides are alike",
                    data={
                        "counts": moved.counts,
                        "digest": digest_of_json([[each.name, each.here.digest] for each in moved.compared]),
                        "differences": moved.differences[:100],
                    },
                )
            )
    return moved


@dataclass(slots=True)
class _Sender:
    """Sends experiments with what is in them. In what it compares, `there` is where it comes from: this workspace."""

    workspace: Workspace
    reader: MlflowReader
    dry_run: bool
    progress: Callable[[str, int, int | None], None]
    run_ids: dict[str, str] = field(default_factory=dict)
    model_ids: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    files: FileSender = field(init=False)
    runs: RunSender = field(init=False)
    known: dict[str, Experiment] = field(init=False)

    def __post_init__(self) -> None:
        self.files = FileSender(self.workspace.artifacts, self.reader)
        self.runs = RunSender(self.workspace, self.reader)
        found = [each for each in self.reader.experiments() if not isinstance(each, Unreadable)]
        self.known = {each.name: each for each in found}

    def experiments(self) -> Iterator[Experiment]:
        """Give all experiments that are here."""
        search = Search(condition=AllOf(()), view=View.ALL, limit=1000)
        while True:
            with self.workspace.database.read() as tx:
                page = tx.experiments.search(search)
            yield from page.items
            if not page.token:
                return
            search = replace(search, token=page.token)

    def experiment(self, ours: Experiment) -> Compared:
        """Send an experiment with its runs and logged models."""
        compared = Compared("experiment", ours.name)
        runs, models = list(self._runs(ours)), list(self._models(ours))
        if self.dry_run:
            for run in runs:
                described = of_run(run, (0, ""))
                compared.note("", described, described, runs="", params="params", tags="tags")
            for model in models:
                compared.note("", of_logged_model(model), of_logged_model(model), logged_models="")
            return compared
        try:
            theirs = self._experiment(ours)
            before = self._sent(theirs)
        except _SPOILT as error:
            compared.differences.append(f"it was not sent: {error}")
            return compared
        what = f"runs of {ours.name}"
        for done, (run, sent) in enumerate(at_once(lambda run: self._begun(theirs, run, before), runs), 1):
            if isinstance(sent, str):
                self.run_ids[run.run_id] = sent
            else:
                compared.take(sent)
            self.progress(f"{what}, begun", done, len(runs))
        for model in models:
            compared.take(self._model(theirs, model))
        for done, part in enumerate(at_once(self._filled, runs), 1):
            compared.take(part)
            self.progress(what, done, len(runs))
        self._settle(ours, theirs, compared)
        return compared

    def _experiment(self, ours: Experiment) -> int:
        theirs = self.known.get(ours.name)
        pairs = [{"key": key, "value": value} for key, value in ours.tags.items()]
        if theirs is None:
            asked = {"name": ours.name, "tags": pairs}
            made = self.reader.server.ask("POST", f"{_API}/experiments/create", dict, body=asked)
            return int(made["experiment_id"])
        number = str(theirs.experiment_id)
        if theirs.lifecycle is Lifecycle.DELETED:
            # Nothing can be logged to it otherwise; it is deleted again when all is there.
            self._post("experiments/restore", experiment_id=number)
        for pair in pairs:
            if theirs.tags.get(pair["key"]) != pair["value"]:
                self._post("experiments/set-experiment-tag", experiment_id=number, **pair)
        return theirs.experiment_id

    def _settle(self, ours: Experiment, theirs: int, compared: Compared) -> None:
        here = of_experiment(ours) | {"created": None}
        try:
            if ours.lifecycle is Lifecycle.DELETED:
                self._post("experiments/delete", experiment_id=str(theirs))
            found = self.reader.experiment(theirs)
        except _SPOILT as error:
            compared.differences.append(str(error))
            return
        tags = {key: found.tags.get(key) for key in ours.tags}
        there = of_experiment(found) | {"created": None, "tags": tags}
        compared.there.add(here)
        compared.here.add(there)
        compared.differences += compare("itself", here, there)

    def _sent(self, experiment: int) -> dict[str, Run]:
        """Give the runs that are there, by the ids that they have here."""
        found = {}
        for run in self.reader.runs(experiment):
            if not isinstance(run, Unreadable):
                found[run.tags.get(RUN_ID, run.run_id)] = run
        for model in self.reader.logged_models(experiment):
            if not isinstance(model, Unreadable):
                self.model_ids[model.tags.get(MODEL_ID, model.model_id)] = model.model_id
        return found

    def _begun(self, experiment: int, run: Run, before: dict[str, Run]) -> tuple[Run, str | Compared]:
        try:
            return run, self.runs.begin(experiment, run, before.get(run.run_id))
        except _SPOILT as error:
            return run, Compared.spoilt(f"run {run.run_id} was not sent: {error}")

    def _filled(self, run: Run) -> Compared:
        part, what = Compared(), f"run {run.run_id}"
        there_id = self.run_ids.get(run.run_id)
        if there_id is None:
            return part  # which was told when it was begun
        try:
            points = self.runs.fill(run, there_id, self.model_ids)
            found, of_theirs = self.runs.read_back(there_id)
        except _SPOILT as error:
            return Compared.spoilt(f"{what} was not sent whole: {error}")
        ours = replace(
            run,
            models_read=tuple(self.model_ids.get(each, each) for each in run.models_read),
            models_given=tuple(
                replace(each, model_id=self.model_ids.get(each.model_id, each.model_id))
                for each in run.models_given
            ),
        )
        counted = {"runs": "", "params": "params", "tags": "tags", "datasets": "datasets", "points": "points"}
        part.note(what, of_run(ours, points), of_run(found, of_theirs), **counted)
        self.files.send(run.artifact_uri, Owner.RUN, there_id, found.artifact_uri).tell(part, what)
        return part

    def _model(self, experiment: int, model: LoggedModel) -> Compared:
        part, what = Compared(), f"logged model {model.model_id}"
        try:
            there_id = self.runs.send_model(
                experiment, model, self.model_ids.get(model.model_id), self.run_ids
            )
            self.model_ids[model.model_id] = there_id
            found = self.reader.logged_model(there_id)
        except _SPOILT as error:
            return Compared.spoilt(f"{what} was not sent: {error}")
        ours = of_logged_model(
            replace(model, source_run_id=self.run_ids.get(model.source_run_id, model.source_run_id))
        )
        theirs = of_logged_model(
            replace(found, tags={key: value for key, value in found.tags.items() if key in model.tags})
        )
        own = {"created": None, "metrics": None}
        part.note(what, ours | own, theirs | own, logged_models="", params="params", tags="tags")
        self.files.send(model.artifact_uri, Owner.MODEL, there_id, found.artifact_uri).tell(part, what)
        return part

    def _runs(self, ours: Experiment) -> Iterator[Run]:
        search = Search(condition=AllOf(()), view=View.ALL, limit=1000)
        while True:
            with self.workspace.database.read() as tx:
                page = tx.logged_runs.search([ours.experiment_id], search)
            yield from page.items
            if not page.token:
                return
            search = replace(search, token=page.token)

    def _models(self, ours: Experiment) -> Iterator[LoggedModel]:
        search = Search(condition=AllOf(()), limit=1000)
        while True:
            with self.workspace.database.read() as tx:
                page = tx.logged_models.search([ours.experiment_id], search)
            yield from page.items
            if not page.token:
                return
            search = replace(search, token=page.token)

    def _post(self, method: str, **fields: object) -> None:
        self.reader.server.ask("POST", f"{_API}/{method}", dict, body=fields)
