"""`ledger`: what happened, and whether the record of it is as it was written."""

from __future__ import annotations

__all__ = ["app"]

import msgspec
from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import complain, display, facts, print_json, table, working
from mainspring.errors import NotFound

app = App(name="ledger", help="Read the ledger of events, and check its chain.")


class EntryNotFound(NotFound):
    """An entry that the ledger does not have."""

    def __init__(self, number: int, newest: int) -> None:
        super().__init__(number, newest)
        self.number, self.newest = number, newest

    def __str__(self) -> str:
        return f"The ledger has no entry {self.number}: its newest is {self.newest}."


@app.command(
    name="list",
    help_epilogue="Examples:\n  mainspring ledger list\n  mainspring ledger list --subject late-orders --limit 200",
)
def list_entries(*, limit: int = 50, subject: str | None = None, options: Options = HERE) -> None:
    """List the newest entries, newest first.

    Parameters
    ----------
    limit : int
        How many.
    subject : str
        Those about this product, dataset or ref alone.
    """
    from mainspring.operate.status import events

    with opened(options) as workspace:
        found = events(workspace, limit=limit, subject=subject)
    if options.json:
        print_json(found)
        return
    display(
        table(
            (">No.", "When", "What", "About", "By", "Why"),
            (
                (
                    each.number,
                    each.at[:16].replace("T", " "),
                    each.type,
                    each.subject,
                    each.actor,
                    each.reason,
                )
                for each in found
            ),
        )
    )


@app.command(help_epilogue="Example:\n  mainspring ledger show 42")
def show(number: int, /, *, options: Options = HERE) -> None:
    """Show one entry with all its details.

    Parameters
    ----------
    number : int
        Its number.
    """
    from mainspring.operate.status import events

    with opened(options) as workspace:
        found = next((each for each in events(workspace, limit=1, before=number + 1)), None)
        newest = next((each.number for each in events(workspace, limit=1)), 0)
    if found is None or found.number != number:
        raise EntryNotFound(number, newest)
    if options.json:
        print_json(found)
        return
    display(
        facts(
            {
                "number": str(found.number),
                "when": found.at,
                "what": found.type,
                "about": found.subject,
                "by": found.actor,
                "why": found.reason,
                "hash": found.hash,
            }
        )
    )
    print(msgspec.json.format(msgspec.json.encode(found.data), indent=2).decode())


@app.command(
    help_epilogue="Example:\n  mainspring ledger verify\n\nExit code 1: an entry is not as it was written; it is named."
)
def verify(*, options: Options = HERE) -> int:
    """Read the whole ledger and check that every entry is as it was written."""
    from mainspring.governance import verify

    with working("Reading the ledger…"), opened(options) as workspace, workspace.database.read() as tx:
        found = verify(tx.ledger.entries())
    if options.json:
        print_json({"sound": found.sound, **msgspec.to_builtins(found)})
    elif found.sound:
        display(f"The ledger is sound: {found.entries:,} entries, head {found.head}.")
    else:
        complain(
            f"The ledger is not sound: entry {found.broken_at} is not as it was written: {found.fault}. "
            f"The {found.entries:,} before it are."
        )
    return 0 if found.sound else 1
