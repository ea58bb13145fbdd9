"""What an answer over HTTP is made of, and how a request's body is read."""

from __future__ import annotations

__all__ = [
    "BODY_LIMIT",
    "ClientGone",
    "Headers",
    "Message",
    "Receive",
    "Refusal",
    "Reply",
    "Send",
    "body",
    "need_method",
]

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = Mapping[bytes, bytes]

BODY_LIMIT = 16 * 2**20

_encode = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client hung up before it had sent all; there is nobody to answer."""


class Reply(msgspec.Struct, frozen=True):
    """An answer."""

    content: bytes
    status: int = 200
    kind: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, content: object, status: int = 200) -> Reply:
        """Give the answer that has this content as JSON."""
        return cls(_encode(content), status)


class Refusal(Exception):
    """An answer other than 200, with the text for the person who asked."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(status, why)
        named = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
        self.reply = Reply(_encode({"error": why}), status, headers=named)


def need_method(scope: Message, method: str) -> None:
    """Refuse a request of another method."""
    if scope["method"] != method:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"Ask {scope['path']} with {method}.", allow=method)


async def body(headers: Headers, receive: Receive) -> bytes:
    """Read the body to its end.

    Raises
    ------
    Refusal
        It is too large.
    ClientGone
        It has not come to its end.
    """
    announced = int(headers.get(b"content-length", -1))
    parts: list[bytes] = []
    size = 0
    # Not until the server says that there is no more: to ask it once again costs as much as all the rest.
    while size != announced:
        if max(size, announced) > BODY_LIMIT:
            why = f"The body is larger than {BODY_LIMIT // 2**20} MiB: send fewer rows at a time."
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message["body"])
        size += len(parts[-1])
        if not message.get("more_body"):
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)
