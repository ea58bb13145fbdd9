"""Approval policies, which are never changed, and what people have said under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, Text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0012"
down_revision = "0011"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Make the tables."""
    op.create_table(
        "approval_policies",
        Column("product", TEXT, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("policy", TEXT, nullable=False),
        Column("declared_at", TEXT, nullable=False),
        CheckConstraint("number > 0", name="approval_policies_count_from_one"),
    )
    op.create_table(
        "approvals",
        Column("position", BIG, primary_key=True),
        Column("product", TEXT, nullable=False),
        Column("version", Integer, nullable=False),
        Column("about", TEXT, nullable=False),
        Column("answer", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        Column("reason", TEXT, nullable=False),
        Column("policy", Integer, nullable=False),
        Column("at", TEXT, nullable=False),
        ForeignKeyConstraint(
            ["product", "policy"],
            ["approval_policies.product", "approval_policies.number"],
            name="approvals_under_a_policy",
        ),
        CheckConstraint("answer IN ('approved', 'refused')", name="approvals_answer_known"),
        Index("approvals_by_version", "product", "version", "position"),
    )
