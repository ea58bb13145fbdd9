"""Rows as an Arrow IPC stream, both ways: one column for each input, and one for each output [1]_.

polars reads and writes it, and is loaded by the first such request.

References
----------
.. [1] Apache Arrow, `docs/source/format/Columnar.rst` ("IPC Streaming Format") and `format/Message.fbs`.
"""

from __future__ import annotations

__all__ = ["MEDIA_TYPE", "is_wanted", "read", "write"]

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mainspring.errors import Fault
from mainspring.gateway.http import BODY_LIMIT, Headers, Reply, accepts
from mainspring.gateway.inputs import ROW_LIMIT, BadRequest, Tensor
from mainspring.gateway.protocols.asked import Asked

if TYPE_CHECKING:
    import polars as pl

    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.predict import Prediction

MEDIA_TYPE = "application/vnd.apache.arrow.stream"


def is_wanted(headers: Headers) -> bool:
    """Say whether the caller asks for an answer in this form."""
    return accepts(headers, b"accept", MEDIA_TYPE.encode())


def read(inputs: Inputs, content: bytes) -> Asked:
    """Read a request.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    import polars as pl

    _need_sound(content)
    try:
        frame = pl.read_ipc_stream(content)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError) as error:
        raise _bad(
            f"it cannot be read as an Arrow IPC stream: {str(error).splitlines()[0][:300]}."
        ) from error
    if frame.height > ROW_LIMIT:
        raise _bad(f"it has {frame.height} rows.", f"Send at most {ROW_LIMIT} at a time.")
    found: list[Fault] = []
    read = [_tensor(column, inputs.datatypes.get(column.name, ""), found) for column in frame.get_columns()]
    tensors = [each for each in read if each is not None]
    return Asked(inputs.check(tensors, found, unread=len(tensors) < len(read)), write)


def write(product: str, prediction: Prediction) -> Reply:
    """Give the answer as a stream."""
    import polars as pl

    frame = pl.DataFrame(
        {
            prediction.answer: pl.Series(prediction.scores, dtype=pl.Float64),
            "prediction_id": pl.Series(prediction.ids, dtype=pl.String),
            "model_version": pl.Series(prediction.versions, dtype=pl.Int64),
        }
    )
    stream = BytesIO()
    # Text as Arrow 1.0 had it, which every reader knows.
    frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    return Reply(stream.getvalue(), kind=MEDIA_TYPE.encode())


def _tensor(column: pl.Series, datatype: str, faults: list[Fault]) -> Tensor | None:
    import polars as pl

    name, dtype = column.name, column.dtype
    shape = [len(column)]
    if dtype == pl.Boolean:
        return Tensor(name, "BOOL", shape, column.to_list())
    if dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128):
        values: Any = column.to_list() if column.null_count() else column.to_numpy()
        return Tensor(
            name, f"{'U' if dtype.is_unsigned_integer() else ''}INT{8 * _width(dtype)}", shape, values
        )
    if dtype in (pl.Float32, pl.Float64):
        return Tensor(name, f"FP{8 * _width(dtype)}", shape, column.to_numpy())  # a null becomes NaN
    if dtype == pl.Null:
        return Tensor(name, datatype, shape, column.to_list())
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC")
        return Tensor(name, "BYTES", shape, column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_list())
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        texts = column.cast(pl.String)
        # Many rows may share one text in the stream, and not in a list.
        if (texts.str.len_bytes().sum() or 0) > BODY_LIMIT:
            faults.append(Fault(name[:100], f"its texts are larger than {BODY_LIMIT // 2**20} MiB together."))
            return None
        return Tensor(name, "BYTES", shape, texts.to_list())
    faults.append(Fault(name[:100], f"its type is {dtype}.", "Send numbers, truth values, texts or moments."))
    return None


def _width(dtype: pl.DataType) -> int:
    import polars as pl

    widths = {
        pl.Int8: 1, pl.Int16: 2, pl.Int32: 4, pl.Int64: 8,
        pl.UInt8: 1, pl.UInt16: 2, pl.UInt32: 4, pl.UInt64: 8, pl.Float32: 4, pl.Float64: 8,
    }  # fmt: skip
    return next(width for kind, width in widths.items() if dtype == kind)


# --- what must be so before a reader is trusted with it --------------------------------------------------------------


def _need_sound(content: bytes) -> None:
    """Refuse what would grow when it is read, or names bytes that are not there."""
    position = 0
    try:
        while position + 8 <= len(content):
            marker, length = struct.unpack_from("<Ii", content, position)
            if marker != 0xFFFFFFFF:
                raise _bad("it is no Arrow IPC stream.", "Send what polars' `write_ipc_stream` writes.")
            if length == 0:
                return
            message = content[position + 8 : position + 8 + length] if length > 0 else b""
            position += 8 + length + _body_size(message)
            if length < 0 or position > len(content):
                raise _bad("a part of the Arrow stream is missing.")
    except struct.error as error:
        raise _bad("its Arrow metadata is damaged.") from error
    if position != len(content):
        raise _bad("a part of the Arrow stream is missing.")


def _body_size(message: bytes) -> int:
    """Give how many bytes belong to a message, of which each buffer names some."""
    root = _Table(message, *struct.unpack_from("<I", message))
    size = root.number(3, "<q")
    kind, batch = root.number(1, "<B"), root.table(2)
    if size < 0:
        raise _bad("its Arrow metadata is damaged.")
    if kind == 2 and batch is not None:  # a dictionary holds a batch
        batch = batch.table(1)
    if kind not in (2, 3) or batch is None:
        return size
    if batch.table(3) is not None:
        raise _bad("its Arrow buffers are compressed.", "Send them as they are; a whole body may be gzip.")
    if not 0 <= batch.number(0, "<q") <= BODY_LIMIT:
        raise _bad("its Arrow metadata is damaged.")
    for field, bound in ((1, BODY_LIMIT), (2, size)):  # nodes: rows and nulls; buffers: where, and how long
        for first, second in batch.pairs(field):
            if (
                first < 0
                or second < 0
                or (first + second > bound if field == 2 else max(first, second) > bound)
            ):
                raise _bad("a part of the Arrow stream is missing.")
    return size


class _Table:
    """A table of a FlatBuffer, as far as it is needed here."""

    def __init__(self, buffer: bytes, position: int) -> None:
        self._buffer, self._position = buffer, position
        self._vtable = position - self._unpack("<i", position)

    def _unpack(self, form: str, position: int) -> int:
        if position < 0:
            raise struct.error("before the buffer")
        value: int = struct.unpack_from(form, self._buffer, position)[0]
        return value

    def _field(self, n: int) -> int:
        if 4 + 2 * n >= self._unpack("<H", self._vtable):
            return 0
        offset = self._unpack("<H", self._vtable + 4 + 2 * n)
        return self._position + offset if offset else 0

    def number(self, n: int, form: str) -> int:
        field = self._field(n)
        return self._unpack(form, field) if field else 0

    def table(self, n: int) -> _Table | None:
        field = self._field(n)
        return _Table(self._buffer, field + self._unpack("<I", field)) if field else None

    def pairs(self, n: int) -> list[tuple[int, int]]:
        field = self._field(n)
        if not field:
            return []
        start = field + self._unpack("<I", field)
        count = self._unpack("<I", start)
        content = self._buffer[start + 4 : start + 4 + 16 * count]
        if len(content) < 16 * count:
            raise struct.error("beyond the buffer")
        return [*struct.iter_unpack("<qq", content)]


def _bad(what: str, mend: str = "") -> BadRequest:
    return BadRequest((Fault("body", what, mend),))
