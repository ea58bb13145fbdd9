"""The contract of a store of rollouts, units and routes."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["RolloutStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainspring.digest import digest_of
from mainspring.errors import Conflict
from mainspring.rollouts.rollout import Rollout
from mainspring.rollouts.route import Challenger, Route, Variant
from mainspring.rollouts.store import RolloutStore, UnitOutcome
from mainspring.rollouts.threshold import Measurement, Result
from mainspring.strategy import (
    ABTest,
    AllAtOnce,
    Better,
    BlueGreen,
    Canary,
    CanaryStep,
    Linear,
    NoMoreErrors,
    Shadow,
    Strategy,
)

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_SOME = digest_of(b"some content")
_PRODUCT = "late-arrivals"


class RolloutStoreContract:
    """What a `RolloutStore` promises."""

    rollout = Rollout.start(
        rollout_id="r1",
        product=_PRODUCT,
        champion=1,
        challengers=(2,),
        strategy=Canary(steps=(0.05, 0.25, 1.0), guards=(NoMoreErrors(slices=("carrier",)),)),
        at=_NOON,
        slices={"carrier": ("AA", "UA")},
    )
    unit = UnitOutcome(
        unit="N14228", version=2, took_s=0.1 + 0.2, score=0.7, slices={"carrier": "AA"}, metrics={}
    )

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
        ended = advanced.rolled_back()
        store.put(ended)
        assert store.running(_PRODUCT) is None
        assert store.rollouts() == (ended,)

    def test_a_product_has_one_rollout_at_a_time(self, store: RolloutStore) -> None:
        second = replace(self.rollout, rollout_id="a2", challengers=(3,))
        elsewhere = replace(self.rollout, rollout_id="f1", product="fares")
        store.put(self.rollout)
        with pytest.raises(Conflict, match="r1"):
            store.put(second)
        store.put(elsewhere)
        ended = self.rollout.promoted()
        store.put(ended)
        store.put(second)
        assert store.rollouts() == (ended, elsewhere, second)
        assert store.rollouts(_PRODUCT) == (ended, second)

    def test_a_rollout_that_is_paused_or_waits_is_in_progress(self, store: RolloutStore) -> None:
        for standing in (self.rollout.paused(_NOON), self.rollout.awaiting_approval()):
            store.put(standing)
            assert store.running(_PRODUCT) == standing
            with pytest.raises(Conflict, match="r1"):
                store.put(replace(self.rollout, rollout_id="a2"))

    def test_every_strategy_is_kept_as_it_was_declared(self, store: RolloutStore) -> None:
        several = ABTest(shares={"candidate": 0.2, "7": 0.1 + 0.2}, goal=Better("revenue", by=0.1))
        strategies: list[tuple[Strategy, tuple[int, ...]]] = [
            (AllAtOnce(), (2,)),
            (Canary(steps=(CanaryStep(0.1, bake="2h", approve=True), 1.0)), (2,)),
            (Linear(by=0.3), (2,)),
            (BlueGreen(), (2,)),
            (several, (2, 7)),
            (Shadow(0.5, then=several), (2, 7)),
        ]
        for number, (strategy, challengers) in enumerate(strategies):
            begun = replace(self.rollout, rollout_id=f"s{number}", strategy=strategy, challengers=challengers)
            store.put(begun)
            assert store.running(_PRODUCT) == begun
            store.put(begun.aborted())

    def test_what_is_known_of_a_unit_is_merged(self, store: RolloutStore) -> None:
        store.see_units("r1/0", [self.unit])
        store.see_units(
            "r1/0", [replace(self.unit, failed=True, took_s=9.0, score=0.1, metrics={"log_loss": 0.5})]
        )
        store.see_units("r1/0", [replace(self.unit, metrics={"log_loss": 0.9, "revenue": 12.0})])
        store.see_units("r1/0", [replace(self.unit, version=1, slices={"carrier": "UA"})])
        store.see_units("r1/1", [self.unit])
        known = replace(self.unit, failed=True, metrics={"log_loss": 0.5, "revenue": 12.0})
        assert store.units("r1/0") == (known,)
        assert store.units("r1/1") == (self.unit,)

    def test_what_was_known_first_of_a_unit_stays(self, store: RolloutStore) -> None:
        for took_s, score in ((None, None), (0.5, None), (None, 0.25), (0.1, 0.75)):
            store.see_units("r1/0", [replace(self.unit, took_s=took_s, score=score)])
        assert store.units("r1/0") == (replace(self.unit, took_s=0.5, score=0.25),)

    def test_a_unit_that_comes_twice_in_one_call_is_merged_too(self, store: RolloutStore) -> None:
        store.see_units("r1/0", [self.unit, replace(self.unit, failed=True, metrics={"brier": 0.25})])
        store.see_units("r1/0", [])
        assert store.units("r1/0") == (replace(self.unit, failed=True, metrics={"brier": 0.25}),)

    def test_more_units_than_one_question_can_name_are_merged(self, store: RolloutStore) -> None:
        many = [replace(self.unit, unit=f"{number:05}") for number in range(1_203)]
        store.see_units("r1/0", many)
        store.see_units("r1/0", [replace(unit, failed=True) for unit in many])
        assert store.units("r1/0") == tuple(replace(unit, failed=True) for unit in many)

    def test_units_are_ordered_by_version_and_unit(self, store: RolloutStore) -> None:
        seen = [("b", 2), ("é", 10), ("a", 2), ("B", 10), ("_", 10)]
        store.see_units("r1/0", [replace(self.unit, unit=unit, version=version) for unit, version in seen])
        assert [unit.unit for unit in store.units("r1/0")] == ["a", "b", "B", "_", "é"]

    def test_measurements_are_kept_by_threshold_in_the_order_of_time(self, store: RolloutStore) -> None:
        later = Measurement(at=_NOON + timedelta(minutes=5), value=0.1 + 0.2, result=Result.FAILED)
        first = Measurement(at=_NOON, value=None, result=Result.INCONCLUSIVE)
        assert store.measurements("r1/0") == {}
        store.measure("r1/0", "errors", later)
        store.measure("r1/0", "errors", first)
        store.measure("r1/0", "errors", replace(first, result=Result.ERROR))
        store.measure("r1/0", "delay", first)
        store.measure("r1/1", "delay", later)
        assert store.measurements("r1/0") == {"delay": (first,), "errors": (first, later)}

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
