"""`data`: batches handed in, and the versions that they made."""

from __future__ import annotations

__all__ = ["app"]

import re
from datetime import date
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from mainspring.cli.data_quarantine import failures_table
from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import complain, counting, display, facts, print_json, table, toned, working
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from mainspring.data import Batch
    from mainspring.operate.data.log import DataVersionRow

app = App(name="data", help="Add data and see what became of it.")


@app.command(
    help_epilogue="""\
Examples:
  mainspring data add orders january.parquet
  mainspring data add orders february.csv --reason "the month's closing"
  mainspring data add orders corrected.csv --mode upsert
  mainspring data add weather weather.csv --new --key station --key observed_at --time-zone UTC
  mainspring data add images photos/ --new
  mainspring data add orders postgresql://reader@host/shop --query "SELECT * FROM orders" --mode upsert

Exit code 1: the batch was refused; nothing of it is kept, and the version before goes on."""
)
def add(
    dataset: str,
    source: str,
    /,
    *,
    mode: Literal["append", "replace", "upsert"] | None = None,
    branch: str = "main",
    new: bool = False,
    key: list[str] | None = None,
    time_zone: str = "",
    query: str = "",
    reason: str = "",
    options: Options = HERE,
) -> int:
    """Check a batch against its schema and publish the next data version.

    Rows that fail a check are set aside, as long as they are few; otherwise the whole batch is refused.

    Parameters
    ----------
    dataset : str
        The dataset's name, as a product declares it, or of one without a product.
    source : str
        A Parquet, Arrow, CSV or NDJSON file, told apart by its content; a folder or archive of files of any kind; the
        URL of a database; or the folder of a Delta table, which is read where it is.
    mode : str
        append (the default) keeps the rows of before; replace (the default of a folder) takes the place of all, upsert
        of those with its keys.
    branch : str
        The branch that it is added on; products read main.
    new : bool
        Begin a dataset that no product reads.
    key : list of str
        With --new: a column that names a row. May be given again.
    time_zone : str
        Of moments that come without one, such as Europe/Berlin.
    query : str
        What to ask the database for whose URL the source is.
    reason : str
        Why, for the ledger.
    """
    from mainspring.data import Change
    from mainspring.operate.data.datasets import plain_dataset
    from mainspring.operate.data.log import version_row
    from mainspring.operate.data.publish import Adding
    from mainspring.operate.data.sources import add_source
    from mainspring.operate.declare import declare
    from mainspring.operate.status import batch_row
    from mainspring.ref import DataRef

    adding = Adding(branch=branch, new=new, key=tuple(key or ()), time_zone=time_zone)
    with opened(options) as workspace, counting("Adding") as progress:
        with workspace.database.read() as tx:
            plain = plain_dataset(tx, dataset)
        if plain is None:
            declare(workspace, actor=actor())
        batch = add_source(
            workspace,
            dataset,
            source,
            actor=actor(),
            reason=reason,
            change=Change(mode) if mode else None,
            query=query,
            adding=adding,
            progress=progress,
        )
        made = version_row(workspace, DataRef(dataset, batch.version)) if batch.version else None
    row = batch_row(batch)
    if options.json:
        print_json(row)
    elif made is None:
        complain(f"The batch for {dataset!r} was refused, and nothing of it is kept: {row.refusal}.")
        if row.failures:
            display(failures_table(row.failures), stderr=True)
    else:
        display(_came_of(batch, made))
        if row.failures:
            display(failures_table(row.failures))
    return 0 if row.ref else 1


def _came_of(batch: Batch, made: DataVersionRow) -> str:
    """Say in a line what became of a batch."""
    if made.published_at < batch.at and made.change != "append":
        return f"{made.ref}: the batch changes nothing."
    counts = f"{made.rows_added:,} rows added"
    if made.rows_changed:
        counts += f", {made.rows_changed:,} changed"
    if made.rows_removed:
        counts += f", {made.rows_removed:,} removed"
    if batch.report.quarantined:
        counts += f", {batch.report.quarantined:,} set aside"
    return f"{made.ref}: {counts}."


@app.command(
    name="list", help_epilogue="Examples:\n  mainspring data list\n  mainspring data list orders --json"
)
def list_batches(dataset: str | None = None, /, *, options: Options = HERE) -> None:
    """List every batch that was handed in, oldest first.

    Parameters
    ----------
    dataset : str
        Those of this one alone.
    """
    from mainspring.operate.status import data_rows

    with opened(options) as workspace:
        found = data_rows(workspace, dataset)
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Dataset", "Version", "Added", "By", "Outcome", ">Rows", ">Set aside", "Refused because"),
            (
                (
                    row.dataset,
                    row.ref,
                    row.at,
                    row.actor,
                    toned(row.outcome),
                    row.rows,
                    row.quarantined,
                    row.refusal,
                )
                for row in found
            ),
        )
    )


@app.command(
    help_epilogue="""\
Examples:
  mainspring data show orders@v3
  mainspring data show orders@golden
  mainspring data show orders@2024-03-01"""
)
def show(address: str, /, *, options: Options = HERE) -> None:
    """Show a data version: what made it, its columns, and every check that rows of its batch failed.

    Parameters
    ----------
    address : str
        Such as orders (the newest), orders@v3, orders@golden (a tag or branch) or orders@2024-03-01 (of that day).
    """
    from mainspring.operate.data.log import show_version
    from mainspring.ref import DataAddress

    asked = DataAddress.parse(address)
    with opened(options) as workspace:
        shown = show_version(workspace, asked)
    if options.json:
        print_json(shown)
        return
    version, batch = shown.version, shown.batch
    display(
        facts(
            {
                "version": version.ref,
                "digest": version.digest[:16],
                "tags": version.tags or None,
                "branch": version.branch,
                "follows": version.follows,
                "added": version.published_at,
                "by": version.actor,
                "because": version.reason,
                "source": version.source or None,
                "mode": version.change,
                "rows": version.rows,
                "new": version.rows_added,
                "changed": version.rows_changed or None,
                "gone": version.rows_removed or None,
                "set aside": batch.quarantined if batch else None,
                "given up": version.retired_at,
            }
        )
    )
    display(
        table(
            ("Column", "Type", ">Nulls", ">Distinct", "Least", "Greatest", ">Mean"),
            (
                (each.name, each.type, each.nulls, each.distinct, each.least, each.greatest, each.mean)
                for each in shown.columns
            ),
        )
    )
    if batch and batch.failures:
        display(failures_table(batch.failures))


@app.command(
    help_epilogue="Examples:\n  mainspring data log orders\n  mainspring data log orders --branch trial --json"
)
def log(dataset: str, /, *, branch: str | None = None, limit: int = 50, options: Options = HERE) -> None:
    """List the versions of a dataset, newest first, with what each changed.

    Parameters
    ----------
    dataset : str
        Its name.
    branch : str
        Only what this branch is made of.
    limit : int
        How many at most.
    """
    from mainspring.operate.data.log import data_log

    with opened(options) as workspace:
        found = data_log(workspace, dataset, branch=branch, limit=limit)
    if options.json:
        print_json(found)
        return
    columns = (
        "Version",
        "Named",
        "Digest",
        "Published",
        "By",
        "Mode",
        ">Rows",
        ">Added",
        ">Changed",
        ">Removed",
    )
    display(
        table(
            (*columns, "Because"),
            (
                (
                    row.ref if row.retired_at is None else f"{row.ref} (given up)",
                    [*row.tags, *([row.branch] if row.branch != "main" else [])],
                    row.digest[:12],
                    row.published_at,
                    row.actor,
                    row.change,
                    row.rows,
                    row.rows_added,
                    row.rows_changed,
                    row.rows_removed,
                    row.reason,
                )
                for row in found
            ),
        )
    )


@app.command(
    help_epilogue="""\
Examples:
  mainspring data profile orders@v3
  mainspring data profile orders@v3 --against orders@v2 --by kind
  mainspring data profile late-orders@champion --since 2024-03-01 --until 2024-03-08 --against previous

An effect has the interval that holds what the rows themselves would give. Effects are shown and page nobody."""
)
def profile(
    ref: str,
    /,
    *,
    against: str | None = None,
    by: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    options: Options = HERE,
) -> None:
    """Profile a data version, or what a model version was asked, and say how far it is from another.

    Parameters
    ----------
    ref : str
        A data version such as orders@v3 or orders@golden, or a model version such as late-orders@7.
    against : str
        What to compare with: another data version. Of a model version: training, which it is unless said otherwise,
        previous, for as many days right before, or days such as 2024-01-01..2024-02-01, the second not among them.
    by : list of str
        Columns of the data whose values are to be profiled by themselves.
    since : str
        The first day, UTC, of what a model version was asked.
    until : str
        The day after the last.
    """
    from mainspring.cli.profiles import show_profile
    from mainspring.operate.profiling import profile_data, profile_traffic
    from mainspring.ref import DataAddress, ModelRef

    with working("Profiling…"), opened(options) as workspace:
        name = ref.partition("@")[0]
        with workspace.database.read() as tx:
            of_data = name not in workspace.specs(tx) and tx.data.newest(name, None) is not None
        if of_data or re.search(r"@v[0-9]+$", ref):
            if since or until:
                raise Invalid(f"{ref} is a data version, which has no days: leave --since and --until out.")
            other = DataAddress.parse(against) if against else None
            rows = profile_data(workspace, DataAddress.parse(ref), against=other, by=by or ())
        else:
            if by:
                raise Invalid(
                    f"{ref} is a model version, whose profiles are kept by day alone: leave --by out."
                )
            asked = ModelRef.parse(ref)
            first, last = (_day(each) if each else None for each in (since, until))
            rows = [profile_traffic(workspace, asked, since=first, until=last, against=against or "training")]
    if options.json:
        print_json(rows)
    else:
        for row in rows:
            show_profile(row)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is not a day: write it as 2024-03-01.") from None
