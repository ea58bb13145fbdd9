"""The contract of a store of cycles and training requests."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["LoopStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainspring.errors import Conflict
from mainspring.loop.cycle import (
    Cycle,
    CycleNotFound,
    CycleOutcome,
    CycleState,
    LoopStore,
    StaleCycle,
    TrainingRequest,
    TriggerKind,
)

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_PRODUCT = "late-arrivals"


class LoopStoreContract:
    """What a `LoopStore` promises."""

    cycle = Cycle(
        cycle_id="c1",
        product=_PRODUCT,
        number=1,
        trigger=TriggerKind.ON_SCHEDULE,
        evidence="0 3 1 * *",
        actor="loop",
        params={"train.rate": 0.1},
        data={"flights": 1},
        opened_at=_NOON,
    )
    closed = replace(
        cycle,
        state=CycleState.CLOSED,
        version=3,
        verdict="passes",
        outcome=CycleOutcome.PROMOTED,
        reason="no harm shown",
        closed_at=_NOON + timedelta(days=2),
        metrics={"log_loss": 0.5},
    )
    asked = TrainingRequest(
        request_id="q1",
        product=_PRODUCT,
        params={"train.rate": None},
        data={"flights": 1},
        actor="ana",
        reason="a new idea",
        at=_NOON,
    )

    @pytest.fixture
    def store(self) -> LoopStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_cycle_comes_back_as_it_was_recorded(self, store: LoopStore) -> None:
        store.open(self.cycle)
        assert store.get("c1") == self.cycle
        store.move(self.closed, expected=CycleState.STARTED)
        assert store.get("c1") == self.closed

    def test_what_spoke_together_comes_back_as_it_was_recorded(self, store: LoopStore) -> None:
        parts = (TriggerKind.ON_SCHEDULE, TriggerKind.ON_DRIFT)
        several = replace(self.cycle, trigger=TriggerKind.ALL_OF, parts=parts)
        store.open(several)
        assert store.get("c1") == several

    def test_an_unknown_cycle_is_not_found(self, store: LoopStore) -> None:
        with pytest.raises(CycleNotFound):
            store.get("c1")
        with pytest.raises(CycleNotFound):
            store.move(self.closed, expected=CycleState.STARTED)

    def test_a_product_has_one_open_cycle_at_a_time(self, store: LoopStore) -> None:
        store.open(self.cycle)
        second = replace(self.cycle, cycle_id="c2", number=2)
        with pytest.raises(Conflict, match="c1"):
            store.open(second)
        store.open(replace(self.cycle, cycle_id="f1", product="fares"))
        store.move(self.closed, expected=CycleState.STARTED)
        store.open(second)
        assert store.cycles() == (replace(self.cycle, cycle_id="f1", product="fares"), self.closed, second)
        assert store.cycles(_PRODUCT) == (self.closed, second)

    def test_the_same_cause_never_starts_two_cycles(self, store: LoopStore) -> None:
        store.open(self.cycle)
        store.move(self.closed, expected=CycleState.STARTED)
        with pytest.raises(Conflict):
            store.open(replace(self.cycle, number=2))
        with pytest.raises(Conflict):
            store.open(replace(self.cycle, cycle_id="c2"))
        assert store.cycles() == (self.closed,)

    def test_a_stale_move_of_a_cycle_changes_nothing(self, store: LoopStore) -> None:
        trained = replace(self.cycle, state=CycleState.TRAINED)
        store.open(self.cycle)
        store.move(trained, expected=CycleState.STARTED)
        with pytest.raises(StaleCycle) as stale:
            store.move(self.closed, expected=CycleState.STARTED)
        assert stale.value.found is CycleState.TRAINED
        assert store.get("c1") == trained

    def test_a_request_asked_again_is_the_same_request(self, store: LoopStore) -> None:
        assert store.request(self.asked) == self.asked
        assert store.request(replace(self.asked, actor="ben", reason="mine")) == self.asked
        assert store.requests(_PRODUCT) == (self.asked,)

    def test_a_request_waits_until_a_cycle_takes_it_up(self, store: LoopStore) -> None:
        later = replace(self.asked, request_id="a2")
        for request in (self.asked, later, replace(self.asked, request_id="q3", product="fares")):
            store.request(request)
        assert store.requests(_PRODUCT) == (self.asked, later)
        store.take_up("q1", "c1")
        assert store.requests(_PRODUCT) == (later,)
        assert store.requests(_PRODUCT, waiting=False) == (replace(self.asked, cycle_id="c1"), later)
        assert store.request(self.asked).cycle_id == "c1"
