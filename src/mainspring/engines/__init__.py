"""Engines: where worker processes run."""

from mainspring.engines.local import LocalEngine, Worker, WorkerDied

__all__ = ["LocalEngine", "Worker", "WorkerDied"]
