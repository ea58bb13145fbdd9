"""A graph as a tree, for people: each node stands in full once, and again by its name alone."""

from __future__ import annotations

__all__ = ["Branch", "tree"]

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from mainspring.lineage.graph import Graph, Node, Relation

_Way: TypeAlias = tuple[str, Relation, str]


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """A node in a tree.

    Attributes
    ----------
    node : Node
    relation : Relation or None
        To the node before; None of the first.
    again : bool
        Whether it stands in full elsewhere in the tree.
    branches : tuple of Branch
        What it leads to. What a data version has grown into stands beside it.
    left_out : int
        How many more that was not followed.
    """

    node: Node
    relation: Relation | None = None
    again: bool = False
    branches: tuple[Branch, ...] = ()
    left_out: int = 0


def tree(graph: Graph) -> Branch:
    """Give a graph as a tree from its start; its height is at most the depth to which the graph was walked."""
    nodes = {each.key: each for each in graph.nodes}
    left_out = {each.key: each.count for each in graph.left_out}
    onward: dict[str, list[_Way]] = {key: [] for key in nodes}
    first: dict[str, _Way] = {}
    for way in graph.ways():
        onward[way[0]].append(way)
        if way[2] != graph.start:
            first.setdefault(way[2], way)  # the walk came there on it, and no way is shorter

    def below(ways: Iterable[_Way]) -> Iterator[Branch]:
        waiting = deque(ways)
        while waiting:
            way = waiting.popleft()
            _, relation, there = way
            if first.get(there) != way:
                yield Branch(
                    node=nodes[there], relation=relation, again=bool(onward[there]) or there in left_out
                )
                continue
            yield Branch(
                node=nodes[there],
                relation=relation,
                branches=tuple(below(each for each in onward[there] if each[1] is not Relation.GREW)),
                left_out=left_out.get(there, 0),
            )
            waiting.extendleft(reversed([each for each in onward[there] if each[1] is Relation.GREW]))

    return Branch(
        node=nodes[graph.start],
        branches=tuple(below(onward[graph.start])),
        left_out=left_out.get(graph.start, 0),
    )
