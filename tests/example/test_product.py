"""The example product: its schemas set aside and refuse what they should, and its steps train what can be served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs
from polars.testing import assert_frame_equal

from mainspring.data import validate
from mainspring.errors import Faults
from mainspring.features import BoundView, as_of
from mainspring.formats import lightgbm, served
from mainspring.formats.fitted import Fitted
from mainspring.formats.parity import compare
from mainspring.formats.signature import Signature
from mainspring.operate.declaration import describe
from mainspring.operate.joining import join_features
from mainspring.product import Product, ProductSpec
from mainspring.stores.tables import DeltaTables

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")


def alike(fitted: Fitted, rows: pl.DataFrame) -> bool:
    """Whether the ONNX form answers as the booster."""
    model = served.load(lightgbm.to_onnx(fitted))
    return compare(lightgbm.predict(fitted, rows), model.predict(served.feed(model, rows))).passed


@pytest.fixture(scope="module")
def prepare(product: Product) -> Callable[..., pl.DataFrame]:
    return product.pipeline.steps[0]


@pytest.fixture(scope="module")
def train(product: Product) -> Callable[..., Fitted]:
    return product.pipeline.steps[1]


def test_the_impossible_wind_is_set_aside_alone(product: Product, weather: pl.DataFrame) -> None:
    rows, report = validate(weather, product.datasets[1])
    assert (rows.height, report.quarantined, report.refusal) == (weather.height - 1, 1, "")
    (failure,) = report.failures
    assert failure.column == "wind_speed"
    assert failure.examples[0][1].startswith("1048")


def test_every_flight_of_the_year_passes(product: Product, year: pl.DataFrame) -> None:
    rows, report = validate(year, product.data)
    assert (rows.height, report.failures) == (year.height, ())


def test_a_week_in_seconds_is_refused(product: Product, year: pl.DataFrame) -> None:
    week = year.filter(pl.col("predict_at").dt.date().is_between(pl.date(2013, 6, 1), pl.date(2013, 6, 7)))
    rows, report = validate(week.with_columns(pl.col("dep_delay") * 60), product.data)
    assert rows.is_empty()
    assert "rows fail a check" in report.refusal
    assert {failure.column for failure in report.failures} == {"dep_delay"}


@pytest.mark.parametrize("column", ["dep_delay", "arr_delay", "landed_at", "late"])
def test_what_is_known_later_is_refused_as_an_input(product: Product, column: str) -> None:
    with pytest.raises(Faults, match=column):
        describe(replace(product, inputs=[*product.inputs, column]), Path("product.py"), Path())


def test_a_window_keeps_the_newest_days_alone(
    examples: pl.DataFrame, prepare: Callable[..., pl.DataFrame]
) -> None:
    kept = prepare(examples, window="30d")["predict_at"]
    assert kept.min() > kept.max() - timedelta(days=30)
    assert 0.4 < kept.len() / examples.height < 0.6


def test_a_few_rows_lose_their_weather_and_keep_all_else(
    examples: pl.DataFrame, prepare: Callable[..., pl.DataFrame]
) -> None:
    prepared = prepare(examples, seed=1)
    blank = prepared.select(pl.all_horizontal(pl.col(WEATHER).is_null())).to_series()
    assert 0.005 < blank.mean() < 0.015
    assert prepared.filter(~blank).equals(examples.filter(~blank))
    assert prepared.drop(WEATHER).equals(examples.drop(WEATHER))
    assert prepared.equals(prepare(examples, seed=1))


def test_a_model_answers_nulls_wherever_one_may_come(
    examples: pl.DataFrame, prepare: Callable[..., pl.DataFrame], train: Callable[..., Fitted]
) -> None:
    prepared = prepare(examples)
    fitted = train(prepared)
    signature = Signature.infer(prepared, fitted.inputs)
    strict = {column.name for column in signature.inputs if not column.nullable}
    assert strict == {
        "carrier",
        "origin",
        "dest",
        "distance",
        "hour",
        "minute",
        "weekday",
        "scheduled_minutes",
    }
    assert alike(fitted, prepared)


def test_a_model_that_knows_the_fleet_has_never_seen_a_flight_without_an_aircraft(
    examples: pl.DataFrame, prepare: Callable[..., pl.DataFrame], train: Callable[..., Fitted]
) -> None:
    prepared = prepare(examples)
    fitted = train(prepared, fleet=True)
    (tailnum,) = [each for each in Signature.infer(prepared, fitted.inputs).inputs if each.name == "tailnum"]
    assert not tailnum.nullable
    assert alike(fitted, prepared)


def test_the_same_seed_trains_the_same_model(
    examples: pl.DataFrame, prepare: Callable[..., pl.DataFrame], train: Callable[..., Fitted]
) -> None:
    first, second, other = (lightgbm.to_onnx(train(prepare(examples), seed=seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_training_joins_what_callers_send(
    spec: ProductSpec, year: pl.DataFrame, weather: pl.DataFrame, tmp_path: Path
) -> None:
    """The replay asks with what was known then, a flight's delay from its departure on and not from its closing."""
    begin = pl.datetime(2013, 2, 4, time_zone="UTC")
    rows = year.filter(pl.col("predict_at").is_between(begin, begin + pl.duration(days=2)))
    tables = DeltaTables(tmp_path)
    sources = {"flights": year.head(40_000), "weather": weather}
    for name, source in sources.items():
        tables.append(name, source, commit_id=None)
    learnt = join_features(
        rows,
        at="predict_at",
        views=spec.features,
        keys={each.name: each.key for each in spec.datasets},
        tables=tables,
        versions=dict.fromkeys(sources, 0),
        known=datetime(2013, 3, 1, tzinfo=UTC),
    )
    views = [structs.replace(view, known_at=None) for view in spec.features]
    sent = as_of(rows, at="predict_at", views=[BoundView(view, sources[view.source]) for view in views])
    assert_frame_equal(learnt, sent)
    assert sent["origin_delay_3h"].null_count() < 0.2 * sent.height
