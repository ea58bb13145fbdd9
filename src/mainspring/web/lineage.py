"""The page of a thing's lineage: what it is, what it came from, what came from it, and what stands on it."""

from __future__ import annotations

__all__ = ["shown_of"]

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mainspring.lineage import Kind, Node, tree
from mainspring.operate.lineage import impact, lineage

if TYPE_CHECKING:
    from starlette.requests import Request

    from mainspring.workspace import Workspace

_REFS = (
    Kind.DATA,
    Kind.SCORES,
    Kind.VERSION,
    Kind.PREDICTIONS,
    Kind.PREDICTION,
    Kind.RUN,
    Kind.LOGGED_MODEL,
)


def shown_of(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    """Give the page of the ref that is asked for."""
    ref = request.query_params.get("ref", "")
    found = lineage(workspace, ref)
    assert found.up is not None  # both were asked for
    assert found.down is not None
    return "lineage.html", {
        "node": found.node,
        "own": _own_page(found.node),
        "directions": [(graph, tree(graph)) for graph in (found.up, found.down)],
        "impact": impact(workspace, ref),
        "link": _link,
    }


def _own_page(node: Node) -> str | None:
    """The page that tells most of a thing, where there is one besides its lineage."""
    match node.kind:
        case Kind.RUN if "experiment" in node.facts:
            return f"/experiments/{node.facts['experiment']}/runs/{quote(node.ref, safe='')}"
        case Kind.VERSION if "of" not in node.facts:
            product, _, number = node.ref.rpartition("@")
            return f"/models/{quote(product, safe='')}/versions/{number}"
        case Kind.CYCLE:
            product, _, number = node.ref.partition("/")
            return f"/products/{quote(product)}/cycles/{number}"
        case Kind.ENDPOINT:
            return f"/products/{quote(node.ref)}"
    return None


def _link(node: Node) -> str | None:
    return f"/lineage?ref={quote(node.ref, safe='')}" if node.kind in _REFS else _own_page(node)
