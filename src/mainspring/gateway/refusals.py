"""Which status an error has over HTTP; its text is the same at every door."""

from __future__ import annotations

__all__ = ["refusal"]

from http import HTTPStatus

from mainspring.errors import Invalid, NotFound, Refused
from mainspring.gateway.admission import Overloaded
from mainspring.gateway.follow import NotYetServed
from mainspring.gateway.http import ClientGone, Refusal
from mainspring.gateway.predict import LookupFailed, ModelFailed
from mainspring.stores.segments import LogUnwritable

_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (Invalid, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Refused, HTTPStatus.CONFLICT),
    (Overloaded, HTTPStatus.TOO_MANY_REQUESTS),
    (NotYetServed, HTTPStatus.SERVICE_UNAVAILABLE),
    (LookupFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (LogUnwritable, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelFailed, HTTPStatus.INTERNAL_SERVER_ERROR),
)
_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def refusal(error: Exception) -> Refusal:
    """Give the refusal that an error becomes; of a fault of our own, the caller is told no more than that."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ClientGone):  # or what it sent was no body: then it is there to read this
        return Refusal(
            HTTPStatus.BAD_REQUEST, "The body broke off: it is malformed, or was not sent to its end."
        )
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return Refusal(status, str(error), **({"retry_after": "1"} if status in _AGAIN else {}))
    why = "The gateway has a fault that this request has met; its log says which."
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, why)
