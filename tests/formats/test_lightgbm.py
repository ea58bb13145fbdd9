"""The conversion to ONNX: it answers as LightGBM does, on real rows and on the worst that hypothesis finds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.formats.fitted import Fitted, NotConvertible
from mainspring.formats.lightgbm import dump, predict, to_onnx
from mainspring.formats.matrix import encode
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.parity import ParityReport
from mainspring.formats.served import feed

Fit = Callable[..., Fitted]
Parity = Callable[..., ParityReport]

# Where a comparison may go wrong: at zero and around it, where float32 ends, and where nothing is.
EDGES = [
    0.0,
    -0.0,
    1e-35,
    -1e-35,
    2e-35,
    1e-40,
    -1e-40,
    1.0,
    -1.0,
    16777216.0,
    3e38,
    -3e38,
    math.inf,
    -math.inf,
]
numbers = st.one_of(
    st.none(),
    st.sampled_from([*EDGES, math.nan]),
    st.floats(width=32, allow_nan=False),
    st.integers(-3, 3).map(float),
)
texts = st.sampled_from(["UA", "AA", "9E", "never seen", "", None])


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"carrier": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row")


@given(
    st.lists(st.tuples(texts.filter(lambda text: text != ""), numbers, numbers), min_size=12, max_size=60),
    st.lists(st.tuples(texts, numbers, numbers), min_size=1, max_size=30),
    st.sampled_from(
        [{}, {"zero_as_missing": True}, {"use_missing": False}, {"boosting": "dart"}, {"sigmoid": 0.7}]
    ),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_onnx_answers_as_the_booster_does(
    fit: Fit,
    parity: Parity,
    seen: list[tuple[Any, ...]],
    asked: list[tuple[Any, ...]],
    params: dict[str, Any],
    seed: int,
) -> None:
    rows = frame(seen).with_columns(label=np.random.default_rng(seed).integers(0, 2, len(seen)))
    fitted = fit(
        rows,
        ("carrier", "x", "y"),
        rounds=8,
        seed=seed,
        min_data_in_leaf=1,
        min_sum_hessian_in_leaf=0.0,
        min_data_in_bin=1,
        num_leaves=8,
        **params,
    )
    report = parity(fitted, to_onnx(fitted), pl.concat([frame(asked), frame(seen)]), tolerance=1e-6)
    assert report.passed, report


def test_onnx_answers_as_the_booster_does_on_real_flights(
    fit: Fit, parity: Parity, flights: pl.DataFrame, inputs: tuple[str, ...]
) -> None:
    rows = flights
    fitted = fit(rows[:3000], inputs, rounds=100)
    report = parity(fitted, to_onnx(fitted), rows)
    assert report.passed
    assert report.max_abs_diff < 1e-6


def test_a_threshold_that_float32_cannot_hold_still_parts_its_neighbours(fit: Fit, parity: Parity) -> None:
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    rows = pl.DataFrame({"x": [float(low), float(high)] * 50, "label": [0, 1] * 50})
    fitted = fit(rows, ("x",), rounds=5, min_data_in_leaf=1)
    model = OnnxModel.load(to_onnx(fitted))
    served = model.predict(feed(model, rows[:2]))
    assert served[0] < 0.5 < served[1]
    assert parity(fitted, to_onnx(fitted), rows, tolerance=1e-6).passed


def test_a_feature_may_take_zero_for_missing_in_some_trees_and_not_in_others(
    fit: Fit, parity: Parity
) -> None:
    rows = pl.DataFrame({"x": [-1.0, 0.0, 1.0, None] * 30, "label": [0, 1, 0, 1] * 30})
    first = fit(rows, ("x",), rounds=5, zero_as_missing=True)
    data = lightgbm.Dataset(encode(first, rows), rows["label"].to_numpy(), params={"verbosity": -1})
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    both = Fitted(model=lightgbm.train(settings, data, 5, init_model=first.model), inputs=("x",))
    assert {tree["tree_structure"]["missing_type"] for tree in both.model.dump_model()["tree_info"]} == {
        "Zero",
        "NaN",
    }
    assert parity(both, to_onnx(both), rows, tolerance=1e-6).passed


def test_two_trainings_with_one_seed_give_the_same_bytes(
    fit: Fit, flights: pl.DataFrame, inputs: tuple[str, ...]
) -> None:
    rows = flights
    first, second = (fit(rows, inputs, seed=7) for _ in range(2))
    assert dump(first.model, {}) == dump(second.model, {})
    assert to_onnx(first) == to_onnx(second)
    assert to_onnx(first) != to_onnx(fit(rows, inputs, seed=8))


def test_a_category_is_its_position_and_anything_else_is_missing() -> None:
    fitted = Fitted(model=None, inputs=("carrier", "x"), encodings={"carrier": ("UA", "AA")})
    rows = pl.DataFrame({"x": [1, None, 3], "carrier": ["AA", None, "9E"]})
    expected = [[1, 1], [math.nan, math.nan], [math.nan, 3]]
    assert np.array_equal(encode(fitted, rows), expected, equal_nan=True)


def test_an_input_of_text_without_categories_is_always_missing(fit: Fit, parity: Parity) -> None:
    rows = pl.DataFrame({"x": range(40), "label": [0, 1] * 20}).with_columns(carrier=pl.lit(None, pl.String))
    fitted = fit(rows, ("carrier", "x"))
    asked = pl.DataFrame({"carrier": ["UA", None], "x": [1, 30]})
    assert parity(fitted, to_onnx(fitted), asked, tolerance=1e-6).passed


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"objective": "xentropy"}, "Only binary, regression"),
        ({"objective": "regression", "reg_sqrt": True}, "no root of labels"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averages its trees"),
        ({"linear_tree": True, "deterministic": False}, "linear"),
        ({"categorical_feature": [0], "min_data_per_group": 1, "cat_smooth": 0}, "split by category"),
    ],
)
def test_a_booster_that_cannot_be_converted_is_refused_with_the_reason(
    fit: Fit, params: dict[str, Any], reason: str
) -> None:
    rows = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 40, "y": range(160), "label": [0, 1, 1, 0] * 40})
    fitted = fit(rows, ("x", "y"), **params)
    with pytest.raises(NotConvertible, match=reason):
        to_onnx(fitted)


@pytest.mark.parametrize(
    "objective",
    ["regression", "regression_l1", "huber", "quantile", "mape", "poisson", "gamma", "tweedie"],
)
def test_onnx_answers_numbers_as_the_booster_does(
    fit: Fit, parity: Parity, flights: pl.DataFrame, objective: str
) -> None:
    minutes = flights.with_columns(label=pl.col("scheduled_minutes"))
    inputs = ("carrier", "dest", "hour", "temp")
    fitted = fit(minutes, inputs, objective=objective)
    report = parity(fitted, to_onnx(fitted), flights)
    assert report.passed
    assert predict(fitted, flights).std() > 1


def test_names_that_do_not_fit_the_booster_are_refused(fit: Fit) -> None:
    rows = pl.DataFrame({"x": range(60), "label": [0, 1] * 30})
    booster = fit(rows, ("x",)).model
    with pytest.raises(NotConvertible) as caught:
        to_onnx(Fitted(model=booster, inputs=("x", "probability")))
    assert len(caught.value.faults) == 2
