"""Experiments, runs and logged models, as MLflow's clients log them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    Text,
    UniqueConstraint,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0009"
down_revision = "0008"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
BIG = BigInteger().with_variant(Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Create the tables, and the experiment that runs are in when none is named."""
    op.create_table(
        "experiments",
        Column("experiment_id", BIG, primary_key=True),
        Column("name", TEXT, nullable=False),
        Column("artifact_location", TEXT, nullable=False),
        Column("lifecycle", TEXT, nullable=False),
        Column("created_ms", BIG, nullable=False),
        Column("updated_ms", BIG, nullable=False),
        UniqueConstraint("name", name="experiments_name_unique"),
        CheckConstraint("lifecycle IN ('active', 'deleted')", name="experiments_lifecycle_known"),
    )
    op.create_table(
        "experiment_tags",
        Column(
            "experiment",
            BIG,
            ForeignKey("experiments.experiment_id", name="experiment_tags_experiment_exists"),
            primary_key=True,
        ),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "logged_runs",
        Column("position", BIG, primary_key=True),
        Column("run_id", TEXT, nullable=False),
        Column(
            "experiment_id",
            BIG,
            ForeignKey("experiments.experiment_id", name="logged_runs_experiment_exists"),
            nullable=False,
        ),
        Column("name", TEXT, nullable=False),
        Column("user_id", TEXT, nullable=False),
        Column("status", TEXT, nullable=False),
        Column("lifecycle", TEXT, nullable=False),
        Column("started_ms", BIG, nullable=False),
        Column("ended_ms", BIG),
        Column("artifact_uri", TEXT, nullable=False),
        UniqueConstraint("run_id", name="logged_runs_id_unique"),
        CheckConstraint("lifecycle IN ('active', 'deleted')", name="logged_runs_lifecycle_known"),
    )
    op.create_index("logged_runs_by_start", "logged_runs", ["experiment_id", "started_ms", "run_id"])
    op.create_table(
        "run_params",
        _run("run_params"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "run_tags",
        _run("run_tags"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "run_metrics",
        _run("run_metrics"),
        Column("key", TEXT, primary_key=True),
        Column("value", Double, nullable=False),
        Column("is_nan", Boolean, nullable=False),
        Column("step", BIG, nullable=False),
        Column("timestamp_ms", BIG, nullable=False),
        Column("model_id", TEXT, nullable=False),
        Column("dataset_name", TEXT, nullable=False),
        Column("dataset_digest", TEXT, nullable=False),
    )
    op.create_index("run_metrics_by_value", "run_metrics", ["key", "is_nan", "value", "run"])
    op.create_table(
        "metric_points",
        _run("metric_points"),
        Column("key", TEXT, primary_key=True),
        Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
        Column("step", BIG, primary_key=True, autoincrement=False),
        Column("value", Double, primary_key=True),
        Column("is_nan", Boolean, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "datasets",
        Column("position", BIG, primary_key=True),
        Column(
            "experiment_id",
            BIG,
            ForeignKey("experiments.experiment_id", name="datasets_experiment_exists"),
            nullable=False,
        ),
        Column("name", TEXT, nullable=False),
        Column("digest", TEXT, nullable=False),
        Column("source_type", TEXT, nullable=False),
        Column("source", TEXT, nullable=False),
        Column("schema", TEXT, nullable=False),
        Column("profile", TEXT, nullable=False),
        UniqueConstraint("experiment_id", "name", "digest", name="datasets_unique"),
    )
    op.create_table(
        "run_datasets",
        _run("run_datasets"),
        Column(
            "dataset",
            BIG,
            ForeignKey("datasets.position", name="run_datasets_dataset_exists"),
            primary_key=True,
            autoincrement=False,
        ),
        Column("context", TEXT),
        Column("tags", TEXT, nullable=False),
    )
    op.create_table(
        "run_models",
        _run("run_models"),
        Column("given", Boolean, primary_key=True),
        Column("model_id", TEXT, primary_key=True),
        Column("step", BIG, nullable=False),
    )
    op.create_table(
        "logged_models",
        Column("position", BIG, primary_key=True),
        Column("model_id", TEXT, nullable=False),
        Column(
            "experiment_id",
            BIG,
            ForeignKey("experiments.experiment_id", name="logged_models_experiment_exists"),
            nullable=False,
        ),
        Column("name", TEXT, nullable=False),
        Column("model_type", TEXT, nullable=False),
        Column("source_run_id", TEXT, nullable=False),
        Column("status", TEXT, nullable=False),
        Column("lifecycle", TEXT, nullable=False),
        Column("created_ms", BIG, nullable=False),
        Column("updated_ms", BIG, nullable=False),
        Column("artifact_uri", TEXT, nullable=False),
        UniqueConstraint("model_id", name="logged_models_id_unique"),
        CheckConstraint("lifecycle IN ('active', 'deleted')", name="logged_models_lifecycle_known"),
    )
    op.create_index("logged_models_by_creation", "logged_models", ["experiment_id", "created_ms"])
    op.create_index("logged_models_by_run", "logged_models", ["source_run_id"])
    op.create_table(
        "logged_model_params",
        _model("logged_model_params"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "logged_model_tags",
        _model("logged_model_tags"),
        Column("key", TEXT, primary_key=True),
        Column("value", TEXT, nullable=False),
    )
    op.create_table(
        "logged_model_metrics",
        _model("logged_model_metrics"),
        Column("run_id", TEXT, primary_key=True),
        Column("key", TEXT, primary_key=True),
        Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
        Column("step", BIG, primary_key=True, autoincrement=False),
        Column("value", Double, nullable=False),
        Column("is_nan", Boolean, nullable=False),
        Column("dataset_name", TEXT, nullable=False),
        Column("dataset_digest", TEXT, nullable=False),
    )
    op.create_index("logged_model_metrics_by_value", "logged_model_metrics", ["key", "value"])
    now = int(time.time() * 1000)
    op.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle, created_ms, updated_ms) "
        f"VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', {now}, {now})"
    )


def _run(table: str) -> Column[int]:
    reference = ForeignKey("logged_runs.position", name=f"{table}_run_exists")
    return Column("run", BIG, reference, primary_key=True, autoincrement=False)


def _model(table: str) -> Column[int]:
    reference = ForeignKey("logged_models.position", name=f"{table}_model_exists")
    return Column("model", BIG, reference, primary_key=True, autoincrement=False)
