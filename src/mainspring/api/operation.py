"""One operation of the control plane, as the application answers it and the description tells it."""

from __future__ import annotations

__all__ = ["Operation", "actor_of", "body_of", "product_of"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Invalid

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: how it is reached, what it takes and gives, and the call that answers it."""

    method: str
    path: str
    summary: str
    call: Callable[[Workspace, Request, bytes], Any]
    takes: type | None = None
    gives: Any = None
    status: int = 200
    query: tuple[str, ...] = ()


def actor_of(request: Request) -> str:
    """Whose name stands in the ledger."""
    return request.headers.get("mainspring-actor") or "api"


def body_of(content: bytes, kind: type) -> Any:
    """Read a body as it is described; raises `Invalid`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"The request's body is not as described: {error}. See /v1/openapi.json.") from None


def product_of(request: Request) -> str:
    """The product that the path names."""
    return str(request.path_params["product"])
