"""A step's key names all that its output depends on, and says what changed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.pipelines.plan import StepKey, explain

KEY = StepKey(
    step="train",
    code="c" * 64,
    environment="e" * 64,
    params={"rate": 0.1},
    seed=7,
    inputs={"flights": "flights@v1"},
)
names = st.text("abc", min_size=1, max_size=2)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("xy")
)


@given(params=st.dictionaries(names, values))
def test_the_order_of_params_does_not_change_the_digest(
    params: dict[str, str | int | float | bool | None],
) -> None:
    turned = dict(reversed(params.items()))
    assert (
        msgspec.structs.replace(KEY, params=params).digest
        == msgspec.structs.replace(KEY, params=turned).digest
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"code": "d" * 64}, "code: cccccccccccc -> dddddddddddd"),
        ({"environment": "f" * 64}, "environment: eeeeeeeeeeee -> ffffffffffff"),
        ({"seed": 8}, "seed: 7 -> 8"),
        ({"params": {"rate": 0.2}}, "params.rate: 0.1 -> 0.2"),
        ({"params": {}}, "params.rate: 0.1 -> None"),
        ({"inputs": {"flights": "flights@v2"}}, "inputs.flights: 'flights@v1' -> 'flights@v2'"),
    ],
)
def test_whatever_differs_changes_the_digest_and_is_said(change: dict[str, object], why: str) -> None:
    changed = msgspec.structs.replace(KEY, **change)
    assert changed.digest != KEY.digest
    assert explain(changed, [KEY]) == why


def test_a_step_is_compared_with_the_newest_of_the_most_alike() -> None:
    far = msgspec.structs.replace(KEY, seed=1, code="d" * 64)
    older = msgspec.structs.replace(KEY, seed=2)
    newer = msgspec.structs.replace(KEY, seed=3)
    assert explain(KEY, [older, newer, far]) == "seed: 3 -> 7"


def test_a_step_without_a_past_never_ran() -> None:
    assert explain(KEY, []) == "it never ran before"
