"""Binary scikit-learn classifiers, regressors and Pipelines of them: to skops and back, and to ONNX by skl2onnx.

skops writes a model as JSON and arrays, and reads only types that it or we know [1]_. No pickle is ever loaded.

References
----------
.. [1] skops, "Secure persistence with skops.io".
"""

from __future__ import annotations

__all__ = ["TRUSTED", "UnknownTypes", "dump", "load", "predict", "to_onnx"]

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mainspring.errors import Fault, Faults
from mainspring.formats.fitted import Fitted, NotConvertible
from mainspring.formats.matrix import encode, encoded, matrix_nodes
from mainspring.formats.onnx import OUTPUT

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

# What skops does not know, and what makes nothing but itself when it is read.
TRUSTED = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRegressor",
)
_NAMES = re.compile(r'("__id__": |"file": ")([^",.}\s]+)')
_OPSET = 17
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of a zip file's calendar


class UnknownTypes(Faults):
    """A model with parts of types that could run anything when they are read; all of them are told."""

    def __init__(self, subject: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(subject, faults)

    @classmethod
    def of(cls, names: list[str]) -> UnknownTypes:
        """Name the types."""
        mend = "Use scikit-learn's own, or give an object of your own with `predict(frame)` instead."
        return cls(
            "The scikit-learn model",
            tuple(
                Fault(name, "it is not known, so it could run anything when it is read.", mend)
                for name in names
            ),
        )


def dump(model: Any, code: Mapping[str, str]) -> bytes:
    """The model in skops' form; the same bytes for the same fit.

    Raises
    ------
    UnknownTypes
        It has parts that would not be read again.
    """
    import skops.io

    data = _settled(skops.io.dumps(model))
    _need_known(data)
    return data


def load(data: bytes) -> Any:
    """Read what `dump` wrote.

    Raises
    ------
    UnknownTypes
        It has parts that are of no known type.
    """
    import skops.io

    _need_known(data)
    return skops.io.loads(data, trusted=list(TRUSTED))


def predict(fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.float64]:
    """Answers of the model itself, shape (rows,): the probabilities of the second of its two classes, or numbers."""
    model = fitted.model
    given = encoded(fitted, frame) if _reads_names(model) else encode(fitted, frame, "float64")
    answer: NDArray[np.float64]
    answer = model.predict_proba(given)[:, 1] if _is_classifier(model) else model.predict(given)
    return answer


def to_onnx(fitted: Fitted, texts: Collection[str] = ()) -> bytes:
    """An ONNX model that takes the columns themselves and gives the answer.

    Raises
    ------
    NotConvertible
        It is neither a regressor nor a classifier of two classes, or skl2onnx does not know a part of it.
    """
    from onnx import TensorProto, checker, helper, load_from_string

    if faults := tuple(_faults(fitted)):
        raise NotConvertible("The scikit-learn model", faults)
    by_name = _picks_columns(fitted.model)
    converted = load_from_string(_converted(fitted, texts if by_name else None)).graph
    front: list[Any] = []
    if by_name:
        values = [each.name for each in converted.input]
        if sorted(values) != sorted(fitted.inputs):
            raise NotConvertible(
                "The scikit-learn model", (Fault("inputs", "some have names that ONNX cannot have."),)
            )
    else:
        front, values = matrix_nodes(fitted)
        front.append(helper.make_node("Concat", values, [converted.input[0].name], axis=1))
    if _is_classifier(fitted.model):
        column = helper.make_node("Gather", [converted.output[1].name, "/second"], ["/column"], axis=1)
        answers = [column, helper.make_node("Reshape", ["/column", "/flat"], [OUTPUT])]
    else:
        answers = [helper.make_node("Reshape", [converted.output[0].name, "/flat"], [OUTPUT])]
    read_as_text = texts if by_name else fitted.encodings
    model = helper.make_model(
        helper.make_graph(
            [
                *front,
                *converted.node,
                *answers,
            ],
            "mainspring",
            [
                helper.make_tensor_value_info(
                    name, TensorProto.STRING if name in read_as_text else TensorProto.FLOAT, ["rows", 1]
                )
                for name in fitted.inputs
            ],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows"])],
            [
                *converted.initializer,
                helper.make_tensor("/second", TensorProto.INT64, [1], [1]),
                helper.make_tensor("/flat", TensorProto.INT64, [1], [-1]),
            ],
        ),
        producer_name="mainspring",
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _converted(fitted: Fitted, texts: Collection[str] | None) -> bytes:
    """What skl2onnx makes of it, with a text or number for each input, or with one matrix where `texts` is None."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if texts is None:
        types = [("matrix_of_inputs", FloatTensorType([None, len(fitted.inputs)]))]
    else:
        types = [
            (name, StringTensorType([None, 1]) if name in texts else FloatTensorType([None, 1]))
            for name in fitted.inputs
        ]
    try:
        converted = convert_sklearn(
            fitted.model,
            "mainspring",
            initial_types=types,
            options={id(fitted.model): {"zipmap": False}} if _is_classifier(fitted.model) else None,
            target_opset={"": _OPSET, "ai.onnx.ml": 3},
        )
    except Exception as error:  # whatever skl2onnx stumbles over, the model stays native
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise NotConvertible(
            "The scikit-learn model", (Fault("skl2onnx", f"{type(error).__name__}: {why}"),)
        ) from error
    data: bytes = converted.SerializeToString(deterministic=True)
    return data


def _faults(fitted: Fitted) -> Iterator[Fault]:
    from sklearn.base import is_regressor

    if not _is_classifier(fitted.model):
        if not is_regressor(fitted.model):
            mend = "Use a regressor, or a classifier with predict_proba."
            yield Fault("model", "it gives neither probabilities nor numbers.", mend)
    elif len(fitted.model.classes_) != 2:
        yield Fault("model", f"it has {len(fitted.model.classes_)} classes.", "Train it on labels 0 and 1.")
    if fitted.encodings and _picks_columns(fitted.model):
        mend = "Leave the categories to its ColumnTransformer."
        yield Fault("encodings", "its columns are picked by name and encoded before.", mend)
    if OUTPUT in fitted.inputs:
        yield Fault("inputs", f"{OUTPUT!r} is the name of the output.", "Rename the column.")


def _is_classifier(model: Any) -> bool:
    """Whether it gives probabilities."""
    return hasattr(model, "predict_proba")


def _reads_names(model: Any) -> bool:
    """Whether it was trained on a frame, and so is asked with one."""
    return hasattr(model, "feature_names_in_")


def _picks_columns(model: Any) -> bool:
    """Whether its first step is a ColumnTransformer, for which skl2onnx wants each column by its name."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    while isinstance(model, Pipeline):
        model = model.steps[0][1]
    return isinstance(model, ColumnTransformer)


def _need_known(data: bytes) -> None:
    import skops.io

    if unknown := sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED)):
        raise UnknownTypes.of(unknown)


def _settled(data: bytes) -> bytes:
    """A skops file without what differs from one writing to the next: addresses in memory, random names, the hour."""
    source = zipfile.ZipFile(io.BytesIO(data))
    schema = source.read("schema.json").decode()
    names: dict[str, str] = {}
    for found in _NAMES.finditer(schema):
        names.setdefault(found[2], str(len(names) + 1))
    schema = _NAMES.sub(lambda found: found[1] + names[found[2]], schema)
    entries = {"schema.json": schema.encode()}
    for entry in source.namelist():
        stem, _, suffix = entry.partition(".")
        if stem in names:
            entries[f"{names[stem]}.{suffix}"] = source.read(entry)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as target:
        for entry in sorted(entries):
            target.writestr(zipfile.ZipInfo(entry, _FIRST_DAY), entries[entry], zipfile.ZIP_DEFLATED)
    return written.getvalue()
