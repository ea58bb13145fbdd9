"""`rollout plan` and `rollout simulate`: before it starts."""

from __future__ import annotations

__all__ = ["plan", "simulate"]

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, facts, print_json, table, toned, working
from mainspring.clock import duration_text
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from mainspring.rollouts.plan import Need, Plan
    from mainspring.rollouts.simulate import Simulation

plan = App(
    name="plan",
    help_epilogue="""\
Examples:
  mainspring rollout plan late-orders
  mainspring rollout plan late-orders --worse-by 0.05 --failing 2x
  mainspring rollout plan late-orders --json""",
)
simulate = App(
    name="simulate",
    help_epilogue="""\
Examples:
  mainspring rollout simulate late-orders                          (the champion against itself)
  mainspring rollout simulate late-orders --worse-by 0.05 --runs 500
  mainspring rollout simulate late-orders --versions 7,8 --output runs.svg
  mainspring rollout simulate late-orders --failing 0.02 --slower 2x --json""",
)


class NotTimes(Invalid):
    """A text that is not a number of times."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name, self.text = name, text

    def __str__(self) -> str:
        return f"--{self.name} {self.text} is no number of times: write it as 2x."


@plan.default
def plan_product(
    product: str,
    /,
    *,
    failing: str = "3x",
    slower: str = "2x",
    worse_by: float = 0.1,
    moved: float = 0.1,
    options: Options = HERE,
) -> None:
    """Say how many units and how much time the rollout in progress, or else the next one, is expected to need.

    Parameters
    ----------
    product : str
        Whose.
    failing : str
        The harm to be found: how many times as many units fail; 3x by default.
    slower : str
        How many times as long calls take; 2x by default.
    worse_by : float
        By which share of the champion's the mean loss is higher, beyond the guard's margin; 0.1 by default.
    moved : float
        The share of units whose answer falls into another bin; 0.1 by default.
    """
    from mainspring.operate.forecast import plan_rollout
    from mainspring.rollouts.plan import Harm

    harm = Harm(
        failing=_times("failing", failing), slower=_times("slower", slower), worse_by=worse_by, moved=moved
    )
    with working("Drawing units…"), opened(options) as workspace:
        found = plan_rollout(workspace, product, harm)
    if options.json:
        print_json(found)
    else:
        _show_plan(found)


@simulate.default
def simulate_product(
    product: str,
    /,
    *,
    versions: str = "",
    worse_by: float = 0.0,
    failing: float = 0.0,
    slower: str = "1x",
    runs: int = 200,
    days: float = 30.0,
    output: Annotated[Path | None, Parameter(help="Write a plot of when the runs ended, as SVG.")] = None,
    options: Options = HERE,
) -> None:
    """Run the declared rollout over logged traffic, many times, each with another split.

    Parameters
    ----------
    product : str
        Whose.
    versions : str
        The champion and its challengers, such as 7,8; without it, the champion against itself.
    worse_by : float
        Added to every loss of the challenger.
    failing : float
        The share of units for which it fails.
    slower : str
        How many times as long its calls take, such as 2x.
    runs : int
        How many; 200 by default.
    days : float
        How much of the newest traffic; 30 by default.
    """
    from mainspring.operate.forecast import simulate_rollout
    from mainspring.rollouts.simulate import Effect

    if runs < 1 or not days > 0:
        raise Invalid(f"{runs} runs over {days:g} days are none: give positive numbers.")
    effect = Effect(worse_by=worse_by, failing=failing, slower=_times("slower", slower))
    with working("Running rollouts…"), opened(options) as workspace:
        found = simulate_rollout(
            workspace, product, effect, versions=_numbers(versions), runs=runs, days=days
        )
    if output is not None:
        output.write_text(_plot(found), encoding="utf-8")
    if options.json:
        print_json(found.to_dict())
        return
    display(f"{len(found.runs)} rollouts of {product}, {found.effect}:")
    display(
        table(
            ("Outcome", ">Runs", ">Share", ">Median after", ">9 of 10 after", ">Median units", ">9 of 10"),
            (
                (
                    toned(each.outcome),
                    each.runs,
                    f"{each.share:.1%}",
                    *(_hours(hours) for hours in each.hours),
                    *each.units,
                )
                for each in found.tallies()
            ),
        )
    )
    if output is not None:
        display(f"Plotted in {output}.")


def _show_plan(found: Plan) -> None:
    per_day = found.pace.units / found.pace.days
    expected = "not to be expected" if found.hours is None else f"expected after {_hours(found.hours)}"
    horizon = "none" if found.horizon_hours is None else _hours(found.horizon_hours)
    display(
        facts(
            {
                "rollout": f"{found.strategy} of {found.product}",
                "traffic": f"{found.pace.units:,} units in {found.pace.days:.3g} days, {per_day:,.0f} a day",
                "without harm": f"a promotion is {expected}; the horizon is {horizon}"
                + ("" if found.fits else ", so it would expire undecided"),
                "stated with": f"a probability of {found.probability:.0%}, over units as they were of late",
                "assumed": "; ".join(found.assumed) or None,
            }
        )
    )
    if found.steps:
        display(
            table(
                (">Step", "Mode", ">Share", ">Bake", ">Units", ">Ends after", ""),
                (
                    (
                        index + 1,
                        step.mode,
                        f"{step.share:.0%}",
                        _hours(step.bake_hours),
                        step.units if step.units is not None else "never",
                        _hours(step.hours) if step.hours is not None else "never",
                        "and an approval" if step.approve else None,
                    )
                    for index, step in enumerate(found.steps)
                ),
            )
        )
    asked = [need for need in found.needs if need.question != "answer"]
    if asked:
        display(
            table(
                (">Step", "Guard", "What it finds or shows", ">Units", ">Of the challenger", ">After"),
                (_need(need) for need in asked),
            )
        )


def _need(need: Need) -> tuple[object, ...]:
    if need.units is None:
        return need.step + 1, need.guard, need.about, "never", None, None
    after = _hours(need.hours) if need.hours is not None else "never"
    return need.step + 1, need.guard, need.about, need.units, need.challenger_units, after


def _plot(found: Simulation) -> str:
    """Draw which share of the runs had ended by when, by outcome; a file of its own needs the style within."""
    from mainspring.web.chart import STYLE
    from mainspring.web.comparison_chart import Curve, curve_chart

    curves = []
    for tone, each in enumerate(found.tallies()):
        ended = sorted(run.lasted_s / 3600 for run in found.runs if run.outcome == each.outcome)
        points = [(0.0, 0.0), *((hours, (n + 1) / len(found.runs)) for n, hours in enumerate(ended))]
        curves.append(Curve(name=each.outcome.replace("_", " "), points=points, tone=tone))
    drawn = curve_chart(
        curves, title=f"Share of runs that have ended, {found.effect}", axis="hours from the beginning"
    )
    head, rest = drawn.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}'


def _times(name: str, text: str) -> float:
    try:
        return float(text.lower().removesuffix("x"))
    except ValueError:
        raise NotTimes(name, text) from None


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part for part in text.split(",") if part]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts) or len(parts) == 1:
        raise Invalid(f"--versions {text} must name the champion and its challengers, such as 7,8.")
    return tuple(map(int, parts))


def _hours(hours: float) -> str:
    # To the second below a minute, to the minute below a day, and else to the hour.
    for limit, unit in ((1 / 60, 1), (24, 60), (float("inf"), 3600)):
        if hours < limit:
            return duration_text(timedelta(seconds=round(hours * 3600 / unit) * unit))
    raise AssertionError(hours)
