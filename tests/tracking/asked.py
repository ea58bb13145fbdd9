"""Conditions of any form, as text and as what they mean."""

from __future__ import annotations

from hypothesis import strategies as st

from mainspring.search import AllOf, AnyOf, Comparison, Condition, Entity, Negation, Operator

KEYS = ("a", "b c", "val/loss")
TEXTS = ("x", "X", "x%", "[x]", "it's", "a\\b", "", "ä*?")
NUMBERS = (-1.5, 0.0, 2.0, 1e-9)

_NULLS = [Operator.IS_NULL, Operator.IS_NOT_NULL]
_NUMBER = [each for each in Operator if each.value in ("=", "!=", "<", "<=", ">", ">=")]
_TEXT = [Operator.EQUAL, Operator.UNEQUAL]
_LIKE = [Operator.LIKE, Operator.ILIKE]
_LIST = [Operator.IN, Operator.NOT_IN]


def _comparison(
    entity: Entity, keys: tuple[str, ...], operators: list[Operator], values: st.SearchStrategy[object]
):  # type: ignore[no-untyped-def]
    return st.builds(Comparison, st.just(entity), st.sampled_from(keys), st.sampled_from(operators), values)


def comparisons() -> st.SearchStrategy[Comparison]:
    number, text = st.sampled_from(NUMBERS), st.sampled_from(TEXTS)
    pattern = st.text("xX%_[b'", max_size=4)
    found = []
    for entity in (Entity.PARAM, Entity.TAG):
        found += [
            _comparison(entity, KEYS, _NULLS, st.none()),
            _comparison(entity, KEYS, _TEXT, text),
            _comparison(entity, KEYS, _LIKE, pattern),
            _comparison(entity, KEYS, _LIST, st.lists(text, min_size=1, max_size=3).map(tuple)),
        ]
    found += [
        _comparison(Entity.METRIC, KEYS, _NULLS, st.none()),
        _comparison(Entity.METRIC, KEYS, _NUMBER, number),
        _comparison(Entity.METRIC, KEYS, _LIST, st.lists(number, min_size=1, max_size=3).map(tuple)),
        _comparison(Entity.ATTRIBUTE, ("run_name", "status"), _TEXT, text),
        _comparison(Entity.ATTRIBUTE, ("start_time", "end_time"), _NUMBER, st.integers(0, 5)),
    ]
    return st.one_of(found)


def conditions() -> st.SearchStrategy[Condition]:
    parts = lambda inner: st.lists(inner, min_size=2, max_size=3).map(tuple)  # noqa: E731
    return st.recursive(
        comparisons(),
        lambda inner: st.one_of(parts(inner).map(AllOf), parts(inner).map(AnyOf), inner.map(Negation)),
        max_leaves=6,
    )


def text_of(condition: Condition) -> str:
    """Print a condition as a filter."""
    match condition:
        case AllOf(parts):
            return " AND ".join(f"({text_of(part)})" for part in parts)
        case AnyOf(parts):
            return " OR ".join(f"({text_of(part)})" for part in parts)
        case Negation(part):
            return f"NOT ({text_of(part)})"
    prefix = "" if condition.entity is Entity.ATTRIBUTE else f"{condition.entity.value}s."
    if condition.operator in _NULLS:
        value = ""
    elif isinstance(condition.value, tuple):
        value = f"({', '.join(map(_value, condition.value))})"
    else:
        value = _value(condition.value)
    return f"{prefix}`{condition.key}` {condition.operator.value} {value}"


def _value(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
