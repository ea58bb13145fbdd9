"""Facts of the workspace, each a text under a key."""

from __future__ import annotations

__all__ = ["SqlValues"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.schema import workspace_values

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class SqlValues:
    """Texts by key: the driven clock's time, the seed, declared products."""

    connection: Connection

    def get(self, key: str) -> str | None:
        """Give the text under a key, if there is one."""
        rows = self.connection.execute(select(workspace_values.c.text).where(workspace_values.c.key == key))
        found: str | None = rows.scalar_one_or_none()
        return found

    def put(self, key: str, text: str) -> None:
        """Keep a text, in place of the one before."""
        statement = insert(self.connection, workspace_values)
        self.connection.execute(
            statement.on_conflict_do_update(index_elements=["key"], set_={"text": statement.excluded.text}),
            {"key": key, "text": text},
        )

    def remove(self, key: str) -> None:
        """Forget a text; one that is not there is fine."""
        self.connection.execute(delete(workspace_values).where(workspace_values.c.key == key))

    def items(self, prefix: str = "") -> dict[str, str]:
        """Give the texts whose keys begin with a prefix, ordered by key."""
        table = workspace_values.c
        rows = self.connection.execute(
            select(table.key, table.text)
            .where(func.substr(table.key, 1, len(prefix)) == prefix)
            .order_by(table.key)
        )
        return {row.key: row.text for row in rows}
