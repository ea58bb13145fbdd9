"""`data tag`, `branch`, `merge` and `unname`: names of data versions."""

from __future__ import annotations

__all__ = ["branch", "merge", "names", "tag", "unname"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, print_json, table
from mainspring.errors import Invalid

tag = App(
    name="tag",
    help_epilogue="""\
Examples:
  mainspring data tag orders@v3 golden --reason "checked by hand"
  mainspring data tag orders golden --move
""",
)
branch = App(
    name="branch",
    help_epilogue="""\
Examples:
  mainspring data branch orders@v3 trial
  mainspring data branch orders trial --json
""",
)
merge = App(
    name="merge",
    help_epilogue="""\
Example:
  mainspring data merge orders@trial --reason "the trial went well"
""",
)
unname = App(
    name="unname",
    help_epilogue="""\
Example:
  mainspring data unname orders@trial
""",
)
names = App(
    name="names",
    help_epilogue="""\
Examples:
  mainspring data names
  mainspring data names orders --json
""",
)


@tag.default
def name_version(
    address: str, name: str, /, *, move: bool = False, reason: str = "", options: Options = HERE
) -> None:
    """Give a data version a name that stays, such as orders@golden; it is never given up while it has one.

    Parameters
    ----------
    address : str
        The version, such as orders@v3, or orders for the newest.
    name : str
        The tag.
    move : bool
        Move a tag that is there.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.names import tag_version
    from mainspring.ref import DataAddress

    asked = DataAddress.parse(address)
    with opened(options) as workspace:
        named = tag_version(workspace, asked, name, actor=actor(), reason=reason, move=move)
    if options.json:
        print_json(named)
    else:
        display(f"{named.dataset}@{named.name} is {named.dataset}@v{named.number}.")


@branch.default
def begin(address: str, name: str, /, *, reason: str = "", options: Options = HERE) -> None:
    """Begin a branch at a data version: what is added on it, no product reads until it is merged.

    Parameters
    ----------
    address : str
        Where it begins, such as orders@v3, or orders for the newest version.
    name : str
        The branch.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.names import begin_branch
    from mainspring.ref import DataAddress

    asked = DataAddress.parse(address)
    with opened(options) as workspace:
        named = begin_branch(workspace, asked, name, actor=actor(), reason=reason)
    if options.json:
        print_json(named)
    else:
        display(
            f"The branch {named.name} of {named.dataset} begins at {named.dataset}@v{named.number}. "
            f"To add to it, run `mainspring data add {named.dataset} SOURCE --branch {named.name}`."
        )


@merge.default
def take_over(address: str, /, *, reason: str = "", options: Options = HERE) -> None:
    """Make what a branch has the next version that products read, as long as they have got no other meanwhile.

    Parameters
    ----------
    address : str
        The branch, such as orders@trial.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.log import version_row
    from mainspring.operate.data.names import merge_branch

    dataset, name = _named(address)
    with opened(options) as workspace:
        version = merge_branch(workspace, dataset, name, actor=actor(), reason=reason)
        row = version_row(workspace, version.ref)
    if options.json:
        print_json(row)
    else:
        display(f"{row.ref} has what {address} has: {row.rows:,} rows.")


@unname.default
def drop_name(address: str, /, *, reason: str = "", options: Options = HERE) -> None:
    """Drop a tag or a branch; its versions stay until `mainspring data gc` gives them up.

    Parameters
    ----------
    address : str
        Such as orders@golden.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.data.names import unname as drop

    dataset, name = _named(address)
    with opened(options) as workspace:
        named = drop(workspace, dataset, name, actor=actor(), reason=reason)
    if options.json:
        print_json(named)
    else:
        display(f"{address}, which was {dataset}@v{named.number}, is no {named.kind.value} any more.")


@names.default
def list_names(dataset: str | None = None, /, *, options: Options = HERE) -> None:
    """List tags and branches.

    Parameters
    ----------
    dataset : str
        Those of this one alone.
    """
    with opened(options) as workspace, workspace.database.read() as tx:
        found = tx.data_names.names(dataset)
    if options.json:
        print_json(found)
        return
    display(
        table(
            ("Name", "Kind", "Version", "Given", "By"),
            (
                (
                    f"{each.dataset}@{each.name}",
                    each.kind.value,
                    f"{'from ' if each.kind == 'branch' else ''}v{each.number}",
                    each.at,
                    each.actor,
                )
                for each in found
            ),
        )
    )


def _named(address: str) -> tuple[str, str]:
    from mainspring.ref import DataAddress

    asked = DataAddress.parse(address)
    if not isinstance(asked.at, str) or asked.at.startswith("sha256:"):
        raise Invalid(f"{address!r} names no tag or branch: write it as {asked.dataset}@golden.")
    return asked.dataset, asked.at
