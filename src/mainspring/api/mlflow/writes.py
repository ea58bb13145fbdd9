"""Writes of many clients in shared transactions: a commit waits for the disk, and who waits together pays once."""

from __future__ import annotations

__all__ = ["Writes"]

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Database, Transaction

T = TypeVar("T")

_AT_ONCE = 200
"""Writes in one transaction; others may write between two."""


class Writes:
    """One thread that writes what many ask, in the order in which they ask.

    Each write is all or nothing by itself. It is answered when it is on disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: queue.SimpleQueue[tuple[Callable[[Transaction], Any], Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="writes", daemon=True).start()

    async def do(self, call: Callable[[Transaction], T]) -> T:
        """Write in a transaction, with others; raises what the call raises."""
        answer: Future[T] = Future()
        self._asked.put((call, answer))
        return await asyncio.wrap_future(answer)

    def _run(self) -> None:
        while True:
            group = [self._asked.get()]
            while len(group) < _AT_ONCE and not self._asked.empty():
                group.append(self._asked.get())
            self._write(group)

    def _write(self, group: list[tuple[Callable[[Transaction], Any], Future[Any]]]) -> None:
        try:
            if len(group) > 1:
                results = self._database.write_each([call for call, _ in group])
            else:
                with self._database.write() as tx:
                    results = [group[0][0](tx)]
        except Exception as error:  # noqa: BLE001 - those who asked are told
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            # One of them failed as none should, and took the others with it: each alone, then.
            for one in group:
                self._write([one])
            return
        for (_, answer), result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
