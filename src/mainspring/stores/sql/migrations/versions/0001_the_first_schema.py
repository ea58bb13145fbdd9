"""The first schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")

_NEVER = "the ledger is append-only: an event is never changed and never removed"

# The last one refuses INSERT OR REPLACE too, which would remove a row without telling the others.
_SQLITE_GUARDS = (
    f"CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    f"CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
    "CREATE TRIGGER events_no_gap BEFORE INSERT ON events "
    "WHEN NEW.number != (SELECT COALESCE(MAX(number), 0) + 1 FROM events) "
    f"BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END",
)
_POSTGRESQL_GUARDS = (
    "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_NEVER}'; END $$",
    "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events "
    "FOR EACH ROW EXECUTE FUNCTION events_refuse()",
    "CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events "
    "FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
)


def upgrade(op: Operations) -> None:
    """Create every table, and the triggers that keep the ledger append-only."""
    op.create_table(
        "workspace_values",
        Column("key", TEXT, primary_key=True),
        Column("text", TEXT, nullable=False),
    )
    op.create_table(
        "leases",
        Column("name", TEXT, primary_key=True),
        Column("holder", TEXT, nullable=False),
        Column("expires_at", TEXT, nullable=False),
    )
    op.create_table(
        "events",
        Column("number", BIG, primary_key=True, autoincrement=False),
        Column("type", TEXT, nullable=False),
        Column("subject", TEXT, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        Column("reason", TEXT, nullable=False),
        Column("data", TEXT, nullable=False),
        Column("previous", TEXT, nullable=False),
        Column("hash", TEXT, nullable=False),
        UniqueConstraint("hash", name="events_hash_unique"),
        CheckConstraint("number > 0", name="events_count_from_one"),
        Index("events_by_subject", "subject", "number"),
    )
    op.create_table(
        "data_versions",
        Column("dataset", TEXT, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("digest", TEXT, nullable=False),
        Column("rows", BIG, nullable=False),
        Column("rows_added", BIG, nullable=False),
        Column("published_at", TEXT, nullable=False),
        Column("table_version", BIG, nullable=False),
        CheckConstraint("number > 0", name="data_versions_count_from_one"),
        CheckConstraint("rows >= 0 AND rows_added >= 0", name="data_versions_have_rows"),
    )
    op.create_table(
        "data_batches",
        Column("position", BIG, primary_key=True),
        Column("dataset", TEXT, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        Column("report", TEXT, nullable=False),
        Column("version", Integer),
        UniqueConstraint("dataset", "digest", name="data_batches_digest_unique"),
    )
    op.create_table(
        "runs",
        Column("position", BIG, primary_key=True),
        Column("run_id", TEXT, nullable=False),
        Column("product", TEXT, nullable=False),
        Column("cycle_id", TEXT, nullable=False),
        Column("state", TEXT, nullable=False),
        Column("params", TEXT, nullable=False),
        Column("data", TEXT, nullable=False),
        Column("started_at", TEXT, nullable=False),
        Column("metrics", TEXT, nullable=False),
        Column("steps", TEXT, nullable=False),
        Column("error", TEXT, nullable=False),
        UniqueConstraint("run_id", name="runs_id_unique"),
        CheckConstraint("state IN ('running', 'completed', 'failed')", name="runs_state_known"),
        Index("runs_by_product", "product", "position"),
    )
    op.create_table(
        "steps",
        Column("position", BIG, primary_key=True),
        Column("digest", TEXT, nullable=False),
        Column("step", TEXT, nullable=False),
        Column("key", TEXT, nullable=False),
        Column("output", TEXT, nullable=False),
        Column("run_id", TEXT, ForeignKey("runs.run_id", name="steps_run_exists"), nullable=False),
        Column("reason", TEXT, nullable=False),
        UniqueConstraint("digest", name="steps_digest_unique"),
        Index("steps_by_name", "step", "position"),
    )
    op.create_table(
        "model_versions",
        Column("product", TEXT, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("cycle_id", TEXT, nullable=False),
        Column("run_id", TEXT, nullable=False),
        Column("artifact", TEXT, nullable=False),
        Column("native", TEXT, nullable=False),
        Column("signature", TEXT, nullable=False),
        Column("data", TEXT, nullable=False),
        Column("lineage", TEXT, nullable=False),
        Column("metrics", TEXT, nullable=False),
        Column("reference", TEXT, nullable=False),
        Column("reason", TEXT, nullable=False),
        Column("registered_at", TEXT, nullable=False),
        CheckConstraint("number > 0", name="model_versions_count_from_one"),
    )
    op.create_table(
        "model_aliases",
        Column("product", TEXT, primary_key=True),
        Column("alias", TEXT, primary_key=True),
        Column("number", Integer, nullable=False),
        ForeignKeyConstraint(
            ["product", "number"],
            ["model_versions.product", "model_versions.number"],
            name="model_aliases_version_exists",
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
            "outcome IN ('promoted', 'refused', 'rolled_back', 'expired', 'failed')",
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
    op.create_table(
        "training_requests",
        Column("position", BIG, primary_key=True),
        Column("request_id", TEXT, nullable=False),
        Column("product", TEXT, nullable=False),
        Column("params", TEXT, nullable=False),
        Column("data", TEXT, nullable=False),
        Column("actor", TEXT, nullable=False),
        Column("reason", TEXT, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("cycle_id", TEXT),
        UniqueConstraint("request_id", name="training_requests_id_unique"),
        Index("training_requests_by_product", "product", "position"),
    )
    op.create_table(
        "log_cursors",
        Column("log", TEXT, primary_key=True),
        Column("segment", Integer, nullable=False),
        Column("byte_offset", BIG, nullable=False),
        CheckConstraint("segment > 0 AND byte_offset >= 0", name="log_cursors_in_a_segment"),
    )
    op.create_table(
        "open_predictions",
        Column("prediction_id", TEXT, primary_key=True),
        Column("product", TEXT, nullable=False),
        Column("version", Integer, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("unit", TEXT, nullable=False),
        Column("score", Double, nullable=False),
    )
    op.create_table(
        "daily_quality",
        Column("product", TEXT, primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("day", TEXT, primary_key=True),
        Column("predictions", BIG, nullable=False),
        Column("labelled", BIG, nullable=False),
        Column("positives", BIG, nullable=False),
        Column("log_loss_millionths", BIG, nullable=False),
        Column("brier_millionths", BIG, nullable=False),
    )
    op.create_table(
        "daily_tables",
        Column("product", TEXT, primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("kind", TEXT, primary_key=True),
        Column("day", TEXT, primary_key=True),
        Column("text", TEXT, nullable=False),
    )
    op.create_table(
        "alarms",
        Column("position", BIG, primary_key=True),
        Column("product", TEXT, nullable=False),
        Column("monitor", TEXT, nullable=False),
        Column("about", TEXT, nullable=False),
        Column("at", TEXT, nullable=False),
        Column("version", Integer, nullable=False),
        Column("evidence", TEXT, nullable=False),
        Index("alarms_by_product", "product", "at"),
    )
    op.create_table(
        "rollouts",
        Column("position", BIG, primary_key=True),
        Column("rollout_id", TEXT, nullable=False),
        Column("product", TEXT, nullable=False),
        Column("phase", TEXT, nullable=False),
        Column("rollout", TEXT, nullable=False),
        UniqueConstraint("rollout_id", name="rollouts_id_unique"),
        CheckConstraint(
            "phase IN ('running', 'promoted', 'rolled_back', 'aborted', 'expired')",
            name="rollouts_phase_known",
        ),
        Index(
            "rollouts_one_running",
            "product",
            unique=True,
            sqlite_where=text("phase = 'running'"),
            postgresql_where=text("phase = 'running'"),
        ),
    )
    op.create_table(
        "rollout_units",
        Column("step_id", TEXT, primary_key=True),
        Column("unit", TEXT, primary_key=True),
        Column("arm", TEXT, nullable=False),
        Column("failed", Boolean, nullable=False),
        Column("took_s", Double),
        Column("loss", TEXT, nullable=False),
        CheckConstraint("arm IN ('champion', 'challenger')", name="rollout_units_arm_known"),
    )
    op.create_table(
        "routes",
        Column("product", TEXT, primary_key=True),
        Column("number", Integer, nullable=False),
        Column("route", TEXT, nullable=False),
    )
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for guard in _POSTGRESQL_GUARDS if on_postgresql else _SQLITE_GUARDS:
        op.execute(guard)
