"""Joining the rows of requests that wait at the same time into one call of the model."""

from __future__ import annotations

__all__ = ["Batcher"]

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    Answers: TypeAlias = NDArray[np.float32]

MOST_ROWS = 512
"""A call has at most so many rows, unless one request alone has more."""


class _Waiting(msgspec.Struct):
    columns: Columns
    rows: int
    answers: asyncio.Future[Answers]


class Batcher:
    """Asks a model one call at a time; what comes in meanwhile goes into the next one, together.

    So nobody waits for others to come: a request that finds the model idle is asked at once. For models that answer a
    row the same whatever the rows beside it are, and for no other. A call that fails fails alone: its requests are
    then asked one by one, so that the fault of one is not that of its neighbours.

    Parameters
    ----------
    ask : callable
        Asks the model for columns of a number of rows.
    alone : callable, optional
        Asks it for the rows of one request, where that is another matter.
    """

    def __init__(
        self,
        ask: Callable[[Columns, int], Awaitable[Answers]],
        alone: Callable[[Columns, int], Awaitable[Answers]] | None = None,
    ) -> None:
        self._ask, self._alone = ask, alone or ask
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.calls = 0
        self.requests = 0

    async def ask(self, columns: Columns, rows: int) -> Answers:
        """Give the answers to some rows.

        Parameters
        ----------
        columns : mapping of str to ndarray, each with `rows` values

        Returns
        -------
        ndarray of float32, shape (rows,)
        """
        waiting = _Waiting(columns, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.answers

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._next())
        finally:
            self._worker = None

    def _next(self) -> list[_Waiting]:
        """Take those who have waited longest and still do, as long as a call has room for them."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= MOST_ROWS):
            first = self._waiting.popleft()
            if not first.answers.done():  # its caller has gone, or its time is over
                batch.append(first)
                rows += first.rows
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        self.calls += 1
        self.requests += len(batch)
        try:
            ask = self._alone if len(batch) == 1 else self._ask
            answers = await ask(_joined(batch), sum(each.rows for each in batch))
            if answers.shape != (sum(each.rows for each in batch),):
                raise ValueError(f"the answers have the shape {answers.shape}")
        except Exception as error:  # noqa: BLE001 - whatever a model raises, those who asked are told
            if len(batch) == 1:
                if not batch[0].answers.done():
                    batch[0].answers.set_exception(error)
                return
            for each in batch:
                await self._answer([each])
            return
        start = 0
        for each in batch:
            if not each.answers.done():
                each.answers.set_result(answers[start : start + each.rows])
            start += each.rows


def _joined(batch: list[_Waiting]) -> Columns:
    import numpy as np

    if len(batch) == 1:
        return batch[0].columns
    return {name: np.concatenate([each.columns[name] for each in batch]) for name in batch[0].columns}
