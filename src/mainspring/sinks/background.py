"""A thread that tells the outside, apart from the loop, so that no receiver can hold the loop up."""

from __future__ import annotations

__all__ = ["Background"]

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from mainspring.errors import MainspringError

if TYPE_CHECKING:
    from types import TracebackType

    from mainspring.workspace import Workspace

_log = logging.getLogger(__name__)
_LEASE_S = 60.0


@dataclass(slots=True)
class Background:
    """Does something again and again, in one of the processes that share a database.

    Attributes
    ----------
    workspace : Workspace
        Whose database, and how often.
    name : str
        Of the thread, and of the lease by which one process does it.
    work : callable, optional
        What to do, given the machine's time; without it there is no thread.
    """

    workspace: Workspace
    name: str
    work: Callable[[datetime], None] | None
    _stop: threading.Event = field(default_factory=threading.Event)
    _leads_until: datetime | None = None

    def __enter__(self) -> Self:
        if self.work is not None:
            threading.Thread(target=self._run, args=(self.work,), name=self.name, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _run(self, work: Callable[[datetime], None]) -> None:
        told = ""
        while not self._stop.wait(self.workspace.settings.interval_s):
            try:
                now = datetime.now(UTC)
                if self._leads(now):
                    work(now)
                told = ""
            except Exception as error:  # noqa: BLE001 - without this thread nobody would be told, unnoticed
                if str(error) != told:
                    _log.error("%s", error, exc_info=None if isinstance(error, MainspringError) else error)
                told = str(error)

    def _leads(self, now: datetime) -> bool:
        """Take or renew the lease, so that of several control planes on one database one tells."""
        if self._leads_until is not None and now < self._leads_until:
            return True
        holder = f"{socket.gethostname()}:{self.workspace.settings.root}"
        with self.workspace.database.write() as tx:
            lease = tx.leases.acquire(self.name, holder, ttl_s=_LEASE_S, now=now)
        if lease.holder == holder:
            self._leads_until = now + timedelta(seconds=_LEASE_S / 2)
        return lease.holder == holder
