"""`cycles` and `explain`: the turns of the loop, and the story of one as the ledger tells it."""

from __future__ import annotations

__all__ = ["cycles", "explain"]

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, facts, harmless, print_json, table, toned
from mainspring.events import EventType

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from mainspring.operate.status import CycleRow, EventRow

cycles = App(
    name="cycles", help_epilogue="Examples:\n  mainspring cycles\n  mainspring cycles late-orders --json"
)
explain = App(
    name="explain",
    help_epilogue="Examples:\n  mainspring explain late-orders\n  mainspring explain --cycle 3",
)


@cycles.default
def list_cycles(product: str | None = None, /, *, options: Options = HERE) -> None:
    """List every cycle: trigger, evidence, verdict, outcome.

    Parameters
    ----------
    product : str
        Those of this one alone.
    """
    from mainspring.operate.status import cycle_rows

    with opened(options) as workspace:
        found = cycle_rows(workspace, product)
    if options.json:
        print_json(found)
        return
    display(
        table(
            (
                "Product",
                ">No.",
                "Started",
                "Trigger",
                "Evidence",
                "Version",
                "Outcome",
                "Because",
                ">Seconds",
            ),
            (
                (
                    row.product,
                    row.number,
                    row.opened_at,
                    row.trigger_text,
                    row.evidence,
                    row.version and str(row.version),
                    toned(row.outcome or row.state),
                    row.reason,
                    row.seconds,
                )
                for row in found
            ),
        )
    )


@explain.default
def tell(product: str | None = None, /, *, cycle: int | None = None, options: Options = HERE) -> None:
    """Tell the story of a cycle, from its trigger to its outcome.

    Parameters
    ----------
    product : str
        Whose cycle; needed only where there are several products.
    cycle : int
        Its number; by default the last one's.
    """
    from mainspring.operate.status import explain_cycle, only_product

    with opened(options) as workspace:
        found, events = explain_cycle(workspace, product or only_product(workspace), cycle)
    if options.json:
        print_json({"cycle": found, "events": events})
    else:
        display(*_story(found, events))


def _story(cycle: CycleRow, events: list[EventRow]) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text.assemble((f"Cycle {cycle.number} of {cycle.product}", "bold"), " is ", _ended(cycle))
    yield facts(
        {
            "started": cycle.opened_at,
            "by": cycle.actor,
            "trigger": cycle.trigger_text,
            "because": cycle.evidence,
            "data": cycle.data or None,
            "params": cycle.params or ("as declared" if cycle.data else None),
            "version": cycle.version and f"{cycle.product}@{cycle.version}",
            "ended": cycle.closed_at,
            "outcome": cycle.outcome and f"{cycle.outcome}: {cycle.reason}",
            "seconds": cycle.seconds,
        }
    )
    for event in events:
        if EventType(event.type) in _PARTS:
            yield Text(f"\n{event.at[:16].replace('T', ' ')}  {_PARTS[EventType(event.type)]}", style="bold")
            yield Text(harmless(event.reason))
            yield from _details(EventType(event.type), event.data)


_PARTS = {
    EventType.RUN_COMPLETED: "Trained",
    EventType.RUN_FAILED: "Training failed",
    EventType.CANDIDATE_JUDGED: "Judged",
    EventType.MODEL_VERSION_REGISTERED: "Registered",
    EventType.ROLLOUT_STARTED: "Rollout started",
    EventType.ROLLOUT_ADVANCED: "Rollout went on",
    EventType.ROLLOUT_PROMOTED: "Promoted",
    EventType.ROLLOUT_ROLLED_BACK: "Rolled back",
    EventType.ROLLOUT_EXPIRED: "Expired",
    EventType.CYCLE_MEASURED: "Measured by labels since",
}


def _ended(cycle: CycleRow) -> Text:
    from rich.text import Text

    return toned(cycle.outcome) or Text(f"in progress: {cycle.state}", style="yellow")


def _details(kind: EventType, data: dict[str, Any]) -> Iterator[RenderableType]:
    if kind is EventType.RUN_COMPLETED:
        yield table(
            ("Step", "", "Why"),
            (
                (step["name"], "reused" if step["reused"] == "yes" else "ran", step["why"])
                for step in data["steps"]
            ),
        )
    elif kind is EventType.CANDIDATE_JUDGED:
        yield table(
            ("Gate", "On", "Outcome", ">Observed", ">Needed", "Reason"),
            (
                (
                    each["gate"],
                    each["subject"],
                    toned(each["outcome"]),
                    each["observed"],
                    each["needed"],
                    each["reason"],
                )
                for each in data["verdict"]["checks"]
            ),
        )
    elif data.get("evidence"):
        yield table(
            ("Guard", "Finding", ">Evidence", ">Needed", "Seen"),
            (
                (each["subject"], toned(each["finding"]), each["e_value"], each["needed"], each["reason"])
                for each in data["evidence"]
            ),
        )
