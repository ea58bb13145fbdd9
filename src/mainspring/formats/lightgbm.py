"""LightGBM boosters of one output: to text and back, and to an ONNX graph that answers alike.

A booster compares doubles, but its inputs were float32 when it was trained. So `x <= threshold` is the same with
the greatest float32 that is not above the threshold, and the graph needs no doubles [1]_.

References
----------
.. [1] LightGBM, `include/LightGBM/tree.h` (`Tree::NumericalDecision`) and `src/c_api.cpp` (how a row is read), and
   ONNX, `TreeEnsembleRegressor`.
"""

from __future__ import annotations

__all__ = ["dump", "load", "predict", "to_onnx"]

import math
from collections.abc import Collection, Iterator, Mapping
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
    "binary": "Sigmoid",
    "regression": "Identity",
    "regression_l1": "Identity",
    "huber": "Identity",
    "quantile": "Identity",
    "mape": "Identity",
    "poisson": "Exp",
    "gamma": "Exp",
    "tweedie": "Exp",
}
_ZERO = 1.0000000180025095e-35
"""LightGBM takes what is not further from zero than this, the float32 nearest to 1e-35, for zero."""


def dump(model: Any, code: Mapping[str, str]) -> bytes:
    """The booster's own text: the same for the same fit, and nothing that runs when read."""
    text: str = _booster(model).model_to_string()
    return text.encode()


def load(data: bytes) -> Any:
    """Read what `dump` wrote."""
    import lightgbm

    return lightgbm.Booster(model_str=data.decode())


def predict(fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.float64]:
    """Answers of the booster itself, shape (rows,)."""
    answer: NDArray[np.float64] = _booster(fitted.model).predict(encode(fitted, frame), num_threads=1)
    return answer


def to_onnx(fitted: Fitted, texts: Collection[str] = ()) -> bytes:
    """An ONNX model that takes the columns themselves and gives the answer.

    Raises
    ------
    NotConvertible
        The booster is for another objective, has categorical splits or linear leaves, or averages its trees.
    """
    described = _booster(fitted.model).dump_model()
    if faults := tuple(_faults(fitted, described)):
        raise NotConvertible("The LightGBM booster", faults)
    kind, _, scale = str(described["objective"]).partition(" sigmoid:")
    trees = _Trees(len(fitted.inputs), scale=float(scale or 1.0))
    trees.ensemble.answer = _ANSWERS[kind.split()[0]]
    for tree in described["tree_info"]:
        trees.add(tree["tree_structure"])
    return graph(fitted, trees.ensemble, zero_is_missing=trees.zero_is_missing, zero=_ZERO)


def _booster(model: Any) -> Any:
    """The booster of a model of LightGBM's scikit-learn interface, or the booster that it is."""
    return getattr(model, "booster_", model)


class _Trees:
    """Trees as LightGBM describes them, made into an ensemble."""

    def __init__(self, inputs: int, *, scale: float) -> None:
        self.zero_is_missing: list[int] = []  # each gets a column of its own, behind those of the inputs
        self.ensemble = Ensemble()
        self._inputs, self._scale = inputs, scale
        self._count = 0

    def add(self, root: Mapping[str, Any]) -> None:
        """Add a tree."""
        tree, free, waiting = self._count, 1, [(0, root)]
        self._count += 1
        while waiting:
            at, node = waiting.pop()
            if "leaf_value" in node:
                self.ensemble.nodes.append(Node(tree, at, "LEAF"))
                self.ensemble.leaves.append((tree, at, self._scale * node["leaf_value"]))
                continue
            threshold, missing = float(node["threshold"]), node["missing_type"]
            # Without a missing type LightGBM takes NaN for 0.0, and compares it.
            nan_goes_left = threshold >= 0.0 if missing == "None" else bool(node["default_left"])
            column = self._column(node["split_feature"], zero_is_missing=missing == "Zero")
            self.ensemble.nodes.append(
                Node(
                    tree,
                    at,
                    "BRANCH_LEQ",
                    column,
                    _float32_threshold(threshold),
                    nan_goes_left,
                    free,
                    free + 1,
                )
            )
            waiting += [(free + 1, node["right_child"]), (free, node["left_child"])]
            free += 2

    def _column(self, feature: int, *, zero_is_missing: bool) -> int:
        if not zero_is_missing:
            return feature
        if feature not in self.zero_is_missing:
            self.zero_is_missing.append(feature)
        return self._inputs + self.zero_is_missing.index(feature)


def _float32_threshold(threshold: float) -> float:
    """The float32 that parts the float32 numbers as LightGBM does with this threshold."""
    import numpy as np

    # What LightGBM takes for zero it reads as 0.0, so that no threshold parts it from 0.0.
    if 0.0 <= threshold < _ZERO:
        return _ZERO
    if -_ZERO <= threshold < 0.0:
        return float(np.nextafter(np.float32(-_ZERO), np.float32(-np.inf)))
    # LightGBM writes infinity so; between float32 numbers it has no other threshold that far out.
    if abs(threshold) >= 1e300:
        return math.copysign(math.inf, threshold)
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def _faults(fitted: Fitted, described: Mapping[str, Any]) -> Iterator[Fault]:
    objective = str(described.get("objective", ""))
    if objective.partition(" ")[0] not in _ANSWERS or "sqrt" in objective:
        mend = f"Only {', '.join(_ANSWERS)} can be converted, and no root of labels."
        yield Fault("objective", f"it is {objective!r}.", mend)
    if described.get("average_output"):
        yield Fault("boosting", "it averages its trees, as a random forest does.", "Use gbdt, goss or dart.")
    if (features := described["max_feature_idx"] + 1) != len(fitted.inputs):
        yield Fault(
            "inputs", f"the booster was trained on {features} columns, and {len(fitted.inputs)} are named."
        )
    if OUTPUT in fitted.inputs:
        yield Fault("inputs", f"{OUTPUT!r} is the name of the output.", "Rename the column.")
    nodes = [tree["tree_structure"] for tree in described["tree_info"]]
    categorical, linear = set(), False
    while nodes:
        node = nodes.pop()
        if "leaf_value" in node:
            linear |= "leaf_const" in node
        else:
            nodes += [node["left_child"], node["right_child"]]
            if node["decision_type"] != "<=":
                categorical.add(node["split_feature"])
    if categorical:
        yield Fault(
            "splits",
            f"features {sorted(categorical)} are split by category.",
            "Train without categorical_feature: the encodings of Fitted turn categories into numbers.",
        )
    if linear:
        yield Fault("leaves", "they are linear.", "Train with linear_tree=false.")
