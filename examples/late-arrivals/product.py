"""Will a flight arrive more than 15 minutes late? Asked two hours before the hour in which it is to leave."""

from __future__ import annotations

from typing import Annotated

import pandera.polars as pa
import polars as pl

import mainspring as ms

Moment = Annotated[pl.Datetime, "us", "UTC"]

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
CATEGORIES = ("carrier", "origin", "dest")
NUMBERS = (
    *("distance", "hour", "minute", "weekday", "scheduled_minutes"),
    *WEATHER,
    *("origin_delay_3h", "dest_delay_6h", "carrier_delay_1d"),
)


class Flights(pa.DataFrameModel):
    flight_id: str
    predict_at: Moment
    scheduled_departure: Moment
    carrier: str = pa.Field(str_matches="^[A-Z0-9]{2}$")
    origin: str = pa.Field(isin=["EWR", "JFK", "LGA"])
    dest: str = pa.Field(str_matches="^[A-Z]{3}$")
    tailnum: str = pa.Field(nullable=True)
    distance: int = pa.Field(ge=10, le=6_000)  # miles
    hour: int = pa.Field(ge=0, le=23)
    minute: int = pa.Field(ge=0, le=59)
    weekday: int = pa.Field(ge=1, le=7)
    scheduled_minutes: int = pa.Field(ge=15, le=780)
    # In minutes. Seconds would put a good part of the flights beyond these bounds.
    dep_delay: int = pa.Field(ge=-60, le=1_440, nullable=True, metadata=ms.known_at("departed_at"))
    departed_at: Moment = pa.Field(nullable=True, metadata=ms.known_at("departed_at"))
    arr_delay: int = pa.Field(ge=-120, le=1_440, nullable=True, metadata=ms.known_at("landed_at"))
    landed_at: Moment = pa.Field(nullable=True, metadata=ms.known_at("landed_at"))
    late: bool = pa.Field(nullable=True, metadata=ms.known_at("landed_at"))
    closed_at: Moment = pa.Field(metadata=ms.known_at("closed_at"))


class Weather(pa.DataFrameModel):
    observation_id: str
    origin: str = pa.Field(isin=["EWR", "JFK", "LGA"])
    observed_at: Moment
    temp: float = pa.Field(ge=-40, le=130, nullable=True)  # degrees Fahrenheit
    dewp: float = pa.Field(ge=-60, le=100, nullable=True)  # degrees Fahrenheit
    humid: float = pa.Field(ge=0, le=100, nullable=True)  # percent
    wind_dir: float = pa.Field(ge=0, le=360, nullable=True)  # degrees
    wind_speed: float = pa.Field(ge=0, le=200, nullable=True)  # miles per hour
    wind_gust: float = pa.Field(ge=0, le=250, nullable=True)  # miles per hour
    precip: float = pa.Field(ge=0, le=12, nullable=True)  # inches
    pressure: float = pa.Field(ge=850, le=1_100, nullable=True)  # millibar
    visib: float = pa.Field(ge=0, le=20, nullable=True)  # miles


flights = ms.Dataset(
    "flights", key="flight_id", event_time="predict_at", known_at="closed_at", schema=Flights
)
weather = ms.Dataset("weather", key="observation_id", event_time="observed_at", schema=Weather)

weather_then = ms.FeatureView(
    "weather", source=weather, entity="origin", event_time="observed_at", ttl="3h", features=WEATHER
)
origin_delays = ms.FeatureView(
    "origin-delays",
    source=flights,
    entity="origin",
    event_time="departed_at",
    ttl="3h",
    features=[ms.Mean("dep_delay", over="3h", name="origin_delay_3h")],
)
dest_delays = ms.FeatureView(
    "dest-delays",
    source=flights,
    entity="dest",
    event_time="landed_at",
    ttl="6h",
    features=[ms.Mean("arr_delay", over="6h", name="dest_delay_6h")],
)
carrier_delays = ms.FeatureView(
    "carrier-delays",
    source=flights,
    entity="carrier",
    event_time="departed_at",
    ttl="1d",
    features=[ms.Mean("dep_delay", over="1d", name="carrier_delay_1d")],
)


@ms.step
def prepare(
    examples: pl.DataFrame, *, window: str | None = None, blanked: float = 0.01, seed: int = 0
) -> pl.DataFrame:
    """Choose the rows to learn from, and take the weather from a few of them.

    Parameters
    ----------
    examples : polars.DataFrame
        Inputs and labels, as of the moment of each prediction.
    window : str, optional
        How far back to learn, such as `30d`; all of the past without it.
    blanked : float
        The share of rows that lose their weather. In most months it is never missing, and a model that has not
        met a null may not be asked about one; but one day the weather station falls silent.
    """
    import numpy as np

    if window is not None:
        examples = examples.filter(
            pl.col("predict_at") > pl.col("predict_at").max().dt.offset_by(f"-{window}")
        )
    blank = pl.Series(np.random.default_rng(seed).random(examples.height) < blanked)
    return examples.with_columns(pl.when(~blank).then(pl.col(WEATHER)))


@ms.step
def train(
    examples: pl.DataFrame,
    *,
    fleet: bool = False,
    leaves: int = 31,
    learning_rate: float = 0.06,
    rounds: int = 120,
    seed: int = 0,
) -> ms.Fitted:
    """Boost trees on the examples.

    Parameters
    ----------
    examples : polars.DataFrame
        What `prepare` gives; with weights, where the product's `train_on` gives some.
    fleet : bool
        Learn the habits of single aircraft, too. Their numbers are known of every flight that was flown; of some
        that are cancelled nobody ever says which aircraft it would have been.
    leaves, learning_rate, rounds
        The size of each tree, the weight it is given, and how many there are.
    """
    import lightgbm

    from mainspring.formats.lightgbm import encode

    encodings = {name: from_punctual_to_late(examples, name) for name in CATEGORIES}
    if fleet:
        encodings["tailnum"] = from_punctual_to_late(examples, "tailnum", at_least=100)
    inputs = (*encodings, *NUMBERS)
    matrix = encode(ms.Fitted(model=None, inputs=inputs, encodings=encodings), examples)
    booster = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": leaves,
            "learning_rate": learning_rate,
            "min_data_in_leaf": 100,
            "feature_fraction": 0.7,
            "lambda_l2": 5.0,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            # A second thread would save a second, and wait for many wherever the other core is busy.
            "num_threads": 1,
            "verbosity": -1,
        },
        lightgbm.Dataset(
            matrix,
            examples["label"].to_numpy(),
            weight=examples["weight"].to_numpy() if "weight" in examples.columns else None,
            feature_name=list(inputs),
        ),
        num_boost_round=rounds,
    )
    return ms.Fitted(model=booster, inputs=inputs, encodings=encodings)


def from_punctual_to_late(examples: pl.DataFrame, column: str, *, at_least: int = 1) -> tuple[str, ...]:
    """The categories that were seen often enough, in the order of how often they were late.

    Rates of few flights are drawn towards the mean, as if each category had 20 more flights like all others.
    """
    mean = examples["label"].mean()
    rate = (pl.col("label").sum() + 20 * mean) / (pl.len() + 20)
    rates = examples.drop_nulls(column).group_by(column).agg(flights=pl.len(), rate=rate)
    return tuple(rates.filter(pl.col("flights") >= at_least).sort("rate", column)[column])


product = ms.Product(
    "late-arrivals",
    task=ms.BinaryClassification(label="late", positive=True),
    data=flights,
    features=[weather_then, origin_delays, dest_delays, carrier_delays],
    inputs=[*CATEGORIES, "tailnum", *NUMBERS],
    pipeline=ms.Pipeline([prepare, train]),
    gates=[
        # Ten quiet days are hard to rank, even for a good model: in early October it reaches 0.65, in July 0.79.
        ms.AtLeast("roc_auc", 0.60),
        ms.AtLeast("roc_auc", 0.50, slices=("carrier",), pool_below=800),
        ms.NotWorseThan("champion", "log_loss", margin=0.005),
        ms.Servable(p99_ms=10),
    ],
    rollout=ms.Canary(
        steps=(0.1, 0.5, 1.0),
        bake="3d",
        split_by="tailnum",
        guards=(ms.NoMoreErrors(), ms.NotSlower(), ms.NotWorse("log_loss", margin=0.02)),
    ),
    monitors=[
        ms.InputDrift(tolerance=0.05, ignore=("hour", "minute", "weekday")),
        ms.PredictionDrift(tolerance=0.05),
        ms.Quality("log_loss", tolerance=0.02),
        ms.Staleness("60d"),
    ],
    retrain=[
        ms.OnDemand(),
        ms.OnDrift(),
        ms.OnDegradation(),
        ms.OnSchedule("0 3 1 */3 *"),
        ms.OnNewData(rows=20_000),
    ],
    alarm_budget=ms.FalseAlarms(per="30d", at_most=1),
    holdout="7d",
    cool_down="21d",
)
