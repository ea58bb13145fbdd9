"""The grammar of searches."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tracking.asked import conditions, text_of

from mainspring.search import (
    RUNS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Entity,
    Negation,
    Operator,
    Order,
    SearchUnclear,
    parse_filter,
    parse_order,
)

A = Comparison(Entity.PARAM, "a", Operator.EQUAL, "1")
B = Comparison(Entity.TAG, "b", Operator.IS_NULL, None)
C = Comparison(Entity.METRIC, "c", Operator.GREATER, 0.5)


@given(conditions())
def test_what_is_printed_is_read_back(condition: Condition) -> None:
    assert parse_filter(text_of(condition), RUNS) == condition


@given(st.text(max_size=60) | st.text("metrics.pa = '1'()ANDORNOTIN`\",<>!", max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    with suppress(SearchUnclear):
        parse_filter(text, RUNS)


def test_and_binds_before_or_and_not_before_both() -> None:
    text = "params.a = '1' OR NOT tags.b IS NULL AND metrics.c > 0.5"
    assert parse_filter(text, RUNS) == AnyOf((A, AllOf((Negation(B), C))))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("metrics.loss < 1", "loss"),
        ("metric.`val/loss` < 1", "val/loss"),
        ('metrics."a b" < 1', "a b"),
        ("metrics.a.b.c < 1", "a.b.c"),
        ("metrics.val-loss<1", "val-loss"),
        ("metrics.3 < 1", "3"),
    ],
)
def test_a_key_is_what_follows_the_first_point(text: str, key: str) -> None:
    found = parse_filter(text, RUNS)
    assert isinstance(found, Comparison)
    assert (found.entity, found.key) == (Entity.METRIC, key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("metrics.a > 'x'", "the value must be a number"),
        ("params.a > '1'", "Invalid comparator '>' for 'a', whose values are a text in quotes each"),
        ("params.a = 1", "the value must be a text in quotes"),
        ("start_time = 1.5", "the value must be a whole number"),
        ("start_time = 99999999999999999999", "the value must be a whole number"),
        ("color = 'x'", "Invalid attribute key 'color' specified. Valid keys are artifact_uri,"),
        ("colors.a = 'x'", "Invalid entity type 'colors'"),
        ("dataset.color = 'x'", "Valid keys are name, digest, context"),
        ("status IS NULL", "IS NULL asks about tags, params and metrics"),
        ("(params.a = '1'", "a parenthesis is not closed"),
        ("params.a IN '1'", "IN is followed by a list in parentheses"),
        ("params.a = '1' params.b = '2'", "nothing was expected before 'params'"),
        ("params.a =", "the value must be a text in quotes"),
        ("params.a = 'x\0'", "the character NUL"),
        ("metrics.a > 1e999", "the value must be a number"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    with pytest.raises(SearchUnclear, match=r"^Invalid clause") as refused:
        parse_filter(text, RUNS)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NOT " * 100 + "params.a = '1'", "nested more than"),
        ("(" * 100_001, "characters, and"),
        ("(" * 5_000 + "params.a = '1'" + ")" * 5_000, "nested more than"),
        (" OR ".join(["params.a = '1'"] * 300), "more than 200 comparisons"),
    ],
)
def test_a_filter_that_would_take_long_is_refused(text: str, why: str) -> None:
    with pytest.raises(SearchUnclear, match=why):
        parse_filter(text, RUNS)


def test_an_order_has_a_key_and_a_direction() -> None:
    assert parse_order(["metrics.`a b` DESC", "start_time asc", "run_name"], RUNS) == (
        Order(Entity.METRIC, "a b", False),
        Order(Entity.ATTRIBUTE, "start_time"),
        Order(Entity.ATTRIBUTE, "run_name"),
    )


@pytest.mark.parametrize(
    "texts", [["a b c"], ["metrics.a UP"], [""], ["dataset.name"], ["start_time", "created DESC"]]
)
def test_an_order_that_says_nothing_clear_is_refused(texts: list[str]) -> None:
    with pytest.raises(SearchUnclear):
        parse_order(texts, RUNS)
