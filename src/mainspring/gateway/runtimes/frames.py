"""What a gateway and a worker say to each other: frames of a known length, and columns as their raw values.

Nothing in them runs when it is read, so a model that has taken its process over gains nothing in the gateway's.
"""

from __future__ import annotations

__all__ = [
    "HEADER",
    "NO_MEMORY",
    "Kind",
    "Load",
    "answer_from",
    "columns_from",
    "columns_to",
    "framed",
    "receive",
]

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainspring.formats.sample import Sample

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

HEADER = struct.Struct("<BQI")
"""Kind, the number of the request that it is about, and the length of what follows."""

NO_MEMORY = 77
"""The exit status of a process that has reached its limit: what it still holds it would not give back."""

_COUNT = struct.Struct("<I")


class Kind(IntEnum):
    """What a frame says."""

    LOAD = 1
    READY = 2
    REFUSED = 3
    ASK = 4
    ANSWER = 5
    RAISED = 6


class Load(msgspec.Struct, frozen=True):
    """The first frame to a worker: a model, and how it may be run.

    Attributes
    ----------
    model : bytes
    allow_code : bool
        Whether it may be code of the product's own.
    memory_mb : int
        How much it may take.
    sample : Sample or None
        Rows to warm up with, and what must be answered to them.
    """

    model: bytes
    allow_code: bool
    memory_mb: int
    sample: Sample | None


def framed(kind: Kind, body: bytes, number: int = 0) -> bytes:
    """Put its header before a body."""
    return HEADER.pack(kind, number, len(body)) + body


def receive(connection: socket.socket) -> tuple[Kind, int, bytes] | None:
    """Wait for a frame; None when the other side has gone."""
    header = _exactly(connection, HEADER.size)
    if header is None:
        return None
    kind, number, length = HEADER.unpack(header)
    body = _exactly(connection, length)
    return None if body is None else (Kind(kind), number, body)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    received = bytearray(length)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return bytes(received)


def columns_to(numbers: Sequence[str], texts: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Write columns: the number of rows, each number as float64, each text as its lengths and its UTF-8.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        Columns differ in length, or a text cannot be UTF-8.
    """
    rows = len(columns[(*numbers, *texts)[0]])
    parts = [_COUNT.pack(rows)]
    for name in numbers:
        parts.append(np.asarray(columns[name], "<f8").tobytes())
    for name in texts:
        encoded = [text.encode() for text in columns[name]]
        parts += [np.array([len(text) for text in encoded], "<u4").tobytes(), *encoded]
    if lengths := {name: len(columns[name]) for name in (*numbers, *texts) if len(columns[name]) != rows}:
        raise ValueError(f"{rows} rows, but {lengths}")
    return b"".join(parts)


def columns_from(numbers: Sequence[str], texts: Sequence[str], body: bytes) -> dict[str, NDArray[Any]]:
    """Read what `columns_to` wrote."""
    (rows,) = _COUNT.unpack_from(body)
    at = _COUNT.size
    columns: dict[str, NDArray[Any]] = {}
    for name in numbers:
        columns[name] = np.frombuffer(body, "<f8", rows, at)
        at += 8 * rows
    for name in texts:
        lengths = np.frombuffer(body, "<u4", rows, at)
        at += 4 * rows
        edges = [at, *(at + np.cumsum(lengths, dtype=np.int64)).tolist()]
        columns[name] = np.empty(rows, object)
        columns[name][:] = [body[start:end].decode() for start, end in pairwise(edges)]
        at = edges[-1]
    return columns


def answer_from(body: bytes) -> NDArray[np.float32]:
    """Read an answer: one float32 for each row."""
    return np.frombuffer(body, "<f4")
