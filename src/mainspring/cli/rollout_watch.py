"""`rollout watch`: a rollout while it goes on."""

from __future__ import annotations

__all__ = ["watch"]

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.rollout import arm_table
from mainspring.cli.show import display, facts, harmless, moment, print_json, table, toned
from mainspring.errors import Invalid, MainspringError

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from mainspring.operate.report import RolloutNow

watch = App(
    name="watch",
    help_epilogue="""\
Examples:
  mainspring rollout watch late-orders
  mainspring rollout watch late-orders --once
  mainspring rollout watch late-orders --url http://models.example:8500""",
)

_BAR = 24
_EVENTS = 6


class NoControlPlane(MainspringError):
    """An address at which no control plane answers."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why

    def __str__(self) -> str:
        return (
            f"No control plane answers at {self.url}: {self.why}. `mainspring up` prints where it runs one."
        )


@watch.default
def watch_product(
    product: str,
    /,
    *,
    url: Annotated[
        str, Parameter(help="Of a control plane elsewhere; without it, the workspace is read.")
    ] = "",
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, Parameter(negative="", help="Look once.")] = False,
    options: Options = HERE,
) -> None:
    """Watch a rollout until it ends: arms, the evidence against what is needed, the decision so far, events.

    Parameters
    ----------
    product : str
        Whose.
    """
    if not 0 < every < math.inf:
        raise Invalid(f"--every {every} is no pause: give seconds above 0.")
    with _source(product, url, options) as look:
        found = look()
        if options.json:
            print_json(found)
        elif once or found.row is None:
            display(_view(found))
        elif sys.stdout.isatty():
            _live(look, found, every)
        else:
            _follow(look, found, every)


def _live(look: Callable[[], RolloutNow], found: RolloutNow, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False)
    with Live(_view(found), console=console, auto_refresh=False) as live:
        while found.row is not None:
            time.sleep(every)
            found = look()
            live.update(_view(found), refresh=True)


def _follow(look: Callable[[], RolloutNow], found: RolloutNow, every: float) -> None:
    """Where nobody looks, a line for each change."""
    told = ""
    while True:
        line = f"{moment(found.now)} {found.summary.phase}: {found.row.reason if found.row else found.summary.reason}"
        if line.partition(" ")[2] != told.partition(" ")[2]:
            display(harmless(line))
            sys.stdout.flush()
        told = line
        if found.row is None:
            return
        time.sleep(every)
        found = look()


@contextmanager
def _source(product: str, url: str, options: Options) -> Iterator[Callable[[], RolloutNow]]:
    if not url:
        from mainspring.operate.report import rollout_now

        with opened(options) as workspace:
            yield lambda: rollout_now(workspace, product)
        return
    import httpx
    import msgspec

    from mainspring.client import Client
    from mainspring.operate.report import RolloutNow
    from mainspring.ref import check_name

    def ask() -> RolloutNow:
        try:
            return msgspec.convert(client.get(f"/v1/products/{check_name(product)}/rollout"), RolloutNow)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoControlPlane(url, str(error) or type(error).__name__) from error

    with Client(url, url) as client:
        yield ask


def _view(found: RolloutNow) -> Group:
    from rich.console import Group

    summary, row = found.summary, found.row
    parts: list[Any] = [
        facts(
            {
                "rollout": f"{', '.join(summary.challengers)} against {summary.champion} ({summary.strategy})",
                "phase": toned(summary.phase),
                "started": summary.started_at,
                "ended": summary.ended_at,
                "share": _shares(row.share, row.steps) if row else None,
                "so far": f"{row.decision.replace('_', ' ')}: {row.reason}" if row else None,
                "because": None if row else summary.reason,
            }
        )
    ]
    if row is not None:
        parts.append(arm_table(row))
        if row.evidence:
            parts.append(
                table(
                    ("Guard", "Finding", "Evidence, of what is needed", ">", "Seen"),
                    (
                        (
                            each["subject"],
                            toned(each["finding"]),
                            _bar(each["e_value"], each["needed"], each["finding"]),
                            f"{each['e_value']:.3g} / {each['needed']:.3g}",
                            each["reason"],
                        )
                        for each in row.evidence
                    ),
                )
            )
    if found.events:
        parts.append(
            table(
                ("When", "What", "By", "Why"),
                (
                    (event.at[:16].replace("T", " "), event.type, event.actor, event.reason)
                    for event in found.events[-_EVENTS:]
                ),
            )
        )
    return Group(*parts)


def _shares(share: float, steps: list[float]) -> str:
    return f"{share:.0%} of the units (steps: {', '.join(f'{step:.0%}' for step in steps)})"


def _bar(e_value: float, needed: float, finding: str) -> Text:
    """How far the evidence has come, on the scale on which it adds up: its logarithm.

    Examples
    --------
    >>> _bar(20.0, 400.0, "no_harm_shown").plain.count("█")
    12
    >>> _bar(0.2, 20.0, "no_harm_shown").plain.count("█")
    0
    """
    from rich.text import Text

    part = math.log(max(e_value, 1.0)) / math.log(needed)
    filled = min(_BAR, int(_BAR * part + 1e-9))
    style = {"harm": "red", "shown": "green"}.get(finding, "yellow" if part > 0.5 else "")
    return Text("█" * filled, style=style) + Text("░" * (_BAR - filled), style="dim")
