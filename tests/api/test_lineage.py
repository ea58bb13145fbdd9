"""Lineage over HTTP: what is asked about is a ref, and what is none is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import Api


def test_a_ref_is_followed_in_the_directions_that_are_asked_for(api: Api) -> None:
    found = api.get("/v1/lineage", params={"ref": "tiny@champion", "direction": "up", "depth": 2}).json()
    assert found["down"] is None
    assert {"data version", "run"} <= {node["kind"] for node in found["up"]["nodes"]}
    both = api.get("/v1/lineage", params={"ref": "orders@v1"}).json()
    assert "endpoint" in {node["kind"] for node in both["down"]["nodes"]}


def test_what_is_too_far_away_is_counted(api: Api) -> None:
    down = api.get("/v1/lineage", params={"ref": "orders@v1", "depth": 1}).json()["down"]
    assert [node["kind"] for node in down["nodes"]] == ["data version", "run"]
    assert [each["count"] for each in down["left_out"]] == [1]


def test_an_impact_names_the_versions(api: Api) -> None:
    found = api.get("/v1/impact", params={"ref": "orders@v1"}).json()
    assert [each["ref"] for each in found["versions"]] == ["tiny@1"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"ref": ""}, 400),
        ({"ref": "orders@v9"}, 404),
        ({"ref": "\0"}, 404),
        ({"ref": "tiny@1", "direction": "sideways"}, 400),
        ({"ref": "tiny@1", "depth": "0"}, 400),
        ({"ref": "tiny@1", "depth": "51"}, 400),
        ({"ref": "tiny@1", "depth": "many"}, 400),
    ],
)
def test_what_cannot_be_asked_is_refused(api: Api, query: dict[str, Any], status: int) -> None:
    for path in ("/v1/lineage", "/v1/impact") if len(query) < 2 else ("/v1/lineage",):
        reply = api.get(path, params=query)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")


def test_a_card_is_read_and_edited(api: Api) -> None:
    path = "/v1/products/tiny/versions/champion/card"
    assert api.get(path).json()["ref"] == "tiny@1"
    edited = api(
        "PUT", path, json={"words": "For tests.", "reason": "why"}, headers={"mainspring-actor": "ada"}
    )
    assert edited.status_code == 200
    assert (edited.json()["words"], edited.json()["edits"][-1]["actor"]) == ("For tests.", "ada")
    for body in (
        {"words": "", "reason": "why"},
        {"words": "w", "reason": ""},
        {"words": "w"},
        {"words": 1, "reason": "r"},
        [],
    ):
        assert api("PUT", path, json=body).status_code == 400
    assert api.get("/v1/products/tiny/versions/9/card").status_code == 404
    assert api.get("/v1/products/tiny/versions/A B/card").status_code == 400
