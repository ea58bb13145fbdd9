"""`gc`: free the storage of what was deleted."""

from __future__ import annotations

__all__ = ["gc"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, print_json, table, working
from mainspring.clock import parse_duration

_SHOWN = 50

gc = App(
    name="gc",
    help_epilogue="""\
Examples:
  mainspring gc --dry-run
  mainspring gc --older-than 90d

What a version of a registered model, or of one that was deleted within that while, comes from stays, with the files
that it names; so do models and data of products. What goes cannot be restored, and stands in the ledger.""",
)


@gc.default
def collect(*, older_than: str = "30d", dry_run: bool = False, options: Options = HERE) -> None:
    """Remove what was deleted a while ago, uploads that were never finished, and files that nobody refers to.

    Parameters
    ----------
    older_than : str
        How long ago it was deleted at least, such as 12h or 30d.
    dry_run : bool
        Change nothing, and say what would go.
    """
    from mainspring.operate.free import free

    age = parse_duration(older_than)
    with working("Looking for what nobody refers to…"), opened(options) as workspace:
        gone = free(workspace, older_than=age, actor=actor(), dry_run=dry_run)
    files, size = sum(each.files for each in gone), sum(each.size for each in gone)
    if options.json:
        print_json({"dry_run": dry_run, "files": files, "bytes": size, "gone": gone})
        return
    done = "would be freed" if dry_run else "were freed"
    display(
        table(
            ("", "Which", "Name", ">Files", ">Bytes", "Note"),
            (
                (
                    each.what,
                    each.key,
                    each.name,
                    each.files,
                    each.size,
                    "stays, since a version comes from it" if each.stays else "",
                )
                for each in sorted(gone, key=lambda each: -each.size)[:_SHOWN]
            ),
        ),
        *([f"… and {len(gone) - _SHOWN:,} more; --json tells all."] if len(gone) > _SHOWN else []),
        f"{size:,} bytes in {files:,} files {done}.",
    )
