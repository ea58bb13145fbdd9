"""MLflow's client at work on one server: its own Python runs this, and prints how often a second each thing was done.

python tracking_client.py URI rates SECONDS
python tracking_client.py URI points BATCHES
python tracking_client.py URI search EXPERIMENT TIMES
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}

from mlflow.entities import Metric, Param

import mlflow
from mlflow import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()


def rate(seconds: float, work: Callable[[int], object]) -> float:
    """How often a second something is done, one after the other."""
    for number in range(3):
        work(number)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        work(3 + done)
        done += 1
    return done / (time.perf_counter() - began)


def rates(seconds: float) -> dict[str, float]:
    home = client.create_experiment(f"rates-{time.time_ns()}")
    run = client.create_run(home).info.run_id
    params = [Param(f"p{n}", "1") for n in range(20)]

    def batch(number: int) -> None:
        client.log_batch(run, [Metric(f"m{n}", 1.0, number, number) for n in range(20)], params)

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.bin"
        file.write_bytes(os.urandom(2**20))

        def model(number: int) -> None:
            made = client.create_logged_model(home, name="model", source_run_id=run)
            client.log_model_artifacts(made.model_id, folder)
            client.finalize_logged_model(made.model_id, "READY")

        return {
            "create a run": rate(seconds, lambda n: client.create_run(home)),
            "log a metric": rate(seconds, lambda n: client.log_metric(run, "m", float(n), step=n)),
            "log 20 metrics and 20 params": rate(seconds, batch),
            "log a model of 1 MB": rate(seconds, model),
        }


def points(batches: int) -> dict[str, float]:
    home = client.create_experiment(f"points-{os.getpid()}-{time.time_ns()}")
    run = client.create_run(home).info.run_id
    began = time.time()
    for number in range(batches):
        client.log_batch(run, [Metric("m", float(n), number, number * 1000 + n) for n in range(1000)])
    ended = time.time()
    kept = len(client.get_metric_history(run, "m"))
    return {"began": began, "ended": ended, "sent": batches * 1000, "kept": kept}


def search(experiment: str, times: int) -> dict[str, float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        found = client.search_runs(
            [experiment], "params.kind = 'tree'", max_results=1000, order_by=["metrics.loss ASC"]
        )
        took.append(time.perf_counter() - began)
        assert len(found) == 1000
    return {"seconds": sorted(took)[len(took) // 2]}


match sys.argv[2:]:
    case ["rates", seconds]:
        print(json.dumps(rates(float(seconds))))
    case ["points", batches]:
        print(json.dumps(points(int(batches))))
    case ["search", experiment, times]:
        print(json.dumps(search(experiment, int(times))))
