"""Checks across versions: facts in, a verdict with its reasons out; what is not known is never a pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import mainspring as ms
from mainspring.contract import DatasetCheck
from mainspring.data.across import ColumnFacts, Facts, decide, evolution_faults
from mainspring.data.version import CheckFailure, CheckPassed

NOW = datetime(2024, 1, 10, tzinfo=UTC)
COLUMNS = {"id": ColumnFacts("Int64", nulls=False), "x": ColumnFacts("Float64", nulls=True)}
CHECKS: tuple[DatasetCheck, ...] = (
    ms.RowChange(),
    ms.SchemaEvolution(),
    ms.Distribution(columns=("x",)),
    ms.References("x", "y", "z"),
    ms.Freshness("2d"),
)


def facts(**changed: Any) -> Facts:
    given_: dict[str, Any] = {
        "now": NOW,
        "rows": 100,
        "rows_before": 100,
        "columns": COLUMNS,
        "columns_before": COLUMNS,
        "newest": NOW - timedelta(days=1),
        "distances": {"x": 0.1},
        "strangers": {CHECKS[3]: 0},
    }
    return Facts(**given_ | changed)


@pytest.mark.parametrize("check", CHECKS, ids=lambda each: type(each).__name__)
def test_what_holds_passes_and_what_could_not_be_asked_refuses_whatever_its_severity(
    check: DatasetCheck,
) -> None:
    assert isinstance(decide(check, facts()), CheckPassed)
    warned = replace(check, severity="warn")
    failure = decide(warned, facts(unknown={warned: "the disk is gone"}))
    assert isinstance(failure, CheckFailure)
    assert failure.severity == "refuse"
    assert "could not be asked (the disk is gone)" in failure.check


@pytest.mark.parametrize(
    ("check", "changed"),
    [
        (CHECKS[0], {"rows": 49}),
        (CHECKS[0], {"rows": 201}),
        (CHECKS[1], {"columns": {"id": COLUMNS["id"]}}),
        (CHECKS[2], {"distances": {"x": 0.31}}),
        (CHECKS[2], {"distances": {"x": float("nan")}}),
        (CHECKS[3], {"strangers": {CHECKS[3]: 1}}),
        (CHECKS[4], {"newest": NOW - timedelta(days=2, seconds=1)}),
        (CHECKS[4], {"newest": None}),
    ],
)
def test_what_does_not_hold_fails_with_its_severity(check: DatasetCheck, changed: dict[str, Any]) -> None:
    failure = decide(check, facts(**changed))
    assert isinstance(failure, CheckFailure)
    assert failure.severity == check.severity


def test_the_first_version_has_nothing_to_be_compared_with_and_says_so() -> None:
    for check in CHECKS[:3]:
        passed = decide(check, facts(rows_before=None, columns_before=None, distances={}))
        assert isinstance(passed, CheckPassed)
        assert passed.found == "there is no version before"


TYPES = st.sampled_from(["Int8", "Int16", "Int32", "Int64", "Float32", "Float64", "String", "Boolean"])
SCHEMAS = st.dictionaries(st.sampled_from("abcd"), st.builds(ColumnFacts, TYPES, st.booleans()), max_size=4)


@given(SCHEMAS, SCHEMAS, SCHEMAS, st.booleans())
def test_what_may_follow_may_follow_by_way_of_another(
    first: dict[str, ColumnFacts],
    second: dict[str, ColumnFacts],
    third: dict[str, ColumnFacts],
    replaced: bool,
) -> None:
    assert evolution_faults(first, first, replaced=replaced) == []
    if not evolution_faults(first, second, replaced=replaced) and not evolution_faults(
        second, third, replaced=replaced
    ):
        faults = evolution_faults(first, third, replaced=True)
        assert not faults or all("is new" in each for each in faults)


@pytest.mark.parametrize(
    ("before", "now", "replaced", "fault"),
    [
        (("Int32", False), ("Int64", False), False, ""),
        (("Int64", False), ("Int32", False), False, "does not hold all of it"),
        (("Int64", False), ("Float64", False), False, "does not hold all of it"),
        (("Float32", True), ("Float64", True), False, ""),
        (("String", True), ("String", False), False, "has nulls in rows that stay"),
        (("String", True), ("String", False), True, ""),
        (None, ("String", True), False, ""),
        (None, ("String", False), False, "is new and not nullable"),
        (("String", True), None, True, "is gone"),
    ],
)
def test_columns_may_come_nullable_and_be_widened_and_nothing_else(
    before: tuple[str, bool] | None, now: tuple[str, bool] | None, replaced: bool, fault: str
) -> None:
    was = {"x": ColumnFacts(*before)} if before else {}
    is_ = {"x": ColumnFacts(*now)} if now else {}
    found = "; ".join(evolution_faults(was, is_, replaced=replaced))
    assert fault in found
    assert bool(fault) == bool(found)
