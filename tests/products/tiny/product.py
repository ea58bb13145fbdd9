"""A product that trains in about a second: will an order be paid late? `orders.py` makes its data."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import pandera.polars as pa
import polars as pl

import mainspring as ms

Moment = Annotated[pl.Datetime, "us", "UTC"]


class Orders(pa.DataFrameModel):
    order_id: str
    asked_at: Moment
    amount: float = pa.Field(ge=0, le=1_000)
    hour: int = pa.Field(ge=0, le=23)
    kind: str = pa.Field(isin=["a", "b", "c"], nullable=True)
    late: bool = pa.Field(nullable=True, metadata=ms.known_at("settled_at"))
    settled_at: Moment = pa.Field(metadata=ms.known_at("settled_at"))


orders = ms.Dataset(
    "orders",
    key="order_id",
    event_time="asked_at",
    known_at="settled_at",
    schema=Orders,
)


@ms.step
def recent(examples: pl.DataFrame, *, days: int = 60) -> pl.DataFrame:
    """Keep the newest days."""
    newest = examples["asked_at"].max()
    return examples.filter(pl.col("asked_at") > newest - timedelta(days=days)).drop("asked_at")


@ms.step
def train(
    examples: pl.DataFrame, *, rounds: int = 20, learning_rate: float = 0.2, seed: int = 0
) -> ms.Fitted:
    """Fit a few small trees."""
    # Its wrappers for scikit-learn, which take most of its import, are not wanted.
    sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]
    import lightgbm

    inputs, kinds = ("amount", "hour", "kind"), ("a", "b", "c")
    coded = examples.select(
        "amount", "hour", pl.col("kind").cast(pl.Enum(kinds)).to_physical().cast(pl.Float64)
    )
    booster = lightgbm.train(
        {
            "objective": "binary",
            "learning_rate": learning_rate,
            "num_leaves": 7,
            "min_data_in_leaf": 20,
            "num_threads": 1,
            "deterministic": True,
            "seed": seed,
            "verbosity": -1,
        },
        lightgbm.Dataset(coded.to_numpy(), examples["label"].to_numpy(), feature_name=list(inputs)),
        num_boost_round=rounds,
    )
    return ms.Fitted(model=booster, inputs=inputs, encodings={"kind": kinds}, metrics={"trees": rounds})


product = ms.Product(
    "tiny",
    task=ms.BinaryClassification(label="late"),
    data=orders,
    inputs=["amount", "hour", "kind"],
    pipeline=ms.Pipeline([recent, train]),
    gates=[
        ms.AtLeast("roc_auc", 0.6),
        ms.NotWorseThan("champion", "log_loss", margin=0.02),
        ms.Servable(p99_ms=100),
    ],
    rollout=ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20),
    monitors=[
        ms.InputDrift(),
        ms.PredictionDrift(),
        ms.Quality("log_loss", tolerance=0.02),
        ms.Staleness("45d"),
    ],
    retrain=[
        ms.OnDemand(),
        ms.OnSchedule("0 3 1 * *"),
        ms.OnNewData(rows=2_000),
        ms.OnDegradation(),
        ms.OnDrift(),
    ],
    holdout="5d",
    cool_down="3d",
)
