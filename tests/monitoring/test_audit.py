"""Audits: who is asked, and what their losses may be taken for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.monitoring import (
    Budget,
    LossMismatch,
    LossTable,
    Outcome,
    WindowedBetting,
    audit_cohort,
    audit_share,
    is_audited,
    quality_stream,
)

DETECTOR = WindowedBetting()
BUDGET = Budget(checks=20, alarms=0.05)


def _losses(errors: NDArray[np.bool_]) -> LossTable:
    return LossTable.of("error", probability=np.ones(len(errors)), outcome=~errors)


REFERENCE = _losses(np.arange(10_000) < 1_000)


def _checks(seed: int, *, rate: float, rows: int = 2_000, checks: int = 20) -> list[NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    return [random.random(rows) < rate for _ in range(checks)]


def _audited(errors: NDArray[np.bool_], check: int, share: float, arrives: NDArray[np.bool_]) -> LossTable:
    chosen = np.array([is_audited(f"{check}-{row}", salt="test", share=share) for row in range(len(errors))])
    return audit_cohort(_losses(errors[chosen & arrives]), audited=int(chosen.sum()))


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_chosen_at_a_share_is_chosen_at_every_greater_one(name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_audited(name, salt="a", share=low) <= is_audited(name, salt="a", share=high)
    assert is_audited(name, salt="a", share=1.0)
    assert not is_audited(name, salt="a", share=0.0)


def test_the_share_is_kept_and_another_salt_chooses_others() -> None:
    names = [f"order-{number}" for number in range(50_000)]
    chosen = {name for name in names if is_audited(name, salt="a", share=0.1)}
    others = {name for name in names if is_audited(name, salt="b", share=0.1)}
    assert len(chosen) == pytest.approx(5_000, abs=3 * (50_000 * 0.09) ** 0.5)
    assert len(chosen & others) == pytest.approx(500, abs=3 * 500**0.5)


def test_more_is_asked_for_where_a_change_is_suspected() -> None:
    assert 0 < audit_share(suspected=False) < audit_share(suspected=True) < 1


def test_labels_that_come_for_errors_alone_alarm_without_cause_unless_they_are_audited() -> None:
    """Nothing has changed, but only the dissatisfied report."""
    false = {"all labels": 0, "audits": 0}
    for seed in range(40):
        checks = _checks(seed, rate=0.1)
        reported = quality_stream("error", REFERENCE, [_losses(errors[errors]) for errors in checks])
        audits = quality_stream(
            "error",
            REFERENCE,
            [_audited(errors, check, 0.1, errors) for check, errors in enumerate(checks)],
        )
        for way, stream in (("all labels", reported), ("audits", audits)):
            false[way] += DETECTOR.weigh([stream], budget=BUDGET).outcome is Outcome.ALARM
    assert false == {"all labels": 40, "audits": 0}


def test_audits_alarm_no_more_often_than_the_budget_allows_where_nothing_changes() -> None:
    alarms = 0
    for seed in range(100):
        cohorts = [
            _audited(errors, check, audit_share(suspected=check > 10), np.ones(len(errors), dtype=np.bool_))
            for check, errors in enumerate(_checks(seed, rate=0.1, rows=500))
        ]
        stream = quality_stream("error", REFERENCE, cohorts)
        alarms += DETECTOR.weigh([stream], budget=BUDGET).outcome is Outcome.ALARM
    assert alarms <= 100 * 0.05 + 3 * (100 * 0.05 * 0.95) ** 0.5


def test_harm_is_found_by_audits_alone() -> None:
    found = 0
    for seed in range(20):
        cohorts = [
            _audited(errors, check, 0.1, np.ones(len(errors), dtype=np.bool_))
            for check, errors in enumerate(_checks(seed, rate=0.3, checks=10))
        ]
        stream = quality_stream("error", REFERENCE, cohorts)
        found += DETECTOR.weigh([stream], budget=BUDGET).outcome is Outcome.ALARM
    assert found == 20


@given(seed=st.integers(0, 1_000), rate=st.floats(0.05, 0.5), data=st.data())
def test_labels_that_have_not_come_never_add_evidence(seed: int, rate: float, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    checks = [random.random(200) < rate for _ in range(4)]
    shares = data.draw(st.tuples(*[st.sampled_from((0.0, 0.5, 1.0))] * 4))
    arrived = [random.random(200) < share for share in shares]
    evidence = [
        DETECTOR.weigh(
            [
                quality_stream(
                    "error",
                    REFERENCE,
                    [_audited(errors, check, 1.0, came[check]) for check, errors in enumerate(checks)],
                )
            ],
            budget=BUDGET,
        ).log_e
        for came in ([np.ones(200, dtype=np.bool_)] * 4, arrived)
    ]
    # Without any label there is no evidence, which is an e-value of 1.
    assert evidence[1] <= max(evidence[0], 0.0) + 1e-9


def test_labels_that_begin_to_come_are_no_rise() -> None:
    for seed in range(10):
        cohorts = [
            _audited(errors, check, 0.3, np.full(len(errors), check > 9))
            for check, errors in enumerate(_checks(seed, rate=0.1))
        ]
        stream = quality_stream("error", REFERENCE, cohorts)
        assert DETECTOR.weigh([stream], budget=BUDGET).outcome is Outcome.QUIET


def test_more_labels_than_audited_predictions_are_refused() -> None:
    with pytest.raises(LossMismatch):
        audit_cohort(_losses(np.zeros(4, dtype=np.bool_)), audited=3)
