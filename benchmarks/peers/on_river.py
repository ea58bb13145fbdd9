"""River's ADWIN as it comes: the row of each stream at which it first speaks after the reference, -1 where never.

It has no reference, so it reads the reference's rows as the beginning of each stream: it knows what we know. What it
says in them is not counted, and it starts anew after each, as it does by itself.
"""

from __future__ import annotations

import sys

import numpy as np
from river.drift import ADWIN

streams, reference_rows, answers = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def first(stream: list[float]) -> int:
    adwin = ADWIN()
    for row, value in enumerate(stream):
        adwin.update(value)
        if adwin.drift_detected and row >= reference_rows:
            return row - reference_rows
    return -1


np.save(answers, np.array([first(stream.tolist()) for stream in np.load(streams)]))
