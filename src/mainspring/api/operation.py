"""One operation of the control plane, as the application answers it and the description tells it."""

from __future__ import annotations

__all__ = ["Operation"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
