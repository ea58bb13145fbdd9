"""The contract of an online store: whatever the order of writing, the newest row that was known counts."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["OnlineStoreContract"]

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from mainspring.features.online import Known
from mainspring.features.store import NothingPublished, OnlineStore, Published, Row, Written

if TYPE_CHECKING:
    from mainspring.features.online import Entity, Value

_NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
_HOUR = timedelta(hours=1)


def _row(value: Value, at: int, known: int | None = None, entity: Entity = "ann") -> Row:
    """A row of so many hours after noon."""
    return Row(entity, _NOON + at * _HOUR, _NOON + (at if known is None else known) * _HOUR, (value,))


class OnlineStoreContract:
    """What an `OnlineStore` promises."""

    @pytest.fixture
    def store(self) -> OnlineStore:
        """Give a store; others may use it."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    @pytest.fixture
    def name(self) -> str:
        """Name what is this test's own."""
        return uuid4().hex

    def write(self, store: OnlineStore, name: str, *rows: Row, now: datetime = _NOON) -> Written:
        """Write rows that are read under a name."""
        written = store.write(f"{name}:1", rows, now)
        self.publish(store, name, 1)
        return written

    def publish(self, store: OnlineStore, name: str, space: int) -> None:
        """Let a space be read, whatever was before."""
        assert store.publish(name, f"{name}:{space}", space, after=store.published(name))

    def value(self, store: OnlineStore, name: str, hours: int = 0, entity: Value = "ann") -> Value:
        """Read the one value of an entity, so many hours after noon."""
        [known] = store.read(name, [entity], _NOON + hours * _HOUR)
        return None if known is None else known.values[0]

    def test_it_gives_what_was_written_with_its_time(self, store: OnlineStore, name: str) -> None:
        values = ("x\0ü", 1.5, -3, True, None, 2**53)
        assert self.write(store, name, Row("ann", _NOON - _HOUR, _NOON, values)) == Written(1, 0)
        assert store.read(name, ["ann", "bob", None, "ann"], _NOON) == [
            Known(_NOON - _HOUR, values),
            None,
            None,
            Known(_NOON - _HOUR, values),
        ]

    def test_whatever_the_order_the_newest_counts_and_of_one_time_what_was_known_last(
        self, store: OnlineStore, name: str
    ) -> None:
        rows = [_row("first", -3), _row("late", -2, -1), _row("corrected", -2, 0), _row("older", -4, 0)]
        for number, order in enumerate(permutations(rows)):
            for row in order:
                store.write(f"{name}{number}:1", [row], _NOON)
            self.publish(store, f"{name}{number}", 1)
            assert self.value(store, f"{name}{number}") == "corrected"

    def test_a_row_that_can_never_count_is_told_and_changes_nothing(
        self, store: OnlineStore, name: str
    ) -> None:
        self.write(store, name, _row("new", -1))
        assert store.write(f"{name}:1", [_row("old", -2), _row("bob's", -2, entity="bob")], _NOON) == Written(
            1, 1
        )
        assert self.value(store, name) == "new"

    def test_writing_again_changes_nothing_and_of_the_same_times_the_last_one_stays(
        self, store: OnlineStore, name: str
    ) -> None:
        for _ in range(2):
            assert self.write(store, name, _row("a", -2), _row("b", -1)) == Written(1, 1)
        assert self.value(store, name) == "b"
        self.write(store, name, _row("c", -1))
        assert self.value(store, name) == "c"

    def test_a_row_waits_for_its_time_and_for_its_becoming_known(self, store: OnlineStore, name: str) -> None:
        self.write(store, name, _row("now", -1), _row("tomorrow", 2), _row("correction", -1, 1))
        assert [self.value(store, name, hours) for hours in (0, 1, 2)] == ["now", "correction", "tomorrow"]
        self.write(store, name, _row("later", 0), now=_NOON + 3 * _HOUR)
        assert self.value(store, name, 3) == "tomorrow"

    def test_entities_of_every_kind_are_told_apart(self, store: OnlineStore, name: str) -> None:
        entities: list[Entity] = ["", "5", 5, -7, 0.5, "ü\"'\\", "x" * 300]
        self.write(store, name, *(_row(n, 0, entity=entity) for n, entity in enumerate(entities)))
        found = store.read(name, [*entities, 5.0], _NOON)
        assert [each and each.values[0] for each in found] == [*range(len(entities)), 2]

    def test_many_entities_are_written_and_read_at_once(self, store: OnlineStore, name: str) -> None:
        self.write(store, name, *(_row(n, 0, entity=n) for n in range(10_500)))
        found = store.read(name, [*range(10_600)], _NOON)
        assert [each and each.values[0] for each in found] == [*range(10_500), *[None] * 100]
        assert store.read(name, [], _NOON) == []

    def test_nothing_is_read_before_it_is_published(self, store: OnlineStore, name: str) -> None:
        store.write(f"{name}:1", [_row("a", 0)], _NOON)
        assert store.published(name) is None
        with pytest.raises(NothingPublished):
            store.read(name, ["ann"], _NOON)
        assert store.publish(name, f"{name}:1", 4, after=None)
        assert store.published(name) == Published(f"{name}:1", 4)
        assert self.value(store, name) == "a"

    def test_a_space_takes_the_place_of_the_one_before_as_a_whole(
        self, store: OnlineStore, name: str
    ) -> None:
        self.write(store, name, _row("gone", 0), _row("stays", 0, entity="bob"))
        store.write(f"{name}:2", [_row("is new", 0, entity="bob")], _NOON)
        assert self.value(store, name, entity="bob") == "stays"
        self.publish(store, name, 2)
        assert [self.value(store, name, entity=each) for each in ("ann", "bob")] == [None, "is new"]
        self.publish(store, name, 1)  # nothing is left in it
        assert self.value(store, name) is None

    def test_who_publishes_after_another_did_is_told_and_changes_nothing(
        self, store: OnlineStore, name: str
    ) -> None:
        self.write(store, name, _row("a", 0))
        before = store.published(name)
        assert store.publish(name, f"{name}:1", 2, after=before)
        for after in (before, None, Published(f"{name}:2", 2)):
            assert not store.publish(name, f"{name}:3", 3, after=after)
        assert store.published(name) == Published(f"{name}:1", 2)
        assert self.value(store, name) == "a"

    def test_what_one_view_has_is_no_matter_of_another(self, store: OnlineStore, name: str) -> None:
        other = f"{name}-other"
        self.write(store, name, _row("this", 0))
        self.write(store, other, _row("that", 0))
        self.publish(store, other, 2)
        assert self.value(store, name) == "this"

    def test_what_was_dropped_is_gone_and_may_be_written_anew(self, store: OnlineStore, name: str) -> None:
        other = f"{name}-other"
        self.write(store, other, _row("that", 0))
        self.write(store, name, _row("this", 0))
        store.write(f"{name}:2", [_row("begun", 0)], _NOON)
        for _ in range(2):
            store.drop(name)
        assert store.published(name) is None
        assert self.value(store, other) == "that"
        self.publish(store, name, 2)
        assert self.value(store, name) is None

    def test_of_many_writers_at_once_the_newest_row_wins(self, store: OnlineStore, name: str) -> None:
        self.write(store, name)
        batches = [
            [_row(f"{entity} {hour}", -hour, entity=entity) for entity in "abcde"]
            for hour in range(24, 0, -1)
        ]
        with ThreadPoolExecutor(6) as threads:
            [*threads.map(lambda rows: store.write(f"{name}:1", rows, _NOON), batches)]
        assert [self.value(store, name, entity=each) for each in "abcde"] == [f"{each} 1" for each in "abcde"]

    def test_it_opens_again_after_it_was_closed(self, store: OnlineStore, name: str) -> None:
        self.write(store, name, _row("a", 0))
        store.close()
        assert self.value(store, name) == "a"
