"""The contract of a store of the ledger."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["LedgerContract"]

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mainspring.events import Event, EventType
from mainspring.governance.ledger import GENESIS, Ledger, verify

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_PRODUCT = "late-arrivals"


class LedgerContract:
    """What a `Ledger` promises."""

    event = Event(
        type=EventType.CYCLE_STARTED,
        subject=_PRODUCT,
        at=_NOON,
        actor="loop",
        reason="it is due – “0 3 1 * *”",
        data={"b": [1, 2.5, None, True], "a": {"z": "ü", "y": 0.1}},
    )

    @pytest.fixture
    def store(self) -> Ledger:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_entries_are_the_texts_that_were_hashed(self, store: Ledger) -> None:
        entry = store.append(self.event)
        assert (entry.number, entry.previous, entry.at) == (1, GENESIS, "2013-02-01T12:00:00.123456Z")
        assert entry.data == '{"a":{"y":0.1,"z":"ü"},"b":[1,2.5,null,true]}'
        assert list(store.entries()) == [entry]

    def test_each_entry_carries_the_hash_of_the_one_before(self, store: Ledger) -> None:
        entries = [store.append(self.event) for _ in range(5)]
        assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.previous for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
        found = verify(store.entries())
        assert found.sound
        assert (found.entries, found.head) == (5, entries[-1].hash)

    def test_entries_can_be_read_on_from_any_place(self, store: Ledger) -> None:
        entries = [store.append(self.event) for _ in range(5)]
        assert list(store.entries(after=3)) == entries[3:]
        assert list(store.entries(after=1, limit=2)) == entries[1:3]
        assert list(store.entries(after=5)) == []
        assert list(store.entries(limit=0)) == []

    def test_the_newest_come_first(self, store: Ledger) -> None:
        entries = [store.append(self.event) for _ in range(3)]
        assert store.newest(limit=2) == (entries[2], entries[1])
        assert len(store.newest(limit=9)) == 3

    def test_a_subject_is_read_with_its_refs_and_without_its_namesakes(self, store: Ledger) -> None:
        subjects = (
            "flights",
            "flights@v1",
            "flights-2",
            "flight",
            "flightsA",
            "flights@",
            "FLIGHTS@v1",
            "flights_b",
        )
        for subject in subjects:
            store.append(replace(self.event, subject=subject))
        found = [entry.subject for entry in store.newest(limit=9, subject="flights")]
        assert found == ["flights@", "flights@v1", "flights"]
