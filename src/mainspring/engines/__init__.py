"""Engines: where worker processes run."""

from mainspring.engines.local import (
    LocalEngine,
    Worker,
    WorkerDied,
    WorkerTimedOut,
    answer_lines,
    deadline,
    end_with,
)
from mainspring.engines.pool import LocalPool, Pool

__all__ = [
    "LocalEngine",
    "LocalPool",
    "Pool",
    "Worker",
    "WorkerDied",
    "WorkerTimedOut",
    "answer_lines",
    "deadline",
    "end_with",
]
