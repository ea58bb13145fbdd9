"""Tensors as bytes, as the Open Inference Protocol has them over REST and gRPC alike [1]_.

Little-endian and row-major without padding; a truth value is one byte, and an element of BYTES is its length as a
32-bit number, then its bytes.

References
----------
.. [1] kserve/open-inference-protocol, `specification/protocol/`, "Binary Tensor Data Extension" and
   "Tensor Data".
"""

from __future__ import annotations

__all__ = ["from_raw", "size_of", "to_raw"]

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mainspring.errors import Fault
from mainspring.gateway.inputs import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPES = {
    "BOOL": "u1", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_LENGTH = struct.Struct("<I")
_NUMPY = {name: np.dtype(each) for name, each in _DTYPES.items()}


def from_raw(
    name: str, datatype: str, shape: Sequence[int], content: bytes | memoryview, faults: list[Fault]
) -> Tensor | None:
    """Read a tensor.

    Parameters
    ----------
    name, datatype, shape : str, str, sequence of int
        As they were sent.
    content : bytes
        All of its data and no more. The tensor is a view of it where that is possible.
    faults : list of Fault
        Where what is wrong is added; then there is no tensor.
    """
    where = name[:100]
    if datatype == "BYTES":
        texts = _texts(content)
        if texts is None:
            faults.append(
                Fault(where, "its bytes do not end with a text's end: each has its length before it.")
            )
            return None
        return Tensor(name, datatype, shape, texts)
    dtype = _NUMPY.get(datatype)
    if dtype is None:
        faults.append(Fault(where, f"its datatype is {datatype[:20]!r}.", "The protocol has no such one."))
        return None
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(content) or min(shape, default=0) < 0:
        what = (
            f"it has {len(content)} bytes, and as {datatype} of shape {str([*shape])[:60]} it is {expected}."
        )
        faults.append(Fault(where, what[:300]))
        return None
    values: NDArray[Any] = np.frombuffer(content, dtype)
    if datatype == "BOOL":
        if values.size and values.max() > 1:
            faults.append(Fault(where, "a truth value is neither 0 nor 1."))
            return None
        values = values.view(np.bool_)
    elif datatype == "BF16":  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return Tensor(name, datatype, shape, values)


def size_of(datatype: str) -> int:
    """Give the bytes of one element of any datatype but BYTES."""
    return _NUMPY[datatype].itemsize


def to_raw(datatype: str, values: Sequence[Any]) -> bytes:
    r"""Give a tensor's bytes.

    Examples
    --------
    >>> to_raw("INT32", [1, 2]), to_raw("BYTES", ["é"])
    (b'\x01\x00\x00\x00\x02\x00\x00\x00', b'\x02\x00\x00\x00\xc3\xa9')
    """
    if datatype == "BYTES":
        encoded = [each.encode() if isinstance(each, str) else each for each in values]
        return b"".join(chain.from_iterable(zip(map(_LENGTH.pack, map(len, encoded)), encoded, strict=True)))
    if datatype == "BF16":
        return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    return np.asarray(values, _NUMPY[datatype]).tobytes()


def _texts(content: bytes | memoryview) -> list[bytes] | None:
    texts, start, end = [], 0, len(content)
    while start < end:
        if start + 4 > end:
            return None
        (length,) = _LENGTH.unpack_from(content, start)
        start += 4 + length
        if start > end:
            return None
        texts.append(bytes(content[start - length : start]))
    return texts
