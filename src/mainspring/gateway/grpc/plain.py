"""Requests such as nearly all are: raw contents, in a form that was met before and need not be looked at again.

What a request says besides its values (names, datatypes, shapes, outputs) is the same again and again. It is read once,
and after that a whole group of columns is taken as one matrix. Whatever is unusual or wrong is not for this module.
"""

from __future__ import annotations

__all__ = ["Form", "form_of", "rows_of"]

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mainspring.gateway.grpc.messages import message
from mainspring.gateway.inputs import LARGEST_FLOAT, ROW_LIMIT, Rows
from mainspring.gateway.protocols.oip import Wanted, Wishes
from mainspring.gateway.protocols.raw import from_raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainspring.gateway.inputs import Inputs, Value

_FORMS = 256
_LONGEST = 2**16
"""Bytes of a form that is worth keeping; with their number it bounds the memory."""

_NUMPY = {
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (32, 64)},
    "BOOL": np.dtype("u1"),
}
"""The datatypes of which every value that fits the bytes fits the column, or can be seen to by two comparisons."""

_Request = message("inference.ModelInferRequest")


class Column(NamedTuple):
    """A column, and which of the contents is its."""

    datatype: str
    name: str
    at: int


class Form(NamedTuple):
    """What all requests of one form have in common.

    Attributes
    ----------
    rows : int
    outputs : list of Wanted, optional
        Those that are asked for.
    groups : tuple of (datatype, columns)
        The columns of numbers and truth values, those of a datatype together.
    texts : tuple of Column
    """

    rows: int
    outputs: list[Wanted] | None
    groups: tuple[tuple[str, tuple[Column, ...]], ...]
    texts: tuple[Column, ...]


def form_of(inputs: Inputs, header: bytes) -> Form | None:
    """Give the form of requests that are `header` without their id and contents; None when it is not a usual one."""
    return _read_form(inputs, header) if len(header) <= _LONGEST else None


@lru_cache(_FORMS)
def _read_form(inputs: Inputs, header: bytes) -> Form | None:
    asked = _Request.FromString(header)
    wishes = Wishes(outputs=[Wanted(each.name) for each in asked.outputs] or None)
    if wishes.faults() or any(each.parameters for each in asked.outputs):
        return None
    shapes = {tuple(each.shape) for each in asked.inputs}
    if len(shapes) != 1 or len(asked.inputs) != len(inputs.datatypes):
        return None
    [shape] = shapes
    if shape[1:] not in ((), (1,)) or not shape or not 0 < shape[0] <= ROW_LIMIT:
        return None
    columns = []
    for at, each in enumerate(asked.inputs):
        wanted = inputs.datatypes.get(each.name)
        floats = {wanted, each.datatype} <= {"FP32", "FP64"}
        if not (wanted == each.datatype or floats) or each.HasField("contents") or each.parameters:
            return None
        if each.datatype not in _NUMPY and each.datatype != "BYTES":
            return None
        columns.append(Column(each.datatype, each.name, at))
    if {each.name for each in columns} != inputs.datatypes.keys():
        return None
    texts = tuple(each for each in columns if each.datatype == "BYTES")
    others = sorted(each for each in columns if each.datatype != "BYTES")
    groups = tuple((datatype, tuple(its)) for datatype, its in groupby(others, lambda each: each.datatype))
    return Form(shape[0], wishes.outputs, groups, texts)


def rows_of(form: Form, contents: Sequence[bytes]) -> Rows | None:
    """Give the rows of a request of a form; None when anything about its values is wrong or missing."""
    if len(contents) != len(form.texts) + sum(len(columns) for _, columns in form.groups):
        return None
    columns: dict[str, list[Value]] = {}
    numbers: dict[str, NDArray[np.float32]] = {}
    for datatype, group in form.groups:
        matrix = _matrix(_NUMPY[datatype], [contents[each.at] for each in group], form.rows)
        if matrix is None:
            return None
        if datatype == "BOOL":
            if matrix.max() > 1:
                return None
            matrix = matrix.view(np.bool_)
        wide = matrix.astype(np.float64)  # as numbers in JSON are, on their way to float32
        with np.errstate(over="ignore"):
            # A tenth of what a least and a greatest cost: no square is greater than their sum, and NaN makes it NaN.
            squares = np.dot(wide.ravel(), wide.ravel())
        if not squares <= LARGEST_FLOAT**2:
            return None
        for column, values, as_numbers in zip(group, matrix.tolist(), wide.astype(np.float32), strict=True):
            columns[column.name], numbers[column.name] = values, as_numbers
    for text in form.texts:
        values = _texts(contents[text.at])
        if values is None or len(values) != form.rows:
            return None
        columns[text.name] = values
    return Rows(form.rows, columns, frozenset(), numbers)


def _matrix(dtype: np.dtype[Any], contents: Sequence[bytes], rows: int) -> NDArray[Any] | None:
    """Columns of one datatype, shape (columns, rows)."""
    if set(map(len, contents)) != {rows * dtype.itemsize}:
        return None
    return np.frombuffer(b"".join(contents), dtype).reshape(len(contents), rows)


def _texts(content: bytes) -> list[Value] | None:
    read = from_raw("", "BYTES", (), content, [])
    if read is None:
        return None
    try:
        texts: list[Value] = [each.decode() for each in read.values]
    except UnicodeDecodeError:
        return None
    return None if any("\0" in str(each) for each in texts) else texts
