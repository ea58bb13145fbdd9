"""Lineage: what came from what, as a graph that is walked with an end, and what stands on a thing."""

from mainspring.lineage.graph import (
    Direction,
    Edge,
    Graph,
    Kind,
    LeftOut,
    Near,
    Node,
    Relation,
    walk,
)
from mainspring.lineage.impact import Impact, Standing, impact_of
from mainspring.lineage.tree import Branch, tree

__all__ = [
    "Branch",
    "Direction",
    "Edge",
    "Graph",
    "Impact",
    "Kind",
    "LeftOut",
    "Near",
    "Node",
    "Relation",
    "Standing",
    "impact_of",
    "tree",
    "walk",
]
