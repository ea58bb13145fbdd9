"""Attempts at a scoring: one that was killed goes on in the next process, and one after a failure is another."""

from __future__ import annotations

__all__ = ["Attempt", "attempt_of", "begin_attempt", "end_attempt"]

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from mainspring.events import Event, EventType

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.stores.sql.database import Transaction


class Attempt(msgspec.Struct, frozen=True):
    """The last attempt at a scoring: 0 before the first, and whether it has failed."""

    number: int = 0
    failed: bool = True


def attempt_of(tx: Transaction, scoring: Digest) -> Attempt:
    """Give the last attempt."""
    return msgspec.json.decode(tx.values.get(_key(scoring)) or "{}", type=Attempt)


def begin_attempt(tx: Transaction, scoring: Digest, event: Event) -> None:
    """Record a new attempt with its event, unless the last one goes on."""
    last = attempt_of(tx, scoring)
    if last.failed:
        _record(tx, scoring, Attempt(last.number + 1, failed=False), EventType.SCORING_STARTED, event)


def end_attempt(tx: Transaction, scoring: Digest, event: Event) -> None:
    """Record with its event that the attempt has failed, unless another process has said so."""
    last = attempt_of(tx, scoring)
    if not last.failed:
        _record(tx, scoring, Attempt(last.number, failed=True), EventType.SCORING_FAILED, event)


def _record(tx: Transaction, scoring: Digest, attempt: Attempt, kind: EventType, event: Event) -> None:
    tx.values.put(_key(scoring), msgspec.json.encode(attempt).decode())
    tx.ledger.append(replace(event, type=kind, data={**event.data, "attempt": attempt.number}))


def _key(scoring: Digest) -> str:
    return f"scoring_attempt:{scoring}"
