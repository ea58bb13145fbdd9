"""The prediction log as requests see it: those that wait at the same time share one write."""

from __future__ import annotations

__all__ = ["PredictionLog"]

import asyncio
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import date

    from mainspring.monitoring.record import LogRecord
    from mainspring.stores.segments import SegmentWriter

_Group: TypeAlias = "list[tuple[LogRecord, asyncio.Future[None]]]"


class PredictionLog:
    """Group commit: while one group is on its way to disk, the next one gathers.

    A segment begins anew with each day of the clock. Made and used in the event loop; the writing is done by a thread
    of its own, which an executor's would be at more than twice the cost.
    """

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: _Group = []
        self._writing = 0
        self._day: date | None = None
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._thread = Thread(target=self._write_groups, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def queue(self) -> int:
        """How many records are not yet on disk."""
        return len(self._waiting) + self._writing

    def append(self, record: LogRecord) -> asyncio.Future[None]:
        """Give a future that is done when the record is on disk; it raises `LogUnwritable` when it cannot be."""
        future = self._loop.create_future()
        self._waiting.append((record, future))
        if len(self._waiting) == 1 and not self._writing:
            # Not at once: requests that arrived together are handled before the loop turns again.
            self._loop.call_soon(self._commit)
        return future

    async def close(self) -> None:
        """Wait for what is on its way, then let go of the log."""
        while self.queue:
            await asyncio.sleep(0.005)
        self._groups.put(None)
        self._thread.join()
        self._writer.close()

    def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        self._writing = len(group)
        self._groups.put(group)

    def _write_groups(self) -> None:
        while (group := self._groups.get()) is not None:
            error = None
            try:
                self._write([record for record, _ in group])
            except Exception as raised:  # noqa: BLE001 - those who wait for the group are told
                error = raised
            self._loop.call_soon_threadsafe(self._release, group, error)

    def _write(self, records: list[LogRecord]) -> None:
        day = records[0].at.date()
        if day != self._day:
            self._writer.roll()
            self._day = day
        self._writer.append(records)

    def _release(self, group: _Group, error: Exception | None) -> None:
        self._writing = 0
        for _, future in group:
            if future.cancelled():  # its client has gone
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if self._waiting:
            self._commit()
