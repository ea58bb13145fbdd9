"""What is asked about runs, and what is logged to them."""

from __future__ import annotations

from typing import Any

from ask import NAN, NO_RUN, OWN, Asking, plain
from mlflow.entities import Metric, Param, RunTag

import mlflow


def runs(ask: Asking) -> None:
    client = ask.client
    home = client.create_experiment(OWN + "runs")
    given = {"start_time": 1_700_000_000_000, "tags": {"a": "b"}, "run_name": "first"}
    run_id = ask.note("create", client.create_run, home, **given).info.run_id
    ask.note("get", client.get_run, run_id)
    ask.note("unknown", client.get_run, NO_RUN)
    ask.note("an id that none has", client.get_run, "../etc/passwd")
    ask.note("in no experiment", client.create_run, "987654")
    x, y = {"mlflow.runName": "x"}, {"mlflow.runName": "y"}
    ask.note("named twice alike", client.create_run, home, run_name="x", start_time=5, tags=x)
    ask.note("named twice", client.create_run, home, run_name="x", start_time=5, tags=y)
    ask.note("named by its tag", client.create_run, home, start_time=5, tags=y)
    unnamed = client.create_run(home, start_time=5)
    ask.note("unnamed has a name", lambda: bool(unnamed.info.run_name))
    ask.note("ended", client.set_terminated, run_id, "FAILED", 1_700_000_005_000)
    ask.note("how it ended", lambda: plain(client.get_run(run_id).info))
    ask.note("name", client.update_run, run_id, name="second")
    ask.note("status", client.update_run, run_id, status="RUNNING")
    ask.note("renamed", client.get_run, run_id)
    ask.note("renamed by its tag", client.set_tag, run_id, "mlflow.runName", "third")
    ask.note("renamed so", lambda: client.get_run(run_id).info.run_name)
    ask.note("delete", client.delete_run, run_id)
    ask.note("deleted", lambda: client.get_run(run_id).info.lifecycle_stage)
    ask.note("write to a deleted one", client.log_metric, run_id, "m", 1.0)
    ask.note("tag a deleted one", client.set_tag, run_id, "m", "1")
    ask.note("param of a deleted one", client.log_param, run_id, "m", "1")
    ask.note("update a deleted one", client.update_run, run_id, name="x")
    ask.note("delete twice", client.delete_run, run_id)
    ask.note("restore", client.restore_run, run_id)
    ask.note("restore twice", client.restore_run, run_id)
    ask.note("restored", lambda: client.get_run(run_id).info.lifecycle_stage)
    ask.note("delete one that is not there", client.delete_run, NO_RUN)
    ask.note("experiment deleted", client.delete_experiment, home)
    ask.note("its runs are", lambda: client.get_run(run_id).info.lifecycle_stage)
    ask.note("experiment restored", client.restore_experiment, home)
    ask.note("its runs are back", lambda: client.get_run(run_id).info.lifecycle_stage)
    with (
        mlflow.start_run(experiment_id=home, run_name="parent") as parent,
        mlflow.start_run(experiment_id=home, run_name="child", nested=True) as child,
    ):
        mlflow.log_param("p", 1)
    named = client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"]
    ask.note("parent named", lambda: named == parent.info.run_id)
    ask.note("parent", lambda: client.get_parent_run(child.info.run_id).info.run_name)


def logged(ask: Asking) -> None:
    client = ask.client
    home = client.create_experiment(OWN + "logged")

    def fresh() -> str:
        return str(client.create_run(home, start_time=1, run_name="r").info.run_id)

    def data(run_id: str) -> Any:
        found = client.get_run(run_id).data
        return {"metrics": found.metrics, "params": found.params, "tags": found.tags}

    run = fresh()
    ask.note("metric", client.log_metric, run, "loss", 0.5, timestamp=10, step=1)
    ask.note("later", client.log_metric, run, "loss", 0.4, timestamp=20, step=2)
    ask.note("earlier step", client.log_metric, run, "loss", 0.9, timestamp=30, step=0)
    ask.note("negative step", client.log_metric, run, "loss", 0.8, timestamp=5, step=-3)
    ask.note("same point again", client.log_metric, run, "loss", 0.4, timestamp=20, step=2)
    ask.note("same step, larger value", client.log_metric, run, "loss", 0.45, timestamp=20, step=2)
    ask.note("nan", client.log_metric, run, "none", NAN, timestamp=1)
    ask.note("infinity", client.log_metric, run, "large", float("inf"), timestamp=1)
    ask.note("minus infinity", client.log_metric, run, "small", float("-inf"), timestamp=1)
    ask.note("whole number", client.log_metric, run, "whole", 3, timestamp=1)
    ask.note("key with marks", client.log_metric, run, "a/b c.d-e_f:g", 1.0, timestamp=1)
    ask.note("history", client.get_metric_history, run, "loss")
    ask.note("history of nan", client.get_metric_history, run, "none")
    ask.note("history of infinity", client.get_metric_history, run, "large")
    ask.note("history of nothing", client.get_metric_history, run, "nothing")
    ask.note("history of no run", client.get_metric_history, NO_RUN, "loss")
    for step, key in {
        "key upwards": "../x",
        "key absolute": "/x",
        "key with a bracket": "a[0]",
        "empty key": "",
        "key that is another": "a//b",
        "key too long": "k" * 251,
        "point": ".",
    }.items():
        ask.note(f"metric: {step}", client.log_metric, run, key, 1.0)
        ask.note(f"param: {step}", client.log_param, run, key, "1")
        ask.note(f"tag: {step}", client.set_tag, run, key, "1")
    ask.note("longest key", client.log_metric, run, "k" * 250, 1.0, timestamp=1)
    ask.note("param", client.log_param, run, "p", "1")
    ask.note("param again", client.log_param, run, "p", "1")
    ask.note("param changed", client.log_param, run, "p", "2")
    ask.note("empty param", client.log_param, run, "empty", "")
    ask.note("param of 6000", client.log_param, run, "six", "v" * 6000)
    ask.note("param of 6001", client.log_param, run, "more", "v" * 6001)
    ask.note("param of 70000", client.log_param, run, "most", "v" * 70_000)
    ask.note("lengths of params", lambda: {key: len(value) for key, value in data(run)["params"].items()})
    ask.note("tag", client.set_tag, run, "t", "1")
    ask.note("tag changed", client.set_tag, run, "t", "2")
    ask.note("tag of 8000", client.set_tag, run, "long", "v" * 8000)
    ask.note("tag of 8001", client.set_tag, run, "longer", "v" * 8001)
    ask.note("lengths of tags", lambda: {key: len(value) for key, value in data(run)["tags"].items()})
    ask.note("untag", client.delete_tag, run, "t")
    ask.note("untag twice", client.delete_tag, run, "t")
    ask.note("in no run", client.log_metric, NO_RUN, "m", 1.0)
    ask.note("metrics", lambda: data(run)["metrics"])

    run = fresh()
    metrics = [Metric("m", 1.0, 1, 0), Metric("m", 2.0, 2, 1), Metric("n", NAN, 1, 0)]
    params, tags = [Param("a", "1"), Param("b", "2")], [RunTag("t", "x"), RunTag("u", "y")]
    ask.note("batch", client.log_batch, run, metrics, params, tags)
    ask.note("batch kept", data, run)
    good, bad = Metric("z", 1.0, 1, 0), Metric("a[", 1.0, 1, 0)
    ask.note("batch with a param twice", client.log_batch, run, params=[Param("c", "1"), Param("c", "2")])
    ask.note("batch with a changed param", client.log_batch, run, metrics=[good], params=[Param("a", "9")])
    ask.note("batch with a bad metric", client.log_batch, run, metrics=[good, bad])
    ask.note("empty batch", client.log_batch, run)
    ask.note("kept of refused ones", data, run)
    ask.note("a thousand metrics", client.log_batch, fresh(), [Metric(f"m{n}", n, 1, 0) for n in range(1000)])
    points = [{"key": f"m{n}", "value": n, "timestamp": 1} for n in range(1001)]
    texts = [{"key": f"t{n}", "value": "1"} for n in range(101)]
    ask.post("1001 metrics", "runs/log-batch", run_id=fresh(), metrics=points)
    ask.post("101 params", "runs/log-batch", run_id=fresh(), params=texts)
    ask.post("101 tags", "runs/log-batch", run_id=fresh(), tags=texts)
    ask.post("1001 in all", "runs/log-batch", run_id=fresh(), metrics=points[:901], tags=texts[:100])


def datasets(ask: Asking) -> None:
    import pandas as pd

    client = ask.client
    home = client.create_experiment(OWN + "datasets")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    flights = mlflow.data.from_pandas(frame, name="flights", source="/data/flights.parquet")
    weather = mlflow.data.from_pandas(frame.head(1), name="weather", source="/data/weather.parquet")
    with mlflow.start_run(experiment_id=home, run_name="reader") as run:
        ask.note("input", mlflow.log_input, flights, context="training")
        ask.note("input again", mlflow.log_input, flights, context="training")
        ask.note("input with tags", mlflow.log_input, weather, tags={"k": "v"})
    run_id = run.info.run_id
    ask.note("inputs", lambda: plain(client.get_run(run_id).inputs))

    def names(text: str) -> Any:
        return [each.info.run_name for each in client.search_runs([home], text)]

    ask.note("by name", names, "dataset.name = 'flights'")
    ask.note("by another name", names, "dataset.name = 'trains'")
    ask.note("by digest", names, f"datasets.digest = '{flights.digest}'")
    ask.note("by context", names, "dataset.context = 'training'")
    ask.note("by name like", names, "dataset.name LIKE 'fl%'")
    ask.note("by names", names, "dataset.name IN ('flights', 'trains')")
    ask.note("by what it has not", names, "dataset.color = 'x'")
    given = {"name": "d", "digest": "1", "source_type": "local", "source": "x"}
    nameless = {key: value for key, value in given.items() if key != "name"}
    for step, dataset in {
        "long name": given | {"name": "d" * 501},
        "long digest": given | {"digest": "d" * 37},
        "no name": nameless,
    }.items():
        ask.post(step, "runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset}])
    ask.post("in no run", "runs/log-inputs", run_id=NO_RUN, datasets=[{"dataset": given}])
