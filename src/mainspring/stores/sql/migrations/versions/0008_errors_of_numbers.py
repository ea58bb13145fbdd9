"""The quality of a day has the errors of predicted numbers beside the losses of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Integer

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0008"
down_revision = "0007"

BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Add the columns; there was no such model before."""
    for name in ("mae_millionths", "mse_millionths", "mape_millionths"):
        op.add_column("daily_quality", Column(name, BIG, nullable=False, server_default="0"))
