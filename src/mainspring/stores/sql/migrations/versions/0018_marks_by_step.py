"""Marks of long histories go by step; those of before went by time, and are made anew when a chart is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Integer, Text, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0018"
down_revision = "0017"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Create the table of late points, and forget the marks."""
    op.create_table(
        "metric_late",
        Column(
            "run",
            BIG,
            ForeignKey("logged_runs.position", name="metric_late_run_exists"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("key", TEXT, primary_key=True),
        Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
        Column("step", BIG, primary_key=True, autoincrement=False),
        Column("value", Double, primary_key=True),
        Column("is_nan", Boolean, primary_key=True),
        sqlite_with_rowid=False,
    )
    bind = op.get_bind()
    for table in ("metric_marks", "metric_marked"):
        bind.execute(text(f"DELETE FROM {table}"))
