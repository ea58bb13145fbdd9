"""`why-not`: why the loop starts no cycle, trigger by trigger."""

from __future__ import annotations

__all__ = ["why_not"]

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, moment, print_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mainspring.operate.why_not import TriggerRow, WhyNot

why_not = App(
    name="why-not",
    help_epilogue="Examples:\n  mainspring why-not late-orders\n"
    "  mainspring why-not late-orders --at 2013-03-01T03:00:00Z --json",
)


@why_not.default
def tell(product: str | None = None, /, *, at: str | None = None, options: Options = HERE) -> None:
    """Say of every trigger why it starts a cycle or not: what it needs, what is there, what holds it back.

    Parameters
    ----------
    product : str
        Whose triggers; needed only where there are several products.
    at : str
        A past moment; by default now. It is told by the triggers as they are declared today.
    """
    from mainspring.clock import parse_time
    from mainspring.operate.status import only_product
    from mainspring.operate.why_not import why_not as ask

    with opened(options) as workspace:
        found = ask(workspace, product or only_product(workspace), parse_time(at) if at else None)
    if options.json:
        print_json(found)
    else:
        display(*_told(found))


def _told(found: WhyNot) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(found.product, style="bold") + Text(f"  {moment(found.at)} UTC", style="dim")
    yield "A cycle starts with the loop's next turn." if found.starts else "No cycle starts."
    yield table(("Trigger", "", "Needs", "Has", "Held back"), _rows(found.triggers, depth=0))


def _rows(triggers: Sequence[TriggerRow], depth: int) -> Iterator[tuple[str, ...]]:
    for each in triggers:
        state = "ready" if each.ready else "held" if each.causes else "no cause"
        # Its parts follow a combination, and tell what they are themselves.
        name = each.trigger.partition("(")[0] if each.parts else each.trigger
        yield ("· " * depth + name, state, each.needs, each.has, "; ".join(held.why for held in each.held))
        yield from _rows(each.parts, depth + 1)
