"""The matrix that learners read: numbers as they are, categories as their positions, missing values as NaN."""

from __future__ import annotations

__all__ = ["encode", "encoded", "matrix_nodes"]

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import DTypeLike, NDArray

    from mainspring.formats.fitted import Fitted


def encode(fitted: Fitted, frame: pl.DataFrame, dtype: DTypeLike = "float32") -> NDArray[np.floating[Any]]:
    """The inputs of a model as one matrix.

    Returns
    -------
    ndarray of float, shape (rows, inputs)
    """
    import numpy as np
    import polars as pl

    def column(name: str) -> pl.Expr:
        return _position(fitted, name) if name in fitted.encodings else pl.col(name).cast(pl.Float64)

    columns = frame.select(map(column, fitted.inputs))
    return np.column_stack([each.fill_null(math.nan).to_numpy().astype(dtype) for each in columns])


def encoded(fitted: Fitted, frame: pl.DataFrame) -> pl.DataFrame:
    """The inputs of a model as columns of their own types; those with an encoding are positions."""
    import polars as pl

    return frame.select(
        _position(fitted, name) if name in fitted.encodings else pl.col(name) for name in fitted.inputs
    )


def _position(fitted: Fitted, name: str) -> pl.Expr:
    import polars as pl

    positions = {code: position for position, code in enumerate(fitted.encodings[name])}
    return pl.col(name).cast(pl.String).replace_strict(positions, default=None, return_dtype=pl.Float64)


def matrix_nodes(fitted: Fitted) -> tuple[list[Any], list[str]]:
    """The ONNX nodes that turn texts into positions, and the names of the columns that then make up the matrix."""
    from onnx import helper

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
    return nodes, values
