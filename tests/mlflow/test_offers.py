"""Models that MLflow's clients log become versions of a product, and answer as their clients trained them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from tests.mlflow.conftest import python_of
from tests.operate.tiny import PRODUCT
from tests.products.tiny.orders import orders, parquet

from mainspring.cli.up import Processes, running
from mainspring.client import Client
from mainspring.formats.mlmodel import PickleNotAllowed
from mainspring.formats.served import feed, load
from mainspring.loop import CycleOutcome
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.ref import ModelRef
from mainspring.settings import Settings
from mainspring.workspace import open_workspace

LOGS = Path(__file__).parent / "client" / "logs_models.py"
INPUTS = ("amount", "hour", "kind")
TYPES = ("FP64", "INT64", "BYTES")
_WAIT_S = 120

pytestmark = pytest.mark.server("mlflow")


def products(folder: Path) -> None:
    """A product that is trained on demand alone, in the system's time."""
    folder.mkdir()
    text = (PRODUCT / "product.py").read_text()
    start, end = text.index("    retrain=["), text.index('    holdout="5d"')
    (folder / "product.py").write_text(text[:start] + "    retrain=[ms.OnDemand()],\n" + text[end:])


@contextmanager
def up(folder: Path) -> Iterator[Processes]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with running(replace(Settings.load(folder), port=0, gateway_port=0)) as processes:
            yield processes
    finally:
        signal.signal(signal.SIGTERM, before)


def recent(days: int, seed: int = 0) -> pl.DataFrame:
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days + 2)
    return orders(first, days=days, seed=seed)


def logged(generation: str, folder: Path, uri: str) -> dict[str, Any]:
    """What a client has logged: addresses, and the answers that it gets for the rows of `table.csv`."""
    table = folder / "table.csv"
    orders(days=30, seed=7).with_columns(pl.col("late").cast(pl.Int8)).select(*INPUTS, "late").write_csv(
        table
    )
    answers = folder / "answers.json"
    ran = subprocess.run(
        [python_of(generation), LOGS, uri, table, answers],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told: dict[str, Any] = json.loads(answers.read_text())
    return told


@pytest.fixture(scope="module", params=["3", "2"])
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("offers")
    products(folder / "root")
    with up(folder / "root") as processes:
        return request.param, folder, logged(request.param, folder, processes.url)


def test_each_answers_as_its_client_trained_it(
    told: tuple[str, Path, dict[str, Any]], tmp_path: Path
) -> None:
    generation, folder, models = told
    rows = pl.read_csv(folder / "table.csv").select(INPUTS)
    filled = Path(shutil.copytree(folder / "root", tmp_path / "filled"))
    with open_workspace(filled) as workspace:
        add_batch(workspace, "orders", parquet(recent(30)), actor="test")
    for name, (address, expected) in models.items():
        root = Path(shutil.copytree(filled, tmp_path / name))
        if generation == "2":
            with open_workspace(root) as workspace, pytest.raises(PickleNotAllowed):
                request_training(workspace, "tiny", request_id="o", actor="a", reason="b", model=address)
            (root / "mainspring.toml").write_text('allow_code = "tiny"\n')
        with open_workspace(root) as workspace:
            request_training(workspace, "tiny", request_id="o", actor="ana", reason="a trial", model=address)
            turn(workspace)
            with workspace.database.read() as tx:
                (cycle,) = tx.loop.cycles("tiny")
                assert cycle.outcome is CycleOutcome.PROMOTED, (name, cycle.reason)
                version = tx.registry.get(ModelRef("tiny", 1))
            model = load(workspace.blobs.get(version.artifact))
        assert model.predict(feed(model, rows)) == pytest.approx(expected, abs=1e-5), name


@pytest.mark.parametrize("told", ["3"], indirect=True)
def test_one_that_is_offered_over_http_is_served_by_the_gateway(
    told: tuple[str, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, folder, models = told
    address, expected = models["wrapped"]
    root = Path(shutil.copytree(folder / "root", tmp_path / "root"))
    with up(root) as processes, httpx.Client(base_url=processes.url, timeout=60) as api:
        batch = api.post("/v1/datasets/orders/batches", content=parquet(recent(30)))
        assert batch.status_code < 300, batch.text
        asked = api.post("/v1/products/tiny/cycles", json={"reason": "a trial", "model": address})
        assert asked.status_code == 202, asked.text
        until = time.monotonic() + _WAIT_S
        while not any(each["outcome"] for each in api.get("/v1/products/tiny/cycles").json()):
            assert time.monotonic() < until, "the loop has not judged it"
            time.sleep(0.5)
        (cycle,) = api.get("/v1/products/tiny/cycles").json()
        assert cycle["outcome"] == "promoted", cycle
        rows = pl.read_csv(folder / "table.csv").select(INPUTS).head(50)
        columns = {name: (kind, rows[name].to_list()) for name, kind in zip(INPUTS, TYPES, strict=True)}
        while api.get(f"{processes.gateway_url}/v2/models/tiny/ready").status_code != 200:
            assert time.monotonic() < until, "the gateway has not heard of it"
            time.sleep(0.2)
        with Client(processes.url, processes.gateway_url) as client:
            answers = client.predict("tiny", columns)
    assert [each.value for each in answers] == pytest.approx(expected[:50], abs=1e-5)
