"""`upgrade`: bring a workspace's database to the newest revision."""

from __future__ import annotations

__all__ = ["upgrade"]

from cyclopts import App

from mainspring.cli.options import HERE, Options
from mainspring.cli.show import display, print_json, working

upgrade = App(name="upgrade", help_epilogue="Example:\n  mainspring upgrade --root ~/late-orders")


@upgrade.default
def bring_up_to_date(*, options: Options = HERE) -> None:
    """Bring an older database up to date; keep a copy of it before."""
    from mainspring.settings import Settings
    from mainspring.stores.sql.database import Database
    from mainspring.workspace import NoWorkspace

    settings = Settings.load(options.folder)
    if not any(file.is_file() for file in settings.product_files):
        raise NoWorkspace(settings.root)
    settings.state.mkdir(exist_ok=True)
    database = Database.at(settings.database_url)
    try:
        with working("Upgrading the database…"):
            before = database.upgrade()
            after = database.revision()
    finally:
        database.close()
    if options.json:
        print_json({"database": database.where, "before": before, "after": after})
    elif before == after:
        display(f"{database.where} is at the newest revision, {after}, already.")
    else:
        display(f"{database.where}: from {before or 'nothing'} to revision {after}.")
