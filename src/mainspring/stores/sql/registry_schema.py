"""The tables of registered models and their webhooks, as the migrations leave them.

Moments in columns named `_ms` are milliseconds since 1970. Models and versions are referred to by `position`, so that
a model can be renamed.
"""

from __future__ import annotations

__all__ = [
    "registered_aliases",
    "registered_model_tags",
    "registered_models",
    "registered_version_tags",
    "registered_versions",
    "webhook_deliveries",
    "webhooks",
]

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, UniqueConstraint

from mainspring.stores.sql.schema import BIG, TEXT, metadata


def _model(table: str, *, key: bool = True) -> Column[int]:
    reference = ForeignKey("registered_models.position", name=f"{table}_model_exists")
    return Column("model", BIG, reference, primary_key=key, autoincrement=False, nullable=False)


def _version(table: str, *, key: bool = True) -> Column[int]:
    reference = ForeignKey("registered_versions.position", name=f"{table}_version_exists")
    return Column("version", BIG, reference, primary_key=key, autoincrement=False, nullable=False)


# `newest` is the number that was given last: the version may be gone, and its number is not given again.
registered_models = Table(
    "registered_models",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("product", Boolean, nullable=False),
    Column("newest", Integer, nullable=False),
    Column("created_ms", BIG, nullable=False),
    Column("updated_ms", BIG, nullable=False),
    UniqueConstraint("name", name="registered_models_name_unique"),
)

registered_model_tags = Table(
    "registered_model_tags",
    metadata,
    _model("registered_model_tags"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

registered_versions = Table(
    "registered_versions",
    metadata,
    Column("position", BIG, primary_key=True),
    _model("registered_versions", key=False),
    Column("number", Integer, nullable=False),
    Column("source", TEXT, nullable=False),
    Column("location", TEXT, nullable=False),
    Column("run_id", TEXT, nullable=False),
    Column("model_id", TEXT, nullable=False),
    Column("run_link", TEXT, nullable=False),
    Column("description", TEXT),
    Column("user_id", TEXT, nullable=False),
    Column("stage", TEXT, nullable=False),
    Column("created_ms", BIG, nullable=False),
    Column("updated_ms", BIG, nullable=False),
    UniqueConstraint("model", "number", name="registered_versions_number_unique"),
    CheckConstraint("number > 0", name="registered_versions_count_from_one"),
    CheckConstraint(
        "stage IN ('None', 'Staging', 'Production', 'Archived')", name="registered_versions_stage_known"
    ),
    Index("registered_versions_by_update", "updated_ms"),
    Index("registered_versions_by_run", "run_id"),
    Index("registered_versions_by_logged_model", "model_id"),
)

registered_version_tags = Table(
    "registered_version_tags",
    metadata,
    _version("registered_version_tags"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

registered_aliases = Table(
    "registered_aliases",
    metadata,
    _model("registered_aliases"),
    Column("alias", TEXT, primary_key=True),
    _version("registered_aliases", key=False),
    Index("registered_aliases_by_version", "version"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("webhook_id", TEXT, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("url", TEXT, nullable=False),
    Column("events", TEXT, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("secret", TEXT, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_ms", BIG, nullable=False),
    Column("updated_ms", BIG, nullable=False),
    UniqueConstraint("webhook_id", name="webhooks_id_unique"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("delivery_id", TEXT, nullable=False),
    Column(
        "webhook",
        BIG,
        ForeignKey("webhooks.position", name="webhook_deliveries_webhook_exists"),
        nullable=False,
    ),
    Column("event", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", TEXT, nullable=False),
    Column("error", TEXT, nullable=False),
    UniqueConstraint("delivery_id", name="webhook_deliveries_id_unique"),
    Index("webhook_deliveries_in_order", "webhook", "position"),
)
