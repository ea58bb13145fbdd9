"""The same rows are the same in every protocol, and nothing that a client sends is more than a bad request."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.gateway.conftest import INPUTS, Process, Workspace

from mainspring.errors import Fault
from mainspring.gateway import protocols
from mainspring.gateway.http import Reply
from mainspring.gateway.inputs import BadRequest, Inputs, Rows, Tensor
from mainspring.gateway.predict import Prediction
from mainspring.gateway.protocols import arrow, mlflow
from mainspring.gateway.protocols.raw import from_raw, to_raw
from mainspring.product import ColumnSpec

Columns = dict[str, list[Any]]
PRODUCT = Inputs(INPUTS)
ANSWER = Prediction(["a/0.1", "a/1.2"], [0.25, 0.75], [1, 2], 3)

VALUES = {
    "distance": st.floats(width=32, allow_nan=False, allow_infinity=False) | st.none(),
    "hour": st.integers(-(2**63), 2**63 - 1),
    "carrier": st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=4
    ),
    "holiday": st.booleans(),
}


@st.composite
def columns(draw: st.DrawFn) -> Columns:
    rows = draw(st.integers(1, 4) | st.integers(15, 17))
    return {name: draw(st.lists(each, min_size=rows, max_size=rows)) for name, each in VALUES.items()}


# --- the forms -----------------------------------------------------------------------------------------------------


def in_json(sent: Columns, shape: Callable[[int], list[int]] = lambda rows: [rows]) -> bytes:
    datatypes = PRODUCT.datatypes
    tensors = [
        {"name": name, "shape": shape(len(values)), "datatype": datatypes[name], "data": values}
        for name, values in sent.items()
    ]
    return json.dumps({"inputs": tensors}).encode()


def in_bytes(
    sent: Columns, *, only: tuple[str, ...] = tuple(VALUES), **request: Any
) -> tuple[dict[bytes, bytes], bytes]:
    """Some columns as binary data, the others as JSON."""
    tensors, blobs = [], []
    for name, values in sent.items():
        tensor: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": PRODUCT.datatypes[name]}
        if name in only:
            blobs.append(to_raw(tensor["datatype"], [np.nan if value is None else value for value in values]))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = values
        tensors.append(tensor)
    header = json.dumps({"inputs": tensors, **request}).encode()
    return {b"inference-header-content-length": b"%d" % len(header)}, header + b"".join(blobs)


def in_arrow(sent: Columns) -> bytes:
    stream = io.BytesIO()
    types = {"distance": pl.Float64, "hour": pl.Int64, "carrier": pl.String, "holiday": pl.Boolean}
    pl.DataFrame(sent, schema=types).write_ipc_stream(stream)
    return stream.getvalue()


def in_csv(sent: Columns) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(sent)
    writer.writerows(
        ["" if value is None else value for value in row] for row in zip(*sent.values(), strict=True)
    )
    return text.getvalue().encode()


def split(sent: Columns) -> dict[str, Any]:
    return {"columns": list(sent), "data": [list(row) for row in zip(*sent.values(), strict=True)]}


def records(sent: Columns) -> list[dict[str, Any]]:
    return [dict(zip(sent, row, strict=True)) for row in zip(*sent.values(), strict=True)]


ARROW = {b"content-type": arrow.MEDIA_TYPE.encode()}
CSV = {b"content-type": b"text/csv; charset=utf-8"}
FORMS: Mapping[str, Callable[[Columns], Rows]] = {
    "JSON": lambda sent: protocols.read(PRODUCT, {}, in_json(sent)).rows,
    "JSON of two dimensions": lambda sent: protocols.read(PRODUCT, {}, in_json(sent, lambda rows: [rows, 1])).rows,
    "bytes": lambda sent: protocols.read(PRODUCT, *in_bytes(sent)).rows,
    "bytes and JSON": lambda sent: protocols.read(PRODUCT, *in_bytes(sent, only=("hour", "carrier"))).rows,
    "columns": lambda sent: protocols.read(PRODUCT, {}, json.dumps({"inputs": sent}).encode()).rows,
    "Arrow": lambda sent: protocols.read(PRODUCT, ARROW, in_arrow(sent)).rows,
    "dataframe_split": lambda sent: mlflow_read({"dataframe_split": split(sent)}),
    "dataframe_records": lambda sent: mlflow_read({"dataframe_records": records(sent), "params": {"a": 1}}),
    "instances": lambda sent: mlflow_read({"instances": records(sent)}),
    "instances without names": lambda sent: mlflow_read({"instances": split(sent)["data"]}),
    "inputs of MLflow": lambda sent: mlflow_read({"inputs": sent}),
    "CSV": lambda sent: mlflow.read(PRODUCT, CSV, in_csv(sent)).rows,
}  # fmt: skip


def mlflow_read(request: dict[str, Any]) -> Rows:
    return mlflow.read(PRODUCT, {}, json.dumps(request).encode()).rows


@given(columns())
@example({"distance": [None], "hour": [0], "carrier": ['\r\n,"\x1c\u2028'], "holiday": [True]})
@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_are_the_same_in_every_form(form: str, sent: Columns) -> None:
    rows = FORMS[form](sent)
    assert rows.count == len(sent["hour"])
    assert {name: rows.values(name) for name in sent} == sent
    assert [type(value) for name in sent for value in rows.values(name)] == [
        type(value) for values in sent.values() for value in values
    ]
    assert rows.with_nulls == ({"distance"} if None in sent["distance"] else set())
    assert set(rows.numbers) == {"distance", "hour", "holiday"}
    for name, numbers in rows.numbers.items():
        assert numbers.dtype == np.float32
        np.testing.assert_array_equal(numbers, np.array(sent[name], dtype=np.float32))


def test_one_value_for_each_column_is_one_row() -> None:
    sent = {"distance": 100.5, "hour": 7, "carrier": "UA", "holiday": None}
    asked = protocols.read(PRODUCT, {}, json.dumps({"inputs": sent, "id": "order-7"}).encode())
    assert asked.rows.columns == {name: [value] for name, value in sent.items()}
    one = Prediction(["a/0.1"], [0.25], [1], 3)
    assert json.loads(asked.write("late", one).content) == {
        "model_name": "late",
        "id": "order-7",
        "outputs": {"probability": 0.25, "prediction_id": "a/0.1", "model_version": 1},
    }


# --- tensors as bytes ----------------------------------------------------------------------------------------------

ELEMENTS = {
    **{f"INT{bits}": st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": st.floats(width=bits, allow_nan=False) for bits in (16, 32, 64)},
    "BF16": st.sampled_from([0.0, -1.0, 1.5, 2.0**100, -(2.0**-100), float("inf")]),
    "BOOL": st.booleans(),
    "BYTES": st.binary(max_size=5),
}  # fmt: skip


@pytest.mark.parametrize("datatype", ELEMENTS)
@given(data=st.data())
def test_a_tensor_of_bytes_is_read_as_it_was_written(datatype: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(ELEMENTS[datatype], max_size=5))
    faults: list[Fault] = []
    tensor = from_raw("a", datatype, [len(values)], to_raw(datatype, values), faults)
    assert (faults, tensor is None) == ([], False)
    assert tensor is not None
    assert [*tensor.values] == values


@pytest.mark.parametrize("datatype", [*ELEMENTS, "INT7"])
@given(shape=st.lists(st.integers(-3, 2**70), max_size=3), content=st.binary(max_size=40))
def test_bytes_of_any_other_size_are_a_fault(datatype: str, shape: list[int], content: bytes) -> None:
    faults: list[Fault] = []
    tensor = from_raw("a", datatype, shape, content, faults)
    assert (tensor is None) == (len(faults) == 1)


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "INT8", "UINT8"])
def test_numbers_of_every_datatype_are_taken_in_bytes(datatype: str) -> None:
    product = Inputs([ColumnSpec("a", "FP64", nullable=False)])
    header = {"inputs": [{"name": "a", "shape": [2, 1], "datatype": datatype}]}
    content = to_raw(datatype, [1, 100])
    header["inputs"][0]["parameters"] = {"binary_data_size": len(content)}
    head = json.dumps(header).encode()
    asked = protocols.read(product, {b"inference-header-content-length": b"%d" % len(head)}, head + content)
    assert asked.rows.columns == {"a": [1.0, 100.0]}
    assert asked.rows.numbers["a"].tolist() == [1, 100]


def test_a_raw_request_is_the_data_of_the_only_input() -> None:
    raw = {b"inference-header-content-length": b"0"}
    asked = protocols.read(Inputs([ColumnSpec("a", "FP32", nullable=False)]), raw, to_raw("FP32", [1, 2]))
    assert asked.rows.columns == {"a": [1.0, 2.0]}
    text = protocols.read(Inputs([ColumnSpec("a", "BYTES", nullable=False)]), raw, "é".encode())
    assert text.rows.columns == {"a": ["é"]}
    reply = asked.write("late", ANSWER)
    size = int(dict(reply.headers)[b"inference-header-content-length"])
    answered = json.loads(reply.content[:size])
    assert [each["parameters"]["binary_data_size"] for each in answered["outputs"]] == [16, 18, 16]
    assert np.frombuffer(reply.content, "<f8", 2, size).tolist() == [0.25, 0.75]
    with pytest.raises(BadRequest, match="the product has 4 inputs: distance, hour"):
        protocols.read(PRODUCT, raw, b"")
    with pytest.raises(BadRequest, match="it has 3 bytes"):
        protocols.read(Inputs([ColumnSpec("a", "FP32", nullable=False)]), raw, b"abc")


def test_every_fault_of_a_binary_request_is_told_at_once() -> None:
    sent = {"distance": [1.0, 2.0], "hour": [7, 8], "carrier": ["UA", "DL"], "holiday": [True, False]}
    headers, content = in_bytes(sent, id="a b", outputs=[{"name": "certainty"}])
    content = (
        content.replace(b'"FP64"', b'"FP32"').replace(b"\x02\0\0\0UA", b"\x02\0\0\0\xff\xff")[:-1] + b"\x07"
    )
    with pytest.raises(BadRequest) as refused:
        protocols.read(PRODUCT, headers, content)
    for part in (
        "distance: it has 16 bytes, and as FP32 of shape [2] it is 8",
        "carrier: row 0 is not UTF-8",
        "holiday: a truth value is neither 0 nor 1",
        "id: it becomes part",
        "there is no 'certainty'",
    ):
        assert part in str(refused.value)
    assert "hour" not in str(refused.value).partition("certainty")[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda header: header["inputs"][0]["parameters"].update(binary_data_size=10**9), "bytes are left"),
        (lambda header: header["inputs"][0]["parameters"].update(binary_data_size=-8), "its binary_data_size is -8"),
        (lambda header: header["inputs"][3].update(parameters={}), "bytes follow the last tensor"),
        (lambda header: header["inputs"][0].update(data=[1.0]), "both data and a binary_data_size"),
        (lambda header: header["inputs"][1].update(datatype="INT7"), "its datatype is 'INT7'"),
        (lambda header: header["inputs"][0].update(name=7), "inputs[0].name"),
        (lambda header: header.update(parameters={"binary_data_output": 3}), "parameters: Expected `bool`"),
        (lambda header: header.update(parameters={"timeout": -1}), "parameters: Expected `int` >= 0"),
    ],
)  # fmt: skip
def test_a_binary_request_is_told_what_its_header_has_wrong(change: Callable[[Any], None], told: str) -> None:
    sent = {"distance": [1.0], "hour": [7], "carrier": ["UA"], "holiday": [True]}
    headers, content = in_bytes(sent)
    size = int(headers[b"inference-header-content-length"])
    header = json.loads(content[:size])
    change(header)
    head = json.dumps(header).encode()
    with pytest.raises(BadRequest) as refused:
        protocols.read(
            PRODUCT, {b"inference-header-content-length": b"%d" % len(head)}, head + content[size:]
        )
    assert told in str(refused.value)


def test_a_number_in_bytes_that_is_not_one_is_missing_and_an_infinite_one_is_refused() -> None:
    product = Inputs([ColumnSpec("a", "FP64", nullable=True), ColumnSpec("b", "INT64", nullable=True)])
    tensors = [
        Tensor("a", "FP32", [2], np.array([np.nan, 1], np.float32)),
        Tensor("b", "FP64", [2], np.array([2.0, np.nan])),
    ]
    rows = product.check(tensors)
    assert (rows.columns, rows.with_nulls) == ({"a": [None, 1.0], "b": [2, None]}, {"a", "b"})
    assert np.isnan(rows.numbers["a"]).tolist() == [True, False]
    with pytest.raises(BadRequest, match="a: row 1 is beyond"):
        product.check([Tensor("a", "FP32", [2], np.array([np.nan, np.inf], np.float32)), tensors[1]])
    with pytest.raises(BadRequest, match="b: row 0 is not whole"):
        product.check([tensors[0], Tensor("b", "FP64", [2], np.array([2.5, 1]))])


# --- answers -------------------------------------------------------------------------------------------------------


def written(headers: dict[bytes, bytes], content: bytes) -> Reply:
    return protocols.read(PRODUCT, headers, content).write("late", ANSWER)


SENT: Columns = {"distance": [1.0, None], "hour": [7, 8], "carrier": ["UA", "DL"], "holiday": [True, False]}


@pytest.mark.parametrize(
    ("headers", "content", "kind"),
    [
        ({}, in_json(SENT), b"application/json"),
        ({b"accept": b"application/json, */*"}, in_json(SENT), b"application/json"),
        ({b"accept": arrow.MEDIA_TYPE.encode()}, in_json(SENT), arrow.MEDIA_TYPE.encode()),
        (ARROW, in_arrow(SENT), arrow.MEDIA_TYPE.encode()),
        ({**ARROW, b"accept": b"*/*"}, in_arrow(SENT), arrow.MEDIA_TYPE.encode()),
        ({**ARROW, b"accept": b"application/json"}, in_arrow(SENT), b"application/json"),
    ],
)
def test_the_answer_comes_in_the_form_of_the_request_or_in_the_one_that_is_accepted(
    headers: dict[bytes, bytes], content: bytes, kind: bytes
) -> None:
    reply = written(headers, content)
    assert reply.kind == kind
    if kind == b"application/json":
        assert json.loads(reply.content)["outputs"][0]["data"] == ANSWER.scores
    else:
        assert pl.read_ipc_stream(reply.content).to_dict(as_series=False) == {
            "probability": ANSWER.scores,
            "prediction_id": ANSWER.ids,
            "model_version": ANSWER.versions,
        }


def test_lists_are_answered_by_lists_and_only_what_is_asked_for() -> None:
    content = json.dumps({"inputs": SENT, "outputs": ["probability"]}).encode()
    assert json.loads(written({}, content).content) == {
        "model_name": "late",
        "outputs": {"probability": [0.25, 0.75]},
    }


def test_mlflow_is_answered_as_its_own_server_answers() -> None:
    asked = mlflow.read(PRODUCT, {}, json.dumps({"dataframe_records": records(SENT)}).encode())
    assert json.loads(asked.write("late", ANSWER).content) == {
        "predictions": ANSWER.scores,
        "prediction_ids": ANSWER.ids,
        "model_versions": ANSWER.versions,
    }


# --- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"inputs": {"distance": [1, 2], "hour": 7}}, "distance is a list, the others are not"),
        ({"inputs": {}}, "distance: it is missing"),
        ({"inputs": {**SENT, "gate": [1, 2]}}, "gate: the product has no such input"),
        ({"inputs": {**SENT, "hour": [1, 2, 3]}}, "they differ in their number of rows"),
        ({"inputs": {**SENT, "hour": [1, "x"]}}, "hour: row 1 is not of datatype INT64: row 1 is text"),
        ({"inputs": {**SENT, "carrier": ["a", "b\0"]}}, "carrier: row 1 is a text with a NUL"),
        ({"inputs": SENT, "id": 7}, "Expected `str | null`"),
        ({"inputs": SENT, "outputs": ["certainty"]}, "there is no 'certainty'"),
        ({"inputs": {"hour": {"a": 1}}}, "row 0 is an object"),
    ],
)
def test_a_request_by_columns_is_told_what_is_wrong(request_: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        protocols.read(PRODUCT, {}, json.dumps(request_).encode())
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "content", "told"),
    [
        ({}, b"{", "it is not JSON"),
        ({}, b"[]", "it has 0 of dataframe_split"),
        ({}, json.dumps({"inputs": SENT, "instances": []}).encode(), "it has 2 of"),
        ({}, json.dumps({"dataframe_split": {"columns": ["hour"]}}).encode(), "it must have `data`"),
        ({}, json.dumps({"dataframe_split": {"columns": ["hour", "hour"], "data": []}}).encode(), "more than once"),
        ({}, json.dumps({"dataframe_split": {"columns": [1], "data": []}}).encode(), "not a list of texts"),
        ({}, json.dumps({"dataframe_split": {"columns": ["hour"], "data": [[1], 2, [3, 4]]}}).encode(),
         "dataframe_split.data[1]: it is not a list, as the other rows should be."),
        ({}, json.dumps({"dataframe_records": {"hour": 1}}).encode(), "dataframe_records: it is not a list"),
        ({}, json.dumps({"instances": [{"hour": 1}, 2]}).encode(), "instances[0]: it is not a list"),
        ({}, json.dumps({"instances": []}).encode(), "distance: it is missing"),
        (CSV, b"", "it is empty"),
        (CSV, b"hour\n\xff", "not CSV in UTF-8"),
        (CSV, b'hour\n"a"b', "not CSV in UTF-8"),
        (CSV, b"distance,hour\nfar,1_000\n", "distance: row 0 is not of datatype FP64"),
        (CSV, b"distance,hour\nfar,1_000\n", "hour: row 0 is not of datatype INT64"),
        (CSV, b"distance,hour\nnan,1\n", "carrier: it is missing"),
        (CSV, b"hour\n" + b"1\n" * 10_001, "it has 10001 rows"),
    ],
)  # fmt: skip
def test_mlflow_is_told_what_is_wrong(headers: dict[bytes, bytes], content: bytes, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        mlflow.read(PRODUCT, headers, content)
    assert told in str(refused.value)


def stream(frame: pl.DataFrame, **options: Any) -> bytes:
    written = io.BytesIO()
    frame.write_ipc_stream(written, **options)
    return written.getvalue()


def many(rows: int, text: str) -> bytes:
    """A stream in which all rows share one text."""
    return stream(pl.DataFrame({"carrier": pl.Series([text]).new_from_index(0, rows)}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "distance: it is missing"),
        (b"not Arrow at all", "it is no Arrow IPC stream"),
        (in_arrow(SENT)[:-40], "a part of the Arrow stream is missing"),
        (stream(pl.DataFrame(SENT), compression="zstd"), "its Arrow buffers are compressed"),
        (stream(pl.DataFrame({"hour": [[1]]})), "hour: its type is List(Int64)"),
        (stream(pl.DataFrame({**SENT, "gate": [1, 2]})), "gate: the product has no such input"),
        (stream(pl.DataFrame({"hour": range(10_001)})), "it has 10001 rows"),
        (many(10_000, "x" * 2000), "carrier: its texts are larger than 16 MiB together"),
    ],
)
def test_an_arrow_stream_is_told_what_is_wrong(content: bytes, told: str) -> None:
    if not content:
        with pytest.raises(BadRequest):
            protocols.read(PRODUCT, ARROW, content)
        return
    with pytest.raises(BadRequest) as refused:
        protocols.read(PRODUCT, ARROW, content)
    assert told in str(refused.value)


def test_arrow_brings_every_type_that_a_column_can_have() -> None:
    product = Inputs([
        ColumnSpec("a", "INT64", nullable=True), ColumnSpec("b", "FP64", nullable=True),
        ColumnSpec("c", "BYTES", nullable=True), ColumnSpec("at", "TIMESTAMP", nullable=True),
        ColumnSpec("d", "BYTES", nullable=True),
    ])  # fmt: skip
    frame = pl.DataFrame({
        "a": pl.Series([200, None], dtype=pl.UInt8), "b": pl.Series([1, 2], dtype=pl.Int16),
        "c": pl.Series(["x", "y"], dtype=pl.Categorical),
        "at": pl.Series(["2013-01-01T12:00:00+02:00", None]).str.to_datetime(time_zone="Europe/Kyiv"),
        "d": pl.Series([None, None], dtype=pl.Null),
    })  # fmt: skip
    assert protocols.read(product, ARROW, stream(frame)).rows.columns == {
        "a": [200, None], "b": [1.0, 2.0], "c": ["x", "y"],
        "at": ["2013-01-01T10:00:00.000000Z", None], "d": [None, None],
    }  # fmt: skip


# --- whatever comes ------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """A sound request with some bytes changed, cut out or put in."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


HEADER, BINARY = in_bytes(SENT | {"distance": [1.0, 2.0]})
SOUND: Mapping[str, tuple[Callable[[bytes], object], bytes]] = {
    "JSON": (lambda content: protocols.read(PRODUCT, {}, content), in_json(SENT)),
    "bytes": (lambda content: protocols.read(PRODUCT, HEADER, content), BINARY),
    "raw": (lambda content: protocols.read(PRODUCT, {b"inference-header-content-length": b"0"}, content), BINARY),
    "columns": (lambda content: protocols.read(PRODUCT, {}, content), json.dumps({"inputs": SENT}).encode()),
    "split": (lambda content: mlflow.read(PRODUCT, {}, content), json.dumps({"dataframe_split": split(SENT)}).encode()),
    "records": (lambda content: mlflow.read(PRODUCT, {}, content), json.dumps({"instances": records(SENT)}).encode()),
    "CSV": (lambda content: mlflow.read(PRODUCT, CSV, content), in_csv(SENT)),
    "Arrow": (lambda content: protocols.read(PRODUCT, ARROW, content), in_arrow(SENT)),
}  # fmt: skip


@pytest.mark.parametrize("form", SOUND)
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_request_is_read_or_refused_and_nothing_else(form: str, data: st.DataObject) -> None:
    read, sound = SOUND[form]
    content = data.draw(damaged(sound) | st.binary(max_size=60))
    with suppress(BadRequest):
        read(content)


@pytest.mark.parametrize(
    ("path", "headers", "sound"),
    [
        ("/v2/models/late/infer", {}, in_json(SENT)),
        ("/v2/models/late/infer", HEADER, BINARY),
        ("/v2/models/late/infer", {b"content-encoding": b"gzip"}, gzip.compress(in_json(SENT))),
        ("/invocations", {}, json.dumps({"dataframe_split": split(SENT)}).encode()),
        ("/invocations", CSV, in_csv(SENT)),
        ("/v2/repository/index", {}, b'{"ready": true}'),
    ],
)
@settings(max_examples=60)
@given(data=st.data())
def test_no_damaged_request_is_a_fault_of_the_server_or_costs_the_connection(
    shared: tuple[Workspace, Process],
    path: str,
    headers: dict[bytes, bytes],
    sound: bytes,
    data: st.DataObject,
) -> None:
    _, gateway = shared
    content = data.draw(damaged(sound))
    reply = gateway.client.post(path, content=content, headers=headers)
    assert reply.status_code in (200, 400), reply.text
    assert "connection" not in reply.headers
