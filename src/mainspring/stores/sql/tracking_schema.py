"""The tables of experiments, runs and logged models, as the migrations leave them.

Moments in columns named `_ms` are milliseconds since 1970 as clients stated them. Runs and logged models are referred
to by `position`, which is shorter than their ids where there are millions of points.
"""

from __future__ import annotations

__all__ = [
    "datasets",
    "experiment_tags",
    "experiments",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "logged_models",
    "logged_runs",
    "metric_late",
    "metric_marked",
    "metric_marks",
    "metric_points",
    "run_datasets",
    "run_metrics",
    "run_models",
    "run_params",
    "run_tags",
]

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
)

from mainspring.stores.sql.schema import BIG, TEXT, metadata

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", BIG, primary_key=True),
    Column("name", TEXT, nullable=False),
    Column("artifact_location", TEXT, nullable=False),
    Column("lifecycle", TEXT, nullable=False),
    Column("created_ms", BIG, nullable=False),
    Column("updated_ms", BIG, nullable=False),
    UniqueConstraint("name", name="experiments_name_unique"),
    CheckConstraint("lifecycle IN ('active', 'deleted')", name="experiments_lifecycle_known"),
)

experiment_tags = Table(
    "experiment_tags",
    metadata,
    Column(
        "experiment",
        BIG,
        ForeignKey("experiments.experiment_id", name="experiment_tags_experiment_exists"),
        primary_key=True,
    ),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

logged_runs = Table(
    "logged_runs",
    metadata,
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
    Column("deleted_ms", BIG),
    UniqueConstraint("run_id", name="logged_runs_id_unique"),
    CheckConstraint("lifecycle IN ('active', 'deleted')", name="logged_runs_lifecycle_known"),
    Index("logged_runs_by_start", "experiment_id", "started_ms", "run_id"),
)


def _run(table: str) -> Column[int]:
    reference = ForeignKey("logged_runs.position", name=f"{table}_run_exists")
    return Column("run", BIG, reference, primary_key=True, autoincrement=False)


def _model(table: str) -> Column[int]:
    reference = ForeignKey("logged_models.position", name=f"{table}_model_exists")
    return Column("model", BIG, reference, primary_key=True, autoincrement=False)


run_params = Table(
    "run_params",
    metadata,
    _run("run_params"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

run_tags = Table(
    "run_tags",
    metadata,
    _run("run_tags"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

# The newest point of each metric, which searches ask about; a NaN stands as 0 with `is_nan`.
run_metrics = Table(
    "run_metrics",
    metadata,
    _run("run_metrics"),
    Column("key", TEXT, primary_key=True),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Column("step", BIG, nullable=False),
    Column("timestamp_ms", BIG, nullable=False),
    Column("model_id", TEXT, nullable=False),
    Column("dataset_name", TEXT, nullable=False),
    Column("dataset_digest", TEXT, nullable=False),
    Index("run_metrics_by_value", "key", "is_nan", "value", "run"),
)

# All points, in the order in which a history is told. The whole row is the key: the same point twice is one.
metric_points = Table(
    "metric_points",
    metadata,
    _run("metric_points"),
    Column("key", TEXT, primary_key=True),
    Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double, primary_key=True),
    Column("is_nan", Boolean, primary_key=True),
    sqlite_with_rowid=False,
)

# Of long histories the points that a chart needs, in the same order, up to where they are marked, and what came late.
metric_marks = Table(
    "metric_marks",
    metadata,
    _run("metric_marks"),
    Column("key", TEXT, primary_key=True),
    Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double, primary_key=True),
    Column("is_nan", Boolean, primary_key=True),
    sqlite_with_rowid=False,
)
metric_late = Table(
    "metric_late",
    metadata,
    _run("metric_late"),
    Column("key", TEXT, primary_key=True),
    Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double, primary_key=True),
    Column("is_nan", Boolean, primary_key=True),
    sqlite_with_rowid=False,
)
metric_marked = Table(
    "metric_marked",
    metadata,
    _run("metric_marked"),
    Column("key", TEXT, primary_key=True),
    Column("until_ms", BIG, nullable=False),
    Column("until_step", BIG, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
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
    Index("datasets_by_digest", "digest"),
)

run_datasets = Table(
    "run_datasets",
    metadata,
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
    Index("run_datasets_by_dataset", "dataset"),
)

run_models = Table(
    "run_models",
    metadata,
    _run("run_models"),
    Column("given", Boolean, primary_key=True),
    Column("model_id", TEXT, primary_key=True),
    Column("step", BIG, nullable=False),
    Index("run_models_by_model", "model_id"),
)

logged_models = Table(
    "logged_models",
    metadata,
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
    Index("logged_models_by_creation", "experiment_id", "created_ms"),
    Index("logged_models_by_run", "source_run_id"),
)

logged_model_params = Table(
    "logged_model_params",
    metadata,
    _model("logged_model_params"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

logged_model_tags = Table(
    "logged_model_tags",
    metadata,
    _model("logged_model_tags"),
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

logged_model_metrics = Table(
    "logged_model_metrics",
    metadata,
    _model("logged_model_metrics"),
    Column("run_id", TEXT, primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("timestamp_ms", BIG, primary_key=True, autoincrement=False),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    Column("dataset_name", TEXT, nullable=False),
    Column("dataset_digest", TEXT, nullable=False),
    Index("logged_model_metrics_by_value", "key", "value"),
)
