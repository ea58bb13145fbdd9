"""The worker processes of a workspace: a warm one for short tasks, a fresh one for each run, a clean one to probe."""

from __future__ import annotations

__all__ = ["Ask", "TaskFailed", "TaskUnavailable", "Workers", "failed"]

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from mainspring.digest import digest_of_file, digest_of_json
from mainspring.engines import LocalEngine, LocalPool, Pool, Worker
from mainspring.errors import MainspringError
from mainspring.formats.native import ONE_THREAD
from mainspring.operate.tasks import Answer, Failed, Probe, Task

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.settings import Settings

T = TypeVar("T", bound=Answer)


class Ask(Protocol):
    """Ask a worker one task and get the kind of answer that it gives to it."""

    def __call__(self, task: Task, wanted: type[T], /) -> T:
        """Raise `TaskFailed` when the worker says no, `WorkerDied` when it ended instead."""
        ...


_DECODER = msgspec.json.Decoder(Answer)


class TaskFailed(MainspringError):
    """A worker said why it could not carry out a task; the text is its own."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind, self.message = kind, message

    def __str__(self) -> str:
        return self.message


class TaskUnavailable(TaskFailed):
    """A worker could not carry out a task because of a disk: tried again when that is mended, it may succeed."""


def failed(answer: Failed) -> TaskFailed:
    """Give the error that a worker's answer is."""
    kind = TaskUnavailable if answer.unavailable else TaskFailed
    return kind(answer.kind, answer.message)


@dataclass(slots=True)
class Workers:
    """Starts worker processes and asks them.

    Attributes
    ----------
    settings : Settings
        Of the workspace; workers run in its folder.
    """

    settings: Settings
    _warm: Worker | None = None
    _code: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self) -> Worker:
        """Start the warm worker unless it runs; called early, its imports are done when the first question comes."""
        with self._lock:
            code = self._product_code()
            if self._warm is not None and (code != self._code or not self._warm.alive):
                self.close()
            if self._warm is None:
                self._warm, self._code = self._engine().start(), code
            return self._warm

    def ask(self, task: Task, wanted: type[T]) -> T:
        """Ask the warm worker; it is started anew when a product file has changed or it has died.

        Raises
        ------
        TaskFailed
            The worker says no.
        WorkerDied
            It ended instead of answering.
        """
        with self._lock:
            return _ask(self.begin(), task, wanted)

    @contextmanager
    def fresh(self) -> Iterator[Ask]:
        """Give a way to ask one fresh worker, started at the first question, ended after the block."""
        started: list[Worker] = []

        def ask(task: Task, wanted: type[T], /) -> T:
            if not started:
                started.append(self._engine().start())
            return _ask(started[0], task, wanted)

        try:
            yield ask
        finally:
            for worker in started:
                worker.close()

    def probe(self, task: Probe, wanted: type[T], blobs: Path) -> T:
        """Ask a clean process that knows no product, and has one thread, as one that serves a model has."""
        engine = LocalEngine("mainspring.operate.probe", [str(blobs)], self.settings.root, ONE_THREAD)
        with engine.start() as worker:
            return _ask(worker, task, wanted)

    @contextmanager
    def pool(self, module: str) -> Iterator[Pool]:
        """Give workers that run a module and know no product: processes here, or tasks on Ray if so set."""
        state = str(self.settings.state)
        if self.settings.engine == "ray":
            from mainspring.engines.ray import RayPool

            with RayPool(module, [state]) as pool:
                yield pool
            return
        engine = LocalEngine(module, [state], self.settings.root)
        with LocalPool(engine, size=len(os.sched_getaffinity(0))) as local:
            yield local

    def close(self) -> None:
        """End the warm worker."""
        with self._lock:
            if self._warm is not None:
                self._warm.close()
                self._warm = None

    def _engine(self) -> LocalEngine:
        return LocalEngine(
            "mainspring.operate.worker",
            [str(self.settings.root), str(self.settings.state)],
            self.settings.root,
        )

    def _product_code(self) -> str:
        return digest_of_json([[str(file), digest_of_file(file)] for file in self.settings.code_files])


def _ask(worker: Worker, task: Task | Probe, wanted: type[T]) -> T:
    answer = _DECODER.decode(worker.ask(msgspec.json.encode(task)))
    if isinstance(answer, Failed):
        raise failed(answer)
    assert isinstance(answer, wanted)  # the worker answers each kind of task with its own kind
    return answer
