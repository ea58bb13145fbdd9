"""The judge passes a candidate only on numbers that were observed and suffice; all else has a name and never passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json
from mainspring.errors import Invalid
from mainspring.gates import (
    Check,
    Evaluation,
    Outcome,
    Servability,
    Slice,
    Verdict,
    evaluate,
    evaluate_for,
    judge,
    pool,
)
from mainspring.metric import MetricSpec
from mainspring.product import AtLeast, Gate, NotWorseThan, Servable

GOOD = Evaluation(
    rows=1000,
    metrics={"roc_auc": 0.70, "log_loss": 0.40, "brier": 0.12},
    slices=(
        Slice(column="carrier", value="AA", pool_below=50, rows=900, metrics={"roc_auc": 0.71}),
        Slice(column="carrier", value="other", pool_below=50, rows=100, metrics={"roc_auc": 0.60}),
    ),
    servability=Servability(parity=True, p99_ms=2.0),
)
GATES: tuple[Gate, ...] = (
    AtLeast("roc_auc", 0.65),
    NotWorseThan("champion", "log_loss", margin=0.005),
    AtLeast("roc_auc", 0.55, slices=("carrier",), pool_below=50),
    Servable(p99_ms=10),
)


def outcome(gate: Gate, candidate: Evaluation = GOOD, champion: Evaluation | None = GOOD) -> Outcome:
    return judge([gate], candidate, champion).outcome


def test_a_good_candidate_passes_with_every_number_in_the_verdict() -> None:
    verdict = judge(GATES, GOOD, GOOD)
    assert verdict.passed
    assert [(each.subject, each.observed, each.needed) for each in verdict.checks] == [
        ("overall", 0.70, 0.65),
        ("overall", 0.40, 0.405),
        ("carrier=AA", 0.71, 0.55),
        ("carrier=other", 0.60, 0.55),
        ("overall", 2.0, 10.0),
    ]


@pytest.mark.parametrize(
    ("gate", "changed", "reason"),
    [
        (AtLeast("roc_auc", 0.701), {}, "0.7 on 1000 rows, at least 0.701 needed"),
        (AtLeast("log_loss", 0.39), {}, "0.4 on 1000 rows, at most 0.39 needed"),
        (
            NotWorseThan("champion", "log_loss", 0.005),
            {"metrics": {"log_loss": 0.4051}},
            "at most 0.405 needed",
        ),
        (NotWorseThan("champion", "roc_auc", 0.01), {"metrics": {"roc_auc": 0.6899}}, "at least 0.69 needed"),
        (AtLeast("roc_auc", 0.65, ("carrier",), 50), {}, "0.6 on 100 rows, at least 0.65 needed"),
        (Servable(p99_ms=1.9), {}, "p99 2 ms"),
        (Servable(p99_ms=10), {"servability": Servability(parity=False, p99_ms=2.0)}, "answers otherwise"),
    ],
)
def test_a_candidate_that_breaks_a_rule_is_refused_with_the_numbers(
    gate: Gate, changed: dict[str, object], reason: str
) -> None:
    verdict = judge([gate], replace(GOOD, **changed), GOOD)  # type: ignore[arg-type]
    assert verdict.outcome is Outcome.REFUSED
    assert reason in str(verdict)


@pytest.mark.parametrize(
    ("gate", "candidate", "champion"),
    [
        (AtLeast("accuracy", 0.5), GOOD, GOOD),
        (AtLeast("roc_auc", 0.5), replace(GOOD, metrics={}), GOOD),
        (AtLeast("roc_auc", 0.5), replace(GOOD, metrics={"roc_auc": math.nan}), GOOD),
        (AtLeast("roc_auc", 0.5), replace(GOOD, metrics={"roc_auc": math.inf}), GOOD),
        (AtLeast("roc_auc", 0.5), Evaluation.failed("the worker died of signal 9"), GOOD),
        (AtLeast("roc_auc", 0.5, ("origin",)), GOOD, GOOD),
        (AtLeast("roc_auc", 0.5, ("carrier",), 20), GOOD, GOOD),
        (AtLeast("roc_auc", 0.5, ("carrier",), 50), replace(GOOD, slices=GOOD.slices[:1]), GOOD),
        (AtLeast("brier", 0.5, ("carrier",), 50), GOOD, GOOD),
        (NotWorseThan("champion", "log_loss"), GOOD, replace(GOOD, metrics={"roc_auc": 0.7})),
        (NotWorseThan("champion", "log_loss"), GOOD, replace(GOOD, metrics={"log_loss": math.nan})),
        (NotWorseThan("champion", "log_loss"), GOOD, replace(GOOD, rows=999)),
        (NotWorseThan("champion", "log_loss"), GOOD, Evaluation.failed("its artifact is gone")),
        (NotWorseThan("champion", "log_loss"), replace(GOOD, metrics={}), None),
        (NotWorseThan("champion", "accuracy"), GOOD, None),
        (NotWorseThan("best", "log_loss"), GOOD, GOOD),
        (Servable(10), replace(GOOD, servability=None), GOOD),
        (Servable(10), replace(GOOD, servability=Servability(parity=True, p99_ms=None)), GOOD),
        (Servable(10), replace(GOOD, servability=Servability(parity=True, p99_ms=math.nan)), GOOD),
        (
            Servable(10),
            replace(GOOD, servability=Servability(parity=True, p99_ms=1.0, error="no such op")),
            GOOD,
        ),
    ],
)
def test_what_is_missing_or_broken_cannot_be_judged(
    gate: Gate, candidate: Evaluation, champion: Evaluation | None
) -> None:
    verdict = judge([gate], candidate, champion)
    assert verdict.outcome is Outcome.COULD_NOT_JUDGE
    assert all(each.reason for each in verdict.checks)
    canonical_json(verdict.to_dict())  # NaN would be refused


def test_too_few_rows_are_named_so() -> None:
    assert outcome(AtLeast("roc_auc", 0.5), replace(GOOD, rows=0)) is Outcome.INSUFFICIENT_DATA
    small = (replace(GOOD.slices[0], rows=960), replace(GOOD.slices[1], rows=40))
    gate = AtLeast("roc_auc", 0.5, ("carrier",), 50)
    verdict = judge([gate], replace(GOOD, slices=small), GOOD)
    assert verdict.outcome is Outcome.INSUFFICIENT_DATA
    assert "only 40 rows together" in str(verdict)


def test_a_first_version_passes_the_comparison_by_a_rule_that_the_check_states() -> None:
    verdict = judge([NotWorseThan("champion", "log_loss")], GOOD, None)
    assert verdict.passed
    assert (
        verdict.checks[0].reason
        == "no champion to compare with: a first version has nothing to be worse than"
    )


def test_without_gates_nothing_passes() -> None:
    assert judge([], GOOD, GOOD).outcome is Outcome.COULD_NOT_JUDGE


def test_every_gate_answers_also_after_a_refusal_and_a_refusal_outweighs_a_doubt() -> None:
    verdict = judge([AtLeast("accuracy", 0.1), AtLeast("roc_auc", 0.9), AtLeast("roc_auc", 0.5)], GOOD, None)
    assert [each.outcome for each in verdict.checks] == [
        Outcome.COULD_NOT_JUDGE,
        Outcome.REFUSED,
        Outcome.PASSED,
    ]
    assert verdict.outcome is Outcome.REFUSED


def test_a_verdict_that_does_not_follow_from_its_checks_cannot_be_made() -> None:
    refused = Check(
        gate="g", subject="overall", observed=1.0, needed=2.0, outcome=Outcome.REFUSED, reason="r"
    )
    with pytest.raises(Invalid):
        Verdict(outcome=Outcome.PASSED, checks=(refused,))
    with pytest.raises(Invalid):
        Verdict.from_dict({"outcome": "passed", "checks": []})


maybe = st.none() | st.floats() | st.floats(0, 1)
metrics = st.dictionaries(st.sampled_from(["roc_auc", "log_loss", "brier"]), maybe)
slices = st.lists(
    st.builds(
        Slice,
        column=st.just("carrier"),
        value=st.sampled_from(["AA", "HA", "other"]),
        pool_below=st.sampled_from([0, 50]),
        rows=st.integers(0, 60),
        metrics=metrics,
    ),
    max_size=3,
).map(tuple)
evaluations = st.builds(
    Evaluation,
    rows=st.integers(0, 120),
    metrics=metrics,
    slices=slices,
    servability=st.none()
    | st.builds(Servability, parity=st.booleans(), p99_ms=maybe, error=st.none() | st.text()),
    error=st.none() | st.text(),
)


@given(evaluations, st.none() | evaluations)
def test_a_pass_always_rests_on_observed_finite_numbers(
    candidate: Evaluation, champion: Evaluation | None
) -> None:
    verdict = judge(GATES, candidate, champion)
    for each in verdict.checks:
        if each.outcome is Outcome.PASSED:
            assert each.observed is not None
            assert math.isfinite(each.observed)
    if verdict.passed:
        assert candidate.error is None
        assert candidate.rows > 0
        assert sum(each.rows for each in candidate.slices if each.pool_below == 50) == candidate.rows


@given(evaluations, st.none() | evaluations)
def test_evaluations_and_verdicts_survive_json(candidate: Evaluation, champion: Evaluation | None) -> None:
    verdict = judge(GATES, candidate, champion)
    assert Evaluation.from_dict(json.loads(canonical_json(candidate.to_dict()))) == candidate
    assert Verdict.from_dict(json.loads(canonical_json(verdict.to_dict()))) == verdict


carriers = st.lists(st.sampled_from(["AA", "B6", "HA", "OO", "other", None]), max_size=80)


@given(carriers, st.integers(0, 20))
def test_pooling_leaves_no_row_out_and_no_slice_small_but_the_pool(
    values: list[str | None], below: int
) -> None:
    pooled = pool(values, below)
    assert len(pooled) == len(values)
    for name in set(pooled):
        assert name == "other" or pooled.count(name) >= below
    for name, value in zip(pooled, values, strict=True):
        assert name in ("other", "null" if value is None else value)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1), st.sampled_from("ABC")), max_size=60))
def test_what_is_evaluated_for_the_gates_lets_the_judge_answer_on_every_row(
    rows: list[tuple[int, float, str]],
) -> None:
    gates = [AtLeast("brier", 1.0, ("carrier",), below) for below in (0, 10, 30)]
    labels, probabilities = [row[0] for row in rows], [row[1] for row in rows]
    found = evaluate_for(gates, labels, probabilities, {"carrier": [row[2] for row in rows]})
    verdict = judge(gates, found, None)
    pool_too_small = any(each.value == "other" and each.rows < each.pool_below for each in found.slices)
    enough = bool(rows) and not pool_too_small
    assert verdict.outcome is (Outcome.PASSED if enough else Outcome.INSUFFICIENT_DATA)


def test_a_column_that_was_not_given_is_judged_as_missing() -> None:
    gate = AtLeast("roc_auc", 0.5, ("carrier",))
    found = evaluate_for([gate], [0, 1], [0.1, 0.9], {})
    assert judge([gate], found, None).outcome is Outcome.COULD_NOT_JUDGE


def test_slices_of_another_length_are_refused() -> None:
    with pytest.raises(Invalid, match="'carrier' has 1 values for 2 labels"):
        evaluate(np.array([0, 1]), np.array([0.1, 0.9]), {"carrier": ["AA"]})


def own(**changed: object) -> MetricSpec:
    whole = MetricSpec(name="cost_eur", low=0.0, high=500.0, better="lower", values=(1.0,) * 512)
    return msgspec.structs.replace(whole, **changed)


@pytest.mark.parametrize(
    ("better", "floor", "expected"),
    [
        ("lower", 12.0, Outcome.PASSED),
        ("lower", 11.0, Outcome.REFUSED),
        ("higher", 11.0, Outcome.PASSED),
        ("higher", 12.0, Outcome.REFUSED),
    ],
)
def test_a_products_own_metric_is_a_floor_or_a_ceiling_as_it_improves(
    better: str, floor: float, expected: Outcome
) -> None:
    candidate = replace(GOOD, metrics={"cost_eur": 11.5})
    verdict = judge([AtLeast("cost_eur", floor)], candidate, None, [own(better=better)])
    assert verdict.outcome is expected


@pytest.mark.parametrize(
    "gate", [AtLeast("cost_eur", 12.0), NotWorseThan("champion", "cost_eur", margin=1.0)]
)
@pytest.mark.parametrize("champion", [None, GOOD])
def test_a_metric_that_cannot_be_told_never_passes_and_says_why(
    gate: Gate, champion: Evaluation | None
) -> None:
    # Even where a value is there.
    candidate = replace(GOOD, metrics={"cost_eur": 1.0})
    fault = "it is nan, not from 0 to 500, at a probability of 0.5 and outcome 1"
    verdict = judge([gate], candidate, champion, [own(values=(), fault=fault)])
    assert verdict.outcome is Outcome.COULD_NOT_JUDGE
    assert f"cost_eur cannot be told: {fault}" in str(verdict)


def test_a_metric_that_is_not_declared_or_was_not_measured_could_not_be_judged() -> None:
    gate = AtLeast("cost_eur", 12.0)
    assert outcome(gate, replace(GOOD, metrics={"cost_eur": 1.0})) is Outcome.COULD_NOT_JUDGE
    assert judge([gate], GOOD, None, [own()]).outcome is Outcome.COULD_NOT_JUDGE
