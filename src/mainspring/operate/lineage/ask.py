"""Asking for lineage: a ref is read, and the graph around it walked within one moment of the database."""

from __future__ import annotations

__all__ = ["DEEPEST", "DEPTH", "Lineage", "impact", "lineage"]

from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid
from mainspring.lineage import Direction, Graph, Impact, Node, impact_of, walk
from mainspring.operate.lineage.named import node_named
from mainspring.operate.lineage.near import Neighbours

if TYPE_CHECKING:
    from mainspring.workspace import Workspace

DEPTH, DEEPEST = 20, 50
_WIDE, _MOST = 40, 400  # more is no tree that anybody reads
_ALL = 100_000  # nodes that an impact is counted over


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a thing came from (`up`), and what came from it (`down`); None of a direction that was not asked for."""

    node: Node
    up: Graph | None
    down: Graph | None


def lineage(
    workspace: Workspace, ref: str, direction: Direction | None = None, *, depth: int = DEPTH
) -> Lineage:
    """Give the lineage of what a ref names.

    Parameters
    ----------
    workspace : Workspace
    ref : str
        A data version, a model version or alias, a run, a logged model, or a prediction.
    direction : Direction, optional
        By default both.
    depth : int
        How many relations to follow; what lies beyond is counted.

    Raises
    ------
    UnknownRef
        Nothing has this ref.
    Invalid
        The depth is none.
    """
    if not 1 <= depth <= DEEPEST:
        raise Invalid(f"depth={depth} must be a whole number from 1 to {DEEPEST}.")
    with workspace.database.read() as tx:
        node, near = node_named(workspace, tx, ref), Neighbours(workspace, tx)
        up, down = (
            walk(node, each, near, depth=depth, wide=_WIDE, most=_MOST) if direction in (None, each) else None
            for each in (Direction.UP, Direction.DOWN)
        )
    return Lineage(node=node, up=up, down=down)


def impact(workspace: Workspace, ref: str) -> Impact:
    """Say which versions, endpoints and scores, and how many predictions stand on what a ref names.

    Raises
    ------
    UnknownRef
        Nothing has this ref.
    """
    with workspace.database.read() as tx:
        node = node_named(workspace, tx, ref)
        near = Neighbours(workspace, tx, all_at_once=True)
        return impact_of(walk(node, Direction.DOWN, near, depth=_ALL, wide=_ALL, most=_ALL))
