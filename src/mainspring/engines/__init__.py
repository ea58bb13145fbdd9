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
from mainspring.engines.pool import LocalPool, Pool, ThisProcess
from mainspring.engines.usage import Usage, measured

__all__ = [
    "LocalEngine",
    "LocalPool",
    "Pool",
    "ThisProcess",
    "Usage",
    "Worker",
    "WorkerDied",
    "WorkerTimedOut",
    "answer_lines",
    "deadline",
    "end_with",
    "measured",
]
