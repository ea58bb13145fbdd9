"""Models of each library: written, read and asked again; and what must not be read."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mainspring.errors import Faults
from mainspring.formats.fitted import BadFit, Fitted
from mainspring.formats.matrix import encode
from mainspring.formats.native import (
    MAGIC,
    CodeNotAllowed,
    NativeModel,
    Tampered,
    WrongAnswer,
    format_named,
    format_of,
    sealed,
    to_bytes,
)
from mainspring.formats.served import feed, is_native
from mainspring.formats.signature import Signature

NUMBERS = ("hour", "distance", "wind_speed")
INPUTS = ("carrier", *NUMBERS)


def picked(model: Any) -> Any:
    """A pipeline that picks columns by name, as people write them."""
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", numeric, list(NUMBERS)), ("texts", OneHotEncoder(handle_unknown="ignore"), ["carrier"])]
    )
    return make_pipeline(columns, model)


def of_lightgbm(rows: pl.DataFrame) -> Fitted:
    model = lightgbm.LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1)
    asked = Fitted(model=None, inputs=INPUTS, encodings=codes(rows))
    model.fit(encode(asked, rows), rows["label"].to_numpy())
    return Fitted(model=model, inputs=INPUTS, encodings=asked.encodings)


def codes(rows: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    return {"carrier": tuple(rows["carrier"].drop_nulls().unique().sort())}


def of_xgboost(rows: pl.DataFrame) -> Fitted:
    asked = Fitted(model=None, inputs=INPUTS, encodings=codes(rows))
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=4, n_jobs=1)
    model.fit(encode(asked, rows), rows["label"].to_numpy())
    return Fitted(model=model, inputs=INPUTS, encodings=asked.encodings, params={"trees": 10})


def of_pipeline(rows: pl.DataFrame) -> Fitted:
    return Fitted(model=picked(LogisticRegression()).fit(rows.select(INPUTS), rows["label"]), inputs=INPUTS)


def of_matrix(rows: pl.DataFrame) -> Fitted:
    asked = Fitted(model=None, inputs=INPUTS, encodings=codes(rows))
    model = make_pipeline(
        SimpleImputer(), RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0)
    )
    model.fit(encode(asked, rows, "float64"), rows["label"].to_numpy())
    return Fitted(model=model, inputs=INPUTS, encodings=asked.encodings)


def of_histogram(rows: pl.DataFrame) -> Fitted:
    model = HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(
        rows.select(NUMBERS), rows["label"]
    )
    return Fitted(model=model, inputs=NUMBERS)


def of_a_booster_after_a_scaler(rows: pl.DataFrame) -> Fitted:
    model = picked(xgboost.XGBClassifier(n_estimators=10, n_jobs=1))
    return Fitted(model=model.fit(rows.select(INPUTS), rows["label"]), inputs=INPUTS)


MAKERS = [
    of_lightgbm,
    of_xgboost,
    of_pipeline,
    of_matrix,
    of_histogram,
    of_a_booster_after_a_scaler,
]


@pytest.fixture(scope="module")
def rows(flights: pl.DataFrame) -> pl.DataFrame:
    return flights[:1500]


@pytest.mark.parametrize("make", MAKERS)
def test_a_model_answers_the_same_after_the_trip_through_bytes(
    make: Callable[[pl.DataFrame], Fitted], rows: pl.DataFrame
) -> None:
    fitted = make(rows)
    trained = format_named(format_of(fitted.model)).predict(fitted, rows)
    data = to_bytes(fitted, Signature.infer(rows, fitted.inputs))
    model = NativeModel.load(data)
    assert is_native(data)
    assert (model.texts, model.numbers) == (
        (("carrier",), NUMBERS) if "carrier" in fitted.inputs else ((), NUMBERS)
    )
    assert np.array_equal(model.predict(feed(model, rows)), trained.astype(np.float32))
    assert 0 < trained.min() < trained.max() < 1


@pytest.mark.parametrize("make", MAKERS)
def test_two_trainings_give_the_same_bytes(
    make: Callable[[pl.DataFrame], Fitted], rows: pl.DataFrame
) -> None:
    first, second = (to_bytes(make(rows), Signature.infer(rows, INPUTS)) for _ in range(2))
    assert first == second


def test_what_a_step_wished_to_be_recorded_is_written_too(rows: pl.DataFrame) -> None:
    model = NativeModel.load(to_bytes(of_xgboost(rows), Signature.infer(rows, INPUTS)))
    assert model.fitted.params == {"trees": 10}
    assert model.fitted.encodings == codes(rows)


def test_a_missing_column_is_named(rows: pl.DataFrame) -> None:
    model = NativeModel.load(to_bytes(of_histogram(rows), Signature.infer(rows, NUMBERS)))
    with pytest.raises(KeyError, match="distance"):
        model.predict({"hour": np.zeros(1)})


class Own(ClassifierMixin, BaseEstimator):
    """An estimator that skops does not know."""

    def fit(self, rows: Any, labels: Any) -> Own:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, rows: Any) -> Any:
        return np.full((len(rows), 2), 0.5)


def test_types_that_are_not_known_are_refused_by_name_when_written(rows: pl.DataFrame) -> None:
    model = picked(Own()).fit(rows.select(INPUTS), rows["label"])
    with pytest.raises(Faults, match="not known") as caught:
        to_bytes(Fitted(model=model, inputs=INPUTS), Signature.infer(rows, INPUTS))
    assert [fault.where for fault in caught.value.faults] == [f"{__name__}.Own"]


def test_types_that_are_not_known_are_refused_by_name_when_read(rows: pl.DataFrame) -> None:
    data = to_bytes(of_pipeline(rows), Signature.infer(rows, INPUTS))
    written = msgspec.msgpack.decode(data[len(MAGIC) + 32 :])
    changed, source = io.BytesIO(), zipfile.ZipFile(io.BytesIO(written["model"]))
    with zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name).replace(b'"LogisticRegression"', b'"system"')
            target.writestr(name, content.replace(b'"sklearn.linear_model._logistic"', b'"os"'))
    forged = sealed(msgspec.msgpack.encode(written | {"model": changed.getvalue()}))
    with pytest.raises(Faults) as caught:
        NativeModel.load(forged)
    assert "os.system" in [fault.where for fault in caught.value.faults]


@pytest.fixture(scope="module", params=[of_lightgbm, of_xgboost, of_pipeline])
def written(request: pytest.FixtureRequest, rows: pl.DataFrame) -> bytes:
    return to_bytes(request.param(rows), Signature.infer(rows, INPUTS))


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=20)
def test_bytes_that_are_not_as_they_were_written_never_reach_a_library(
    written: bytes, at: float, bit: int, kept: float
) -> None:
    flipped = bytearray(written)
    flipped[int(at * len(written))] ^= 1 << bit
    for spoiled in (bytes(flipped), written[: int(kept * len(written))], written + b"\0"):
        with pytest.raises(Tampered, match="Restore it from a copy"):
            NativeModel.load(spoiled)


@pytest.mark.parametrize("data", [b"", MAGIC, sealed(b""), sealed(b"\xc0"), b"something else"])
def test_bytes_that_are_no_native_model_are_refused(data: bytes) -> None:
    with pytest.raises(Tampered):
        NativeModel.load(data)


def test_a_format_that_there_is_not_is_refused(rows: pl.DataFrame) -> None:
    data = to_bytes(of_pipeline(rows), Signature.infer(rows, INPUTS))
    written = msgspec.msgpack.decode(data[len(MAGIC) + 32 :])
    with pytest.raises(Tampered, match="no format 'os'"):
        NativeModel.load(sealed(msgspec.msgpack.encode(written | {"format": "os"})))


# --- code of the product's own -------------------------------------------------------------------------------------

PRODUCT = """
import polars as pl
from own_rule import threshold

class Rule:
    def __init__(self, low, high):
        self.low, self.high = low, high

    def predict(self, frame):
        import own_late  # as late as it can be
        far = frame["distance"].fill_null(0) > threshold()
        return far.cast(pl.Float64) * (self.high - self.low) + self.low + own_late.NOTHING
"""
CODE = {
    "product.py": PRODUCT,
    "own_rule.py": "def threshold():\n    return 1000.0\n",
    "own_late.py": "NOTHING = 0.0\n",
}


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ModuleType]:
    """The module of a product file, as a worker loads it."""
    for name, text in CODE.items():
        (tmp_path / name).write_text(text)
    sys.path.insert(0, str(tmp_path))
    name = "mainspring_product_product"
    spec = importlib.util.spec_from_file_location(name, tmp_path / "product.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(tmp_path))
    for each in (name, "own_rule", "own_late"):
        sys.modules.pop(each, None)


def test_code_is_loaded_only_where_it_is_allowed(product: ModuleType, rows: pl.DataFrame) -> None:
    data = to_bytes(
        Fitted(model=product.Rule(0.2, 0.7), inputs=NUMBERS), Signature.infer(rows, NUMBERS), CODE
    )
    with pytest.raises(CodeNotAllowed, match="allow_code"):
        NativeModel.load(data)
    model = NativeModel.load(data, allow_code=True)
    assert set(model.predict(feed(model, rows)).tolist()) == {np.float32(0.2), np.float32(0.7)}


def test_a_model_runs_in_the_code_that_it_was_made_with(product: ModuleType, rows: pl.DataFrame) -> None:
    fitted = Fitted(model=product.Rule(0.0, 1.0), inputs=NUMBERS)
    signature = Signature.infer(rows, NUMBERS)
    newer = {**CODE, "own_rule.py": "def threshold():\n    return -1.0\n", "own_late.py": "NOTHING = -0.5"}
    old = NativeModel.load(to_bytes(fitted, signature, CODE), allow_code=True)
    new = NativeModel.load(to_bytes(fitted, signature, newer), allow_code=True)
    given = feed(old, rows)
    for _ in range(2):
        assert old.predict(given).mean() == pytest.approx((rows["distance"] > 1000).mean())
        assert set(new.predict(given).tolist()) == {0.5}
    assert product.Rule(0.0, 1.0).predict(rows).mean() == pytest.approx((rows["distance"] > 1000).mean())
    assert sys.modules["own_rule"].threshold() == 1000.0


def test_a_class_that_is_in_no_file_of_the_product_is_refused(
    product: ModuleType, rows: pl.DataFrame
) -> None:
    fitted = Fitted(model=product.Rule(0.0, 1.0), inputs=NUMBERS)
    with pytest.raises(BadFit, match="Rule: is no model that is known"):
        to_bytes(fitted, Signature.infer(rows, NUMBERS), {"other.py": ""})


def test_a_state_that_cannot_be_pickled_is_refused(product: ModuleType, rows: pl.DataFrame) -> None:
    fitted = Fitted(model=product.Rule(lambda: 0, 1.0), inputs=NUMBERS)
    with pytest.raises(BadFit, match="cannot be pickled"):
        to_bytes(fitted, Signature.infer(rows, NUMBERS), CODE)


@pytest.mark.parametrize("answer", ["[0.5]", "[[0.5]] * frame.height", "['half'] * frame.height", "None"])
def test_what_is_not_one_number_for_each_row_is_no_answer(answer: str, rows: pl.DataFrame) -> None:
    code = {"odd.py": f"class Odd:\n    def predict(self, frame):\n        return {answer}\n"}
    state = b"\x80\x04codd\nOdd\n)\x81."  # Odd(), as pickle writes it
    inputs = [{"name": "hour", "dtype": "INT64", "nullable": False}]
    written = {
        "format": "pyfunc",
        "inputs": [{**each} for each in inputs],
        "encodings": {},
        "params": {},
        "metrics": {},
        "model": msgspec.msgpack.encode({"code": code, "state": state}),
    }
    model = NativeModel.load(sealed(msgspec.msgpack.encode(written)), allow_code=True)
    with pytest.raises(WrongAnswer, match="it must give one number for each"):
        model.predict(feed(model, rows))


def test_what_has_no_predict_is_refused() -> None:
    with pytest.raises(BadFit, match="a dict cannot be asked"):
        format_of({})
