"""The tables, as the migrations leave them; a test holds the two against each other.

Moments are RFC 3339 texts in UTC and days ISO texts, which sort as time does on every database. Structured values are
JSON texts. `position` columns keep the order in which rows came, where moments may be equal.
"""

from __future__ import annotations

__all__ = [
    "NEWEST_REVISION",
    "REVISION_TABLE",
    "alarms",
    "alert_deliveries",
    "approval_policies",
    "approvals",
    "cycles",
    "daily_quality",
    "daily_tables",
    "data_batches",
    "data_names",
    "data_versions",
    "events",
    "known_labels",
    "leases",
    "log_cursors",
    "metadata",
    "model_aliases",
    "model_versions",
    "open_predictions",
    "rollout_measurements",
    "rollout_units",
    "rollouts",
    "routes",
    "runs",
    "steps",
    "training_requests",
    "workspace_values",
]

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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NEWEST_REVISION = "0018"
"""The revision that this code needs: the last file in `migrations/versions`."""

REVISION_TABLE = "mainspring_revision"

# Byte order everywhere: with a language's collation PostgreSQL would sort and compare ranges unlike SQLite.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts rows by themselves only in a column that is called INTEGER; there it has 64 bits as well.
BIG = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

workspace_values = Table(
    "workspace_values",
    metadata,
    Column("key", TEXT, primary_key=True),
    Column("text", TEXT, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("holder", TEXT, nullable=False),
    Column("expires_at", TEXT, nullable=False),
)

events = Table(
    "events",
    metadata,
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

data_versions = Table(
    "data_versions",
    metadata,
    Column("dataset", TEXT, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("digest", TEXT, nullable=False),
    Column("rows", BIG, nullable=False),
    Column("rows_added", BIG, nullable=False),
    Column("published_at", TEXT, nullable=False),
    Column("table_version", BIG, nullable=False),
    Column("branch", TEXT, nullable=False, server_default="main"),
    Column("parent", Integer),
    Column("change", TEXT, nullable=False, server_default="append"),
    Column("rows_changed", BIG, nullable=False, server_default="0"),
    Column("rows_removed", BIG, nullable=False, server_default="0"),
    Column("source", TEXT, nullable=False, server_default=""),
    Column("retired_at", TEXT),
    CheckConstraint("number > 0", name="data_versions_count_from_one"),
    CheckConstraint("rows >= 0 AND rows_added >= 0", name="data_versions_have_rows"),
)

data_names = Table(
    "data_names",
    metadata,
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

data_batches = Table(
    "data_batches",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("dataset", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("report", TEXT, nullable=False),
    Column("version", Integer),
    UniqueConstraint("dataset", "digest", name="data_batches_digest_unique"),
)

runs = Table(
    "runs",
    metadata,
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

steps = Table(
    "steps",
    metadata,
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

model_versions = Table(
    "model_versions",
    metadata,
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

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("product", TEXT, primary_key=True),
    Column("alias", TEXT, primary_key=True),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(
        ["product", "number"],
        ["model_versions.product", "model_versions.number"],
        name="model_aliases_version_exists",
    ),
)

cycles = Table(
    "cycles",
    metadata,
    Column("cycle_id", TEXT, primary_key=True),
    Column("product", TEXT, nullable=False),
    Column("number", Integer, nullable=False),
    Column("trigger", TEXT, nullable=False),
    Column("parts", TEXT, nullable=False),
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
    Column("offer", TEXT),
    UniqueConstraint("product", "number", name="cycles_number_unique"),
    CheckConstraint("number > 0", name="cycles_count_from_one"),
    CheckConstraint(
        "trigger IN ('on_demand', 'on_schedule', 'on_new_data', 'on_degradation', 'on_drift', 'all_of')",
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

training_requests = Table(
    "training_requests",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("request_id", TEXT, nullable=False),
    Column("product", TEXT, nullable=False),
    Column("params", TEXT, nullable=False),
    Column("data", TEXT, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("reason", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("cycle_id", TEXT),
    Column("offer", TEXT),
    UniqueConstraint("request_id", name="training_requests_id_unique"),
    Index("training_requests_by_product", "product", "position"),
)

approval_policies = Table(
    "approval_policies",
    metadata,
    Column("product", TEXT, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("policy", TEXT, nullable=False),
    Column("declared_at", TEXT, nullable=False),
    CheckConstraint("number > 0", name="approval_policies_count_from_one"),
)

approvals = Table(
    "approvals",
    metadata,
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

log_cursors = Table(
    "log_cursors",
    metadata,
    Column("log", TEXT, primary_key=True),
    Column("segment", Integer, nullable=False),
    Column("byte_offset", BIG, nullable=False),
    CheckConstraint("segment > 0 AND byte_offset >= 0", name="log_cursors_in_a_segment"),
)

open_predictions = Table(
    "open_predictions",
    metadata,
    Column("prediction_id", TEXT, primary_key=True),
    Column("product", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("unit", TEXT, nullable=False),
    Column("score", Double, nullable=False),
    Column("groups", TEXT, nullable=False, server_default="[]"),
    Column("list_id", TEXT, nullable=False, server_default=""),
    Index("open_predictions_by_time", "at"),
    Index(
        "open_predictions_by_list",
        "list_id",
        sqlite_where=text("list_id <> ''"),
        postgresql_where=text("list_id <> ''"),
    ),
)

known_labels = Table(
    "known_labels",
    metadata,
    Column("prediction_id", TEXT, primary_key=True),
    Column("metric", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
    Column("known_at", TEXT, nullable=False),
)

daily_quality = Table(
    "daily_quality",
    metadata,
    Column("product", TEXT, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("day", TEXT, primary_key=True),
    Column("predictions", BIG, nullable=False),
    Column("labelled", BIG, nullable=False),
    Column("positives", BIG, nullable=False),
    Column("log_loss_millionths", BIG, nullable=False),
    Column("brier_millionths", BIG, nullable=False),
    Column("mae_millionths", BIG, nullable=False, server_default="0"),
    Column("mse_millionths", BIG, nullable=False, server_default="0"),
    Column("mape_millionths", BIG, nullable=False, server_default="0"),
)

daily_tables = Table(
    "daily_tables",
    metadata,
    Column("product", TEXT, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("kind", TEXT, primary_key=True),
    Column("day", TEXT, primary_key=True),
    Column("text", TEXT, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("position", BIG, primary_key=True),
    Column("alarm_id", TEXT, nullable=False),
    Column("product", TEXT, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("alarm", TEXT, nullable=False),
    UniqueConstraint("alarm_id", name="alarms_id_unique"),
    Index("alarms_by_product", "product", "at"),
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("route", TEXT, primary_key=True),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("product", TEXT, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", TEXT, nullable=False),
    Column("error", TEXT, nullable=False),
    Column("sent_at", TEXT),
)

rollouts = Table(
    "rollouts",
    metadata,
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
        sqlite_where=text("phase IN ('running', 'paused', 'awaiting_approval')"),
        postgresql_where=text("phase IN ('running', 'paused', 'awaiting_approval')"),
    ),
)

rollout_units = Table(
    "rollout_units",
    metadata,
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

rollout_measurements = Table(
    "rollout_measurements",
    metadata,
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

routes = Table(
    "routes",
    metadata,
    Column("product", TEXT, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("route", TEXT, nullable=False),
)
