"""Each guard, each strategy: what ends a step, what takes a challenger out, and what a promotion needs."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json, digest_of
from mainspring.rollouts import (
    ArmCounts,
    Decision,
    Finding,
    Kind,
    Measurement,
    MetricSums,
    Observed,
    Phase,
    Result,
    Rollout,
    advance,
    after,
    output_test,
    share_test,
    share_within,
    weigh,
)
from mainspring.rollouts.switched import latency_after, mean_after, share_after
from mainspring.strategy import (
    ABTest,
    Better,
    BlueGreen,
    Canary,
    CanaryStep,
    Guard,
    NoMoreErrors,
    NotLess,
    NotSlower,
    NotWorse,
    SameOutputs,
    Shadow,
    Strategy,
    Threshold,
)

START = datetime(2013, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def begun(strategy: Strategy, challengers: tuple[int, ...] = (2,)) -> Rollout:
    return Rollout.start(
        rollout_id="r1", product="late", champion=1, challengers=challengers, strategy=strategy, at=START
    )


def canary(*guards: Guard, **changes: object) -> Rollout:
    return begun(Canary(**{"steps": (0.5, 1.0), "bake": "1h", "guards": guards, **changes}))  # type: ignore[arg-type]


def figures(metric: str, units: int, mean: float, sd: float = 0.2) -> MetricSums:
    return MetricSums(metric=metric, units=units, total=units * mean, squares=units * (mean**2 + sd**2))


def arm(units: int, failing: int = 0, **metrics: float) -> ArmCounts:
    return ArmCounts(
        units=units,
        failing=failing,
        latencies={80: units} if units else {},
        outputs={3: units} if units else {},
        metrics=tuple(figures(name, units, mean) for name, mean in sorted(metrics.items())),
    )


def seen(champion: ArmCounts, *challengers: ArmCounts) -> Observed:
    return Observed(champion=champion, challengers=dict(zip((2, 7), challengers, strict=False)))


def decide(rollout: Rollout, observed: Observed, hours: float = 1) -> Decision:
    return advance(rollout, observed, START + hours * HOUR)


# --- non-inferiority -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guard", "unclear", "shown"),
    [
        (NoMoreErrors(within=2.0), (arm(200, 1), arm(200, 1)), (arm(900, 60), arm(900, 60))),
        (NotWorse("brier", within=0.05), (arm(120, brier=0.3),) * 2, (arm(900, brier=0.3),) * 2),
        (NotLess("revenue", within=0.05), (arm(120, revenue=3.0),) * 2, (arm(900, revenue=3.0),) * 2),
    ],
    ids=["errors", "loss", "revenue"],
)
def test_a_promotion_waits_until_non_inferiority_is_shown_where_a_guard_asks_for_it(
    guard: Guard, unclear: tuple[ArmCounts, ArmCounts], shown: tuple[ArmCounts, ArmCounts]
) -> None:
    waiting = decide(canary(guard), seen(*unclear))
    assert waiting.kind is Kind.HOLD
    assert [each.finding for each in waiting.evidence] == [Finding.NO_HARM_SHOWN, Finding.NOT_SHOWN]
    assert "within" in waiting.reason
    assert decide(canary(guard), seen(*unclear), 14 * 24).kind is Kind.EXPIRE
    assert decide(canary(guard), seen(*shown)).kind is Kind.PROMOTE
    first = canary(guard, steps=(0.2, 0.5, 1.0))
    assert decide(first, seen(*unclear)).kind is Kind.ADVANCE, "it is the promotion that needs it"


@given(st.integers(0, 40), st.floats(0.05, 0.95), st.floats(1.1, 5))
def test_at_the_tolerated_ratio_the_evidence_for_less_is_expected_to_stay_at_one(
    failing: int, rho: float, ratio: float
) -> None:
    ours = ratio * rho / (ratio * rho + 1 - rho)
    chance = [math.comb(failing, k) * ours**k * (1 - ours) ** (failing - k) for k in range(failing + 1)]
    evidence = [share_within(k, failing - k, rho, ratio, 0.05).e_value for k in range(failing + 1)]
    assert math.fsum(p * e for p, e in zip(chance, evidence, strict=True)) == pytest.approx(1, abs=1e-9)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.05, 0.95))
def test_more_failures_of_the_challenger_never_speak_for_it(ours: int, theirs: int, rho: float) -> None:
    here = share_within(ours, theirs, rho, 2.0, 0.05).e_value
    assert share_within(ours + 1, theirs, rho, 2.0, 0.05).e_value <= here
    assert share_within(ours, theirs + 1, rho, 2.0, 0.05).e_value >= here


# --- other guards --------------------------------------------------------------------------------------------------


def test_a_metric_that_callers_report_is_better_when_higher() -> None:
    less = decide(canary(NotLess("revenue")), seen(arm(400, revenue=3.0), arm(400, revenue=2.8)))
    assert less.kind is Kind.ROLL_BACK
    assert less.reason.startswith("NotLess(revenue): ")
    more = decide(canary(NotLess("revenue")), seen(arm(400, revenue=3.0), arm(400, revenue=3.2)))
    assert more.kind is Kind.PROMOTE
    tolerated = decide(
        canary(NotLess("revenue", margin=0.3)), seen(arm(400, revenue=3), arm(400, revenue=2.8))
    )
    assert tolerated.kind is Kind.PROMOTE
    unreported = decide(canary(NotLess("revenue")), seen(arm(400), arm(400)))
    assert unreported.kind is Kind.INSUFFICIENT_DATA


def test_answers_that_are_distributed_otherwise_roll_back_where_they_should_be_the_same() -> None:
    shifted = replace(arm(200), outputs={3: 120, 9: 80})
    assert decide(canary(SameOutputs()), seen(arm(200), shifted)).kind is Kind.ROLL_BACK
    assert decide(canary(SameOutputs()), seen(arm(200), arm(200))).kind is Kind.PROMOTE
    unanswered = replace(arm(200), outputs={})
    assert decide(canary(SameOutputs()), seen(arm(200), unanswered)).kind is Kind.INSUFFICIENT_DATA


@given(st.integers(0, 12), st.integers(1, 12), st.floats(0.05, 0.95))
def test_answers_alike_are_expected_to_leave_the_evidence_at_one_at_most(
    first: int, second: int, rho: float
) -> None:
    # Exactly, over all ways in which the coins may part two bins and leave units in both arms.
    def chance(k: int, n: int) -> float:
        return math.comb(n, k) * rho**k * (1 - rho) ** (n - k)

    expected = math.fsum(
        chance(i, first)
        * chance(j, second)
        * output_test({0: i, 7: j}, {0: first - i, 7: second - j}, rho, 0.05).e_value
        for i in range(first + 1)
        for j in range(second + 1)
        if 0 < i + j < first + second
    )
    assert expected <= 1 + 1e-9


def test_harm_on_a_declared_slice_is_enough() -> None:
    guard = NoMoreErrors(slices=("carrier",))
    rollout = replace(canary(guard), slices={"carrier": ("AA", "UA")})
    whole = seen(arm(800, 40), arm(800, 46))
    harmed = {"carrier=UA": seen(arm(60, 1), arm(60, 18)), "carrier=AA": seen(arm(700, 39), arm(700, 28))}
    decision = decide(rollout, replace(whole, slices=harmed))
    assert decision.kind is Kind.ROLL_BACK
    assert decision.reason.startswith("NoMoreErrors on carrier=UA: 18 of 19 failing units")
    assert decide(rollout, whole).kind is Kind.PROMOTE
    unsliced = decide(canary(NoMoreErrors()), replace(whole, slices=harmed))
    assert unsliced.kind is Kind.PROMOTE, "slices that nobody declared are not looked at"


def test_alpha_is_spent_once_over_steps_challengers_and_slices() -> None:
    sliced = NoMoreErrors(0.06, slices=("carrier",))
    rollout = replace(
        begun(ABTest(shares={"candidate": 0.2, "7": 0.2}, guards=(sliced,)), (2, 7)),
        slices={"carrier": ("AA", "UA")},
    )
    part = seen(arm(10, 1), arm(10, 9), arm(10, 9))
    names = ("AA", "UA", "other")
    every = replace(seen(arm(30), arm(30), arm(30)), slices={f"carrier={name}": part for name in names})
    spent = sum(1 / each.needed for each in weigh(rollout, every))
    assert len(weigh(rollout, every)) == 2 * 4
    assert spent == pytest.approx(0.06)
    steps = canary(NoMoreErrors(0.06), steps=(0.1, 0.2, 0.3, 1.0))
    assert [each.needed for each in weigh(steps, seen(arm(9), arm(9)))] == [pytest.approx(3 / 0.06)]


# --- phases --------------------------------------------------------------------------------------------------------

GOOD, BAD = seen(arm(400, 4), arm(400, 4)), seen(arm(400, 4), arm(400, 60))


def test_while_paused_no_step_ends_and_nothing_expires_but_harm_rolls_back() -> None:
    paused = canary(NoMoreErrors()).paused(START)
    assert decide(paused, GOOD, 2).kind is Kind.HOLD
    assert decide(paused, GOOD, 24 * 100).kind is Kind.HOLD
    harmed = decide(paused, BAD, 2)
    assert after(paused, harmed, START).phase is Phase.ROLLED_BACK
    resumed = paused.resumed(START + 24 * 100 * HOUR)
    assert decide(resumed, GOOD, 24 * 101).kind is Kind.PROMOTE


def test_a_step_that_needs_approval_waits_for_it_and_expires_without() -> None:
    rollout = canary(NoMoreErrors(), steps=(0.1, CanaryStep(0.5, approve=True), 1.0)).advanced(START)
    asked = decide(rollout, GOOD)
    assert asked.kind is Kind.AWAIT_APPROVAL
    waiting = after(rollout, asked, START)
    assert decide(waiting, GOOD, 5).kind is Kind.HOLD
    assert decide(waiting, BAD, 5).kind is Kind.ROLL_BACK
    unanswered = decide(waiting, GOOD, 24 * 14)
    assert unanswered.kind is Kind.EXPIRE
    assert "nobody approved" in unanswered.reason
    approved = waiting.approve()
    assert decide(approved, GOOD, 6).kind is Kind.PROMOTE
    assert decide(approved, seen(arm(1), arm(1)), 6).kind is Kind.INSUFFICIENT_DATA, "approval is no evidence"


def test_a_step_that_lacks_data_for_too_long_ends_with_the_champion_kept() -> None:
    rollout = canary(NoMoreErrors(), data_timeout="3h")
    few = seen(arm(400), arm(3))
    assert decide(rollout, few, 0.5).kind is Kind.HOLD, "it may not end yet anyway"
    assert decide(rollout, few, 3.9).kind is Kind.INSUFFICIENT_DATA
    ended = decide(rollout, few, 4)
    assert ended.kind is Kind.EXPIRE
    assert ended.reason.startswith("insufficient data for 3h")
    assert decide(rollout, GOOD, 4).kind is Kind.PROMOTE


# --- strategies ----------------------------------------------------------------------------------------------------


def test_a_shadow_goes_on_with_its_certificate_alone() -> None:
    rollout = begun(Shadow(0.5, bake="1h", horizon="2d", then=Canary(guards=(NoMoreErrors(),))))
    watched = seen(arm(500))
    waiting = decide(rollout, watched, 2)
    assert waiting.kind is Kind.HOLD
    assert "certificate" in waiting.reason
    assert decide(rollout, watched, 48).kind is Kind.EXPIRE
    certified = rollout.certified(digest_of(b"report"))
    assert decide(certified, seen(arm(3)), 2).kind is Kind.INSUFFICIENT_DATA
    going_on = decide(certified, watched, 2)
    assert going_on.kind is Kind.ADVANCE
    assert after(certified, going_on, START).share == 0.05


def test_blue_green_is_watched_against_the_time_before_the_switch() -> None:
    guards = (NoMoreErrors(), NotSlower(), NotWorse("brier"), NotLess("revenue"))
    rollout = begun(BlueGreen(reference="1h", bake="2h", guards=guards))
    champion = arm(600, 6, brier=0.3, revenue=3.0)
    assert decide(rollout, seen(arm(3)), 1).kind is Kind.INSUFFICIENT_DATA
    switch = decide(rollout, seen(champion), 1)
    assert switch.kind is Kind.ADVANCE
    switched = after(rollout, switch, START)
    assert switched.shares == {1: 0.0, 2: 1.0}

    def then(challenger: ArmCounts, hours: float = 2) -> Decision:
        return decide(switched, replace(seen(arm(0), challenger), reference=champion), hours)

    assert then(champion, 1).kind is Kind.HOLD
    assert then(champion).kind is Kind.PROMOTE
    assert then(replace(champion, failing=60)).reason.startswith("NoMoreErrors: 60 of 600 units fail")
    assert then(replace(champion, latencies={120: 600})).reason.startswith("NotSlower: ")
    assert then(arm(600, 6, brier=0.4, revenue=3.0)).reason.startswith("NotWorse(brier): ")
    assert then(arm(600, 6, brier=0.3, revenue=2.8)).reason.startswith("NotLess(revenue): ")
    without = decide(switched, seen(arm(0), champion), 2)
    assert without.kind is Kind.INSUFFICIENT_DATA, "no reference is no pass"


AB = ABTest(
    shares={"candidate": 0.3, "7": 0.3},
    goal=Better("revenue", by=0.1),
    bake="1h",
    horizon="2d",
    guards=(NoMoreErrors(),),
)


def test_an_ab_test_promotes_the_challenger_that_is_shown_to_be_better() -> None:
    test = begun(AB, (2, 7))
    control = arm(500, revenue=3.0)
    alike = decide(test, seen(control, arm(500, revenue=3.0), arm(500, revenue=3.05)))
    assert alike.kind is Kind.HOLD
    better = decide(test, seen(control, arm(500, revenue=3.0), arm(500, revenue=3.4)))
    assert (better.kind, better.version) == (Kind.PROMOTE, 7)
    both = decide(test, seen(control, arm(500, revenue=3.6), arm(500, revenue=3.4)))
    assert (both.kind, both.version) == (Kind.PROMOTE, 2)
    assert decide(test, seen(control, arm(500, revenue=3.0), arm(500, revenue=3.0)), 48).kind is Kind.EXPIRE


def test_an_ab_test_takes_a_harmful_challenger_out_and_goes_on_with_the_others() -> None:
    test = begun(AB, (2, 7))
    harmed = seen(arm(500, 5, revenue=3.0), arm(500, 90, revenue=9.0), arm(500, 5, revenue=3.0))
    dropped = decide(test, harmed)
    assert (dropped.kind, dropped.version) == (Kind.DROP, 2)
    rest = after(test, dropped, START)
    assert rest.live == (7,)
    assert decide(rest, harmed).kind is Kind.HOLD
    both = seen(arm(500, 5), arm(500, 90), arm(500, 90))
    assert decide(test, both).kind is Kind.ROLL_BACK
    assert decide(rest, both).kind is Kind.ROLL_BACK


def test_a_test_without_a_goal_ends_at_its_horizon_with_the_champion_kept() -> None:
    test = begun(ABTest(bake="1h", horizon="2d", guards=()))
    assert decide(test, seen(arm(500), arm(500)), 24).kind is Kind.HOLD
    assert decide(test, seen(arm(500), arm(500)), 48).kind is Kind.EXPIRE


# --- thresholds ----------------------------------------------------------------------------------------------------


def test_a_threshold_is_measured_when_it_is_due_and_acts_as_argos() -> None:
    limit = Threshold("error_rate", at_most=0.05, grace=0.05, interval="1h", initial_delay="1h", count=2)
    rollout = canary(limit)
    name = "Threshold(error_rate <= 0.05)"

    def run(*failing: int) -> Decision:
        """Measure once an hour, with so many of 100 units failing each time, until something else is decided."""
        measured: tuple[Measurement, ...] = ()
        for hour, count in enumerate(failing, start=1):
            observed = replace(seen(arm(100), arm(100, count)), measured={name: measured})
            decision = decide(rollout, observed, hour)
            if decision.kind is not Kind.MEASURE:
                return decision
            measured += tuple(decision.measurements.values())
        return decide(rollout, replace(seen(arm(100), arm(100)), measured={name: measured}), len(failing))

    assert decide(rollout, seen(arm(100), arm(100)), 0.5).kind is Kind.HOLD, "the initial delay"
    assert run(1).kind is Kind.HOLD
    assert run(1, 2).kind is Kind.PROMOTE
    assert run(1, 30).kind is Kind.ROLL_BACK
    assert run(8).kind is Kind.PAUSE, "inconclusive is for a person to see"
    unclear = Measurement(at=START + HOUR, value=0.08, result=Result.INCONCLUSIVE)
    observed = replace(seen(arm(100), arm(100)), measured={name: (unclear,)})
    resumed = rollout.paused(START + HOUR).resumed(START + 2 * HOUR)
    assert decide(rollout, observed, 3).kind is Kind.PAUSE
    assert decide(resumed, observed, 3).kind is Kind.MEASURE, "who resumes has seen it"
    nobody = decide(rollout, seen(arm(100), arm(0)), 5)
    assert (nobody.kind, "0 successful of 0 measurements" in nobody.reason) == (Kind.HOLD, True)
    watching = canary(NoMoreErrors(), Threshold("error_rate", at_most=0.0, interval="1h", dry_run=True))
    failed = Measurement(at=START + HOUR, value=0.5, result=Result.FAILED)
    observed = replace(GOOD, measured={"Threshold(error_rate <= 0)": (failed,)})
    assert decide(watching, observed, 1.5).kind is Kind.PROMOTE, "a dry run has no consequences"


def test_what_was_measured_and_decided_survives_json() -> None:
    rollout = canary(NoMoreErrors(slices=("carrier",)), Threshold("error_rate", at_most=0.05))
    measured = {"Threshold(error_rate <= 0.05)": (Measurement(at=START, value=None, result=Result.ERROR),)}
    observed = replace(GOOD, slices={"carrier=AA": GOOD}, measured=measured, reference=arm(7))
    assert Observed.from_dict(json.loads(canonical_json(observed.to_dict()))) == observed
    decision = decide(rollout, observed)
    assert decision.kind is Kind.MEASURE
    assert Decision.from_dict(json.loads(canonical_json(decision.to_dict()))) == decision


# --- after a switch ------------------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 200), st.integers(1, 200))
def test_more_failures_after_a_switch_never_speak_for_it(k: int, n: int, k0: int, n0: int) -> None:
    failing, units, before = min(k, n), n + 1, min(k0, n0)
    here = share_after(failing, units, before, n0, 0.05).e_value
    # The cells that bound the evidence from below depend on the counts, so it may waver by little.
    assert share_after(failing + 1, units, before, n0, 0.05).e_value >= here * 0.95


def test_harm_after_a_switch_needs_a_reference_that_is_sure_enough() -> None:
    assert share_after(30, 300, 0, 3, 0.05).finding is Finding.NO_HARM_SHOWN
    assert share_after(30, 300, 3, 300, 0.05).finding is Finding.HARM
    assert latency_after({200: 5}, {80: 2}, 0.05).finding is Finding.NO_HARM_SHOWN
    assert latency_after({200: 30}, {80: 300}, 0.05).finding is Finding.HARM
    few = arm(120, brier=0.3)
    assert mean_after(arm(300, brier=0.33), few, "brier", 0.0, 0.05).finding is Finding.NO_HARM_SHOWN
    assert mean_after(arm(900, brier=0.5), few, "brier", 0.0, 0.05).finding is Finding.HARM
    assert share_after(0, 0, 0, 5, 0.05).finding is Finding.INSUFFICIENT_DATA


def test_a_split_finds_what_a_switch_of_as_many_units_finds_later() -> None:
    assert share_test(20, 5, 0.5, 0.05).e_value > share_after(20, 400, 5, 400, 0.05).e_value
