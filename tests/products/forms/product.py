"""One product for each form in which a model is kept: will an order be paid late?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
from rule import Rule

import mainspring as ms

Moment = Annotated[pl.Datetime, "us", "UTC"]
INPUTS, KINDS = ("amount", "hour", "kind"), ("a", "b", "c")


class Orders(pa.DataFrameModel):
    order_id: str
    asked_at: Moment
    amount: float = pa.Field(ge=0, le=1_000, nullable=True)
    hour: int = pa.Field(ge=0, le=23, nullable=True)
    kind: str = pa.Field(isin=list(KINDS), nullable=True)
    late: bool = pa.Field(nullable=True, metadata=ms.known_at("settled_at"))
    settled_at: Moment = pa.Field(metadata=ms.known_at("settled_at"))


orders = ms.Dataset("orders", key="order_id", event_time="asked_at", known_at="settled_at", schema=Orders)


def coded(examples: pl.DataFrame) -> Any:
    kind = pl.col("kind").cast(pl.Enum(KINDS)).to_physical().cast(pl.Float64)
    return examples.select("amount", "hour", kind).cast(pl.Float64).fill_null(float("nan")).to_numpy()


def lightgbm_booster(examples: pl.DataFrame, **more: Any) -> ms.Fitted:
    import lightgbm

    params = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "verbosity": -1, **more}
    rows = lightgbm.Dataset(coded(examples), examples["label"].to_numpy(), params={"verbosity": -1, **more})
    return ms.Fitted(model=lightgbm.train(params, rows, 20), inputs=INPUTS, encodings={"kind": KINDS})


def xgboost_booster(examples: pl.DataFrame, **more: Any) -> ms.Fitted:
    import xgboost

    rows = xgboost.DMatrix(coded(examples), examples["label"].to_numpy())
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1, **more}, rows, 20)
    return ms.Fitted(model=model, inputs=INPUTS, encodings={"kind": KINDS})


def sklearn_pipeline(examples: pl.DataFrame, kinds: Any) -> ms.Fitted:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    columns = ColumnTransformer([("number", SimpleImputer(), ["amount", "hour"]), ("text", kinds, ["kind"])])
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return ms.Fitted(model=model.fit(examples.select(INPUTS), examples["label"].to_numpy()), inputs=INPUTS)


def matrix_pipeline(examples: pl.DataFrame) -> ms.Fitted:
    from sklearn.impute import SimpleImputer
    from sklearn.kernel_approximation import RBFSampler
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(SimpleImputer(), RBFSampler(gamma=1e-4, random_state=0), LogisticRegression())
    return ms.Fitted(
        model=model.fit(coded(examples), examples["label"].to_numpy()),
        inputs=INPUTS,
        encodings={"kind": KINDS},
    )


@ms.step
def lightgbm_in_onnx(examples: pl.DataFrame) -> ms.Fitted:
    return lightgbm_booster(examples)


@ms.step
def xgboost_in_onnx(examples: pl.DataFrame) -> ms.Fitted:
    return xgboost_booster(examples)


@ms.step
def sklearn_in_onnx(examples: pl.DataFrame) -> ms.Fitted:
    from sklearn.preprocessing import OneHotEncoder

    known = examples.with_columns(pl.col("kind").fill_null("a"))
    return sklearn_pipeline(known, OneHotEncoder(handle_unknown="ignore", sparse_output=False))


@ms.step
def lightgbm_native(examples: pl.DataFrame) -> ms.Fitted:
    return lightgbm_booster(examples, linear_tree=True)


@ms.step
def xgboost_native(examples: pl.DataFrame) -> ms.Fitted:
    return xgboost_booster(examples, objective="reg:logistic")


@ms.step
def sklearn_of_frames(examples: pl.DataFrame) -> ms.Fitted:
    from sklearn.preprocessing import OneHotEncoder

    # A null is a category of its own here, which ONNX cannot tell.
    return sklearn_pipeline(examples, OneHotEncoder(handle_unknown="ignore", sparse_output=False))


@ms.step
def sklearn_of_matrices(examples: pl.DataFrame) -> ms.Fitted:
    return matrix_pipeline(examples)


@ms.step
def own_code(examples: pl.DataFrame) -> ms.Fitted:
    return ms.Fitted(model=Rule(120.0), inputs=("amount",))


def product(train: Callable[..., Any]) -> ms.Product:
    return ms.Product(
        train.name.replace("_", "-"),
        task=ms.BinaryClassification(label="late"),
        data=orders,
        inputs=list(INPUTS),
        pipeline=ms.Pipeline([train]),
        gates=[ms.AtLeast("roc_auc", 0.5)],
        retrain=[ms.OnNewData(rows=100)],
        holdout="5d",
    )


product_1 = product(lightgbm_in_onnx)
product_2 = product(xgboost_in_onnx)
product_3 = product(sklearn_in_onnx)
product_4 = product(lightgbm_native)
product_5 = product(xgboost_native)
product_6 = product(sklearn_of_frames)
product_7 = product(sklearn_of_matrices)
product_8 = product(own_code)
