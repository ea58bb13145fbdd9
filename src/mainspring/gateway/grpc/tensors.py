"""From a `ModelInferRequest` to tensors and wishes, and from a prediction to a `ModelInferResponse`."""

from __future__ import annotations

__all__ = ["Question", "read_request", "write_reply"]

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mainspring.errors import Fault
from mainspring.gateway.grpc.messages import Message, message
from mainspring.gateway.grpc.plain import form_of, rows_of
from mainspring.gateway.inputs import Rows, Tensor
from mainspring.gateway.protocols.oip import Wanted, Wishes, outputs
from mainspring.gateway.protocols.raw import from_raw, to_raw

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Inputs
    from mainspring.gateway.predict import Prediction

_TYPED = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""In which field of `InferTensorContents` a datatype's values are."""

_FLOATS = {"FP32": np.float32, "FP64": np.float64}

_NOT_HERE = ("shared_memory_region", "classification")
"""Parameters that say where values are, or what they mean: to pass them over would give wrong answers."""

_Reply = message("inference.ModelInferResponse")


class Question(NamedTuple):
    """A request that has been read and checked; `raw` says whether its contents were."""

    wishes: Wishes
    rows: Rows
    raw: bool


def read_request(inputs: Inputs, asked: Message) -> Question:
    """Read and check a request.

    Parameters
    ----------
    inputs : Inputs
        Of the product.
    asked : ModelInferRequest
        Which may not be the same afterwards.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    if not asked.raw_input_contents:
        return _read_any(inputs, asked)
    # What is left is the form of the request, by which others like it are known.
    name, contents = asked.id, list(asked.raw_input_contents)
    asked.ClearField("id")
    asked.ClearField("raw_input_contents")
    if form := form_of(inputs, asked.SerializeToString()):
        wishes, rows = Wishes(id=name or None, outputs=form.outputs), rows_of(form, contents)
        if rows is not None and not (name and wishes.faults(inputs)):
            return Question(wishes, rows, raw=True)
    asked.id = name
    asked.raw_input_contents.extend(contents)
    return _read_any(inputs, asked)


def _read_any(inputs: Inputs, asked: Message) -> Question:
    """Read a request of any form, or tell everything that is wrong with it."""
    wanted = [Wanted(each.name) for each in asked.outputs]
    wishes = Wishes(id=asked.id or None, outputs=wanted or None)
    faults = wishes.faults(inputs)
    for each in asked.outputs:
        if each.parameters:
            _need_understood(each, faults)
    tensors = _raw(asked, faults) if asked.raw_input_contents else _typed(asked.inputs, faults)
    rows = inputs.check(tensors, faults, unread=len(tensors) < len(asked.inputs))
    return Question(wishes, rows, raw=bool(asked.raw_input_contents))


def _raw(asked: Message, faults: list[Fault]) -> list[Tensor]:
    contents: Sequence[bytes] = asked.raw_input_contents
    if len(contents) != len(asked.inputs):
        what = f"there are {len(contents)} of them for {len(asked.inputs)} tensors."
        mend = "Send the contents of all tensors raw, in the order of the tensors, or of none."
        faults.append(Fault("raw_input_contents", what, mend))
        return []
    tensors = []
    for tensor, content in zip(asked.inputs, contents, strict=True):
        if tensor.HasField("contents"):
            mend = "Send the contents of all tensors raw, or of none."
            faults.append(Fault(tensor.name[:100], "it has typed contents beside raw ones.", mend))
            continue
        if tensor.parameters:
            _need_understood(tensor, faults)
        read = from_raw(tensor.name, tensor.datatype, tensor.shape, content, faults)
        if read is not None:
            tensors.append(read)
    return tensors


def _typed(asked: Iterable[Message], faults: list[Fault]) -> list[Tensor]:
    tensors = []
    for tensor in asked:
        name, datatype, contents = tensor.name, tensor.datatype, tensor.contents
        if tensor.parameters and _need_understood(tensor, faults):
            continue
        field = _TYPED.get(datatype)
        if field is None:
            what = f"its datatype is {datatype[:20]!r}, which has no typed contents."
            faults.append(Fault(name[:100], what, "Send it in raw_input_contents."))
            continue
        filled = [each.name for each, _ in contents.ListFields()]
        if filled and filled != [field]:
            what = f"its values are in {', '.join(filled)}."
            faults.append(Fault(name[:100], what, f"Those of {datatype} belong in {field}."))
            continue
        values = getattr(contents, field)
        # An array says with NaN what is missing, a list with None, which no message can hold.
        made = np.array(values, _FLOATS[datatype]) if datatype in _FLOATS else list(values)
        tensors.append(Tensor(name, datatype, tensor.shape, made))
    return tensors


def _need_understood(tensor: Message, faults: list[Fault]) -> bool:
    """Add a fault for each parameter of a tensor that cannot be passed over; say whether there was one."""
    found = [each for each in _NOT_HERE if each in tensor.parameters]
    faults += [
        Fault(tensor.name[:100], f"its parameter {each} asks for what is not done here.", "Leave it out.")
        for each in found
    ]
    return bool(found)


def write_reply(asked: Question, product: str, prediction: Prediction) -> Message:
    """Answer in the form of the question: raw contents to raw ones, typed to typed.

    Parameters
    ----------
    asked : Question
    product : str
    prediction : Prediction

    Returns
    -------
    ModelInferResponse
        It names a version of the model when all rows have the same.
    """
    wishes, version, rows = asked.wishes, prediction.version, len(prediction.ids)
    tensors = outputs(wishes, prediction)
    reply = _Reply.FromString(_form(product, tuple([(each.name, each.datatype) for each in tensors]), rows))
    if version is not None:
        reply.model_version = str(version)
    if wishes.id:
        reply.id = wishes.id
    if asked.raw:
        reply.raw_output_contents.extend([to_raw(each.datatype, each.data or ()) for each in tensors])
        return reply
    for each, output in zip(tensors, reply.outputs, strict=True):
        values = each.data or ()
        if each.datatype == "BYTES":
            output.contents.bytes_contents.extend([text.encode() for text in values])
        else:
            getattr(output.contents, _TYPED[each.datatype]).extend(values)
    return reply


@lru_cache(256)
def _form(product: str, outputs: tuple[tuple[str, str], ...], rows: int) -> bytes:
    """What answers to questions of one form have in common."""
    reply = _Reply(model_name=product)
    for name, datatype in outputs:
        reply.outputs.add(name=name, datatype=datatype, shape=[rows])
    form: bytes = reply.SerializeToString()
    return form
