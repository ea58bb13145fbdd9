"""Rows that came in bytes are the same in the log's tables as those that came in JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.digest import Digest
from mainspring.gateway import protocols
from mainspring.gateway.ids import PredictionIds
from mainspring.gateway.inputs import Inputs, Rows
from mainspring.gateway.policy import LogPolicy
from mainspring.gateway.protocols.raw import to_raw
from mainspring.monitoring.record import Packed, PredictionRecord, listed
from mainspring.monitoring.store import LogCursor
from mainspring.operate.log_table import STRAYS, frames
from mainspring.product import ColumnSpec, DatasetSpec, ProductSpec
from mainspring.rollouts import Route, Variant
from mainspring.stores.segments import SegmentWriter, read

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)
IDS = PredictionIds(b"secret")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP64": st.none() | st.floats(-1e38, 1e38, allow_nan=False),
    "FP32": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "INT8": st.integers(-(2**7), 2**7 - 1),
    "UINT64": st.integers(0, 2**63 - 1),
    "UINT16": st.integers(0, 2**16 - 1),
    "BOOL": st.booleans(),
    "BYTES": st.text("aé\n", max_size=3),
}
PII = st.fixed_dictionaries(
    {name: st.sampled_from(["", "drop", *(["hash"] if name == "BYTES" else [])]) for name in VALUES}
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, list[Any]]:
    count = draw(st.integers(1, 3) | st.integers(15, 17))
    return {name: draw(st.lists(each, min_size=count, max_size=count)) for name, each in VALUES.items()}


def in_json(sent: dict[str, list[Any]]) -> tuple[dict[bytes, bytes], bytes]:
    tensors = [
        {"name": name, "shape": [len(data)], "datatype": name, "data": data} for name, data in sent.items()
    ]
    return {}, json.dumps({"inputs": tensors}).encode()


def in_bytes(sent: dict[str, list[Any]]) -> tuple[dict[bytes, bytes], bytes]:
    blobs = {
        name: to_raw(name, [np.nan if value is None else value for value in data])
        for name, data in sent.items()
    }
    tensors = [
        {
            "name": name,
            "shape": [len(sent[name])],
            "datatype": name,
            "parameters": {"binary_data_size": len(blob)},
        }
        for name, blob in blobs.items()
    ]
    header = json.dumps({"inputs": tensors}).encode()
    return {b"inference-header-content-length": b"%d" % len(header)}, header + b"".join(blobs.values())


def logged(asked: Rows, policy: LogPolicy) -> tuple[PredictionRecord, dict[str, int]]:
    """What a log gives back of some rows, and what it was not given."""
    given_ = PredictionRecord(
        at=NOON,
        product="late",
        route=1,
        ids=[f"id-{row}" for row in range(asked.count)],
        units=[f"unit-{row}" for row in range(asked.count)],
        versions=[1] * asked.count,
        scores=[0.5] * asked.count,
        inputs=dict(asked.columns),
    )
    kept, left_out = policy.apply(given_)
    with TemporaryDirectory() as folder, SegmentWriter(Path(folder)) as writer:
        writer.append([kept])
        [record], _ = read(Path(folder), LogCursor(1, 0))
    assert isinstance(record, PredictionRecord)
    return record, dict(left_out)


def product(pii: dict[str, Any]) -> ProductSpec:
    return ProductSpec(
        name="late",
        file="product.py",
        task=ms.BinaryClassification("late"),
        data=DatasetSpec("flights", ("id",), "at", "known", 0.01, ()),
        sources=(),
        inputs=tuple(ColumnSpec(name, name, nullable=True, pii=pii[name]) for name in VALUES),
        steps=(),
        gates=(),
        features=(),
        rollout=ms.Canary(),
        monitors=(),
        retrain=(),
        alarm_budget=ms.FalseAlarms(),
        holdout="10d",
        cool_down="7d",
        seed=0,
    )


def exactly(columns: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Values with their types and signs."""
    return {name: list(map(repr, values)) for name, values in columns.items()}


def told(tables: dict[str, dict[str, pl.DataFrame]]) -> dict[tuple[str, str], dict[str, list[str]]]:
    """What stands in each of some tables."""
    return {
        (owner, name): exactly(table.to_dict(as_series=False))
        for owner, its in tables.items()
        for name, table in its.items()
    }


@given(rows(), PII, st.sampled_from([1.0, 0.5]))
def test_the_log_has_the_same_rows_in_whatever_form_they_were_asked(
    sent: dict[str, list[Any]], pii: dict[str, Any], share: float
) -> None:
    spec = product(pii)
    inputs = Inputs(spec.inputs)
    route = Route(
        product="late",
        number=1,
        champion=Variant(version=1, artifact=Digest("0" * 64)),
        salt="r",
        inputs=spec.inputs,
        log_sample=share,
    )
    policy = LogPolicy.of(route, IDS.pseudonym)
    as_json, as_bytes = (
        protocols.read(inputs, *in_json(sent)).rows,
        protocols.read(inputs, *in_bytes(sent)).rows,
    )
    for asked in (as_json, as_bytes):
        assert exactly({name: asked.values(name) for name in sent}) == exactly(sent)
    assert as_json.with_nulls == as_bytes.with_nulls
    for name, numbers in as_json.numbers.items():
        np.testing.assert_array_equal(numbers, as_bytes.numbers[name])

    (first, first_left), (second, second_left) = logged(as_json, policy), logged(as_bytes, policy)
    assert first_left == second_left
    assert exactly(first.columns) == exactly(second.columns)
    for specs in ({"late": spec}, {}):
        assert told(frames([first], specs)) == told(frames([second], specs))
    assert frames([second], {})[STRAYS][STRAYS].height == 1


@pytest.mark.parametrize("datatype", [name for name in VALUES if name != "BYTES"])
def test_many_values_are_logged_in_the_bytes_that_they_came_in(datatype: str) -> None:
    inputs = Inputs([ColumnSpec("a", datatype, nullable=True)])
    blob = to_raw(datatype, [1] * 100)
    asked = protocols.read(inputs, {b"inference-header-content-length": b"0"}, blob).rows
    assert asked.columns == {"a": Packed(datatype, blob)}  # type: ignore[arg-type]
    assert asked.values("a") == [1] * 100


def test_a_packed_column_of_no_known_datatype_is_refused_when_it_is_read() -> None:
    with pytest.raises(msgspec.ValidationError, match="datatype"):
        msgspec.json.decode(b'{"datatype": "BF16", "data": ""}', type=Packed)


def test_numbers_that_are_missing_are_found_in_every_form_of_many_rows() -> None:
    inputs = Inputs([ColumnSpec(name, "FP64", nullable=True) for name in "ab"])
    values = {"a": [1.0] * 20, "b": [None] * 20}
    tensors = [
        {"name": name, "shape": [20], "datatype": "FP64", "parameters": {"binary_data_size": 160}}
        for name in values
    ]
    header = json.dumps({"inputs": tensors}).encode()
    blob = np.array([[1.0] * 20, [np.nan] * 20]).tobytes()
    asked = protocols.read(
        inputs, {b"inference-header-content-length": b"%d" % len(header)}, header + blob
    ).rows
    assert asked.with_nulls == {"b"}
    assert {name: listed(column) for name, column in asked.columns.items()} == values
