"""Worker processes on this machine: one question and one answer a line, over pipes."""

from __future__ import annotations

__all__ = ["LocalEngine", "Worker", "WorkerDied", "WorkerTimedOut", "answer_lines", "deadline", "end_with"]

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self, TypeVar

from mainspring.errors import MainspringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

T = TypeVar("T")

_TAIL = 2000
_STDERR = 2
_PARENT = "MAINSPRING_PARENT"


class WorkerDied(MainspringError):
    """A worker process ended before it had answered."""

    def __init__(self, returncode: int | None, tail: str) -> None:
        super().__init__(returncode, tail)
        self.returncode, self.tail = returncode, tail

    def __str__(self) -> str:
        if self.returncode is not None and self.returncode < 0:
            how = f"was ended by {signal.Signals(-self.returncode).name}"
            if -self.returncode == signal.SIGKILL:
                how += " (often: out of memory)"
        else:
            how = f"ended with status {self.returncode}"
        said = f" Its last words: {self.tail}" if self.tail else ""
        return f"A worker process {how} before it had answered.{said}"


class WorkerTimedOut(WorkerDied):
    """A worker process that ended itself, because its deadline was over."""

    def __str__(self) -> str:
        return (
            "The model had not come to an end in the time that it may take, so its process was ended. Mend what hangs "
            "there; if it only needs longer, raise batch_timeout_s in mainspring.toml. "
            f"Where it was: {self.tail}."
        )


@dataclass(slots=True)
class Worker:
    """A process that answers JSON lines; it ends with its parent."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def ask(self, question: bytes) -> bytes:
        """Send one line and wait for the line that answers it.

        Raises
        ------
        WorkerDied
            The process ended instead; `WorkerTimedOut` where its deadline was why.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(question + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            returncode = self.process.wait()
            if returncode == -signal.SIGALRM:
                raise WorkerTimedOut(returncode, self._place())
            raise WorkerDied(returncode, self._tail())
        return answer

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            # A question that a dead process never read is still in the buffer.
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()

    def _tail(self, size: int = _TAIL) -> str:
        self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, self.errors.tell() - size))
        return self.errors.read().decode(errors="replace").strip()

    def _place(self) -> str:
        """The innermost calls of the stack that a process has told whose deadline was over."""
        _, _, stack = self._tail(10 * _TAIL).rpartition("(most recent call first):\n")
        return ", in ".join(line.strip() for line in stack.splitlines()[:4])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Starts workers as child processes.

    Attributes
    ----------
    module : str
        The module that a worker runs.
    arguments : sequence of str
        Its arguments.
    folder : Path
        Its working folder.
    """

    module: str
    arguments: Sequence[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> Worker:
        """Start a fresh worker."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        # A hash seed of its own would let the order of a set reach a model.
        environment = os.environ | {"PYTHONHASHSEED": "0", _PARENT: str(os.getpid())} | self.environment
        process = _in_a_thread_that_stays(
            lambda: subprocess.Popen(
                [sys.executable, "-m", self.module, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self.folder,
                env=environment,
            )
        )
        return Worker(process, errors)


_starters: dict[int, ThreadPoolExecutor] = {}
"""Of this process; one that it is forked from had another."""


def _in_a_thread_that_stays(start: Callable[[], T]) -> T:
    """Start a process in the one thread of ours that never ends before this process does.

    The kernel keeps a child that asks to end with its parent to the very thread that has started it, and threads of a
    server's pool come and go.
    """
    starter = _starters.setdefault(os.getpid(), ThreadPoolExecutor(1, "starts-workers"))
    return starter.submit(start).result()


def answer_lines(answer: Callable[[bytes], bytes]) -> None:
    """Be such a worker: answer each line of standard input with a line, until it ends or the parent does.

    What is printed meanwhile goes to standard error.
    """
    end_with(int(os.environ.get(_PARENT) or os.getppid()))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        answers.write(answer(line) + b"\n")
        answers.flush()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End this process by SIGALRM, its last words saying where it was, unless the block has ended by then.

    The kernel sees to it: no thread of ours would come to its turn beside a library that loops and lets nobody in.
    Deadlines are not for use within each other.
    """
    faulthandler.register(signal.SIGALRM, _STDERR, all_threads=False, chain=True)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.unregister(signal.SIGALRM)


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, or end now if that has already happened.

    Not every process notices by itself: it may compute for hours, or for ever, beside the one that replaces it. Whether
    the parent is process 1, as in a container, says nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
