"""The prediction log as requests see it: those that wait at the same time share one write."""

from __future__ import annotations

__all__ = ["PredictionLog"]

import asyncio
import logging
from collections import Counter, defaultdict
from datetime import date
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

import msgspec

from mainspring.stores.segments import LogUnwritable, encode

if TYPE_CHECKING:
    from mainspring.gateway.policy import LogPolicy
    from mainspring.monitoring.record import LogRecord, PredictionRecord
    from mainspring.stores.segments import SegmentWriter

_LINGER_S = 0.001
_RETRY_S = 1.0
_STUCK_S = 5.0
_CLOSE_S = 10.0

_log = logging.getLogger(__name__)


class _Group(msgspec.Struct):
    """Records that reach the disk together or not at all: their lines, who waits for them, and since when."""

    lines: list[bytes] = []
    waiting: list[asyncio.Future[None]] = []
    size: int = 0
    day: date | None = None
    since: float = 0.0


class PredictionLog:
    """Group commit: while one group is on its way to disk, the next one gathers.

    A group sets out when half of those who were lately under way at the same time have come together, or after a
    millisecond: a sync costs as much as the answers to several requests, and a caller who is alone waits for nobody.
    A segment begins anew with each day of the clock. Made and used in the event loop; the writing is done by a thread
    of its own, which an executor's would be at more than twice the cost.

    Parameters
    ----------
    writer : SegmentWriter
    window_s : float
        0 keeps every answer back until it is on disk. Otherwise answers leave at once, and their records set out for
        the disk within so many seconds: with the process are lost at most those, and those of the sync under way.
    limit : int
        Bytes that may wait for the disk; beyond them records are refused.

    Attributes
    ----------
    refused : int
        Records that were not taken, or did not reach the disk and were not acknowledged.
    lost : int
        Records that were acknowledged within the window and had not reached the disk when the log was closed.
    syncs, written : int
        Groups that have reached the disk, and the records in them.
    unlogged : dict of Counter
        By product what its policy has left out, by reason.
    """

    def __init__(self, writer: SegmentWriter, *, window_s: float = 0.0, limit: int = 64 * 2**20) -> None:
        self.window_s, self.limit = window_s, limit
        self.refused = self.lost = self.syncs = self.written = 0
        self.unlogged: dict[str, Counter[str]] = defaultdict(Counter)
        self._unlogged: dict[str, Counter[str]] = defaultdict(Counter)  # since the product's last record
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._next, self._under_way = _Group(), _Group()
        self._together = 1.0
        self._fault, self._fault_at = "", 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._soon = self._closing = False
        self._acknowledged = self._loop.create_future()
        self._acknowledged.set_result(None)
        self._day: date | None = None
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._thread = Thread(target=self._write_groups, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def queue(self) -> int:
        """How many records are not yet on disk."""
        return len(self._next.lines) + len(self._under_way.lines)

    @property
    def waited_s(self) -> float:
        """How long the oldest of them has been waiting."""
        oldest = self._under_way if self._under_way.lines else self._next
        return self._loop.time() - oldest.since if oldest.lines else 0.0

    @property
    def trouble(self) -> str:
        """Why answers cannot be kept, for whoever asks whether the gateway is ready; empty when they can.

        Told for five seconds after the last attempt: without requests there would be no other.
        """
        if self._under_way.lines and (waited_s := self.waited_s) > _STUCK_S:
            return f"it has not answered for {waited_s:.0f} s"
        return self._fault if self._loop.time() - self._fault_at < _STUCK_S else ""

    def append(self, record: LogRecord, kept: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Give `kept`, or a future, that is done when the record may be acknowledged, or raises `LogUnwritable`.

        Raises
        ------
        LogUnwritable
            Too much waits for the disk already, or it has not answered for seconds.
        """
        line, group = encode(record), self._next
        self._need_room(len(line))
        if not group.lines:
            group.day, group.since = record.at.date(), self._loop.time()
        group.lines.append(line)
        group.size += len(line)
        if self.window_s:
            if not self._under_way.lines:
                self._gather()
            return self._acknowledge(kept)
        if kept is None:
            kept = self._loop.create_future()
        group.waiting.append(kept)
        if not self._under_way.lines:
            self._gather()
        return kept

    def predicted(
        self, record: PredictionRecord, policy: LogPolicy, kept: asyncio.Future[None] | None = None
    ) -> asyncio.Future[None]:
        """Log what a policy lets be logged of a prediction, and count the rest; as `append`."""
        left_out = self._unlogged[record.product]
        if not policy.keeps_all:
            record, now = policy.apply(record)
            left_out += now
            self.unlogged[record.product] += now
            if not record.units:
                return self._acknowledge(kept)
        if left_out:
            record = msgspec.structs.replace(record, unlogged=dict(sorted(left_out.items())))
        kept = self.append(record, kept)
        left_out.clear()
        return kept

    def _acknowledge(self, kept: asyncio.Future[None] | None) -> asyncio.Future[None]:
        if kept is None:
            return self._acknowledged
        kept.set_result(None)
        return kept

    async def close(self) -> None:
        """Wait for what is on its way, then let go of the log."""
        self._closing = True
        end = self._loop.time() + _CLOSE_S
        self._commit()
        while self.queue and self._loop.time() < end:
            await asyncio.sleep(0.005)
        self._groups.put(None)
        if self.queue:  # a disk that does not answer; its thread ends with the process
            self.lost += self.queue if self.window_s else 0
        else:
            self._thread.join()
            self._writer.close()
        if self.lost:
            _log.error("%d records that were acknowledged are lost: %s", self.lost, self.trouble)

    def _need_room(self, size: int) -> None:
        why = ""
        if self._under_way.size + self._next.size + size > self.limit:
            why = self._fault or "it is too slow for what is to be written"
        elif self._under_way.lines and not self.window_s and self.waited_s > _STUCK_S:
            why = self.trouble
        if why:
            self.refused += 1
            raise LogUnwritable(self._writer.folder, why)

    def _gather(self) -> None:
        """Have the next group set out, now or when more have come."""
        few = len(self._next.lines) < self._together / 2
        wait_s = self.window_s or (_LINGER_S if few else 0.0)
        if wait_s:
            self._timer = self._timer or self._loop.call_later(wait_s, self._commit)
        elif not self._soon:
            # Not at once: requests that arrived together are handled before the loop turns again.
            self._soon = True
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._soon = False
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._next.lines and not self._under_way.lines:
            self._under_way, self._next = self._next, _Group()
            self._groups.put(self._under_way)

    def _write_groups(self) -> None:
        while (group := self._groups.get()) is not None:
            error = None
            try:
                if group.day != self._day:
                    self._writer.roll()
                    self._day = group.day
                self._writer.write(b"".join(group.lines))
            except Exception as raised:  # noqa: BLE001 - those who wait for the group are told
                error = raised
            self._loop.call_soon_threadsafe(self._release, error)

    def _release(self, error: Exception | None) -> None:
        group, self._under_way = self._under_way, _Group()
        count = len(group.lines)
        self._together = max(count + len(self._next.lines), 0.95 * self._together)
        if error is None:
            self._fault = ""
            self.syncs += 1
            self.written += count
        else:
            self._fault = error.reason if isinstance(error, LogUnwritable) else repr(error)
            self._fault_at = self._loop.time()
            if self.window_s and not self._closing:
                self._again(group)
                return
            if self.window_s:
                self.lost += count
            else:
                self.refused += count
        for future in group.waiting:
            if future.cancelled():  # its client has gone
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if self._closing:
            self._commit()
        elif self._next.lines:
            self._gather()

    def _again(self, group: _Group) -> None:
        """Try a group again in a while, before what has come since."""
        group.lines += self._next.lines
        group.size += self._next.size
        self._next = group
        self._timer = self._loop.call_later(_RETRY_S, self._commit)
