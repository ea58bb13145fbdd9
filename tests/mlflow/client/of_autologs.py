"""What libraries log by themselves, and the models that they leave."""

from __future__ import annotations

from typing import Any

import numpy as np
from ask import NEWEST, OWN, Asking

import mlflow

# What a fit leaves depends on the moment or the machine: which of it is there is asked, and not its value.
ROWS = np.random.default_rng(0).normal(size=(60, 3))
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)


def told(ask: Asking, run_id: str) -> dict[str, Any]:
    """What a run has, by name."""
    run = ask.client.get_run(run_id)
    kept = {key: value for key, value in run.data.params.items() if key not in ("base_score", "missing")}
    return {
        "metrics": sorted(run.data.metrics),
        "params": kept,
        "tags": sorted(run.data.tags),
        "status": run.info.status,
        "datasets": [(each.dataset.name, each.dataset.source_type) for each in run.inputs.dataset_inputs],
        "artifacts": paths(ask, run_id),
        "models": len(run.outputs.model_outputs) if NEWEST and run.outputs else 0,
    }


def paths(ask: Asking, run_id: str, path: str = "") -> list[str]:
    found = []
    for each in ask.client.list_artifacts(run_id, path):
        found += paths(ask, run_id, each.path) if each.is_dir else [each.path]
    return sorted(found)


def autologs(ask: Asking) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    home = ask.client.create_experiment(OWN + "autologs")
    mlflow.sklearn.autolog(silent=True)
    with mlflow.start_run(experiment_id=home, run_name="fit") as run:
        model = LogisticRegression(C=0.5).fit(ROWS, LABELS)
        model.score(ROWS, LABELS)
    ask.note("fit", told, ask, run.info.run_id)
    with mlflow.start_run(experiment_id=home, run_name="grid") as run:
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(ROWS, LABELS)
    ask.note("grid", told, ask, run.info.run_id)
    children = ask.client.search_runs(
        [home], f"tags.mlflow.parentRunId = '{run.info.run_id}'", order_by=["params.C"]
    )
    ask.note(
        "its candidates", lambda: [(each.data.params["C"], sorted(each.data.metrics)) for each in children]
    )
    mlflow.sklearn.autolog(disable=True)

    found = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    ask.note("its best, loaded", lambda: found.predict(ROWS[:5]).tolist())


def boosters(ask: Asking) -> None:
    if not NEWEST:
        return
    import lightgbm
    import xgboost

    home = ask.client.create_experiment(OWN + "boosters")
    mlflow.xgboost.autolog(silent=True)
    with mlflow.start_run(experiment_id=home) as run:
        data = xgboost.DMatrix(ROWS, label=LABELS)
        params = {"objective": "binary:logistic", "eval_metric": "logloss", "nthread": 1}
        xgboost.train(params, data, num_boost_round=5, evals=[(data, "train")], verbose_eval=False)
    ask.note("xgboost", told, ask, run.info.run_id)
    ask.note("xgboost's losses", lambda: len(ask.client.get_metric_history(run.info.run_id, "train-logloss")))
    mlflow.xgboost.autolog(disable=True)

    mlflow.lightgbm.autolog(silent=True)
    with mlflow.start_run(experiment_id=home) as run:
        data = lightgbm.Dataset(ROWS, label=LABELS)
        params = {"objective": "binary", "verbose": -1, "num_threads": 1}
        lightgbm.train(params, data, num_boost_round=5, valid_sets=[data], valid_names=["train"])
    ask.note("lightgbm", told, ask, run.info.run_id)
    ask.note(
        "lightgbm's losses",
        lambda: len(ask.client.get_metric_history(run.info.run_id, "train-binary_logloss")),
    )
    mlflow.lightgbm.autolog(disable=True)


def models_kept(ask: Asking) -> None:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    client = ask.client
    home = client.create_experiment(OWN + "kept")
    model = LogisticRegression().fit(ROWS, LABELS)
    named = {"name": "model"} if NEWEST else {"artifact_path": "model"}
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    mlflow.set_experiment(experiment_id=home)
    with mlflow.start_run(experiment_id=home, run_name="logs a model") as run:
        signature = mlflow.models.infer_signature(frame, model.predict(frame))
        kept = mlflow.sklearn.log_model(model, signature=signature, input_example=frame.head(2), **named)
        mlflow.log_dict({"a": 1}, "notes/a.json")
        mlflow.log_text("some words", "notes/words.txt")
        mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
    run_id = run.info.run_id
    ask.note("its files", paths, ask, run_id)
    ask.note("its notes", lambda: mlflow.artifacts.load_dict(f"runs:/{run_id}/notes/a.json"))
    ask.note("its words", lambda: mlflow.artifacts.load_text(f"runs:/{run_id}/notes/words.txt"))
    ask.note("its table", lambda: mlflow.load_table("table.json", run_ids=[run_id]).to_dict("list"))
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    ask.note("predicts", lambda: [int(each) for each in loaded.predict(frame.head(5))])
    ask.note("its signature", lambda: loaded.metadata.signature.to_dict())
    ask.note("model's address", lambda: kept.model_uri.split("/")[0])
    if NEWEST:
        by_id = mlflow.sklearn.load_model(f"models:/{kept.model_id}")
        ask.note("loaded by its id", lambda: by_id.predict(ROWS[:5]).tolist())
        directories = f"logged-models/{kept.model_id}/artifacts/directories"
        ask.get("its folder", directories)
        ask.note("is ready", lambda: client.get_logged_model(kept.model_id).status)
    with mlflow.start_run(experiment_id=home, run_name="evaluates") as judged:
        data = frame.assign(label=LABELS)
        result = mlflow.models.evaluate(
            f"runs:/{run_id}/model",
            data,
            targets="label",
            model_type="classifier",
            evaluators="default",
            evaluator_config={"log_explainer": False, "log_model_explainability": False},
        )
    ask.note("evaluates", lambda: sorted(result.metrics))
    ask.note("evaluated", told, ask, judged.info.run_id)
