"""MLflow's unmodified clients load products' versions, and get what the gateway answers."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from tests.mlflow.conftest import ROOT, python_of
from tests.products.tiny.orders import orders, parquet

from mainspring.cli.up import running
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.settings import Settings
from mainspring.workspace import open_workspace

LOAD = Path(__file__).parent / "client" / "load_models.py"
ONNX = ("lightgbm-in-onnx", "xgboost-in-onnx", "sklearn-in-onnx")
NATIVE = ("lightgbm-native", "xgboost-native", "sklearn-of-frames", "sklearn-of-matrices")
TOLERANCE = 1e-6
"""Between two runs of ONNX in float32, which may add up in another order; all else is the same to the bit."""

ROWS: list[dict[str, object]] = [
    {"amount": 34.91, "hour": 0, "kind": "b"},
    {"amount": 128.44, "hour": 11, "kind": "a"},
    {"amount": 0.1, "hour": 23, "kind": "c"},
    {"amount": 999.99, "hour": 7, "kind": "never seen"},
    {"amount": None, "hour": 5, "kind": "a"},
    {"amount": 77.0, "hour": None, "kind": "b"},
    {"amount": 77.0, "hour": 12, "kind": None},
    {"amount": 77.0, "hour": 12, "kind": ""},
    {"amount": None, "hour": None, "kind": None},
]

MORE = orders(days=2, seed=5).select("amount", "hour", "kind").to_dicts()


@dataclass(frozen=True)
class Up:
    url: str
    gateway: str
    root: Path


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A workspace with a champion of each form, and its gateway."""
    root = Path(copytree(ROOT / "tests/products/forms", tmp_path_factory.mktemp("forms") / "root"))
    (root / "mainspring.toml").write_text('clock = "2024-01-31T12:00:00Z"\nallow_code = "own-code"\n')
    rows = orders(days=30)
    every = pl.int_range(pl.len())
    rows = rows.with_columns(
        pl.when(every % 11 != 0).then("amount").alias("amount"),
        pl.when(every % 13 != 0).then("hour").alias("hour"),
        pl.when(every % 7 != 0).then("kind").alias("kind"),
    )
    with open_workspace(root) as workspace:
        declare(workspace, actor="test")
        add_batch(workspace, "orders", parquet(rows), actor="test")
        turn(workspace)
        with workspace.database.read() as tx:
            served = {
                each.product: each.lineage["served"]["served"]  # type: ignore[index]
                for each in tx.registry.versions()
            }
    assert served == {
        **dict.fromkeys(ONNX, "onnx"),
        **dict.fromkeys((*NATIVE, "own-code"), "native"),
    }
    before = signal.getsignal(signal.SIGTERM)
    try:
        with running(replace(Settings.load(root), port=0, gateway_port=0)) as processes:
            yield Up(processes.url, processes.gateway_url, root)
    finally:
        signal.signal(signal.SIGTERM, before)


def loaded(generation: str, up: Up, *products: str, rows: object = ROWS) -> dict[str, Any]:
    """What a client is answered by the champions of products."""
    asked = {"uris": {each: f"models:/{each}@champion" for each in products}, "rows": rows}
    ran = subprocess.run(
        [python_of(generation), LOAD, up.url],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def served(up: Up, product: str, rows: object = ROWS) -> list[float]:
    asked = httpx.post(f"{up.gateway}/invocations/{product}", json={"dataframe_records": rows}, timeout=60)
    assert asked.status_code == 200, asked.text
    answers: list[float] = asked.json()["predictions"]
    return answers


@pytest.mark.slow
@pytest.mark.server("mlflow")
@pytest.mark.parametrize("generation", ["3", "2"])
def test_a_client_loads_every_form_and_gets_what_the_gateway_answers(generation: str, up: Up) -> None:
    told = loaded(generation, up, *ONNX, *NATIVE, rows=ROWS + MORE)
    for product in (*ONNX, *NATIVE):
        found, expected = told[product], served(up, product, ROWS + MORE)
        assert "refused" not in found, found
        assert found["columns"] == ["probability"]
        apart = np.abs(np.array(found["answers"], np.float32) - np.array(expected, np.float32))
        assert apart.max() <= (TOLERANCE if product in ONNX else 0), (product, found["answers"], expected)
        assert len(set(found["answers"])) > 3
        assert found["example"] == 5
        assert ("onnx" in found["flavors"]) == (product in ONNX)


@pytest.mark.slow
@pytest.mark.server("mlflow")
def test_a_client_is_told_what_a_model_cannot_answer_and_all_of_it(up: Up) -> None:
    told = loaded("3", up, "lightgbm-in-onnx", rows=[{"amount": 1.0, "hour": 1.5}])["lightgbm-in-onnx"]
    assert "hour: it takes whole numbers" in told["refused"]


@pytest.mark.slow
@pytest.mark.server("mlflow")
def test_code_of_the_product_is_not_run_by_a_client(up: Up) -> None:
    told = loaded("3", up, "own-code")["own-code"]
    assert "own-code@1 is Python code of the product's own" in told["refused"]
    listed = artifacts(up, "own-code/1") + artifacts(up, "own-code/1/data") + artifacts(up, "own-code/1/code")
    assert "about.json" in listed
    assert not [name for name in listed if "pickle" in name or name.endswith((".pkl", "rule.py"))]


def artifacts(up: Up, path: str) -> list[str]:
    url = f"{up.url}/api/2.0/mlflow-artifacts/artifacts"
    asked = httpx.get(url, params={"path": f"mainspring-models/{path}"})
    assert asked.status_code == 200, asked.text
    return [each["path"] for each in asked.json().get("files", ())]


def test_nobody_writes_among_the_files_of_versions(up: Up) -> None:
    url = f"{up.url}/api/2.0/mlflow-artifacts"
    for path in (
        "mainspring-models/own-code/1/MLmodel",
        "mainspring-models/x",
        "mainspring%2Dmodels/own-code/2/y",
    ):
        for asked in (
            httpx.put(f"{url}/artifacts/{path}", content=b"x"),
            httpx.delete(f"{url}/artifacts/{path}"),
            httpx.post(f"{url}/mpu/create/{path}", json={"path": "MLmodel", "num_parts": 1}),
        ):
            assert asked.status_code == 400, asked.text
            assert "their cycles alone make" in asked.json()["message"]
    assert "MLmodel" in artifacts(up, "own-code/1")
    for path in ("mainspring-models", "mainspring-models/own-code", "mainspring-models/own-code/1/MLmodel/x"):
        asked = httpx.get(f"{url}/artifacts/{path}")
        assert asked.status_code in (400, 404)
    assert httpx.get(f"{url}/artifacts/mainspring-models/own-code/7/MLmodel").status_code == 404
    assert httpx.get(f"{url}/artifacts/mainspring-models/own-code/99999999999999999999/x").status_code == 404
    assert httpx.get(f"{url}/artifacts/mainspring-models/own%20code/1/x").status_code in (400, 404)


def test_a_version_can_be_registered_by_a_client_under_a_name_of_its_own(up: Up) -> None:
    url = f"{up.url}/api/2.0/mlflow"
    httpx.post(f"{url}/registered-models/create", json={"name": "copied"})
    asked = httpx.post(
        f"{url}/model-versions/create", json={"name": "copied", "source": "models:/lightgbm-in-onnx/1"}
    )
    assert asked.status_code == 200, asked.text
    found = httpx.get(f"{url}/model-versions/get-download-uri", params={"name": "copied", "version": "1"})
    assert found.json() == {"artifact_uri": "mlflow-artifacts:/mainspring-models/lightgbm-in-onnx/1"}
    file = httpx.get(
        f"{up.url}/model-versions/get-artifact", params={"name": "copied", "version": "1", "path": "MLmodel"}
    )
    assert file.status_code == 200
    assert "python_function" in file.text


@pytest.mark.slow
@pytest.mark.server("mlflow")
def test_a_client_does_not_get_a_version_that_was_changed(up: Up) -> None:
    manifest = httpx.get(
        f"{up.url}/api/2.0/mlflow-artifacts/artifacts/mainspring-models/xgboost-in-onnx/1/manifest.json"
    ).json()["manifest"]
    for file in manifest["files"]:
        digest = file["sha256"]
        path = up.root / ".mainspring/blobs" / digest[:2] / digest[2:4] / digest
        kept = path.read_bytes()
        try:
            path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            asked = httpx.get(
                f"{up.url}/api/2.0/mlflow-artifacts/artifacts",
                params={"path": "mainspring-models/xgboost-in-onnx/1"},
            )
            assert asked.status_code == 400
            assert "xgboost-in-onnx@1 is not what was registered" in asked.json()["message"]
            assert file["path"] in asked.json()["message"]
            if file["path"] == "data/model.onnx":
                told = loaded("3", up, "xgboost-in-onnx")["xgboost-in-onnx"]
                assert "xgboost-in-onnx@1 is not what was registered" in told["refused"]
                assert len(served(up, "xgboost-in-onnx")) == len(ROWS)  # what the gateway has loaded, goes on
        finally:
            path.write_bytes(kept)
    assert len(loaded("3", up, "xgboost-in-onnx")["xgboost-in-onnx"]["answers"]) == len(ROWS)
