"""What came from what is found from its beginning, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mainspring.data import DataVersion
from mainspring.digest import digest_of
from mainspring.pipelines import Run, RunState
from mainspring.ref import DataRef
from mainspring.registry.registered import RegisteredVersion
from mainspring.stores.sql import Transaction
from mainspring.stores.sql.lineage import AllReaders, SqlLineage
from mainspring.tracking.record import Dataset, DatasetInput, LoggedModel
from mainspring.tracking.record import Run as LoggedRun

NOON = datetime(2013, 2, 1, 12, tzinfo=UTC)
DIGEST = digest_of(b"orders")


@pytest.fixture
def data(transaction: Transaction) -> DataRef:
    version = DataVersion(
        dataset="orders", number=1, digest=DIGEST, rows=3, rows_added=3, published_at=NOON, table_version=0
    )
    transaction.data.add(version)
    return version.ref


def logged(transaction: Transaction, run_id: str, **tags: str) -> None:
    run = LoggedRun(
        run_id=run_id, experiment_id=0, name=run_id, started_ms=1, artifact_uri="s3://x", tags=tags
    )
    transaction.logged_runs.add(run)


def both(transaction: Transaction) -> tuple[SqlLineage | AllReaders, ...]:
    """Asked one by one, and read all at once: the answers are the same."""
    return transaction.lineage, transaction.lineage.all_at_once()


def test_a_data_version_is_found_by_the_first_digits_of_its_digest(
    transaction: Transaction, data: DataRef
) -> None:
    for length in (12, 36, 64):
        assert transaction.lineage.data_of_digest(DIGEST[:length], "orders") == data
        assert transaction.lineage.data_of_digest(DIGEST[:length], "of another name") == data
    assert transaction.lineage.data_of_digest(DIGEST[:11], "orders") is None
    assert transaction.lineage.data_of_digest("0" * 36, "orders") is None


@pytest.mark.parametrize(("length", "found"), [(11, []), (12, ["a"]), (36, ["a"])])
def test_who_logged_those_digits_has_read_it(
    transaction: Transaction, data: DataRef, length: int, found: list[str]
) -> None:
    logged(transaction, "a")
    logged(transaction, "b")
    given = Dataset(name="o", digest=DIGEST[:length], source_type="local", source="{}")
    transaction.logged_runs.read("a", [DatasetInput(dataset=given)], ["m-1"])
    for lineage in both(transaction):
        assert lineage.runs_reading_digest(DIGEST) == found
        assert lineage.runs_reading_model("m-1") == ["a"]
        assert lineage.runs_reading_model("m-2") == []


def test_names_with_signs_of_patterns_name_themselves_alone(transaction: Transaction) -> None:
    for name in ("or_ers@v1", "orders@v1", "orders@v11"):
        run = Run(
            run_id=f"run-{name}",
            product="tiny",
            cycle_id="c",
            state=RunState.RUNNING,
            params={},
            data=(name,),
            started_at=NOON,
        )
        transaction.runs.put(run)
    for lineage in both(transaction):
        assert lineage.runs_of_loop_reading(DataRef("or_ers", 1)) == [("run-or_ers@v1", "tiny")]
        assert lineage.runs_of_loop_reading(DataRef("orders", 1)) == [("run-orders@v1", "tiny")]


def test_nested_runs_and_logged_models_are_found_from_their_run(transaction: Transaction) -> None:
    logged(transaction, "a")
    logged(transaction, "b", **{"mlflow.parentRunId": "a"})
    transaction.logged_models.add(
        LoggedModel(
            model_id="m-1",
            experiment_id=0,
            name="m",
            source_run_id="a",
            created_ms=1,
            updated_ms=1,
            artifact_uri="s3://x",
        )
    )
    assert transaction.lineage.nested_runs(0) == {"a": ["b"]}
    assert transaction.lineage.nested_runs(1) == {}
    for lineage in both(transaction):
        assert lineage.models_of_run("a") == ["m-1"]


def test_a_copy_of_a_version_came_from_that_version_alone(transaction: Transaction) -> None:
    transaction.registered_models.add("Fraud", "", {}, 1)
    for source, model_id in (
        ("runs:/a/m", ""),
        ("models:/m-1", "m-1"),
        ("models:/Fraud/1", ""),
        ("models:/Fraud/2", "m-1"),
    ):
        transaction.registered_versions.add(
            RegisteredVersion(
                name="Fraud",
                number=0,
                source=source,
                location=source,
                run_id="a",
                model_id=model_id,
                created_ms=1,
                updated_ms=1,
            )
        )
    for lineage in both(transaction):
        assert lineage.versions_of_run("a") == [("Fraud", 1)]
        assert lineage.versions_of_model("m-1") == [("Fraud", 2)]
        assert lineage.versions_of_source("models:/Fraud/1") == [("Fraud", 3)]
