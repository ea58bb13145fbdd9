"""Points that charts of long histories need; of histories that are there they are made when a chart is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Integer, Text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0016"
down_revision = "0015"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Create the tables."""
    op.create_table(
        "metric_marks",
        _run("metric_marks"),
        Column("key", TEXT, primary_key=True),
        Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
        Column("step", BIG, primary_key=True, autoincrement=False),
        Column("value", Double, primary_key=True),
        Column("is_nan", Boolean, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_marked",
        _run("metric_marked"),
        Column("key", TEXT, primary_key=True),
        Column("until_ms", BIG, nullable=False),
        Column("until_step", BIG, nullable=False),
    )


def _run(table: str) -> Column[int]:
    reference = ForeignKey("logged_runs.position", name=f"{table}_run_exists")
    return Column("run", BIG, reference, primary_key=True, autoincrement=False)
