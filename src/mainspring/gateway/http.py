"""What an answer over HTTP is made of, and how a request's body is read."""

from __future__ import annotations

__all__ = [
    "BODY_LIMIT",
    "WORTH_COMPRESSING",
    "ClientGone",
    "Headers",
    "Message",
    "Receive",
    "Refusal",
    "Reply",
    "Send",
    "accepts",
    "body",
    "compressed",
    "media_type",
    "need_method",
]

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = Mapping[bytes, bytes]

BODY_LIMIT = 16 * 2**20
WORTH_COMPRESSING = 8 * 2**10
"""Bytes; a smaller answer is sent sooner than it is compressed."""

_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}

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
        self.status, self.why = status, why
        self.headers = tuple(
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        )

    @property
    def reply(self) -> Reply:
        """The answer as the Open Inference Protocol wants it."""
        return Reply(_encode({"error": self.why}), self.status, headers=self.headers)


def media_type(headers: Headers) -> str:
    """Give the content type without its parameters, in small letters; empty when there is none."""
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()


def need_method(scope: Message, method: str) -> None:
    """Refuse a request of another method; HEAD is taken for GET."""
    if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
        allowed = "GET, HEAD" if method == "GET" else method
        raise Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED, f"Ask {scope['path'][:200]} with {method}.", allow=allowed
        )


def accepts(headers: Headers, field: bytes, *names: bytes) -> bool:
    """Say whether a field such as Accept names one of these without refusing it by `q=0`."""
    if field not in headers:
        return False
    for each in headers[field].lower().split(b","):
        name, *parameters = (part.strip() for part in each.split(b";"))
        if name in names:
            weight = next((part[2:] for part in parameters if part.startswith(b"q=")), b"1")
            return bool(weight.strip(b"0."))
    return False


async def body(headers: Headers, receive: Receive) -> bytes:
    """Read the body to its end, and decompress it.

    Raises
    ------
    Refusal
        It is too large, or compressed in a way that is not read here.
    ClientGone
        It has not come to its end.
    """
    content = await _body(headers, receive)
    if encoding := headers.get(b"content-encoding"):
        return _decompressed(content, encoding.strip().lower())
    return content


async def _body(headers: Headers, receive: Receive) -> bytes:
    announced = int(headers.get(b"content-length", -1))
    parts: list[bytes] = []
    size = 0
    # Not until the server says that there is no more: to ask it once again costs as much as all the rest.
    while size != announced:
        if max(size, announced) > BODY_LIMIT:
            raise _too_large("")
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message["body"])
        size += len(parts[-1])
        if not message.get("more_body"):
            break
    if size > BODY_LIMIT:
        raise _too_large("")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(when: str) -> Refusal:
    why = f"The body is larger than {BODY_LIMIT // 2**20} MiB{when}: send fewer rows at a time."
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)


def _decompressed(content: bytes, encoding: bytes) -> bytes:
    if encoding == b"identity":
        return content
    if encoding not in _WINDOWS:
        told = encoding.decode("latin-1")[:100]
        why = f"The content encoding {told!r} is not read here: send gzip, deflate, or the body as it is."
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why, accept_encoding="gzip, deflate")
    window = _WINDOWS[encoding]
    if encoding == b"deflate" and not _has_zlib_header(content):
        window = -15  # some clients send it bare
    whole, left = b"", content
    try:
        while left:  # gzip files may follow one another
            inflate = zlib.decompressobj(window)
            whole += inflate.decompress(left, BODY_LIMIT + 1 - len(whole))
            if len(whole) > BODY_LIMIT:
                raise _too_large(" when it is decompressed")
            if not inflate.eof:
                raise zlib.error("it ends too early")
            left = inflate.unused_data
    except zlib.error as error:
        why = f"The body is not {encoding.decode()}, as its content encoding says: {error}."
        raise Refusal(HTTPStatus.BAD_REQUEST, why) from error
    return whole


def _has_zlib_header(content: bytes) -> bool:
    return len(content) > 1 and content[0] & 15 == 8 and int.from_bytes(content[:2], "big") % 31 == 0


def compressed(reply: Reply, headers: Headers) -> Reply:
    """Compress an answer if the client takes it so."""
    if accepts(headers, b"accept-encoding", b"gzip", b"x-gzip"):
        encoding, window = b"gzip", 31
    elif accepts(headers, b"accept-encoding", b"deflate"):
        encoding, window = b"deflate", 15
    else:
        return reply
    deflate = zlib.compressobj(1, wbits=window)
    content = deflate.compress(reply.content) + deflate.flush()
    told = ((b"content-encoding", encoding), (b"vary", b"accept-encoding"))
    return msgspec.structs.replace(reply, content=content, headers=reply.headers + told)
