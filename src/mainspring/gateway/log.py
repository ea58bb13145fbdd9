"""The prediction log as requests see it: those that wait at the same time share one write."""

from __future__ import annotations

__all__ = ["PredictionLog"]

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from mainspring.monitoring.record import LogRecord
    from mainspring.stores.segments import SegmentWriter


class PredictionLog:
    """Group commit: while one group is on its way to disk, the next one gathers.

    A segment begins anew with each day of the clock.
    """

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, "prediction-log")
        self._waiting: list[tuple[LogRecord, asyncio.Future[None]]] = []
        self._writing = 0
        self._day: date | None = None

    @property
    def queue(self) -> int:
        """How many records are not yet on disk."""
        return len(self._waiting) + self._writing

    def append(self, record: LogRecord) -> asyncio.Future[None]:
        """Give a future that is done when the record is on disk; it raises `LogUnwritable` when it cannot be."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((record, future))
        if len(self._waiting) == 1 and not self._writing:
            # Not at once: requests that arrived together are handled before the loop turns again.
            loop.call_soon(self._commit)
        return future

    async def close(self) -> None:
        """Wait for what is on its way, then let go of the log."""
        while self.queue:
            await asyncio.sleep(0.005)
        self._thread.shutdown()
        self._writer.close()

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        self._writing = len(group)
        written = asyncio.get_running_loop().run_in_executor(
            self._thread, self._write, [record for record, _ in group]
        )
        written.add_done_callback(lambda done: self._release(group, done))

    def _write(self, records: list[LogRecord]) -> None:
        day = records[0].at.date()
        if day != self._day:
            self._writer.roll()
            self._day = day
        self._writer.append(records)

    def _release(
        self, group: list[tuple[LogRecord, asyncio.Future[None]]], done: asyncio.Future[None]
    ) -> None:
        self._writing = 0
        error = done.exception()
        for _, future in group:
            if future.cancelled():  # its client has gone
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if self._waiting:
            self._commit()
