"""`score`: a model's answers to all rows of a data version."""

from __future__ import annotations

__all__ = ["score"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, moment, print_json, table, working
from mainspring.clock import parse_time
from mainspring.errors import Invalid

if TYPE_CHECKING:
    from mainspring.operate.score_data import Scoring

score = App(
    name="score",
    help_epilogue="""\
Examples:
  mainspring score late-orders --data orders
  mainspring score late-orders@7 --data orders@v12 --since 2024-03-01 --columns kind --output march.parquet

Killed, and asked again, it goes on where it was. Exit code 1: there is no row to score.""",
)


class NoSuchFolder(Invalid):
    """A file to be written where there is no folder, or under a name that is not Parquet's."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return f"{self.file} cannot be written: name a file that ends in .parquet, in a folder that exists."


@score.default
def score_rows(
    product: str,
    /,
    *,
    data: list[str],
    since: str | None = None,
    until: str | None = None,
    columns: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    output: Path | None = None,
    reason: str = "",
    options: Options = HERE,
) -> None:
    """Ask a model about every row of a data version, and publish its answers as a version of PRODUCT-scores.

    Asked again for the same model and data, the answers that are there are used again. On a terminal it shows how far
    it is.

    Parameters
    ----------
    product : str
        A product, whose champion is asked, or a model version such as late-orders@7.
    data : list of str
        A dataset, whose newest version is scored, or a version such as orders@v12. Given again: the version of another
        dataset from which features come, in place of its newest.
    since : str
        Score rows whose event time is not before this day or moment, in UTC unless it says otherwise.
    until : str
        Score rows whose event time is before this day or moment.
    columns : list of str
        Columns and features to keep beside the answers.
    output : Path
        A Parquet file to write the answers to as well.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.score_data import score_data, write_scores

    if output is not None and (output.suffix != ".parquet" or not output.absolute().parent.is_dir()):
        raise NoSuchFolder(output)
    kept = [name for each in columns or () for name in each.split(",") if name]
    between = _moment(since), _moment(until)
    with opened(options) as workspace:
        with _progress() as progress:
            scoring = score_data(
                workspace,
                product,
                data,
                actor=actor(),
                reason=reason,
                since=between[0],
                until=between[1],
                columns=kept,
                progress=progress,
            )
        if output is not None:
            with working(f"Writing {output}…"):
                write_scores(workspace, scoring, output)
    if options.json:
        print_json(scoring)
        return
    display(_line(scoring))
    if scoring.unanswered:
        display(table(("Without an answer because", ">Rows"), scoring.unanswered.items()))


def _line(scoring: Scoring) -> str:
    if scoring.reused:
        return (
            f"{scoring.ref} has the answers of {scoring.model} to {scoring.rows:,} rows of {scoring.data[0]} already, "
            f"from {moment(scoring.scored_at)}: nothing was scored."
        )
    return f"{scoring.ref}: {scoring.rows:,} rows of {scoring.data[0]} scored by {scoring.model}."


def _moment(text: str | None) -> datetime | None:
    """Read a day, or a moment without an offset, as one in UTC.

    Examples
    --------
    >>> _moment("2024-03-01")
    datetime.datetime(2024, 3, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if text is None:
        return None
    for each in (text, f"{text}Z", f"{text}T00:00:00Z"):
        try:
            return parse_time(each)
        except Invalid:
            continue
    raise Invalid(f"{text!r} is no day and no moment: write it as 2024-03-01 or as 2024-03-01T03:00:00Z.")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many rows are done, and how many in a second; elsewhere nothing."""
    import sys

    if not sys.stderr.isatty():
        yield lambda done, rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    bar = Progress(
        TextColumn("Scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        rate,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None, rate="")

        def show(done: int, rows: int) -> None:
            if bar.tasks[0].total is None:  # what was done before is no part of the speed
                bar.reset(task, total=rows, completed=done)
            bar.update(task, completed=done)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f} rows/s" if speed else "")

        yield show
