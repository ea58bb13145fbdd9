"""The contract of a store of runs and finished steps."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["RunStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mainspring.digest import Digest, digest_of
from mainspring.pipelines.plan import StepKey
from mainspring.pipelines.run import Run, RunNotFound, RunState, RunStore, StepRecord

_NOON = datetime(2013, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
_SOME = digest_of(b"some content")
_PRODUCT = "late-arrivals"


class RunStoreContract:
    """What a `RunStore` promises."""

    run = Run(
        run_id="run-c1",
        product=_PRODUCT,
        cycle_id="c1",
        state=RunState.RUNNING,
        params={"train.rate": 0.1, "train.window": None, "train.deep": True},
        data=("flights@v1",),
        started_at=_NOON,
    )
    key = StepKey(
        step="train",
        code="c",
        environment="e",
        params={"rate": 0.1, "n": 3},
        seed=7,
        inputs={"flights": "flights@v1"},
    )

    @pytest.fixture
    def store(self) -> RunStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_run_is_found_in_its_last_state(self, store: RunStore) -> None:
        store.put(self.run)
        assert store.get("run-c1") == self.run
        done = replace(
            self.run,
            state=RunState.COMPLETED,
            metrics={"log_loss": 0.5},
            steps=({"name": "train", "reused": "no"},),
        )
        store.put(done)
        assert store.get("run-c1") == done
        assert store.runs() == (done,)

    def test_an_unknown_run_is_not_found(self, store: RunStore) -> None:
        with pytest.raises(RunNotFound):
            store.get("run-c1")

    def test_the_newest_runs_come_first(self, store: RunStore) -> None:
        for run_id, product in (("z", _PRODUCT), ("a", "fares"), ("m", _PRODUCT)):
            store.put(replace(self.run, run_id=run_id, product=product))
        store.put(replace(self.run, run_id="z", error="it failed", state=RunState.FAILED))
        assert [run.run_id for run in store.runs()] == ["m", "a", "z"]
        assert [run.run_id for run in store.runs(_PRODUCT)] == ["m", "z"]
        assert [run.run_id for run in store.runs(limit=1)] == ["m"]

    def test_a_finished_step_is_found_by_its_key(self, store: RunStore) -> None:
        store.put(self.run)
        record = StepRecord(key=self.key, output=_SOME, run_id="run-c1", reason="it never ran before")
        assert store.add_step(record) == record
        assert store.find_step(self.key.digest) == record
        assert store.find_step(Digest("0" * 64)) is None

    def test_the_first_record_of_a_key_stays(self, store: RunStore) -> None:
        store.put(self.run)
        first = StepRecord(key=self.key, output=_SOME, run_id="run-c1", reason="first")
        store.add_step(first)
        assert store.add_step(replace(first, output=digest_of(b"late"), reason="second")) == first
        assert store.find_step(self.key.digest) == first

    def test_earlier_steps_are_those_of_the_product_oldest_first(self, store: RunStore) -> None:
        store.put(self.run)
        store.put(replace(self.run, run_id="run-f1", product="fares"))
        added = [
            StepRecord(
                key=StepKey(step=step, code=code, environment="e", params={}, seed=0, inputs={}),
                output=_SOME,
                run_id=run_id,
                reason="",
            )
            for step, code, run_id in (
                ("train", "9", "run-c1"),
                ("prepare", "1", "run-c1"),
                ("train", "1", "run-f1"),
                ("train", "2", "run-c1"),
            )
        ]
        for record in added:
            store.add_step(record)
        assert store.earlier_steps(_PRODUCT, "train") == (added[0], added[3])

    def test_a_step_of_a_run_that_is_not_there_is_refused(self, store: RunStore) -> None:
        with pytest.raises(RunNotFound):
            store.add_step(StepRecord(key=self.key, output=_SOME, run_id="run-c1", reason=""))
