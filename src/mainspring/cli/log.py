"""`log`: the gateways' prediction logs, and what of them is damaged or lost."""

from __future__ import annotations

__all__ = ["app"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, print_json, table, working

app = App(
    name="log", help="See how far the gateways' prediction logs are read, and accept what is lost of them."
)


@app.command(name="list", help_epilogue="Examples:\n  mainspring log list\n  mainspring log list --json")
def list_logs(*, options: Options = HERE) -> None:
    """List the logs: how far each is counted, and in the tables, the losses that were accepted, and what is wrong."""
    from mainspring.operate.logs import log_rows

    with opened(options) as workspace, workspace.database.read() as tx:
        found = log_rows(tx, workspace)
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Log", ">Counted to segment", ">In tables to segment", ">Losses", "Wrong now"),
            ((each.log, each.segment, each.sealed, each.losses, each.damage) for each in found),
        )
    )


@app.command(
    name="accept-loss",
    help_epilogue="""\
Example:
  mainspring log accept-loss gateway-0 --reason "the disk was replaced, there is no copy"

What was lost is never counted and never in a table, and labels for it find no prediction. If there is a copy of the
files, put them back instead: they are then read on by themselves. Exit code 1: nothing of the log is lost.""",
)
def accept(log: str, /, *, reason: str, options: Options = HERE) -> None:
    """Accept that the part of a log which cannot be read is lost; it is then read on behind that part.

    Parameters
    ----------
    log : str
        The log's name, as `mainspring log list` tells it.
    reason : str
        Why it is accepted, for the ledger.
    """
    from mainspring.operate.logs import accept_loss

    with working("Reading the log…"), opened(options) as workspace:
        lost = accept_loss(workspace, log, actor=actor(), reason=reason)
    if options.json:
        print_json(lost)
        return
    display(f"{lost.told}. That was accepted, and stands in the ledger; the log is read on behind it.")
