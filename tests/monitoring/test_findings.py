from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from mainspring.monitoring import Finding, Profile, findings, frame, profile

RNG = np.random.default_rng(6)
REFERENCE = {
    "height": RNG.normal(1.8, 0.1, 500),
    "rain": RNG.exponential(2.0, 500),
    "carrier": ["UA", "B6"] * 250,
}


def found(name: str, rows: np.ndarray | Sequence[object]) -> set[Finding]:
    of = frame(REFERENCE)
    before, after = profile(REFERENCE, of), profile({name: rows}, of)
    return {each.what for each in findings(after.parts()[name], before.parts()[name])}


@pytest.mark.parametrize(
    ("name", "rows", "what"),
    [
        ("height", [], {Finding.NO_ROWS}),
        ("height", [None] * 5, {Finding.ALL_MISSING}),
        ("carrier", [None] * 5, {Finding.ALL_MISSING}),
        ("height", np.full(5, 1.8), {Finding.CONSTANT}),
        ("carrier", ["UA"] * 5, {Finding.CONSTANT}),
        ("height", ["tall", 1.7, 1.9], {Finding.MISTYPED}),
        ("carrier", [{"code": "UA"}, "UA", "B6"], {Finding.MISTYPED}),
        ("height", [1.7, 1.8, 99.0], {Finding.OUT_OF_RANGE}),
        ("height", [1.7, 1.8, math.inf], {Finding.OUT_OF_RANGE, Finding.INFINITE}),
        ("carrier", ["UA", "DL"], {Finding.NEW_CATEGORIES}),
        ("carrier", [f"N{n}" for n in range(9000)], {Finding.NEW_CATEGORIES, Finding.TOO_MANY_CATEGORIES}),
        ("height", RNG.normal(1.8, 0.1, 50).clip(1.7, 1.9), set()),
    ],
)
def test_what_is_wrong_with_a_column_has_a_name(
    name: str, rows: np.ndarray | Sequence[object], what: set[Finding]
) -> None:
    assert found(name, rows) == what


@pytest.mark.parametrize("factor", [1000.0, 0.001, 60.0])
@pytest.mark.parametrize("name", ["height", "rain"])
def test_another_unit_is_recognised(name: str, factor: float) -> None:
    rows = np.asarray(REFERENCE[name])
    assert Finding.UNITS_CHANGED in found(name, rows * factor)


@pytest.mark.parametrize(
    "rows", [RNG.normal(18.0, 0.1, 500), RNG.normal(-1.8, 0.1, 500), RNG.exponential(4.0, 500)]
)
def test_a_shift_or_a_little_more_is_no_other_unit(rows: np.ndarray) -> None:
    assert Finding.UNITS_CHANGED not in found("rain", rows)


def test_the_number_of_categories_is_about_right() -> None:
    tails = {"carrier": [f"N{n}" for n in range(50_000)]}
    said = [each.said for each in findings(Profile.parts(profile(tails))["carrier"])]
    about = int(said[0].split()[-1].strip(".").replace(",", ""))
    assert about == pytest.approx(50_000, rel=0.1)
