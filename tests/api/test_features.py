"""Rows are pushed over HTTP, and looked up in the shape of Feast's feature server, recorded from release 0.67."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from tests.api.conftest import Api
from tests.operate.shop import customers, declaration
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST

from mainspring.api import build_app
from mainspring.clock import time_text
from mainspring.operate.data.publish import add_batch
from mainspring.operate.feature_views import ViewReport, ViewRow
from mainspring.workspace import Workspace

NOW = FIRST + timedelta(days=30, hours=12)
SEEN = NOW - timedelta(hours=1)


def declared(text: str) -> str:
    """The shop, whose accounts say when they became known."""
    text = declaration(online="store")
    for old, new in (
        ("    at: Moment\n    amount", "    at: Moment\n    told_at: Moment\n    amount"),
        ('event_time="at", schema=Customers', 'event_time="at", known_at="told_at", schema=Customers'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Api]]:
    with begin(tmp_path_factory.mktemp("shop"), declared) as workspace:
        api = Api(build_app(workspace))
        early = api.post("/get-online-features", json=asked("ann"))
        assert early.status_code == 503
        assert "mainspring features materialize" in early.json()
        reply = api.post("/v1/features/profile/rows", content=rows(0, ann=1.5, bob=None))
        assert reply.status_code == 201, reply.text
        assert (reply.json()["ref"], reply.json()["rows"]) == ("customers@v1", 2)
        old = rows(10, at=NOW - timedelta(days=31), old=3.0)
        assert api.post("/v1/features/profile/rows", content=old).status_code == 201
        yield workspace, api


def rows(first: int, *, at: Any = SEEN, **amounts: float | None) -> bytes:
    return b"\n".join(
        json.dumps({"row_id": first + n, "customer": name, "at": time_text(at), "amount": amount}).encode()
        for n, (name, amount) in enumerate(amounts.items())
    )


def asked(*names: str, **others: Any) -> dict[str, Any]:
    return {"features": ["profile:amount"], "entities": {"customer": [*names]}, **others}


def test_views_are_told_as_they_are_described(shop: tuple[Workspace, Api]) -> None:
    _, api = shop
    (listed,) = msgspec.json.decode(api.get("/v1/features").content, type=list[ViewRow])
    assert (listed.view, listed.online, listed.features, listed.used) == (
        "profile",
        "store",
        ["amount"],
        ["amount"],
    )
    (shown,) = msgspec.json.decode(api.get("/v1/features/profile").content, type=list[ViewReport])
    assert [part.column for each in shown.features for part in each.statistics] == ["amount"]
    assert api.get("/v1/features/none").status_code == 404


EPOCH, HOUR_AGO, OLD = "1970-01-01T00:00:00Z", "2024-01-31T11:00:00Z", "2023-12-31T12:00:00Z"


def test_online_features_have_the_shape_of_feasts(shop: tuple[Workspace, Api]) -> None:
    _, api = shop
    reply = api.post("/get-online-features", json=asked("ann", "bob", "old", "none"))
    assert reply.status_code == 200, reply.text
    assert reply.json() == {
        "results": [
            {
                "values": ["ann", "bob", "old", "none"],
                "statuses": ["PRESENT"] * 4,
                "event_timestamps": [EPOCH] * 4,
            },
            {
                "values": [1.5, None, None, None],
                "statuses": ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
                "event_timestamps": [HOUR_AGO, HOUR_AGO, OLD, EPOCH],
            },
        ],
        "metadata": {"feature_names": ["customer", "amount"]},
    }
    full = api.post("/get-online-features", json=asked("ann", full_feature_names=True))
    assert full.json()["metadata"]["feature_names"] == ["customer", "profile__amount"]
    service = api.post(
        "/get-online-features", json={"feature_service": "tiny", "entities": {"customer": ["ann"]}}
    )
    assert service.json()["results"][1]["values"] == [1.5]


def feasts(reply: httpx.Response, status: int) -> dict[str, str]:
    """An error in the form that Feast's clients read: a text that holds JSON."""
    assert reply.status_code == status, reply.text
    told: dict[str, str] = json.loads(reply.json())
    return told


def test_what_feast_has_an_error_for_is_told_so_and_nothing_of_the_callers_is_a_fault_of_ours(
    shop: tuple[Workspace, Api],
) -> None:
    _, api = shop

    def ask(**body: Any) -> httpx.Response:
        return api.post("/get-online-features", json={"entities": {"customer": ["ann"]}, **body})

    told = feasts(ask(features=["nope:amount"]), 404)
    assert (told["module"], told["class"]) == ("feast.errors", "FeatureViewNotFoundException")
    assert feasts(ask(feature_service="nope"), 404)["class"] == "FeatureServiceNotFoundException"
    source = {"push_source_name": "nope", "df": {"customer": ["ann"]}}
    assert feasts(api.post("/push", json=source), 422)["class"] == "PushSourceNotFoundException"
    for body in (
        {},
        {"features": ["profile"]},
        {"features": ["profile:nope"]},
        {"features": ["profile:amount", "profile:amount"]},
        {"features": ["profile:amount"], "entities": {"other": ["ann"]}},
        {"features": ["profile:amount"], "entities": {"customer": []}},
        {"features": ["profile:amount"], "entities": {"customer": ["ann"], "other": ["a", "b"]}},
        {"features": ["profile:amount"], "entities": {"customer": [["ann"]]}},
        {"features": ["profile:amount"], "entities": 1},
    ):
        assert ask(**body).status_code == 422, body
    assert api.post("/get-online-features", content=b"{").status_code == 422
    assert ask(features=["profile:amount"], entities={"customer": [None, 5, True]}).status_code == 200
    assert api.post("/push", json={"push_source_name": "profile", "df": {}}).status_code == 422
    assert api.post("/materialize", json={"start_ts": "noon", "end_ts": "2024"}).status_code == 422


def test_what_feasts_callers_push_is_found_at_once_and_known_from_then_on(
    shop: tuple[Workspace, Api],
) -> None:
    workspace, api = shop
    df = {"row_id": [77], "customer": ["cy"], "at": [HOUR_AGO], "amount": [7.0]}
    for _ in range(2):  # repeated, it changes nothing
        assert (
            api.post("/push", json={"push_source_name": "profile", "df": df, "to": "online"}).json() is None
        )
    reply = api.post("/get-online-features", json=asked("cy"))
    assert reply.json()["results"][1]["values"] == [7.0]
    with workspace.database.read() as tx:
        newest = tx.data.newest("customers")
    assert newest is not None
    table = workspace.tables.read("customers", newest.table_version)
    [known] = table.filter(table["row_id"] == 77)["told_at"]
    assert known == workspace.clock.now()
    again = api.post(
        "/write-to-online-store", json={"feature_view_name": "profile", "df": {**df, "amount": [8.0]}}
    )
    assert again.status_code == 422  # its key is taken
    assert "refused" in again.json()
    for path, body in (
        ("/materialize-incremental", {"end_ts": "2024-02-01T00:00:00"}),
        (
            "/materialize",
            {"start_ts": "2024-01-01T00:00:00", "end_ts": "2024-02-01", "feature_views": ["profile"]},
        ),
    ):
        assert api.post(path, json=body).status_code == 200
    assert api.get("/health").status_code == 200


def test_rows_that_are_refused_are_not_looked_up(shop: tuple[Workspace, Api]) -> None:
    _, api = shop
    reply = api.post("/v1/features/profile/rows", content=b'{"row_id": "x", "customer": "dan"}')
    assert reply.status_code == 422
    assert "were refused, and nothing of them was kept" in reply.json()["detail"]
    found = api.post("/get-online-features", json=asked("dan")).json()["results"][1]
    assert found["statuses"] == ["NOT_FOUND"]
    assert api.post("/v1/features/none/rows", content=rows(1)).status_code == 404
    [written] = api.post("/v1/features/profile/materialization").json()
    assert (written["view"], written["written"]) == ("profile", 0)


def test_views_in_memory_are_looked_up_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    with begin(tmp_path_factory.mktemp("memory"), lambda _: declaration()) as workspace:
        add_batch(workspace, "customers", customers(0, ann=10.0), actor="test")
        reply = Api(build_app(workspace)).post("/get-online-features", json=asked("ann"))
    assert reply.json()["results"][1]["statuses"] == ["OUTSIDE_MAX_AGE"]
    assert reply.json()["results"][1]["event_timestamps"] == ["2024-01-01T00:00:00Z"]
