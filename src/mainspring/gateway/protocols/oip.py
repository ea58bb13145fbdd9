"""The Open Inference Protocol v2 over REST, in JSON: what a request says, and what is answered [1]_.

References
----------
.. [1] kserve/open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from __future__ import annotations

__all__ = [
    "InferReply",
    "InferRequest",
    "InputTensor",
    "OutputTensor",
    "Parameters",
    "Wanted",
    "Wishes",
    "json_tensors",
    "outputs",
    "read_any",
    "read_plain",
    "read_request",
    "reply_of",
    "write",
]

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union

import msgspec

from mainspring.errors import Fault
from mainspring.gateway.http import Reply
from mainspring.gateway.inputs import INTEGERS, LARGEST_FLOAT, ROW_LIMIT, BadRequest, Tensor

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Inputs, Rows
    from mainspring.gateway.predict import Prediction

_FAULTS_TOLD = 100
_ID = re.compile(r"[A-Za-z0-9_.:@=+-]{1,128}")
_encode = msgspec.json.Encoder().encode


class Parameters(msgspec.Struct, omit_defaults=True):
    """The parameters that are heeded; all others are passed over, as the protocol wants it.

    Attributes
    ----------
    binary_data_size : int, optional
        Of an input or output: its data follows the JSON as this many bytes.
    binary_data : bool, optional
        Of an output that is asked for: whether to answer it in bytes.
    binary_data_output : bool
        Of a request: whether to answer so all outputs that do not say.
    timeout : int, optional
        Of a request: how long the caller waits, in microseconds; 0 is for ever.
    """

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False
    timeout: Annotated[int, msgspec.Meta(ge=0)] | None = None


class InputTensor(msgspec.Struct):
    """A column of the request: numbers, truth values or texts, flat or nested once, JSON null where one is missing."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: Parameters | None = None


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class Wishes(msgspec.Struct, kw_only=True):
    """What a request says besides its rows."""

    id: str | None = None
    outputs: list[Wanted] | None = None
    parameters: Parameters | None = None

    @property
    def timeout_s(self) -> float | None:
        """How long the caller waits; None where it does not say."""
        return self.parameters.timeout / 1e6 if self.parameters and self.parameters.timeout else None

    def faults(self, inputs: Inputs) -> list[Fault]:
        """Say which wishes cannot be granted."""
        found = []
        if self.id and not _ID.fullmatch(self.id):
            found.append(
                Fault(
                    "id", "it becomes part of the prediction ids: use 1 to 128 letters, digits and `_.:@=+-`."
                )
            )
        for wanted in self.outputs or ():
            if wanted.name not in inputs.outputs:
                there = f"There are {', '.join(inputs.outputs)}."
                found.append(Fault("outputs", f"there is no {wanted.name[:100]!r}.", there))
        return found


class InferRequest(Wishes, kw_only=True):
    """A request."""

    inputs: list[InputTensor]


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """A column of the answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: Parameters | None = None


class InferReply(msgspec.Struct, omit_defaults=True):
    """An answer; it names a version of the model when all rows have the same."""

    model_name: str
    outputs: list[OutputTensor]
    model_version: str | None = None
    id: str | None = None


# --- what is asked -------------------------------------------------------------------------------------------------


def read_plain(inputs: Inputs, content: bytes) -> tuple[Wishes, Rows] | None:
    """Read a request such as nearly all are, the decoder doing the checks; None when it is not one."""
    form = _plain_form(inputs)
    try:
        request = form.decode(content)
    except (ValueError, RecursionError):
        return None
    if form.has_texts and b"\\u0000" in content:
        return None
    tensors = request.inputs
    kinds = list(map(type, tensors))
    names = form.columns if kinds == form.kinds else [form.names[kind] for kind in kinds]
    columns = dict(zip(names, [each.data for each in tensors], strict=True))
    if len(columns) != len(tensors) or ((request.id or request.outputs) and request.faults(inputs)):
        return None
    left_out = () if len(columns) == len(form.columns) else inputs.left_out(columns)
    if left_out is None:
        return None
    shapes = [each.shape for each in tensors]
    shape = shapes[0]
    if len(shape) != 1 or not 0 < shape[0] <= ROW_LIMIT or shapes.count(shape) != len(shapes):
        return None
    if set(map(len, columns.values())) != set(shape):
        return None
    return request, inputs.rows(columns, may_have_nulls=b"null" in content, left_out=left_out)


def read_any(inputs: Inputs, content: bytes) -> tuple[Wishes, Rows]:
    """Read and check a request of any form.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    request, found = read_request(content)
    unread = bool(found)
    found += request.faults(inputs)
    tensors = json_tensors(request.inputs, found)
    return request, inputs.check(tensors, found, unread=unread or len(tensors) < len(request.inputs))


def json_tensors(inputs: Iterable[InputTensor], faults: list[Fault]) -> list[Tensor]:
    """Give the tensors that came in JSON; what is wrong with the others goes to `faults`."""
    tensors = []
    for each in inputs:
        if each.datatype in ("FP16", "BF16"):
            what = f"{each.datatype} has no form in JSON."
            faults.append(Fault(each.name[:100], what, "Send it as binary data, or as FP32."))
        elif each.data is None:
            faults.append(Fault(each.name[:100], "it has no data."))
        else:
            tensors.append(Tensor(each.name, each.datatype, each.shape, _flat(each.data)))
    return tensors


def _flat(data: list[Any]) -> list[Any]:
    if data and type(data[0]) is list:
        return [each[0] if type(each) is list and len(each) == 1 else each for each in data]
    return data


class _Form(NamedTuple):
    """How requests in their usual form are decoded, and which types the tensors of which columns become."""

    decode: Callable[[bytes], Any]
    columns: list[str]
    kinds: list[type]
    names: Mapping[type, str]
    has_texts: bool


@lru_cache(256)
def _plain_form(inputs: Inputs) -> _Form:
    kinds = [_plain_tensor(name, datatype) for name, datatype in inputs.datatypes.items()]
    tensors = list[Union[tuple(kinds)]]  # type: ignore[misc,valid-type]  # noqa: UP007
    plain = msgspec.defstruct("PlainRequest", [("inputs", tensors)], bases=(Wishes,), kw_only=True)
    columns = [*inputs.datatypes]
    return _Form(
        decode=msgspec.json.Decoder(plain).decode,
        columns=columns,
        kinds=kinds,
        names=dict(zip(kinds, columns, strict=True)),
        has_texts="BYTES" in inputs.datatypes.values(),
    )


def _plain_tensor(name: str, datatype: str) -> type[msgspec.Struct]:
    """The tensor of a column in its usual form, recognised by its name."""
    values: Any = {"BOOL": bool, "BYTES": str}.get(datatype)
    if values is None:
        low, high = INTEGERS.get(datatype, (-LARGEST_FLOAT, LARGEST_FLOAT))
        values = Annotated[int if datatype in INTEGERS else float, msgspec.Meta(ge=low, le=high)]
    sent = ("FP32", "FP64") if datatype in ("FP32", "FP64") else (datatype,)
    fields = [("shape", list[int]), ("datatype", Literal[sent]), ("data", list[values | None])]
    return msgspec.defstruct("PlainTensor", fields, tag_field="name", tag=name)


_REQUEST = msgspec.json.Decoder(InferRequest)
_FIELDS = msgspec.structs.fields(InputTensor)


def read_request(body: bytes) -> tuple[InferRequest, list[Fault]]:
    """Read a request's form.

    Parameters
    ----------
    body : bytes

    Returns
    -------
    request : InferRequest
        With those parts that could be read.
    faults : list of Fault
        Why the others could not.

    Raises
    ------
    BadRequest
        It is no JSON object, so that nothing could be read.
    """
    try:
        return _REQUEST.decode(body), []
    except (msgspec.ValidationError, RecursionError):
        return _read_what_can_be_read(body)
    except ValueError as error:  # malformed JSON, or text that is not UTF-8
        raise BadRequest((Fault("body", f"it is not JSON: {error}."),)) from error


def _read_what_can_be_read(body: bytes) -> tuple[InferRequest, list[Fault]]:
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest((Fault("body", f"it cannot be read: {error}."),)) from error
    if not isinstance(content, dict):
        raise BadRequest((Fault("body", "it is not an object.", 'Send {"inputs": [...]}.'),))
    request, faults = InferRequest(inputs=[]), []
    for field in msgspec.structs.fields(Wishes):
        try:
            setattr(request, field.name, msgspec.convert(content.get(field.name), field.type))
        except msgspec.ValidationError as error:
            faults.append(Fault(field.name, f"{error}."))
    tensors = content.get("inputs")
    if not isinstance(tensors, list):
        faults.append(Fault("inputs", "there is no such list."))
        return request, faults
    for n, tensor in enumerate(tensors):
        if len(faults) > _FAULTS_TOLD:
            break
        where = f"inputs[{n}]"
        if not isinstance(tensor, dict):
            faults.append(Fault(where, "it is not an object."))
            continue
        read: dict[str, Any] = {}
        for field in _FIELDS:
            if field.name not in tensor:
                if field.required:
                    faults.append(Fault(f"{where}.{field.name}", "it is missing."))
                continue
            try:
                read[field.name] = msgspec.convert(tensor[field.name], field.type)
            except msgspec.ValidationError as error:
                faults.append(Fault(f"{where}.{field.name}", f"{error}."))
        if all(field.name in read for field in _FIELDS if field.required or field.name in tensor):
            request.inputs.append(InputTensor(**read))
        elif "data" not in tensor and "parameters" not in tensor:
            faults.append(Fault(f"{where}.data", "it is missing."))
    return request, faults


# --- what is answered ----------------------------------------------------------------------------------------------


def write(wishes: Wishes, product: str, prediction: Prediction) -> Reply:
    """Give the answer in JSON."""
    return Reply(_encode(reply_of(product, wishes, outputs(wishes, prediction), prediction)))


def outputs(wishes: Wishes, prediction: Prediction) -> list[OutputTensor]:
    """Give the outputs that are asked for, in that order."""
    shape = [len(prediction.ids)]
    tensors = [
        OutputTensor(prediction.answer, "FP64", shape, prediction.scores),
        OutputTensor("prediction_id", "BYTES", shape, prediction.ids),
        OutputTensor("model_version", "INT64", shape, prediction.versions),
    ]
    if not wishes.outputs:  # an empty list asks for nothing in particular
        return tensors
    by_name = {each.name: each for each in tensors}
    return [by_name[name] for name in dict.fromkeys(each.name for each in wishes.outputs)]


def reply_of(
    product: str, wishes: Wishes, tensors: Sequence[OutputTensor], prediction: Prediction
) -> InferReply:
    """Give the answer's form around its outputs."""
    version = prediction.version
    return InferReply(product, list(tensors), None if version is None else str(version), wishes.id)
