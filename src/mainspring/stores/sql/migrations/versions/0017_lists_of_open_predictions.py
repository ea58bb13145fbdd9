"""Open predictions know the list in which they are put in order, so that it is measured when its last label comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Text, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0017"
down_revision = "0016"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_IN_A_LIST = text("list_id <> ''")


def upgrade(op: Operations) -> None:
    """Add the column; predictions from before are in no list."""
    op.add_column("open_predictions", Column("list_id", TEXT, nullable=False, server_default=""))
    op.create_index(
        "open_predictions_by_list",
        "open_predictions",
        ["list_id"],
        sqlite_where=_IN_A_LIST,
        postgresql_where=_IN_A_LIST,
    )
