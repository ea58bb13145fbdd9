"""`data`: batches handed in, and the versions that they made."""

from __future__ import annotations

__all__ = ["app"]

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, declared, opened
from mainspring.cli.show import complain, display, facts, print_json, table, toned, working
from mainspring.errors import Invalid, NotFound

if TYPE_CHECKING:
    from rich.table import Table

    from mainspring.operate.status import DataRow

app = App(name="data", help="Add data and see what became of it.")


class NoSuchFile(NotFound):
    """A file that is not there."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return f"There is no file {self.file}. Name a Parquet, CSV or NDJSON file."


@app.command(
    help_epilogue="""\
Examples:
  mainspring data add orders january.parquet
  mainspring data add orders february.csv --reason "the month's closing"

Exit code 1: the batch was refused; nothing of it is kept, and the version before goes on."""
)
def add(dataset: str, file: Path, /, *, reason: str = "", options: Options = HERE) -> int:
    """Check a batch against its schema and publish the next data version.

    Rows that fail a check are set aside, as long as they are few; otherwise the whole batch is refused.

    Parameters
    ----------
    dataset : str
        The dataset's name, as a product declares it.
    file : Path
        A Parquet, CSV or NDJSON file; told apart by its content.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.publish import add_batch
    from mainspring.operate.status import batch_row

    if not file.is_file():
        raise NoSuchFile(file)
    with working("Checking the batch…"), declared(options) as workspace:
        batch = add_batch(workspace, dataset, file.read_bytes(), actor=actor(), reason=reason)
    row = batch_row(batch)
    if options.json:
        print_json(row)
    elif row.ref is None:
        complain(f"The batch for {dataset!r} was refused, and nothing of it is kept: {row.refusal}.")
        if row.failures:
            display(_failures(row), stderr=True)
    else:
        aside = f", {row.quarantined:,} set aside" if row.quarantined else ""
        display(f"{row.ref}: {row.rows - row.quarantined:,} rows added{aside}.")
        if row.failures:
            display(_failures(row))
    return 0 if row.ref else 1


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


@app.command(help_epilogue="Example:\n  mainspring data show orders@v3")
def show(ref: str, /, *, options: Options = HERE) -> None:
    """Show the batch that made a data version, with every check that some of its rows failed.

    Parameters
    ----------
    ref : str
        Such as orders@v3.
    """
    from mainspring.operate.status import data_row
    from mainspring.ref import DataRef

    asked = DataRef.parse(ref)
    with opened(options) as workspace:
        row = data_row(workspace, asked)
    if options.json:
        print_json(row)
        return
    display(
        facts(
            {
                "version": row.ref,
                "added": row.at,
                "by": row.actor,
                "rows": row.rows - row.quarantined,
                "set aside": row.quarantined,
            }
        )
    )
    if row.failures:
        display(_failures(row))


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
        A data version such as orders@v3, or a model version such as late-orders@7.
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
    from mainspring.ref import DataRef, ModelRef

    with working("Profiling…"), opened(options) as workspace:
        if re.search(r"@v[0-9]+$", ref):
            if since or until:
                raise Invalid(f"{ref} is a data version, which has no days: leave --since and --until out.")
            other = DataRef.parse(against) if against else None
            rows = profile_data(workspace, DataRef.parse(ref), against=other, by=by or ())
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


def _failures(row: DataRow) -> Table:
    def examples(failure: dict[str, list[tuple[int, str]]]) -> str:
        return ", ".join(f"{value!r} in row {number}" for number, value in failure["examples"])

    return table(
        ("Column", "Check", ">Rows that fail", "Such as"),
        (
            (failure["column"], failure["check"], failure["rows"], examples(failure))
            for failure in row.failures
        ),
    )
