"""Sending runs and logged models: begun, filled with what is missing there, and settled."""

from __future__ import annotations

__all__ = ["MODEL_ID", "RUN_ID", "RunSender"]

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from mainspring.operate.mlflow.tally import Points
from mainspring.tracking.record import Lifecycle, LoggedModel, Metric, Run

if TYPE_CHECKING:
    from mainspring.operate.mlflow.read import MlflowReader
    from mainspring.workspace import Workspace

RUN_ID = "mainspring.run_id"
MODEL_ID = "mainspring.model_id"
"""Tags in which what was sent says the id that it has here."""

_API = "/api/2.0/mlflow"
_METRICS = 1000
_TEXTS = 100


@dataclass(frozen=True, slots=True)
class RunSender:
    """Sends runs and logged models to a server."""

    workspace: Workspace
    reader: MlflowReader

    def begin(self, experiment: int, run: Run, there: Run | None) -> str:
        """Make a run, unless it is there, and give the id that it has there."""
        if there is not None:
            if there.lifecycle is Lifecycle.DELETED:
                self._post("runs/restore", run_id=there.run_id)
            return there.run_id
        asked: dict[str, Any] = {
            "experiment_id": str(experiment),
            "run_name": run.name,
            "user_id": run.user_id,
            "start_time": run.started_ms,
            "tags": [{"key": RUN_ID, "value": run.run_id}],
        }
        made = self.reader.server.ask("POST", f"{_API}/runs/create", dict, body=asked)
        return str(made["run"]["info"]["run_id"])

    def fill(self, run: Run, there_id: str, model_ids: Mapping[str, str]) -> Points:
        """Log to a run what is missing there, and give its points as they are here."""
        there = self.reader.run(there_id)
        params = [(key, value) for key, value in run.params.items() if there.params.get(key) != value]
        for some in _parts(params, _TEXTS):
            self._post("runs/log-batch", run_id=there_id, params=_pairs(some))
        tags = [(key, value) for key, value in run.tags.items() if there.tags.get(key) != value]
        for some in _parts(tags, _TEXTS):
            self._post("runs/log-batch", run_id=there_id, tags=_pairs(some))
        points = Points()
        for metric in run.metrics:
            points.add_metric([self._send_history(run.run_id, there_id, metric.key)])
        if run.datasets:
            datasets = [
                {"dataset": _set(msgspec.to_builtins(each.dataset)), "tags": _pairs(each.tags.items())}
                for each in run.datasets
            ]
            self._post("runs/log-inputs", run_id=there_id, datasets=datasets)
        read = [model_ids[each] for each in run.models_read if each in model_ids]
        if set(read) - set(there.models_read):
            self._post("runs/log-inputs", run_id=there_id, models=[{"model_id": each} for each in read])
        given = [each for each in run.models_given if each.model_id in model_ids]
        known = {each.model_id for each in there.models_given}
        new = [{"model_id": model_ids[each.model_id], "step": each.step} for each in given]
        if new := [each for each in new if each["model_id"] not in known]:
            self._post("runs/outputs", run_id=there_id, models=new)
        asked: dict[str, Any] = {"run_id": there_id, "status": run.status.value, "run_name": run.name}
        self._post("runs/update", **asked | ({} if run.ended_ms is None else {"end_time": run.ended_ms}))
        if run.lifecycle is Lifecycle.DELETED:
            self._post("runs/delete", run_id=there_id)
        return points

    def read_back(self, there_id: str) -> tuple[Run, Points]:
        """Give a run as it is there, without the tag that only marks it."""
        run, points = self.reader.run(there_id), Points()
        for metric in run.metrics:
            points.add_metric(self.reader.history(there_id, metric.key))
        tags = {key: value for key, value in run.tags.items() if key != RUN_ID}
        return replace(run, tags=tags), points

    def send_model(
        self, experiment: int, model: LoggedModel, there_id: str | None, run_ids: Mapping[str, str]
    ) -> str:
        """Send a logged model without its files, and give the id that it has there."""
        if there_id is None:
            asked = {
                "experiment_id": str(experiment),
                "name": model.name,
                "model_type": model.model_type,
                "source_run_id": run_ids.get(model.source_run_id, ""),
                "params": _pairs(model.params.items()),
                "tags": _pairs([*model.tags.items(), (MODEL_ID, model.model_id)]),
            }
            made = self.reader.server.ask("POST", f"{_API}/logged-models", dict, body=asked)
            there_id = str(made["model"]["info"]["model_id"])
        path = f"{_API}/logged-models/{quote(there_id, safe='')}"
        asked = {"model_id": there_id, "status": model.status.value}
        self.reader.server.ask("PATCH", path, dict, body=asked)
        for metric in model.metrics:
            if metric.run_id in run_ids:
                entry = _metric(metric) | {"model_id": there_id}
                self._post("runs/log-batch", run_id=run_ids[metric.run_id], metrics=[entry])
        return there_id

    def _send_history(self, run_id: str, there_id: str, key: str) -> Sequence[Metric]:
        with self.workspace.database.read() as tx:
            ours = tx.logged_runs.history(run_id, key, limit=None, token="").items
        theirs = {_same(each) for page in self.reader.history(there_id, key) for each in page}
        missing = [_metric(each) for each in ours if _same(each) not in theirs]
        for some in _parts(missing, _METRICS):
            self._post("runs/log-batch", run_id=there_id, metrics=list(some))
        return ours

    def _post(self, method: str, **fields: object) -> None:
        self.reader.server.ask("POST", f"{_API}/{method}", dict, body=fields)


def _same(point: Metric) -> tuple[object, ...]:
    value: object = "NaN" if math.isnan(point.value) else point.value
    return point.timestamp_ms, point.step, value


def _metric(point: Metric) -> dict[str, Any]:
    told = {"dataset_name": point.dataset_name, "dataset_digest": point.dataset_digest}
    return _set(told) | {
        "key": point.key,
        "value": "NaN" if math.isnan(point.value) else point.value,
        "timestamp": point.timestamp_ms,
        "step": point.step,
    }


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _pairs(texts: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in texts]


def _parts(values: Sequence[Any], most: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + most] for start in range(0, len(values), most))
