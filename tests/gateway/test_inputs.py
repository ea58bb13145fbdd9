"""The short way through a request gives what the long way gives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS, body

from mainspring.errors import Faults
from mainspring.gateway.inputs import Inputs
from mainspring.gateway.protocols import oip
from mainspring.product import ColumnSpec

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-9, 9).map(float),
)
VALUES = {
    "distance": NUMBERS | st.none(),
    "hour": NUMBERS | st.none(),
    "carrier": st.text(max_size=3) | st.none(),
    "holiday": st.booleans() | st.none(),
}


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    rows = draw(st.integers(1, 3))
    columns = {name: draw(st.lists(each, min_size=rows, max_size=rows)) for name, each in VALUES.items()}
    request: dict[str, Any] = body(rows, **columns)
    request["inputs"] = draw(st.permutations(request["inputs"]))
    if draw(st.booleans()):
        request["inputs"][0]["datatype"] = draw(st.sampled_from(["FP32", "INT8", "BYTES"]))
    if draw(st.booleans()):
        request["inputs"][0]["shape"] = draw(st.sampled_from([[rows, 1], [rows + 1], []]))
    return json.dumps({**request, "id": "order-7"}).encode()


@given(requests())
def test_what_the_decoder_takes_is_what_the_checks_take(content: bytes) -> None:
    inputs = Inputs(INPUTS)
    short = oip.read_plain(inputs, content)
    try:
        wishes, rows = oip.read_any(inputs, content)
    except Faults:
        assert short is None
        return
    if short is not None:
        assert (short[0].id, short[0].outputs) == (wishes.id, wishes.outputs)
        assert dict(short[1].columns) == dict(rows.columns)
        assert [list(map(type, values)) for values in short[1].columns.values()] == [
            list(map(type, rows.columns[name])) for name in short[1].columns
        ]
        assert (short[1].count, short[1].with_nulls) == (rows.count, rows.with_nulls)
        for name, numbers in rows.numbers.items():
            np.testing.assert_array_equal(short[1].numbers[name], numbers)


def test_usual_requests_go_the_short_way() -> None:
    for request in (body(), body(3), body(2, distance=[1, None], carrier=[None, "UA"])):
        assert oip.read_plain(Inputs(INPUTS), json.dumps(request).encode()) is not None


def test_a_moment_is_sent_as_text() -> None:
    assert Inputs([ColumnSpec("landed_at", "TIMESTAMP", nullable=True)]).datatypes == {"landed_at": "BYTES"}
