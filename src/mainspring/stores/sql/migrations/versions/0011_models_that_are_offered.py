"""A request, and the cycle that it starts, may be about a model that a client logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0011"
down_revision = "0010"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Add the column to both; those of before train."""
    op.add_column("training_requests", Column("offer", TEXT))
    op.add_column("cycles", Column("offer", TEXT))
