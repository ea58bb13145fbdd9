"""Data versions on branches, with what they changed, and the tags and branches that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Integer, Text, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0015"
down_revision = "0014"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Add the columns, and tell of versions of before what is known: each follows the one before it."""
    for column in (
        Column("branch", TEXT, nullable=False, server_default="main"),
        Column("parent", Integer),
        Column("change", TEXT, nullable=False, server_default="append"),
        Column("rows_changed", BIG, nullable=False, server_default="0"),
        Column("rows_removed", BIG, nullable=False, server_default="0"),
        Column("source", TEXT, nullable=False, server_default=""),
        Column("retired_at", TEXT),
    ):
        op.add_column("data_versions", column)
    bind = op.get_bind()
    bind.execute(text("UPDATE data_versions SET parent = number - 1 WHERE number > 1"))
    # Only the answers of a scoring took the place of all rows so far.
    bind.execute(text("UPDATE data_versions SET change = 'replace' WHERE number > 1 AND rows = rows_added"))
    op.create_table(
        "data_names",
        Column("dataset", TEXT, primary_key=True),
        Column("name", TEXT, primary_key=True),
        Column("kind", TEXT, nullable=False),
        Column("number", Integer, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        ForeignKeyConstraint(
            ["dataset", "number"],
            ["data_versions.dataset", "data_versions.number"],
            name="data_names_version_exists",
        ),
        CheckConstraint("kind IN ('tag', 'branch')", name="data_names_kind_known"),
    )
