"""Which strategy a wish comes to: the declared guards go along, and shares always leave the control some units."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.errors import Invalid
from mainspring.product import ColumnSpec
from mainspring.rollouts import Rollout
from mainspring.rollouts.choice import chosen_strategy, strategy_faults
from mainspring.strategy import Strategy

AT = datetime(2013, 3, 1, 12, tzinfo=UTC)
GUARDS = (ms.NoMoreErrors(alpha=0.01), ms.NotWorse("log_loss"))
DECLARED: tuple[Strategy, ...] = (
    ms.AllAtOnce(split_by="customer"),
    ms.Canary(guards=GUARDS, split_by="customer"),
    ms.Linear(guards=GUARDS, split_by="customer"),
    ms.BlueGreen(guards=GUARDS, split_by="customer"),
    ms.ABTest(shares={"candidate": 0.1, "3": 0.1}, guards=GUARDS, split_by="customer"),
    ms.Shadow(then=ms.Canary(guards=GUARDS, split_by="customer")),
    ms.Shadow(then=ms.ABTest(guards=GUARDS, split_by="customer", goal=ms.Better("brier"))),
)
NAMES = [kind.__name__ for kind in get_args(Strategy)]


@given(st.sampled_from(DECLARED), st.sampled_from(NAMES))
def test_another_strategy_watches_what_the_declared_one_does(declared: Strategy, name: str) -> None:
    chosen = chosen_strategy(declared, [7], name)
    assert type(chosen).__name__ == name
    assert chosen.split_by == "customer"
    if name != "AllAtOnce":
        assert chosen.guards == (
            GUARDS if declared.guards else ms.Canary().guards if name != "Shadow" else ()
        )


@given(st.sampled_from(DECLARED), st.lists(st.integers(1, 99), min_size=2, max_size=20, unique=True))
def test_several_versions_and_the_control_have_equal_shares(declared: Strategy, versions: list[int]) -> None:
    champion = 100
    begun = Rollout.start(
        rollout_id="r1",
        product="late",
        champion=champion,
        challengers=tuple(versions),
        strategy=chosen_strategy(declared, versions, "ab-test"),
        at=AT,
    )
    assert set(begun.shares) == {champion, *versions}
    assert sum(begun.shares.values()) == pytest.approx(1)
    assert all(share == pytest.approx(1 / (len(versions) + 1)) for share in begun.shares.values())


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=4))
def test_shares_that_leave_the_control_nothing_are_refused(shares: list[float]) -> None:
    versions = list(range(2, 2 + len(shares)))
    if all(0 < share < 1 for share in shares) and sum(shares) < 1:
        test = chosen_strategy(ms.Canary(), versions, None, shares)
        assert isinstance(test, ms.ABTest)
        assert list(test.shares.values()) == shares
    else:
        with pytest.raises(Invalid):
            chosen_strategy(ms.Canary(), versions, None, shares)


def test_a_declared_test_keeps_its_goal_and_a_shadow_before_it_stays() -> None:
    chosen = chosen_strategy(DECLARED[-1], [3, 5])
    assert isinstance(chosen, ms.Shadow)
    assert isinstance(chosen.then, ms.ABTest)
    assert chosen.then.goal == ms.Better("brier")
    assert list(chosen.then.shares) == ["candidate", "5"]


@pytest.mark.parametrize(
    ("versions", "wanted", "shares", "said"),
    [
        ([2], "gradual", [], "name one of AllAtOnce, Canary"),
        ([2, 3], "canary", [], "2 versions are named"),
        ([2], "canary", [0.5], "shares are given"),
        ([2, 3], ms.Linear(), [], "leave the strategy out"),
        ([2, 3], None, [0.5], "as many shares"),
        ([2, 3], ms.ABTest(shares={"candidate": 0.1, "4": 0.1}), [], "and not for candidate, 3"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    versions: list[int], wanted: Strategy | str | None, shares: list[float], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        chosen_strategy(ms.Canary(), versions, wanted, shares)


def test_shares_that_a_test_has_for_just_these_versions_hold() -> None:
    test = ms.ABTest(shares={"3": 0.3, "candidate": 0.1})
    for declared, wanted in ((test, None), (ms.Canary(), test)):
        chosen = chosen_strategy(declared, [2, 3], wanted)
        assert isinstance(chosen, ms.ABTest)
        assert list(chosen.shares.items()) == [("candidate", 0.1), ("3", 0.3)]


def test_every_fault_of_a_strategy_is_found() -> None:
    columns = {
        each.name: each
        for each in (
            ColumnSpec("amount", "FP64", nullable=False),
            ColumnSpec("name", "BYTES", nullable=False, pii="drop"),
        )
    }
    guards = (ms.NotWorse("rmse", slices=("amount", "name", "nothing")),)
    strategy = ms.Canary(split_by="none", guards=guards)
    told = [str(fault) for fault in strategy_faults(strategy, columns, columns, ("log_loss", "brier"))]
    assert len(told) == 5
    for each, words in zip(
        told,
        ("row by row", "split_by 'none'", "no text", "not logged", "'nothing': is no input"),
        strict=True,
    ):
        assert words in each
