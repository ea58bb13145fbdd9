"""Printing: tables and facts for people, plain lines where nobody looks, JSON for programs."""

from __future__ import annotations

__all__ = [
    "complain",
    "counting",
    "counting_each",
    "display",
    "facts",
    "figures",
    "harmless",
    "moment",
    "print_json",
    "table",
    "toned",
    "working",
    "write_new",
]

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Taken

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, RenderableType
    from rich.status import Status
    from rich.table import Table
    from rich.text import Text

# In a pipe a row is a line, however long.
_UNFOLDED = 100_000
_TONES = {
    "green": (
        "promoted",
        "published",
        "passed",
        "completed",
        "champion",
        "no_harm_shown",
        "certified",
        "shown",
    ),
    "yellow": (
        "running",
        "rolling_out",
        "insufficient_data",
        "expired",
        "challenger",
        "hold",
        "paused",
        "awaiting_approval",
        "suspected",
    ),
    "red": ("refused", "rolled_back", "failed", "could_not_judge", "harm", "confirmed", "alarm"),
}


def display(*parts: RenderableType, stderr: bool = False) -> None:
    """Print texts and tables one below the other; texts as they are, without markup."""
    console = _console(stderr=stderr)
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    lines = (line.rstrip() for line in captured.get().splitlines())
    print(*lines, sep="\n", file=sys.stderr if stderr else sys.stdout)


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr, width=None if terminal else _UNFOLDED, highlight=False, markup=False, emoji=False
    )


def print_json(value: object) -> None:
    """Print a value as JSON, under the names of its fields."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet; raises `Taken`."""
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise Taken(f"{file} is there already: name a place where nothing is.") from None


def complain(text: str) -> None:
    """Print a text to standard error."""
    print(harmless(text), file=sys.stderr)


def harmless(text: str) -> str:
    r"""Give a text whose characters all print: what came with data must not speak to the terminal.

    Examples
    --------
    >>> print(harmless("caf\u00e9 \x1b[2J\nnext"))
    café \x1b[2J
    next
    """
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def working(what: str) -> Status:
    """Show on a terminal that something takes a while, for the length of a `with` block."""
    return _console(stderr=True).status(what)


@contextmanager
def counting_each() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show on a terminal how far some works are, for the length of a block.

    Yields
    ------
    callable
        Told what is under way, how many are done, and of how many where that is known.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = _console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def tell(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(harmless(what), total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield tell


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on a terminal how many of how many are done; of 0 means that nobody knows how many there will be."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Make a table; a column whose name begins with `>` is set flush right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    terminal = sys.stdout.isatty()
    made = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(
            name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def facts(values: Mapping[str, object]) -> Table:
    """Make a list of names and values; a value of None is left out."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        if value is not None:
            made.add_row(Text(name, style="dim"), _cell(value))
    return made


def moment(at: datetime) -> str:
    """Print a moment to the minute; every moment is in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def figures(values: Mapping[str, object]) -> str:
    """Print names and numbers in one line.

    Examples
    --------
    >>> figures({"log_loss": 0.481234567, "rows": 12})
    'log_loss 0.4812, rows 12'
    """
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def toned(word: str | None) -> Text | None:
    """Give a word the colour of what it means."""
    from rich.text import Text

    if word is None:
        return None
    return Text(word, style=next((tone for tone, words in _TONES.items() if word in words), ""))


def _cell(value: object) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if isinstance(value, Text | Table):
        return value
    text = _text(value)
    return text if sys.stdout.isatty() else " ".join(text.split())


def _text(value: object) -> str:
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case datetime():
            return moment(value)
        case Mapping():
            return figures(value) or "–"
        case str():
            return harmless(value)
        case Sequence():
            return ", ".join(map(_text, value)) or "–"
        case _:
            return str(value)
