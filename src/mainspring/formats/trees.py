"""Tree ensembles as ONNX graphs that take the columns themselves and give the answer."""

from __future__ import annotations

__all__ = ["Ensemble", "Node", "graph"]

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mainspring.formats.matrix import matrix_nodes
from mainspring.formats.onnx import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mainspring.formats.fitted import Fitted


class Node(NamedTuple):
    """A node of a tree: a leaf, or a comparison of a column of the matrix with a threshold."""

    tree: int
    id: int
    mode: str
    feature: int = 0
    threshold: float = 0.0
    nan_goes_left: bool = False
    left: int = 0
    right: int = 0


@dataclass(slots=True)
class Ensemble:
    """Trees as flat lists of nodes and of leaves, which add up to what the answer is a function of.

    Attributes
    ----------
    nodes : list of Node
    leaves : list of (tree, node, value)
    base : float
        What the leaves are added to.
    answer : {"Sigmoid", "Exp", "Identity"}
        That function, by the name of its operator: of log odds, of a logarithm, or of the answer itself.
    """

    nodes: list[Node] = field(default_factory=list)
    leaves: list[tuple[int, int, float]] = field(default_factory=list)
    base: float = 0.0
    answer: Literal["Sigmoid", "Exp", "Identity"] = "Sigmoid"

    def attributes(self) -> dict[str, list[Any]]:
        """The attributes of the ONNX operator."""
        nodes = sorted(self.nodes)
        leaves = sorted(self.leaves)
        told: dict[str, list[Any]] = {
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
            "target_weights": [value for _, _, value in leaves],
        }
        return told | ({"base_values": [self.base]} if self.base else {})


def graph(
    fitted: Fitted, ensemble: Ensemble, *, zero_is_missing: Sequence[int] = (), zero: float = 0.0
) -> bytes:
    """An ONNX model of an ensemble.

    Parameters
    ----------
    fitted : Fitted
        Whose inputs and encodings.
    ensemble : Ensemble
        It reads the matrix of the inputs, and behind those the columns of `zero_is_missing`.
    zero_is_missing : sequence of int
        Inputs that it also reads with zeros as NaN.
    zero : float
        What is not further from zero than this counts as zero there.

    Returns
    -------
    bytes
        A graph with an input of shape (rows, 1) for each column, text for those with an encoding and float32 for
        the others, and one output, float32, shape (rows,). The same fit gives the same bytes.
    """
    from onnx import TensorProto, checker, helper

    nodes, values = matrix_nodes(fitted)
    for feature in zero_is_missing:
        value, at, kept = values[feature], f"/zero/{feature}", f"/kept/{feature}"
        nodes += [
            helper.make_node("Abs", [value], [f"{at}/abs"]),
            helper.make_node("LessOrEqual", [f"{at}/abs", "/zero"], [at]),
            helper.make_node("Where", [at, "/nan", value], [kept]),
        ]
        values.append(kept)
    trees = helper.make_node("TreeEnsembleRegressor", ["/matrix"], ["/sum"], domain="ai.onnx.ml", n_targets=1)
    trees.attribute.extend(
        helper.make_attribute(name, values) for name, values in ensemble.attributes().items()
    )
    nodes += [
        helper.make_node("Concat", values, ["/matrix"], axis=1),
        trees,
        helper.make_node(ensemble.answer, ["/sum"], ["/answer"]),
        helper.make_node("Reshape", ["/answer", "/flat"], [OUTPUT]),
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
                helper.make_tensor("/zero", TensorProto.FLOAT, [], [zero]),
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
