"""What may happen to a rollout in which phase, and how its strategy becomes steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json, digest_of
from mainspring.errors import Invalid
from mainspring.rollouts import IllegalMove, Mode, Move, Phase, Rollout, RolloutEnded, steps_of
from mainspring.strategy import (
    ABTest,
    AllAtOnce,
    BlueGreen,
    Canary,
    CanaryStep,
    Linear,
    NoMoreErrors,
    NotLess,
    NotWorse,
    SameOutputs,
    Shadow,
    Strategy,
    Threshold,
)

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AB = ABTest(shares={"candidate": 0.2, "7": 0.3})


def begun(strategy: Strategy, challengers: tuple[int, ...] = (2,)) -> Rollout:
    return Rollout.start(
        rollout_id="r1", product="late", champion=1, challengers=challengers, strategy=strategy, at=NOON
    )


ROLLOUT = begun(Canary())
MOVES: dict[Move, Callable[[Rollout], Rollout]] = {
    Move.ADVANCE: lambda rollout: rollout.advanced(NOON),
    Move.DROP: lambda rollout: rollout.without(7),
    Move.CERTIFY: lambda rollout: rollout.certified(digest_of(b"certificate")),
    Move.PAUSE: lambda rollout: rollout.paused(NOON),
    Move.RESUME: lambda rollout: rollout.resumed(NOON + HOUR),
    Move.AWAIT_APPROVAL: lambda rollout: rollout.awaiting_approval(),
    Move.APPROVE: lambda rollout: rollout.approve(),
    Move.PROMOTE: lambda rollout: rollout.promoted(),
    Move.ROLL_BACK: lambda rollout: rollout.rolled_back(),
    Move.EXPIRE: lambda rollout: rollout.expired(),
    Move.ABORT: lambda rollout: rollout.aborted(),
}
AFTER = {
    Move.PAUSE: Phase.PAUSED,
    Move.RESUME: Phase.RUNNING,
    Move.AWAIT_APPROVAL: Phase.AWAITING_APPROVAL,
    Move.APPROVE: Phase.RUNNING,
    Move.PROMOTE: Phase.PROMOTED,
    Move.ROLL_BACK: Phase.ROLLED_BACK,
    Move.EXPIRE: Phase.EXPIRED,
    Move.ABORT: Phase.ABORTED,
}
LEGAL = {
    Phase.RUNNING: set(Move) - {Move.RESUME, Move.APPROVE},
    Phase.PAUSED: {Move.RESUME, Move.DROP, Move.CERTIFY, Move.ROLL_BACK, Move.ABORT},
    Phase.AWAITING_APPROVAL: {Move.APPROVE, Move.DROP, Move.ROLL_BACK, Move.EXPIRE, Move.ABORT},
}


def in_phase(phase: Phase) -> Rollout:
    rollout = begun(AB, (2, 7))
    return rollout.paused(NOON) if phase is Phase.PAUSED else replace(rollout, phase=phase)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("move", [move for move in Move if move is not Move.ADVANCE])
def test_a_move_leads_to_its_phase_or_is_refused_with_what_to_do(phase: Phase, move: Move) -> None:
    rollout = in_phase(phase)
    if phase.final:
        with pytest.raises(RolloutEnded, match=f"it is {phase.value}, for good"):
            MOVES[move](rollout)
    elif move in LEGAL[phase]:
        assert MOVES[move](rollout).phase is AFTER.get(move, phase)
    else:
        with pytest.raises(IllegalMove, match=f"cannot {move.value.replace('_', ' ')}.*abort it"):
            MOVES[move](rollout)


@given(st.lists(st.sampled_from(Move), max_size=12))
def test_what_has_ended_stays_as_it_is_whatever_is_asked(moves: list[Move]) -> None:
    rollout = begun(AB, (2, 7))
    for move in moves:
        before = rollout
        try:
            rollout = MOVES[move](rollout)
        except (IllegalMove, RolloutEnded, Invalid):
            continue
        assert not before.phase.final
        if rollout.phase.final:
            assert rollout.shares == {1: 1.0}
            assert rollout.share == (rollout.phase is Phase.PROMOTED)
            assert rollout.paused_at is None


def test_a_pause_stops_the_clock_of_the_horizon() -> None:
    paused = ROLLOUT.paused(NOON + HOUR)
    assert paused.elapsed(NOON + 5 * HOUR) == HOUR
    assert paused.shares == ROLLOUT.shares
    resumed = paused.resumed(NOON + 5 * HOUR)
    assert resumed.elapsed(NOON + 6 * HOUR) == 2 * HOUR
    again = resumed.paused(NOON + 6 * HOUR).resumed(NOON + 7 * HOUR)
    assert again.elapsed(NOON + 8 * HOUR) == 3 * HOUR


def test_an_approval_is_for_one_step() -> None:
    approved = ROLLOUT.awaiting_approval().approve()
    assert approved.approved
    assert not approved.advanced(NOON).approved


def test_dropping_a_challenger_leaves_every_other_unit_where_it_is() -> None:
    units = [f"unit {number}" for number in range(3_000)]
    before = begun(AB, (2, 7))
    after = before.without(2)
    assert (before.shares, after.shares) == ({1: 0.5, 2: 0.2, 7: 0.3}, {1: 0.5, 7: 0.3})
    for was, now in zip(before.assign(units), after.assign(units), strict=True):
        assert now == (None if was == 2 else was)
    with pytest.raises(Invalid, match="one must be left"):
        after.without(7)


def test_the_steps_of_every_strategy() -> None:
    def told(strategy: Strategy) -> list[tuple[str, tuple[float, ...], timedelta, int]]:
        return [(step.mode.value, step.shares, step.bake, step.minimum_units) for step in steps_of(strategy)]

    assert told(AllAtOnce()) == told(Canary(steps=(1.0,))) == []
    some = Canary(steps=(0.1, CanaryStep(0.5, bake="2h", minimum_units=7), 1.0), bake="1h")
    assert told(some) == [("split", (0.1,), HOUR, 30), ("split", (0.5,), 2 * HOUR, 7)]
    assert [step.shares for step in steps_of(Linear(by=0.1))] == [(n / 10,) for n in range(1, 10)]
    assert told(BlueGreen(bake="2h")) == [
        ("reference", (0.0,), HOUR, 30),
        ("switched", (1.0,), 2 * HOUR, 30),
    ]
    assert told(AB) == [("split", (0.2, 0.3), 7 * 24 * HOUR, 100)]
    shadow = Shadow(0.5, bake="1h", then=AB)
    assert told(shadow) == [("shadow", (0.5, 0.0), HOUR, 30), *told(AB)]


def test_a_shadow_answers_nobody_and_a_switch_everybody() -> None:
    shadow = begun(Shadow(0.5, then=BlueGreen()))
    assert (shadow.shares, shadow.share, shadow.shadow_share) == ({1: 1.0}, 0.0, 0.5)
    assert shadow.assign(["a", "b"]) == [1, 1]
    reference = shadow.advanced(NOON)
    assert (reference.shares, reference.shadow_share) == ({1: 1.0, 2: 0.0}, 0.0)
    assert [part.share for part in reference.parts.values()] == [0.0], "it is loaded before it is needed"
    switched = reference.advanced(NOON)
    assert (switched.shares, switched.present.mode if switched.present else None) == (
        {1: 0.0, 2: 1.0},
        Mode.SWITCHED,
    )
    assert switched.assign(["a", "b"]) == [2, 2]


@given(st.floats(0.01, 1), st.text(max_size=5))
def test_a_unit_of_the_challenger_keeps_it_in_every_step_that_follows(by: float, unit: str) -> None:
    rollout = begun(Linear(by=by))
    arms = []
    while True:
        arms += rollout.assign([unit])
        if rollout.last:
            break
        rollout = rollout.advanced(NOON)
    assert all(then == 2 for now, then in pairwise(arms) if now == 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Canary(steps=(0.5, 0.25, 1.0)),
        lambda: Canary(steps=(CanaryStep(0.5), 0.5, 1.0)),
        lambda: Canary(steps=(0.5,)),
        lambda: Canary(steps=(0.0, 1.0)),
        lambda: Canary(steps=(float("nan"), 1.0)),
        lambda: Canary(data_timeout="soon"),
        lambda: CanaryStep(1.0, approve=True),
        lambda: Linear(by=0.001),
        lambda: Linear(by=float("nan")),
        lambda: BlueGreen(guards=(SameOutputs(),)),
        lambda: BlueGreen(guards=(NoMoreErrors(slices=("carrier",)),)),
        lambda: BlueGreen(guards=(NotWorse("brier", within=0.1),)),
        lambda: ABTest(shares={"7": 0.5}),
        lambda: ABTest(shares={"candidate": 0.5, "7": 0.5}),
        lambda: ABTest(shares={"candidate": 0.0}),
        lambda: Shadow(0.0),
        lambda: NoMoreErrors(within=1.0),
        lambda: NoMoreErrors(alpha=0.0),
        lambda: NotWorse("brier", within=0.0),
        lambda: NotLess("log_loss"),
        lambda: Threshold("error_rate"),
        lambda: Threshold("error_rate", at_most=float("nan")),
        lambda: Threshold("error_rate", at_most=0.1, failure_limit=-1),
        lambda: Threshold("error_rate", at_most=0.1, interval="0s"),
        lambda: Threshold("error_rate", at_most=0.1, count=0),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(Invalid):
        wrong()


@given(
    st.permutations(["candidate", "7", "10", "9"]),
    st.permutations([0.05, 0.1, 0.2, 0.3]),
    st.booleans(),
)
def test_a_rollout_that_was_stored_gives_every_version_the_part_that_it_had(
    names: list[str], shares: list[float], shadow: bool
) -> None:
    """However an A/B test was written, and though a store keeps no order of names."""
    test = ABTest(shares=dict(zip(names, shares, strict=True)))
    by_name = {"candidate": 2, "7": 7, "10": 10, "9": 9}
    rollout = begun(Shadow(then=test) if shadow else test, tuple(by_name[name] for name in test.shares))
    stored = Rollout.from_dict(json.loads(canonical_json(rollout.to_dict())))
    if shadow:
        rollout, stored = rollout.advanced(NOON), stored.advanced(NOON)
    assert stored.parts == rollout.parts
    assert {version: part.share for version, part in stored.parts.items()} == {
        by_name[name]: share for name, share in zip(names, shares, strict=True)
    }
