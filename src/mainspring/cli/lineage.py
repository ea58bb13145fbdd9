"""`lineage` and `impact`: what something came from, what came from it, and what stands on it."""

from __future__ import annotations

__all__ = ["impact", "lineage"]

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, facts, harmless, print_json, table
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text
    from rich.tree import Tree

    from mainspring.lineage import Branch, Graph, Impact, Node
    from mainspring.operate.lineage import Lineage

lineage = App(
    name="lineage",
    help_epilogue="""\
Examples:
  mainspring lineage late-orders@champion
  mainspring lineage orders@v3 --down
  mainspring lineage run-5d3a91c07b2e --up --json""",
)
impact = App(
    name="impact",
    help_epilogue="""\
Examples:
  mainspring impact orders@v12
  mainspring impact late-orders@7 --json""",
)

_DIGEST = 12  # digits, at a terminal


@lineage.default
def show_lineage(
    ref: str, /, *, up: bool = False, down: bool = False, depth: int | None = None, options: Options = HERE
) -> None:
    """Show what something came from, and what came from it.

    Parameters
    ----------
    ref : str
        A data version or scores such as orders@v3, a model version such as late-orders@7 or late-orders@champion, or
        the id of a run, a logged model or a prediction.
    up : bool
        Only what it came from: code, data, features, runs.
    down : bool
        Only what came from it: versions, endpoints, scores, predictions.
    depth : int
        How many relations to follow; 20 unless said otherwise. What lies beyond is counted.
    """
    from mainspring.lineage import Direction
    from mainspring.operate.lineage import lineage as ask
    from mainspring.operate.lineage.ask import DEPTH

    if up and down:
        raise Invalid("--up and --down each show one direction alone: name one of them, or none for both.")
    direction = Direction.UP if up else Direction.DOWN if down else None
    with opened(options) as workspace:
        found = ask(workspace, ref, direction, depth=DEPTH if depth is None else depth)
    if options.json:
        print_json(found)
    else:
        display(*_told(found))


@impact.default
def show_impact(ref: str, /, *, options: Options = HERE) -> None:
    """Say which versions, endpoints and scores, and how many predictions stand on something.

    Parameters
    ----------
    ref : str
        As for lineage.
    """
    from mainspring.operate.lineage import impact as ask

    with opened(options) as workspace:
        found = ask(workspace, ref)
    if options.json:
        print_json(found)
    else:
        display(*_counted(found))


def _told(found: Lineage) -> Iterator[RenderableType]:
    yield _named(found.node)
    yield facts(found.node.facts)
    for title, none, graph in (
        ("Came from", "Nothing else is known of what it came from.", found.up),
        ("Came to be", "Nothing came from it.", found.down),
    ):
        if graph is not None:
            yield ""
            yield _tree(title, graph) if len(graph.nodes) > 1 or graph.left_out else none
            if not graph.whole:
                left = sum(each.count for each in graph.left_out)
                yield f"{left:,} relations were not followed; they are counted where they begin."


def _tree(title: str, graph: Graph) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    from mainspring.lineage import tree

    def grow(under: Tree, branch: Branch) -> None:
        for each in branch.branches:
            assert each.relation is not None  # only the first has none
            text = Text(f"{each.relation.word(graph.direction)} ", style="dim") + _named(each.node)
            grow(under.add(text + Text(" (told elsewhere)" if each.again else "", style="dim")), each)
        if branch.left_out:
            under.add(Text(f"… and {branch.left_out:,} more", style="yellow"))

    made = Tree(Text(title, style="bold"), guide_style="dim")
    grow(made, tree(graph))
    return made


def _named(node: Node) -> Text:
    from rich.text import Text

    told = [
        f"{name} {text[:_DIGEST] if name == 'digest' else text}"
        for name, text in node.facts.items()
        if name in ("name", "rows", "aliases", "serves", "trigger", "digest", "gone", "deleted")
    ]
    ref = node.ref[:_DIGEST] if node.kind in ("code", "environment") else node.ref
    return (
        Text(f"{node.kind.value} ")
        + Text(harmless(ref), style="bold")
        + Text(harmless(f"  {', '.join(told)}" if told else ""), style="dim")
    )


def _counted(found: Impact) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(f"{found.kind.value} ") + Text(harmless(found.ref), style="bold")
    least = "at least " if found.left_out else ""
    yield facts(
        {
            "model versions": f"{least}{len(found.versions):,}",
            "endpoints": ", ".join(f"{each.ref} ({each.facts['serves']})" for each in found.endpoints)
            or None,
            "predictions": f"{least}{found.predictions:,}",
            "scored rows": f"{least}{found.scored:,}" if found.scored else None,
            "runs": f"{least}{len(found.runs):,}",
            "logged models": f"{least}{len(found.logged_models):,}" if found.logged_models else None,
            "not followed": f"{found.left_out:,} relations" if found.left_out else None,
        }
    )
    rows = [("model version", each) for each in found.versions] + [("scores", each) for each in found.scores]
    if rows:
        yield table(
            ("What", "", ">Rows", "Aliases", "Stands on"),
            (
                (
                    each.ref,
                    kind,
                    each.rows,
                    each.facts.get("aliases"),
                    "it" if each.itself else "what it grew into",
                )
                for kind, each in rows
            ),
        )
