"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

__all__ = ["Problem", "problem_of", "respond"]

from typing import Any

import msgspec
from starlette.responses import Response

from mainspring.engines import WorkerDied
from mainspring.errors import Conflict, Faults, Invalid, MainspringError, NotFound, Refused
from mainspring.operate.workers import TaskFailed, TaskUnavailable


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for people in `detail` and for programs in `type` and `faults`."""

    type: str
    title: str
    status: int
    detail: str
    faults: list[dict[str, str]] | None = None
    report: dict[str, Any] | None = None


_STATUS: tuple[tuple[type[MainspringError], int, str], ...] = (
    (NotFound, 404, "not found"),
    (Conflict, 409, "conflict"),
    (Refused, 422, "refused"),
    (Invalid, 400, "invalid"),
    (TaskUnavailable, 503, "unavailable"),
    (TaskFailed, 422, "refused"),
    (WorkerDied, 503, "unavailable"),
    (MainspringError, 503, "unavailable"),
)


def problem_of(error: MainspringError) -> Problem:
    """Describe an error: the caller's mistakes are 4xx, ours and our stores' are 503."""
    status, title = next((status, title) for kind, status, title in _STATUS if isinstance(error, kind))
    return Problem(
        type=f"urn:mainspring:{type(error).__name__}",
        title=title,
        status=status,
        detail=str(error),
        faults=[msgspec.to_builtins(fault) for fault in error.faults] if isinstance(error, Faults) else None,
    )


def respond(problem: Problem) -> Response:
    """Answer with a problem."""
    return Response(msgspec.json.encode(problem), problem.status, media_type="application/problem+json")
