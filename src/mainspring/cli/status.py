"""`status`: products at a glance."""

from __future__ import annotations

__all__ = ["status"]

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, facts, moment, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainspring.operate.status import ProductStatus

status = App(
    name="status", help_epilogue="Examples:\n  mainspring status\n  mainspring status late-orders --json"
)


@status.default
def show_status(product: str | None = None, /, *, options: Options = HERE) -> None:
    """Show the products at a glance: champion, cycle, rollout, requests, alarms.

    Parameters
    ----------
    product : str
        Show this one alone.
    """
    from mainspring.operate.status import product_names, product_status

    with opened(options) as workspace:
        with workspace.database.read() as tx:
            names = product_names(tx)
        found = [product_status(workspace, name) for name in ([product] if product else names)]
    if options.json:
        print_json(found)
        return
    if not found:
        display("No product has been declared here yet: `mainspring up` reads the product files.")
    for each in found:
        display(*_told(each))


def _told(found: ProductStatus) -> Iterator[RenderableType]:
    from rich.text import Text

    champion, cycle, rollout = found.champion, found.cycle, found.rollout
    yield Text(found.product, style="bold") + Text(f"  {moment(found.now)} UTC", style="dim")
    yield facts(
        {
            "champion": f"{champion.ref}, registered {moment(champion.registered_at)}"
            if champion
            else "none yet",
            "hold-out": champion.metrics if champion else None,
            "trained on": champion.data if champion else None,
            "cycle": f"{cycle.number} is {cycle.state} ({cycle.trigger_text}: {cycle.evidence})"
            if cycle
            else f"none in progress, {found.cycles} so far",
            "rollout": f"{rollout.challenger} serves {rollout.share:.0%} of the units; {rollout.reason}"
            if rollout
            else None,
            "approval": found.approval,
            "requests": f"{found.waiting_requests} waiting" if found.waiting_requests else None,
            "predictions": f"{found.predictions:,}, of which {found.labelled:,} have a label",
            "not counted": ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in found.uncounted.items())
            or None,
            "last alarm": found.last_alarm,
            "estimated": _estimated(found),
            "did it help": found.gain,
            "of no help": "; ".join(found.unhelpful) or None,
            "alarm budget": _budget(found),
            "not read": "\n".join(found.damaged_logs) or None,
            "not loaded": "\n".join(found.changed_versions) or None,
            "refused": "\n".join(found.refused_files) or None,
        }
    )


def _budget(found: ProductStatus) -> str | None:
    """Sum up the alarm budget, and name the monitors that cannot tell anything, by what came of their last look."""
    from mainspring.operate.look import BLIND

    if not found.budget:
        return None
    declared, spent = (sum(getattr(each, name) for each in found.budget) for name in ("declared", "spent"))
    told = [
        f"{spent:.2g} of {declared:.2g} false alarms in {found.budget[0].period_days} days spent by looking"
    ]
    for outcome in BLIND:
        if blind := [each.monitor for each in found.budget if each.outcome == outcome]:
            told.append(f"{outcome.replace('_', ' ')}: {', '.join(blind)}")
    return "; ".join(told)


def _estimated(found: ProductStatus) -> str | None:
    """What the usual loss is likely to be, before labels; beside it what the labels that have come say."""
    row = found.estimate
    if row is None:
        return None
    days = f"{row.predictions:,} predictions of {row.since} to {row.until}"
    loss, name = row.metrics.get(found.metric), found.metric.replace("_", " ")
    if loss is None:
        return f"not the {name} of {days}: {row.reason} ({row.outcome})"
    measured = (
        f"; measured on {row.labelled:,} labels {row.measured[found.metric]:.4f}" if row.labelled else ""
    )
    return (
        f"{name} {loss.value:.4f}, 90 % from {loss.low:.4f} to {loss.high:.4f}, on {days}, without their labels"
        f"{measured}\nif {row.assumption}"
    )
