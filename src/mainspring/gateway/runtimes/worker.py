"""A native model in a process of its own: what it does to that process costs the request that it did it with."""

from __future__ import annotations

__all__ = ["WorkerModel"]

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mainspring.formats.native import ONE_THREAD
from mainspring.gateway.runtimes.errors import ModelCrashed, ModelNotLoaded, ModelRaised, ModelTimedOut
from mainspring.gateway.runtimes.frames import HEADER, NO_MEMORY, Kind, Load, answer_from, columns_to, framed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mainspring.formats.sample import Sample

_TAIL = 2000
_PATIENCE = 3
"""So many processes may end in a row without an answer before the next one has to wait, and callers are refused."""

_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True, eq=False)
class _Request:
    """What has been asked and not been answered."""

    number: int
    frame: bytes
    timeout_s: float
    answer: asyncio.Future[NDArray[np.float32]]
    tries: int = 0

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class WorkerModel:
    """A model that answers from a worker process, which is started again whenever it has ended.

    Requests go to the process as they come and are answered in that order. When the process ends, or takes longer over
    a request than that one allows, the request that it was working on fails. Those behind it are sent once more, to the
    next process.

    Attributes
    ----------
    numbers, texts : tuple of str
        The columns that it takes as float64 and as text.
    restarts, timeouts, crashes : int
        How often the process was started again, and why: it was ended because it took too long, or ended by itself.
    """

    dtype: ClassVar[str] = "float64"

    def __init__(self, load: Load, process: _Process, start_timeout_s: float) -> None:
        self.numbers, self.texts = process.numbers, process.texts
        self.restarts = self.timeouts = self.crashes = 0
        self._load, self._start_timeout_s = load, start_timeout_s
        self._process: _Process | None = None  # until it has been sent what waits
        self._asked = 0
        self._unanswered: deque[_Request] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self._in_vain = 0  # processes that have ended since the last answer
        self._down = ""
        self._closing = False
        self._running = asyncio.create_task(self._run(process))

    @classmethod
    async def start(
        cls,
        model: bytes,
        *,
        allow_code: bool = False,
        memory_mb: int = 4096,
        sample: Sample | None = None,
        start_timeout_s: float = 120.0,
    ) -> WorkerModel:
        """Start a process, load the model there and warm it up.

        Parameters
        ----------
        model : bytes
            What `formats.native.to_bytes` wrote.
        allow_code : bool
            Whether the model may be code of the product's own.
        memory_mb : int
            How much memory the process may take beyond those that a bare Python takes.
        sample : Sample, optional
            Rows to warm up with. A model that does not answer them as it did is not loaded.
        start_timeout_s : float
            How long all that may take.

        Raises
        ------
        ModelNotLoaded
            With the reason.
        """
        load = Load(model, allow_code, memory_mb, sample)
        return cls(load, await _Process.start(load, start_timeout_s), start_timeout_s)

    @property
    def size(self) -> int:
        """Bytes of memory that the process holds now; 0 while there is none."""
        return self._process.size if self._process else 0

    async def ask(self, columns: Mapping[str, NDArray[Any]], timeout_s: float) -> NDArray[np.float32]:
        """Probabilities for rows given as columns.

        Parameters
        ----------
        columns : mapping of str to ndarray, each of shape (rows,)
            float64 with NaN for null, and for text object arrays of str with the empty text for null.
        timeout_s : float
            How long the model may work on it. The time that it waits behind others does not count.

        Returns
        -------
        ndarray of float32, shape (rows,)

        Raises
        ------
        KeyError
            A column of the model is missing.
        ModelRaised
            The model raised an error.
        ModelTimedOut
            It took too long.
        ModelCrashed
            Its process ended, or cannot be started.
        """
        if self._closing or self._down:
            gone = "is ended, because its version is served no more."
            raise ModelCrashed(gone if self._closing else self._down)
        number = self._asked = self._asked + 1
        frame = framed(Kind.ASK, columns_to(self.numbers, self.texts, columns), number)
        request = _Request(number, frame, timeout_s, asyncio.get_running_loop().create_future())
        self._unanswered.append(request)
        if self._process is not None:
            self._process.writer.write(frame)
            if len(self._unanswered) == 1:
                self._watch()
        return await request.answer

    async def close(self) -> None:
        """Take no more requests, answer those that were taken, and end the process."""
        self._closing = True
        if taken := [request.answer for request in self._unanswered]:
            await asyncio.wait(taken)
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running

    async def _run(self, process: _Process) -> None:
        try:
            while True:
                await self._serve(process)
                how = await process.ended()
                self._process = None
                self._blame(how)
                process = await self._start_again()
        finally:
            self._down = self._down or "cannot be started again."
            if self._timer is not None:
                self._timer.cancel()
            self._fail_all()
            await process.ended(at_once=True)

    async def _serve(self, process: _Process) -> None:
        """Send what waits, and hand out answers until the process has ended."""
        self._process, self._late = process, False
        waiting = [request for request in self._unanswered if not request.answer.done()]
        self._unanswered = deque(waiting)
        for request in waiting:
            process.writer.write(request.frame)
        self._watch()
        while (received := await process.receive()) is not None:
            kind, number, body = received
            if not self._unanswered or number != self._unanswered[0].number:
                return  # it answers what it was not asked, so none of its answers can be trusted
            request = self._unanswered.popleft()
            self._in_vain = 0
            self._watch()
            if request.answer.done():
                continue
            if kind is Kind.ANSWER and len(body) % 4 == 0:
                request.answer.set_result(answer_from(body))
            else:
                request.fail(ModelRaised(body.decode(errors="replace")))

    def _watch(self) -> None:
        """Start the clock of the request that the process turns to now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._unanswered and self._process is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._unanswered[0].timeout_s, self._end_late)

    def _end_late(self) -> None:
        self._late = True
        if self._process is not None:
            self._process.kill()

    def _blame(self, how: str) -> None:
        """Fail the request that the process ended with, and those behind it that have been sent twice."""
        if self._timer is not None:
            self._timer.cancel()
        self._in_vain += 1
        if self._late:
            self.timeouts += 1
        else:
            self.crashes += 1
        if self._unanswered:
            first = self._unanswered.popleft()
            first.fail(ModelTimedOut(first.timeout_s) if self._late else ModelCrashed(how))
        for request in self._unanswered:
            request.tries += 1
            if request.tries > 1:
                request.fail(ModelCrashed(how))
        self._unanswered = deque(request for request in self._unanswered if not request.answer.done())

    async def _start_again(self) -> _Process:
        while True:
            if self._in_vain > _PATIENCE:
                self._down = f"has ended {self._in_vain} times without an answer; it is started again."
                self._fail_all()
                await asyncio.sleep(min(_LONGEST_PAUSE_S, 0.1 * 2 ** min(self._in_vain - _PATIENCE, 10)))
            self._down = ""
            self.restarts += 1
            try:
                return await _Process.start(self._load, self._start_timeout_s)
            except ModelNotLoaded as error:
                self._in_vain += 1
                self._down = f"could not be started again: {error.reason}"
                self._fail_all()

    def _fail_all(self) -> None:
        while self._unanswered:
            self._unanswered.popleft().fail(ModelCrashed(self._down))


class _Protocol(asyncio.StreamReaderProtocol):
    """Gives what has come, also when the process ended with requests unread.

    That resets the connection, and a request that is sent then ends it here before the last answers are read: the one
    who has had their answer would be taken for the one that the process ended at.
    """

    def __init__(
        self, reader: asyncio.StreamReader, ours: socket.socket, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(reader, loop=loop)
        self._answers, self._ours = reader, ours

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(OSError):
            while come := self._ours.recv(2**16):
                self._answers.feed_data(come)
        super().connection_lost(None)


async def _connected(ours: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = _Protocol(reader, ours, loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


@dataclass(slots=True, eq=False)
class _Process:
    """One worker process, with a model that is warm."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    memory_mb: int
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    tail: bytearray = field(default_factory=bytearray)
    listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, load: Load, timeout_s: float) -> _Process:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await _connected(ours)
            try:
                inner = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # the folder that the gateway was started in is not to be imported from
                    "-m",
                    "mainspring.gateway.runtimes.child",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    env=os.environ | ONE_THREAD,
                )
            except BaseException:
                writer.close()
                raise
        self = cls(inner, reader, writer, load.memory_mb)
        self.listening = asyncio.create_task(self._listen())
        self.writer.write(framed(Kind.LOAD, msgspec.msgpack.encode(load)))
        try:
            received = await asyncio.wait_for(self.receive(), timeout_s)
            if received is None:
                raise ModelNotLoaded(f"it {await self.ended()}")
            kind, _, body = received
            if kind is not Kind.READY:
                raise ModelNotLoaded(body.decode(errors="replace"))
            self.numbers, self.texts = msgspec.msgpack.decode(
                body, type=tuple[tuple[str, ...], tuple[str, ...]]
            )
        except TimeoutError:
            await self.ended(at_once=True)
            raise ModelNotLoaded(f"it was not ready after {timeout_s:g} s.") from None
        except BaseException:
            await self.ended(at_once=True)
            raise
        return self

    @property
    def size(self) -> int:
        try:
            resident = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:
            return 0
        return int(resident) * os.sysconf("SC_PAGE_SIZE")

    async def receive(self) -> tuple[Kind, int, bytes] | None:
        try:
            kind, number, length = HEADER.unpack(await self.reader.readexactly(HEADER.size))
            return Kind(kind), number, await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return None

    def kill(self) -> None:
        """End it with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def ended(self, *, at_once: bool = False) -> str:
        """Wait until it has gone, and say how; what does not go is ended."""
        if not at_once:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 1)
        self.kill()
        status = await self.process.wait()
        self.writer.close()
        if self.listening is not None:
            await self.listening
        said = self.tail.decode(errors="replace").strip()
        return _how(status, self.memory_mb) + (f" Its last words: {said}" if said else "")

    async def _listen(self) -> None:
        """Keep the last of what it prints."""
        assert self.process.stdout is not None
        while said := await self.process.stdout.read(2**16):
            self.tail += said
            del self.tail[:-_TAIL]


def _how(status: int, memory_mb: int) -> str:
    if status == NO_MEMORY:
        return (
            f"needed more than its {memory_mb} MB of memory and was ended. "
            "If it may have more, raise worker_memory_mb in mainspring.toml."
        )
    if status < 0:
        often = " (often: out of memory)" if status == -signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-status).name}{often}."
    return f"ended with status {status}."
