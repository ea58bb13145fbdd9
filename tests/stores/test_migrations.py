"""Migrations lead to the schema that the code knows, keep the rows, and happen whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from mainspring.clock import time_text
from mainspring.loop import TriggerKind
from mainspring.monitoring import Alarm, AlarmState
from mainspring.rollouts import UnitOutcome
from mainspring.stores.sql import Database, migrations
from mainspring.stores.sql.migrations import migrate
from mainspring.stores.sql.schema import NEWEST_REVISION, REVISION_TABLE, metadata
from mainspring.strategy import Canary, NotWorse

SCRIPTS = Path(migrations.__file__).parent


@pytest.fixture
def engine(database: Database, url: str) -> Engine:
    """A way to the tables beside the store."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def tables(engine: Engine) -> dict[str, Any]:
    """All that the database says of its tables, in an order of ours."""
    inspector = inspect(engine)
    return {
        name: {
            "columns": list(map(plain, inspector.get_columns(name))),
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(map(plain, inspector.get_unique_constraints(name))),
            "checks": sorted(map(plain, inspector.get_check_constraints(name))),
            "references": sorted(map(plain, inspector.get_foreign_keys(name))),
            "indexes": sorted(map(plain, inspector.get_indexes(name))),
        }
        for name in inspector.get_table_names()
        if name != REVISION_TABLE
    }


def plain(value: object) -> str:
    """A text that is the same for equal clauses, which compare by identity."""
    if isinstance(value, dict):
        return str({key: plain(inner) for key, inner in value.items()})
    return str(value)


def test_the_migrations_lead_to_the_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE})
        assert compare_metadata(context, metadata) == []
    migrated = tables(engine)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    assert migrated == tables(engine)
    assert migrated.keys() == metadata.tables.keys()
    engine.dispose()


def test_the_newest_revision_is_that_of_the_last_migration() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    assert scripts.get_heads() == [NEWEST_REVISION]
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]


ALTER = """
from sqlalchemy import CheckConstraint, Column, Text

revision = "next"
down_revision = "{newest}"


def upgrade(op):
    with op.batch_alter_table("model_versions") as table:
        table.add_column(Column("note", Text(), nullable=False, server_default=""))
        table.create_check_constraint("model_versions_note_is_short", "length(note) < 10")
    {then}
"""


def with_next(folder: Path, then: str) -> Path:
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "next.py").write_text(ALTER.format(newest=NEWEST_REVISION, then=then))
    return folder


def add_version(engine: Engine) -> None:
    with engine.begin() as connection:
        row = dict.fromkeys(metadata.tables["model_versions"].columns.keys(), "") | {
            "product": "p",
            "number": 1,
        }
        connection.execute(metadata.tables["model_versions"].insert(), row)
        connection.execute(text("INSERT INTO model_aliases VALUES ('p', 'champion', 1)"))


def test_a_migration_keeps_rows_and_what_refers_to_them(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    add_version(engine)
    with database._begin("upgrade") as connection:
        migrate(connection, scripts=with_next(tmp_path / "scripts", "pass"))
    assert database.revision() == "next"
    with engine.connect() as connection:
        assert connection.execute(text("SELECT note FROM model_versions")).all() == [("",)]
        assert connection.execute(text("SELECT product, number FROM model_aliases")).all() == [("p", 1)]
    engine.dispose()


def test_a_migration_that_fails_changes_nothing(database: Database, engine: Engine, tmp_path: Path) -> None:
    add_version(engine)
    before = tables(engine)
    scripts = with_next(tmp_path / "scripts", "op.execute('DROP TABLE leases'); 1 / 0")
    with pytest.raises(ZeroDivisionError), database._begin("upgrade") as connection:
        migrate(connection, scripts=scripts)
    assert database.revision() == NEWEST_REVISION
    assert tables(engine) == before
    engine.dispose()


CYCLE = {
    "cycle_id": "c1",
    "product": "late",
    "number": 1,
    "trigger": "on_demand",
    "evidence": "",
    "actor": "ana",
    "params": "{}",
    "data": "{}",
    "opened_at": "2013-03-01T00:00:00.000000Z",
    "state": "rolling_out",
    "version": 2,
    "verdict": "",
    "reason": "",
    "metrics": "{}",
}
ROLLOUT = {
    "rollout_id": "c1",
    "product": "late",
    "champion": 1,
    "challenger": 2,
    "steps": [0.1, 0.5],
    "step": 1,
    "phase": "running",
    "salt": "c1",
    "started_at": "2013-03-01T00:00:00Z",
    "step_started_at": "2013-03-02T00:00:00Z",
}


def test_a_rollout_in_progress_goes_on_after_the_upgrade(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    guards = [{"type": "NotWorse", "metric": "log_loss", "margin": 0.02, "alpha": 0.05}]
    declared = {"rollout": {"type": "Canary", "steps": [0.2, 1.0], "bake": "3d", "guards": guards}}
    rows: dict[str, dict[str, Any]] = {
        "workspace_values": {"key": "product:late", "text": json.dumps(declared)},
        "cycles": CYCLE,
        "rollouts": {
            "rollout_id": "c1",
            "product": "late",
            "phase": "running",
            "rollout": json.dumps(ROLLOUT),
        },
        "rollout_units": {
            "step_id": "c1/1",
            "unit": "N14228",
            "arm": "challenger",
            "failed": True,
            "took_s": 0.5,
            "loss": '{"log_loss":0.25}',
        },
    }
    newer = shutil.ignore_patterns("__pycache__", *(f"{number:04}_*" for number in range(3, 99)))
    shutil.copytree(SCRIPTS, tmp_path / "older", ignore=newer)
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {REVISION_TABLE}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP FUNCTION events_refuse"))
    with database._begin("upgrade") as connection:
        migrate(connection, scripts=tmp_path / "older")
        for name, row in rows.items():
            columns = ", ".join(f'"{column}"' for column in row)
            values = ", ".join(f":{column}" for column in row)
            connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"), row)
    with database._begin("upgrade") as connection:
        migrate(connection)
    with database.write() as tx:
        rollout = tx.rollouts.running("late")
        assert rollout is not None
        assert (rollout.champion, rollout.challengers, rollout.share) == (1, (2,), 0.5)
        assert rollout.strategy == Canary(
            steps=(0.1, 0.5, 1.0), bake="3d", guards=(NotWorse("log_loss", margin=0.02),)
        )
        assert tx.rollouts.units("c1/1") == (
            UnitOutcome(unit="N14228", version=2, failed=True, took_s=0.5, metrics={"log_loss": 0.25}),
        )
        assert tx.loop.cycles("late")[0].version == 2
        tx.rollouts.put(rollout.aborted())
        tx.rollouts.put(replace(rollout, rollout_id="c2"))
        assert [each.rollout_id for each in tx.rollouts.rollouts()] == ["c1", "c2"]
    engine.dispose()


def test_a_cycle_of_before_keeps_its_trigger(database: Database, engine: Engine, tmp_path: Path) -> None:
    newer = shutil.ignore_patterns("__pycache__", *(f"{number:04}_*" for number in range(7, 99)))
    shutil.copytree(SCRIPTS, tmp_path / "older", ignore=newer)
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {REVISION_TABLE}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP FUNCTION events_refuse"))
    with database._begin("upgrade") as connection:
        migrate(connection, scripts=tmp_path / "older")
        columns = ", ".join(f'"{column}"' for column in CYCLE)
        values = ", ".join(f":{column}" for column in CYCLE)
        connection.execute(text(f"INSERT INTO cycles ({columns}) VALUES ({values})"), CYCLE)
    with database._begin("upgrade") as connection:
        migrate(connection)
    with database.write() as tx:
        (kept,) = tx.loop.cycles("late")
        assert (kept.trigger, kept.parts, kept.version) == (TriggerKind.ON_DEMAND, (), 2)
        several = replace(
            kept,
            cycle_id="c2",
            product="early",
            trigger=TriggerKind.ALL_OF,
            parts=(TriggerKind.ON_SCHEDULE, TriggerKind.ON_DRIFT),
        )
        tx.loop.open(several)
        assert tx.loop.get("c2") == several
    engine.dispose()


def test_an_alarm_of_before_is_kept_without_figures(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    newer = shutil.ignore_patterns("__pycache__", *(f"{number:04}_*" for number in range(5, 99)))
    shutil.copytree(SCRIPTS, tmp_path / "older", ignore=newer)
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {REVISION_TABLE}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP FUNCTION events_refuse"))
    at = datetime(2013, 3, 1, 6, 0, 0, 5, tzinfo=UTC)
    expected = Alarm(
        product="late",
        monitor="input_drift",
        about="drift",
        at=at,
        version=2,
        state=AlarmState.SUSPECTED,
        evidence="changed since about 2013-02-20: origin = 'É' more often",
    )
    row = {name: getattr(expected, name) for name in ("product", "monitor", "about", "version", "evidence")}
    with database._begin("upgrade") as connection:
        migrate(connection, scripts=tmp_path / "older")
        connection.execute(
            text(
                "INSERT INTO alarms (product, monitor, about, at, version, evidence) "
                "VALUES (:product, :monitor, :about, :at, :version, :evidence)"
            ),
            row | {"at": time_text(at)},
        )
    with database._begin("upgrade") as connection:
        migrate(connection)
    with database.write() as tx:
        assert tx.monitoring.alarm(expected.alarm_id) == expected
        tx.monitoring.put_alarm(replace(expected, monitor="staleness"))
        assert [alarm.monitor for alarm in tx.monitoring.alarms("late")] == ["input_drift", "staleness"]
    engine.dispose()


def test_products_of_before_are_registered_models(database: Database, engine: Engine, tmp_path: Path) -> None:
    newer = shutil.ignore_patterns("__pycache__", *(f"{number:04}_*" for number in range(10, 99)))
    shutil.copytree(SCRIPTS, tmp_path / "older", ignore=newer)
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {REVISION_TABLE}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP FUNCTION events_refuse"))
    with database._begin("upgrade") as connection:
        migrate(connection, scripts=tmp_path / "older")
        for key, value in (
            ("product:late", "{}"),
            ("product:new", "{}"),
            ("declared:late", "2013-01-01T00:00:00Z"),
        ):
            connection.execute(text("INSERT INTO workspace_values VALUES (:k, :v)"), {"k": key, "v": value})
        blank = dict.fromkeys(metadata.tables["model_versions"].columns.keys(), "")
        for number in (1, 2):
            row = blank | {
                "product": "late",
                "number": number,
                "registered_at": f"2013-02-0{number}T00:00:00Z",
            }
            row |= {"run_id": f"r{number}", "reason": "cycle", "data": "[]", "lineage": "{}", "metrics": "{}"}
            connection.execute(metadata.tables["model_versions"].insert(), row)
        connection.execute(text("INSERT INTO model_aliases VALUES ('late', 'champion', 2)"))
    with database._begin("upgrade") as connection:
        migrate(connection)
    with database.write() as tx:
        model = tx.registered_models.get("late")
        assert (model.product, model.aliases, model.tags) == (
            True,
            {"champion": 2},
            {"mainspring.product": "late"},
        )
        assert model.created_ms == datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1000
        found = tx.registered_versions.get("late", 2)
        assert (found.run_id, found.source, found.description) == ("r2", "mainspring:/late@2", "cycle")
        assert tx.registered_models.get("new").product
        tx.registry.move("late", "champion", expected=2, to=1)
        assert tx.registered_models.get("late").aliases == {"champion": 1}
    engine.dispose()
