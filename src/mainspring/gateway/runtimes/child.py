"""The process of one native model: reads frames from a socket and answers them one after the other.

It has a process group of its own, ends with its parent, and cannot take more memory than it was given. Only here is a
model asked that might crash, loop or leak.
"""

from __future__ import annotations

__all__ = ["main"]

import os
import re
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mainspring.engines.local import end_with
from mainspring.formats.native import NativeModel, read
from mainspring.formats.onnx import AnswersOtherwise
from mainspring.formats.parity import TOLERANCE
from mainspring.gateway.runtimes.frames import NO_MEMORY, Kind, Load, columns_from, framed, receive

if TYPE_CHECKING:
    from mainspring.formats.sample import Sample


def main(connection: socket.socket) -> None:
    """Load the model that comes first, then answer until the gateway has gone."""
    first = receive(connection)
    if first is None:
        return
    load = msgspec.msgpack.decode(first[2], type=Load)
    _limit_memory(load.memory_mb)
    try:
        if read(load.model).format in ("lightgbm", "xgboost"):
            # Their boosters do without scikit-learn, and most of the time of a start would be its import.
            sys.modules["sklearn"] = None  # type: ignore[assignment]
        model = NativeModel.load(load.model, allow_code=load.allow_code)
        _warm_up(model, load.sample)
    except MemoryError:
        os._exit(NO_MEMORY)
    except Exception as error:  # noqa: BLE001 - whatever it is, the gateway shall tell it
        connection.sendall(framed(Kind.REFUSED, f"{type(error).__name__}: {error}".encode(errors="replace")))
        return
    connection.sendall(framed(Kind.READY, msgspec.msgpack.encode((model.numbers, model.texts))))
    while (received := receive(connection)) is not None:
        _, number, body = received
        connection.sendall(framed(*_answer(model, body), number))


def _answer(model: NativeModel, body: bytes) -> tuple[Kind, bytes]:
    try:
        answer = model.predict(columns_from(model.numbers, model.texts, body))
    except MemoryError:
        os._exit(NO_MEMORY)
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return Kind.RAISED, f"{type(error).__name__}: {error}".encode(errors="replace")
    return Kind.ANSWER, answer.astype("<f4").tobytes()


def _warm_up(model: NativeModel, sample: Sample | None) -> None:
    """Ask before anybody waits; with rows that have been answered before, see that they still are answered so."""
    if sample is not None:
        answer = model.predict(sample.columns(model.dtype))
        apart = np.abs(answer - np.array(sample.expected))
        if not (apart <= TOLERANCE).all():
            raise AnswersOtherwise(float(np.nan_to_num(apart, nan=np.inf).max()))
        return
    columns = {
        **{name: np.zeros(1) for name in model.numbers},
        **{name: np.array([""], object) for name in model.texts},
    }
    try:
        model.predict(columns)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - rows of zeros were never promised an answer
        print(f"When warmed up: {error!r}", file=sys.stderr)  # noqa: T201 - the gateway keeps the last lines


def _limit_memory(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    taken = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    limit = megabytes * 2**20 + (int(taken[1]) * 2**10 if taken else 0)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    end_with(int(sys.argv[2]))
    main(socket.socket(fileno=int(sys.argv[1])))
