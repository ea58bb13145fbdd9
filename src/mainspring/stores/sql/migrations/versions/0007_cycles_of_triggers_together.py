"""A cycle that several triggers start together says so, and of which kinds they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Column, Index, Integer, Text, UniqueConstraint, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0007"
down_revision = "0006"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Make the table anew with its rows: not every database can change a constraint in place.

    Cycles of before keep the kind under which they were recorded.
    """
    rows = [
        dict(row) | {"parts": "[]"} for row in op.get_bind().execute(text("SELECT * FROM cycles")).mappings()
    ]
    op.drop_table("cycles")
    op.create_table(
        "cycles",
        Column("cycle_id", TEXT, primary_key=True),
        Column("product", TEXT, nullable=False),
        Column("number", Integer, nullable=False),
        Column("trigger", TEXT, nullable=False),
        Column("parts", TEXT, nullable=False),
        Column("evidence", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        Column("params", TEXT, nullable=False),
        Column("data", TEXT, nullable=False),
        Column("opened_at", TEXT, nullable=False),
        Column("state", TEXT, nullable=False),
        Column("version", Integer),
        Column("verdict", TEXT, nullable=False),
        Column("outcome", TEXT),
        Column("reason", TEXT, nullable=False),
        Column("closed_at", TEXT),
        Column("metrics", TEXT, nullable=False),
        UniqueConstraint("product", "number", name="cycles_number_unique"),
        CheckConstraint("number > 0", name="cycles_count_from_one"),
        CheckConstraint(
            "trigger IN ('on_demand', 'on_schedule', 'on_new_data', 'on_degradation', 'on_drift', 'all_of')",
            name="cycles_trigger_known",
        ),
        CheckConstraint(
            "state IN ('started', 'trained', 'judged', 'registered', 'rolling_out', 'closed')",
            name="cycles_state_known",
        ),
        CheckConstraint(
            "outcome IN ('promoted', 'refused', 'rolled_back', 'expired', 'aborted', 'failed')",
            name="cycles_outcome_known",
        ),
        CheckConstraint(
            "(state = 'closed') = (outcome IS NOT NULL) AND (state = 'closed') = (closed_at IS NOT NULL)",
            name="cycles_end_once",
        ),
        Index(
            "cycles_one_open",
            "product",
            unique=True,
            sqlite_where=text("state != 'closed'"),
            postgresql_where=text("state != 'closed'"),
        ),
    )
    if rows:
        columns = list(rows[0])
        names, values = ", ".join(f'"{each}"' for each in columns), ", ".join(f":{each}" for each in columns)
        op.get_bind().execute(text(f"INSERT INTO cycles ({names}) VALUES ({values})"), rows)
