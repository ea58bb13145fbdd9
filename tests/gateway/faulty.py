"""Native models that do what models should not."""

from __future__ import annotations

import textwrap

import msgspec

from mainspring.formats.native import sealed


def native(predict: str, *, init: str = "", number: str = "x", texts: bool = False) -> bytes:
    """A model that is code: the body of `predict(self, frame)`, and what happens when its module is loaded.

    Its inputs are one number and, if wanted, the text `name`.
    """
    code = f"""\
import ctypes, os, sys, time
import numpy as np
import polars as pl

{textwrap.dedent(init)}

class Odd:
    kept = []

    def predict(self, frame):
{textwrap.indent(textwrap.dedent(predict), "        ")}
"""
    inputs = [{"name": number, "dtype": "FP64", "nullable": True}]
    if texts:
        inputs.append({"name": "name", "dtype": "BYTES", "nullable": True})
    written = {
        "format": "pyfunc",
        "inputs": inputs,
        "encodings": {},
        "params": {},
        "metrics": {},
        "model": msgspec.msgpack.encode(
            {"code": {"odd.py": code}, "state": b"\x80\x04codd\nOdd\n)\x81."}  # Odd(), as pickle writes it
        ),
    }
    return sealed(msgspec.msgpack.encode(written))


# What goes wrong is chosen by the row, so that sound requests and others go to one process.
BY_ROW = """
x = frame[frame.columns[0]].to_numpy()
if (x == 1).any():
    time.sleep(3600)
if (x == 2).any():
    ctypes.string_at(0)
if (x == 3).any():
    os._exit(5)
if (x == 4).any():
    sys.exit(0)
if (x == 5).any():
    while True:
        Odd.kept.append(np.ones(2**20))
if (x == 6).any():
    raise ValueError("no sixes")
if (x == 7).any():
    return np.full((len(x), 2), 0.5)
if (x == 8).any():
    return np.full(len(x), np.nan)
if (x == 9).any():
    os.abort()
if (x == 10).any():
    print("that was the last row" * 1000)
    os.kill(os.getpid(), 9)
return np.abs(x) / 1000
"""
HANGS, SEGFAULTS, EXITS, LEAVES, LEAKS, RAISES, WRONG_SHAPE, NAN, ABORTS, KILLED = range(1, 11)
