"""Bringing what an MLflow tracking server holds into a workspace, and proving that it is all there."""

from __future__ import annotations

__all__ = ["bring"]

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from mainspring.digest import digest_of_json
from mainspring.errors import Invalid, MainspringError
from mainspring.events import Event, EventType
from mainspring.operate.mlflow.bring_files import FileBringer
from mainspring.operate.mlflow.bring_models import ModelBringer
from mainspring.operate.mlflow.journal import Journal, ReceivedRun
from mainspring.operate.mlflow.read import MlflowReader, Owner, Unreadable
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.operate.mlflow.several import at_once
from mainspring.operate.mlflow.tally import (
    Compared,
    Moved,
    Points,
    compare,
    of_experiment,
    of_logged_model,
    of_run,
)
from mainspring.tracking.limits import (
    check_datasets,
    check_experiment_name,
    check_experiment_tag,
    check_metric,
    check_model_name,
    check_model_texts,
    check_run_id,
    fit_param,
    fit_tag,
)
from mainspring.tracking.record import Experiment, Lifecycle, LoggedModel, Metric, Run
from mainspring.tracking.store import (
    ExperimentNotFound,
    ExperimentTaken,
    LoggedModelNotFound,
    ParamChanged,
    RunNotFound,
)

if TYPE_CHECKING:
    from mainspring.operate.mlflow.server import MlflowServer
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

    Progress = Callable[[str, int, int | None], None]

T = TypeVar("T")

_BATCH = 5000
# What spoils one thing alone; a server that does not answer any more ends the whole.
_SPOILT = (Invalid, ServerRefused, ServerConfused, ParamChanged)


def bring(
    workspace: Workspace,
    server: MlflowServer,
    *,
    actor: str,
    dry_run: bool = False,
    afresh: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Moved:
    """Bring experiments, runs, logged models, files and registered models; what was brought before is not doubled.

    What a server says again in another way since is taken over. Afterwards both sides are counted and digested: the
    server's from what it was read to hold, ours from what the database and the disk give back.

    Parameters
    ----------
    actor : str
        Who asks, for the ledger.
    dry_run : bool
        Change nothing, and say what would be brought.
    afresh : bool
        Read everything once more, also what was received before and has not changed since.
    progress : callable
        Told what is under way, how many are done, and of how many where that is known.

    Raises
    ------
    ServerUnreachable, ServerRefused, ServerConfused
        The server cannot be read on. What was brought is kept, and the next call goes on.
    ImportUnderWay
        Another process imports from the same server.
    """
    reader = MlflowReader(server)
    with Journal.opened(workspace.settings.state / "imports", server.url, afresh=afresh) as journal:
        bringer = _Bringer(workspace, reader, journal, dry_run, progress)
        found = bringer.experiments()
        for theirs, compared in found:
            bringer.logged_models(theirs, compared)
        for theirs, compared in found:
            bringer.runs(theirs, compared)
        for theirs, compared in found:
            bringer.settle(theirs, compared)
        models = ModelBringer(workspace, reader, actor, dry_run, bringer.left)
        registered = list(models.bring(progress))
        brought = Moved(
            server.url,
            dry_run,
            (*bringer.spoilt, *(compared for _, compared in found), *registered),
            tuple(bringer.left),
        )
        if not dry_run:
            _record(workspace, brought, actor)
    return brought


def _record(workspace: Workspace, brought: Moved, actor: str) -> None:
    differences = len(brought.differences)
    with workspace.database.write() as tx:
        tx.ledger.append(
            Event(
                type=EventType.TRACKING_IMPORTED,
                subject=brought.url,
                at=workspace.clock.now(),
                actor=actor,
                reason=f"{differences:,} differences were found" if differences else "both sides are alike",
                data={
                    "counts": brought.counts,
                    "digest": digest_of_json([[each.name, each.here.digest] for each in brought.compared]),
                    "differences": brought.differences[:100],
                },
            )
        )


@dataclass(slots=True)
class _Bringer:
    workspace: Workspace
    reader: MlflowReader
    journal: Journal
    dry_run: bool
    progress: Progress
    ids: dict[int, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    spoilt: list[Compared] = field(default_factory=list)
    files: FileBringer = field(init=False)

    def __post_init__(self) -> None:
        self.files = FileBringer(self.workspace.artifacts, self.reader, self.journal, self.dry_run)

    def experiments(self) -> list[tuple[Experiment, Compared]]:
        """Record the experiments; those of a name that is here already are joined."""
        found = []
        for theirs in self.reader.experiments():
            if isinstance(theirs, Unreadable):
                self.spoilt.append(Compared("experiment", theirs.what, differences=[str(theirs)]))
                continue
            compared = Compared("experiment", theirs.name)
            try:
                self.ids[theirs.experiment_id] = self._experiment(theirs)
            except Invalid as error:
                compared.differences.append(f"it was not brought: {error}")
                self.spoilt.append(compared)
                continue
            found.append((theirs, compared))
            self.progress("experiments", len(found), None)
        return found

    def _experiment(self, theirs: Experiment) -> int:
        check_experiment_name(theirs.name)
        tags = {}
        for key, value in theirs.tags.items():
            with suppress(Invalid):  # it is missing then, which is told
                check_experiment_tag(key, value)
                tags[key] = value
        with self.workspace.database.read() as tx:
            try:
                here = tx.experiments.named(theirs.name)
            except ExperimentNotFound:
                here = None
        if self.dry_run:
            return here.experiment_id if here else theirs.experiment_id
        with self.workspace.database.write() as tx:
            if here is None:
                location = f"mlflow-artifacts:/{theirs.experiment_id}"
                with suppress(ExperimentTaken):  # by whoever was faster
                    new = replace(theirs, artifact_location=location, lifecycle=Lifecycle.ACTIVE, tags=tags)
                    return tx.experiments.record(new).experiment_id
                here = tx.experiments.named(theirs.name)
            changed = {key: value for key, value in tags.items() if here.tags.get(key) != value}
            if changed:
                tx.experiments.tag(here.experiment_id, changed, here.updated_ms)
        return here.experiment_id

    def settle(self, theirs: Experiment, compared: Compared) -> None:
        """Give an experiment that was brought its state, and compare it."""
        number = self.ids[theirs.experiment_id]
        described = of_experiment(theirs)
        if self.dry_run:
            compared.there.add(described)
            return
        with self.workspace.database.write() as tx:
            here = tx.experiments.get(number)
            if here.created_ms == theirs.created_ms and here.lifecycle is not theirs.lifecycle:
                tx.experiments.settle(number, theirs.lifecycle, theirs.updated_ms)
                here = tx.experiments.get(number)
        ours = of_experiment(here)
        if here.created_ms != theirs.created_ms:
            # It was here before under the same name, and has a life and tags of its own.
            self.left.append(
                f"experiment {theirs.name!r} was here before: what is there was added to it, and its own stays"
            )
            described = {"tags": described["tags"]}
            ours = {"tags": {key: here.tags.get(key) for key in theirs.tags}}
        compared.there.add(described)
        compared.here.add(ours)
        compared.differences += compare("itself", described, ours)

    def logged_models(self, theirs: Experiment, compared: Compared) -> None:
        """Bring the logged models of an experiment with their files."""
        found = self.reader.logged_models(theirs.experiment_id)
        for done, part in enumerate(at_once(lambda model: self._logged_model(theirs, model), found), 1):
            compared.take(part)
            self.progress("logged models", done, None)

    def _logged_model(self, experiment: Experiment, model: LoggedModel | Unreadable) -> Compared:
        if isinstance(model, Unreadable):
            return Compared.spoilt(str(model))
        part, what = Compared(), f"logged model {model.model_id[:100]}"
        number, there, here = self.ids[experiment.experiment_id], of_logged_model(model), None
        try:
            check_run_id(model.model_id)
            if self.dry_run:
                here = there
            else:
                self._keep_model(model, number)
                with self.workspace.database.read() as tx:
                    here = of_logged_model(tx.logged_models.get(model.model_id))
        except _SPOILT as error:
            part.differences.append(f"{what} was not brought: {error}")
        part.note(what, there, here, logged_models="", params="params", tags="tags", model_metrics="metrics")
        if here is not None:
            folder = f"{number}/models/{model.model_id}/artifacts"
            self.files.bring(Owner.MODEL, model.model_id, folder).tell(part, what)
        return part

    def _keep_model(self, model: LoggedModel, number: int) -> None:
        check_model_name(model.name)
        check_model_texts("param", model.params)
        check_model_texts("tag", model.tags)
        for metric in model.metrics:
            check_metric(metric)
        uri = f"mlflow-artifacts:/{number}/models/{model.model_id}/artifacts"
        with self.workspace.database.write() as tx:
            try:
                here = tx.logged_models.get(model.model_id)
            except LoggedModelNotFound:
                tx.logged_models.add(replace(model, experiment_id=number, artifact_uri=uri))
            else:
                if (here.experiment_id, here.created_ms) != (number, model.created_ms):
                    raise Invalid("another logged model has its id here")
                tx.logged_models.log(model.model_id, model.params, model.tags)
                tx.logged_models.update(model.model_id, model.updated_ms, status=model.status)
            tx.logged_models.measure(model.model_id, model.metrics)

    def runs(self, theirs: Experiment, compared: Compared) -> None:
        """Bring the runs of an experiment with their files."""
        found = self.reader.runs(theirs.experiment_id)
        for done, part in enumerate(at_once(lambda run: self._run(theirs, run), found), 1):
            compared.take(part)
            self.progress(f"runs of {theirs.name}", done, None)

    def _run(self, experiment: Experiment, run: Run | Unreadable) -> Compared:
        if isinstance(run, Unreadable):
            return Compared.spoilt(str(run))
        part, what = Compared(), f"run {run.run_id[:100]}"
        number, here, faults = self.ids[experiment.experiment_id], None, list[str]()
        there = of_run(run, (0, ""))
        try:
            check_run_id(run.run_id)
            if self.dry_run:
                here = there
            else:
                there = of_run(run, self._keep_run(run, number, faults))
                here = of_run(*self._read_back(run.run_id))
        except _SPOILT as error:
            faults.append(f"it was not brought: {error}")
        part.differences += [f"{what}: {fault}" for fault in faults]
        part.note(
            what, there, here, runs="", params="params", tags="tags", datasets="datasets", points="points"
        )
        if here is not None:
            self.files.bring(Owner.RUN, run.run_id, f"{number}/{run.run_id}/artifacts").tell(part, what)
        return part

    def _keep_run(self, run: Run, number: int, faults: list[str]) -> tuple[int, str]:
        """Write a run; give the number and the digest of its points as the server has them."""
        told = digest_of_json([of_run(run, (0, "")), [repr(each) for each in run.metrics]])
        with self.workspace.database.read() as tx:
            try:
                here = tx.logged_runs.bare(run.run_id)
            except RunNotFound:
                here = None
        if here and (here.experiment_id, here.started_ms) != (number, run.started_ms):
            raise Invalid("another run has its id here")
        known = self.journal.runs.get(run.run_id)
        if here and known and known.told == told:
            return known.points, known.digest
        with self.workspace.database.write() as tx:
            if here is None:
                uri = f"mlflow-artifacts:/{number}/{run.run_id}/artifacts"
                new = replace(
                    run, experiment_id=number, artifact_uri=uri, lifecycle=Lifecycle.ACTIVE, tags={}
                )
                tx.logged_runs.add(new)
            else:
                tx.logged_runs.update(run.run_id, lifecycle=Lifecycle.ACTIVE)
            self._keep_entries(tx, run, faults)
        points, read = Points(), list[Metric]()
        for metric in run.metrics:
            points.add_metric(self._read_history(run.run_id, metric.key, read, faults))
        with self.workspace.database.write() as tx:
            tx.logged_runs.log(run.run_id, read)
            newest = [self._measured(tx, each) for each in _fitting(run.metrics, check_metric, faults)]
            tx.logged_runs.log(run.run_id, newest)
            tx.logged_runs.update(
                run.run_id,
                status=run.status,
                ended_ms=run.ended_ms,
                name=run.name or None,
                lifecycle=run.lifecycle,
                deleted_ms=int(self.workspace.clock.now().timestamp() * 1000)
                if run.lifecycle is Lifecycle.DELETED
                else None,
            )
        self.journal.add(ReceivedRun(run.run_id, told, points.count, points.digest))
        return points.count, points.digest

    def _keep_entries(self, tx: Transaction, run: Run, faults: list[str]) -> None:
        runs = tx.logged_runs
        runs.log(
            run.run_id,
            params=_texts(run.params, fit_param, faults),
            tags=_texts(run.tags, fit_tag, faults),
        )
        runs.read(
            run.run_id,
            _fitting(run.datasets, lambda each: check_datasets([each]), faults),
            _fitting(run.models_read, check_run_id, faults),
        )
        runs.give(run.run_id, _fitting(run.models_given, lambda each: check_run_id(each.model_id), faults))

    def _read_history(
        self, run_id: str, key: str, read: list[Metric], faults: list[str]
    ) -> Iterator[list[Metric]]:
        """Read the points of a metric; they gather in `read`, and are written when they are many."""
        for page in self.reader.history(run_id, key):
            read += [replace(each, model_id="") for each in _fitting(page, check_metric, faults)]
            while len(read) >= _BATCH:
                with self.workspace.database.write() as tx:
                    tx.logged_runs.log(run_id, read[:_BATCH])
                del read[:_BATCH]
            yield page

    def _measured(self, tx: Transaction, metric: Metric) -> Metric:
        """Give a point with its logged model where that was brought."""
        if metric.model_id:
            try:
                tx.logged_models.get(metric.model_id)
            except LoggedModelNotFound:
                return replace(metric, model_id="")
        return metric

    def _read_back(self, run_id: str) -> tuple[Run, Points]:
        points = Points()
        with self.workspace.database.read() as tx:
            run = tx.logged_runs.get(run_id)
            for metric in run.metrics:
                points.add_metric([tx.logged_runs.history(run_id, metric.key, limit=None, token="").items])
        return run, points


def _fitting(values: Iterable[T], check: Callable[[T], object], faults: list[str]) -> list[T]:
    found = []
    for each in values:
        try:
            check(each)
            found.append(each)
        except MainspringError as error:
            faults.append(str(error))
    return found


def _texts(texts: Mapping[str, str], fit: Callable[[str, str], str], faults: list[str]) -> dict[str, str]:
    found = {}
    for key, value in texts.items():
        try:
            found[key] = fit(key, value)
        except Invalid as error:
            faults.append(str(error))
    return found
