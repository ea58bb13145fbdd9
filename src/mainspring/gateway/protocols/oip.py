"""The Open Inference Protocol v2 over REST, in JSON: what a request says, and what is answered [1]_.

References
----------
.. [1] kserve/open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from __future__ import annotations

__all__ = [
    "OUTPUTS",
    "BadRequest",
    "InferReply",
    "InferRequest",
    "InputTensor",
    "OutputTensor",
    "read_request",
]

import re
from typing import Any

import msgspec

from mainspring.errors import Fault, Faults

OUTPUTS = {"probability": "FP64", "prediction_id": "BYTES", "model_version": "INT64"}
"""Names and datatypes of what can be answered, each with one value per row."""

_FAULTS_TOLD = 100
_ID = re.compile(r"[A-Za-z0-9_.:@=+-]{1,128}")


class BadRequest(Faults):
    """A request that cannot be answered as it is; every reason is told."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("The request", faults[:_FAULTS_TOLD])


class InputTensor(msgspec.Struct):
    """A column of the request: numbers, truth values or texts, flat or nested once, JSON null where one is missing."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str


class Wishes(msgspec.Struct, kw_only=True):
    """What a request says besides its rows; the rest is passed over, as the protocol wants it for parameters."""

    id: str | None = None
    outputs: list[Wanted] | None = None

    def faults(self) -> list[Fault]:
        """Say which wishes cannot be granted."""
        found = []
        if self.id is not None and not _ID.fullmatch(self.id):
            found.append(
                Fault(
                    "id", "it becomes part of the prediction ids: use 1 to 128 letters, digits and `_.:@=+-`."
                )
            )
        for wanted in self.outputs or ():
            if wanted.name not in OUTPUTS:
                there = f"There are {', '.join(OUTPUTS)}."
                found.append(Fault("outputs", f"there is no {wanted.name[:100]!r}.", there))
        return found


class InferRequest(Wishes, kw_only=True):
    """A request."""

    inputs: list[InputTensor]


class OutputTensor(msgspec.Struct):
    """A column of the answer."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferReply(msgspec.Struct, omit_defaults=True):
    """An answer; it names a version of the model when all rows have the same."""

    model_name: str
    outputs: list[OutputTensor]
    model_version: str | None = None
    id: str | None = None


_REQUEST = msgspec.json.Decoder(InferRequest)
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(InputTensor)}


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
        for name, kind in _FIELDS.items():
            if name not in tensor:
                faults.append(Fault(f"{where}.{name}", "it is missing."))
                continue
            try:
                read[name] = msgspec.convert(tensor[name], kind)
            except msgspec.ValidationError as error:
                faults.append(Fault(f"{where}.{name}", f"{error}."))
        if len(read) == len(_FIELDS):
            request.inputs.append(InputTensor(**read))
    return request, faults
