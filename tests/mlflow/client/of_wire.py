"""What is asked without a client."""

from __future__ import annotations

import json

from ask import OWN, Asking


def wire(ask: Asking) -> None:
    home = ask.client.create_experiment(OWN + "wire")
    run = ask.post("create", "runs/create", experiment_id=home, start_time=5, run_name="w")["run"]
    run_id = run["info"]["run_id"]
    ask.get("get", "runs/get", run_id=run_id, run_uuid=run_id)
    ask.get("get by the old name", "runs/get", run_uuid=run_id)
    ask.get("get nothing", "runs/get")
    ask.post(
        "numbers as texts", "runs/log-metric", run_id=run_id, key="m", value="0.5", timestamp="7", step="2"
    )
    ask.post("unknown field", "runs/log-metric", run_id=run_id, key="u", value=0.5, timestamp=7, color="red")
    ask.post("nan as a text", "runs/log-metric", run_id=run_id, key="n", value="NaN", timestamp=7)
    ask.post("infinity as a text", "runs/log-metric", run_id=run_id, key="i", value="-Infinity", timestamp=7)
    ask.post("no key", "runs/log-metric", run_id=run_id, value=0.5, timestamp=7)
    ask.post("no value", "runs/log-metric", run_id=run_id, key="v", timestamp=7)
    ask.post("no timestamp", "runs/log-metric", run_id=run_id, key="v", value=1.0)
    ask.post("value of another kind", "runs/log-metric", run_id=run_id, key="v", value="many", timestamp=7)
    ask.post(
        "step of another kind", "runs/log-metric", run_id=run_id, key="v", value=1, timestamp=7, step="x"
    )
    ask.post(
        "null is nothing", "runs/log-metric", run_id=run_id, key="null", value=1.0, timestamp=7, step=None
    )
    ask.post("no run", "runs/log-metric", key="v", value=1, timestamp=7)
    ask.post("param without a value", "runs/log-parameter", run_id=run_id, key="bare")
    ask.get("what is there", "runs/get", run_id=run_id)
    ask.post("camel case", "runs/log-metric", runId=run_id, key="c", value=0.5, timestamp=7)
    ask.get("history", "metrics/get-history", run_id=run_id, metric_key="m")
    ask.get("history of nothing", "metrics/get-history", run_id=run_id, metric_key="nothing")
    ask.get("history without a key", "metrics/get-history", run_id=run_id)
    for number in range(5):
        point = {"key": "paged", "value": number, "timestamp": number}
        ask.post(f"point {number}", "runs/log-metric", run_id=run_id, **point)
    three = {"run_id": run_id, "metric_key": "paged", "max_results": 3}
    page = ask.get("page of a history", "metrics/get-history", **three)
    ask.get("its next page", "metrics/get-history", page_token=page["next_page_token"], **three)
    ask.post("no experiments", "runs/search", experiment_ids=[])
    ask.post("search", "runs/search", experiment_ids=[home], max_results=5, filter="metrics.m > 9")
    ask.post("search too much", "runs/search", experiment_ids=[home], max_results=50_001)
    ask.post("search somewhere else", "runs/search", experiment_ids=["987654"])
    ask.get("experiments over GET", "experiments/search", max_results=1)
    create = "/api/2.0/mlflow/runs/create"
    json_of = {"headers": {"Content-Type": "application/json"}}
    ask.raw("no JSON", "POST", create, data="{", **json_of)
    ask.raw("a list", "POST", create, data="[]", **json_of)
    ask.raw("a form", "POST", create, data={"experiment_id": home})
    ask.raw("plain text", "POST", create, data="{}", headers={"Content-Type": "text/plain"})
    ask.raw("unknown method", "POST", "/api/2.0/mlflow/runs/explode", json={})
    ask.raw("wrong verb", "PUT", create, json={})
    ask.raw(
        "twin for browsers", "GET", f"/ajax-api/2.0/mlflow/metrics/get-history?run_id={run_id}&metric_key=m"
    )
    ask.raw("health", "GET", "/health")
    ask.raw("version", "GET", "/version")
    ask.post("update", "runs/update", run_id=run_id, status="FINISHED", end_time=9)
    ask.post("update to a status that is none", "runs/update", run_id=run_id, status="NOPE")
    ask.post("delete tag that is none", "runs/delete-tag", run_id=run_id, key="none")
    model = {"artifact_path": "model", "flavors": {}, "utc_time_created": "2026-01-01", "run_id": run_id}
    ask.post("model of a client before 3", "runs/log-model", run_id=run_id, model_json=json.dumps(model))
    ask.post("such a model without flavors", "runs/log-model", run_id=run_id, model_json="{}")
    ask.post("such a model that is no JSON", "runs/log-model", run_id=run_id, model_json="{")
