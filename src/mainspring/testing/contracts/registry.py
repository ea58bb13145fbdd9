"""The contract of a store of model versions and aliases."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["RegistryStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime
from math import isnan, nan

import pytest

from mainspring.digest import digest_of
from mainspring.errors import Conflict
from mainspring.ref import ModelRef
from mainspring.registry.version import ModelVersion, ModelVersionNotFound, RegistryStore, StaleAlias

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_SOME = digest_of(b"some content")
_PRODUCT = "late-arrivals"


class RegistryStoreContract:
    """What a `RegistryStore` promises."""

    first = ModelVersion(
        product=_PRODUCT,
        number=1,
        cycle_id="c1",
        run_id="run-c1",
        artifact=_SOME,
        native=digest_of(b"native"),
        signature='{"inputs":[]}',
        data=("flights@v1", "weather@v2"),
        lineage={"code": "c", "seed": 7, "params": {"train.rate": 0.1, "train.window": None}},
        metrics={"log_loss": 0.5, "roc_auc": 1.0},
        reference=digest_of(b"profile"),
        reason="the first – ‘naïve’ – model",
        registered_at=_NOON,
    )

    @pytest.fixture
    def store(self) -> RegistryStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_version_comes_back_as_it_was_recorded(self, store: RegistryStore) -> None:
        store.add(self.first)
        assert store.get(ModelRef(_PRODUCT, 1)) == self.first

    def test_a_metric_that_could_not_be_computed_is_kept_as_such(self, store: RegistryStore) -> None:
        store.add(replace(self.first, metrics={"log_loss": nan, "ratio": float("inf")}))
        metrics = store.get(self.first.ref).metrics
        assert isnan(metrics["log_loss"])
        assert metrics["ratio"] == float("inf")

    def test_the_loser_of_a_race_for_a_number_gets_a_conflict(self, store: RegistryStore) -> None:
        store.add(self.first)
        with pytest.raises(Conflict, match="late-arrivals@1"):
            store.add(replace(self.first, reason="another"))
        assert store.get(self.first.ref) == self.first

    def test_versions_are_ordered_by_product_and_number(self, store: RegistryStore) -> None:
        for product, number in ((_PRODUCT, 10), ("fares", 1), (_PRODUCT, 9)):
            store.add(replace(self.first, product=product, number=number))
        assert [str(version.ref) for version in store.versions()] == [
            "fares@1",
            "late-arrivals@9",
            "late-arrivals@10",
        ]
        assert [version.number for version in store.versions(_PRODUCT)] == [9, 10]

    def test_an_alias_names_the_version_that_it_was_moved_to(self, store: RegistryStore) -> None:
        store.add(self.first)
        store.add(replace(self.first, number=2))
        store.move(_PRODUCT, "champion", expected=None, to=1)
        assert store.get(ModelRef(_PRODUCT, "champion")) == self.first
        store.move(_PRODUCT, "champion", expected=1, to=2)
        store.move(_PRODUCT, "challenger", expected=None, to=1)
        assert store.aliases(_PRODUCT) == {"challenger": 1, "champion": 2}
        assert store.aliases("fares") == {}

    def test_an_alias_can_be_removed(self, store: RegistryStore) -> None:
        store.add(self.first)
        store.move(_PRODUCT, "challenger", expected=None, to=1)
        store.move(_PRODUCT, "challenger", expected=1, to=None)
        assert store.aliases(_PRODUCT) == {}
        with pytest.raises(ModelVersionNotFound):
            store.get(ModelRef(_PRODUCT, "challenger"))

    @pytest.mark.parametrize("to", [None, 2])
    @pytest.mark.parametrize("expected", [None, 2])
    def test_a_stale_move_of_an_alias_changes_nothing(
        self, store: RegistryStore, expected: int | None, to: int | None
    ) -> None:
        store.add(self.first)
        store.add(replace(self.first, number=2))
        store.move(_PRODUCT, "champion", expected=None, to=1)
        with pytest.raises(StaleAlias) as stale:
            store.move(_PRODUCT, "champion", expected=expected, to=to)
        assert (stale.value.expected, stale.value.found) == (expected, 1)
        assert store.aliases(_PRODUCT) == {"champion": 1}

    def test_an_alias_never_points_to_a_version_that_is_not_there(self, store: RegistryStore) -> None:
        store.add(self.first)
        with pytest.raises(ModelVersionNotFound) as found:
            store.move(_PRODUCT, "champion", expected=None, to=2)
        assert found.value.newest == 1
        assert store.aliases(_PRODUCT) == {}
