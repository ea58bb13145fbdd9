"""Alerts on their way: what each route has to tell, and what became of it."""

from __future__ import annotations

__all__ = ["Delivery", "SqlAlerts"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from mainspring.clock import parse_time, time_text
from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.schema import alert_deliveries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An entry of the ledger that a route has to tell.

    Attributes
    ----------
    route, number, product : str, int, str
        Which route, and the number and the product of the entry.
    attempts : int
        How often the route has not taken it.
    retry_at : str
        When it is to be tried again, as `time_text` prints it; empty before the first attempt.
    error : str
        Why it was not taken last.
    """

    route: str
    number: int
    product: str
    attempts: int = 0
    retry_at: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class SqlAlerts:
    """Deliveries by route and entry. Their times are the machine's, as receivers live in no replay."""

    connection: Connection

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries; those that are kept already stay as they are."""
        if deliveries:
            rows = [
                {
                    "route": each.route,
                    "number": each.number,
                    "product": each.product,
                    "attempts": each.attempts,
                    "retry_at": each.retry_at,
                    "error": each.error,
                    "sent_at": None,
                }
                for each in deliveries
            ]
            self.connection.execute(insert(self.connection, alert_deliveries).on_conflict_do_nothing(), rows)

    def waiting(self) -> tuple[Delivery, ...]:
        """Give what was not taken yet, ordered by route and entry."""
        table = alert_deliveries.c
        rows = self.connection.execute(
            select(table.route, table.number, table.product, table.attempts, table.retry_at, table.error)
            .where(table.sent_at.is_(None))
            .order_by(table.route, table.number)
        )
        return tuple(Delivery(**row._mapping) for row in rows)

    def last_sent(self) -> dict[tuple[str, str], datetime]:
        """Give when each route has last told of each product."""
        table = alert_deliveries.c
        rows = self.connection.execute(
            select(table.route, table.product, func.max(table.sent_at).label("sent_at"))
            .where(table.sent_at.is_not(None))
            .group_by(table.route, table.product)
        )
        return {(row.route, row.product): parse_time(row.sent_at) for row in rows}

    def last_notes(self) -> dict[str, str]:
        """Give what is to be known of the last message that each route has taken; mostly empty."""
        table = alert_deliveries.c
        rows = self.connection.execute(
            select(table.route, table.error)
            .where(table.sent_at.is_not(None))
            .order_by(table.sent_at, table.number)
        )
        return {row.route: row.error for row in rows}

    def put_sent(self, route: str, numbers: Iterable[int], at: datetime, *, note: str) -> None:
        """Record that a route has taken entries, and what is to be known of it."""
        self._set(route, numbers, {"sent_at": time_text(at), "error": note})

    def put_failed(
        self, route: str, numbers: Iterable[int], *, attempts: int, retry_at: datetime, error: str
    ) -> None:
        """Record that a route has not taken entries, and when to try again."""
        self._set(route, numbers, {"attempts": attempts, "retry_at": time_text(retry_at), "error": error})

    def _set(self, route: str, numbers: Iterable[int], values: dict[str, object]) -> None:
        table = alert_deliveries.c
        self.connection.execute(
            update(alert_deliveries)
            .where(table.route == route, table.number.in_(list(numbers)))
            .values(values)
        )
