"""Models as MLflow's clients log them: read with the names, categories and classes that they have."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.formats.mlmodel import LoggedForm, Unofferable, fitted_from, form_of
from mainspring.task import BinaryClassification, Regression

ROWS = pl.DataFrame({"size": [1.0, 2.0, None], "kind": ["a", "b", None]})
TASK = BinaryClassification(label="late", positive="yes")


def form(library: str, file: str, *, wrapped: bool = False, columns: tuple[str, ...] = ()) -> LoggedForm:
    kind = "skops" if file.endswith(".skops") else "own"
    return LoggedForm(library, file, kind, wrapped, columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "library", "kind", "wrapped"),
    [
        (
            "lightgbm: {data: model.lgb, model_class: lightgbm.basic.Booster}",
            "lightgbm",
            "own",
            False,
        ),
        (
            "lightgbm: {data: model.pkl, model_class: lightgbm.sklearn.LGBMClassifier}",
            "lightgbm",
            "pickle",
            True,
        ),
        (
            "lightgbm: {data: model.skops, model_class: lightgbm.sklearn.LGBMClassifier}",
            "lightgbm",
            "skops",
            True,
        ),
        (
            "xgboost: {data: model.ubj, model_class: xgboost.sklearn.XGBClassifier}",
            "xgboost",
            "own",
            True,
        ),
        ("sklearn: {pickled_model: model.pkl}", "sklearn", "pickle", True),
        ("sklearn: {pickled_model: model.skops}", "sklearn", "skops", True),
        ("sklearn: {pickled_model: what.ever}", "sklearn", "pickle", True),
    ],
)
def test_the_form_is_that_of_the_flavor(content: str, library: str, kind: str, wrapped: bool) -> None:
    found = form_of(f"flavors: {{{content}}}".encode())
    assert (found.library, found.kind, found.wrapped) == (library, kind, wrapped)


def test_names_come_from_a_signature_of_columns_alone() -> None:
    def inputs(text: str) -> tuple[str, ...]:
        described = {"flavors": {"xgboost": {"data": "m"}}, "signature": {"inputs": text}}
        return form_of(json.dumps(described).encode()).columns

    assert inputs('[{"type": "double", "name": "size"}, {"type": "string", "name": "kind"}]') == (
        "size",
        "kind",
    )
    assert inputs('[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]') == ()


BOMB = (
    "a0: &a0 [x, x]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    + "flavors: *a39\n"
)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"flavors: 3",
        b"flavors: {}",
        b"flavors: {spacy: {data: x}}",
        b"flavors: {sklearn: {}}",
        b"flavors: {xgboost: {data: 3}}",
        b"flavors: {xgboost: {data: m}}\nsignature: {inputs: '{'}",
        b"!!python/object/apply:os.system [exit 1]",
        b"flavors: !!python/name:os.system",
        b"[" * 20_000,
        b"{a: " * 20_000,
        BOMB.encode(),
    ],
)
def test_what_describes_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(Unofferable):
        form_of(content)


@given(st.binary(max_size=200) | st.text(alphabet="flavors:{}[]\n -&*!|>'\"x", max_size=80).map(str.encode))
def test_any_bytes_describe_a_model_or_are_refused(content: bytes) -> None:
    try:
        found = form_of(content)
    except Unofferable:
        return
    assert found.file


def of_lightgbm(categories: object, *, splits: bool = True) -> bytes:
    import lightgbm

    rng = np.random.default_rng(0)
    matrix = np.column_stack([rng.random(300), rng.integers(0, 2, 300)])
    target = (matrix[:, 1] + matrix[:, 0] > 1).astype(float)
    data = lightgbm.Dataset(
        matrix, target, feature_name=["size", "kind"], categorical_feature=["kind"] if splits else []
    )
    made = lightgbm.train({"objective": "binary", "verbosity": -1}, data, num_boost_round=2)
    made.pandas_categorical = categories
    return made.model_to_string().encode()


def test_the_categories_of_pandas_are_those_of_the_columns_that_are_split_by_category() -> None:
    fitted = fitted_from(form("lightgbm", "model.lgb"), of_lightgbm([["b", "a"]]), ROWS, TASK)
    assert fitted.inputs == ("size", "kind")
    assert fitted.encodings == {"kind": ("b", "a")}


@pytest.mark.parametrize(
    ("categories", "why"),
    [(None, "no categories of it"), ([["a"], ["b"]], "of 2 columns"), ([[1, 2]], "no texts")],
)
def test_a_booster_that_reads_texts_without_their_categories_is_refused(categories: object, why: str) -> None:
    with pytest.raises(Unofferable, match=why):
        fitted_from(form("lightgbm", "model.lgb"), of_lightgbm(categories), ROWS, TASK)


def test_early_stopping_counts_where_the_model_was_logged_from_the_interface_that_heeds_it() -> None:
    import xgboost

    rng = np.random.default_rng(0)
    matrix, target = rng.random((300, 1)), rng.integers(0, 2, 300)
    data = xgboost.DMatrix(matrix, target, feature_names=["size"])
    made = xgboost.train({"objective": "binary:logistic"}, data, 8)
    made.set_attr(best_iteration="2")
    content = bytes(made.save_raw("ubj"))
    rounds = {
        wrapped: fitted_from(
            form("xgboost", "model.ubj", wrapped=wrapped), content, ROWS.select("size"), TASK
        ).model.num_boosted_rounds()
        for wrapped in (True, False)
    }
    assert rounds == {True: 3, False: 8}


def of_sklearn(target: object, *, names: bool = True) -> bytes:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = pl.DataFrame({"size": [1.0, 2.0, 3.0, 4.0]})
    made = LogisticRegression().fit(rows if names else rows.to_numpy(), np.array(target))
    content: bytes = skops.io.dumps(made)
    return content


@pytest.mark.parametrize(
    ("target", "positive", "taken"),
    [
        ([0, 0, 1, 1], "yes", True),
        ([False, False, True, True], "yes", True),
        (["no", "no", "yes", "yes"], "yes", True),
        (["yes", "yes", "zero", "zero"], "yes", False),
        ([0, 0, 1, 1], 1, True),
        ([0, 0, 1, 1], True, True),
        ([0, 0, 1, 1], 0, False),
        ([0, 1, 2, 2], "yes", False),
    ],
)
def test_a_classifier_must_answer_with_the_probability_of_the_products_class(
    target: object, positive: object, taken: bool
) -> None:
    task = BinaryClassification(label="late", positive=positive)  # type: ignore[arg-type]
    model = form("sklearn", "model.skops")
    if taken:
        assert fitted_from(model, of_sklearn(target), ROWS, task).inputs == ("size",)
    else:
        with pytest.raises(Unofferable, match="classes"):
            fitted_from(model, of_sklearn(target), ROWS, task)


def test_a_model_that_nobody_has_named_the_inputs_of_is_refused() -> None:
    with pytest.raises(Unofferable, match="signature"):
        fitted_from(form("sklearn", "model.skops"), of_sklearn([0, 0, 1, 1], names=False), ROWS, TASK)
    named = form("sklearn", "model.skops", columns=("size",))
    assert fitted_from(named, of_sklearn([0, 0, 1, 1], names=False), ROWS, TASK).inputs == ("size",)


def test_a_regressor_has_no_classes_to_compare() -> None:
    content = of_lightgbm([["a", "b"]])
    assert fitted_from(form("lightgbm", "m"), content, ROWS, Regression(label="late", low=0, high=1)).inputs


@pytest.mark.parametrize(
    "library", ["lightgbm", "sklearn"]
)  # XGBoost ends the process: tests/operate/test_offers.py
@pytest.mark.parametrize("content", [b"", b"tree\n", b"PK\x03\x04", b"{}", b"\0" * 64])
def test_a_damaged_file_is_refused_whatever_the_library_says(library: str, content: bytes) -> None:
    file = "model.skops" if library == "sklearn" else "model"
    with pytest.raises(Unofferable, match=file):
        fitted_from(form(library, file), content, ROWS, TASK)
