"""How a database comes to the newest revision: numbered steps, forward only, in one transaction.

A step is a file `versions/NNNN_what_it_does.py` with `revision`, `down_revision` and `upgrade(op)`. Once released it
is never edited. A batch operation on SQLite copies the table without its triggers: who alters `events` so writes its
triggers anew.
"""

from __future__ import annotations

__all__ = ["migrate"]

from pathlib import Path
from typing import TYPE_CHECKING

from mainspring.stores.sql.schema import REVISION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext, RevisionStep
    from sqlalchemy import Connection


def migrate(connection: Connection, *, scripts: Path = Path(__file__).parent) -> None:
    """Run the steps that the database lacks, within the connection's transaction.

    Parameters
    ----------
    connection : Connection
        In a transaction that can roll back DDL.
    scripts : Path
        The folder with the folder `versions`.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext, MigrationStep
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(scripts))

    def missing(found: tuple[str, ...], _: MigrationContext) -> Iterator[RevisionStep]:
        ahead = list(directory.iterate_revisions("head", found or "base"))
        for script in reversed(ahead):
            yield MigrationStep.upgrade_from_script(directory.revision_map, script)

    context = MigrationContext.configure(connection, opts={"fn": missing, "version_table": REVISION_TABLE})
    # Handed in rather than imported from alembic, where it is one for the whole process and its threads.
    context.run_migrations(op=Operations(context))
