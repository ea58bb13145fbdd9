"""How much is in progress at a time: what is too much is turned away at once, and what takes too long is given up."""

from __future__ import annotations

__all__ = ["USUAL", "Admission", "Limits", "Overloaded"]

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from mainspring.errors import MainspringError

_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in progress at a gateway, and how much a model may take.

    Attributes
    ----------
    pending : int
        Requests in progress.
    timeout_s : float
        Seconds for each.
    model_timeout_s : float
        Seconds that a model in a process of its own may work on one call. When it hangs, those who wait behind that
        call wait for as long, twice where requests shared it, and for two starts of the process.
    worker_memory_mb : int
        Memory of such a process.
    """

    pending: int = 1_000
    timeout_s: float = 10.0
    model_timeout_s: float = 2.0
    worker_memory_mb: int = 4096


USUAL = Limits()


class Overloaded(MainspringError):
    """A request that came when enough others were in progress."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} requests are in progress, and more would only slow them: ask again in a moment."


class Admission:
    """Bounds how many requests are in progress, and for how long each.

    A request is one task. When its time is over the task is cancelled, wherever it waits, and `gave_up` tells that
    from a client that has hung up.

    Parameters
    ----------
    limit : int
        How many requests may be in progress.
    timeout_s : float
        How long each may take that does not say less itself.
    """

    def __init__(self, limit: int, timeout_s: float) -> None:
        self.limit, self.timeout_s = limit, timeout_s
        self._until: dict[asyncio.Task[object], float] = {}
        self._given_up: set[asyncio.Task[object]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def pending(self) -> int:
        """How many requests are in progress."""
        return len(self._until)

    def enter(self) -> asyncio.Task[object]:
        """Let the running task in.

        Raises
        ------
        Overloaded
            As many as may be are in progress.
        """
        if len(self._until) >= self.limit:
            raise Overloaded(self.limit)
        task = asyncio.current_task(self._loop)
        assert task is not None  # the server runs each request as one
        self._until[task] = self._loop.time() + self.timeout_s
        if self._watching is None:
            self._watching = self._loop.create_task(self._watch())
        return task

    def shorten(self, task: asyncio.Task[object], timeout_s: float) -> bool:
        """Have a request given up after a time of its own, counted from now, if that is less; say whether it is."""
        until, usual = self._loop.time() + timeout_s, self._until[task]
        self._until[task] = min(until, usual)
        return until < usual

    def leave(self, task: asyncio.Task[object]) -> None:
        """Let a task go that has come to its end."""
        self._until.pop(task, None)
        self._given_up.discard(task)

    def gave_up(self, task: asyncio.Task[object]) -> bool:
        """Say whether a task was cancelled because its time was over."""
        return task in self._given_up

    async def close(self) -> None:
        """Stop looking."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        # One look at all of them costs less than a timer for each.
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._loop.time()
            for task, until in list(self._until.items()):
                if until <= now:
                    self._given_up.add(task)
                    del self._until[task]
                    task.cancel()
