from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import Budget, Outcome, WindowedBetting, frame, profile
from mainspring.monitoring.faulty import fault_streams
from mainspring.monitoring.operation import (
    OperationTable,
    failure_stream,
    label_stream,
    latency_bucket,
    slow_stream,
)

detector = WindowedBetting()
budget = Budget(checks=30, alarms=0.1)

counts = st.dictionaries(st.integers(0, 40), st.integers(1, 9))
tables = st.builds(OperationTable, st.integers(0, 99), st.integers(0, 9), counts, counts)


@given(tables, tables, tables)
def test_tables_add_up_in_any_order(a: OperationTable, b: OperationTable, c: OperationTable) -> None:
    assert a.merge(b).merge(c).to_json() == c.merge(a).merge(b).to_json()
    assert OperationTable.from_json(a.to_json()).merge(OperationTable()) == a.merge(OperationTable())


@given(st.floats(1e-4, 1e5), st.lists(st.floats(1e-6, 100.0), max_size=50))
def test_no_request_that_was_fast_enough_counts_as_slow(limit_ms: float, took_s: list[float]) -> None:
    day = OperationTable()
    for each in took_s:
        day = day.merge(OperationTable(1, 0, {latency_bucket(each): 1}))
    stream = slow_stream([day], limit_ms=limit_ms, share=0.01)
    slow = sum(each > limit_ms / 1000 for each in took_s)
    surely = sum(each > limit_ms / 1000 * 2 ** (1 / 8) * (1 + 1e-9) for each in took_s if each > 1e-5)
    assert surely <= stream.checks[0][1] <= slow
    assert sum(stream.checks[0]) == len(took_s)


def test_what_is_allowed_is_quiet_and_more_is_not() -> None:
    rng = np.random.default_rng(1)

    def days(slow: float, failed: float, late: float) -> list[OperationTable]:
        return [
            OperationTable(
                asked=500,
                failed=int(rng.binomial(500, failed)),
                latencies={latency_bucket(0.005): 490, latency_bucket(0.5): int(rng.binomial(500, slow))},
                delays={3: 500 - int(rng.binomial(500, late))},
            )
            for _ in range(10)
        ]

    for harm, expected in ((0.005, Outcome.QUIET), (0.05, Outcome.ALARM)):
        seen = days(harm, harm, harm)
        for stream in (
            slow_stream(seen, limit_ms=50, share=0.01),
            failure_stream(seen, share=0.01),
            label_stream(seen, hours=24, share=0.01),
        ):
            assert detector.weigh([stream], budget=budget).outcome is expected, stream.name


def test_a_day_without_any_label_is_an_outage_at_once() -> None:
    good, none = OperationTable(asked=200, delays={5: 196}), OperationTable(asked=200)
    stream = label_stream([good] * 5 + [none], hours=24, share=0.05)
    assert detector.weigh([stream], budget=budget).outcome is Outcome.ALARM
    assert detector.weigh([label_stream([good] * 6, hours=24, share=0.05)], budget=budget).outcome is (
        Outcome.QUIET
    )


@pytest.mark.parametrize("rows", [200, 2_000])
def test_values_like_those_of_the_reference_are_faulty_no_more_often_than_the_budget_allows(
    rows: int,
) -> None:
    rng = np.random.default_rng(rows)
    runs, spoken = 60, 0

    def drawn(n: int) -> dict[str, object]:
        return {
            "wind": rng.gamma(2, 5, n),
            "carrier": rng.choice([f"c{k}" for k in range(40)], n, p=np.arange(1, 41) / 820).tolist(),
        }

    for _ in range(runs):
        given = drawn(rows)
        reference = profile(given, frame(given))
        days = [profile(drawn(150), reference.frame) for _ in range(12)]
        streams = fault_streams(reference, days, tolerance=0.0)
        spoken += detector.weigh(streams, budget=budget).outcome is Outcome.ALARM
    assert spoken <= runs * budget.alarms + 3 * math.sqrt(runs * budget.alarms)


def test_each_fault_is_found_and_named() -> None:
    rng = np.random.default_rng(2)
    given = {"wind": rng.gamma(2, 5, 5_000), "carrier": rng.choice(["UA", "B6"], 5_000).tolist()}
    reference = profile(given, frame(given))
    for fault, most in (
        ({"wind": np.where(rng.random(500) < 0.05, np.nan, 7.0)}, "wind missing"),
        ({"wind": np.full(500, 7_000.0)}, "wind out of range"),
        ({"wind": np.where(rng.random(500) < 0.05, np.inf, 7.0)}, "wind out of range"),
        ({"carrier": ["XX"] * 30 + ["UA"] * 470}, "carrier unseen"),
        ({"carrier": [None] * 30 + ["UA"] * 470}, "carrier missing"),
    ):
        sound = {"wind": rng.gamma(2, 5, 500).clip(1, 30), "carrier": ["UA"] * 500}
        days = [profile(sound | fault, reference.frame)] * 4
        evidence = detector.weigh(fault_streams(reference, days), budget=budget)
        assert (evidence.outcome, evidence.streams[0][0]) == (Outcome.ALARM, most)
    moved = [
        profile({"wind": rng.gamma(4, 5, 500).clip(1, 40), "carrier": ["UA"] * 500}, reference.frame)
    ] * 4
    assert detector.weigh(fault_streams(reference, moved), budget=budget).outcome is Outcome.QUIET
