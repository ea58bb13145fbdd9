"""A product that predicts a number: in how many minutes is a delivery there? `deliveries.py` makes its data."""

from __future__ import annotations

import sys
from typing import Annotated

import pandera.polars as pa
import polars as pl

import mainspring as ms

Moment = Annotated[pl.Datetime, "us", "UTC"]


class Deliveries(pa.DataFrameModel):
    delivery_id: str
    asked_at: Moment
    distance: float = pa.Field(ge=0)
    hour: int = pa.Field(ge=0, le=23)
    vehicle: str = pa.Field(isin=["bicycle", "car"])
    minutes: float = pa.Field(nullable=True, metadata=ms.known_at("arrived_at"))
    arrived_at: Moment = pa.Field(metadata=ms.known_at("arrived_at"))


deliveries = ms.Dataset(
    "deliveries",
    key="delivery_id",
    event_time="asked_at",
    known_at="arrived_at",
    schema=Deliveries,
)


@ms.step
def train(examples: pl.DataFrame, *, rounds: int = 40, seed: int = 0) -> ms.Fitted:
    """Fit a few small trees to the minutes."""
    # Its wrappers for scikit-learn, which take most of its import, are not wanted.
    sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]
    import lightgbm

    inputs, vehicles = ("distance", "hour", "vehicle"), ("bicycle", "car")
    coded = examples.select(
        "distance", "hour", pl.col("vehicle").cast(pl.Enum(vehicles)).to_physical().cast(pl.Float64)
    )
    booster = lightgbm.train(
        {
            "objective": "regression",
            "learning_rate": 0.2,
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
    return ms.Fitted(model=booster, inputs=inputs, encodings={"vehicle": vehicles})


product = ms.Product(
    "minutes",
    task=ms.Regression(label="minutes", low=0, high=120),
    data=deliveries,
    inputs=["distance", "hour", "vehicle"],
    pipeline=ms.Pipeline([train]),
    gates=[
        ms.AtLeast("r2", 0.5),
        ms.AtLeast("mae", 8.0, slices=("vehicle",)),
        ms.NotWorseThan("champion", "mae", margin=0.5),
        ms.Servable(p99_ms=100),
    ],
    rollout=ms.Canary(
        steps=(0.5, 1.0),
        bake="1d",
        minimum_units=20,
        guards=(ms.NoMoreErrors(), ms.NotWorse("mae", margin=1.0)),
    ),
    monitors=[
        ms.InputDrift(),
        ms.PredictionDrift(),
        ms.Quality("mae", tolerance=0.01),
        ms.Quality("mse", tolerance=0.001, slices=("vehicle",)),
        ms.Fairness("vehicle", metric="mae"),
    ],
    retrain=[ms.OnDemand(), ms.OnNewData(rows=3_000), ms.OnDegradation()],
    holdout="5d",
    cool_down="1d",
)
