"""A workspace that is up, as the client meets it; and what is refused before anything has started."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import polars as pl
import pytest
from tests.operate.tiny import PRODUCT
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.cli.up import AlreadyUp, running
from mainspring.client import Answered, Client
from mainspring.digest import digest_of_file
from mainspring.settings import Settings
from mainspring.stores.artifact_path import ASIDE
from mainspring.stores.sql import DatabaseNewer, DatabaseOlder
from mainspring.stores.sql.errors import DatabaseUntouched
from mainspring.stores.sql.schema import NEWEST_REVISION, REVISION_TABLE
from mainspring.workspace import open_workspace

DAY = timedelta(days=1)


@pytest.fixture
def settings(trained: Path, tmp_path: Path) -> Iterator[Settings]:
    root = Path(shutil.copytree(trained, tmp_path / "root"))
    handler = signal.getsignal(signal.SIGTERM)
    yield replace(Settings.load(root), port=0, gateway_port=0)
    signal.signal(signal.SIGTERM, handler)


def test_a_client_brings_data_asks_labels_and_trains_over_the_real_doors(settings: Settings) -> None:
    with running(settings) as up, Client(up.url, up.gateway_url, actor="ana") as client:
        with pytest.raises(AlreadyUp) as second, running(settings):
            pass
        assert second.value.root == settings.root
        assert "is up already (process " in str(second.value)
        assert "end it first" in str(second.value)

        row = client.add_batch("orders", parquet(orders(FIRST + 30 * DAY, days=5)), reason="five days more")
        assert (row["ref"], row["rows"], row["actor"]) == ("orders@v2", 500, "ana")
        broken = orders(FIRST + 40 * DAY, days=1).with_columns(pl.col("amount") * 100)
        with pytest.raises(Answered) as refused:
            client.add_batch("orders", parquet(broken))
        assert refused.value.status == 422
        assert "rows fail a check" in str(refused.value)
        assert refused.value.body["report"]["failures"][0]["column"] == "amount"

        now = FIRST + 31 * DAY + timedelta(hours=13)
        assert client.move_clock(now)["moved"] is True
        rows = orders(FIRST + 31 * DAY, days=1, per_day=10)
        columns = {name: (kind, rows[name].to_list()) for name, kind in
                   (("amount", "FP64"), ("hour", "INT64"), ("kind", "BYTES"))}  # fmt: skip
        predictions = client.predict("tiny", columns, request_id="day-31", now=now)
        assert len(predictions) == 10
        assert all(each.prediction_id.startswith("day-31/") for each in predictions)
        assert all(0 < each.probability < 1 and each.version == 1 for each in predictions)
        truth = [
            {"prediction_id": each.prediction_id, "value": late}
            for each, late in zip(predictions, rows["late"], strict=True)
        ]
        assert client.label(truth, now=now) == 10
        with pytest.raises(Answered, match="never issued it") as stranger:
            client.label([{"prediction_id": "nobody/0.0000000000", "value": True}], now=now)
        assert 400 <= stranger.value.status < 500
        with pytest.raises(Answered) as nobody:
            client.predict("tony", columns, now=now)
        assert nobody.value.status == 404

        asked = client.train("tiny", reason="to see", params={"train.rounds": 1}, request_id="r1")
        assert client.train("tiny", reason="to see", params={"train.rounds": 1}, request_id="r1") == asked
        done = client.move_clock(now + DAY)
        assert done["records"] == 2
        assert done["acts"][:3] == ["tiny: Start", "tiny: Train", "tiny: Judge"]
        cycle = client.get("/v1/products/tiny/cycles")[-1]
        assert (cycle["actor"], cycle["evidence"], cycle["outcome"]) == (
            "ana",
            "ana asked: to see",
            "refused",
        )
        (day,) = client.get("/v1/products/tiny/quality")
        assert (day["predictions"], day["labelled"]) == (10, 10)
        with pytest.raises(Answered) as missing:
            client.get("/v1/products/tony")
        assert (missing.value.status, missing.value.body["title"]) == (404, "not found")
        assert client.get("/v1/ledger/verification")["sound"] is True
    assert all(child.poll() is not None for child in up.children.values())


def test_predictions_and_labels_go_on_while_the_control_plane_is_gone(settings: Settings) -> None:
    now = FIRST + 31 * DAY
    columns = {"amount": ("FP64", [20.0]), "hour": ("INT64", [7]), "kind": ("BYTES", ["book"])}
    with running(settings) as up, Client(up.url, up.gateway_url, actor="ana") as client:
        up.children["server"].kill()
        up.children["server"].wait()
        (answered,) = client.predict("tiny", columns, request_id="alone", now=now)
        assert client.label([{"prediction_id": answered.prediction_id, "value": True}], now=now) == 1
        up.start("server")
        up.wait_ready("server")
        client.move_clock(now + DAY)
        (day,) = client.get("/v1/products/tiny/quality")
        assert (day["predictions"], day["labelled"]) == (1, 1)


def test_artifacts_outlive_a_control_plane_that_is_killed_and_halves_of_them_are_swept(
    settings: Settings,
) -> None:
    aside = settings.state / "artifacts" / ASIDE
    with running(settings) as up:
        path = "/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts"
        assert httpx.put(f"{up.url}{path}/whole", content=b"whole").status_code == 200
        with socket.create_connection((up.settings.host, up.settings.port)) as client:
            client.sendall(f"PUT {path}/half HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf".encode())
            while not list(aside.iterdir()):
                time.sleep(0.02)
            up.children["server"].kill()
            up.children["server"].wait()
        (half,) = aside.iterdir()
        os.utime(half, (0, 0))
        up.start("server")
        up.wait_ready("server")
        assert httpx.get(f"{up.url}{path}/whole").content == b"whole"
        assert httpx.get(f"{up.url}{path}/half").status_code == 404
        assert list(aside.iterdir()) == []


def test_gateways_share_a_port_and_stand_in_for_one_that_was_killed(tmp_path: Path) -> None:
    shutil.copy(PRODUCT / "product.py", tmp_path)
    (tmp_path / "mainspring.toml").write_text("gateways = 2\nport = 0\ngateway_port = 0\ngrpc_port = 0\n")

    def who_answers(times: int) -> set[str]:
        answers = [httpx.get(f"{up.gateway_url}/v2/health/live") for _ in range(times)]  # a connection each
        assert {each.status_code for each in answers} == {200}
        return {each.headers["mainspring-gateway"] for each in answers}

    def answers_over_grpc() -> bool:
        with grpc.insecure_channel(up.grpc_address) as channel:
            return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10) == b"\x08\x01"

    handler = signal.getsignal(signal.SIGTERM)
    with running(Settings.load(tmp_path)) as up:
        assert answers_over_grpc()
        assert who_answers(60) == {"gateway-0", "gateway-1"}
        text = httpx.get(f"{up.gateway_url}/metrics").text
        assert all(f'mainspring_log_records_total{{gateway="gateway-{n}"}} 0' in text for n in (0, 1))
        up.children["gateway-0"].kill()
        up.children["gateway-0"].wait()
        assert who_answers(20) == {"gateway-1"}
        assert answers_over_grpc()
        up.start("gateway-0")
        up.wait_ready("gateway-0")
        assert who_answers(60) == {"gateway-0", "gateway-1"}
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize(
    ("revision", "error", "said"),
    [("0000", DatabaseOlder, "mainspring upgrade"), ("9999", DatabaseNewer, "Install version")],
)
def test_a_database_of_another_mainspring_is_refused_and_left_as_it_was(
    settings: Settings, revision: str, error: type[DatabaseUntouched], said: str
) -> None:
    file = settings.state / "state.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE {REVISION_TABLE} SET version_num = ?", [revision])
    before = digest_of_file(file)
    for opened in (lambda: open_workspace(settings.root), lambda: running(settings).__enter__()):
        with pytest.raises(error) as refused:
            opened()
        message = str(refused.value)
        assert all(words in message for words in (revision, NEWEST_REVISION, "Nothing was changed", said)), (
            message
        )
        assert digest_of_file(file) == before
