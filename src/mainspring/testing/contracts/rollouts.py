"""The contract of a store of rollouts, units and routes."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["RolloutStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainspring.digest import digest_of
from mainspring.errors import Conflict
from mainspring.rollouts.rollout import Phase, Rollout
from mainspring.rollouts.route import Challenger, Route, Variant
from mainspring.rollouts.store import RolloutStore, UnitOutcome

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_SOME = digest_of(b"some content")
_PRODUCT = "late-arrivals"


class RolloutStoreContract:
    """What a `RolloutStore` promises."""

    rollout = Rollout.start(
        rollout_id="r1", product=_PRODUCT, champion=1, challenger=2, steps=(0.05, 0.25, 1.0), at=_NOON
    )
    unit = UnitOutcome(unit="N14228", arm="challenger", failed=False, took_s=0.1 + 0.2, loss={})

    @pytest.fixture
    def store(self) -> RolloutStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_rollout_is_found_in_its_last_state(self, store: RolloutStore) -> None:
        assert store.running(_PRODUCT) is None
        store.put(self.rollout)
        assert store.running(_PRODUCT) == self.rollout
        advanced = self.rollout.advanced(_NOON + timedelta(days=1))
        store.put(advanced)
        assert store.running(_PRODUCT) == advanced
        ended = advanced.ended(Phase.ROLLED_BACK)
        store.put(ended)
        assert store.running(_PRODUCT) is None
        assert store.rollouts() == (ended,)

    def test_a_product_has_one_rollout_at_a_time(self, store: RolloutStore) -> None:
        second = replace(self.rollout, rollout_id="a2", challenger=3)
        elsewhere = replace(self.rollout, rollout_id="f1", product="fares")
        store.put(self.rollout)
        with pytest.raises(Conflict, match="r1"):
            store.put(second)
        store.put(elsewhere)
        ended = self.rollout.ended(Phase.PROMOTED)
        store.put(ended)
        store.put(second)
        assert store.rollouts() == (ended, elsewhere, second)
        assert store.rollouts(_PRODUCT) == (ended, second)

    def test_what_is_known_of_a_unit_is_merged(self, store: RolloutStore) -> None:
        store.see_units("r1/0", [self.unit])
        store.see_units("r1/0", [replace(self.unit, failed=True, took_s=9.0, loss={"log_loss": 0.5})])
        store.see_units("r1/0", [replace(self.unit, loss={"log_loss": 0.9})])
        store.see_units("r1/1", [self.unit])
        assert store.units("r1/0") == (replace(self.unit, failed=True, loss={"log_loss": 0.5}),)
        assert store.units("r1/1") == (self.unit,)

    def test_the_first_known_time_of_a_unit_stays(self, store: RolloutStore) -> None:
        for took_s in (None, 0.5, None, 0.1):
            store.see_units("r1/0", [replace(self.unit, took_s=took_s)])
        assert store.units("r1/0") == (replace(self.unit, took_s=0.5),)

    def test_a_unit_that_comes_twice_in_one_call_is_merged_too(self, store: RolloutStore) -> None:
        store.see_units("r1/0", [self.unit, replace(self.unit, failed=True, loss={"brier": 0.25})])
        store.see_units("r1/0", [])
        assert store.units("r1/0") == (replace(self.unit, failed=True, loss={"brier": 0.25}),)

    def test_units_are_ordered_by_arm_and_unit(self, store: RolloutStore) -> None:
        seen = [
            ("b", "challenger"),
            ("é", "champion"),
            ("a", "challenger"),
            ("B", "champion"),
            ("_", "champion"),
        ]
        store.see_units("r1/0", [replace(self.unit, unit=unit, arm=arm) for unit, arm in seen])
        assert [unit.unit for unit in store.units("r1/0")] == ["a", "b", "B", "_", "é"]

    def test_the_last_route_of_a_product_holds(self, store: RolloutStore) -> None:
        route = Route(product=_PRODUCT, number=1, champion=Variant(version=1, artifact=_SOME), salt="r0")
        changed = replace(
            route,
            number=2,
            challengers=(Challenger(variant=Variant(version=2, artifact=digest_of(b"2")), share=0.05),),
            split_by="tailnum",
        )
        elsewhere = replace(route, product="fares")
        for put in (route, elsewhere, changed):
            store.put_route(put)
        assert store.routes() == (elsewhere, changed)
