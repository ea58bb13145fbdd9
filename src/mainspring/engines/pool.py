"""Several workers that answer many questions: processes of this machine, or whatever else can run a module."""

from __future__ import annotations

__all__ = ["LocalPool", "Pool", "ThisProcess"]

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from mainspring.engines.local import LocalEngine, Worker


class Pool(Protocol):
    """Workers that run one module, each answering one question at a time."""

    def answers(self, questions: Sequence[bytes]) -> Generator[tuple[int, bytes], None, None]:
        """Give each answer, when it is there, with the position of its question.

        Raises
        ------
        MainspringError
            A worker ended instead of answering; the answers that were given stay good.
        """
        ...


@dataclass(frozen=True, slots=True)
class ThisProcess:
    """Answers questions where it is asked, one by one: for those that are sooner answered than a worker starts.

    Attributes
    ----------
    answer : callable
        The module's function, with its arguments.
    """

    answer: Callable[[bytes], bytes]

    def answers(self, questions: Sequence[bytes]) -> Generator[tuple[int, bytes], None, None]:  # noqa: D102 - see Pool
        for position, question in enumerate(questions):
            yield position, self.answer(question)


@dataclass(slots=True)
class LocalPool:
    """Worker processes on this machine, started when there are questions for them, and ended with the block.

    Attributes
    ----------
    engine : LocalEngine
        Starts them.
    size : int
        How many there are at most.
    """

    engine: LocalEngine
    size: int
    _workers: list[Worker] = field(default_factory=list)

    def answers(self, questions: Sequence[bytes]) -> Generator[tuple[int, bytes], None, None]:  # noqa: D102 - see Pool
        if not questions:
            return
        while len(self._workers) < min(self.size, len(questions)):
            self._workers.append(self.engine.start())
        idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def ask(question: bytes) -> bytes:
            worker = idle.get()
            try:
                return worker.ask(question)
            finally:
                idle.put(worker)

        with ThreadPoolExecutor(len(self._workers)) as threads:
            asked = {threads.submit(ask, question): position for position, question in enumerate(questions)}
            try:
                for answered in as_completed(asked):
                    yield asked[answered], answered.result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.close()
        self._workers.clear()
