"""The contract of a store of batches and data versions."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["DataNameStoreContract", "DataStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mainspring.data.name import DataName, DataNameStore, NameKind
from mainspring.data.version import (
    Batch,
    BatchReport,
    Change,
    CheckFailure,
    DataStore,
    DataVersion,
    DataVersionNotFound,
)
from mainspring.digest import digest_of
from mainspring.errors import Conflict
from mainspring.ref import DataRef

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_SOME = digest_of(b"some content")


class DataStoreContract:
    """What a `DataStore` promises."""

    refused = Batch(
        dataset="flights",
        digest=_SOME,
        at=_NOON,
        actor="ana",
        report=BatchReport(
            rows=3,
            quarantined=0,
            failures=(CheckFailure("wind", "at most 200", 1, ((2, "1048.4"),), "refuse"),),
            refusal="wind is not in knots",
        ),
        version=None,
    )
    published = replace(refused, digest=digest_of(b"other content"), report=BatchReport(5, 1, ()), version=1)
    first = DataVersion(
        dataset="flights",
        number=1,
        digest=_SOME,
        rows=4,
        rows_added=4,
        published_at=_NOON,
        table_version=0,
    )

    @pytest.fixture
    def store(self) -> DataStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_batch_comes_back_as_it_was_recorded(self, store: DataStore) -> None:
        store.add_batch(self.refused)
        store.add_batch(self.published)
        assert store.find_batch("flights", self.refused.digest) == self.refused
        assert store.find_batch("flights", self.published.digest) == self.published

    def test_an_unknown_batch_is_none(self, store: DataStore) -> None:
        store.add_batch(self.refused)
        assert store.find_batch("weather", self.refused.digest) is None
        assert store.find_batch("flights", self.published.digest) is None

    def test_the_same_bytes_are_recorded_once_for_a_dataset(self, store: DataStore) -> None:
        store.add_batch(self.refused)
        with pytest.raises(Conflict, match="handed in before"):
            store.add_batch(replace(self.refused, actor="ben", version=2))
        store.add_batch(replace(self.refused, dataset="weather"))
        assert store.batches("flights") == (self.refused,)

    def test_batches_come_in_the_order_in_which_they_were_handed_in(self, store: DataStore) -> None:
        handed_in = [replace(self.refused, digest=digest_of(bytes([n]))) for n in (9, 1, 5)]
        for batch in handed_in:
            store.add_batch(batch)
        assert store.batches("flights") == tuple(handed_in)

    def test_a_version_comes_back_as_it_was_recorded(self, store: DataStore) -> None:
        store.add(self.first)
        assert store.get(DataRef("flights", 1)) == self.first

    def test_the_loser_of_a_race_for_a_number_gets_a_conflict(self, store: DataStore) -> None:
        store.add(self.first)
        with pytest.raises(Conflict, match="flights@v1"):
            store.add(replace(self.first, rows=9))
        assert store.get(self.first.ref) == self.first

    def test_a_version_that_was_never_published_is_named_with_the_newest(self, store: DataStore) -> None:
        store.add(self.first)
        with pytest.raises(DataVersionNotFound) as found:
            store.get(DataRef("flights", 2))
        assert (found.value.number, found.value.newest) == (2, 1)

    def test_the_newest_version_has_the_highest_number(self, store: DataStore) -> None:
        assert store.newest("flights") is None
        for number in (1, 2, 10, 9):
            store.add(replace(self.first, number=number))
        store.add(replace(self.first, dataset="weather", number=11))
        newest = store.newest("flights")
        assert newest is not None
        assert newest.number == 10

    def test_the_newest_version_is_that_of_a_branch_or_of_any(self, store: DataStore) -> None:
        store.add(self.first)
        store.add(replace(self.first, number=2, branch="trial", parent=1, change=Change.UPSERT))
        found = [store.newest("flights", branch) for branch in ("main", "trial", None, "other")]
        assert [each and each.number for each in found] == [1, 2, 2, None]
        assert found[1] == replace(self.first, number=2, branch="trial", parent=1, change=Change.UPSERT)

    def test_the_last_version_that_did_more_than_append_is_found_by_branch(self, store: DataStore) -> None:
        for number, branch, change in (
            (1, "main", Change.APPEND),
            (2, "main", Change.REPLACE),
            (3, "trial", Change.UPSERT),
        ):
            store.add(replace(self.first, number=number, branch=branch, change=change))
        store.add(replace(self.first, number=4))
        assert [store.last_rewritten("flights", each) for each in ("main", "trial", "other")] == [2, 3, None]

    def test_of_a_version_no_more_can_change_than_where_it_is_and_that_it_was_retired(
        self, store: DataStore
    ) -> None:
        store.add(self.first)
        store.put(replace(self.first, rows=99, table_version=7, retired_at=_NOON))
        assert store.get(self.first.ref) == replace(self.first, table_version=7, retired_at=_NOON)
        with pytest.raises(DataVersionNotFound):
            store.put(replace(self.first, number=2))

    def test_versions_are_ordered_by_dataset_and_number(self, store: DataStore) -> None:
        for dataset, number in (("weather", 1), ("a_b", 1), ("flights", 2), ("a-b", 1), ("flights", 1)):
            store.add(replace(self.first, dataset=dataset, number=number))
        assert [str(version.ref) for version in store.versions()] == [
            "a-b@v1",
            "a_b@v1",
            "flights@v1",
            "flights@v2",
            "weather@v1",
        ]
        assert [version.number for version in store.versions("flights")] == [1, 2]


class DataNameStoreContract:
    """What a `DataNameStore` promises; the versions that are named are there."""

    golden = DataName(dataset="flights", name="golden", kind=NameKind.TAG, number=1, at=_NOON, actor="ana")

    @pytest.fixture
    def store(self) -> DataNameStore:
        """Give a store without names, where flights has the versions 1 and 2."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_name_comes_back_as_it_was_recorded(self, store: DataNameStore) -> None:
        store.put(self.golden)
        assert store.find("flights", "golden") == self.golden
        assert store.find("flights", "other") is None
        assert store.find("weather", "golden") is None

    def test_a_name_that_is_put_again_is_moved(self, store: DataNameStore) -> None:
        store.put(self.golden)
        moved = replace(self.golden, number=2, actor="ben")
        store.put(moved)
        assert store.names("flights") == (moved,)

    def test_a_dropped_name_is_gone_and_can_be_dropped_again(self, store: DataNameStore) -> None:
        store.put(self.golden)
        store.put(replace(self.golden, name="trial", kind=NameKind.BRANCH))
        store.drop("flights", "golden")
        store.drop("flights", "golden")
        assert [each.name for each in store.names()] == ["trial"]
