"""Whether rows may share a call is found by trying, and an error proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mainspring.formats import lightgbm, sklearn
from mainspring.formats.fitted import Fitted
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.rowwise import Columns, rowwise
from mainspring.formats.served import feed

X = {"x": np.linspace(0.0, 1.0, 50)}


@given(st.integers(1, 60), st.lists(st.integers(1, 100), min_size=1, max_size=4), st.integers(0, 9))
def test_a_function_of_the_row_is_proved(rows: int, sizes: list[int], seed: int) -> None:
    found = rowwise(
        lambda columns: np.sin(columns["x"]), {"x": np.arange(float(rows))}, sizes=sizes, seed=seed
    )
    assert found.proved
    assert found.max_abs_diff == 0
    assert found.rows == rows
    assert found.sizes == tuple(sorted({min(size, rows) for size in sizes} | {rows}))


def of_the_mean(columns: Columns) -> np.ndarray:
    return columns["x"] - columns["x"].mean()


def of_the_position(columns: Columns) -> np.ndarray:
    return columns["x"] + np.arange(len(columns["x"]))


def of_the_size(columns: Columns) -> np.ndarray:
    return columns["x"] + (len(columns["x"]) > 40)


class OfTheCalls:
    """Answers otherwise from call to call."""

    calls = 0

    def __call__(self, columns: Columns) -> np.ndarray:
        self.calls += 1
        return columns["x"] + self.calls


@pytest.mark.parametrize("model", [of_the_mean, of_the_position, of_the_size, OfTheCalls()])
def test_what_depends_on_anything_but_the_row_is_found(model: Callable[[Columns], np.ndarray]) -> None:
    found = rowwise(model, X)
    assert not found.proved
    assert "otherwise than alone" in found.why


def raises_when_many(columns: Columns) -> np.ndarray:
    if len(columns["x"]) > 5:
        raise MemoryError("too many")
    return columns["x"]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (raises_when_many, "it failed: MemoryError: too many"),
        (lambda columns: columns["x"] * np.nan, "no number"),
        (lambda columns: columns["x"][:1], "2 rows were answered with the shape (1,)"),
        (lambda columns: 0.5, "1 rows were answered with the shape ()"),
    ],
)
def test_errors_and_what_is_no_answer_prove_nothing(model: Callable[[Columns], np.ndarray], why: str) -> None:
    found = rowwise(model, X)
    assert not found.proved
    assert why in found.why


def test_trees_in_onnx_answer_the_same_to_the_bit(flights: pl.DataFrame, fit: Callable[..., Fitted]) -> None:
    fitted = fit(flights, ("carrier", "hour", "distance", "wind_speed"), rounds=100)
    model = OnnxModel.load(lightgbm.to_onnx(fitted))
    found = rowwise(model.predict, feed(model, flights[:200]))
    assert found.proved
    assert found.max_abs_diff == 0
    assert "to the bit" in found.why


def test_a_linear_model_in_onnx_is_proved_within_what_float32_adds_up(flights: pl.DataFrame) -> None:
    inputs = ("hour", "distance", "minute")
    model = LogisticRegression().fit(flights.select(inputs).to_numpy(), flights["label"].to_numpy())
    onnx = OnnxModel.load(sklearn.to_onnx(Fitted(model=model, inputs=inputs)))
    found = rowwise(onnx.predict, feed(onnx, flights[:200]))
    assert found.proved
    assert found.max_abs_diff < 1e-6
