"""`data diff` and `data checkout`: what versions differ in, and a version as files."""

from __future__ import annotations

__all__ = ["checkout", "diff", "show_diff"]

from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import counting, display, print_json, table, working

if TYPE_CHECKING:
    from mainspring.operate.data.diff import DataDiff

diff = App(
    name="diff",
    help_epilogue="""\
Examples:
  mainspring data diff orders@v2 orders@v3
  mainspring data diff orders@golden --shift
""",
)
checkout = App(
    name="checkout",
    help_epilogue="""\
Examples:
  mainspring data checkout orders@v3 orders.parquet
  mainspring data checkout images@v2 images/
""",
)


@diff.default
def compare_versions(
    address: str, other: str | None = None, /, *, shift: bool = False, options: Options = HERE
) -> None:
    """Compare two versions of a dataset: columns, rows, and with --shift how their values are distributed.

    Parameters
    ----------
    address : str
        A version; alone, it is compared with the one that it follows.
    other : str
        The newer version: `orders@v1 orders@v3` tells what has come since v1.
    shift : bool
        Compare the distributions of each column, too.
    """
    from mainspring.operate.data.diff import diff_versions
    from mainspring.ref import DataAddress

    first, second = DataAddress.parse(address), DataAddress.parse(other) if other else None
    with working("Comparing…"), opened(options) as workspace:
        found = diff_versions(workspace, second or first, first if second else None, shift=shift)
    if options.json:
        print_json(found)
    else:
        show_diff(found)


def show_diff(found: DataDiff) -> None:
    """Print in what two data versions differ."""
    from mainspring.cli.profiles import show_profile

    display(
        f"{found.before} → {found.now}: {found.rows_before:,} → {found.rows_now:,} rows; {found.rows_added:,} added, "
        f"{found.rows_changed:,} changed, {found.rows_removed:,} removed"
        + (f" by {', '.join(found.key)}." if found.key else ", row by row, since nothing names one.")
    )
    if found.columns:
        display(
            table(
                ("Column", "Before", "Now", ">Rows changed"),
                ((each.name, each.before, each.now, each.rows_changed) for each in found.columns),
            )
        )
    examples = [
        (sign, key)
        for sign, keys in (("+", found.added), ("~", found.changed), ("-", found.removed))
        for key in keys
    ]
    if examples:
        display(table(("", "Such as"), examples))
    if found.shift:
        show_profile(found.shift)


@checkout.default
def write_files(address: str, to: Path, /, *, options: Options = HERE) -> None:
    """Write a data version to a file, or to a folder where it is one of files.

    Parameters
    ----------
    address : str
        Such as orders@golden.
    to : Path
        A file that ends in .parquet, .arrow, .csv or .ndjson, or a folder. Nothing may be there yet.
    """
    from mainspring.operate.data.checkout import check_out
    from mainspring.ref import DataAddress

    asked = DataAddress.parse(address)
    with opened(options) as workspace, counting("Writing") as progress:
        done = check_out(workspace, asked, to, progress=progress)
    if options.json:
        print_json(done)
    else:
        display(f"{done.ref} is in {done.path}: {done.rows:,} rows.")
