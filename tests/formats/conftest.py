"""Boosters to test with: fits of real flights, and of rows that hypothesis draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest

from mainspring.formats.fitted import Fitted
from mainspring.formats.matrix import encode
from mainspring.formats.native import format_named, format_of
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.parity import TOLERANCE, ParityReport, compare
from mainspring.formats.served import feed

Fit = Callable[..., Fitted]
Parity = Callable[..., ParityReport]


@pytest.fixture(scope="session")
def flights() -> pl.DataFrame:
    """Real rows, in the order of time; see flights.md."""
    return pl.read_parquet(Path(__file__).with_name("flights.parquet"))


@pytest.fixture(scope="session")
def inputs(flights: pl.DataFrame) -> tuple[str, ...]:
    """What a model of the flights may use."""
    return tuple(name for name in flights.columns if name not in ("predict_at", "label"))


@pytest.fixture(scope="session")
def fit() -> Fit:
    """Train a booster on rows and their column `label`."""
    return _fit


def _fit(
    rows: pl.DataFrame, inputs: tuple[str, ...], *, rounds: int = 20, seed: int = 0, **params: Any
) -> Fitted:
    encodings = {
        name: tuple(rows[name].drop_nulls().unique().sort())
        for name in inputs
        if rows.schema[name] == pl.String
    }
    asked = Fitted(model=None, inputs=inputs, encodings=encodings)
    settings = {
        "objective": "binary",
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "feature_fraction": 0.7,
        "verbosity": -1,
        **params,
    }
    data = lightgbm.Dataset(
        encode(asked, rows),
        rows["label"].to_numpy().astype(np.float64),
        categorical_feature=settings.pop("categorical_feature", "auto"),
        params={"verbosity": -1},
    )
    return Fitted(
        model=lightgbm.train(settings, data, num_boost_round=rounds),
        inputs=inputs,
        encodings=encodings,
        params={"rounds": rounds},
        metrics={"trees": rounds},
    )


@pytest.fixture(scope="session")
def parity() -> Parity:
    """Ask a model and its ONNX form for the same rows, and compare."""
    return _parity


def _parity(fitted: Fitted, onnx: bytes, rows: pl.DataFrame, tolerance: float = TOLERANCE) -> ParityReport:
    trained = format_named(format_of(fitted.model)).predict(fitted, rows)
    model = OnnxModel.load(onnx)
    return compare(trained, model.predict(feed(model, rows)), tolerance=tolerance)
