"""The protocols of predictions over HTTP: each module reads one form of a request, and writes its answer."""

from __future__ import annotations

__all__ = ["Asked", "read"]

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mainspring.gateway.http import accepts, media_type
from mainspring.gateway.protocols import arrow, binary, oip, records
from mainspring.gateway.protocols.asked import Asked

if TYPE_CHECKING:
    from mainspring.gateway.http import Headers
    from mainspring.gateway.inputs import Inputs


def read(inputs: Inputs, headers: Headers, content: bytes) -> Asked:
    """Read a request for predictions of one product, in any form of the Open Inference Protocol or of ours.

    What it is follows from the headers and the content alone; many clients send no content type, or a wrong one.

    Parameters
    ----------
    inputs : Inputs
        What it must hold.
    headers, content : Headers, bytes
        As they came.

    Raises
    ------
    BadRequest
        With everything that is wrong.
    """
    if media_type(headers) == arrow.MEDIA_TYPE:
        asked = arrow.read(inputs, content)
        if accepts(headers, b"accept", b"application/json") and not arrow.is_wanted(headers):
            return msgspec.structs.replace(asked, write=partial(oip.write, oip.Wishes()))
        return asked
    if (size := headers.get(binary.HEADER)) is not None:
        asked = binary.read(inputs, size, content)
    elif plain := oip.read_plain(inputs, content):
        asked = binary.asked(*plain)
    else:
        asked = records.read(inputs, content) or binary.asked(*oip.read_any(inputs, content))
    return msgspec.structs.replace(asked, write=arrow.write) if arrow.is_wanted(headers) else asked
