"""Which status an error has over gRPC: that of its status over HTTP, so that both doors agree."""

from __future__ import annotations

__all__ = ["Undone", "undone"]

from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from grpc import StatusCode

from mainspring.gateway.refusals import refusal

_CODES = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
}

_TEXT_LIMIT = 4000
"""Bytes of an error's text: clients take 8 KiB of metadata, and hang up on more."""

_SENT_AS_THEY_ARE = "".join(map(chr, range(32, 127))).replace("%", "")


class Undone(NamedTuple):
    """What a call that is not answered ends with, in the order in which a server's `abort` takes it."""

    code: StatusCode
    why: str
    metadata: tuple[tuple[str, str], ...]


def undone(error: Exception) -> Undone:
    """Give the end of a call that an error becomes."""
    refused = refusal(error)
    metadata = [
        ("grpc-retry-pushback-ms", f"{value.decode()}000")
        for name, value in refused.headers
        if name == b"retry-after"
    ]
    return Undone(_CODES.get(refused.status, StatusCode.INTERNAL), _shortened(refused.why), tuple(metadata))


def _shortened(text: str) -> str:
    """As many whole lines as fit; on the wire a byte that is not plain ASCII takes three."""
    lines, size = text.split("\n"), 0
    for n, line in enumerate(lines):
        size += len(quote(line, safe=_SENT_AS_THEY_ARE)) + len("%0A")
        if size > _TEXT_LIMIT:
            return "\n".join((*lines[:n], f"  - and {len(lines) - n} more"))
    return text
