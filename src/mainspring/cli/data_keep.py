"""`data gc` and `data compact`: freeing what nothing refers to, and putting small files together."""

from __future__ import annotations

__all__ = ["compact", "gc"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, print_json, table, working

gc = App(
    name="gc",
    help_epilogue="""\
Examples:
  mainspring data gc --dry-run
  mainspring data gc --older-than 90d --json
""",
)
compact = App(
    name="compact",
    help_epilogue="""\
Examples:
  mainspring data compact
  mainspring data compact orders --json
""",
)


@gc.default
def give_up(
    *, older_than: str | None = None, dry_run: bool = False, reason: str = "", options: Options = HERE
) -> None:
    """Free what no data version has, and with --older-than the rows of versions that nothing refers to.

    The newest version of a branch, and what a tag, a run, a model, a cycle, a scoring or another entry of the ledger
    names, is never given up.

    Parameters
    ----------
    older_than : str
        Give up versions that were published longer ago than this, such as 90d.
    dry_run : bool
        Tell what would be freed, and free nothing.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.give_up import collect_data

    with working("Looking for what nothing refers to…"), opened(options) as workspace:
        found = collect_data(workspace, older_than=older_than, dry_run=dry_run, actor=actor(), reason=reason)
    if options.json:
        print_json(found)
        return
    would = "Would free" if found.dry_run else "Freed"
    display(
        f"{would} {found.bytes_freed:,} bytes: {found.table_files:,} files of tables, {found.contents:,} contents of "
        f"files, {found.incoming:,} batches that were left."
    )
    if found.retired:
        display(f"{'Would give' if found.dry_run else 'Gave'} up: {', '.join(found.retired)}.")


@compact.default
def put_together(dataset: str | None = None, /, *, reason: str = "", options: Options = HERE) -> None:
    """Put the files of the newest version of datasets together where they are many; what they hold stays the same.

    Parameters
    ----------
    dataset : str
        This one alone.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.give_up import compact_data

    with working("Putting files together…"), opened(options) as workspace:
        done = compact_data(workspace, dataset, actor=actor(), reason=reason)
    if options.json:
        print_json(done)
    elif done:
        display(
            table(
                ("Version", ">Files before", ">Files now"),
                ((each.ref, each.files_before, each.files_now) for each in done),
            )
        )
    else:
        display("No dataset has many files.")
