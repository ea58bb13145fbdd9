"""XGBoost boosters of one output: to JSON and back, and to an ONNX graph that answers alike.

A booster compares float32 with float32, `x < threshold` goes left, and so does the operator [1]_.

References
----------
.. [1] XGBoost, "Introduction to Model IO" and its JSON schema, `src/predictor/cpu_predictor.cc`.
"""

from __future__ import annotations

__all__ = ["dump", "load", "predict", "to_onnx"]

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from mainspring.errors import Fault
from mainspring.formats.fitted import Fitted, NotConvertible
from mainspring.formats.matrix import encode
from mainspring.formats.onnx import OUTPUT
from mainspring.formats.trees import Ensemble, Node, graph

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


_ANSWERS: dict[str, Literal["Sigmoid", "Exp", "Identity"]] = {
    "binary:logistic": "Sigmoid",
    "reg:squarederror": "Identity",
    "reg:absoluteerror": "Identity",
    "count:poisson": "Exp",
    "reg:gamma": "Exp",
    "reg:tweedie": "Exp",
}
_BEFORE: dict[str, Callable[[float], float]] = {
    "Sigmoid": lambda base: math.log(base / (1 - base)),
    "Exp": math.log,
    "Identity": float,
}
"""What the base score is a function's value of."""


def dump(model: Any, code: Mapping[str, str]) -> bytes:
    """The booster's own JSON: the same for the same fit, and nothing that runs when read."""
    return bytes(_booster(model).save_raw("json"))


def load(data: bytes) -> Any:
    """Read what `dump` wrote."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    return booster


def predict(fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.float32]:
    """Answers of the booster itself, shape (rows,)."""
    answer: NDArray[np.float32] = _booster(fitted.model).inplace_predict(
        encode(fitted, frame), missing=math.nan, validate_features=False
    )
    return answer


def to_onnx(fitted: Fitted, texts: Collection[str] = ()) -> bytes:
    """An ONNX model that takes the columns themselves and gives the answer.

    Raises
    ------
    NotConvertible
        The booster is for another objective, is linear, or has splits by category.
    """
    learner = json.loads(dump(fitted.model, {}))["learner"]
    if faults := tuple(_faults(fitted, learner)):
        raise NotConvertible("The XGBoost booster", faults)
    booster = learner["gradient_booster"]
    weights = booster.get("weight_drop")
    trees = (booster["gbtree"] if weights else booster)["model"]["trees"]
    base = float(learner["learner_model_param"]["base_score"].strip("[]"))
    answer = _ANSWERS[learner["objective"]["name"]]
    ensemble = Ensemble(base=_BEFORE[answer](base), answer=answer)
    for number, tree in enumerate(trees):
        _add(ensemble, number, tree, scale=weights[number] if weights else 1.0)
    return graph(fitted, ensemble)


def _booster(model: Any) -> Any:
    """The booster of a model of XGBoost's scikit-learn interface, as far as that one uses it, or the booster itself."""
    if not hasattr(model, "get_booster"):
        return model
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    return booster if best is None else booster[: best + 1]


def _add(ensemble: Ensemble, number: int, tree: Mapping[str, Any], *, scale: float) -> None:
    for at, left in enumerate(tree["left_children"]):
        value = float(tree["split_conditions"][at])
        if left == -1:
            ensemble.nodes.append(Node(number, at, "LEAF"))
            ensemble.leaves.append((number, at, scale * value))
        else:
            ensemble.nodes.append(
                Node(
                    number,
                    at,
                    "BRANCH_LT",
                    tree["split_indices"][at],
                    value,
                    bool(tree["default_left"][at]),
                    left,
                    tree["right_children"][at],
                )
            )


def _faults(fitted: Fitted, learner: Mapping[str, Any]) -> Iterator[Fault]:
    if (objective := learner["objective"]["name"]) not in _ANSWERS:
        yield Fault("objective", f"it is {objective!r}.", f"Only {', '.join(_ANSWERS)} can be converted.")
    if (kind := learner["gradient_booster"]["name"]) not in ("gbtree", "dart"):
        yield Fault("booster", f"it is {kind!r}.", "Only trees can be converted.")
        return
    if (features := int(learner["learner_model_param"]["num_feature"])) != len(fitted.inputs):
        yield Fault(
            "inputs", f"the booster was trained on {features} columns, and {len(fitted.inputs)} are named."
        )
    if OUTPUT in fitted.inputs:
        yield Fault("inputs", f"{OUTPUT!r} is the name of the output.", "Rename the column.")
    booster = learner["gradient_booster"]
    if any(any(tree["split_type"]) for tree in booster.get("gbtree", booster)["model"]["trees"]):
        yield Fault("splits", "some are by category.", "Train without enable_categorical.")
