"""However a request's contents come, the same rows are read, and the same faults are told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS

from mainspring.gateway.grpc import plain
from mainspring.gateway.grpc.messages import message
from mainspring.gateway.grpc.tensors import Question, read_request
from mainspring.gateway.inputs import BadRequest, Inputs, Rows
from mainspring.product import ColumnSpec

INPUTS_OF_ALL_KINDS = Inputs(
    (*INPUTS, ColumnSpec("weight", "FP32", nullable=True), ColumnSpec("stops", "UINT8", nullable=True))
)
FIELDS = {
    "FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents", "INT32": "int_contents",
    "UINT64": "uint64_contents", "UINT8": "uint_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents",
}  # fmt: skip
NUMPY = {
    "FP32": "<f4",
    "FP64": "<f8",
    "INT64": "<i8",
    "INT32": "<i4",
    "UINT64": "<u8",
    "UINT8": "u1",
    "BOOL": "?",
}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP32": st.floats(width=32),
    "FP64": st.floats() | st.sampled_from([3.4e38, 3.5e38, 1e300]),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
    "UINT8": st.integers(0, 255),
    "BOOL": st.booleans(),
    "BYTES": st.binary(max_size=4) | st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace")),
}
Tensors = list[tuple[str, str, list[Any]]]


@st.composite
def tensors(draw: st.DrawFn) -> Tensors:
    """The columns of the product in any order, nearly always with the same number of rows in fitting datatypes."""
    rows = draw(st.integers(1, 4))
    found = []
    for name, datatype in draw(st.permutations([*INPUTS_OF_ALL_KINDS.datatypes.items()])):
        sent = draw(st.sampled_from([datatype] * 20 + [*FIELDS]))
        count = draw(st.sampled_from([rows] * 20 + [rows + 1]))
        sound = VALUES[sent] if draw(st.integers(0, 3)) else st.just(b"UA" if sent == "BYTES" else 1)
        found.append((name, sent, draw(st.lists(sound, min_size=count, max_size=count))))
    return found


def asked(sent: Tensors, *, raw: bool) -> Any:
    made = message("inference.ModelInferRequest")(model_name="late", id="r")
    for name, datatype, values in sent:
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        if not raw:
            getattr(tensor.contents, FIELDS[datatype]).extend(values)
        elif datatype == "BYTES":
            made.raw_input_contents.append(
                b"".join(len(each).to_bytes(4, "little") + each for each in values)
            )
        else:
            made.raw_input_contents.append(np.array(values, NUMPY[datatype]).tobytes())
    return made


def read(question: Any) -> Question | str:
    try:
        return read_request(INPUTS_OF_ALL_KINDS, question)
    except BadRequest as error:
        return str(error)


def alike(one: Rows, other: Rows) -> bool:
    numbers = [(each, one.numbers[each], other.numbers[each]) for each in one.numbers]
    return (
        (one.count, one.columns, one.with_nulls) == (other.count, other.columns, other.with_nulls)
        and one.numbers.keys() == other.numbers.keys()
        and all(np.array_equal(left, right, equal_nan=True) for _, left, right in numbers)
        and {name: [*map(type, values)] for name, values in one.columns.items()}
        == {name: [*map(type, values)] for name, values in other.columns.items()}
    )


@given(tensors())
def test_typed_and_raw_contents_are_read_alike(sent: Tensors) -> None:
    of_typed, of_raw = read(asked(sent, raw=False)), read(asked(sent, raw=True))
    if isinstance(of_typed, str) or isinstance(of_raw, str):
        assert of_typed == of_raw
    else:
        assert (of_typed.raw, of_raw.raw) == (False, True)
        assert of_typed.wishes == of_raw.wishes
        assert alike(of_typed.rows, of_raw.rows)


def test_a_usual_request_is_read_at_once_whatever_its_kinds() -> None:
    values: dict[str, Any] = {"FP64": 1.5, "FP32": 0.5, "INT64": 7, "BYTES": b"UA", "BOOL": True}
    inputs = Inputs(INPUTS)
    sent = [(each.name, each.dtype, [values[each.dtype]] * 3) for each in INPUTS]
    question = asked(sent, raw=True)
    contents = list(question.raw_input_contents)
    question.ClearField("raw_input_contents")
    form = plain.form_of(inputs, question.SerializeToString())
    assert form is not None
    rows = plain.rows_of(form, contents)
    assert rows is not None
    assert alike(rows, read_request(inputs, asked(sent, raw=False)).rows)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 3.5e38, -1e300])
def test_a_usual_request_with_a_value_that_no_model_takes_is_not_read_at_once(value: float) -> None:
    inputs = Inputs([ColumnSpec("distance", "FP64", nullable=True)])
    question = asked([("distance", "FP64", [1.0, value])], raw=True)
    contents = list(question.raw_input_contents)
    question.ClearField("raw_input_contents")
    form = plain.form_of(inputs, question.SerializeToString())
    assert form is not None
    assert plain.rows_of(form, contents) is None
