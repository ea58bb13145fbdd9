"""The example, loaded as a worker loads it, and its data."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from mainspring.data import validate
from mainspring.features import BoundView, as_of
from mainspring.operate.declaration import describe, load
from mainspring.product import Product, ProductSpec

FOLDER = Path(__file__).parents[2] / "examples" / "late-arrivals"


@pytest.fixture(scope="session")
def product() -> Product:
    (product,) = load(FOLDER / "product.py")
    return product


@pytest.fixture(scope="session")
def spec(product: Product) -> ProductSpec:
    return describe(product, FOLDER / "product.py", FOLDER)


@pytest.fixture(scope="session")
def source() -> ModuleType:
    """The module `flights` of the example."""
    found = importlib.util.spec_from_file_location("late_arrivals_flights", FOLDER / "flights.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def year(source: ModuleType) -> pl.DataFrame:
    flights: pl.DataFrame = source.flights()
    return flights


@pytest.fixture(scope="session")
def weather(source: ModuleType) -> pl.DataFrame:
    weather: pl.DataFrame = source.weather()
    return weather


@pytest.fixture(scope="session")
def examples(product: Product, spec: ProductSpec, year: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """What the first step is given on the first of March."""
    sources = {"flights": year, "weather": validate(weather, product.datasets[1])[0]}
    until = pl.datetime(2013, 3, 1, time_zone="UTC")
    rows = year.filter(pl.col("landed_at") <= until).with_columns(label=pl.col("late").cast(pl.Int8))
    joined = as_of(
        rows, at="predict_at", views=[BoundView(view, sources[view.source]) for view in spec.features]
    )
    return joined.select("predict_at", "label", *product.inputs)
