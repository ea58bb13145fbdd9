"""A rollout goes on only on evidence, rolls back at once on harm, and never comes back after its end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json
from mainspring.errors import Invalid
from mainspring.product import Canary, NoMoreErrors, NotSlower, NotWorse
from mainspring.rollouts import (
    ArmCounts,
    Decision,
    Kind,
    LossSums,
    Observed,
    Phase,
    Rollout,
    RolloutEnded,
    UnitOutcome,
    advance,
    after,
    challengers,
)

START = datetime(2013, 3, 1, tzinfo=UTC)
CANARY = Canary(
    steps=(0.25, 0.5, 1.0),
    bake="1d",
    minimum_units=100,
    horizon="14d",
    guards=(NoMoreErrors(0.05), NotSlower(0.05), NotWorse("log_loss", 0.02, 0.05)),
)
ROLLOUT = Rollout.start(
    rollout_id="r1", product="late-arrivals", champion=1, challenger=2, steps=CANARY.steps, at=START
)
LAST = ROLLOUT.advanced(START + timedelta(days=1))


def arm(
    units: int, failing: int | None = 0, loss: float | None = 0.4, labelled: int | None = None
) -> ArmCounts:
    n = units if labelled is None else labelled
    losses = (
        ()
        if loss is None
        else (LossSums(metric="log_loss", units=n, total=n * loss, squares=n * (loss**2 + 0.04)),)
    )
    return ArmCounts(units=units, failing=failing, latencies={80: units} if units else {}, losses=losses)


FINE = Observed(challenger=arm(200), champion=arm(600))


def decide(rollout: Rollout, observed: Observed, days: float, canary: Canary = CANARY) -> Decision:
    return advance(rollout, observed, canary, START + timedelta(days=days))


def test_a_healthy_rollout_goes_step_by_step_to_promotion() -> None:
    first = decide(ROLLOUT, FINE, 1)
    assert first.kind is Kind.ADVANCE
    second = after(ROLLOUT, first, START + timedelta(days=1))
    assert (second.share, second.step) == (0.5, 1)
    last = decide(second, FINE, 2)
    assert last.kind is Kind.PROMOTE
    promoted = after(second, last, START + timedelta(days=2))
    assert (promoted.phase, promoted.share) == (Phase.PROMOTED, 1.0)


@pytest.mark.parametrize(
    ("observed", "days", "reason"),
    [
        (FINE, 0.99, "this step has lasted 23h 45m, of 1d needed"),
        (Observed(challenger=arm(99), champion=arm(600)), 1, "99 units of the challenger, of 100 needed"),
        (
            Observed(challenger=replace(arm(600), latencies={}), champion=arm(99)),
            1,
            "99 units of the champion, of 100 needed",
        ),
        (Observed(challenger=arm(200, labelled=99), champion=arm(600)), 1, "99 and 600 units with a loss"),
        (
            Observed(challenger=arm(200, loss=None), champion=arm(600)),
            1,
            "no units with a log_loss in both arms",
        ),
        (
            Observed(challenger=arm(200, failing=None), champion=arm(600)),
            1,
            "failing units were not observed",
        ),
        (
            Observed(challenger=replace(arm(200), latencies={}), champion=arm(600)),
            1,
            "latencies of 0 and 600 units",
        ),
        (Observed(challenger=arm(200, loss=float("nan")), champion=arm(600)), 1, "not a number"),
        (Observed(), 1, "0 units of the challenger"),
    ],
)
def test_too_little_to_go_by_holds_and_at_the_horizon_keeps_the_champion(
    observed: Observed, days: float, reason: str
) -> None:
    for rollout in (ROLLOUT, replace(LAST, step_started_at=START)):
        waiting = decide(rollout, observed, days)
        assert waiting.kind is Kind.HOLD
        assert reason in waiting.reason
    if days >= 1:
        expired = decide(LAST, observed, 14)
        assert expired.kind is Kind.EXPIRE
        assert reason in expired.reason
        assert after(LAST, expired, START).share == 0


@pytest.mark.parametrize(
    ("observed", "guard"),
    [
        (Observed(challenger=arm(8, failing=5), champion=arm(24)), "NoMoreErrors"),
        (Observed(challenger=replace(arm(50), latencies={120: 50}), champion=arm(150)), "NotSlower"),
        (Observed(challenger=arm(200, loss=0.6), champion=arm(600)), "NotWorse(log_loss)"),
    ],
)
def test_harm_rolls_back_at_once_also_before_the_step_could_end(observed: Observed, guard: str) -> None:
    decision = decide(ROLLOUT, observed, 0.01)
    assert decision.kind is Kind.ROLL_BACK
    assert decision.reason.startswith(f"{guard}: ")
    assert after(ROLLOUT, decision, START).share == 0
    assert decide(ROLLOUT, observed, 15).kind is Kind.ROLL_BACK


def test_a_rollout_beyond_its_horizon_ends_even_when_no_harm_is_shown() -> None:
    assert decide(ROLLOUT, FINE, 14).kind is Kind.EXPIRE
    assert decide(LAST, FINE, 14).kind is Kind.PROMOTE


def test_units_are_needed_whatever_was_declared() -> None:
    careless = Canary(bake="1d", minimum_units=0, guards=())
    assert decide(LAST, Observed(), 3, careless).kind is Kind.HOLD


def test_a_rollout_declared_to_take_over_at_once_does() -> None:
    assert decide(replace(ROLLOUT, steps=(1.0,)), Observed(), 0).kind is Kind.PROMOTE


arms = st.integers(0, 400).flatmap(
    lambda units: st.builds(
        arm,
        units=st.just(units),
        failing=st.none() | st.integers(0, units),
        loss=st.none() | st.floats(0, 1) | st.just(float("nan")),
        labelled=st.integers(0, units),
    )
)
observations = st.builds(Observed, challenger=arms, champion=arms)
moments = st.floats(0, 20)


@given(st.lists(st.tuples(observations | st.none(), moments), max_size=12))
def test_an_ended_rollout_never_takes_traffic_again(signals: list[tuple[Observed | None, float]]) -> None:
    rollout, ended = ROLLOUT, False
    for observed, days in signals:
        if observed is None and not ended:
            rollout = rollout.ended(Phase.ABORTED)
        elif observed is not None:
            rollout = after(rollout, decide(rollout, observed, days), START + timedelta(days=days))
        assert not (ended and rollout.share), "it came back"
        ended = rollout.phase in (Phase.ABORTED, Phase.ROLLED_BACK, Phase.EXPIRED)
        assert rollout.share == 0 or not ended


@given(observations, moments, st.sampled_from([ROLLOUT, LAST]), st.data())
def test_more_failures_of_the_challenger_never_help_it(
    observed: Observed, days: float, rollout: Rollout, data: st.DataObject
) -> None:
    ours = observed.challenger
    if ours.failing is None:
        return
    more = data.draw(st.integers(ours.failing, ours.units))
    before = decide(rollout, observed, days).kind
    worse = decide(rollout, replace(observed, challenger=replace(ours, failing=more)), days).kind
    if before is Kind.ROLL_BACK:
        assert worse is Kind.ROLL_BACK
    else:
        assert worse in (before, Kind.ROLL_BACK)


@given(observations, moments, st.sampled_from([ROLLOUT, LAST]))
def test_nothing_missing_ever_promotes(observed: Observed, days: float, rollout: Rollout) -> None:
    decision = decide(rollout, observed, days)
    if decision.kind in (Kind.PROMOTE, Kind.ADVANCE):
        for each in (observed.challenger, observed.champion):
            loss = each.loss("log_loss")
            assert each.failing is not None
            assert loss is not None
            assert loss.units >= 100
            assert loss.total == loss.total
    assert decision.reason
    assert len(decision.evidence) == 3


@given(observations, moments)
def test_decisions_survive_json(observed: Observed, days: float) -> None:
    decision = decide(ROLLOUT, observed, days)
    assert Decision.from_dict(json.loads(canonical_json(decision.to_dict()))) == decision
    moved = after(ROLLOUT, decision, START + timedelta(days=days))
    assert Rollout.from_dict(json.loads(canonical_json(moved.to_dict()))) == moved


def test_observations_survive_json() -> None:
    assert Observed.from_dict(json.loads(canonical_json(FINE.to_dict()))) == FINE


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HOLD])
def test_an_ended_rollout_refuses_every_act(kind: Kind) -> None:
    over = ROLLOUT.ended(Phase.ABORTED)
    with pytest.raises(RolloutEnded, match="Rollout r1 has ended: it is aborted"):
        after(over, Decision(kind=kind, reason="late"), START)
    assert decide(over, FINE, 1).kind is Kind.HOLD


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": ()},
        {"steps": (0.0, 1.0)},
        {"steps": (0.5, 0.25)},
        {"steps": (0.5, 1.5)},
        {"steps": (float("nan"),)},
        {"step": 3},
        {"step": -1},
        {"challenger": 1},
        {"champion": 0},
        {"salt": ""},
        {"product": "Late Arrivals"},
        {"started_at": datetime(2013, 3, 1)},  # noqa: DTZ001 - what is refused
    ],
    ids=str,
)
def test_an_illegal_rollout_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        replace(ROLLOUT, **wrong)  # type: ignore[arg-type]


def test_units_counted_more_than_once_are_refused() -> None:
    with pytest.raises(Invalid, match="6 units failing of 5 units"):
        ArmCounts(units=5, failing=6)
    with pytest.raises(Invalid, match="6 units with a log_loss of 5 units"):
        ArmCounts(units=5, losses=(LossSums(metric="log_loss", units=6, total=1, squares=1),))


outcomes = st.lists(
    st.builds(
        UnitOutcome,
        unit=st.text(max_size=4),
        arm=st.sampled_from(["champion", "challenger"]),
        failed=st.booleans(),
        took_s=st.floats(0, 10),
        loss=st.dictionaries(st.sampled_from(["log_loss", "brier"]), st.floats(0, 40), max_size=2),
    ),
    max_size=30,
)


@given(outcomes, st.randoms(use_true_random=False))
def test_units_are_counted_alike_in_any_order(units: list[UnitOutcome], random: object) -> None:
    counted = Observed.of(units)
    random.shuffle(units)  # type: ignore[attr-defined]
    assert Observed.of(units) == counted
    assert counted.challenger.units + counted.champion.units == len(units)
    assert sum(counted.challenger.latencies.values()) == counted.challenger.units


def test_a_harmless_challenger_is_rarely_rolled_back_though_every_unit_is_looked_at() -> None:
    # Sticky units that ask again and again and fail alike in both arms; all guards, all steps, an A/A rollout.
    random, runs, per_step = np.random.default_rng(42), 200, 250
    canary = Canary(bake="1d", minimum_units=10_000, guards=(NoMoreErrors(0.05), NotSlower(0.05)))
    rolled_back = 0
    for run in range(runs):
        rollout = replace(ROLLOUT, steps=canary.steps, salt=f"run-{run}")
        fails, took_s = random.random(per_step) < 0.15, random.lognormal(-6, 0.5, per_step)
        for share in rollout.steps[:-1]:
            assigned = challengers(map(str, range(per_step)), salt=rollout.salt, share=share)
            units: list[UnitOutcome] = []
            for name in range(per_step):
                side = "challenger" if assigned[name] else "champion"
                unit = UnitOutcome(
                    unit=str(name), arm=side, failed=bool(fails[name]), took_s=float(took_s[name]), loss={}
                )
                units.append(unit)
                if fails[name] or name % 25 == 24:  # the evidence on failures changes at failures only
                    rollout = after(rollout, advance(rollout, Observed.of(units), canary, START), START)
                    if rollout.phase is not Phase.RUNNING:
                        break
            if rollout.phase is not Phase.RUNNING:
                break
            rollout = rollout.advanced(START) if rollout.step == 0 else rollout
        rolled_back += rollout.phase is Phase.ROLLED_BACK
    allowed = 0.10  # both guards' alphas together
    assert rolled_back / runs <= allowed + 3 * (allowed * (1 - allowed) / runs) ** 0.5
