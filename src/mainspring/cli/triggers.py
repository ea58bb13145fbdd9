"""`triggers backtest`: what other policies would have done with what was recorded."""

from __future__ import annotations

__all__ = ["app"]

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, moment, print_json, table, toned
from mainspring.clock import duration_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import TaskID

    from mainspring.operate.backtest import Backtest, PolicyResult

app = App(
    name="triggers",
    help="When cycles start: try other policies on what was recorded.",
    help_epilogue="Example:\n  mainspring triggers backtest late-orders --policy weekly.py",
)


@app.command(
    help_epilogue="""\
A policy is a Python file that sets some of the product's fields anew, such as

  import mainspring as ms
  retrain = [ms.OnSchedule("0 3 * * mon")]
  train_on = ms.SlidingWindow("90d")

Examples:
  mainspring triggers backtest
  mainspring triggers backtest late-orders --policy weekly.py --policy eager.py --output policies.svg
  mainspring triggers backtest late-orders --policy weekly.py --json"""
)
def backtest(
    product: str | None = None,
    /,
    *,
    policy: Annotated[list[Path] | None, Parameter(help="Try the policy in a file; may be repeated.")] = None,
    output: Annotated[Path | None, Parameter(help="Write a plot of the losses, as SVG.")] = None,
    options: Options = HERE,
) -> None:
    """Replay what was recorded through the declared policy, and through others: what they cost, and how they do.

    Every policy trains the models that it would have had, and these are asked what was asked. Nothing of the workspace
    is changed, and it may be in use meanwhile.

    Parameters
    ----------
    product : str
        Whose; needed only where there are several products.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from mainspring.operate.backtest import backtest as replay
    from mainspring.operate.status import only_product

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(),
    )
    with (
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        opened(options) as workspace,
    ):
        tasks: dict[str, TaskID] = {}

        def tell(name: str, share: float, what: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=1.0, what="")
            progress.update(tasks[name], completed=share, what=what)

        found = replay(workspace, product or only_product(workspace), policy or (), tell)
    if output is not None:
        output.write_text(_plot(found), encoding="utf-8")
    if options.json:
        print_json(found)
        return
    display(*_told(found))
    if output is not None:
        display(f"Plotted in {output}.")


def _told(found: Backtest) -> Iterator[RenderableType]:
    from rich.text import Text

    span = f"{moment(found.since)} to {moment(found.until)}"
    yield Text(found.product, style="bold") + Text(f"  {span} UTC, {found.rows:,} predictions", style="dim")
    again = found.found_again
    yield (
        f"The declared policy did again {again.cycles_again} of {again.cycles} cycles and {again.alarms_again} of "
        f"{again.alarms} alarms, bit for bit." + (f" Other: {again.differs}." if again.differs else "")
    )
    yield table(
        (
            *("Policy", ">Retrains", ">Promoted", ">In vain", ">Training", ">Alarms", ">Answered"),
            *(f">{found.metric}", ">Better by", ">Interval"),
        ),
        (_row(each) for each in found.policies),
    )
    yield table(
        ("Policy", ">Cycle", "Opened", "Trigger", "Outcome", "Gain"),
        (
            (
                each.policy,
                cycle.number,
                moment(cycle.opened_at),
                cycle.trigger,
                toned(cycle.outcome),
                f"{cycle.gain:+.4f} {cycle.finding}" if cycle.gain is not None else cycle.finding,
            )
            for each in found.policies
            for cycle in each.cycles
        ),
    )
    yield from found.notes


def _row(each: PolicyResult) -> tuple[object, ...]:
    compared = each.better_by is not None and each.low is not None and each.high is not None
    return (
        each.policy,
        each.retrains,
        each.promoted,
        each.in_vain,
        duration_text(timedelta(seconds=round(each.seconds))),
        each.alarms,
        each.answered,
        None if each.loss is None else f"{each.loss:.4f}",
        f"{each.better_by:+.4f}" if compared else None,
        f"{each.low:+.4f} to {each.high:+.4f}" if compared else None,
    )


def _plot(found: Backtest) -> str:
    """Draw the loss of each policy by week, with its promotions; a file of its own needs the style within."""
    from mainspring.web.chart import STYLE, Mark, Series, day_chart

    series = [
        Series(
            name=each.policy,
            key=each.policy,
            tone=tone,
            days=[(week.begins, week.loss) for week in each.weeks],
        )
        for tone, each in enumerate(found.policies)
    ]
    marks = [
        Mark(
            day=cycle.opened_at.date(),
            label=f"{cycle.number}",
            title=f"{each.policy}, cycle {cycle.number}: {cycle.trigger}, {cycle.outcome}",
            tone=tone,
        )
        for tone, each in enumerate(found.policies)
        for cycle in each.cycles
    ]
    title = f"Mean {found.metric} of {found.product} by week, and cycles of each policy"
    drawn = day_chart(series, title=title, marks=marks, height=360)
    head, rest = drawn.split(">", 1) if drawn else ("<svg", "</svg>")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}'
