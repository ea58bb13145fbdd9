"""Offered: a model that a client logged is packaged, judged and rolled out as one that the pipeline trains."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest
from tests.operate.tiny import begin
from tests.products.tiny.orders import orders, parquet

from mainspring.errors import Faults, Invalid, MainspringError
from mainspring.events import EventType
from mainspring.formats.mlmodel import PickleNotAllowed
from mainspring.formats.served import feed, load
from mainspring.loop import Cycle, CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.offers import UnknownOffer
from mainspring.operate.request import request_training
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersion
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.tracking.record import LoggedModel, ModelOutput, ModelStatus, Run
from mainspring.workspace import Workspace, open_workspace

RUN, MODEL = "5f" * 16, "m-" + "a1" * 16
FOLDER = f"mlflow-artifacts:/0/models/{MODEL}/artifacts"


def booster(*, turned: bool = False, kinds: bool = True) -> lightgbm.Booster:
    """A model as a client would train it on other orders, with pandas' categories if `kinds`."""
    rows = orders(days=30, seed=7, turned=turned)
    columns = {"amount": rows["amount"].to_numpy(), "hour": rows["hour"].to_numpy().astype(float)}
    if kinds:
        codes = rows["kind"].cast(pl.Enum(["a", "b", "c"])).to_physical()
        columns["kind"] = codes.to_numpy().astype(float)
    made = lightgbm.train(
        {"objective": "binary", "num_leaves": 7, "verbosity": -1, "num_threads": 1, "deterministic": True},
        lightgbm.Dataset(
            np.column_stack(list(columns.values())),
            rows["late"].to_numpy().astype(float),
            feature_name=list(columns),
            categorical_feature=["kind"] if kinds else [],
        ),
        num_boost_round=20,
    )
    if kinds:
        made.pandas_categorical = [["a", "b", "c"]]
    return made


def put(workspace: Workspace, files: dict[str, bytes], uri: str = FOLDER) -> None:
    for name, content in files.items():
        path = ArtifactPath.parse(f"{uri.removeprefix('mlflow-artifacts:/')}/{name}")
        with workspace.artifacts.writing(path) as writing:
            writing.write(content)
            writing.keep()


def described(library: str, file: str, model_class: str = "", columns: list[str] | None = None) -> bytes:
    """An `MLmodel`: JSON, which is YAML too."""
    key = "pickled_model" if library == "sklearn" else "data"
    flavors = {
        library: {key: file, "model_class": model_class},
        "python_function": {"loader_module": f"mlflow.{library}"},
    }
    named = json.dumps([{"name": each, "type": "double"} for each in columns]) if columns else None
    return json.dumps({"flavors": flavors, "signature": {"inputs": named}}).encode()


def log(workspace: Workspace, files: dict[str, bytes]) -> None:
    """Log a model as a client of the third generation does: beside a run, which names it."""
    put(workspace, files)
    with workspace.database.write() as tx:
        run = Run(
            run_id=RUN,
            experiment_id=0,
            name="a",
            started_ms=1,
            artifact_uri=f"mlflow-artifacts:/0/{RUN}/artifacts",
        )
        tx.logged_runs.add(run)
        tx.logged_models.add(
            LoggedModel(
                model_id=MODEL,
                experiment_id=0,
                name="model",
                source_run_id=RUN,
                status=ModelStatus.READY,
                created_ms=1,
                updated_ms=1,
                artifact_uri=FOLDER,
            )
        )
        tx.logged_runs.give(RUN, [ModelOutput(model_id=MODEL)])


def offer(workspace: Workspace, named: str = RUN) -> None:
    request_training(workspace, "tiny", request_id="o", actor="ana", reason="a trial", model=named)


def cycles(workspace: Workspace) -> tuple[Cycle, ...]:
    with workspace.database.read() as tx:
        return tx.loop.cycles("tiny")


def version(workspace: Workspace, number: int) -> ModelVersion:
    with workspace.database.read() as tx:
        return tx.registry.get(ModelRef("tiny", number))


@pytest.fixture(scope="module")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty days of orders of a product that is trained on demand alone."""
    folder = tmp_path_factory.mktemp("offers") / "root"

    def on_demand(text: str) -> str:
        return (
            text[: text.index("    retrain=[")]
            + "    retrain=[ms.OnDemand()],\n"
            + text[text.index('    holdout="5d"') :]
        )

    with begin(folder, on_demand) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
    return folder


@pytest.fixture
def workspace(with_data: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(with_data, tmp_path / "root"))) as workspace:
        yield workspace


LGB = {
    "MLmodel": described("lightgbm", "model.lgb", "lightgbm.basic.Booster"),
    "model.lgb": booster().model_to_string().encode(),
}


def test_a_model_that_a_run_gave_becomes_the_first_champion_and_says_where_it_came_from(
    workspace: Workspace,
) -> None:
    log(workspace, LGB)
    offer(workspace)
    turn(workspace)
    (cycle,) = cycles(workspace)
    assert cycle.outcome is CycleOutcome.PROMOTED, cycle.reason
    assert cycle.evidence == f"ana offered models:/{MODEL}: a trial"
    assert not cycle.trains
    mine = version(workspace, 1)
    told = mine.lineage["offer"]
    assert told == {
        "source": f"models:/{MODEL}",
        "run_id": RUN,
        "model_id": MODEL,
        "files": dict(cycle.offer.files),
    }  # type: ignore[union-attr]
    assert mine.lineage["code"] == {}
    with workspace.database.read() as tx:
        run = tx.logged_runs.get(cycle.run_id)
        assert tx.registry.aliases("tiny") == {"champion": 1}
    assert run.tags["mainspring.offered"] == f"models:/{MODEL}"
    assert run.models_read == (MODEL,)
    assert run.params == {}


def test_it_answers_as_the_client_trained_it(workspace: Workspace) -> None:
    log(workspace, LGB)
    offer(workspace)
    turn(workspace)
    rows = orders(days=3, seed=9).select("amount", "hour", "kind")
    model = load(workspace.blobs.get(version(workspace, 1).artifact))
    codes = rows["kind"].cast(pl.Enum(["a", "b", "c"])).to_physical()
    matrix = np.column_stack([rows["amount"], rows["hour"], codes]).astype(float)
    assert model.predict(feed(model, rows)) == pytest.approx(booster().predict(matrix), abs=1e-6)


def test_it_serves_natively_where_its_splits_have_no_onnx(workspace: Workspace) -> None:
    log(workspace, LGB)
    offer(workspace)
    turn(workspace)
    served = version(workspace, 1).lineage["served"]
    assert isinstance(served, dict)
    assert (served["served"], "split by category" in served["why_native"]) == ("native", True)


def test_the_gates_refuse_an_offered_model_as_any_other(workspace: Workspace) -> None:
    worse = booster(turned=True).model_to_string().encode()
    log(workspace, LGB | {"model.lgb": worse})
    offer(workspace)
    turn(workspace)
    (cycle,) = cycles(workspace)
    assert cycle.outcome is CycleOutcome.REFUSED
    assert "roc_auc" in cycle.verdict
    with workspace.database.read() as tx:
        assert tx.registry.versions("tiny") == ()


def test_what_the_folder_holds_after_the_offer_is_no_matter_of_it(workspace: Workspace) -> None:
    log(workspace, LGB)
    offer(workspace)
    put(workspace, {"MLmodel": b"gone", "model.lgb": b"gone"})
    turn(workspace)
    assert cycles(workspace)[0].outcome is CycleOutcome.PROMOTED


def test_a_file_that_is_no_model_ends_the_cycle_and_says_so(workspace: Workspace) -> None:
    log(workspace, LGB | {"model.lgb": b"tree\nnot one"})
    offer(workspace)
    turn(workspace)
    (cycle,) = cycles(workspace)
    assert cycle.outcome is CycleOutcome.FAILED
    assert cycle.reason.startswith("packaging what was offered failed: The offered model")
    assert "model.lgb" in cycle.reason


def test_a_file_that_ends_the_process_that_reads_it_ends_the_cycle_alone(workspace: Workspace) -> None:
    log(workspace, {"MLmodel": described("xgboost", "model.ubj"), "model.ubj": b"{}"})
    offer(workspace)
    turn(workspace)
    (cycle,) = cycles(workspace)
    assert cycle.outcome is CycleOutcome.FAILED
    request_training(workspace, "tiny", request_id="next", actor="ana", reason="as ever")
    turn(workspace)
    assert cycles(workspace)[1].outcome is CycleOutcome.PROMOTED


def test_a_model_with_inputs_that_the_product_lacks_ends_the_cycle_and_names_them_all(
    workspace: Workspace,
) -> None:
    rng = np.random.default_rng(0)
    data = lightgbm.Dataset(rng.random((100, 2)), rng.integers(0, 2, 100), feature_name=["size", "colour"])
    made = lightgbm.train({"objective": "binary", "verbosity": -1}, data, num_boost_round=2)
    log(workspace, LGB | {"model.lgb": made.model_to_string().encode()})
    offer(workspace)
    turn(workspace)
    (cycle,) = cycles(workspace)
    assert cycle.outcome is CycleOutcome.FAILED
    assert "'size'" in cycle.reason
    assert "'colour'" in cycle.reason


def test_a_model_without_names_takes_those_of_its_signature(workspace: Workspace) -> None:
    rows = orders(days=30, seed=7)
    matrix = np.column_stack([rows["hour"], rows["amount"]]).astype(float)
    made = lightgbm.train(
        {"objective": "binary", "verbosity": -1},
        lightgbm.Dataset(matrix, rows["late"].to_numpy().astype(float)),
        20,
    )
    mlmodel = described("lightgbm", "model.lgb", columns=["hour", "amount"])
    log(workspace, {"MLmodel": mlmodel, "model.lgb": made.model_to_string().encode()})
    offer(workspace)
    turn(workspace)
    assert cycles(workspace)[0].outcome is CycleOutcome.PROMOTED, cycles(workspace)[0].reason
    signature = json.loads(version(workspace, 1).signature)
    assert [each["name"] for each in signature["inputs"]] == ["hour", "amount"]


def test_a_pickle_is_not_read_unless_the_operator_allows_it(workspace: Workspace, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return Path(tmp_path / "harmed").write_text, ("yes",)

    log(workspace, {"MLmodel": described("sklearn", "model.pkl"), "model.pkl": pickle.dumps(Harmful())})
    with pytest.raises(PickleNotAllowed, match="serialization_format"):
        offer(workspace)
    turn(workspace)
    assert cycles(workspace) == ()
    assert not (tmp_path / "harmed").exists()


def test_a_pickle_that_is_allowed_is_kept_in_a_form_that_runs_nothing(
    with_data: Path, tmp_path: Path
) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = orders(days=30, seed=7)
    columns = make_column_transformer(
        (StandardScaler(), ["amount", "hour"]), (OneHotEncoder(handle_unknown="ignore"), ["kind"])
    )
    made = make_pipeline(columns, LogisticRegression()).fit(
        rows.select("amount", "hour", "kind"), rows["late"].cast(pl.Int8).to_numpy()
    )
    root = Path(shutil.copytree(with_data, tmp_path / "root"))
    with (root / "mainspring.toml").open("a") as settings:
        settings.write('allow_code = "tiny"\n')
    with open_workspace(root) as workspace:
        log(workspace, {"MLmodel": described("sklearn", "model.pkl"), "model.pkl": pickle.dumps(made)})
        offer(workspace)
        turn(workspace)
        assert cycles(workspace)[0].outcome is CycleOutcome.PROMOTED, cycles(workspace)[0].reason
        mine = version(workspace, 1)
        assert b"model.pkl" not in workspace.blobs.get(mine.native)
        native = load(workspace.blobs.get(mine.native))  # without code being allowed
        asked = rows.select("amount", "hour", "kind")
        expected = made.predict_proba(asked)[:, 1]
        assert native.predict(feed(native, asked)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("none", "not found"),
        (f"runs:/{RUN}/other", "none that is called 'other'"),
        ("models:/m-none", "m-none"),
        ("models:/nothing/1", "nothing"),
        ("models:/tiny@champion", "tiny"),
        ("mlflow-artifacts:/0/x", "address of files"),
        ("s3://bucket/model", "address of files"),
        ("models:/../1", "No part of it|no part of it"),
    ],
)
def test_what_names_no_logged_model_is_refused_with_the_reason(
    workspace: Workspace, named: str, why: str
) -> None:
    log(workspace, LGB)
    with pytest.raises(MainspringError, match=why):
        offer(workspace, named)
    with workspace.database.read() as tx:
        assert tx.loop.requests("tiny") == ()


def test_a_run_that_gave_several_models_must_say_which(workspace: Workspace) -> None:
    log(workspace, LGB)
    put(workspace, LGB, f"mlflow-artifacts:/0/{RUN}/artifacts/older")
    with pytest.raises(UnknownOffer, match=f"several, models:/{MODEL}, runs:/{RUN}/older"):
        offer(workspace)
    offer(workspace, f"runs:/{RUN}/older")
    with workspace.database.read() as tx:
        (asked,) = tx.loop.requests("tiny")
    assert asked.offer is not None
    assert (asked.offer.source, asked.offer.run_id, asked.offer.model_id) == (f"runs:/{RUN}/older", RUN, "")


@pytest.mark.parametrize(
    "file", ["../../secret", "/etc/passwd", "..%2f..%2fsecret", "a/../../b", "%252e%252e/x", "a\0b", "C:/x"]
)
def test_a_model_file_outside_its_folder_is_none(workspace: Workspace, file: str) -> None:
    put(workspace, {"secret": b"x"}, "mlflow-artifacts:/0")
    log(workspace, {"MLmodel": described("lightgbm", file)})
    with pytest.raises(MainspringError):
        offer(workspace)


def test_params_are_refused_with_an_offer(workspace: Workspace) -> None:
    log(workspace, LGB)
    with pytest.raises(Faults, match="runs none of them"):
        request_training(
            workspace, "tiny", request_id="o", actor="a", reason="b", params={"train.rounds": 3}, model=RUN
        )


def test_a_model_whose_files_are_elsewhere_is_refused(workspace: Workspace) -> None:
    log(workspace, LGB)
    with workspace.database.write() as tx:
        tx.logged_runs.add(
            Run(run_id="77" * 16, experiment_id=0, name="a", started_ms=1, artifact_uri="s3://b/c")
        )
    with pytest.raises(Invalid, match="not kept by this server: read them there"):
        offer(workspace, "77" * 16)


def test_the_offer_stands_in_the_ledger(workspace: Workspace) -> None:
    log(workspace, LGB)
    offer(workspace)
    offer(workspace)  # under the same id, it is the same
    with workspace.database.read() as tx:
        (told,) = [
            json.loads(each.data) for each in tx.ledger.entries() if each.type == EventType.TRAINING_REQUESTED
        ]
    assert told["offer"]["source"] == f"models:/{MODEL}"
    assert len(told["offer"]["files"]) == 2
