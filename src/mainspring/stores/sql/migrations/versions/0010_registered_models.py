"""Models that clients register, products among them, and the webhooks that are told of them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0010"
down_revision = "0009"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Create the tables, and register the products that are there, with their versions and aliases."""
    registered_models = op.create_table(
        "registered_models",
        Column("position", BIG, primary_key=True),
        Column("name", TEXT, nullable=False),
        Column("description", TEXT, nullable=False),
        Column("product", Boolean, nullable=False),
        Column("newest", Integer, nullable=False),
        Column("created_ms", BIG, nullable=False),
        Column("updated_ms", BIG, nullable=False),
        UniqueConstraint("name", name="registered_models_name_unique"),
    )
    registered_model_tags = op.create_table(
        "registered_model_tags",
        _model("registered_model_tags"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    registered_versions = op.create_table(
        "registered_versions",
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
    )
    op.create_index("registered_versions_by_update", "registered_versions", ["updated_ms"])
    op.create_index("registered_versions_by_run", "registered_versions", ["run_id"])
    registered_version_tags = op.create_table(
        "registered_version_tags",
        _version("registered_version_tags"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    registered_aliases = op.create_table(
        "registered_aliases",
        _model("registered_aliases"),
        Column("alias", TEXT, primary_key=True),
        _version("registered_aliases", key=False),
    )
    op.create_index("registered_aliases_by_version", "registered_aliases", ["version"])
    op.create_table(
        "webhooks",
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
    op.create_table(
        "webhook_deliveries",
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
    )
    op.create_index("webhook_deliveries_in_order", "webhook_deliveries", ["webhook", "position"])
    _register_products(
        op,
        registered_models,
        registered_model_tags,
        registered_versions,
        registered_version_tags,
        registered_aliases,
    )


def _register_products(
    op: Operations, models: Table, model_tags: Table, versions: Table, version_tags: Table, aliases: Table
) -> None:
    bind = op.get_bind()
    known = {row.key: row.text for row in bind.execute(text("SELECT * FROM workspace_values"))}
    rows = bind.execute(text("SELECT * FROM model_versions ORDER BY product, number")).all()
    declared = {key.removeprefix("product:") for key in known if key.startswith("product:")}
    positions: dict[str, int] = {}
    placed: dict[tuple[str, int], int] = {}
    for product in sorted(declared | {row.product for row in rows}):
        own = [row for row in rows if row.product == product]
        begun = [known[f"declared:{product}"]] if f"declared:{product}" in known else []
        moments = [_ms(text) for text in begun + [row.registered_at for row in own]] or [
            int(time.time() * 1000)
        ]
        model = {
            "name": product,
            "description": "",
            "product": True,
            "newest": max((row.number for row in own), default=0),
            "created_ms": min(moments),
            "updated_ms": max(moments),
        }
        positions[product] = _insert(bind, models, model)
        tag = {"model": positions[product], "key": "mainspring.product", "value": product}
        bind.execute(model_tags.insert(), tag)
        for row in own:
            version = {
                "model": positions[product],
                "number": row.number,
                "source": f"mainspring:/{product}@{row.number}",
                "location": "",
                "run_id": row.run_id,
                "model_id": "",
                "run_link": "",
                "description": row.reason,
                "user_id": "",
                "stage": "None",
                "created_ms": _ms(row.registered_at),
                "updated_ms": _ms(row.registered_at),
            }
            placed[product, row.number] = position = _insert(bind, versions, version)
            tags = {"mainspring.cycle": row.cycle_id, "mainspring.artifact": row.artifact}
            bind.execute(
                version_tags.insert(),
                [{"version": position, "key": key, "value": value} for key, value in tags.items()],
            )
    for row in bind.execute(text("SELECT * FROM model_aliases")).all():
        alias = {
            "model": positions[row.product],
            "alias": row.alias,
            "version": placed[row.product, row.number],
        }
        bind.execute(aliases.insert(), alias)


def _insert(bind: Any, table: Table, row: dict[str, Any]) -> int:
    position: int = bind.execute(table.insert().returning(table.c.position), row).scalar_one()
    return position


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _model(table: str, *, key: bool = True) -> Column[int]:
    reference = ForeignKey("registered_models.position", name=f"{table}_model_exists")
    return Column("model", BIG, reference, primary_key=key, autoincrement=False, nullable=False)


def _version(table: str, *, key: bool = True) -> Column[int]:
    reference = ForeignKey("registered_versions.position", name=f"{table}_version_exists")
    return Column("version", BIG, reference, primary_key=key, autoincrement=False, nullable=False)
