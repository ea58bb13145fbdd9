"""The turns of the loop in which something happened: what each had seen, so that it can be turned again the same."""

from __future__ import annotations

__all__ = ["NotedTurn", "note", "noted_turns", "seen_by"]

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_time, time_text
from mainspring.operate.ingest import LABELS_READ, NEWEST_READ

if TYPE_CHECKING:
    from mainspring.stores.sql.database import Transaction

_TURN = "turn:"
_LAST = "last_turn"


class NotedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn had seen when it began.

    Attributes
    ----------
    at : datetime
        When, by the workspace's clock.
    entries : int
        How many entries the ledger had.
    own_instant : bool
        Whether it had read records of the very moment at which it was: where recorded data drives the clock, what is
        asked at a moment may come before the turn of that moment or after it.
    labels : int
        How many labels of all products it had read.
    first_of_day : bool
        Whether none was noted on its day before; on that one, monitors look.
    """

    at: datetime
    entries: int
    own_instant: bool
    labels: int
    first_of_day: bool = False


def seen_by(tx: Transaction, at: datetime) -> NotedTurn:
    """Say what a turn that begins now has seen, its logs being read."""
    last = next(iter(tx.ledger.newest(limit=1)), None)
    newest, before = tx.values.get(NEWEST_READ), tx.values.get(_LAST)
    return NotedTurn(
        at=at,
        entries=last.number if last else 0,
        labels=int(tx.values.get(LABELS_READ) or 0),
        own_instant=newest is not None and parse_time(newest) >= at,
        first_of_day=before is None or parse_time(before).date() < at.date(),
    )


def note(tx: Transaction, turn: NotedTurn) -> None:
    """Note a turn; one a day, and each that has done something, are all that a replay needs."""
    tx.values.put(_TURN + time_text(turn.at), msgspec.json.encode(turn).decode())
    tx.values.put(_LAST, time_text(turn.at))


def noted_turns(tx: Transaction) -> tuple[NotedTurn, ...]:
    """Give the turns that were noted, oldest first."""
    return tuple(msgspec.json.decode(text, type=NotedTurn) for text in tx.values.items(_TURN).values())
