"""Fill a tracking server with something of everything that can be carried from it, or say what a client sees there.

python tests/mlflow/client/fill.py URI [see]
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ask import NAN, NEWEST
from mlflow.entities import Metric, Param, RunTag, ViewType

import mlflow
from mlflow import MlflowClient


def points(key: str, count: int) -> list[Metric]:
    return [Metric(key, step * 0.25, 1_700_000_000_000 + step, step) for step in range(count)]


def fill(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    team = client.create_experiment(
        "team/flights", tags={"owner": "ada", "mlflow.note.content": "what it is"}
    )
    first = client.create_run(
        team, start_time=1_700_000_000_000, run_name="first", tags={"t": "ü\n2"}
    ).info.run_id
    client.log_batch(first, params=[Param(f"p{n}", "v" * (1 + n * 50)) for n in range(60)])
    history = points("loss", 2_500)
    for start in range(0, len(history), 1000):
        client.log_batch(first, metrics=history[start : start + 1000])
    for value in (NAN, float("inf"), -1e-300, 0.1):
        client.log_metric(first, "odd/of all kinds", value, timestamp=1_700_000_000_001, step=-3)
    client.log_metric(first, "odd/of all kinds", 0.1, timestamp=1_700_000_000_001, step=-3)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deep" / "er").mkdir(parents=True)
        (Path(folder) / "empty").touch()
        (Path(folder) / "deep" / "er" / "modèle 1.bin").write_bytes(bytes(range(256)) * 8_000)
        (Path(folder) / "deep" / "read me.txt").write_text("read me\n")
        client.log_artifacts(first, folder, "model")
        client.log_artifact(first, f"{folder}/deep/read me.txt")
    client.log_inputs(first, [_dataset("flights"), _dataset("weather")])
    client.set_terminated(first, end_time=1_700_000_100_000)
    child = client.create_run(team, tags={"mlflow.parentRunId": first}).info.run_id
    client.set_terminated(child, "FAILED")
    deleted = client.create_run(team, run_name="deleted").info.run_id
    client.log_batch(deleted, [Metric("m", 1.0, 0, 0)], [Param("p", "1")], [RunTag("a.b/c d", "")])
    client.delete_run(deleted)
    gone = client.create_experiment("gone")
    client.log_metric(client.create_run(gone).info.run_id, "m", 2.0)
    client.delete_experiment(gone)
    client.create_run("0", run_name="in Default")
    _register(client, first)
    if NEWEST:
        _log_model(client, team, first)


def _dataset(name: str) -> mlflow.entities.DatasetInput:
    dataset = mlflow.entities.Dataset(name, "d1", "local", '{"uri": "x.csv"}', '{"c": "long"}', '{"rows": 3}')
    return mlflow.entities.DatasetInput(
        dataset, [mlflow.entities.InputTag("mlflow.data.context", "training")]
    )


def _register(client: MlflowClient, run_id: str) -> None:
    name = "late 'arrivals' ü"
    client.create_registered_model(name, {"k": "v"}, "which flights come late")
    for number in (1, 2, 3):
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        client.create_model_version(
            name, source, run_id, tags={"n": str(number)}, description=f"number {number}"
        )
        time.sleep(0.01)
    client.delete_model_version(name, "2")
    client.set_registered_model_alias(name, "champion", "3")
    client.set_registered_model_alias(name, "old", "1")
    client.transition_model_version_stage(name, "1", "Archived")
    client.create_registered_model("far")
    client.create_model_version("far", "s3://bucket/model")
    register = mlflow.genai.register_prompt if NEWEST else mlflow.register_prompt
    register("greeting", "Hello {{ name }}", commit_message="first", tags={"of": "us"})
    register("greeting", "Good day, {{ name }}")


def _log_model(client: MlflowClient, experiment: str, run_id: str) -> None:
    model = client.create_logged_model(experiment, "gbm", run_id, {"a": "b"}, {"depth": "3"}, "booster")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(model.model_id, folder)
    client.finalize_logged_model(model.model_id, "READY")
    run = client.create_run(experiment).info.run_id
    client.log_metric(
        run, "auc", 0.9, step=2, model_id=model.model_id, dataset_name="flights", dataset_digest="d1"
    )
    client.log_inputs(run, models=[mlflow.entities.LoggedModelInput(model.model_id)])
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(model.model_id, 2)])
    client.set_terminated(run)
    client.create_model_version("far", f"models:/{model.model_id}", model_id=model.model_id)


def see(uri: str) -> dict[str, object]:
    """What does not depend on where it lies: experiments by name, runs by id, files by digest."""
    mlflow.set_tracking_uri(uri)
    client, told = MlflowClient(), {}
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        if experiment.name in ("team/flights", "gone"):
            told[experiment.name] = [experiment.experiment_id, experiment.lifecycle_stage, experiment.tags]
            for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
                told[run.info.run_id] = _run(client, run)
    for name in ("late 'arrivals' ü", "far"):
        model = client.get_registered_model(name)
        aliases = {alias: str(of) for alias, of in model.aliases.items()}
        told[name] = [model.description or "", model.tags, aliases]
    for number in ("1", "3"):
        version = client.get_model_version("late 'arrivals' ü", number)
        told[f"version {number}"] = [version.tags, version.description, version.current_stage, version.run_id]
        told[f"files of {number}"] = _files(f"models:/late 'arrivals' ü/{number}")
    load = mlflow.genai.load_prompt if NEWEST else mlflow.load_prompt
    told["prompts"] = [load("greeting", version=number).template for number in (1, 2)]
    if NEWEST:
        experiment = client.get_experiment_by_name("team/flights")
        models = client.search_logged_models([experiment.experiment_id])
        told["models"] = [
            [
                each.model_id,
                each.name,
                each.tags,
                each.params,
                str(each.status),
                _files(f"models:/{each.model_id}"),
            ]
            for each in models
        ]
        told["measured"] = [[m.key, m.value, m.step, m.run_id] for model in models for m in model.metrics]
    return told


def _run(client: MlflowClient, run: Any) -> list[object]:
    info, run_id = run.info, run.info.run_id
    # Of old, files keep a point twice that is logged twice, and infinity as it is; databases keep neither.
    history = {
        (point.key, repr(min(point.value, sys.float_info.max)), point.timestamp, point.step)
        for key in run.data.metrics
        for point in client.get_metric_history(run_id, key)
    }
    read = run.inputs.dataset_inputs
    return [
        [info.run_name, info.status, info.lifecycle_stage, info.start_time, info.end_time, info.user_id],
        [run.data.params, run.data.tags, sorted(history)],
        sorted([each.dataset.name, each.dataset.source, each.dataset.profile] for each in read),
        _files(f"runs:/{run_id}/") if client.list_artifacts(run_id) else [],
    ]


def _files(uri: str) -> list[object]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        found = [each for each in sorted(root.rglob("*")) if each.is_file()]
        return [
            [str(each.relative_to(root)), hashlib.sha256(each.read_bytes()).hexdigest()]
            for each in found
            if each.name != "registered_model_meta"  # written by the client
        ]


if __name__ == "__main__":
    if sys.argv[2:] == ["see"]:
        print(json.dumps(see(sys.argv[1])))
    else:
        fill(sys.argv[1])
