"""What MLflow's scoring server takes at `/invocations`, and how it answers [1]_.

Its clients send a frame as `dataframe_split` or `dataframe_records`, TensorFlow Serving's `instances` or `inputs`, or
CSV. As with MLflow, columns that the model does not read are passed over, and so are `params`.

References
----------
.. [1] mlflow 3.17, `mlflow/pyfunc/scoring_server/__init__.py` and `mlflow/utils/proto_json_utils.py`.
"""

from __future__ import annotations

__all__ = ["read", "refusal"]

import csv
from collections.abc import Sequence
from http import HTTPStatus
from io import StringIO
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Fault
from mainspring.gateway.http import Headers, Refusal, Reply, media_type
from mainspring.gateway.inputs import ROW_LIMIT, BadRequest
from mainspring.gateway.protocols.asked import Asked
from mainspring.gateway.protocols.records import column_tensors

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.predict import Prediction

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CODES = {
    HTTPStatus.BAD_REQUEST: "BAD_REQUEST",
    HTTPStatus.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    HTTPStatus.TOO_MANY_REQUESTS: "REQUEST_LIMIT_EXCEEDED",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
}
_TRUTH = {"true": True, "false": False}

Columns = dict[str, list[Any]]


def read(inputs: Inputs, headers: Headers, content: bytes) -> Asked:
    """Read a request.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    columns = _read_csv(inputs, content) if media_type(headers) == "text/csv" else _read_json(inputs, content)
    known = {name: values for name, values in columns.items() if name in inputs.datatypes}
    return Asked(inputs.check([*column_tensors(inputs, known)]), _write)


def refusal(refused: Refusal) -> Reply:
    """Give a refusal in MLflow's form."""
    code = _CODES.get(refused.status, "BAD_REQUEST" if refused.status < 500 else "INTERNAL_ERROR")
    content = msgspec.json.encode({"error_code": code, "message": refused.why})
    return Reply(content, refused.status, headers=refused.headers)


def _write(product: str, prediction: Prediction) -> Reply:
    return Reply.of(
        {
            "predictions": prediction.scores,
            "prediction_ids": prediction.ids,
            "model_versions": prediction.versions,
        }
    )


def _read_json(inputs: Inputs, content: bytes) -> Columns:
    try:
        asked = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise _bad("body", f"it is not JSON: {error}.") from error
    forms = [form for form in _FORMS if form in asked] if isinstance(asked, dict) else []
    if len(forms) != 1:
        raise _bad("body", f"it has {len(forms)} of {', '.join(_FORMS)}.", "Send an object with exactly one.")
    [form] = forms
    sent = asked[form]
    if form == "dataframe_split":
        return _of_split(inputs, sent)
    if form == "inputs" and isinstance(sent, dict):
        return {name: values if isinstance(values, list) else [values] for name, values in sent.items()}
    return _of_rows(inputs, sent, form)


def _of_split(inputs: Inputs, sent: Any) -> Columns:
    where = "dataframe_split"
    if not isinstance(sent, dict) or "data" not in sent or set(sent) - {"columns", "data", "index"}:
        raise _bad(where, "it must have `data`, and may have `columns` and `index`.")
    names, rows = sent.get("columns"), sent["data"]
    if names is None:
        return _of_rows(inputs, rows, f"{where}.data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _bad(f"{where}.columns", "it is not a list of texts.")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise _bad(f"{where}.columns", f"{', '.join(repeated)[:200]} is there more than once.")
    return _of_lists(names, rows, f"{where}.data")


def _of_rows(inputs: Inputs, rows: Any, where: str) -> Columns:
    """Columns of a list of objects, of lists in the order of the inputs, or of values of the only input."""
    if not isinstance(rows, list):
        raise _bad(where, "it is not a list.")
    if all(isinstance(row, dict) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}
    if len(inputs.names) == 1 and not any(isinstance(row, list | dict) for row in rows):
        return {inputs.names[0]: rows}
    return _of_lists(inputs.names, rows, where)


def _of_lists(names: Sequence[str], rows: Any, where: str) -> Columns:
    if not isinstance(rows, list):
        raise _bad(where, "it is not a list of rows.")
    faults = []
    for n, row in enumerate(rows):
        if not isinstance(row, list):
            faults.append(Fault(f"{where}[{n}]", "it is not a list, as the other rows should be."))
        elif len(row) != len(names):
            faults.append(Fault(f"{where}[{n}]", f"it has {len(row)} values for {len(names)} columns."))
    if faults:
        raise BadRequest(tuple(faults))
    return {name: [row[n] for row in rows] for n, name in enumerate(names)}


def _read_csv(inputs: Inputs, content: bytes) -> Columns:
    try:
        text = content.decode("utf-8-sig")
        lines = [row for row in csv.reader(StringIO(text, newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad("body", f"it is not CSV in UTF-8: {error}.") from error
    if not lines:
        raise _bad("body", "it is empty.", "Send the names of the columns, then a line for each row.")
    names, *rows = lines
    if len(rows) > ROW_LIMIT:
        raise _bad("body", f"it has {len(rows)} rows.", f"Send at most {ROW_LIMIT} at a time.")
    return {
        name: [_value(inputs.datatypes.get(name, ""), text) for text in texts]
        for name, texts in _of_lists(names, rows, "body").items()
    }


def _value(datatype: str, text: str) -> Any:
    """What a field of CSV says; one that says nothing of its datatype stays text, and is told as such."""
    if text == "":
        return None
    if datatype == "BYTES":
        return text
    if datatype == "BOOL":
        return _TRUTH.get(text.strip().lower(), text)
    for number in (int, float):
        try:
            read = number(text.replace("_", "x"))  # Python would take 1_000
        except ValueError:
            continue
        return None if read != read else read
    return text


def _bad(where: str, what: str, mend: str = "") -> BadRequest:
    return BadRequest((Fault(where, what, mend),))
