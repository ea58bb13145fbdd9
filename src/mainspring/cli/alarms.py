"""`alarms`: what monitors have said, what it rests on, and what people make of it."""

from __future__ import annotations

__all__ = ["app"]

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import complain, display, facts, harmless, moment, print_json, table, toned
from mainspring.clock import parse_duration, parse_time
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainspring.operate.alarms import AlarmRow, AlarmStory
    from mainspring.workspace import Workspace

app = App(
    name="alarms",
    help="See alarms, compute them again, acknowledge and snooze them.",
    help_epilogue="Examples:\n  mainspring alarms list late-orders\n  mainspring alarms budget late-orders",
)


@app.command(
    name="list",
    help_epilogue="Examples:\n  mainspring alarms list late-orders\n  mainspring alarms list late-orders --json",
)
def list_alarms(product: str, /, *, options: Options = HERE) -> None:
    """List a product's alarms, newest first.

    Parameters
    ----------
    product : str
        Whose.
    """
    from mainspring.operate.alarms import alarm_rows

    with opened(options) as workspace:
        found = alarm_rows(workspace, product)[::-1]
    if options.json:
        print_json(found)
    elif not found:
        display("No monitor has spoken.")
    else:
        display(
            table(
                ("Alarm", "When", "Monitor", ">Version", "State", "Evidence", "Now"),
                (
                    (
                        each.alarm_id,
                        each.at,
                        each.monitor,
                        str(each.version),
                        toned(each.state.value),
                        each.evidence,
                        _now(each),
                    )
                    for each in found
                ),
            )
        )


@app.command(help_epilogue="Example:\n  mainspring alarms show 3f2a9c01b7de")
def show(alarm: str, /, *, options: Options = HERE) -> None:
    """Show one alarm: evidence, effect, since when, which columns, what to do, and its story.

    Parameters
    ----------
    alarm : str
        Its id.
    """
    from mainspring.operate.alarms import alarm_story

    with opened(options) as workspace:
        found = alarm_story(workspace, alarm)
    if options.json:
        print_json(found)
    else:
        display(*_told(found))


@app.command(
    help_epilogue="""\
Example:
  mainspring alarms replay 3f2a9c01b7de

Exit code 1: it does not come out as it was raised."""
)
def replay(alarm: str, /, *, options: Options = HERE) -> int:
    """Compute an alarm again from the tables that it was computed from, and say whether it is the same.

    Parameters
    ----------
    alarm : str
        Its id.
    """
    from mainspring.operate.alarms import replay

    with opened(options) as workspace:
        found = replay(workspace, alarm)
    if options.json:
        print_json(found)
    elif found.same:
        tables = len(found.grounds.tables)
        display(f"The same, bit for bit, from {tables} tables: {found.evidence}.")
    else:
        complain(f"Not the same. It was raised with: {found.raised_with}. It comes out as: {found.evidence}.")
    return 0 if found.same else 1


@app.command(
    help_epilogue='Example:\n  mainspring alarms acknowledge 3f2a9c01b7de --reason "the new scanner reports in grams"'
)
def acknowledge(alarm: str, /, *, reason: str, options: Options = HERE) -> None:
    """Say that an alarm is taken up.

    Parameters
    ----------
    alarm : str
        Its id.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.alarms import acknowledge

    with opened(options) as workspace:
        done = acknowledge(workspace, alarm, actor=actor(), reason=reason)
    if options.json:
        print_json(done)
    else:
        display(f"Alarm {alarm} is acknowledged by {done.acknowledged_by}.")


@app.command(
    help_epilogue="""\
Examples:
  mainspring alarms snooze 3f2a9c01b7de --for 2d --reason "the scanner is mended on Friday"
  mainspring alarms snooze 3f2a9c01b7de --until 2026-12-01T08:00:00Z --reason "after the freeze"
"""
)
def snooze(
    alarm: str,
    /,
    *,
    reason: str,
    until: str | None = None,
    duration: Annotated[str | None, Parameter(name="--for")] = None,
    options: Options = HERE,
) -> None:
    """Let no route tell what the alarm's monitor says for a while; it goes on looking, and the loop goes on acting.

    Parameters
    ----------
    alarm : str
        Its id.
    reason : str
        Why, for the ledger.
    until : str
        Until this moment, such as 2026-12-01T08:00:00Z.
    duration : str
        For so long, such as 90m, 12h or 2d.
    """
    from mainspring.operate.alarms import snooze

    with opened(options) as workspace:
        moment_ = _until(workspace, until, duration)
        done = snooze(workspace, alarm, until=moment_, actor=actor(), reason=reason)
    if options.json:
        print_json(done)
    else:
        display(f"No route tells of {done.monitor} of {done.product} before {moment(moment_)} UTC.")


@app.command(help_epilogue="Example:\n  mainspring alarms budget late-orders")
def budget(product: str, /, *, options: Options = HERE) -> None:
    """Show the alarm budget by monitor and in all: false alarms declared, spent by looking, and left; what was raised.

    Parameters
    ----------
    product : str
        Whose.
    """
    from mainspring.operate.status import product_status

    with opened(options) as workspace:
        found = product_status(workspace, product).budget
    if options.json:
        print_json(found)
        return
    total = {
        name: sum(getattr(each, name) for each in found)
        for name in ("declared", "spent", "left", "raised", "confirmed")
    }
    display(
        table(
            (
                "Monitor",
                ">Declared",
                ">Spent",
                ">Left",
                ">Looks",
                ">Raised",
                ">Confirmed",
                "Last look",
                "",
            ),
            (
                *(
                    (
                        each.monitor,
                        each.declared,
                        each.spent,
                        each.left,
                        f"{each.looks} of {each.period_days}",
                        each.raised,
                        each.confirmed,
                        toned(each.outcome),
                        each.told,
                    )
                    for each in found
                ),
                (
                    "all of them",
                    total["declared"],
                    total["spent"],
                    total["left"],
                    "",
                    total["raised"],
                    total["confirmed"],
                    "",
                    "",
                ),
            ),
        )
    )


def _until(workspace: Workspace, until: str | None, duration: str | None) -> datetime:
    if (until is None) == (duration is None):
        raise Invalid(
            "Say either until when, as in `--until 2026-12-01T08:00:00Z`, or for how long, as in `--for 2d`."
        )
    return parse_time(until) if until else workspace.clock.now() + parse_duration(duration or "")


def _now(alarm: AlarmRow) -> str:
    """What has become of an alarm."""
    said = [
        f"acknowledged by {alarm.acknowledged_by}" if alarm.acknowledged_by else "",
        f"snoozed until {moment(alarm.snoozed_until)}" if alarm.snoozed_until else "",
        "over" if alarm.over else "",
    ]
    return ", ".join(filter(None, said)) or "open"


def _told(story: AlarmStory) -> Iterator[RenderableType]:
    from rich.text import Text

    alarm, found = story.alarm, story.alarm.change
    yield Text.assemble(
        (f"{alarm.monitor} of {alarm.product}@{alarm.version}", "bold"),
        " is ",
        toned(alarm.state.value) or "",
    )
    yield facts(
        {
            "alarm": alarm.alarm_id,
            "raised": alarm.at,
            "evidence": alarm.evidence,
            "since": found.told_since if found else None,
            "what to do": alarm.advice,
            "now": _now(alarm),
            "computed from": alarm.grounds,
        }
    )
    if found:
        yield table(
            ("Column", "What has changed", ">Before", ">After", ">Effect", ">Nats"),
            (
                (each.feature, each.stream, each.before, each.after, each.effect, each.log_e)
                for each in found.blame
            ),
        )
        yield Text(f"Before, after and effect: {found.unit}.", style="dim")
    for event in story.events:
        yield Text(
            f"\n{event.at[:16].replace('T', ' ')}  {event.type} by {harmless(event.actor)}", style="bold"
        )
        yield Text(harmless(event.reason))
