"""Leases: of several processes, one at a time turns the loop."""

from __future__ import annotations

__all__ = ["Lease", "SqlLeases"]

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select

from mainspring.clock import parse_time, time_text
from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.schema import leases

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who may do something, and until when."""

    name: str
    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SqlLeases:
    """Leases by name, one holder each."""

    connection: Connection

    def acquire(self, name: str, holder: str, *, ttl_s: float, now: datetime) -> Lease:
        """Take a lease that is free or has expired, or renew one's own; give the lease as it then is.

        The loser of a race finds another's name in it. Writers wait for one another, so who finds their own name has it
        until the transaction ends, even when the lease runs out meanwhile.

        Parameters
        ----------
        name : str
            What it is for.
        holder : str
            Who asks; unique to the process.
        ttl_s : float
            For how long, in seconds.
        now : datetime
            By a clock that all who ask share: the machine's, not one that data drives.
        """
        statement = insert(self.connection, leases)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"holder": statement.excluded.holder, "expires_at": statement.excluded.expires_at},
                where=or_(
                    leases.c.holder == statement.excluded.holder, leases.c.expires_at <= time_text(now)
                ),
            ),
            {"name": name, "holder": holder, "expires_at": time_text(now + timedelta(seconds=ttl_s))},
        )
        row = self.connection.execute(select(leases).where(leases.c.name == name)).one()
        return Lease(name=row.name, holder=row.holder, expires_at=parse_time(row.expires_at))

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; one that is another's stays."""
        self.connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
