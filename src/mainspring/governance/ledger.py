"""The ledger's chain: every entry carries the hash of the one before, so that no byte of history changes unseen."""

from __future__ import annotations

__all__ = ["GENESIS", "Entry", "Ledger", "Verification", "entry_hash", "verify"]

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mainspring.digest import Digest, canonical_json, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mainspring.events import Event

GENESIS = Digest("0" * 64)
"""What the first entry carries as the hash of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event at its place in the ledger, as the texts that were hashed.

    Attributes
    ----------
    number : int
        Counted 1, 2, 3… without a gap.
    event_id : str
        Stable: derived from the hash, the same for every reader and delivery.
    type, subject, at, actor, reason, data : str
        The event's fields; `at` is RFC 3339 in UTC and `data` canonical JSON.
    previous, hash : Digest
        The hash of the entry before, and of this one.
    """

    number: int
    type: str
    subject: str
    at: str
    actor: str
    reason: str
    data: str
    previous: Digest
    hash: Digest

    @property
    def event_id(self) -> str:
        """The event's id for readers outside."""
        return self.hash[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The outcome of reading the chain from its start.

    Attributes
    ----------
    entries : int
        How many entries were read and found right.
    head : Digest
        The hash of the last right one.
    broken_at : int, optional
        The number of the first entry that is wrong.
    fault : str
        What is wrong with it.
    """

    entries: int
    head: Digest
    broken_at: int | None = None
    fault: str = ""

    @property
    def sound(self) -> bool:
        """Whether no entry is wrong."""
        return self.broken_at is None


class Ledger(Protocol):
    """The append-only store of events."""

    def append(self, event: Event) -> Entry:
        """Give an event its place; visible when the transaction around it commits."""
        ...

    def entries(self, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Give entries in order, from the one after number `after`."""
        ...

    def newest(self, *, limit: int, subject: str | None = None) -> tuple[Entry, ...]:
        """Give the last entries, newest first; with `subject` those whose subject is it or begins with it and `@`."""
        ...


def entry_hash(
    *,
    number: int,
    type: str,  # noqa: A002 - the name of the field
    subject: str,
    at: str,
    actor: str,
    reason: str,
    data: str,
    previous: Digest,
) -> Digest:
    """Hash of an entry: SHA-256 over the canonical JSON list of its fields, the hash before it included."""
    return digest_of(canonical_json([number, type, subject, at, actor, reason, data, previous]).encode())


def verify(entries: Iterable[Entry]) -> Verification:
    """Read a chain from its start and name the first entry that is not as it was written.

    A flipped byte, a missing, doubled or moved entry is found; entries cut off the end are not, unless the head's hash
    was kept elsewhere.

    Parameters
    ----------
    entries : iterable of Entry
        All entries, in order.

    Returns
    -------
    Verification
    """
    count, head = 0, GENESIS
    for entry in entries:
        expected = entry_hash(
            number=entry.number,
            type=entry.type,
            subject=entry.subject,
            at=entry.at,
            actor=entry.actor,
            reason=entry.reason,
            data=entry.data,
            previous=entry.previous,
        )
        fault = ""
        if entry.number != count + 1:
            fault = f"entry {count + 1} is missing: {entry.number} follows {count}"
        elif entry.previous != head:
            fault = "it does not carry the hash of the entry before it"
        elif entry.hash != expected:
            fault = f"its content does not give its hash: one of its fields was changed ({entry.type}, {entry.subject})"
        if fault:
            return Verification(entries=count, head=head, broken_at=count + 1, fault=fault)
        count, head = entry.number, entry.hash
    return Verification(entries=count, head=head)
