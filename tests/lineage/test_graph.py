"""The graph of lineage: any graph is walked to an end, and what is left out is counted."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from mainspring.lineage import Branch, Direction, Graph, Kind, Near, Node, Relation, impact_of, tree, walk

Ways = dict[int, list[int]]

some_ways = st.dictionaries(
    st.integers(0, 12), st.lists(st.integers(0, 12), max_size=6, unique=True), max_size=12
)
directions = st.sampled_from(Direction)


def node(number: int) -> Node:
    return Node(kind=Kind.RUN, ref=str(number))


def walked(
    ways: Ways,
    direction: Direction = Direction.DOWN,
    *,
    relation: Relation = Relation.READ,
    depth: int = 50,
    wide: int = 50,
    most: int = 50,
) -> Graph:
    def ask(at: Node, asked: Direction, limit: int) -> Near:
        assert asked is direction
        there = ways.get(int(at.ref), [])
        taken = max(0, limit)
        return Near(tuple((relation, node(each)) for each in there[:taken]), max(0, len(there) - taken))

    return walk(node(0), direction, ask, depth=depth, wide=wide, most=most)


def reached(ways: Ways) -> set[int]:
    found, waiting = {0}, [0]
    while waiting:
        new = set(ways.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def all_of(branch: Branch) -> Iterator[Branch]:
    yield branch
    for each in branch.branches:
        yield from all_of(each)


def height(branch: Branch) -> int:
    return 1 + max(map(height, branch.branches)) if branch.branches else 0


@given(some_ways, directions)
def test_a_walk_finds_all_that_can_be_reached_once_and_every_edge_of_it(
    ways: Ways, direction: Direction
) -> None:
    graph = walked(ways, direction)
    assert sorted(int(each.ref) for each in graph.nodes) == sorted(reached(ways))
    edges = {(int(here.partition(":")[2]), int(there.partition(":")[2])) for here, _, there in graph.ways()}
    assert edges == {(here, there) for here in reached(ways) for there in ways.get(here, ())}
    assert graph.whole


@given(some_ways, st.integers(0, 3), st.integers(0, 4), st.integers(1, 8))
def test_what_a_bounded_walk_leaves_out_is_counted_to_the_last_edge(
    ways: Ways, depth: int, wide: int, most: int
) -> None:
    graph = walked(ways, depth=depth, wide=wide, most=most)
    assert len(graph.nodes) <= most
    shown = {int(each.ref) for each in graph.nodes}
    edges = sum(len(ways.get(each, ())) for each in shown)
    assert len(graph.edges) + sum(each.count for each in graph.left_out) == edges
    assert graph.whole == (len(graph.edges) == edges)
    assert impact_of(graph).left_out == edges - len(graph.edges)


@given(some_ways, directions, st.integers(0, 4))
def test_a_tree_shows_every_node_in_full_once_and_is_no_deeper_than_the_walk(
    ways: Ways, direction: Direction, depth: int
) -> None:
    graph = walked(ways, direction, depth=depth)
    shown = list(all_of(tree(graph)))
    assert len(shown) == len(graph.edges) + 1
    full = {each.node.key for each in shown if each.branches or each.left_out}
    assert len(full) == sum(bool(each.branches or each.left_out) for each in shown)
    assert {each.node.key for each in shown} == {each.key for each in graph.nodes}
    assert height(tree(graph)) <= depth
    assert sum(each.left_out for each in shown) == sum(each.count for each in graph.left_out)


def test_a_ring_and_a_thing_that_came_from_itself_have_an_end() -> None:
    graph = walked({0: [0, 1], 1: [2], 2: [0]})
    assert len(graph.nodes) == 3
    assert [each.again for each in tree(graph).branches] == [True, False]


def test_what_a_dataset_has_grown_into_is_no_deeper_and_stands_beside_it() -> None:
    graph = walked({each: [each + 1] for each in range(2_000)}, relation=Relation.GREW, depth=1, most=3_000)
    assert len(graph.nodes) == 2_001
    assert graph.whole
    assert len(tree(graph).branches) == 2_000


def test_an_impact_tells_what_stands_on_the_thing_from_what_stands_on_its_later_versions() -> None:
    data = [Node(kind=Kind.DATA, ref=f"orders@v{each}") for each in (1, 2)]
    models = [Node(kind=Kind.VERSION, ref=f"tiny@{each}") for each in (1, 2)]
    asked = [
        Node(kind=Kind.PREDICTIONS, ref=each.ref, rows=rows)
        for each, rows in zip(models, (3, 40), strict=True)
    ]
    ways = {
        data[0].key: ((Relation.READ, models[0]), (Relation.GREW, data[1])),
        data[1].key: ((Relation.READ, models[1]),),
        models[0].key: ((Relation.ANSWERED, asked[0]),),
        models[1].key: ((Relation.ANSWERED, asked[1]),),
    }
    found = impact_of(
        walk(
            data[0], Direction.DOWN, lambda at, _, limit: Near(ways.get(at.key, ())), depth=9, wide=9, most=9
        )
    )
    assert [(each.ref, each.itself, each.rows) for each in found.versions] == [
        ("tiny@1", True, 3),
        ("tiny@2", False, 40),
    ]
    assert found.predictions == 43
    assert found.left_out == 0
