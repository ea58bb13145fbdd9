"""Answering requests that wait at the same time as one: one call of the model, and one way to the disk."""

from __future__ import annotations

__all__ = ["Request", "Together"]

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mainspring.gateway.follow import Serving
    from mainspring.gateway.inputs import Rows
    from mainspring.gateway.score import Served

MOST_ROWS = 256
"""A call has at most so many rows, and so many are answered before the loop turns to something else."""


class Request(msgspec.Struct):
    """A request for predictions.

    Attributes
    ----------
    serving : Serving
        Of its product.
    rows : Rows
    ids, units : list of str
        By row.
    pinned : Served, optional
        The version that the caller has named.
    trace : str
        W3C trace id.
    arrived : float
        When, in seconds of `time.perf_counter`.
    kept : Future, optional
        Done when all is on disk that was answered; an exception when that cannot be.
    scores : list of float
        The answers of one version to all rows; none while there are none, or when it failed.
    """

    serving: Serving
    rows: Rows
    ids: list[str]
    units: list[str]
    pinned: Served | None
    trace: str
    arrived: float
    kept: asyncio.Future[None] | None = None
    scores: list[float] = []


class Together:
    """Has versions answer whole requests: those that come while the loop turns twice share a call.

    So nobody waits for others to come. Only rows of a version that is proved to answer a row the same whatever the
    rows beside it are share a call; the others gain by the short way nevertheless. What fails in company, for
    whatever reason, is left unanswered here and has to be asked by itself, so that the fault of one is not that of its
    neighbours.

    Parameters
    ----------
    keep : callable
        Brings what a version answered to some requests on its way to the disk.
    """

    def __init__(self, keep: Callable[[Served, Sequence[Request]], None]) -> None:
        self._keep = keep
        self._waiting: dict[Served, deque[Request]] = {}
        self._soon = False
        self._loop = asyncio.get_running_loop()

    async def ask(self, served: Served, request: Request) -> list[float]:
        """Give the scores of all rows when they are on disk; none when the version failed."""
        request.kept = self._loop.create_future()
        waiting = self._waiting.get(served)
        if waiting is None:
            waiting = self._waiting[served] = deque()
        waiting.append(request)
        if not self._soon:
            self._soon = True
            # In two turns: a server of gRPC hands over one call each time that the loop turns.
            self._loop.call_soon(self._loop.call_soon, self._answer)
        await request.kept
        return request.scores

    def _answer(self) -> None:
        self._soon, rows = False, 0
        while self._waiting and rows < MOST_ROWS:
            served, waiting = next(iter(self._waiting.items()))
            batch = _next(served, waiting)
            if not waiting:
                del self._waiting[served]
            if batch:
                rows += self._answer_batch(served, batch)
        if self._waiting:
            self._soon = True
            self._loop.call_soon(self._answer)

    def _answer_batch(self, served: Served, batch: Sequence[Request]) -> int:
        try:
            scores = served.scores([each.rows for each in batch])
        except Exception:  # noqa: BLE001 - whatever it is, it is found out by asking each alone
            scores = []
        end = 0
        for each in batch:
            start, end = end, end + each.rows.count
            each.scores = scores[start:end]
        if scores:
            self._keep(served, batch)
        else:
            for each in batch:
                assert each.kept is not None
                each.kept.set_result(None)
        return end


def _next(served: Served, waiting: deque[Request]) -> list[Request]:
    """Take those who have waited longest and still do, as many as a call may have."""
    batch: list[Request] = []
    rows = 0
    while waiting:
        first = waiting[0]
        assert first.kept is not None
        if first.kept.done():  # its caller has gone, or its time is over
            waiting.popleft()
            continue
        if batch and not (
            served.rowwise
            and rows + first.rows.count <= MOST_ROWS
            and first.rows.names == batch[0].rows.names
        ):
            break
        batch.append(waiting.popleft())
        rows += first.rows.count
    return batch
