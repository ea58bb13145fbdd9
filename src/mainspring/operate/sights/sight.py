"""What a monitor that bets is to the loop."""

from __future__ import annotations

__all__ = ["DETECTOR", "SHARE", "Sight", "tables_before", "whole_days"]

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mainspring.clock import parse_duration
from mainspring.monitoring import WindowedBetting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from mainspring.monitoring import Budget, Evidence, Stream
    from mainspring.operate.judging import Reference
    from mainspring.ref import ModelRef
    from mainspring.stores.sql.database import Transaction

_DAY = timedelta(days=1)

DETECTOR = WindowedBetting()
SHARE = "share of rows"


class Sight(Protocol):
    """What a monitor sees. All but `read` is a function of its arguments, so that an alarm can be computed again."""

    @property
    def unit(self) -> str:
        """Unit of the means that it tells of: `share of rows`, or the name of a loss."""
        ...

    @property
    def scale(self) -> float:
        """What 1 on the detector's scale is in that unit."""
        ...

    def read(self, tx: Transaction, ref: ModelRef, before: date) -> dict[date, str]:
        """Read a version's tables of the days before a day, in order."""
        ...

    def streams(self, reference: Reference, tables: Sequence[str]) -> tuple[Stream, ...]:
        """Count what is weighed; raises `MainspringError` where there is nothing to compare with."""
        ...

    def weigh(self, streams: Sequence[Stream], budget: Budget) -> Evidence:
        """Weigh it against the monitor's share of the budget."""
        ...


def whole_days(duration: str) -> timedelta:
    """Give a duration, rounded up to days: what was asked at a day's end must have had its time as well.

    Examples
    --------
    >>> whole_days("5h"), whole_days("0d")
    (datetime.timedelta(days=1), datetime.timedelta(0))
    """
    return -(-parse_duration(duration) // _DAY) * _DAY


def tables_before(tx: Transaction, ref: ModelRef, kind: str, before: date) -> dict[date, str]:
    """Read the tables of a kind of the days before a day, in order."""
    tables = tx.monitoring.tables(ref.product, int(ref.version), kind)
    return {day: text for day, text in tables.items() if day < before}
