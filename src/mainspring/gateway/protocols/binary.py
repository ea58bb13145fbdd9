"""The binary tensor data extension of the Open Inference Protocol: JSON first, then the tensors' bytes [1]_.

Tensors in bytes and in JSON may stand in one message, both in what is asked and in what is answered.

References
----------
.. [1] kserve/open-inference-protocol, `specification/protocol/binary_data_extension.md`; Triton's
   `extension_binary_data.md` for raw requests.
"""

from __future__ import annotations

__all__ = ["HEADER", "asked", "read"]

from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mainspring.errors import Fault
from mainspring.gateway.http import Reply
from mainspring.gateway.inputs import BadRequest, Tensor
from mainspring.gateway.protocols import oip
from mainspring.gateway.protocols.asked import Asked
from mainspring.gateway.protocols.raw import from_raw, size_of, to_raw

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Inputs, Rows
    from mainspring.gateway.predict import Prediction
    from mainspring.gateway.protocols.oip import InferRequest, InputTensor, OutputTensor, Wishes

HEADER = b"inference-header-content-length"

_FLOATS = {"FP32": 4, "FP64": 8}

_encode = msgspec.json.Encoder().encode


def read(inputs: Inputs, size: bytes, content: bytes) -> Asked:
    """Read a request whose first `size` bytes are JSON; with a size of 0 it is the data of the only input.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    try:
        header = int(size)
    except ValueError:
        header = -1
    if not 0 <= header <= len(content):
        what = f"it is {size.decode('latin-1')[:50]!r}, and the body has {len(content)} bytes."
        raise BadRequest((Fault("Inference-Header-Content-Length", what),))
    if header == 0:
        return _read_raw(inputs, content)
    request, found = oip.read_request(content[:header])
    if not found and (rows := _read_floats(inputs, request, content, header)):
        return asked(request, rows)
    unread = bool(found)
    found += request.faults(inputs)
    binary = [each for each in request.inputs if _size(each) is not None]
    tensors = oip.json_tensors([each for each in request.inputs if _size(each) is None], found)
    if not unread:  # else nobody knows where each begins
        tensors += _read_binary(binary, memoryview(content)[header:], found)
    unread = unread or len(tensors) < len(request.inputs)
    return asked(request, inputs.check(tensors, found, unread=unread))


def _read_floats(inputs: Inputs, request: InferRequest, content: bytes, header: int) -> Rows | None:
    """Read tensors that are all floats of one size and shape, at once; None when they are not so."""
    tensors = request.inputs
    if not tensors or (size := _FLOATS.get(tensors[0].datatype)) is None or request.faults(inputs):
        return None
    first = tensors[0]
    shape, parameters = first.shape, first.parameters
    count = shape[0] if shape else 0
    if (
        shape not in ([count], [count, 1])
        or count < 1
        or len(content) != header + len(tensors) * count * size
    ):
        return None
    for each in tensors:
        if (
            each.datatype != first.datatype
            or each.shape != shape
            or each.parameters != parameters
            or each.data
        ):
            return None
    if parameters is None or parameters.binary_data_size != count * size:
        return None
    matrix = np.frombuffer(content, f"<f{size}", offset=header).reshape(len(tensors), count)
    return inputs.matrix([each.name for each in tensors], matrix)


def asked(wishes: Wishes, rows: Rows) -> Asked:
    """Give what is asked, with an answer in JSON and bytes as the wishes have it."""
    return Asked(rows, partial(_write, wishes), wishes.id, wishes.timeout_s)


def _read_binary(sent: list[InputTensor], blobs: memoryview, faults: list[Fault]) -> list[Tensor]:
    tensors: list[Tensor] = []
    start = 0
    for each in sent:
        size, where = _size(each), each.name[:100]
        assert size is not None
        if size < 0 or start + size > len(blobs):
            faults.append(
                Fault(where, f"its binary_data_size is {size}, and {len(blobs) - start} bytes are left.")
            )
            return tensors
        if each.data is not None:
            faults.append(Fault(where, "it has both data and a binary_data_size.", "Send one of them."))
        tensor = from_raw(each.name, each.datatype, each.shape, blobs[start : start + size], faults)
        tensors += [tensor] if tensor else []
        start += size
    if start < len(blobs):
        what = f"{len(blobs) - start} bytes follow the last tensor."
        faults.append(Fault("body", what, "Say in binary_data_size which tensor they are."))
    return tensors


def _read_raw(inputs: Inputs, content: bytes) -> Asked:
    if len(inputs.datatypes) != 1:
        what = f"it is 0, and the product has {len(inputs.datatypes)} inputs: {', '.join(inputs.datatypes)}."
        raise BadRequest((Fault("Inference-Header-Content-Length", what, "Send JSON that names each."),))
    [(name, datatype)] = inputs.datatypes.items()
    found: list[Fault] = []
    if datatype == "BYTES":
        tensor: Tensor | None = Tensor(name, datatype, [1], [content])
    else:
        tensor = from_raw(name, datatype, [len(content) // size_of(datatype)], content, found)
    rows = inputs.check([tensor] if tensor else [], found, unread=tensor is None)
    wishes = oip.Wishes(parameters=oip.Parameters(binary_data_output=True))
    return asked(wishes, rows)


def _write(wishes: Wishes, product: str, prediction: Prediction) -> Reply:
    """Give the answer, with those outputs in bytes that are wanted so."""
    if wishes.parameters is None and wishes.outputs is None:  # nearly always
        return oip.write(wishes, product, prediction)
    every = wishes.parameters is not None and wishes.parameters.binary_data_output
    said = {each.name: each.parameters and each.parameters.binary_data for each in wishes.outputs or ()}
    tensors: list[OutputTensor] = []
    blobs: list[bytes] = []
    for each in oip.outputs(wishes, prediction):
        wanted = said.get(each.name)
        if not (every if wanted is None else wanted):
            tensors.append(each)
            continue
        assert each.data is not None
        blobs.append(to_raw(each.datatype, each.data))
        size = oip.Parameters(binary_data_size=len(blobs[-1]))
        tensors.append(oip.OutputTensor(each.name, each.datatype, each.shape, parameters=size))
    header = _encode(oip.reply_of(product, wishes, tensors, prediction))
    if not blobs:
        return Reply(header)
    length = (HEADER, b"%d" % len(header))
    return Reply(b"".join([header, *blobs]), kind=b"application/octet-stream", headers=(length,))


def _size(tensor: InputTensor) -> int | None:
    return tensor.parameters.binary_data_size if tensor.parameters else None
