"""What stands on a thing: versions, endpoints, scores, and how many predictions."""

from __future__ import annotations

__all__ = ["Impact", "Standing", "impact_of"]

import msgspec

from mainspring.lineage.graph import Graph, Kind, Relation


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Something that stands on a thing.

    Attributes
    ----------
    ref : str
        What.
    itself : bool
        Whether it stands on the thing itself; otherwise on what the data version has grown into, which holds its rows
        too.
    rows : int
        Predictions that a model version has answered, or the rows of scores.
    facts : dict of str to str
        What else is known of it.
    """

    ref: str
    itself: bool
    rows: int = 0
    facts: dict[str, str] = {}


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on a thing.

    Attributes
    ----------
    ref, kind : str, Kind
        The thing.
    versions, endpoints, scores, runs, logged_models : tuple of Standing
        What stands on it.
    predictions : int
        That those versions have answered and that the log holds, in all.
    scored : int
        Rows of scores.
    left_out : int
        How many relations were not followed. Where there are some, all this is the least that stands on it.
    """

    ref: str
    kind: Kind
    versions: tuple[Standing, ...]
    endpoints: tuple[Standing, ...]
    scores: tuple[Standing, ...]
    runs: tuple[Standing, ...]
    logged_models: tuple[Standing, ...]
    predictions: int
    scored: int
    left_out: int


def impact_of(graph: Graph) -> Impact:
    """Sum up a graph that was walked downwards."""
    nodes = {each.key: each for each in graph.nodes}
    onward: dict[str, list[str]] = {}
    answered: dict[str, int] = {}
    for here, relation, there in graph.ways():
        if relation is not Relation.GREW:
            onward.setdefault(here, []).append(there)
        if nodes[there].kind is Kind.PREDICTIONS:
            answered[here] = nodes[there].rows
    itself, waiting = {graph.start}, [graph.start]
    while waiting:
        new = [each for each in onward.get(waiting.pop(), ()) if each not in itself]
        itself.update(new)
        waiting += new

    def standing(kind: Kind) -> tuple[Standing, ...]:
        return tuple(
            Standing(
                ref=each.ref,
                itself=each.key in itself,
                rows=answered.get(each.key, each.rows),
                facts=each.facts,
            )
            for each in graph.nodes
            if each.kind is kind and each.key != graph.start
        )

    scores = standing(Kind.SCORES)
    return Impact(
        ref=nodes[graph.start].ref,
        kind=nodes[graph.start].kind,
        versions=standing(Kind.VERSION),
        endpoints=standing(Kind.ENDPOINT),
        scores=scores,
        runs=standing(Kind.RUN),
        logged_models=standing(Kind.LOGGED_MODEL),
        predictions=sum(each.rows for each in graph.nodes if each.kind is Kind.PREDICTIONS),
        scored=sum(each.rows for each in scores),
        left_out=sum(each.count for each in graph.left_out),
    )
