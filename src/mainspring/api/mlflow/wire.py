"""How MLflow's clients write requests, and how they read answers and refusals.

Messages are those of MLflow's protocol buffers in JSON: names in snake case or camel case, whole numbers also as texts,
what is unset left out, what is unknown passed over.
"""

from __future__ import annotations

__all__ = [
    "UNNAMED",
    "ErrorCode",
    "Failure",
    "Method",
    "Unsupported",
    "caller_of",
    "encode",
    "failure_of",
    "number_out",
    "parse",
]

import base64
import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.responses import Response

from mainspring.errors import Conflict, Invalid, MainspringError, NotFound, Refused, Taken

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.stores.sql.database import Transaction

T = TypeVar("T")

UNNAMED = "mlflow"
"""Who asks, where the client does not say."""


class ErrorCode(StrEnum):
    """What clients branch on."""

    INVALID_PARAMETER_VALUE = "INVALID_PARAMETER_VALUE"
    BAD_REQUEST = "BAD_REQUEST"
    RESOURCE_ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
    RESOURCE_CONFLICT = "RESOURCE_CONFLICT"
    RESOURCE_DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"
    ENDPOINT_NOT_FOUND = "ENDPOINT_NOT_FOUND"
    NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
    TEMPORARILY_UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"


class Unsupported(MainspringError):
    """What MLflow's servers may leave out, and this one does; clients go another way then."""


class Malformed(Invalid):
    """A body that is no message at all."""


# The first that fits counts. A bad request is never answered with 5xx, which clients would repeat for minutes.
_CODES: tuple[tuple[type[MainspringError], int, ErrorCode], ...] = (
    (NotFound, 404, ErrorCode.RESOURCE_DOES_NOT_EXIST),
    (Taken, 400, ErrorCode.RESOURCE_ALREADY_EXISTS),
    (Conflict, 409, ErrorCode.RESOURCE_CONFLICT),
    (Malformed, 400, ErrorCode.BAD_REQUEST),
    (Refused, 400, ErrorCode.INVALID_PARAMETER_VALUE),
    (Invalid, 400, ErrorCode.INVALID_PARAMETER_VALUE),
    (Unsupported, 501, ErrorCode.NOT_IMPLEMENTED),
    (MainspringError, 503, ErrorCode.TEMPORARILY_UNAVAILABLE),
)


class Failure(msgspec.Struct, frozen=True):
    """A refusal, as clients read it."""

    error_code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class Method:
    """One of MLflow's methods: where it is asked, what it takes, and the call that answers.

    Attributes
    ----------
    verb, path : str
        The path starts after `/api/2.0/mlflow`.
    takes : type
        The struct of its request.
    call : callable
        Given a transaction, the request and the moment in milliseconds, the answer; None is an empty one.
    writes : bool
        Whether it changes anything.
    """

    verb: str
    path: str
    takes: type[msgspec.Struct]
    call: Callable[[Transaction, Any, int], msgspec.Struct | None]
    writes: bool = True

    @property
    def gives(self) -> type[msgspec.Struct] | None:
        """The struct of its answer, which its call names; None for an empty one."""
        named: str = self.call.__annotations__["return"]
        found: type[msgspec.Struct] | None = None if named == "None" else self.call.__globals__[named]
        return found


def encode(answer: msgspec.Struct | None) -> Response:
    """Answer with a message."""
    content = b"{}" if answer is None else msgspec.json.encode(answer)
    return Response(content, media_type="application/json")


def failure_of(error: MainspringError) -> Response:
    """Answer with a refusal."""
    status, code = next((status, code) for kind, status, code in _CODES if isinstance(error, kind))
    return failed(status, code, str(error))


def failed(status: int, code: ErrorCode, message: str) -> Response:
    """Answer with a refusal of this status."""
    return Response(msgspec.json.encode(Failure(code, message)), status, media_type="application/json")


def number_out(value: float) -> float | str:
    """Write a number as protocol buffers do: NaN, which JSON has not, as a text."""
    return "NaN" if math.isnan(value) else value


def parse(request: Request, content: bytes, takes: type[T]) -> T:
    """Read a request from its query or its body, and from its path.

    Raises
    ------
    Invalid
        It is no JSON object, lacks what it must have, or holds what cannot be read.
    """
    if plain := _plain(request, content, takes):
        return plain
    given = _from_query(request, takes) if request.method == "GET" else _from_body(request, content)
    fields = _normal(given)
    assert isinstance(fields, dict)
    if "run_uuid" in fields:
        fields.setdefault("run_id", fields["run_uuid"])
    try:
        return msgspec.convert(fields | request.path_params, takes, strict=False)
    except msgspec.ValidationError as error:
        told = _LACKS.sub(r"Missing value for required parameter '\1'", str(error))
        raise Invalid(f"{told}. See the API's documentation for what this request takes.") from None


def caller_of(request: Request) -> str:
    """Say who asks: the user's name that the client sends, which is believed as it stands."""
    named = request.headers.get("mainspring-actor", "")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not named and scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            named = base64.b64decode(given).decode().partition(":")[0]
    return named[:200].strip() or UNNAMED


_LACKS = re.compile(r"^Object missing required field `(\w+)`")
_CAMEL = re.compile(rb'"\w*[A-Z]\w*"\s*:')


def _plain(request: Request, content: bytes, takes: type[T]) -> T | None:
    """Read a body in the form in which clients write it, which takes a tenth of the time; None for any other."""
    if request.method == "GET" or request.path_params or _kind(request) != _JSON or _CAMEL.search(content):
        return None
    try:
        return msgspec.json.decode(content, type=takes, strict=False)
    except (msgspec.DecodeError, RecursionError):
        return None


def _from_query(request: Request, takes: type[Any]) -> dict[str, Any]:
    lists = {field.name for field in msgspec.structs.fields(takes) if "tuple" in str(field.type)}
    query = request.query_params
    return {key: query.getlist(key) if _snake(key) in lists else query[key] for key in query}


_JSON = "application/json"


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _from_body(request: Request, content: bytes) -> dict[str, Any]:
    if request.method == "DELETE" and not content:
        return {}
    if _kind(request) != _JSON:
        # Also what keeps the pages of other sites from asking in a browser's name.
        raise Invalid(f"Bad Request. Content-Type must be {_JSON}, and not {_kind(request)[:100]!r}.")
    try:
        given = msgspec.json.decode(content or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"The body is no JSON: {str(error)[:200]}.") from None
    if not isinstance(given, dict):
        raise Malformed("The body must be a JSON object.")
    return given


def _normal(given: object, depth: int = 0) -> object:
    """Give an object with names in snake case, and without what is null."""
    if depth > _DEEPEST:
        raise Malformed("The body is nested deeper than any request is.")
    if isinstance(given, list):
        return [_normal(each, depth + 1) for each in given]
    if not isinstance(given, dict):
        return given
    fields: dict[str, object] = {}
    for key, value in given.items():
        if value is None:
            continue
        name = _snake(key)
        if name in fields:
            raise Malformed(f"The body gives {name!r} twice, in two spellings.")
        fields[name] = _normal(value, depth + 1)
    return fields


_DEEPEST = 20


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name)
