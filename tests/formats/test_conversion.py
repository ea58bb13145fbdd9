"""Conversions to ONNX of other learners than LightGBM: alike, or refused with the reason."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from mainspring.formats import sklearn as of_sklearn
from mainspring.formats import xgboost as of_xgboost
from mainspring.formats.fitted import Fitted, NotConvertible
from mainspring.formats.matrix import encode
from mainspring.formats.native import format_named
from mainspring.formats.onnx import OnnxModel
from mainspring.formats.parity import ParityReport, compare
from mainspring.formats.quantise import NotQuantisable, quantised
from mainspring.formats.served import feed

Parity = Callable[..., ParityReport]

numbers = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1e-40, 1.0, -1.0, 16777216.0, 3e38, -3e38, math.nan]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-3, 3).map(float),
)
texts = st.sampled_from(["UA", "AA", "9E", "never seen", None])
rows = st.lists(st.tuples(texts, numbers, numbers), min_size=12, max_size=60)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"carrier": pl.String, "x": pl.Float64, "y": pl.Float64}, orient="row")


def boosted(rows: pl.DataFrame, inputs: tuple[str, ...], rounds: int = 8, **params: Any) -> Fitted:
    encodings = {
        name: tuple(rows[name].drop_nulls().unique().sort())
        for name in inputs
        if rows.schema[name] == pl.String
    }
    asked = Fitted(model=None, inputs=inputs, encodings=encodings)
    data = xgboost.DMatrix(encode(asked, rows), rows["label"].to_numpy())
    settings = {"objective": "binary:logistic", "nthread": 1, **params}
    return Fitted(model=xgboost.train(settings, data, rounds), inputs=inputs, encodings=encodings)


@given(
    rows,
    rows,
    st.sampled_from([{}, {"booster": "dart", "rate_drop": 0.5}, {"base_score": 0.1}]),
    st.integers(0, 3),
)
@settings(max_examples=60)
def test_onnx_answers_as_xgboost_does(
    parity: Parity, seen: list[tuple[Any, ...]], asked: list[tuple[Any, ...]], params: dict[str, Any], seed: int
) -> None:  # fmt: skip
    labels = np.random.default_rng(seed).integers(0, 2, len(seen))
    labels[:2] = 0, 1
    fitted = boosted(
        frame(seen).with_columns(label=labels), ("carrier", "x", "y"), seed=seed, min_child_weight=0, **params
    )
    report = parity(
        fitted, of_xgboost.to_onnx(fitted), pl.concat([frame(asked), frame(seen)]), tolerance=1e-6
    )
    assert report.passed, report


def test_onnx_answers_as_xgboost_does_on_real_flights(
    parity: Parity, flights: pl.DataFrame, inputs: tuple[str, ...]
) -> None:
    fitted = boosted(flights[:3000], inputs, 100)
    assert parity(fitted, of_xgboost.to_onnx(fitted), flights).max_abs_diff < 1e-6


def test_a_classifier_that_stopped_early_answers_with_its_best_round(
    parity: Parity, flights: pl.DataFrame
) -> None:
    inputs = ("hour", "distance")
    asked = Fitted(model=None, inputs=inputs)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.9, n_jobs=1)
    held_out = [(encode(asked, flights[3000:]), flights["label"][3000:].to_numpy())]
    model.fit(
        encode(asked, flights[:3000]), flights["label"][:3000].to_numpy(), eval_set=held_out, verbose=False
    )
    fitted = Fitted(model=model, inputs=inputs)
    own = model.predict_proba(encode(asked, flights))[:, 1]
    assert model.get_booster().num_boosted_rounds() > model.best_iteration + 1
    assert compare(own, of_xgboost.predict(fitted, flights)).max_abs_diff == 0
    assert parity(fitted, of_xgboost.to_onnx(fitted), flights).passed


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"objective": "rank:pairwise"}, "Only binary:logistic, reg:squarederror"),
        ({"booster": "gblinear"}, "Only trees"),
    ],
)
def test_a_booster_that_cannot_be_converted_is_refused_with_the_reason(
    params: dict[str, Any], reason: str
) -> None:
    rows = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 40, "y": range(160), "label": [0, 1, 1, 0] * 40})
    with pytest.raises(NotConvertible, match=reason):
        of_xgboost.to_onnx(boosted(rows, ("x", "y"), **params))


@pytest.mark.parametrize(
    "objective",
    [
        "reg:squarederror",
        "reg:absoluteerror",
        "count:poisson",
        "reg:gamma",
        "reg:tweedie",
    ],
)
def test_onnx_answers_numbers_as_xgboost_does(parity: Parity, flights: pl.DataFrame, objective: str) -> None:
    minutes = flights.with_columns(label=pl.col("scheduled_minutes"))
    fitted = boosted(minutes, ("carrier", "dest", "hour", "temp"), rounds=20, objective=objective)
    assert parity(fitted, of_xgboost.to_onnx(fitted), flights).passed
    assert of_xgboost.predict(fitted, flights).std() > 1


def test_names_that_do_not_fit_the_booster_are_refused() -> None:
    rows = pl.DataFrame({"x": range(60), "label": [0, 1] * 30})
    with pytest.raises(NotConvertible) as caught:
        of_xgboost.to_onnx(Fitted(model=boosted(rows, ("x",)).model, inputs=("x", "probability")))
    assert len(caught.value.faults) == 2


# --- scikit-learn --------------------------------------------------------------------------------------------------

NUMBERS = ("hour", "distance", "wind_speed")
INPUTS = ("carrier", *NUMBERS)


def picked(model: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list(NUMBERS)),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ]
    )
    return make_pipeline(columns, model)


@pytest.mark.parametrize("model", [LogisticRegression(), GradientBoostingClassifier(n_estimators=10)])
def test_onnx_answers_as_a_pipeline_does_that_picks_columns_by_name(
    parity: Parity, model: Any, flights: pl.DataFrame
) -> None:
    fitted = Fitted(model=picked(model).fit(flights.select(INPUTS), flights["label"]), inputs=INPUTS)
    onnx = of_sklearn.to_onnx(fitted, ("carrier",))
    assert OnnxModel.load(onnx).texts == ("carrier",)
    assert parity(fitted, onnx, flights).passed
    assert onnx == of_sklearn.to_onnx(fitted, ("carrier",))


@pytest.mark.parametrize(
    "model", [Ridge(), GradientBoostingRegressor(n_estimators=10), LinearSVR(max_iter=50)]
)
def test_onnx_answers_numbers_as_a_pipeline_does(parity: Parity, model: Any, flights: pl.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted_model = picked(model).fit(flights.select(INPUTS), flights["scheduled_minutes"])
    fitted = Fitted(model=fitted_model, inputs=INPUTS)
    assert parity(fitted, of_sklearn.to_onnx(fitted, ("carrier",)), flights).passed
    again = Fitted(model=of_sklearn.load(of_sklearn.dump(fitted_model, {})), inputs=INPUTS)
    assert compare(of_sklearn.predict(fitted, flights), of_sklearn.predict(again, flights)).max_abs_diff == 0


def test_onnx_answers_as_a_model_of_the_matrix_does(parity: Parity, flights: pl.DataFrame) -> None:
    codes = {"carrier": tuple(flights["carrier"].unique().sort())}
    asked = Fitted(model=None, inputs=INPUTS, encodings=codes)
    model = make_pipeline(SimpleImputer(), GradientBoostingClassifier(n_estimators=10))
    model.fit(encode(asked, flights, "float64"), flights["label"].to_numpy())
    fitted = Fitted(model=model, inputs=INPUTS, encodings=codes)
    rows = flights.with_columns(carrier=pl.when(pl.col("hour") > 9).then("carrier"))
    assert parity(fitted, of_sklearn.to_onnx(fitted, ("carrier",)), rows).passed


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LinearSVC(), "it gives neither probabilities nor numbers"),
        (make_pipeline(RBFSampler(random_state=0), LogisticRegression()), "skl2onnx"),
    ],
)
def test_a_model_that_cannot_be_converted_is_refused_with_the_reason(
    model: Any, reason: str, flights: pl.DataFrame
) -> None:
    model.fit(flights.select(NUMBERS[:2]).to_numpy(), flights["label"].to_numpy())
    with pytest.raises(NotConvertible, match=reason):
        of_sklearn.to_onnx(Fitted(model=model, inputs=NUMBERS[:2]))


def test_three_classes_are_refused(flights: pl.DataFrame) -> None:
    model = LogisticRegression().fit(flights.select("hour").to_numpy(), np.arange(flights.height) % 3)
    with pytest.raises(NotConvertible, match="3 classes"):
        of_sklearn.to_onnx(Fitted(model=model, inputs=("hour",)))


# --- weights of 8 bits ---------------------------------------------------------------------------------------------


def test_weights_are_rounded_and_answers_stay_near(flights: pl.DataFrame) -> None:
    net = picked(MLPClassifier((64, 64), max_iter=30, early_stopping=True, random_state=0))
    fitted = Fitted(model=net.fit(flights.select(INPUTS), flights["label"]), inputs=INPUTS)
    exact = of_sklearn.to_onnx(fitted, ("carrier",))
    small = quantised(exact)
    assert len(small) < len(exact) / 2
    model = OnnxModel.load(small)
    report = compare(
        format_named("sklearn").predict(fitted, flights), model.predict(feed(model, flights)), tolerance=0.05
    )
    assert report.passed
    assert report.max_abs_diff > 0


def test_trees_have_no_weights_to_round(flights: pl.DataFrame) -> None:
    with pytest.raises(NotQuantisable):
        quantised(of_xgboost.to_onnx(boosted(flights, ("hour",))))
