"""What came from what: nodes, edges, and the walk over them, which ends however they lie."""

from __future__ import annotations

__all__ = ["Direction", "Edge", "Graph", "Kind", "LeftOut", "Near", "Node", "Relation", "walk"]

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeAlias

import msgspec


class Kind(StrEnum):
    """What a node stands for."""

    DATA = "data version"
    DATASET = "dataset of a client"
    FEATURES = "features"
    CODE = "code"
    ENVIRONMENT = "environment"
    CYCLE = "cycle"
    RUN = "run"
    LOGGED_MODEL = "logged model"
    VERSION = "model version"
    SOURCE = "files elsewhere"
    ENDPOINT = "endpoint"
    PREDICTIONS = "predictions"
    PREDICTION = "prediction"
    SCORES = "scores"


class Direction(StrEnum):
    """Where to: `UP` to what something came from, `DOWN` to what came from it."""

    UP = "up"
    DOWN = "down"


class Relation(StrEnum):
    """How what is below came from what is above."""

    READ = "read"
    GREW = "grew"
    COMPUTED = "computed"
    CODED = "coded"
    BUILT = "built"
    STARTED = "started"
    MADE = "made"
    REGISTERED = "registered"
    OFFERED = "offered"
    WITHIN = "within"
    ANSWERED = "answered"
    SERVES = "serves"

    def word(self, direction: Direction) -> str:
        """Say of a node that is met on the way what it is to the one before."""
        return _WORDS[self][direction is Direction.DOWN]


_WORDS = {
    Relation.READ: ("read", "read by"),
    Relation.GREW: ("grew from", "grew into"),
    Relation.COMPUTED: ("computed from", "gave"),
    Relation.CODED: ("ran", "ran in"),
    Relation.BUILT: ("ran in", "held"),
    Relation.STARTED: ("started by", "started"),
    Relation.MADE: ("made by", "made"),
    Relation.REGISTERED: ("registered from", "registered as"),
    Relation.OFFERED: ("packaged", "offered to"),
    Relation.WITHIN: ("within", "holds"),
    Relation.ANSWERED: ("answered by", "answered"),
    Relation.SERVES: ("served by", "serves"),
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that came from others, or that others came from.

    Attributes
    ----------
    kind, ref : Kind, str
        Together they name it.
    facts : dict of str to str
        What else is known of it, in words.
    rows : int
        Of predictions and scores, how many.
    """

    kind: Kind
    ref: str
    facts: dict[str, str] = {}
    rows: int = 0

    @property
    def key(self) -> str:
        """Names it in a graph."""
        return f"{self.kind.name.lower()}:{self.ref}"


class Edge(msgspec.Struct, frozen=True):
    """That one node came from another: `below` from `above`, both by their keys."""

    above: str
    below: str
    relation: Relation


class Near(msgspec.Struct, frozen=True):
    """The next nodes in one direction, and how many more there are."""

    found: tuple[tuple[Relation, Node], ...] = ()
    more: int = 0


class LeftOut(msgspec.Struct, frozen=True):
    """How many of the next nodes of one were not followed: it is too far away, or there were too many."""

    key: str
    count: int


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """What was found from a node in one direction.

    Attributes
    ----------
    start : str
        Key of the node.
    direction : Direction
        Where to.
    nodes : tuple of Node
        Each once, the nearest first.
    edges : tuple of Edge
        Those by which they were found, and any others between them.
    left_out : tuple of LeftOut
        What was not followed; empty where the graph is whole.
    """

    start: str
    direction: Direction
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.left_out

    def ways(self) -> Iterator[tuple[str, Relation, str]]:
        """Give the edges in the graph's direction, as they were found: from, how, and to."""
        for edge in self.edges:
            if self.direction is Direction.DOWN:
                yield edge.above, edge.relation, edge.below
            else:
                yield edge.below, edge.relation, edge.above


Ask: TypeAlias = Callable[[Node, Direction, int], Near]
"""Gives the next nodes of one in a direction, as many as a number says at most."""


def walk(start: Node, direction: Direction, ask: Ask, *, depth: int, wide: int, most: int) -> Graph:
    """Follow a node in one direction, the nearest first; nodes that lead back to one another are met once.

    Parameters
    ----------
    start : Node
        Where to begin.
    direction : Direction
        Where to.
    ask : callable
        Gives the next nodes of one.
    depth : int
        How many relations to follow. The growth of a dataset counts as none, as its versions are one behind another.
    wide : int
        How many next nodes of one to follow.
    most : int
        How many nodes to find in all.

    Returns
    -------
    Graph
        With what was left out, by node.
    """
    nodes, edges, left_out = {start.key: start}, dict[Edge, None](), list[LeftOut]()
    waiting = deque([(start, 0)])
    while waiting:
        node, far = waiting.popleft()
        near = ask(node, direction, min(wide, most - len(nodes)) if far < depth else 0)
        if near.more:
            left_out.append(LeftOut(node.key, near.more))
        for relation, found in near.found:
            ends = (node.key, found.key) if direction is Direction.DOWN else (found.key, node.key)
            edges[Edge(*ends, relation)] = None
            if found.key not in nodes:
                nodes[found.key] = found
                waiting.append((found, far + (relation is not Relation.GREW)))
    return Graph(
        start=start.key,
        direction=direction,
        nodes=tuple(nodes.values()),
        edges=tuple(edges),
        left_out=tuple(left_out),
    )
