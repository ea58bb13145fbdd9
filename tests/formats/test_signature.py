from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import Invalid
from mainspring.formats.signature import BadSignature, Column, Signature

columns = st.lists(
    st.builds(Column, st.text(), st.sampled_from(["FP32", "FP64", "INT64", "BYTES", "BOOL"]), st.booleans())
).map(tuple)


@given(columns, columns)
def test_reading_undoes_writing(inputs: tuple[Column, ...], outputs: tuple[Column, ...]) -> None:
    signature = Signature(inputs, outputs)
    assert Signature.from_json(signature.to_json()) == signature


def test_a_column_is_nullable_when_a_null_or_a_nan_was_seen_in_training() -> None:
    rows = pl.DataFrame(
        {
            "carrier": ["UA", "AA"],
            "tailnum": ["N1", None],
            "hour": [5, None],
            "wind": [1.0, math.nan],
            "late": [True, False],
        },
        schema_overrides={"wind": pl.Float32, "hour": pl.Int16},
    )
    assert Signature.infer(rows, rows.columns).inputs == (
        Column("carrier", "BYTES", False),
        Column("tailnum", "BYTES", True),
        Column("hour", "INT64", True),
        Column("wind", "FP32", True),
        Column("late", "BOOL", False),
    )


def test_inputs_come_in_the_order_of_the_model_and_others_are_left_out() -> None:
    rows = pl.DataFrame({"a": [1.0], "b": ["x"], "unused": [None]})
    assert [column.name for column in Signature.infer(rows, ["b", "a"]).inputs] == ["b", "a"]


def test_columns_that_no_model_can_take_are_all_named() -> None:
    rows = pl.DataFrame({"seen": [1]}).select(pl.col("seen").cast(pl.Datetime("us")))
    with pytest.raises(BadSignature) as caught:
        Signature.infer(rows, ["seen", "absent"])
    assert [fault.where for fault in caught.value.faults] == ["seen", "absent"]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"inputs":[{"name":"a","dtype":"FP8","nullable":false}],"outputs":[]}']
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a signature"):
        Signature.from_json(text)
