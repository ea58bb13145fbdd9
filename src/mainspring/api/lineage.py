"""The operations on lineage: what something came from, what came from it, what stands on it, and what held when."""

from __future__ import annotations

__all__ = ["LINEAGE"]

import re
from typing import TYPE_CHECKING

from mainspring.api.operation import Operation
from mainspring.clock import parse_time
from mainspring.errors import Invalid
from mainspring.lineage import Direction, Impact
from mainspring.operate.as_of import AsOf, as_of, history
from mainspring.operate.lineage import Lineage, impact, lineage
from mainspring.operate.lineage.ask import DEPTH

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace


def _ref(request: Request) -> str:
    ref = request.query_params.get("ref", "")
    if not ref:
        raise Invalid("Name what is asked about, as `?ref=orders@v3`.")
    return ref


def _lineage(workspace: Workspace, request: Request, content: bytes) -> Lineage:
    asked, depth = request.query_params.get("direction", ""), request.query_params.get("depth", str(DEPTH))
    if asked not in ("", *Direction):
        raise Invalid(f"direction={asked[:100]!r} must be up or down, or be left out for both.")
    if not re.fullmatch("[0-9]{1,9}", depth):
        raise Invalid(f"depth={depth[:100]!r} must be a whole number.")
    return lineage(workspace, _ref(request), Direction(asked) if asked else None, depth=int(depth))


def _impact(workspace: Workspace, request: Request, content: bytes) -> Impact:
    return impact(workspace, _ref(request))


def _as_of(workspace: Workspace, request: Request, content: bytes) -> AsOf:
    at = request.query_params.get("at")
    moment = parse_time(at) if at else workspace.clock.now()
    return as_of(workspace, str(request.path_params["model"]), moment)


LINEAGE: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/lineage",
        "What a data version, model version, run, logged model or prediction came from, and what came from it",
        _lineage,
        gives=Lineage,
        query=("ref", "direction", "depth"),
    ),
    Operation(
        "GET",
        "/v1/models/{model}/as-of",
        "Where aliases of a product or of a client's model pointed at a moment, and which share each version served",
        _as_of,
        gives=AsOf,
        query=("at",),
    ),
    Operation(
        "GET",
        "/v1/models/{model}/history",
        "All that ever held of it, oldest first",
        lambda w, r, c: history(w, str(r.path_params["model"])),
        gives=list[AsOf],
    ),
    Operation(
        "GET",
        "/v1/impact",
        "Which versions, endpoints and scores, and how many predictions stand on it",
        _impact,
        gives=Impact,
        query=("ref",),
    ),
)
