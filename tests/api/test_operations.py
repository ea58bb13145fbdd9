"""The control plane's operations: described as they are, and every refusal a problem detail with its right status."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.conftest import Api
from tests.operate.tiny import begin
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.api import build_app
from mainspring.api.app import BODY_LIMIT, OPERATIONS
from mainspring.api.problem import Problem, problem_of
from mainspring.clock import time_text
from mainspring.engines import WorkerDied
from mainspring.errors import Conflict, Fault, Faults, Invalid, MainspringError, NotFound, Refused
from mainspring.events import EventType
from mainspring.operate.workers import TaskFailed, TaskUnavailable
from mainspring.workspace import Workspace, open_workspace

DAY = timedelta(days=1)
NAMES = {
    "address": "main",
    "version": "99",
    "product": "tiny",
    "dataset": "orders",
    "batch": "none",
    "rollout": "none",
    "alarm": "none",
    "model": "tiny",
    "view": "none",
}
QUERIES = {"/v1/lineage": {"ref": "tiny@1"}, "/v1/impact": {"ref": "orders@v1"}}
OF_A_ROLLOUT = ("/v1/products/{product}/rollout", "/v1/products/{product}/rollouts/{rollout}")
OF_A_VIEW = ("/v1/features/{view}",)
OF_A_VERSION = (
    "/v1/products/{product}/versions/{version}/approvals",
    "/v1/datasets/{dataset}/versions/{address}/diff",
    "/v1/datasets/{dataset}/batches/{batch}",
    "/v1/datasets/{dataset}/quarantine/{batch}",
)
MLFLOW = "/api/2.0/mlflow/"
# The description itself, what gives and takes files, and what only tries a webhook.
NOT_DESCRIBED = re.compile(r"^/v1/openapi.json$|/artifacts|/test$")
OF_AN_ALARM = ("/v1/alarms/{alarm}", "/v1/alarms/{alarm}/replay")


def path_of(template: str) -> str:
    return template.format_map(NAMES)


def problem(reply: httpx.Response, status: int) -> Problem:
    """The problem detail of a refusal, in the form that it is described in."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    read = msgspec.json.decode(reply.content, type=Problem)
    assert read.status == status
    assert read.title
    assert read.detail
    return read


# --- the description -----------------------------------------------------------------------------------------------


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_the_description_lists_every_route_in_the_form_of_openapi(api: Api) -> None:
    document = api.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert {each for each in described if each[1].startswith("/v1/")} == {
        (operation.method, operation.path) for operation in OPERATIONS
    }
    served = {
        (method, route.path)
        for route in api.app.routes
        for method in route.methods  # type: ignore[attr-defined]
        if route.path.startswith(("/v1/", MLFLOW)) and method != "HEAD"  # type: ignore[attr-defined]
    }
    assert {each for each in served if not NOT_DESCRIBED.search(each[1])} == described
    ids = []
    for path, item in document["paths"].items():
        for operation in item.values():
            ids.append(operation["operationId"])
            assert operation["summary"]
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
            assert operation["responses"].keys() > {"default"}
            for response in operation["responses"].values():
                assert response["description"]
                assert all("schema" in content for content in response["content"].values())
            kind = "application/problem+json" if path.startswith("/v1/") else "application/json"
            assert kind in operation["responses"]["default"]["content"]
    assert len(set(ids)) == len(ids)
    schemas = document["components"]["schemas"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
    assert schemas.keys() >= {"Problem", "CycleRow", "AskTraining", "DataRow"}


@pytest.mark.parametrize(
    "operation",
    [
        each
        for each in OPERATIONS
        if each.method == "GET" and each.path not in OF_A_ROLLOUT + OF_AN_ALARM + OF_A_VERSION + OF_A_VIEW
    ],
    ids=lambda each: each.path,
)
def test_every_reading_answers_in_the_form_that_it_is_described_in(api: Api, operation: Any) -> None:
    query = QUERIES.get(operation.path, {})
    path = path_of(operation.path).replace("/99/card", "/1/card")
    reply = api.get(path, params=query)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(reply.content, type=operation.gives) is not None
    assert api("HEAD", path, params=query).status_code == 200


@pytest.mark.parametrize("path", OF_A_ROLLOUT)
def test_of_a_rollout_that_is_not_there_one_is_told_so(api: Api, path: str) -> None:
    assert "rollout" in problem(api.get(path_of(path)), 404).detail


def test_what_happened_can_be_read(api: Api) -> None:
    (product,) = api.get("/v1/products").json()
    assert (product["product"], product["champion"]["ref"]) == ("tiny", "tiny@1")
    (cycle,) = api.get("/v1/products/tiny/cycles").json()
    assert (cycle["trigger"], cycle["outcome"], cycle["data"]) == ("on_new_data", "promoted", ["orders@v1"])
    assert api.get("/v1/ledger/verification").json()["sound"] is True
    (newest,) = api.get("/v1/events", params={"limit": 1}).json()
    assert newest["type"] == EventType.CYCLE_CLOSED
    subjects = {event["subject"] for event in api.get("/v1/events", params={"subject": "orders"}).json()}
    assert subjects == {"orders@v1"}


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/nowhere", 404, "/v1/openapi.json"),
        ("GET", "/v1/products/tony", 404, "There are: tiny"),
        ("GET", "/v1/products/tony/runs", 404, "There are: tiny"),
        ("GET", "/v1/products/%00%ff/cycles", 404, "There are: tiny"),
        ("POST", "/v1/datasets/odrers/batches", 404, "There are: orders"),
        ("GET", "/v1/datasets/odrers/batches", 404, "There are: orders"),
        ("DELETE", "/v1/products", 405, "DELETE /v1/products"),
        ("PUT", "/v1/products/tiny/cycles", 405, "/v1/openapi.json"),
        ("POST", "/v1/health", 405, "/v1/openapi.json"),
        ("GET", "/v1/products/tony/triggers", 404, "There are: tiny"),
        ("GET", "/v1/products/tiny/triggers?at=yesterday", 400, "'yesterday' is not a moment"),
        ("GET", "/v1/products/tiny/triggers?at=2999-01-01T00:00:00Z", 400, "lies in the future"),
        ("GET", "/v1/events?limit=0", 400, "from 1 to 1000"),
        ("GET", "/v1/events?limit=1001", 400, "from 1 to 1000"),
        ("GET", "/v1/events?limit=many", 400, "'many'"),
        ("GET", f"/v1/events?limit={'9' * 5_000}", 400, "from 1 to 1000"),
        ("GET", "/v1/products/tiny/runs?limit=-1", 400, "'-1'"),
        ("POST", "/v1/clock", 400, "body"),
        ("POST", "/v1/products/tiny/cycles", 400, "body"),
    ],
)
def test_a_question_that_cannot_be_answered_is_told_why(
    api: Api, method: str, path: str, status: int, said: str
) -> None:
    assert said in problem(api(method, path), status).detail


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "r", "colour": "red"}, "colour"),
        ({"reason": "r", "params": {"train.rounds": [1]}}, "params"),
        ({"reason": "r", "data": ["orders@1"]}, "orders@1"),
        ({"reason": "r", "data": "orders@v1"}, "data"),
        ({"reason": "r", "model": 5}, "model"),
        ({"reason": "r", "model": "runs:/x/../y"}, "'..'"),
        ({"reason": "r", "model": "models:/a/b/c"}, "models:/NAME/VERSION"),
        ([], "object"),
    ],
)
def test_a_body_of_another_form_is_told_with_the_field(api: Api, body: object, said: str) -> None:
    assert said in problem(api.post("/v1/products/tiny/cycles", json=body), 400).detail


@pytest.mark.parametrize(
    "model", ["nobody", "models:/nothing@best", "models:/m-nothing", "s3://bucket/model"]
)
def test_an_offer_of_what_is_not_there_is_told(api: Api, model: str) -> None:
    body = {"reason": "r", "model": model}
    assert (
        model.rpartition("/")[2].partition("@")[0]
        in problem(api.post("/v1/products/tiny/cycles", json=body), 404).detail
    )


def test_all_faults_of_a_request_stand_in_the_problem(api: Api) -> None:
    asked = {"reason": "r", "params": {"train.round": 1, "train.rounds": "x"}, "data": ["orders@v9"]}
    told = problem(api.post("/v1/products/tiny/cycles", json=asked), 400)
    assert told.type == "urn:mainspring:Faults"
    assert [fault["where"] for fault in told.faults or []] == ["train.round", "train.rounds", "orders@v9"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(api: Api) -> None:
    body = b'{"now": "' + b"9" * BODY_LIMIT + b'"}'
    assert f"{BODY_LIMIT:,} bytes" in problem(api.post("/v1/clock", content=body), 413).detail


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 404),
        (Conflict("x"), 409),
        (Refused("x"), 422),
        (Invalid("x"), 400),
        (Faults("x", (Fault("here", "is wrong."),)), 400),
        (TaskFailed("ValueError", "x"), 422),
        (TaskUnavailable("OSError", "x"), 503),
        (WorkerDied(-9, ""), 503),
        (MainspringError("x"), 503),
    ],
)
def test_every_kind_of_error_has_its_status(error: MainspringError, status: int) -> None:
    told = problem_of(error)
    assert (told.status, told.detail) == (status, str(error))
    assert told.type == f"urn:mainspring:{type(error).__name__}"


def test_a_disk_that_is_full_for_a_worker_is_not_the_callers_fault(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the workers' files are limited: the control plane's own can grow."""
    (tmp_path / "sitecustomize.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
    )
    batch = parquet(orders(FIRST + 30 * DAY, days=1))
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/products/tiny/scorings", {"json": {"data": ["orders@v1"]}}),
        ("/v1/datasets/orders/batches", {"content": batch}),
    ]
    root = Path(shutil.copytree(trained, tmp_path / "root"))
    with monkeypatch.context() as full, open_workspace(root) as workspace:
        full.setenv("PYTHONPATH", str(tmp_path))
        for path, sent in asked:
            told = problem(Api(build_app(workspace)).post(path, **sent), 503)
            assert "Free space" in told.detail
    with open_workspace(root) as workspace:
        for path, sent in asked:
            reply = Api(build_app(workspace)).post(path, **sent)
            assert reply.status_code == 201, reply.text


def test_a_fault_of_ours_is_a_problem_detail_too(trained: Path, tmp_path: Path) -> None:
    with open_workspace(Path(shutil.copytree(trained, tmp_path / "root"))) as workspace:
        with workspace.database.write() as tx:
            tx.values.put("product:tiny", "{}")
        told = problem(Api(build_app(workspace)).get("/v1/datasets/orders/batches"), 500)
    assert "mainspring's own" in told.detail
    assert "Traceback" not in told.detail


# --- batches -------------------------------------------------------------------------------------------------------


def test_each_batch_gets_its_own_answer_also_when_it_comes_again(tmp_path: Path) -> None:
    path = "/v1/datasets/orders/batches"
    broken = orders(FIRST + 9 * DAY, days=1).with_columns(pl.col("amount") * 100)
    contents = [
        parquet(orders(days=2)),
        parquet(broken),
        parquet(orders(FIRST + 2 * DAY, days=1)),
        b"no table",
    ]
    with begin(tmp_path / "root") as workspace:
        api = Api(build_app(workspace))
        sent = {"params": {"reason": "to see"}, "headers": {"Mainspring-Actor": "ana"}}
        first = [api.post(path, content=content, **sent) for content in contents]
        # All of one moment, and each answer is still the batch's own.
        again = [api.post(path, content=content) for content in contents]
        rows = api.get(path).json()
    assert [reply.status_code for reply in first] == [201, 422, 201, 422]
    assert [reply.json() for reply in again] == [reply.json() for reply in first]
    assert [row["ref"] for row in rows] == ["orders@v1", None, "orders@v2", None]
    assert [first[place].json() for place in (0, 2)] == [rows[0], rows[2]]
    told = problem(first[1], 422)
    assert told.type == "urn:mainspring:BatchRefused"
    assert "nothing of it was kept" in told.detail
    assert told.report == rows[1]
    assert (rows[1]["actor"], rows[1]["outcome"]) == ("ana", "refused")
    assert {failure["column"] for failure in rows[1]["failures"]} == {"amount"}
    assert rows[1]["failures"][0]["examples"]


# --- requests ------------------------------------------------------------------------------------------------------


def test_a_request_under_one_id_is_taken_once(api: Api, workspace: Workspace) -> None:
    asked = {"reason": "to see", "params": {"train.rounds": 3}, "request_id": "once"}
    replies = [api.post("/v1/products/tiny/cycles", json=asked) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [202] * 3
    assert len({reply.text for reply in replies}) == 1
    assert replies[0].json()["request_id"] == "once"
    drawn = {
        api.post("/v1/products/tiny/cycles", json={"reason": "r"}).json()["request_id"] for _ in range(2)
    }
    assert len(drawn) == 2
    with workspace.database.read() as tx:
        entries = [entry for entry in tx.ledger.entries() if entry.type == EventType.TRAINING_REQUESTED]
        assert len(entries) == len(tx.loop.requests("tiny")) == 3


# --- the clock -----------------------------------------------------------------------------------------------------


def test_a_scoring_is_answered_with_its_data_version_and_once(api: Api, workspace: Workspace) -> None:
    body = {
        "data": ["orders"],
        "since": time_text(FIRST + 28 * DAY),
        "columns": ["kind"],
        "reason": "letters",
    }
    reply = api.post("/v1/products/tiny/scorings", json=body, headers={"Mainspring-Actor": "ada"})
    assert reply.status_code == 201, reply.text
    first = reply.json()
    assert (first["ref"], first["model"], first["rows"]) == ("tiny-scores@v1", "tiny@1", 200)
    again = api.post("/v1/products/tiny/scorings", json=body | {"version": "1"}).json()
    assert again == first | {"reused": True}
    (row,) = api.get("/v1/datasets/tiny-scores/batches").json()
    assert (row["ref"], row["actor"], row["rows"]) == ("tiny-scores@v1", "ada", 200)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"data": ["orders"], "version": "challenger"}, 404, "tiny@challenger"),
        ({"data": ["orders@v7"]}, 404, "newest is v1"),
        ({"data": []}, 400, "Name the data"),
        ({"data": ["orders"], "since": "yesterday"}, 400, "is not a moment"),
        ({"data": ["orders"], "since": "2030-01-01T00:00:00Z"}, 422, "nothing to score"),
        ({"data": ["orders"], "columns": ["size"]}, 400, "'size'"),
        ({"data": ["orders"], "reason": "a\0b"}, 400, "NUL"),
    ],
)
def test_a_scoring_that_cannot_be_is_told_why(api: Api, body: dict[str, Any], status: int, said: str) -> None:
    assert said in problem(api.post("/v1/products/tiny/scorings", json=body), status).detail


def test_the_clock_moves_forward_and_says_what_the_loop_did(empty_api: Api, empty: Workspace) -> None:
    now = empty.clock.now()
    moved = empty_api.post("/v1/clock", json={"now": time_text(now + DAY)}).json()
    assert (moved["moved"], moved["acts"], moved["records"]) == (True, ["tiny: Hold"], 0)
    back = empty_api.post("/v1/clock", json={"now": time_text(now)}).json()
    assert (back["moved"], back["now"]) == (False, moved["now"])
    assert empty_api.get("/v1/clock").json()["now"] == moved["now"]


@pytest.mark.parametrize("now", ["", "tomorrow", "2024-02-01", "2024-02-01T00:00:00"])
def test_what_is_no_moment_is_refused(empty_api: Api, now: str) -> None:
    assert "offset from UTC" in problem(empty_api.post("/v1/clock", json={"now": now}), 400).detail


def test_a_moment_that_no_data_could_have_is_refused(empty_api: Api, empty: Workspace) -> None:
    before = empty.clock.now()
    told = problem(empty_api.post("/v1/clock", json={"now": "9999-12-31T23:59:59Z"}), 422)
    assert "could not be moved back" in told.detail
    assert empty.clock.now() == before


def test_the_systems_time_cannot_be_moved(empty: Workspace) -> None:
    with open_workspace(empty.settings.root, replace(empty.settings, clock="system")) as workspace:
        told = problem(Api(build_app(workspace)).post("/v1/clock", json={"now": "2030-01-01T00:00:00Z"}), 422)
    assert told.type == "urn:mainspring:ClockRefused"
    assert "mainspring.toml" in told.detail


# --- whatever comes ------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
params = st.dictionaries(
    st.sampled_from(["train.rounds", "train.learning_rate", "train.seed", "recent.days", "x"]),
    values,
    max_size=3,
)
bodies = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "reason": st.text(max_size=8) | values,
            "params": params | values,
            "data": st.lists(st.sampled_from(["orders@v1", "orders@v0", "x@v1", "orders"]) | st.text())
            | values,
            "request_id": st.text(max_size=8) | values,
            "now": st.text(max_size=8) | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | values,
        },
    ),
)


def encoded(body: object) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (OverflowError, UnicodeEncodeError, ValueError):
        return repr(body).encode(errors="replace").replace(b"'", b'"')


@given(
    path=st.sampled_from([each.path for each in OPERATIONS if each.method == "POST"]),
    content=bodies.map(encoded) | st.binary(max_size=60),
)
@settings(max_examples=150)
def test_whatever_is_sent_is_answered_or_refused(empty_api: Api, path: str, content: bytes) -> None:
    reply = empty_api.post(path_of(path), content=content)
    assert reply.status_code < 500, (path, content, reply.text)
    if reply.status_code >= 400:
        problem(reply, reply.status_code)


@given(
    path=st.text(max_size=20), query=st.dictionaries(st.sampled_from(["limit", "subject", "x"]), st.text())
)
@settings(max_examples=60)
def test_whatever_is_asked_for_is_found_or_not(empty_api: Api, path: str, query: dict[str, str]) -> None:
    for place in (f"/{quote(path, errors='replace')}", "/v1/events", "/v1/products/tiny/runs"):
        reply = empty_api.get(place, params=query)
        assert reply.status_code < 500, (place, query, reply.text)


# --- approvals -----------------------------------------------------------------------------------------------------


def test_a_version_that_does_not_exist_cannot_be_approved(api: Api) -> None:
    path = "/v1/products/tiny/versions/99/approvals"
    assert "tiny@99" in problem(api.get(path), 404).detail
    assert "tiny@99" in problem(api.post(path, json={"answer": "approved", "reason": "r"}), 404).detail
    assert "answer" in problem(api.post(path, json={"answer": "perhaps", "reason": "r"}), 400).detail


def test_a_version_of_a_product_without_a_policy_is_approved_as_it_is(api: Api) -> None:
    path = "/v1/products/tiny/versions/1/approvals"
    told = api.get(path).json()
    assert (told["standing"], told["policy"], told["approvals"]) == ("approved", None, [])
    refused = problem(api.post(path, json={"answer": "approved", "reason": "r"}), 409)
    assert "ApprovalPolicy" in refused.detail


def test_data_versions_are_added_read_and_compared_by_any_address(workspace: Workspace) -> None:
    api = Api(build_app(workspace))
    path = "/v1/datasets/wx"
    first = b"id,x\n1,a\n2,b\n"
    assert problem(api.post(f"{path}/batches", content=first), 404).detail.startswith("No product reads")
    begun = api.post(f"{path}/batches", params={"new": "true", "key": "id"}, content=first)
    assert (begun.status_code, begun.json()["ref"]) == (201, "wx@v1")
    api.post(f"{path}/batches", params={"mode": "upsert"}, content=b"id,x\n2,z\n3,c\n")
    assert [row["ref"] for row in api.get(f"{path}/versions").json()] == ["wx@v2", "wx@v1"]
    shown = api.get(f"{path}/versions/v2").json()
    assert (shown["version"]["rows_changed"], shown["columns"][0]["name"]) == (1, "id")
    digest = shown["version"]["digest"][:12]
    assert api.get(f"{path}/versions/sha256:{digest}").json() == shown
    found = api.get(f"{path}/versions/main/diff").json()
    assert (found["before"], found["added"], found["changed"]) == ("wx@v1", ["3"], ["2"])
    for bad, status in (("versions/v9", 404), ("versions/V1", 400), ("versions/v1/diff", 400)):
        problem(api.get(f"{path}/{bad}"), status)
    for bad in ({"mode": "merge"}, {"new": "yes"}, {"time_zone": "Mars"}):
        problem(api.post(f"{path}/batches", params=bad, content=first), 400)


def test_rows_that_were_set_aside_are_listed_and_let_in(api: Api) -> None:
    path = "/v1/datasets/orders"
    rows = orders(FIRST + 40 * DAY, days=2)
    broken = rows.with_columns(amount=pl.when(pl.int_range(pl.len()) == 5).then(-1.0).otherwise("amount"))
    made = api.post(f"{path}/batches", content=parquet(broken)).json()
    assert (made["quarantined"], made["failures"][0]["severity"]) == (1, "quarantine")
    batch = made["batch"]
    report = api.get(f"{path}/batches/{batch[:9]}").json()
    assert (report["batch"]["ref"], len(report["columns"])) == ("orders@v2", 7)
    (aside,) = api.get(f"{path}/quarantine").json()
    assert (aside["batch"], aside["rows"], aside["released"]) == (batch, 1, None)
    (row,) = api.get(f"{path}/quarantine/{batch}").json()
    assert (row["order_id"], row["#row"]) == (rows["order_id"][5], 5)
    assert "Say why" in problem(api.post(f"{path}/quarantine/{batch}/release"), 400).detail
    assert problem(api.get(f"{path}/quarantine/none"), 404)
    assert problem(api.get(f"{path}/batches/none"), 404)
    let_in = api.post(f"{path}/quarantine/{batch}/release", params={"reason": "a refund"})
    assert (let_in.status_code, let_in.json()["ref"]) == (201, "orders@v3")
    assert api.get(f"{path}/quarantine").json()[0]["released"] == "orders@v3"
