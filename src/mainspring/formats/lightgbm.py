"""Binary LightGBM boosters: to bytes and back, and to an ONNX graph that answers alike.

A booster compares doubles, but its inputs were float32 when it was trained. So `x <= threshold` is the same with
the greatest float32 that is not above the threshold, and the graph needs no doubles [1]_.

References
----------
.. [1] LightGBM, `include/LightGBM/tree.h` (`Tree::NumericalDecision`) and `src/c_api.cpp` (how a row is read), and
   ONNX, `TreeEnsembleRegressor`.
"""

from __future__ import annotations

__all__ = ["NotConvertible", "columns_of", "encode", "from_bytes", "predict", "to_bytes", "to_onnx"]

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mainspring.errors import Fault, Faults
from mainspring.formats.fitted import Fitted

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

OUTPUT = "probability"
"""The name of the only output."""

_ZERO = 1.0000000180025095e-35
"""LightGBM takes what is not further from zero than this, the float32 nearest to 1e-35, for zero."""


class NotConvertible(Faults):
    """A booster that this conversion does not cover; every reason is told."""


# --- asking the booster itself -------------------------------------------------------------------------------------


def encode(fitted: Fitted, frame: pl.DataFrame) -> NDArray[np.float32]:
    """The matrix that the booster reads: numbers as they are, categories as their positions, missing values as NaN.

    Returns
    -------
    ndarray of float32, shape (rows, inputs)
    """
    import numpy as np
    import polars as pl

    def column(name: str) -> pl.Expr:
        codes = fitted.encodings.get(name)
        if codes is None:
            return pl.col(name).cast(pl.Float32)
        positions = {code: position for position, code in enumerate(codes)}
        return pl.col(name).cast(pl.String).replace_strict(positions, default=None, return_dtype=pl.Float32)

    columns = frame.select(map(column, fitted.inputs))
    return np.column_stack([column.fill_null(float("nan")).to_numpy() for column in columns])


def predict(fitted: Fitted, frame: pl.DataFrame, *, threads: int = 1) -> NDArray[np.float64]:
    """Probabilities from the booster itself, shape (rows,)."""
    answer: NDArray[np.float64] = fitted.model.predict(encode(fitted, frame), num_threads=threads)
    return answer


def columns_of(fitted: Fitted, frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """The inputs of rows as `OnnxModel.predict` takes them."""
    import polars as pl

    return {
        name: frame[name].cast(pl.String).fill_null("").to_numpy().astype(object)
        if name in fitted.encodings
        else frame[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        for name in fitted.inputs
    }


# --- to bytes and back ---------------------------------------------------------------------------------------------


def to_bytes(fitted: Fitted) -> bytes:
    """JSON with the booster's own text in it: the same bytes for the same fit, and nothing that runs when read."""
    written = {
        "inputs": list(fitted.inputs),
        "encodings": {name: list(codes) for name, codes in fitted.encodings.items()},
        "params": dict(fitted.params),
        "metrics": dict(fitted.metrics),
        "model": fitted.model.model_to_string(),
    }
    return json.dumps(written, sort_keys=True, ensure_ascii=False).encode()


def from_bytes(data: bytes) -> Fitted:
    """Read what `to_bytes` wrote."""
    import lightgbm

    read = json.loads(data)
    return Fitted(
        model=lightgbm.Booster(model_str=read["model"]),
        inputs=tuple(read["inputs"]),
        encodings={name: tuple(codes) for name, codes in read["encodings"].items()},
        params=read["params"],
        metrics=read["metrics"],
    )


# --- to ONNX -------------------------------------------------------------------------------------------------------


def to_onnx(fitted: Fitted) -> bytes:
    """An ONNX model that takes the columns themselves and gives the probability.

    Returns
    -------
    bytes
        A graph with an input of shape (rows, 1) for each column, text for those with an encoding and float32 for
        the others, and the output `probability`, float32, shape (rows,). The same fit gives the same bytes.

    Raises
    ------
    NotConvertible
        The booster is not for a binary objective, has categorical splits or linear leaves, or averages its trees.
    """
    from onnx import TensorProto, checker, helper

    described = fitted.model.dump_model()
    if faults := tuple(_faults(fitted, described)):
        raise NotConvertible("The LightGBM booster", faults)
    trees = _Trees(len(fitted.inputs))
    for tree in described["tree_info"]:
        trees.add(tree["tree_structure"])

    nodes, values = [], []
    for name in fitted.inputs:
        codes = fitted.encodings.get(name)
        values.append(name if codes is None else f"{name}/code")
        if codes is not None:
            # The operator wants at least one key; the empty text is null, and so as missing as any other.
            keys = {code: float(position) for position, code in enumerate(codes)} or {"": math.nan}
            nodes.append(
                helper.make_node(
                    "LabelEncoder",
                    [name],
                    values[-1:],
                    domain="ai.onnx.ml",
                    keys_strings=list(keys),
                    values_floats=list(keys.values()),
                    default_float=math.nan,
                )
            )
    for feature in trees.zero_is_missing:
        value, zero, kept = values[feature], f"/zero/{feature}", f"/kept/{feature}"
        nodes += [
            helper.make_node("Abs", [value], [f"{zero}/abs"]),
            helper.make_node("LessOrEqual", [f"{zero}/abs", "/zero"], [zero]),
            helper.make_node("Where", [zero, "/nan", value], [kept]),
        ]
        values.append(kept)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["/matrix"], ["/log_odds"], domain="ai.onnx.ml", n_targets=1
    )
    ensemble.attribute.extend(
        helper.make_attribute(name, values)
        for name, values in trees.attributes(scale=float(described["objective"].split("sigmoid:")[1])).items()
    )
    nodes += [
        helper.make_node("Concat", values, ["/matrix"], axis=1),
        ensemble,
        helper.make_node("Sigmoid", ["/log_odds"], ["/probability"]),
        helper.make_node("Reshape", ["/probability", "/flat"], [OUTPUT]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "mainspring",
            [
                helper.make_tensor_value_info(
                    name, TensorProto.STRING if name in fitted.encodings else TensorProto.FLOAT, ["rows", 1]
                )
                for name in fitted.inputs
            ],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows"])],
            [
                helper.make_tensor("/flat", TensorProto.INT64, [1], [-1]),
                helper.make_tensor("/nan", TensorProto.FLOAT, [], [math.nan]),
                helper.make_tensor("/zero", TensorProto.FLOAT, [], [_ZERO]),
            ],
        ),
        producer_name="mainspring",
        # The oldest that have all of these operators, so that old runtimes can read it too.
        opset_imports=[helper.make_opsetid("", 16), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Node(NamedTuple):
    tree: int
    id: int
    mode: str
    feature: int = 0
    threshold: float = 0.0
    nan_goes_left: bool = False
    left: int = 0
    right: int = 0


class _Trees:
    """Trees as flat lists of nodes, the features being columns of the matrix that the ensemble reads."""

    def __init__(self, inputs: int) -> None:
        self.zero_is_missing: list[int] = []  # each gets a column of its own, behind those of the inputs
        self._inputs = inputs
        self._count = 0
        self._nodes: list[_Node] = []
        self._leaves: list[tuple[int, int, float]] = []

    def add(self, root: Mapping[str, Any]) -> None:
        """Add a tree as LightGBM describes it."""
        tree, free, waiting = self._count, 1, [(0, root)]
        self._count += 1
        while waiting:
            at, node = waiting.pop()
            if "leaf_value" in node:
                self._nodes.append(_Node(tree, at, "LEAF"))
                self._leaves.append((tree, at, node["leaf_value"]))
                continue
            threshold, missing = float(node["threshold"]), node["missing_type"]
            # Without a missing type LightGBM takes NaN for 0.0, and compares it.
            nan_goes_left = threshold >= 0.0 if missing == "None" else bool(node["default_left"])
            column = self._column(node["split_feature"], zero_is_missing=missing == "Zero")
            self._nodes.append(
                _Node(
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

    def attributes(self, *, scale: float) -> dict[str, list[Any]]:
        """The attributes of the ONNX operator; `scale` multiplies the leaves."""
        nodes = sorted(self._nodes)
        leaves = sorted(self._leaves)
        return {
            "nodes_treeids": [node.tree for node in nodes],
            "nodes_nodeids": [node.id for node in nodes],
            "nodes_modes": [node.mode for node in nodes],
            "nodes_featureids": [node.feature for node in nodes],
            "nodes_values": [node.threshold for node in nodes],
            "nodes_missing_value_tracks_true": [int(node.nan_goes_left) for node in nodes],
            "nodes_truenodeids": [node.left for node in nodes],
            "nodes_falsenodeids": [node.right for node in nodes],
            "target_treeids": [tree for tree, _, _ in leaves],
            "target_nodeids": [node for _, node, _ in leaves],
            "target_ids": [0] * len(leaves),
            "target_weights": [scale * value for _, _, value in leaves],
        }

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
    if not objective.startswith("binary sigmoid:"):
        yield Fault("objective", f"it is {objective!r}.", "Only 'binary' can be converted.")
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
