"""Alarms keep their evidence and what people make of them, and alerts are delivered."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Index, Integer, Text, UniqueConstraint, text

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0005"
down_revision = "0004"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Make the table of alarms anew; those of before have no figures, since none were kept."""
    query = text("SELECT * FROM alarms ORDER BY position")
    before = [_with_id(dict(row)) for row in op.get_bind().execute(query).mappings()]
    op.drop_table("alarms")
    op.create_table(
        "alarms",
        Column("position", BIG, primary_key=True),
        Column("alarm_id", TEXT, nullable=False),
        Column("product", TEXT, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("alarm", TEXT, nullable=False),
        UniqueConstraint("alarm_id", name="alarms_id_unique"),
        Index("alarms_by_product", "product", "at"),
    )
    op.create_table(
        "alert_deliveries",
        Column("route", TEXT, primary_key=True),
        Column("number", BIG, primary_key=True, autoincrement=False),
        Column("product", TEXT, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("retry_at", TEXT, nullable=False),
        Column("error", TEXT, nullable=False),
        Column("sent_at", TEXT),
    )
    if before:
        statement = text(
            "INSERT INTO alarms (alarm_id, product, at, alarm) VALUES (:alarm_id, :product, :at, :alarm)"
        )
        op.get_bind().execute(statement, before)


def _with_id(row: dict[str, Any]) -> dict[str, Any]:
    del row["position"]
    caused = [row["product"], row["version"], row["monitor"], row["at"]]
    state = "suspected" if row["about"] == "drift" else "confirmed"
    return {
        "alarm_id": hashlib.sha256(_canonical(caused).encode()).hexdigest()[:12],
        "product": row["product"],
        "at": row["at"],
        "alarm": _canonical(row | {"state": state}),
    }


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
