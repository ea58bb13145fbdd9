"""The split is sticky, monotone and close to the share that was asked for; routes are legal or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mainspring.digest import Digest
from mainspring.errors import Invalid
from mainspring.product import ColumnSpec
from mainspring.rollouts import (
    CHAMPION,
    Challenger,
    MalformedRoute,
    Part,
    Route,
    Split,
    Variant,
)

units = st.text(alphabet=st.characters(codec=None), max_size=20)
shares = st.floats(0, 1)
salts = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text)


def has(unit: str, *, salt: str, share: float) -> bool:
    """Whether a part that starts at 0 has the unit."""
    return Split(salt, [Part(0.0, share)]).assign([unit]) == [0]


def those(many: Iterable[str], *, salt: str, share: float) -> NDArray[np.bool_]:
    return np.array(Split(salt, [Part(0.0, share)]).assign(many)) == 0


@given(units, salts, shares, shares)
def test_a_unit_of_the_challenger_stays_as_the_share_grows(
    unit: str, salt: str, one: float, other: float
) -> None:
    if has(unit, salt=salt, share=min(one, other)):
        assert has(unit, salt=salt, share=max(one, other))


@given(units, salts)
def test_no_share_serves_nobody_and_the_whole_share_everybody(unit: str, salt: str) -> None:
    assert not has(unit, salt=salt, share=0.0)
    assert has(unit, salt=salt, share=1.0)


def test_any_text_is_a_unit() -> None:
    for unit in ("", "\0", "\ud800", "a" * 100_000):
        assert Split("r", [Part(0.0, 0.3)]).assign([unit]) in ([0], [CHAMPION])


@given(st.lists(units, max_size=20), salts, shares)
def test_many_units_are_split_as_each_by_itself(many: list[str], salt: str, share: float) -> None:
    alone = [has(unit, salt=salt, share=share) for unit in many]
    assert those(many, salt=salt, share=share).tolist() == alone


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("salt", ["rollout-1", "rollout-2"])
def test_the_share_of_many_units_is_close_to_the_nominal(share: float, salt: str) -> None:
    n = 40_000
    found = those((f"N{number}" for number in range(n)), salt=salt, share=share).mean()
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / n)


def test_another_salt_splits_anew() -> None:
    many = [f"N{number}" for number in range(40_000)]
    both = those(many, salt="r1", share=0.5) & those(many, salt="r2", share=0.5)
    assert abs(both.mean() - 0.25) < 0.01


@given(units, salts, st.lists(st.tuples(shares, shares), min_size=1, max_size=4))
def test_a_unit_of_any_part_stays_in_it_as_all_parts_grow(
    unit: str, salt: str, fractions: list[tuple[float, float]]
) -> None:
    width = 1 / len(fractions)
    before = Split(salt, [Part(n * width, min(pair) * width) for n, pair in enumerate(fractions)])
    after = Split(salt, [Part(n * width, max(pair) * width) for n, pair in enumerate(fractions)])
    [part] = before.assign([unit])
    assert part == CHAMPION or after.assign([unit]) == [part]


def test_the_split_is_the_same_for_ever() -> None:
    # Written down once: a change here would move users between versions in the middle of a rollout.
    many = [f"N{number}" for number in range(12)]
    assert np.flatnonzero(those(many, salt="rollout-1", share=0.5)).tolist() == [1, 3, 5, 7, 8, 9, 11]


@pytest.mark.parametrize(
    ("salt", "share"), [("", 0.5), ("a\0b", 0.5), ("a", -0.1), ("a", 1.1), ("a", float("nan"))]
)
def test_an_illegal_split_is_refused(salt: str, share: float) -> None:
    with pytest.raises(Invalid):
        those(["N14228"], salt=salt, share=share)


ROUTE = Route(
    product="late-arrivals",
    number=3,
    champion=Variant(version=7, artifact=Digest("7" * 64)),
    challengers=(Challenger(variant=Variant(version=8, artifact=Digest("8" * 64)), share=0.25),),
    salt="rollout-3",
    split_by="tailnum",
    inputs=(ColumnSpec("dep_hour", "INT64", False),),
)


def test_a_route_survives_json() -> None:
    assert Route.from_json(ROUTE.to_json()) == ROUTE
    alone = Route(product="p", number=1, champion=ROUTE.champion, salt="r0")
    assert Route.from_json(alone.to_json()) == alone


@given(units)
def test_a_route_chooses_the_variant_of_the_units_arm(unit: str) -> None:
    challenged = has(unit, salt="rollout-3", share=0.25)
    assert ROUTE.choose(unit).version == (8 if challenged else 7)


def test_a_route_without_a_challenger_serves_the_champion() -> None:
    alone = Route(product="p", number=1, champion=ROUTE.champion, salt="r0")
    assert {alone.choose(str(number)).version for number in range(100)} == {7}


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": 0},
        {"product": "../etc"},
        {"challengers": None},
        {"challengers": [{"variant": {"version": 8, "artifact": "8" * 64}, "share": 1.5}]},
        {"challengers": [{"variant": {"version": 8, "artifact": "8" * 64}, "share": None}]},
        {"challengers": [{"variant": {"version": 8, "artifact": "8" * 64}, "share": 0.5, "start": 0.6}]},
        {"challengers": [{"variant": {"version": 7, "artifact": "8" * 64}, "share": 0.5}]},
        {"challengers": [{"variant": {"version": 0, "artifact": "8" * 64}, "share": 0.5}]},
        {"challengers": [{"variant": {"version": 8, "artifact": "../../etc/passwd"}, "share": 0.5}]},
        {"challengers": [{"variant": {"version": n, "artifact": "8" * 64}, "share": 0.5} for n in (8, 9)]},
        {"shadow_share": 0.5},
        {"salt": ""},
        {"split_by": ""},
        {"champion": None},
    ],
    ids=str,
)
def test_an_illegal_route_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedRoute, match="This is not a route"):
        Route.from_json(json.dumps(json.loads(ROUTE.to_json()) | wrong))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff"])
def test_text_that_is_no_route_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedRoute):
        Route.from_json(text)
