"""`runs watch`: a run while it goes on."""

from __future__ import annotations

__all__ = ["watch"]

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import facts, figures, harmless, table, toned
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from rich.console import Group

    from mainspring.operate.find_runs import ShownRun

watch = App(
    name="watch",
    help_epilogue="Examples:\n  mainspring runs watch 3f2a91\n  mainspring runs watch 3f2a91 --every 10",
)


@watch.default
def watch_run(
    run: str,
    /,
    *,
    every: Annotated[float, Parameter(help="Seconds between two looks.")] = 2.0,
    options: Options = HERE,
) -> None:
    """Watch a run until it ends: its metrics, and how they go.

    Where nobody looks, as in a pipe, there is a line for each change.

    Parameters
    ----------
    run : str
        Its id, or the first characters of it.
    """
    if not 0 < every < math.inf:
        raise Invalid(f"--every {every} is no pause: give seconds above 0.")
    from mainspring.operate.find_runs import one_run

    with opened(options) as workspace:
        found = one_run(workspace, run)
        look = partial(one_run, workspace, found.run_id)
        if options.json:
            _watch_lines(look, found, every, lambda now: msgspec.json.encode(now).decode())
        elif sys.stdout.isatty():
            _watch_live(look, found, every)
        else:
            _watch_lines(look, found, every, _line)


def _watch_live(look: Callable[[], ShownRun], found: ShownRun, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False)
    with Live(_view(found), console=console, auto_refresh=False) as live:
        while found.status == "RUNNING":
            time.sleep(every)
            found = look()
            live.update(_view(found), refresh=True)


def _watch_lines(
    look: Callable[[], ShownRun], found: ShownRun, every: float, line: Callable[[ShownRun], str]
) -> None:
    told = None
    while True:
        if found != told:
            print(line(found), flush=True)
        told = found
        if found.status != "RUNNING":
            return
        time.sleep(every)
        found = look()


def _line(found: ShownRun) -> str:
    return harmless(f"{found.name} {found.status.lower()} {figures(found.metrics)}".rstrip())


def _view(found: ShownRun) -> Group:
    from rich.console import Group

    return Group(
        facts(
            {
                "Run": found.run_id,
                "Name": found.name,
                "Status": toned(found.status.lower()),
                "Since": found.started_at,
            }
        ),
        table(
            ("Metric", ">Last", ">Step", "How it goes"),
            ((name, curve.last, curve.step, curve.drawn) for name, curve in sorted(found.curves.items())),
        ),
    )
