"""From the tensors of a request to checked columns, and from those to what a model takes."""

from __future__ import annotations

__all__ = ["ROW_LIMIT", "Inputs", "Rows"]

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union

import msgspec
import numpy as np

from mainspring.errors import Fault
from mainspring.gateway.protocols.oip import BadRequest, Wishes, read_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mainspring.formats.onnx import OnnxModel
    from mainspring.gateway.protocols.oip import InputTensor
    from mainspring.product import ColumnSpec

ROW_LIMIT = 10_000

Value: TypeAlias = str | int | float | bool | None

_INTEGERS = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, min(2**bits, 2**63) - 1) for bits in (8, 16, 32, 64)},
}
"""What fits an integer datatype, and a column of integers too."""

_FLOATS = ("FP32", "FP64")
_GREATEST = float(np.finfo(np.float32).max)  # models take float32: what is beyond would be infinite
_JSON = {
    int: "a number",
    float: "a number",
    bool: "a truth value",
    str: "text",
    list: "a list",
    dict: "an object",
}


class Rows(msgspec.Struct, frozen=True):  # made for each request, and a dataclass takes eight times as long
    """The rows of a request, by column.

    Attributes
    ----------
    count : int
    columns : mapping of str to list
        The values, None where one is missing.
    with_nulls : frozenset of str
        The columns in which one is missing.
    numbers : mapping of str to ndarray of float32, shape (count,)
        The columns that are no texts, with NaN for what is missing.
    """

    count: int
    columns: Mapping[str, list[Value]]
    with_nulls: frozenset[str]
    numbers: Mapping[str, NDArray[np.float32]]

    def feed(self, model: OnnxModel, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Give some rows, rising, as `OnnxModel.predict` takes them.

        Raises
        ------
        KeyError
            The model reads a column that the product has not, or reads text as a number.
        """
        numbers, columns = self.numbers, self.columns
        if len(rows) == self.count:
            feed: dict[str, NDArray[Any]] = {name: numbers[name] for name in model.numbers}
            for name in model.texts:
                feed[name] = np.array([as_text(value) for value in columns[name]], dtype=object)
            return feed
        chosen = list(rows)
        feed = {name: numbers[name][chosen] for name in model.numbers}
        for name in model.texts:
            values = columns[name]
            feed[name] = np.array([as_text(values[row]) for row in chosen], dtype=object)
        return feed


def as_text(value: Value) -> str:
    """Print a value as the training frame's cast to text does; a missing one is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class Inputs:
    """What a request to a product must hold: one tensor for each of these columns.

    Parameters
    ----------
    columns : iterable of ColumnSpec
        A moment (`TIMESTAMP`) is sent as text.
    """

    def __init__(self, columns: Iterable[ColumnSpec]) -> None:
        self.datatypes = {each.name: each.dtype if each.dtype != "TIMESTAMP" else "BYTES" for each in columns}
        self._numeric = [name for name, datatype in self.datatypes.items() if datatype != "BYTES"]
        self._plain_tensors = {
            _plain_tensor(name, datatype): name for name, datatype in self.datatypes.items()
        }
        tensors = list[Union[tuple(self._plain_tensors)]]  # type: ignore[misc,valid-type]  # noqa: UP007
        plain = msgspec.defstruct("PlainRequest", [("inputs", tensors)], bases=(Wishes,), kw_only=True)
        self._decode_plain: Callable[[bytes], Any] = msgspec.json.Decoder(plain).decode

    def read(self, body: bytes) -> tuple[Wishes, Rows]:
        """Read and check a request.

        Raises
        ------
        BadRequest
            With everything that is wrong.
        """
        if b"\\u0000" in body:
            # Acknowledged here, such a text would be refused later by databases that cannot keep it.
            raise BadRequest((Fault("body", "a text in it holds a NUL.", "Leave it out."),))
        return self._read_plain(body) or self._read_any(body)

    def _read_plain(self, body: bytes) -> tuple[Wishes, Rows] | None:
        """Read a request such as nearly all are, the decoder doing the checks; None when it is not one."""
        try:
            request = self._decode_plain(body)
        except (ValueError, RecursionError):
            return None
        tensors, names = request.inputs, self._plain_tensors
        columns = {names[type(each)]: each.data for each in tensors}
        if not len(columns) == len(tensors) == len(self.datatypes) or request.faults():
            return None
        shapes = [each.shape for each in tensors]
        shape = shapes[0]
        if len(shape) != 1 or not 0 < shape[0] <= ROW_LIMIT or shapes.count(shape) != len(shapes):
            return None
        if set(map(len, columns.values())) != set(shape):
            return None
        return request, self._rows(columns, may_have_nulls=b"null" in body)

    def _read_any(self, body: bytes) -> tuple[Wishes, Rows]:
        """Read a request of any form, or tell everything that is wrong with it."""
        request, found = read_request(body)
        malformed = bool(found)
        found += request.faults()
        tensors = {each.name: each for each in request.inputs}
        if len(tensors) < len(request.inputs):
            times = Counter(each.name for each in request.inputs)
            found += [Fault(name[:100], "it is there more than once.") for name in tensors if times[name] > 1]
        columns: dict[str, list[Value]] = {}
        for name, datatype in self.datatypes.items():
            tensor = tensors.pop(name, None)
            if tensor is not None:
                columns[name] = _column(tensor, datatype, found)
            elif not malformed:  # if a tensor could not be read, it may be that one
                found.append(Fault(name, "it is missing.", f"Send this tensor, {datatype} of shape [rows]."))
        for name in tensors:
            found.append(
                Fault(name[:100], "the product has no such input.", f"It has {', '.join(self.datatypes)}.")
            )
        if len({len(values) for values in columns.values() if values}) > 1:
            told = ", ".join(f"{name} {len(values)}" for name, values in columns.items() if values)
            found.append(Fault("inputs", f"they differ in their number of rows: {told}."))
        if found:
            raise BadRequest(tuple(found))
        return request, self._rows(columns, may_have_nulls=True)

    def _rows(self, columns: Mapping[str, list[Value]], *, may_have_nulls: bool) -> Rows:
        count = len(next(iter(columns.values())))
        flat = list(chain.from_iterable([columns[name] for name in self._numeric]))
        numbers = np.array(flat, dtype=np.float32).reshape(-1, count)  # a null becomes NaN
        with_nulls = frozenset(
            [name for name, values in columns.items() if None in values] if may_have_nulls else ()
        )
        return Rows(count, columns, with_nulls, dict(zip(self._numeric, numbers, strict=True)))


def _plain_tensor(name: str, datatype: str) -> type[msgspec.Struct]:
    """The tensor of a column in its usual form, recognised by its name."""
    values: Any = {"BOOL": bool, "BYTES": str}.get(datatype)
    if values is None:
        low, high = _INTEGERS.get(datatype, (-_GREATEST, _GREATEST))
        values = Annotated[int if datatype in _INTEGERS else float, msgspec.Meta(ge=low, le=high)]
    sent = _FLOATS if datatype in _FLOATS else (datatype,)
    fields = [("shape", list[int]), ("datatype", Literal[sent]), ("data", list[values | None])]
    return msgspec.defstruct("PlainTensor", fields, tag_field="name", tag=name)


def _shape_faults(tensor: InputTensor, values: int) -> Iterator[Fault]:
    shape, told = tensor.shape, f"its shape is {str(tensor.shape)[:60]}"
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or shape[0] < 0:
        yield Fault(tensor.name, f"{told}.", "Send [rows] or [rows, 1].")
    elif shape[0] != values:
        yield Fault(tensor.name, f"{told}, but there are {values} values.")
    elif values == 0:
        yield Fault(tensor.name, "it has no rows.", "Send at least one.")
    elif values > ROW_LIMIT:
        yield Fault(tensor.name, f"it has {values} rows.", f"Send at most {ROW_LIMIT} at a time.")


def _column(tensor: InputTensor, datatype: str, faults: list[Fault]) -> list[Value]:
    """The values of a tensor as those of a column; what is wrong goes to `faults`, and then there are none."""
    sent, data = tensor.datatype, tensor.data
    if data and type(data[0]) is list:
        data = [each[0] if type(each) is list and len(each) == 1 else each for each in data]
    if wrong := [*_shape_faults(tensor, len(data))]:
        faults += wrong
        return []
    kinds = _kinds(datatype, sent)
    if not kinds:
        faults.append(Fault(tensor.name, f"its datatype is {sent[:20]!r}.", f"The product's is {datatype}."))
        return []
    present = set(map(type, data))
    present.discard(type(None))
    if not present <= kinds:
        rows = [row for row, value in enumerate(data) if value is not None and type(value) not in kinds]
        what = _JSON[type(data[rows[0]])]
        faults.append(Fault(tensor.name, f"{_rows(rows)} not of datatype {sent}: row {rows[0]} is {what}."))
        return []
    if not present & {int, float}:
        return data
    whole = sent in _INTEGERS or datatype in _INTEGERS
    if whole and (rows := [row for row, value in enumerate(data) if value is not None and value % 1]):
        faults.append(Fault(tensor.name, f"{_rows(rows)} not whole, as {sent} for {datatype} must be."))
        return []
    low, high = max(_bounds(sent)[0], _bounds(datatype)[0]), min(_bounds(sent)[1], _bounds(datatype)[1])
    if rows := [row for row, value in enumerate(data) if value is not None and not low <= value <= high]:
        faults.append(Fault(tensor.name, f"{_rows(rows)} beyond {low:.8g} to {high:.8g}."))
        return []
    number = int if datatype in _INTEGERS else float
    return [None if value is None else number(value) for value in data]


def _bounds(datatype: str) -> tuple[float, float]:
    return _INTEGERS.get(datatype, (-_GREATEST, _GREATEST))


def _kinds(datatype: str, sent: str) -> set[type]:
    """Of which types the values must be for a column of one datatype that is sent as another; none when it cannot."""
    if datatype == sent == "BYTES":
        return {str}
    if datatype == sent == "BOOL":
        return {bool}
    # JSON does not tell 5.0 from 5, so a number is taken as it is written, if it fits.
    numeric = sent in _FLOATS or sent in _INTEGERS
    return {int, float} if numeric and datatype not in ("BYTES", "BOOL") else set()


def _rows(rows: Sequence[int]) -> str:
    first = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return f"row {first} is" if len(rows) == 1 else f"rows {first} are"
