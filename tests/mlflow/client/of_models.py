"""What is asked about logged models, which clients have since version 3."""

from __future__ import annotations

from typing import Any

from ask import NEWEST, OWN, Asking, plain

import mlflow

NO_MODEL = "m-" + "0" * 32


def logged_models(ask: Asking) -> None:
    if not NEWEST:
        return
    client = ask.client
    home = client.create_experiment(OWN + "models")
    run_id = client.create_run(home, start_time=1, run_name="r").info.run_id
    given = {"source_run_id": run_id, "tags": {"a": "1"}, "params": {"p": "2"}, "model_type": "agent"}
    model_id = ask.note("create", client.create_logged_model, home, name="m", **given).model_id
    ask.note("get", client.get_logged_model, model_id)
    ask.note("finish", client.finalize_logged_model, model_id, "READY")
    ask.note("unknown", client.get_logged_model, NO_MODEL)
    ask.note("unnamed", lambda: bool(client.create_logged_model(home).name))
    for step, name in {
        "slash": "a/b",
        "colon": "a:b",
        "point": "a.b",
        "quote": "a'b",
        "percent": "a%b",
    }.items():
        ask.note(f"named with a {step}", client.create_logged_model, home, name=name)
    ask.note("in no experiment", client.create_logged_model, "987654", name="x")
    ask.note("tags", client.set_logged_model_tags, model_id, {"b": "2", "a": "3"})
    ask.note("untag", client.delete_logged_model_tag, model_id, "b")
    ask.note("untag twice", client.delete_logged_model_tag, model_id, "b")
    ask.note("params", client.log_model_params, model_id, {f"p{n}": str(n) for n in range(150)})
    on = {"dataset_name": "d", "dataset_digest": "1"}
    later = {"timestamp": 2, "step": 2}
    ask.note("metric", client.log_metric, run_id, "auc", 0.9, timestamp=1, step=1, model_id=model_id, **on)
    ask.note("metric later", client.log_metric, run_id, "auc", 0.8, model_id=model_id, **later)
    ask.note("metric of no model", client.log_metric, run_id, "auc", 0.8, model_id=NO_MODEL, **later)
    ask.note("what it has", client.get_logged_model, model_id)
    second = client.create_logged_model(home, name="second", source_run_id=run_id, model_type="tree")
    client.log_metric(run_id, "auc", 0.7, timestamp=3, step=3, model_id=second.model_id)

    def names(text: str | None = None, **asked: Any) -> Any:
        found = client.search_logged_models([home], text, **asked)
        return {
            "names": [each.name for each in found if each.name in ("m", "second")],
            "more": bool(found.token),
        }

    for step, text in {
        "by name": "name = 'm'",
        "by prefix": "attributes.name LIKE 's%'",
        "by type": "model_type = 'agent'",
        "by run": f"source_run_id = '{run_id}'",
        "by status": "status = 'READY'",
        "by tag": "tags.a = '3'",
        "by param": "params.p = '2'",
        "by metric": "metrics.auc > 0.75",
        "by time": "creation_timestamp > 5",
        "by names": "name IN ('m', 'x')",
        "by what it has not": "color = 'x'",
        "by metric in the singular": "metric.auc > 0.5",
    }.items():
        ask.note(step, names, text)
    ask.note("ordered", names, order_by=[{"field_name": "metrics.auc", "ascending": True}])
    ask.note("ordered down", names, order_by=[{"field_name": "metrics.auc", "ascending": False}])
    ask.note("ordered by name", names, order_by=[{"field_name": "name"}])
    ask.note("measured on", names, datasets=[{"dataset_name": "d"}])
    ask.note("measured on and above", names, "metrics.auc > 0.85", datasets=[on])
    outputs = [mlflow.entities.LoggedModelOutput(model_id, 3)]
    ask.note("given by a run", client.log_outputs, run_id, outputs)
    inputs = [mlflow.entities.LoggedModelInput(second.model_id)]
    ask.note("read by a run", client.log_inputs, run_id, models=inputs)
    ask.note(
        "run with models",
        lambda: [plain(client.get_run(run_id).outputs), plain(client.get_run(run_id).inputs)],
    )
    ask.note("delete", client.delete_logged_model, model_id)
    ask.note("deleted", client.get_logged_model, model_id)
    ask.note("found no more", names)
    ask.post("searched nowhere", "logged-models/search")
