"""Trains models on a table and logs each as its library's users do; run by a client's own Python.

    python tests/mlflow/client/logs_models.py URI TABLE ANSWERS

The table is CSV with the columns `amount`, `hour`, `kind` and `late`. Told are, for each model, how it is addressed and
what it answers for the rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlflow

INPUTS = ["amount", "hour", "kind"]
CLIENT = mlflow.MlflowClient


def pipeline(rows: pd.DataFrame) -> Any:
    texts = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((StandardScaler(), ["amount", "hour"]), (texts, ["kind"]))
    return make_pipeline(columns, LogisticRegression()).fit(rows[INPUTS], rows["late"])


def main(uri: str, table: Path, answers: Path) -> None:
    mlflow.set_tracking_uri(uri)
    rows = pd.read_csv(table)
    frame = rows[INPUTS].assign(kind=pd.Categorical(rows["kind"]))
    told: dict[str, Any] = {}

    with mlflow.start_run() as run:
        model = pipeline(rows)
        if mlflow.__version__.startswith("2."):
            mlflow.sklearn.log_model(model, "model", registered_model_name="pickled")
        else:
            mlflow.sklearn.log_model(model, name="model")
        told["pipeline"] = (run.info.run_id, model.predict_proba(rows[INPUTS])[:, 1].tolist())
    if not mlflow.__version__.startswith("2."):
        told |= boosters(rows, frame)
    answers.write_text(json.dumps(told))


def boosters(rows: pd.DataFrame, frame: pd.DataFrame) -> dict[str, Any]:
    import lightgbm
    import xgboost

    told: dict[str, Any] = {}
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1}, lightgbm.Dataset(frame, rows["late"]), 15
    )
    with mlflow.start_run():
        logged = mlflow.lightgbm.log_model(booster, name="model", registered_model_name="by-lightgbm")
        mlflow.MlflowClient().set_registered_model_alias("by-lightgbm", "best", 1)
    told["booster"] = ("models:/by-lightgbm@best", booster.predict(frame).tolist())

    wrapped = lightgbm.LGBMClassifier(n_estimators=15, verbose=-1).fit(frame, rows["late"])
    with mlflow.start_run():
        logged = mlflow.lightgbm.log_model(wrapped, name="model")
    told["wrapped"] = (logged.model_uri, wrapped.predict_proba(frame)[:, 1].tolist())

    stopped = xgboost.XGBClassifier(n_estimators=200, enable_categorical=True, early_stopping_rounds=3)
    stopped.fit(
        frame[:-500], rows["late"][:-500], eval_set=[(frame[-500:], rows["late"][-500:])], verbose=False
    )
    with mlflow.start_run() as run:
        mlflow.xgboost.log_model(stopped, name="trees")
    told["stopped"] = (f"runs:/{run.info.run_id}/trees", stopped.predict_proba(frame)[:, 1].tolist())
    return told


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
