"""ONNX models with weights of 8 bits."""

from __future__ import annotations

__all__ = ["TOLERANCE", "NotQuantisable", "quantised"]

import tempfile
from pathlib import Path

from mainspring.errors import MainspringError

TOLERANCE = 0.01
"""By how much an answer of a model with rounded weights may be apart: it is judged by its own answers afterwards."""


class NotQuantisable(MainspringError):
    """A model without weights that could be rounded."""

    def __str__(self) -> str:
        return "It multiplies no matrices, so there are no weights to round."


def quantised(onnx: bytes) -> bytes:
    """Round the weights of matrix products to 8 bits; what is multiplied with them is rounded as it comes.

    Parameters
    ----------
    onnx : bytes

    Returns
    -------
    bytes

    Raises
    ------
    NotQuantisable
        There is nothing to round, as in trees.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.onnx", Path(folder) / "made.onnx"
        given.write_bytes(onnx)
        quantize_dynamic(given, made, weight_type=QuantType.QUInt8)
        data = made.read_bytes()
    if b"MatMulInteger" not in data:
        raise NotQuantisable
    return data
