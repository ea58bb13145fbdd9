"""`runs folders`, `move` and `archive`: experiments in folders."""

from __future__ import annotations

__all__ = ["archive", "folders", "move"]

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, print_json, table

folders = App(
    name="folders",
    help_epilogue="Examples:\n  mainspring runs folders\n  mainspring runs folders team/flights",
)
move = App(name="move", help_epilogue="Example:\n  mainspring runs move team/flights shared/flights\n")
archive = App(
    name="archive",
    help_epilogue="""\
Examples:
  mainspring runs archive team/flights
  mainspring runs move archive/team/flights team/flights
""",
)


@folders.default
def list_folder(folder: str = "", /, *, options: Options = HERE) -> None:
    """List the folders of experiments: a `/` in an experiment's name makes them.

    Parameters
    ----------
    folder : str
        What is in this one; by default, in none.
    """
    from mainspring.operate.experiment_folders import folder_rows

    with opened(options) as workspace:
        rows = folder_rows(workspace, folder)
    if options.json:
        print_json(rows)
        return
    display(
        table(
            ("Folder or experiment", ">Experiments"),
            ((f"{row.path}/", row.experiments) if row.is_folder else (row.path, None) for row in rows),
        )
    )


@move.default
def move_to(source: str, to: str, /, *, options: Options = HERE) -> None:
    """Move an experiment, or a folder with all experiments that are in it; runs, ids and files stay.

    Parameters
    ----------
    source, to : str
        Its name, and the one that it gets.
    """
    from mainspring.operate.experiment_folders import move_folder

    with opened(options) as workspace:
        names = move_folder(workspace, source, to)
    _tell(names, options)


@archive.default
def put_away(folder: str, /, *, options: Options = HERE) -> None:
    """Move an experiment or a folder into the folder `archive`, where nothing is lost.

    Parameters
    ----------
    folder : str
        Its name.
    """
    from mainspring.operate.experiment_folders import archive_folder

    with opened(options) as workspace:
        names = archive_folder(workspace, folder)
    _tell(names, options)


def _tell(names: dict[str, str], options: Options) -> None:
    if options.json:
        print_json(names)
        return
    display(table(("It was", "It is"), names.items()))
