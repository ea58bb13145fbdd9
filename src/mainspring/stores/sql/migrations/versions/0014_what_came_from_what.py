"""Indexes by which is found what came from a dataset, a logged model or a data version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0014"
down_revision = "0013"


def upgrade(op: Operations) -> None:
    """Add the indexes."""
    op.create_index("datasets_by_digest", "datasets", ["digest"])
    op.create_index("run_datasets_by_dataset", "run_datasets", ["dataset"])
    op.create_index("run_models_by_model", "run_models", ["model_id"])
    op.create_index("registered_versions_by_logged_model", "registered_versions", ["model_id"])
