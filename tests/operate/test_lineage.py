"""Lineage both ways: from data to predictions and back, through runs, clients' models and scores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operate.shop import customers, declaration
from tests.operate.tiny import ask, begin
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.lineage import Direction, Graph, Kind
from mainspring.operate.asking import Asking
from mainspring.operate.compact import GROUP, compact
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.ingest import ingest
from mainspring.operate.lineage import UnknownRef, impact, lineage
from mainspring.operate.log_runs import NewRun, create_experiment, create_logged_model, create_run, log_read
from mainspring.operate.register_models import create_model, create_version, delete_version
from mainspring.operate.score_data import score_data
from mainspring.operate.version_origins import NewVersion
from mainspring.ref import DataRef
from mainspring.tracking.record import Dataset, DatasetInput
from mainspring.workspace import Workspace, open_workspace

ASKING = Asking("ana", 5_000)
RUN = "f" * 32


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data versions; a champion of the first, with traffic and scores; a client's run, model and versions."""
    folder = tmp_path_factory.mktemp("lineage") / "root"
    with begin(folder) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada")
        turn(workspace)
        workspace.advance(FIRST + timedelta(days=31, hours=1))
        ask(workspace, orders(FIRST + timedelta(days=31), days=1))
        turn(workspace)
        add_batch(workspace, "orders", parquet(orders(FIRST + timedelta(days=30), days=1)), actor="ada")
        score_data(workspace, "tiny@1", ["orders@v1"], actor="ana")
        client(workspace)
    return folder


def client(workspace: Workspace) -> None:
    """A client trains on the second data version, and on data of its own; registers, and copies."""
    with workspace.database.write() as tx:
        digest = tx.data.get(DataRef("orders", 2)).digest
        home = create_experiment(tx, "trees", "", {}, 5).experiment_id
        tags = {"mlflow.source.git.commit": "c0ffee", "mlflow.source.name": "train.py"}
        create_run(tx, NewRun(experiment_id=home, name="by hand", started_ms=9, run_id=RUN, tags=tags))
        known = Dataset(name="orders", digest=digest[:36], source_type="local", source="{}")
        own = Dataset(name="mine", digest="a1b2c3d4", source_type="local", source="{}")
        model = create_logged_model(
            tx, home, name="m", model_type="", source_run_id=RUN, params={}, tags={}, now_ms=9
        )
        log_read(tx, RUN, [DatasetInput(dataset=known), DatasetInput(dataset=own)], [])
        create_model(tx, "Fraud model", "", {}, ASKING)
        source = f"models:/{model.model_id}"
        create_version(tx, NewVersion(name="Fraud model", source=source, model_id=model.model_id), ASKING)
        create_version(tx, NewVersion(name="Fraud model", source="models:/Fraud model/1"), ASKING)


@pytest.fixture(scope="module")
def workspace(lived: Path) -> Iterator[Workspace]:
    with open_workspace(lived) as opened:
        yield opened


def refs(graph: Graph | None, kind: Kind) -> list[str]:
    assert graph is not None
    return [each.ref for each in graph.nodes if each.kind is kind]


def test_a_model_version_came_from_its_run_its_data_its_code_and_what_started_it(
    workspace: Workspace,
) -> None:
    found = lineage(workspace, "tiny@champion", Direction.UP)
    assert (found.node.ref, found.down) == ("tiny@1", None)
    assert refs(found.up, Kind.DATA) == ["orders@v1"]
    assert len(refs(found.up, Kind.RUN)) == 1
    assert refs(found.up, Kind.CYCLE) == ["tiny/1"]
    assert len(refs(found.up, Kind.CODE)) == 1
    assert len(refs(found.up, Kind.ENVIRONMENT)) == 1


def test_a_data_version_leads_to_versions_endpoint_predictions_scores_and_clients(
    workspace: Workspace,
) -> None:
    down = lineage(workspace, "orders@v1", Direction.DOWN).down
    assert refs(down, Kind.DATA) == ["orders@v1", "orders@v2"]
    assert set(refs(down, Kind.VERSION)) >= {"tiny@1", "Fraud model@1", "Fraud model@2"}
    assert refs(down, Kind.ENDPOINT) == ["tiny"]
    assert refs(down, Kind.SCORES) == ["tiny-scores@v1"]
    assert refs(down, Kind.PREDICTIONS) == ["tiny@1"]


def test_what_stands_on_a_data_version_is_counted(workspace: Workspace) -> None:
    found = impact(workspace, "orders@v1")
    standing = {each.ref: (each.itself, each.rows) for each in found.versions}
    assert standing["tiny@1"] == (True, 100)
    assert standing["Fraud model@1"] == (False, 0)
    assert found.predictions == 100
    assert found.scored == 3_000
    assert [each.facts["serves"] for each in found.endpoints] == ["@1 100%"]
    assert found.left_out == 0
    assert impact(workspace, "tiny@1").predictions == 100
    assert "tiny@1" not in {each.ref for each in impact(workspace, "orders@v2").versions}


@pytest.mark.parametrize("ref", ["orders@v1", "orders@v2", "tiny@1", "Fraud model@1", "tiny-scores@v1", RUN])
def test_what_is_counted_all_at_once_is_what_the_tree_shows(workspace: Workspace, ref: str) -> None:
    down, found = lineage(workspace, ref, Direction.DOWN).down, impact(workspace, ref)
    assert down is not None
    assert down.whole
    for kind, standing in (
        (Kind.VERSION, found.versions),
        (Kind.RUN, found.runs),
        (Kind.LOGGED_MODEL, found.logged_models),
        (Kind.SCORES, found.scores),
        (Kind.ENDPOINT, found.endpoints),
    ):
        assert [each.ref for each in standing] == [each for each in refs(down, kind) if each != ref]


def test_a_clients_dataset_with_the_digest_of_a_data_version_is_that_data_version(
    workspace: Workspace,
) -> None:
    up = lineage(workspace, "Fraud model@2", Direction.UP).up
    assert refs(up, Kind.VERSION) == ["Fraud model@2", "Fraud model@1"]
    assert len(refs(up, Kind.LOGGED_MODEL)) == 1
    assert refs(up, Kind.RUN) == [RUN]
    assert refs(up, Kind.DATA) == ["orders@v2"]
    assert refs(up, Kind.DATASET) == ["mine:a1b2c3d4"]
    assert refs(up, Kind.CODE) == ["git:c0ffee"]


def test_scores_came_from_a_model_version_and_the_rows_that_it_was_asked_about(workspace: Workspace) -> None:
    found = lineage(workspace, "tiny-scores@v1", Direction.UP)
    assert found.node.kind is Kind.SCORES
    assert refs(found.up, Kind.VERSION) == ["tiny@1"]
    assert refs(found.up, Kind.DATA) == ["orders@v1"]


def test_a_prediction_leads_to_its_version_before_and_after_its_log_was_moved(
    lived: Path, tmp_path: Path
) -> None:
    first = orders(FIRST + timedelta(days=31), days=1)["order_id"][7]

    def leads_to_the_data(workspace: Workspace, prediction_id: str) -> None:
        found = lineage(workspace, prediction_id, Direction.UP)
        assert found.node.kind is Kind.PREDICTION
        assert refs(found.up, Kind.DATA) == ["orders@v1"]

    with open_workspace(Path(shutil.copytree(lived, tmp_path / "root"))) as workspace:
        leads_to_the_data(workspace, first)
        with workspace.database.write() as tx:
            assert tx.monitoring.forget_labelled(FIRST + timedelta(days=400)) == 100
        leads_to_the_data(workspace, first)
        for day in range(32, 32 + GROUP):
            rows = orders(FIRST + timedelta(days=day), days=1, per_day=1)
            ask(workspace, rows)
        leads_to_the_data(workspace, rows["order_id"][0])  # which nobody has counted yet
        ingest(workspace)
        assert compact(workspace) == GROUP
        leads_to_the_data(workspace, first)


def test_features_stand_between_the_data_that_they_are_computed_from_and_the_run(tmp_path: Path) -> None:
    with begin(tmp_path / "root", lambda _: declaration()) as workspace:
        rows = orders().with_columns(customer=pl.lit("ann")).drop("amount")
        add_batch(workspace, "customers", customers(0, ann=120.0), actor="ada")
        add_batch(workspace, "orders", parquet(rows), actor="ada")
        turn(workspace)
        with workspace.database.read() as tx:
            (run,) = tx.runs.runs()
        up = lineage(workspace, run.run_id, Direction.UP).up
        assert refs(up, Kind.FEATURES) == ["profile:customers@v1"]
        assert refs(up, Kind.DATA) == ["orders@v1", "customers@v1"]
        down = lineage(workspace, "customers@v1", Direction.DOWN).down
        assert refs(down, Kind.FEATURES) == ["profile:customers@v1"]
        assert refs(down, Kind.RUN) == [run.run_id]
        assert lineage(workspace, run.run_id, Direction.DOWN).down is not None


def test_what_came_from_a_thing_says_of_it_that_it_came_from_it(workspace: Workspace) -> None:
    """Every relation but the growth of a dataset, which holds the earlier rows anyway, is there both ways."""
    down = lineage(workspace, "orders@v1", Direction.DOWN).down
    assert down is not None
    of = {each.key: each for each in down.nodes}
    for edge in down.edges:
        if edge.relation not in ("grew", "serves"):
            node = of[edge.below]
            if node.kind not in (Kind.FEATURES, Kind.PREDICTIONS):
                up = lineage(workspace, node.ref, Direction.UP, depth=1).up
                assert up is not None
                assert edge in up.edges


def test_what_is_deleted_is_named_and_not_followed(lived: Path, tmp_path: Path) -> None:
    with open_workspace(Path(shutil.copytree(lived, tmp_path / "root"))) as workspace:
        with workspace.database.write() as tx:
            delete_version(tx, "Fraud model", 1, ASKING)
        up = lineage(workspace, "Fraud model@2", Direction.UP).up
        assert up is not None
        assert [("gone" in each.facts) for each in up.nodes] == [False, True]


NOTHING = (
    *(
        "",
        "orders@v9",
        "orders",
        "orders@v0",
        "tiny@9",
        "tiny@none",
        "tiny@٣",
        "tiny@99999999999999",
        "none@1",
    ),
    *("@", "a@", "@1", "\0", "\ud800", "%", "m-none", "late orders@champion", "x" * 2000),
)


@pytest.mark.parametrize("ref", NOTHING)
def test_a_ref_of_nothing_is_said_to_be_so(workspace: Workspace, ref: str) -> None:
    with pytest.raises(UnknownRef):
        lineage(workspace, ref)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=30) | st.from_regex(r"(tiny|orders|Fraud model)@v?\w*", fullmatch=True))
def test_any_text_names_something_or_nothing(workspace: Workspace, ref: str) -> None:
    try:
        assert lineage(workspace, ref, depth=1).node.ref
    except UnknownRef as unknown:
        assert unknown.ref == ref  # noqa: PT017 - either answer is right
