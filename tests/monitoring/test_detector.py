from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.monitoring import (
    Budget,
    InvalidBudget,
    InvalidStream,
    LossTable,
    Outcome,
    Stream,
    WindowedBetting,
    drift_streams,
    frame,
    profile,
    quality_stream,
)

detector = WindowedBetting()
budget = Budget(checks=60, alarms=0.05)


def coin(
    reference: tuple[int, int],
    checks: Sequence[tuple[int, int]],
    tolerance: float = 0.01,
    name: str = "error",
) -> Stream:
    """A 0/1 stream from (rows, ones)."""
    return Stream(
        name=name,
        column="error",
        lower=(0.0, 1.0),
        upper=(0.0, 1.0),
        reference=(reference[0] - reference[1], reference[1]),
        checks=tuple((rows - ones, ones) for rows, ones in checks),
        tolerance=tolerance,
    )


ones = st.integers(0, 60)
coins = st.builds(
    lambda reference, checks, tolerance: coin((200, reference), [(60, n) for n in checks], tolerance),
    st.integers(0, 200),
    st.lists(ones, min_size=1, max_size=9),
    st.floats(0.0, 0.2),
)


@given(coins, st.floats(0.0, 0.3))
@settings(max_examples=60, deadline=None)
def test_evidence_falls_as_the_tolerance_grows(stream: Stream, more: float) -> None:
    # Bets depend a little on the tolerance, hence the nat; below 0 there is no evidence to compare.
    weaker = replace(stream, tolerance=stream.tolerance + more)
    strong = detector.weigh([stream], budget=budget)
    weak = detector.weigh([weaker], budget=budget)
    assert weak.log_e <= max(strong.log_e, 0.0) + 1.0


@given(coins, st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_more_ones_in_the_newest_check_are_never_less_evidence(stream: Stream, more: int) -> None:
    zeros, ones = stream.checks[-1]
    moved = min(more, zeros)
    worse = replace(stream, checks=(*stream.checks[:-1], (zeros - moved, ones + moved)))
    before, after = (detector.weigh([s], budget=budget).log_e for s in (stream, worse))
    assert after >= before - 1e-6


@given(st.lists(st.booleans(), min_size=2, max_size=50), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_evidence_does_not_know_the_order_of_rows_or_how_they_were_split(
    outcomes: list[bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    outcome = np.array(outcomes)
    probability = rng.uniform(size=len(outcome))
    reference = LossTable.of("brier", probability=rng.uniform(size=300), outcome=rng.integers(0, 2, 300))
    order = rng.permutation(len(outcome))
    whole = LossTable.of("brier", probability=probability, outcome=outcome)
    halves = [
        LossTable.of("brier", probability=probability[part], outcome=outcome[part])
        for part in np.array_split(order, 2)
    ]
    streams = [
        quality_stream("brier", reference, [whole, check]) for check in (whole, halves[1].merge(halves[0]))
    ]
    first, second = (detector.weigh([stream], budget=budget) for stream in streams)
    assert first == second


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_the_expected_evidence_of_one_check_is_at_most_one_whatever_the_rate(rate: float) -> None:
    # All pairs of counts, each as often as it comes: no simulation.
    rows, since = 100, 40
    streams = [
        coin((rows, before), [(since, after)], 0.0, f"{before} {after}")
        for before in range(rows + 1)
        for after in range(since + 1)
    ]
    found = detector.weigh(streams, budget=budget).streams

    def chance(ones: int, rows: int) -> float:
        return math.comb(rows, ones) * rate**ones * (1 - rate) ** (rows - ones)

    expected = 0.0
    for name, log_e in found:
        before, after = map(int, name.split())
        expected += chance(before, rows) * chance(after, since) * math.exp(log_e)
    assert 0.05 < expected <= 1.0


@given(coins)
@settings(max_examples=30, deadline=None)
def test_a_finer_grid_only_adds_evidence(stream: Stream) -> None:
    below, above = detector.cells
    fine = replace(detector, cells=(2 * below - 1, 2 * above))
    assert fine.weigh([stream], budget=budget).log_e >= detector.weigh([stream], budget=budget).log_e - 1e-6


def test_evidence_does_not_know_the_order_of_streams() -> None:
    streams = [coin((1000, 100), [(500, 50 + 9 * n), (500, 60)], name=f"s{n}") for n in range(5)]
    evidence = detector.weigh(streams, budget=budget)
    assert detector.weigh(streams[::-1], budget=budget) == evidence
    assert [name for name, _ in evidence.streams[:2]] == ["s4", "s3"]


def test_levels_may_be_wide_and_only_cost_evidence() -> None:
    exact = coin((5000, 500), [(1000, 200)])
    wide = replace(exact, lower=(0.0, 0.9), upper=(0.02, 1.0))
    sure, unsure = (detector.weigh([stream], budget=budget).log_e for stream in (exact, wide))
    assert unsure < sure


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (coin((0, 0), [(500, 50)]), "reference has 0 rows"),
        (coin((99, 9), [(500, 50)]), "reference has 99 rows"),
        (coin((5000, 500), []), "no check"),
        (coin((5000, 500), [(0, 0), (0, 0)]), "has any row"),
    ],
)
def test_too_little_data_is_named_and_is_neither_an_alarm_nor_quiet(stream: Stream, reason: str) -> None:
    evidence = detector.weigh([stream], budget=budget)
    assert evidence.outcome is Outcome.INSUFFICIENT_DATA
    assert evidence.log_e == 0.0
    assert evidence.window == 0
    [(name, why)] = evidence.insufficient
    assert name == "error"
    assert reason in why


def test_nothing_to_weigh_is_insufficient_data() -> None:
    assert detector.weigh([], budget=budget).outcome is Outcome.INSUFFICIENT_DATA


def test_one_stream_without_data_breaks_the_silence_but_stops_no_alarm() -> None:
    empty = coin((0, 0), [(500, 50)], name="empty")
    calm, risen = coin((5000, 500), [(500, 50)]), coin((5000, 500), [(500, 250)])
    assert detector.weigh([calm], budget=budget).outcome is Outcome.QUIET
    assert detector.weigh([calm, empty], budget=budget).outcome is Outcome.INSUFFICIENT_DATA
    assert detector.weigh([risen, empty], budget=budget).outcome is Outcome.ALARM


def test_streams_with_other_levels_and_other_histories_are_weighed_together() -> None:
    losses = LossTable.of("log_loss", probability=np.full(500, 0.9), outcome=np.ones(500))
    worse = LossTable.of("log_loss", probability=np.full(500, 0.3), outcome=np.ones(500))
    streams = [coin((5000, 500), [(500, 50)] * 3), quality_stream("log_loss", losses, [losses, worse])]
    evidence = detector.weigh(streams, budget=budget)
    assert evidence.outcome is Outcome.ALARM
    assert evidence.streams[0][0] == "log_loss"
    assert evidence.window == 1


def test_extreme_tables_give_finite_evidence() -> None:
    for reference in ((200, 0), (200, 200), (10**9, 10**8)):
        for ones in (0, 10**7):
            evidence = detector.weigh([coin(reference, [(10**7, ones)], tolerance=0.0)], budget=budget)
            assert math.isfinite(evidence.log_e)


def test_an_empty_check_changes_nothing_but_the_window() -> None:
    one = detector.weigh([coin((5000, 500), [(2000, 300)])], budget=budget)
    two = detector.weigh([coin((5000, 500), [(2000, 300), (0, 0)])], budget=budget)
    assert one.log_e == two.log_e


def test_a_stream_whose_tables_do_not_fit_is_refused() -> None:
    good = coin((500, 50), [(50, 5)])
    for change, text in (
        ({"reference": (1, 2, 3)}, "number of levels"),
        ({"checks": ((1, -1),)}, "negative"),
        ({"upper": (0.0, 1.5)}, "outside"),
        ({"tolerance": math.nan}, "tolerance"),
    ):
        with pytest.raises(InvalidStream, match=text):
            replace(good, **change)
    with pytest.raises(InvalidStream, match="same name"):
        detector.weigh([good, good], budget=budget)


def test_a_budget_is_shared_without_loss() -> None:
    assert sum(budget.share(7).alarms for _ in range(7)) == pytest.approx(budget.alarms)
    # The promise P <= checks / threshold is within the budget, and nearly uses it up.
    assert 0.97 * budget.alarms < budget.checks / math.exp(budget.log_threshold) <= budget.alarms
    for checks, alarms in ((0, 0.1), (10, 0.0), (10, math.nan), (10, math.inf)):
        with pytest.raises(InvalidBudget):
            Budget(checks=checks, alarms=alarms)


@pytest.mark.parametrize("reference_rows", [200, 2_000, 20_000])
def test_false_alarms_on_streams_without_change_stay_within_the_budget(reference_rows: int) -> None:
    # No tolerance: the edge of what is promised.
    runs, checks, rows = 400, 16, 150
    rng = np.random.default_rng(reference_rows)
    wide = Budget(checks=checks, alarms=0.2)
    rate = rng.uniform(0.02, 0.98, size=runs)
    reference = rng.binomial(reference_rows, rate)
    counts = rng.binomial(rows, rate[:, None], size=(runs, checks))
    alarmed: set[str] = set()
    for seen in range(1, checks + 1):
        streams = [
            coin(
                (reference_rows, int(reference[run])),
                [(rows, int(ones)) for ones in counts[run, :seen]],
                0.0,
                str(run),
            )
            for run in range(runs)
        ]
        evidence = detector.weigh(streams, budget=wide)
        alarmed |= {name for name, log_e in evidence.streams if log_e >= evidence.log_threshold}
    assert len(alarmed) / runs <= wide.alarms + 3 * math.sqrt(wide.alarms * (1 - wide.alarms) / runs)


def delays(streams: Sequence[Sequence[Stream]], change: int) -> list[float]:
    """Checks from the change to the alarm of each run, inf where none comes; runs that alarm before it fail."""
    found = []
    for run in streams:
        cuts = range(1, len(run[0].checks) + 1)
        at = next(
            (
                cut
                for cut in cuts
                if detector.weigh(
                    [replace(stream, checks=stream.checks[:cut]) for stream in run], budget=budget
                ).outcome
                is Outcome.ALARM
            ),
            math.inf,
        )
        assert at > change
        found.append(at - change)
    return found


def test_an_error_rate_that_goes_from_10_to_15_percent_is_found() -> None:
    rng = np.random.default_rng(11)
    runs = [
        [
            coin(
                (5000, int(rng.binomial(5000, 0.10))),
                [(500, int(rng.binomial(500, 0.10 if check < 8 else 0.15))) for check in range(28)],
            )
        ]
        for _ in range(25)
    ]
    found = delays(runs, change=8)
    assert sum(map(math.isfinite, found)) >= 23
    assert np.median(found) <= 7


def test_a_risen_brier_score_is_found() -> None:
    rng = np.random.default_rng(12)

    def cohort(rows: int, bias: float) -> LossTable:
        probability = rng.beta(1.0, 3.0, rows)
        outcome = rng.uniform(size=rows) < np.clip(probability + bias, 0, 1)
        return LossTable.of("brier", probability=probability, outcome=outcome)

    runs = [
        [quality_stream("brier", cohort(5000, 0.0), [cohort(500, 0.0 if n < 4 else 0.2) for n in range(14)])]
        for _ in range(6)
    ]
    assert np.median(delays(runs, change=4)) <= 4


def drift_run(rng: np.random.Generator, reference_rows: int, checks: int, change: int) -> list[Stream]:
    def window(rows: int, shift: float) -> dict[str, np.ndarray | list[str]]:
        return {
            "wind": rng.normal(10.0 + shift, 1.0, rows),
            "delay": np.round(rng.exponential(20.0, rows)),
            "carrier": rng.choice(["UA", "B6", "DL", "EV"], rows, p=[0.4, 0.3, 0.2, 0.1]).tolist(),
        }

    rows = window(reference_rows, 0.0)
    shape = frame(rows)
    since = [profile(window(500, 0.25 if n >= change else 0.0), shape) for n in range(checks)]
    return list(drift_streams(profile(rows, shape), since))


def test_a_shift_of_a_quarter_standard_deviation_is_found_and_attributed() -> None:
    rng = np.random.default_rng(13)
    runs = [drift_run(rng, 10_000, 12, change=4) for _ in range(6)]
    found = delays(runs, change=4)
    assert np.median(found) <= 5
    evidence = detector.weigh(runs[0], budget=budget)
    assert evidence.streams[0][0] == "wind higher"
    assert abs(evidence.window - 8) <= 2


@pytest.mark.parametrize("reference_rows", [200, 2_000, 20_000])
def test_inputs_that_do_not_change_raise_no_more_alarms_than_the_budget(reference_rows: int) -> None:
    rng = np.random.default_rng(reference_rows)
    runs, checks, alarms = 25, 6, 0
    wide = Budget(checks=checks, alarms=0.2)
    for _ in range(runs):
        streams = drift_run(rng, reference_rows, checks, change=checks)
        looks = (
            [replace(stream, checks=stream.checks[:seen], tolerance=0.0) for stream in streams]
            for seen in range(1, checks + 1)
        )
        alarms += any(detector.weigh(look, budget=wide).outcome is Outcome.ALARM for look in looks)
    assert alarms / runs <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / runs)


# --- without a reference -------------------------------------------------------------------------------------------


def against(
    allowed: float, checks: Sequence[tuple[int, int]], tolerance: float = 0.0, name: str = "slow"
) -> Stream:
    """A 0/1 stream from (rows, ones), with a mean that is allowed."""
    return replace(coin((0, 0), checks, tolerance, name), allowed=allowed)


def beside(
    checks: Sequence[tuple[int, int]],
    control: Sequence[tuple[int, int]],
    tolerance: float = 0.0,
    name: str = "gap",
) -> Stream:
    """A 0/1 stream from (rows, ones), with a control's."""
    others = coin((0, 0), control, tolerance).checks
    return replace(coin((0, 0), checks, tolerance, name), beside=others)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_without_a_reference_the_expected_evidence_of_one_check_is_at_most_one(rate: float) -> None:
    rows, since = 100, 40

    def chance(ones: int, rows: int) -> float:
        return math.comb(rows, ones) * rate**ones * (1 - rate) ** (rows - ones)

    known = [against(rate, [(since, ones)], name=f"0 {ones}") for ones in range(since + 1)]
    pairs = [
        beside([(since, after)], [(rows, before)], name=f"{before} {after}")
        for before in range(rows + 1)
        for after in range(since + 1)
    ]
    for streams, least in ((known, 0.99), (pairs, 0.05)):
        expected = 0.0
        for name, log_e in detector.weigh(streams, budget=budget).streams:
            before, after = map(int, name.split())
            weight = chance(before, rows) if streams is pairs else 1.0
            expected += weight * chance(after, since) * math.exp(log_e)
        assert least < expected <= 1.0 + 1e-5  # evidence is rounded to six digits


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_false_alarms_without_a_reference_stay_within_the_budget(rate: float) -> None:
    runs, checks, rows = 300, 16, 120
    rng = np.random.default_rng(int(100 * rate))
    wide = Budget(checks=checks, alarms=0.2)
    # Whatever moves both is no change of one beside the other.
    moving = np.clip(rate + 0.3 * rng.uniform(size=(runs, checks)), 0, 1)
    counts, control = rng.binomial(rows, moving), rng.binomial(rows, moving)
    steady = rng.binomial(rows, rate, size=(runs, checks))
    alarmed: set[str] = set()
    for seen in range(1, checks + 1):
        streams = []
        for run in range(runs):
            tables = [[(rows, int(ones)) for ones in of[run, :seen]] for of in (counts, control, steady)]
            streams += [beside(tables[0], tables[1], name=f"beside {run}")]
            streams += [against(rate, tables[2], name=f"allowed {run}")]
        evidence = detector.weigh(streams, budget=wide)
        alarmed |= {name for name, log_e in evidence.streams if log_e >= evidence.log_threshold}
    bound = wide.alarms + 3 * math.sqrt(wide.alarms * (1 - wide.alarms) / runs)
    for kind in ("beside", "allowed"):
        assert sum(name.startswith(kind) for name in alarmed) / runs <= bound


def test_a_share_above_what_is_allowed_and_a_gap_to_the_control_are_found() -> None:
    rng = np.random.default_rng(5)
    before = [(500, int(rng.binomial(500, 0.01))) for _ in range(8)]
    after = [(500, int(rng.binomial(500, 0.03))) for _ in range(6)]
    control = [(2000, int(rng.binomial(2000, 0.01))) for _ in range(14)]
    for stream in (
        against(0.01, [*before, *after], 0.002),
        beside([*before, *after], control, 0.002),
    ):
        evidence = detector.weigh([stream], budget=budget)
        assert evidence.outcome is Outcome.ALARM
        assert evidence.window in range(5, 8)
        quiet = replace(stream, checks=stream.checks[:8], beside=stream.beside and stream.beside[:8])
        assert detector.weigh([quiet], budget=budget).outcome is Outcome.QUIET


@given(st.lists(st.tuples(ones, st.integers(0, 60)), min_size=1, max_size=9), st.floats(0.0, 0.9))
@settings(max_examples=30, deadline=None)
def test_evidence_without_a_reference_is_finite_and_falls_as_the_tolerance_grows(
    checks: list[tuple[int, int]], tolerance: float
) -> None:
    counts, control = [(60, n) for n, _ in checks], [(60, n) for _, n in checks]
    for narrow, wide in (
        (against(0.05, counts), against(0.05, counts, tolerance)),
        (beside(counts, control), beside(counts, control, tolerance)),
    ):
        strong, weak = (detector.weigh([each], budget=budget).log_e for each in (narrow, wide))
        assert math.isfinite(strong)
        assert weak <= max(strong, 0.0) + 1.0


def test_a_control_without_rows_is_no_evidence_and_is_named() -> None:
    few = beside([(500, 400)], [(99, 0)])
    assert detector.weigh([few], budget=budget).insufficient == (
        ("gap", "the control has 99 rows, 100 are needed"),
    )
    absent = beside([(500, 0), (500, 400)], [(500, 0), (0, 0)])
    assert detector.weigh([absent], budget=budget).window == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"allowed": 0.5, "beside": ((1, 1),)}, "more than one"),
        ({"allowed": 0.5, "reference": (1, 1)}, "more than one"),
        ({"allowed": 0.995}, "never be too high"),
        ({"allowed": math.nan}, "never be too high"),
        ({"beside": ()}, "as many checks"),
    ],
)
def test_a_comparison_that_cannot_be_meant_is_refused(given: dict[str, Any], why: str) -> None:
    plain = coin((0, 0), [(2, 1)])
    with pytest.raises(InvalidStream, match=why):
        replace(plain, **given)
