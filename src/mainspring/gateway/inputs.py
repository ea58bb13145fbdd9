"""What a request to a product must hold: from named tensors to checked columns, and from those to a model's."""

from __future__ import annotations

__all__ = [
    "INTEGERS",
    "LARGEST_FLOAT",
    "ROW_LIMIT",
    "BadRequest",
    "Inputs",
    "Rows",
    "Tensor",
    "Value",
    "as_text",
    "in_float32",
    "is_whole",
    "kept",
    "stacked",
]

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from mainspring.errors import Fault, Faults
from mainspring.monitoring.record import Packed, listed
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from mainspring.features.online import Found
    from mainspring.gateway.runtimes import Model
    from mainspring.monitoring.record import Column, Values
    from mainspring.product import ColumnSpec, FeatureViewSpec

ROW_LIMIT = 10_000

Value: TypeAlias = str | int | float | bool | None

INTEGERS = {
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, min(2**bits, 2**63) - 1) for bits in (8, 16, 32, 64)},
}
"""What fits an integer datatype, and a column of integers too."""

LARGEST_FLOAT = float(np.finfo(np.float32).max)
"""Models take float32: what is beyond would be infinite."""

_FLOATS = ("FP32", "FP64", "FP16", "BF16")
_FAULTS_TOLD = 100
_FEW = 64
_PACKED_FROM = 16
"""Rows from which on floats and arrays are logged in bytes: the digits of fewer take no time, and people read them."""

_KINDS = {
    int: "a number",
    float: "a number",
    bool: "a truth value",
    str: "text",
    list: "a list",
    dict: "an object",
}


class BadRequest(Faults):
    """A request that cannot be answered as it is; every reason is told."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("The request", faults[:_FAULTS_TOLD])


class Tensor(msgspec.Struct, frozen=True):
    """A column as a protocol has brought it, not yet checked.

    Attributes
    ----------
    name, datatype : str
        As they were sent; the datatype is one of the Open Inference Protocol.
    shape : sequence of int
    values : list or ndarray
        Flat and row-major. A list holds numbers, truth values or texts (as str, or as bytes in UTF-8), and None
        for what is missing; an array is of the datatype sent (BF16 as float32), and NaN in it is missing.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    values: list[Any] | NDArray[Any]


class Rows(msgspec.Struct, frozen=True):  # made for each request, and a dataclass takes eight times as long
    """The rows of a request, by column.

    Attributes
    ----------
    count : int
    columns : mapping of str to list or Packed
        The values, None where one is missing; packed where they are many floats, or came as an array of many.
    with_nulls : frozenset of str
        The columns in which one is missing.
    names : tuple of str
        The columns that are no texts, in the order of the product.
    matrix : ndarray of float32, shape (len(names), count)
        Their values, with NaN for what is missing.
    left_out : tuple of FeatureViewSpec
        Feature views whose features are still to be looked up.
    found : tuple of Found
        What was looked up; it is among the columns.
    at : datetime, optional
        The instant of that.
    """

    count: int
    columns: Mapping[str, Column]
    with_nulls: frozenset[str]
    names: tuple[str, ...]
    matrix: NDArray[np.float32]
    left_out: tuple[FeatureViewSpec, ...] = ()
    found: tuple[Found, ...] = ()
    at: datetime | None = None

    @property
    def numbers(self) -> dict[str, NDArray[np.float32]]:
        """The columns that are no texts, one by one."""
        return dict(zip(self.names, self.matrix, strict=True))

    @property
    def sent(self) -> dict[str, Column]:
        """The columns that the caller has sent."""
        looked_up = {name for found in self.found for name in found.columns}
        return {name: values for name, values in self.columns.items() if name not in looked_up}

    def about(self, name: str, row: int) -> str:
        """Name a column, with what became of a value of it that was looked up."""
        for found in self.found:
            if name in found.columns:
                return f"{name} ({found.status(name, row)} in feature view {found.view.name})"
        return name

    def values(self, name: str) -> Values:
        """Give the values of a column one by one."""
        return listed(self.columns[name])

    def feed(self, model: Model, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Give some rows, rising, as the model takes them.

        Raises
        ------
        KeyError
            The model reads a column that the product has not, or reads text as a number.
        """
        numbers: Mapping[str, NDArray[Any]] = self.numbers
        if model.dtype != "float32":
            numbers = {
                name: np.array(self.values(name), model.dtype) for name in model.numbers if name in numbers
            }
        if len(rows) == self.count:
            feed: dict[str, NDArray[Any]] = {name: numbers[name] for name in model.numbers}
            for name in model.texts:
                feed[name] = np.array([as_text(value) for value in self.values(name)], dtype=object)
            return feed
        chosen = list(rows)
        feed = {name: numbers[name][chosen] for name in model.numbers}
        for name in model.texts:
            values = self.values(name)
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
    online : sequence of FeatureViewSpec
        Views whose features, which are among the columns, may be left out all together.
    entities : iterable of ColumnSpec
        What may be sent besides, and must be for a view that is left out.
    answer : str
        How the model's answer is named.

    Attributes
    ----------
    outputs : dict of str
        Names and datatypes of what can be answered, each with one value per row.
    datatypes : dict of str
        By the name of the column, those of entities last.
    names : list of str
        The columns without the entities.
    numeric : tuple of str
        The columns that are no texts.
    optional : dict of dict
        What there is to say of the columns that may be left out.
    """

    def __init__(
        self,
        columns: Iterable[ColumnSpec],
        online: Sequence[FeatureViewSpec] = (),
        entities: Iterable[ColumnSpec] = (),
        answer: str = BinaryClassification.answer,
    ) -> None:
        self.outputs = {answer: "FP64", "prediction_id": "BYTES", "model_version": "INT64"}
        self.datatypes = {each.name: each.dtype if each.dtype != "TIMESTAMP" else "BYTES" for each in columns}
        self.names = [*self.datatypes]
        self._online = online
        self._entities = {each.name: each.dtype for each in entities if each.name not in self.datatypes}
        self.datatypes |= self._entities
        self.optional: dict[str, dict[str, object]] = {
            name: {"optional": True, "feature_view": view.name, "entity": view.entity}
            for view in online
            for name in view.feature_names
        } | {
            name: {"optional": True, "entity_of": [view.name for view in online if view.entity == name]}
            for name in self._entities
        }
        self.numeric = tuple(name for name, datatype in self.datatypes.items() if datatype != "BYTES")
        self._floats = frozenset(name for name, datatype in self.datatypes.items() if datatype in _FLOATS)

    def check(self, tensors: Sequence[Tensor], faults: Iterable[Fault] = (), *, unread: bool = False) -> Rows:
        """Make rows of tensors.

        Parameters
        ----------
        tensors : sequence of Tensor
        faults : iterable of Fault
            What the door has found already; it is told together with what is found here.
        unread : bool
            Whether there were tensors that the door could not read at all, so that one which is missing here need
            not have been missing there.

        Raises
        ------
        BadRequest
            With everything that is wrong.
        """
        found = list(faults)
        if not found and not unread and (rows := self._at_once(tensors)):
            return rows
        by_name = {each.name: each for each in tensors}
        if len(by_name) < len(tensors):
            times = Counter(each.name for each in tensors)
            found += [Fault(name[:100], "it is there more than once.") for name in by_name if times[name] > 1]
        columns: dict[str, Column] = {}
        numbers: dict[str, NDArray[np.float32]] = {}
        left_out, spared = self._may_lack(by_name, found) if self._online and not unread else ((), set())
        for name, datatype in self.datatypes.items():
            tensor = by_name.pop(name, None)
            if tensor is not None:
                if (sound := _sound_array(tensor, datatype)) is None:
                    columns[name] = _column(tensor, datatype, found)
                else:
                    [columns[name]], [numbers[name]] = kept(sound[np.newaxis]), in_float32(sound[np.newaxis])
            elif not unread and name not in spared:
                found.append(Fault(name, "it is missing.", self._mend(name)))
        for name in by_name:
            found.append(
                Fault(name[:100], "the product has no such input.", f"It has {', '.join(self.datatypes)}.")
            )
        if len({len(values) for values in columns.values() if values}) > 1:
            told = ", ".join(f"{name} {len(columns[name])}" for name in self.datatypes if columns.get(name))
            found.append(Fault("inputs", f"they differ in their number of rows: {told}."))
        if found:
            raise BadRequest(tuple(found))
        return self.rows(columns, numbers, left_out=left_out)

    def left_out(self, sent: Collection[str]) -> tuple[FeatureViewSpec, ...] | None:
        """Give the views to be looked up for a request of some of the columns; None when others are missing."""
        found: list[Fault] = []
        left_out, spared = self._may_lack(sent, found)
        lacking = any(name not in sent and name not in spared for name in self.datatypes)
        return None if found or lacking else left_out

    def _may_lack(
        self, sent: Collection[str], faults: list[Fault]
    ) -> tuple[tuple[FeatureViewSpec, ...], set[str]]:
        """Give the views that are left out, and the columns that a request need not have or is told of by its view."""
        left_out, spared = [], set(self._entities)
        for view in self._online:
            names = view.feature_names
            there = [name for name in names if name in sent]
            if not there:
                left_out.append(view)
            elif len(there) < len(names):
                what = f"of its features only {', '.join(there)} is there."
                mend = f"Send all of {', '.join(names)}, or none of them and {view.entity}."
                faults.append(Fault(f"feature view {view.name}", what, mend))
            spared.update(names)
        return tuple(left_out), spared - {view.entity for view in left_out}

    def _mend(self, name: str) -> str:
        send = f"Send this tensor, {self.datatypes[name]} of shape [rows]"
        if name not in self._entities:
            return f"{send}."
        of = [each for view in self._online if view.entity == name for each in view.feature_names]
        return f"{send}, to have {', '.join(of)} looked up, or send those."

    def rows(
        self,
        columns: Mapping[str, Column],
        numbers: Mapping[str, NDArray[np.float32]] | None = None,
        *,
        may_have_nulls: bool = True,
        left_out: tuple[FeatureViewSpec, ...] = (),
    ) -> Rows:
        """Make rows of columns that have been checked, those of the product, in any order.

        `numbers` are some of them as arrays already, among them all that are packed; the features of views that are
        `left_out` are not among the columns.
        """
        count = len(next(iter(columns.values())))
        names = self.numeric
        if self._online:
            names = tuple(name for name in names if name in columns)
        if numbers is None and count < _PACKED_FROM:  # nearly always
            flat = list(chain.from_iterable([columns[name] for name in names]))
            matrix = np.array(flat, np.float32).reshape(-1, count)  # a null becomes NaN
        else:
            numbers = dict(numbers or {})
            rest = [name for name in names if name not in numbers]
            if count >= _PACKED_FROM and (floats := [name for name in rest if name in self._floats]):
                flat = list(chain.from_iterable([columns[name] for name in floats]))
                many = np.array(flat, np.float64).reshape(-1, count)
                columns = {**columns, **dict(zip(floats, kept(many), strict=True))}
                numbers.update(zip(floats, in_float32(many), strict=True))
            for name in names:
                if name not in numbers:
                    numbers[name] = np.array(listed(columns[name]), np.float32)
            matrix = stacked([numbers[name] for name in names], count)
        with_nulls: frozenset[str] = frozenset()
        if may_have_nulls:
            seen = dict(zip(names, matrix, strict=True))
            with_nulls = frozenset(
                [name for name, column in columns.items() if _lacks(column, seen.get(name))]
            )
        return Rows(count, columns, with_nulls, names, matrix, left_out)

    def with_found(self, rows: Rows, found: Sequence[Found], at: datetime) -> Rows:
        """Add to rows what was looked up at an instant."""
        columns = {name: values for each in found for name, values in each.columns.items()}
        numbers = rows.numbers | {
            name: np.array(values, np.float32)
            for name, values in columns.items()
            if self.datatypes[name] != "BYTES"
        }
        names = tuple(name for name in self.numeric if name in numbers)
        return Rows(
            rows.count,
            {**rows.columns, **columns},
            rows.with_nulls | frozenset(name for name, values in columns.items() if None in values),
            names,
            stacked([numbers[name] for name in names], rows.count),
            found=tuple(found),
            at=at,
        )

    def matrix(self, names: Sequence[str], matrix: NDArray[np.floating[Any]]) -> Rows | None:
        """Make rows of floats for all columns of a product that has no others.

        Parameters
        ----------
        names : sequence of str
            Of the matrix's rows, each of which is a column of the product.
        matrix : ndarray of float, shape (columns, rows)

        Returns
        -------
        Rows or None
            None when something is wrong or missing, so that all of it has to be looked at.
        """
        count = matrix.shape[1]
        if len(names) != len(self.datatypes) or self._floats != set(names) or not 0 < count <= ROW_LIMIT:
            return None
        nulls: list[str] = []
        if not is_whole(matrix):
            if not _is_between(matrix, *_bounds("FP64")):
                return None
            nulls = [name for name, column in zip(names, matrix, strict=True) if np.isnan(column).any()]
        columns = dict(zip(names, kept(matrix, nulls=bool(nulls)), strict=True))
        numbers = in_float32(matrix)
        if (*names,) != self.numeric:
            place = {name: n for n, name in enumerate(names)}
            numbers = numbers[[place[name] for name in self.numeric]]
        return Rows(count, columns, frozenset(nulls), self.numeric, numbers)

    def _at_once(self, tensors: Sequence[Tensor]) -> Rows | None:
        """Rows of tensors that are all arrays of floats; None when they are not, or something is wrong with them."""
        if len(self._floats) != len(self.datatypes) or not tensors:
            return None
        values = [each.values for each in tensors]
        if not all(isinstance(each, np.ndarray) and each.dtype.kind == "f" for each in values):
            return None
        first, count = tensors[0].shape, len(values[0])
        if [*first] not in ([count], [count, 1]) or any(
            each.shape != first or len(each.values) != count for each in tensors
        ):
            return None
        return self.matrix([each.name for each in tensors], np.concatenate(values).reshape(-1, count))


def kept(matrix: NDArray[Any], *, nulls: bool = True) -> Sequence[Column]:
    """Give the rows of a matrix, each of which is a column, as they go into the log.

    Without `nulls` there is no NaN in it.
    """
    if matrix.shape[1] >= _PACKED_FROM:
        return Packed.all_of(matrix)
    lists: list[Values] = matrix.tolist()
    return [[None if value != value else value for value in each] for each in lists] if nulls else lists


def stacked(columns: Sequence[NDArray[np.float32]], count: int) -> NDArray[np.float32]:
    """Give columns of some rows as the rows of a matrix, which may be none."""
    return np.stack(columns) if columns else np.empty((0, count), np.float32)


def in_float32(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Give numbers as models take them: by way of float64, as they would have come in JSON."""
    return matrix.astype(np.float64, copy=False).astype(np.float32)


def is_whole(floats: NDArray[np.floating[Any]]) -> bool:
    """Say whether none is missing or beyond the largest; at no great cost, and sometimes without need not so."""
    if floats.size <= _FEW:
        return float(np.abs(floats).max(initial=0)) <= LARGEST_FLOAT
    with np.errstate(over="ignore"):
        # A tenth of what a least and a greatest cost: no square is greater than their sum, and NaN makes it NaN.
        squares = float(np.vdot(floats, floats))
    return squares <= LARGEST_FLOAT**2


def _is_between(values: NDArray[Any], low: float, high: float) -> bool:
    """Say whether all that are not missing are from the one to the other."""
    if values.dtype.kind != "f":
        return bool(low <= values.min().item() and values.max().item() <= high)
    least, greatest = np.fmin.reduce(values, axis=None).item(), np.fmax.reduce(values, axis=None).item()
    return not (least < low or greatest > high)  # of nothing but NaN they are NaN


def _lacks(column: Column, numbers: NDArray[np.floating[Any]] | None) -> bool:
    return (
        None in column if isinstance(column, list) else numbers is not None and bool(np.isnan(numbers).any())
    )


def _sound_array(tensor: Tensor, datatype: str) -> NDArray[Any] | None:
    """The values when they are an array of which each can be taken as it is; None when each has to be looked at."""
    values, shape = tensor.values, [*tensor.shape]
    if not isinstance(values, np.ndarray) or not 0 < len(values) <= ROW_LIMIT:
        return None
    if shape not in ([len(values)], [len(values), 1]) or not _kinds(datatype, tensor.datatype):
        return None
    if values.dtype.kind == "b":
        return values
    if (values.dtype.kind == "f") != (datatype in _FLOATS):
        return None
    return values if _is_between(values, *_bounds(datatype)) else None


def _shape_faults(tensor: Tensor, values: int) -> Iterator[Fault]:
    shape, told = tensor.shape, f"its shape is {str([*tensor.shape])[:60]}"
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or shape[0] < 0:
        yield Fault(tensor.name[:100], f"{told}.", "Send [rows] or [rows, 1].")
    elif shape[0] != values:
        yield Fault(tensor.name[:100], f"{told}, but there are {values} values.")
    elif values == 0:
        yield Fault(tensor.name[:100], "it has no rows.", "Send at least one.")
    elif values > ROW_LIMIT:
        yield Fault(tensor.name[:100], f"it has {values} rows.", f"Send at most {ROW_LIMIT} at a time.")


def _column(tensor: Tensor, datatype: str, faults: list[Fault]) -> list[Value]:
    """The values of a tensor as those of a column; what is wrong goes to `faults`, and then there are none."""
    sent, data = tensor.datatype, tensor.values
    if wrong := [*_shape_faults(tensor, len(data))]:
        faults += wrong
        return []
    kinds = _kinds(datatype, sent)
    if not kinds:
        faults.append(Fault(tensor.name, f"its datatype is {sent[:20]!r}.", f"The product's is {datatype}."))
        return []
    if isinstance(data, np.ndarray):
        data = [None if value != value else value for value in data.tolist()]
    if datatype == "BYTES":
        return _texts(tensor, data, faults)
    present = set(map(type, data))
    present.discard(type(None))
    if not present <= kinds:
        _tell_kind(tensor, data, kinds, faults)
        return []
    if not present & {int, float}:
        return data
    whole = sent in INTEGERS or datatype in INTEGERS
    if whole and (rows := [row for row, value in enumerate(data) if value is not None and value % 1]):
        faults.append(Fault(tensor.name, f"{_told(rows)} not whole, as {sent} for {datatype} must be."))
        return []
    low, high = max(_bounds(sent)[0], _bounds(datatype)[0]), min(_bounds(sent)[1], _bounds(datatype)[1])
    if rows := [row for row, value in enumerate(data) if value is not None and not low <= value <= high]:
        faults.append(Fault(tensor.name, f"{_told(rows)} beyond {low:.8g} to {high:.8g}."))
        return []
    number = int if datatype in INTEGERS else float
    return [None if value is None else number(value) for value in data]


def _texts(tensor: Tensor, data: list[Any], faults: list[Fault]) -> list[Value]:
    """Values as texts; those that came as bytes are decoded."""
    texts, garbled = [], []
    for row, value in enumerate(data):
        if type(value) is not bytes:
            texts.append(value)
            continue
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            garbled.append(row)
            texts.append("")
    if garbled:
        faults.append(Fault(tensor.name, f"{_told(garbled)} not UTF-8."))
        return []
    if not set(map(type, texts)) <= {str, type(None)}:
        _tell_kind(tensor, texts, {str}, faults)
        return []
    # Acknowledged here, such a text would be refused later by databases that cannot keep it.
    if rows := [row for row, value in enumerate(texts) if value is not None and "\0" in value]:
        faults.append(Fault(tensor.name, f"{_told(rows)} a text with a NUL.", "Leave it out."))
        return []
    return texts


def _tell_kind(tensor: Tensor, data: list[Any], kinds: set[type], faults: list[Fault]) -> None:
    rows = [row for row, value in enumerate(data) if value is not None and type(value) not in kinds]
    what = _KINDS.get(type(data[rows[0]]), "something else")
    faults.append(
        Fault(tensor.name, f"{_told(rows)} not of datatype {tensor.datatype}: row {rows[0]} is {what}.")
    )


def _bounds(datatype: str) -> tuple[float, float]:
    return INTEGERS.get(datatype, (-LARGEST_FLOAT, LARGEST_FLOAT))


def _kinds(datatype: str, sent: str) -> set[type]:
    """Of which types the values must be for a column of one datatype that is sent as another; none when it cannot."""
    if datatype == sent == "BYTES":
        return {str}
    if datatype == sent == "BOOL":
        return {bool}
    # JSON does not tell 5.0 from 5, so a number is taken as it is written, if it fits.
    numeric = sent in _FLOATS or sent in INTEGERS
    return {int, float} if numeric and datatype not in ("BYTES", "BOOL") else set()


def _told(rows: Sequence[int]) -> str:
    first = ", ".join(map(str, rows[:5])) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return f"row {first} is" if len(rows) == 1 else f"rows {first} are"
