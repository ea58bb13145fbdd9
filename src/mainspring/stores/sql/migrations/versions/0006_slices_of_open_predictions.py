"""Open predictions know the slices that they are in, so that a label is counted there when it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Add the column; predictions from before are in no slice."""
    op.add_column("open_predictions", Column("groups", TEXT, nullable=False, server_default="[]"))
