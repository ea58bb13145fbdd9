from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from mainspring.metric import Metric, measured
from mainspring.monitoring import Budget, Outcome, Stream, WindowedBetting
from mainspring.monitoring.alarm import mean
from mainspring.monitoring.scores import (
    ALL_ROWS,
    GAPS,
    SCORE_METRICS,
    ScoreTable,
    UnknownScoreMetric,
    concept_streams,
    fairness_streams,
    metric_streams,
)
from mainspring.task import BinaryClassification, Regression

detector = WindowedBetting()
budget = Budget(checks=30, alarms=0.1)

scores = st.floats(0, 1).map(lambda score: round(score, 3))
rows = st.lists(
    st.tuples(scores, st.sampled_from([0, 1, None]), st.sampled_from(["a", "b", "null"])), min_size=1
)


def table(given: list[tuple[float, int | None, str]]) -> ScoreTable:
    score, outcome, kind = zip(*given, strict=True)
    return ScoreTable.of(score, outcome, {"kind": kind})


def draw(
    rng: np.random.Generator, n: int, *, bias: float = 0.0, worse: float = 0.0, labelled: bool = True
) -> ScoreTable:
    """A calibrated model's rows; `bias` moves outcomes in all rows, `worse` takes what it knows of kind b."""
    score = rng.beta(2, 3, n)
    kind = np.where(rng.random(n) < 0.9, "a", "b")
    chance = np.where((kind == "b") & (rng.random(n) < worse), 1 - score, score)
    outcome = (rng.random(n) < np.clip(chance + bias, 0, 1)).astype(int)
    return ScoreTable.of(
        score.tolist(), outcome.tolist() if labelled else [None] * n, {"kind": kind.tolist()}
    )


@given(rows, st.randoms())
@settings(max_examples=50, deadline=None)
def test_tables_do_not_know_the_order_of_rows_or_how_they_were_split(
    given: list[tuple[float, int | None, str]], random: object
) -> None:
    whole = table(given)
    order = sorted(range(len(given)), key=lambda n: hash((n, str(random))))
    cut = len(given) // 2
    parts = [[given[n] for n in part] for part in (order[:cut], order[cut:])]
    merged = ScoreTable()
    for part in parts:
        merged = merged.merge(table(part)) if part else merged
    assert merged.to_json() == whole.to_json()
    assert ScoreTable.from_json(whole.to_json()) == whole


@given(rows)
@settings(max_examples=50, deadline=None)
def test_a_label_that_is_taken_out_again_leaves_no_trace(given: list[tuple[float, int | None, str]]) -> None:
    before, after = table(given), table(given)
    after.label(0.7, 1, ["kind=a"])
    after.label(0.7, 1, ["kind=a"], sign=-1)
    assert after == before


@given(rows)
@settings(max_examples=100, deadline=None)
def test_each_metric_is_that_of_the_raw_rows(given: list[tuple[float, int | None, str]]) -> None:
    labelled = [(score, outcome) for score, outcome, _ in given if outcome is not None]
    assume({outcome for _, outcome in labelled} == {0, 1})
    assume(any(score >= 0.5 for score, _ in labelled))
    reference = table(given)
    told = {
        metric: metric_streams(metric, reference, [reference], awaited=[False]) for metric in SCORE_METRICS
    }
    score, truth = (np.array(each) for each in zip(*labelled, strict=True))
    said = score >= 0.5

    def of(metric: str) -> float:
        return mean(told[metric][0], told[metric][0].checks, scale=SCORE_METRICS[metric][1])

    assert of("accuracy") == pytest.approx(1 - metrics.accuracy_score(truth, said), abs=1e-6)
    assert of("precision") == pytest.approx(1 - metrics.precision_score(truth, said), abs=1e-6)
    assert of("recall") == pytest.approx(1 - metrics.recall_score(truth, said), abs=1e-6)
    assert of("f1") == pytest.approx(1 - metrics.jaccard_score(truth, said), abs=1e-6)
    assert of("brier") == pytest.approx(metrics.brier_score_loss(truth, score), abs=1 / 256)
    level = np.minimum(np.floor(score * 256), 255)
    expected = 1 - metrics.roc_auc_score(truth, level)
    for stream in told["roc_auc"]:
        assert mean(stream, stream.checks, scale=1.0) == pytest.approx(expected, abs=1e-6)
    for name in ("brier", "log_loss"):
        (stream,) = told[name]
        came = np.where(truth == 1, score, 1 - score)
        with np.errstate(divide="ignore"):
            exact = ((1 - came) ** 2 if name == "brier" else np.minimum(-np.log(came) / 4, 1)).mean()
        low, high = (
            float(np.dot(stream.checks[0], ends)) / len(labelled) for ends in (stream.lower, stream.upper)
        )
        assert low - 1e-9 <= exact <= high + 1e-9


@given(rows)
@settings(max_examples=50, deadline=None)
def test_a_products_own_metric_is_the_mean_that_gates_have(
    given: list[tuple[float, int | None, str]],
) -> None:
    task = BinaryClassification("late")
    kept = [(score, outcome, kind) for score, outcome, kind in given if outcome is not None]
    assume(kept)
    for better in ("lower", "higher"):
        metric = Metric("cost", lambda p, y: 20 * p if not y else 500.0 * (p < 0.3) - 7, -7, 500, better)  # type: ignore[arg-type]
        spec = measured(metric, task)
        streams = metric_streams(spec, table(kept), [table(given)], awaited=[False], attributes=["kind"])
        gate = spec.mean(task, [each[1] for each in kept], [each[0] for each in kept])
        worse = gate - spec.low if better == "lower" else spec.high - gate
        assert mean(streams[0], streams[0].checks, scale=spec.span) == pytest.approx(worse)
        assert [each.name for each in streams[1:]] == [
            f"{spec.unit} where kind={each}" for each in sorted({kind for *_, kind in kept})
        ]


def test_answers_that_are_too_low_are_told_from_those_that_are_too_high() -> None:
    def of(errors: list[float]) -> ScoreTable:
        found = ScoreTable()
        for error in errors:
            found.ask(0.0, [])
            found.label_number(error, [])
        return found

    task = Regression("minutes", low=0, high=100)
    too_low = measured(Metric("promised", lambda error: max(0.0, -error), low=0, high=100), task)
    reference, high, low = of([0.1, -0.1] * 500), of([0.1] * 200), of([-0.1] * 200)
    for metric, risen in ((too_low, [0.0, 0.1]), ("mae", [0.1, 0.1])):
        (stream,) = metric_streams(metric, reference, [high, low], awaited=[False, False])
        assert [mean(stream, [each], scale=1.0) for each in stream.checks] == pytest.approx(risen, abs=2e-3)


def alarmed(streams: tuple[Stream, ...]) -> tuple[Outcome, str]:
    evidence = detector.weigh(streams, budget=budget)
    return evidence.outcome, evidence.streams[0][0]


def test_without_a_change_nothing_speaks_more_often_than_the_budget_allows() -> None:
    rng = np.random.default_rng(3)
    runs = 60
    cost = Metric("cost", lambda p, y: 20.0 * (p >= 0.2 and not y) + 500.0 * (p < 0.2 and y), 0, 500)
    own = measured(cost, BinaryClassification("late"))
    spoken: dict[str, int] = {}
    for _ in range(runs):
        reference = draw(rng, 2_000)
        days = [draw(rng, 150) for _ in range(10)]
        waits = [False] * len(days)
        found = {
            metric: metric_streams(metric, reference, days, awaited=waits, attributes=["kind"], tolerance=0.0)
            for metric in ("accuracy", "f1", "roc_auc", own)
        }
        found["concept"] = concept_streams(reference, days, awaited=waits, tolerance=0.0)
        for name, streams in found.items():
            spoken[str(name)] = spoken.get(str(name), 0) + (alarmed(streams)[0] is Outcome.ALARM)
    bound = runs * budget.alarms + 3 * math.sqrt(runs * budget.alarms)
    assert max(spoken.values()) <= bound


def test_harm_to_a_tenth_of_the_rows_is_found_in_its_slice() -> None:
    rng = np.random.default_rng(4)
    reference = draw(rng, 10_000)
    days = [draw(rng, 1_000) for _ in range(4)] + [draw(rng, 1_000, worse=1.0) for _ in range(8)]
    waits = [False] * len(days)
    for metric in ("log_loss", "accuracy", "roc_auc"):
        streams = metric_streams(metric, reference, days, awaited=waits, attributes=["kind"])
        outcome, most = alarmed(streams)
        assert outcome is Outcome.ALARM
        assert most.endswith("where kind=b")
        assert alarmed(tuple(replace(each, checks=each.checks[:4]) for each in streams))[0] is Outcome.QUIET


def test_a_change_of_concept_is_found_and_one_of_the_inputs_is_none() -> None:
    rng = np.random.default_rng(5)
    reference = draw(rng, 10_000)
    changed = [draw(rng, 1_000, bias=0.1) for _ in range(8)]
    # Higher scores, and outcomes with them: another mix of the same.
    score = [np.clip(rng.beta(4, 3, 1_000), 0, 1) for _ in range(8)]
    moved = [ScoreTable.of(each.tolist(), (rng.random(1_000) < each).astype(int).tolist()) for each in score]
    outcome, most = alarmed(concept_streams(reference, changed, awaited=[False] * 8))
    assert outcome is Outcome.ALARM
    assert most.startswith("outcome more often at score")
    assert alarmed(concept_streams(reference, moved, awaited=[False] * 8))[0] is Outcome.QUIET
    assert alarmed(metric_streams("accuracy", reference, moved, awaited=[False] * 8))[0] is Outcome.QUIET


def test_labels_that_are_waited_for_make_no_alarm_whichever_come_first() -> None:
    rng = np.random.default_rng(6)
    reference = draw(rng, 5_000)
    days = []
    for _ in range(6):
        day = draw(rng, 1_000)
        late = ScoreTable(
            {name: of * [1, 0, 1] for name, of in day.groups.items()}  # the positives alone have come
        )
        days.append(late)
    for metric in SCORE_METRICS:
        naive, waiting = (
            alarmed(metric_streams(metric, reference, days, awaited=[waits] * 6, attributes=["kind"]))[0]
            for waits in (False, True)
        )
        assert waiting is not Outcome.ALARM, metric
        if metric in ("log_loss", "accuracy", "brier"):
            assert naive is Outcome.ALARM
    waits, does_not = (
        alarmed(concept_streams(reference, days, awaited=[each] * 6))[0] for each in (True, False)
    )
    assert (waits, does_not) == (Outcome.QUIET, Outcome.ALARM)


@pytest.mark.parametrize("metric", GAPS)
def test_a_gap_between_groups_is_found_and_what_moves_all_of_them_is_none(metric: str) -> None:
    rng = np.random.default_rng(7)

    def day(shift: float, apart: float, n: int = 2_000) -> ScoreTable:
        kind = np.where(rng.random(n) < 0.5, "a", "b")
        score = np.clip(rng.beta(3, 3, n) + shift + apart * (kind == "b"), 0, 1)
        outcome = (rng.random(n) < np.clip(score - 2 * apart * (kind == "b"), 0, 1)).astype(int)
        return ScoreTable.of(score.tolist(), outcome.tolist(), {"kind": kind.tolist()})

    def found(days: list[ScoreTable]) -> Outcome:
        streams = fairness_streams(metric, "kind", ["a", "b"], days, awaited=[False] * len(days), gap=0.05)
        return alarmed(streams)[0]

    together = [day(0.02 * n, 0.0) for n in range(8)]
    assert found(together) is Outcome.QUIET
    assert found(together[:2] + [day(0.0, 0.3) for _ in range(6)]) is Outcome.ALARM


def test_what_has_no_rows_in_the_reference_is_no_silence() -> None:
    one_class = ScoreTable.of([0.2, 0.7] * 500, [1] * 1_000)
    for metric in ("roc_auc", "accuracy"):
        streams = metric_streams(metric, one_class, [one_class], awaited=[False])
        expected = Outcome.INSUFFICIENT_DATA if metric == "roc_auc" else Outcome.QUIET
        assert alarmed(streams)[0] is expected
    assert concept_streams(ScoreTable(), [one_class], awaited=[False]) == ()
    assert fairness_streams("error", "kind", ["a"], [one_class], awaited=[False], gap=0.1) == ()
    assert detector.weigh((), budget=budget).outcome is Outcome.INSUFFICIENT_DATA


def test_a_metric_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownScoreMetric, match=r"'profit'.*log_loss"):
        metric_streams("profit", ScoreTable(), [], awaited=[])
    with pytest.raises(UnknownScoreMetric, match=r"'brier'.*positive_rate"):
        fairness_streams("brier", "kind", [], [], awaited=[], gap=0.1)
    assert ScoreTable().rows(ALL_ROWS) == (0, 0)
