"""Digests: equal content has equal digests, and canonical JSON is one text for one value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.digest import canonical_json, digest_of, digest_of_file, digest_of_json

texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def turned(value: Any) -> Any:
    """The same value with the keys of every object in another order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


@given(value=values)
def test_canonical_json_is_read_back_and_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(turned(value)) == text
    assert digest_of_json(turned(value)) == digest_of_json(value) == digest_of(text.encode())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_other_readers_could_not_read_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"metric": number})


@given(content=st.binary(max_size=300))
def test_a_file_has_the_digest_of_its_bytes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "content"
    file.write_bytes(content)
    assert digest_of_file(file) == digest_of(content)
    assert len(digest_of(content)) == 64
