"""Requests such as nearly all are: raw contents, in a form that was met before and need not be looked at again.

What a request says besides its values (names, datatypes, shapes, outputs) is the same again and again. It is read once,
and after that a whole group of columns is taken as one matrix. Whatever is unusual or wrong is not for this module.
"""

from __future__ import annotations

__all__ = ["Form", "form_of", "rows_of"]

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mainspring.gateway.grpc.messages import message
from mainspring.gateway.inputs import ROW_LIMIT, Rows, in_float32, is_whole, kept, stacked
from mainspring.gateway.protocols.oip import Wanted, Wishes
from mainspring.gateway.protocols.raw import from_raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainspring.gateway.inputs import Inputs, Value
    from mainspring.monitoring.record import Column

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


class Group(NamedTuple):
    """The columns that are of one datatype: their names, and which of the contents is whose."""

    datatype: str
    names: tuple[str, ...]
    at: tuple[int, ...]


class Form(NamedTuple):
    """What all requests of one form have in common.

    Attributes
    ----------
    columns, rows : int
        How many there are.
    outputs : list of Wanted, optional
        Those that are asked for.
    groups : tuple of Group
    numeric : tuple of str
        The columns that are no texts, in the order of the product.
    """

    columns: int
    rows: int
    outputs: list[Wanted] | None
    groups: tuple[Group, ...]
    numeric: tuple[str, ...]


def form_of(inputs: Inputs, header: bytes) -> Form | None:
    """Give the form of requests that are `header` without their id and contents; None when it is not a usual one."""
    return _read_form(inputs, header) if len(header) <= _LONGEST else None


@lru_cache(_FORMS)
def _read_form(inputs: Inputs, header: bytes) -> Form | None:
    asked = _Request.FromString(header)
    wishes = Wishes(outputs=[Wanted(each.name) for each in asked.outputs] or None)
    if wishes.faults(inputs) or any(each.parameters for each in asked.outputs):
        return None
    shapes = {tuple(each.shape) for each in asked.inputs}
    if len(shapes) != 1 or len(asked.inputs) != len(inputs.datatypes):
        return None
    [shape] = shapes
    if shape[1:] not in ((), (1,)) or not shape or not 0 < shape[0] <= ROW_LIMIT:
        return None
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for at, each in enumerate(asked.inputs):
        wanted = inputs.datatypes.get(each.name)
        floats = {wanted, each.datatype} <= {"FP32", "FP64"}
        if not (wanted == each.datatype or floats) or each.HasField("contents") or each.parameters:
            return None
        if each.datatype not in _NUMPY and each.datatype != "BYTES":
            return None
        places[each.datatype].append((each.name, at))
    groups = tuple(Group(datatype, *zip(*its, strict=True)) for datatype, its in places.items())
    if {name for each in groups for name in each.names} != inputs.datatypes.keys():
        return None
    return Form(len(asked.inputs), shape[0], wishes.outputs, groups, inputs.numeric)


def rows_of(form: Form, contents: Sequence[bytes]) -> Rows | None:
    """Give the rows of a request of a form; None when anything about its values is wrong or missing."""
    if len(contents) != form.columns:
        return None
    columns: dict[str, Column] = {}
    numbers: dict[str, NDArray[np.float32]] = {}
    for datatype, names, at in form.groups:
        its = [contents[n] for n in at]
        if datatype == "BYTES":
            for name, content in zip(names, its, strict=True):
                texts = _texts(content)
                if texts is None or len(texts) != form.rows:
                    return None
                columns[name] = texts
            continue
        matrix = _matrix(datatype, its, form.rows)
        if matrix is None:
            return None
        columns.update(zip(names, kept(matrix, nulls=False), strict=True))
        if names == form.numeric and len(form.groups) == 1:  # nearly always
            return Rows(form.rows, columns, frozenset(), names, in_float32(matrix))
        numbers.update(zip(names, in_float32(matrix), strict=True))
    whole = stacked([numbers[name] for name in form.numeric], form.rows)
    return Rows(form.rows, columns, frozenset(), form.numeric, whole)


def _matrix(datatype: str, contents: Sequence[bytes], rows: int) -> NDArray[Any] | None:
    """Columns of one datatype, shape (columns, rows); None when they are not whole, or a value is none."""
    dtype = _NUMPY[datatype]
    if set(map(len, contents)) != {rows * dtype.itemsize}:
        return None
    values = np.frombuffer(b"".join(contents), dtype)
    if datatype == "BOOL":
        if values.max() > 1:
            return None
        values = values.view(np.bool_)
    elif datatype[0] == "F" and not is_whole(values):
        return None
    return values.reshape(len(contents), rows)


def _texts(content: bytes) -> list[Value] | None:
    read = from_raw("", "BYTES", (), content, [])
    if read is None:
        return None
    try:
        texts: list[Value] = [each.decode() for each in read.values]
    except UnicodeDecodeError:
        return None
    return None if any("\0" in str(each) for each in texts) else texts
