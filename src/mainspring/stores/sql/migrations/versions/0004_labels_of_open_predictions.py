"""Labels are kept beside their predictions, so that a revised one is told from a repeated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0004"
down_revision = "0003"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Make the table; predictions that had their label before were not kept, and stay as they were counted."""
    op.create_table(
        "known_labels",
        Column("prediction_id", TEXT, primary_key=True),
        Column("metric", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
        Column("known_at", TEXT, nullable=False),
    )
    op.create_index("open_predictions_by_time", "open_predictions", ["at"])
