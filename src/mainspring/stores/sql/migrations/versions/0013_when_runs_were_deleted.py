"""When runs were deleted, so that what they hold can be freed a while later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, Integer, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0013"
down_revision = "0012"


def upgrade(op: Operations) -> None:
    """Add the moment; of runs that are deleted already it is not known, and counted from now on."""
    op.add_column("logged_runs", Column("deleted_ms", BigInteger().with_variant(Integer(), "sqlite")))
    op.execute(
        text("UPDATE logged_runs SET deleted_ms = :now WHERE lifecycle = 'deleted'").bindparams(
            now=int(time.time() * 1000)
        )
    )
