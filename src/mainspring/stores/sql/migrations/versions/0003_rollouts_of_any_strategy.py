"""Rollouts follow any strategy, with any number of challengers, and can be paused, approved and aborted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")
_IN_PROGRESS = "phase IN ('running', 'paused', 'awaiting_approval')"


def upgrade(op: Operations) -> None:
    """Make the tables anew with their rows: not every database can change a constraint in place."""
    rollouts = _taken(op, "rollouts")
    units = _taken(op, "rollout_units")
    cycles = _taken(op, "cycles")
    declared = {
        row["key"].removeprefix("product:"): json.loads(row["text"])["rollout"]
        for row in _rows(op, "workspace_values")
        if row["key"].startswith("product:")
    }
    arms: dict[str, dict[str, int]] = {}
    for row in rollouts:
        rollout = json.loads(row["rollout"])
        arms[row["rollout_id"]] = {"champion": rollout["champion"], "challenger": rollout["challenger"]}
        row["rollout"] = json.dumps(_of_any_strategy(rollout, declared), sort_keys=True)
    for row in units:
        row["version"] = arms[row["step_id"].rpartition("/")[0]][row.pop("arm")]
        row |= {"score": None, "slices": "{}", "metrics": row.pop("loss")}
    _create(op)
    for name, rows in (("rollouts", rollouts), ("rollout_units", units), ("cycles", cycles)):
        if rows:
            columns = list(rows[0])
            statement = text(
                f"INSERT INTO {name} ({', '.join(map(_quoted, columns))}) "
                f"VALUES ({', '.join(f':{column}' for column in columns)})"
            )
            op.get_bind().execute(statement, rows)
    if op.get_bind().dialect.name == "postgresql":
        # Rows were given with their positions, of which the sequence of the new table knows nothing.
        op.execute(
            "SELECT setval(pg_get_serial_sequence('rollouts', 'position'), COALESCE(MAX(position), 0) + 1, false) "
            "FROM rollouts"
        )


def _of_any_strategy(rollout: dict[str, Any], declared: dict[str, Any]) -> dict[str, Any]:
    """The steps are the rollout's own, all else is as the product declares it."""
    strategy = declared.get(rollout["product"], {"type": "Canary"}) | {"steps": rollout.pop("steps")}
    if strategy["steps"][-1] != 1.0:
        strategy["steps"].append(1.0)
    challenger = rollout.pop("challenger")
    return rollout | {"challengers": [challenger], "strategy": strategy}


def _rows(op: Operations, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in op.get_bind().execute(text(f"SELECT * FROM {name}")).mappings()]


def _taken(op: Operations, name: str) -> list[dict[str, Any]]:
    rows = _rows(op, name)
    op.drop_table(name)
    return rows


def _quoted(column: str) -> str:
    return f'"{column}"'


def _create(op: Operations) -> None:
    op.create_table(
        "rollouts",
        Column("position", BIG, primary_key=True),
        Column("rollout_id", TEXT, nullable=False),
        Column("product", TEXT, nullable=False),
        Column("phase", TEXT, nullable=False),
        Column("rollout", TEXT, nullable=False),
        UniqueConstraint("rollout_id", name="rollouts_id_unique"),
        CheckConstraint(
            "phase IN ('running', 'paused', 'awaiting_approval', 'promoted', 'rolled_back', 'aborted', 'expired')",
            name="rollouts_phase_known",
        ),
        Index(
            "rollouts_one_in_progress",
            "product",
            unique=True,
            sqlite_where=text(_IN_PROGRESS),
            postgresql_where=text(_IN_PROGRESS),
        ),
    )
    op.create_table(
        "rollout_units",
        Column("step_id", TEXT, primary_key=True),
        Column("unit", TEXT, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("failed", Boolean, nullable=False),
        Column("took_s", Double),
        Column("score", Double),
        Column("slices", TEXT, nullable=False),
        Column("metrics", TEXT, nullable=False),
        CheckConstraint("version > 0", name="rollout_units_version_counts_from_one"),
    )
    op.create_table(
        "rollout_measurements",
        Column("step_id", TEXT, primary_key=True),
        Column("threshold", TEXT, primary_key=True),
        Column("at", TEXT, primary_key=True),
        Column("value", Double),
        Column("result", TEXT, nullable=False),
        CheckConstraint(
            "result IN ('successful', 'failed', 'inconclusive', 'error')",
            name="rollout_measurements_result_known",
        ),
    )
    op.create_table(
        "cycles",
        Column("cycle_id", TEXT, primary_key=True),
        Column("product", TEXT, nullable=False),
        Column("number", Integer, nullable=False),
        Column("trigger", TEXT, nullable=False),
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
            "trigger IN ('on_demand', 'on_schedule', 'on_new_data', 'on_degradation', 'on_drift')",
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
