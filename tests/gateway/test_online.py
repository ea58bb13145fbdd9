"""Features that a request leaves out are looked up by entity; what the caller sends wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.asked_over_grpc import opened
from tests.gateway.conftest import INPUTS, Process, Workspace, body, column, model, running
from tritonclient.grpc import service_pb2

from mainspring.clock import time_text
from mainspring.digest import digest_of
from mainspring.features.online import Snapshot, Status, look_up, pack, snapshot_name
from mainspring.gateway.inputs import BadRequest, Inputs
from mainspring.gateway.protocols.oip import read_any, read_plain
from mainspring.gateway.protocols.raw import from_raw, to_raw
from mainspring.monitoring.record import Fetched
from mainspring.product import ColumnSpec, FeatureViewSpec
from mainspring.rollouts.route import Challenger, Route

NOW = datetime(2013, 2, 1, tzinfo=UTC)
PLANES = FeatureViewSpec(
    "planes",
    "planes",
    entity="tailnum",
    event_time="seen_at",
    ttl="3h",
    features=("distance", "holiday"),
    online=True,
)
TAILNUM = ColumnSpec("tailnum", "BYTES", nullable=True, pii="hash")
HOUR = timedelta(hours=1)
SEEN = [
    ("N1", NOW - HOUR, [500.0, True]),
    ("N2", NOW - HOUR, [None, False]),
    ("OLD", NOW - 4 * HOUR, [500.0, True]),
    ("SOON", NOW + HOUR, [500.0, True]),
]


def packed(until: datetime, rows: list[tuple[str, datetime, list[Any]]]) -> bytes:
    """A snapshot of entities, times and the values of distance and holiday."""
    entities, at, values = zip(*rows, strict=True)
    return pack(PLANES.feature_names, until, entities, at, [*zip(*values, strict=True)])


def put_snapshot(workspace: Workspace, content: bytes, *, view: FeatureViewSpec = PLANES) -> None:
    digest = digest_of(content)
    (workspace.folder / digest).write_bytes(content)
    name_snapshot(workspace, digest, view)


def name_snapshot(workspace: Workspace, digest: str, view: FeatureViewSpec = PLANES) -> None:
    fresh = workspace.folder / "snapshots.fresh"
    fresh.write_bytes(msgspec.json.encode({snapshot_name(view): digest}))
    fresh.rename(workspace.folder / "snapshots.json")


def put_online(workspace: Workspace) -> None:
    """A route with a champion that has met nulls, and a version 2 that has not."""
    workspace.put_routes(
        Route(
            product="late",
            number=2,
            champion=workspace.add_version(1, model()),
            challengers=(
                Challenger(
                    variant=workspace.add_version(2, model(bias=1.0), nullable=False, rowwise=True), share=0.0
                ),
            ),
            salt="rollout-1",
            split_by="carrier",
            inputs=INPUTS,
            online=(PLANES,),
            entities=(TAILNUM,),
        )
    )


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Process]]:
    workspace = Workspace(tmp_path_factory.mktemp("online"))
    put_online(workspace)
    put_snapshot(workspace, packed(NOW - HOUR, SEEN))
    with running(workspace, time_text(NOW)) as process:
        yield workspace, process


def asked(*tailnums: str | None, **others: Any) -> dict[str, Any]:
    """A request in columns that leaves the features out."""
    rows = len(tailnums)
    return {"inputs": {"hour": [7] * rows, "carrier": ["UA"] * rows, "tailnum": [*tailnums], **others}}


def scores(reply: httpx.Response) -> list[float]:
    assert reply.status_code == 200, reply.text
    found: list[float] = reply.json()["outputs"]["probability"]
    return found


def test_a_row_is_answered_as_if_its_features_had_been_sent(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    sent = gateway.infer({"inputs": {"hour": [7], "carrier": ["UA"], "distance": [500.0], "holiday": [True]}})
    assert scores(gateway.infer(asked("N1"))) == scores(sent)


def test_what_was_used_is_logged_with_its_time_and_what_was_sent_as_it_was(
    online: tuple[Workspace, Process],
) -> None:
    workspace, gateway = online
    gateway.infer(asked("N1", "N2", "OLD", "NONE", "SOON", None))
    record = workspace.predictions[-1]
    assert record.at == NOW
    assert record.features == {
        "planes": Fetched(
            [NOW - HOUR, NOW - HOUR, NOW - 4 * HOUR, None, None, None],
            {
                "distance": [500.0, None, None, None, None, None],
                "holiday": [True, False, None, None, None, None],
            },
        )
    }
    assert set(record.inputs) == {"hour", "carrier", "tailnum"}
    assert set(record.columns) == {"hour", "carrier", "tailnum", "distance", "holiday"}


def test_an_entity_that_says_more_than_may_be_logged_is_hashed(online: tuple[Workspace, Process]) -> None:
    workspace, gateway = online
    gateway.infer(asked("N1"))
    record = workspace.predictions[-1]
    assert record.redacted == ["tailnum"]
    assert record.inputs["tailnum"] == [workspace.ids.pseudonym("N1")]


def test_what_the_caller_sends_wins(online: tuple[Workspace, Process]) -> None:
    workspace, gateway = online
    near = scores(gateway.infer(asked("N1", distance=[0.0], holiday=[False])))
    assert near == [0.5]
    assert workspace.predictions[-1].features == {}


def tensor(name: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(data)], "data": data}


def oip() -> dict[str, Any]:
    request = body()
    kept = [each for each in request["inputs"] if each["name"] in ("hour", "carrier")]
    return {"inputs": [*kept, tensor("tailnum", ["N1"])]}


def arrow() -> bytes:
    return pl.DataFrame({"hour": [7], "carrier": ["UA"], "tailnum": ["N1"]}).write_ipc_stream(None).getvalue()


@pytest.mark.parametrize(
    ("path", "content", "kind", "read"),
    [
        ("/v2/models/late/infer", lambda: msgspec.json.encode(oip()), "", lambda reply: column(reply, "probability")),
        (
            "/v2/models/late/infer",
            arrow,
            "application/vnd.apache.arrow.stream",
            lambda reply: pl.read_ipc_stream(reply.content)["probability"].to_list(),
        ),
        (
            "/invocations",
            lambda: msgspec.json.encode(
                {"dataframe_records": [{"hour": 7, "carrier": "UA", "tailnum": "N1"}]}
            ),
            "application/json",
            lambda reply: reply.json()["predictions"],
        ),
        (
            "/invocations",
            lambda: b"hour,carrier,tailnum\n7,UA,N1\n",
            "text/csv",
            lambda reply: reply.json()["predictions"],
        ),
    ],
)  # fmt: skip
def test_every_door_looks_up(
    online: tuple[Workspace, Process],
    path: str,
    content: Callable[[], bytes],
    kind: str,
    read: Callable[[httpx.Response], list[float]],
) -> None:
    _, gateway = online
    reply = gateway.client.post(path, content=content(), headers={"content-type": kind})
    assert reply.status_code == 200, reply.text
    assert read(reply) == scores(gateway.infer(asked("N1")))


def test_grpc_looks_up(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    put_online(workspace)
    put_snapshot(workspace, packed(NOW, [("N1", NOW, [0.0, True])]))
    with opened(workspace, time_text(NOW)) as door:
        request = service_pb2.ModelInferRequest(model_name="late")
        for name, datatype, content in (
            ("hour", "INT64", to_raw("INT64", [7])),
            ("carrier", "BYTES", to_raw("BYTES", ["UA"])),
            ("tailnum", "BYTES", to_raw("BYTES", ["N1"])),
        ):
            request.inputs.add(name=name, datatype=datatype, shape=[1])
            request.raw_input_contents.append(content)
        assert from_raw("", "FP64", [1], door.infer(request).raw_output_contents[0], []).values == [0.5]


def test_rows_without_names_are_in_the_order_of_the_inputs(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    reply = gateway.client.post("/invocations", json={"instances": [[0.0, 7, "UA", False]]})
    assert reply.json()["predictions"] == [0.5]


@given(
    st.sets(st.sampled_from(["distance", "hour", "carrier", "holiday", "tailnum"]), min_size=1), st.booleans()
)
def test_the_short_way_through_a_request_takes_what_the_long_way_takes(names: set[str], null: bool) -> None:
    inputs = Inputs(INPUTS, [PLANES], [TAILNUM])
    tensors = {each["name"]: each for each in body()["inputs"]}
    tensors["tailnum"] = tensor("tailnum", [None if null else "N1"])
    content = msgspec.json.encode({"inputs": [tensors[name] for name in sorted(names)]})
    short = read_plain(inputs, content)
    try:
        _, rows = read_any(inputs, content)
    except BadRequest:
        assert short is None
        return
    assert short is not None
    assert (dict(short[1].columns), short[1].left_out) == (dict(rows.columns), rows.left_out)
    assert (short[1].with_nulls, set(short[1].numbers)) == (rows.with_nulls, set(rows.numbers))
    assert rows.left_out == (() if "distance" in names else (PLANES,))


# --- what is wrong -------------------------------------------------------------------------------------------------


def test_everything_that_is_missing_is_told_at_once(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    reply = gateway.infer({"inputs": {"hour": [7], "planet": ["Mars"]}})
    assert reply.status_code == 400
    told = reply.json()["error"]
    assert "carrier: it is missing." in told
    assert "tailnum: it is missing." in told
    assert "to have distance, holiday looked up, or send those" in told
    assert "planet: the product has no such input." in told


def test_some_features_of_a_view_are_too_few(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    reply = gateway.infer(asked("N1", distance=[5.0]))
    assert reply.status_code == 400
    assert "feature view planes: of its features only distance is there." in reply.json()["error"]
    assert "Send all of distance, holiday, or none of them and tailnum." in reply.json()["error"]


@pytest.mark.parametrize(
    ("tailnum", "status"),
    [("N2", "NULL_VALUE"), ("OLD", "OUTSIDE_MAX_AGE"), ("NONE", "NOT_FOUND"), ("SOON", "NOT_FOUND"),
     (None, "NOT_FOUND")],
)  # fmt: skip
def test_a_null_that_a_version_has_never_met_is_refused_with_entity_view_and_status(
    online: tuple[Workspace, Process], tailnum: str | None, status: str
) -> None:
    _, gateway = online
    reply = gateway.infer(asked("N1", tailnum), path="/v2/models/late/infer?variant=2")
    assert reply.status_code == 400
    told = reply.json()["error"]
    assert f"row 1: null in distance ({status} in feature view planes)" in told
    assert f"Its tailnum is '{tailnum}': send another, or distance, holiday." in told
    assert "row 0" not in told


def test_an_entity_of_another_kind_is_refused(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    reply = gateway.infer({"inputs": {"hour": 7, "carrier": "UA", "tailnum": 7}})
    assert reply.status_code == 400
    assert "tailnum: row 0 is not of datatype BYTES" in reply.json()["error"]


# --- what gateways follow ------------------------------------------------------------------------------------------


def test_a_new_snapshot_is_followed_and_a_damaged_one_is_not_used(workspace: Workspace) -> None:
    put_online(workspace)
    with running(workspace, time_text(NOW)) as gateway:
        reply = gateway.infer(asked("N1"))
        assert reply.status_code == 503
        assert "There are no values of feature view planes to look up yet" in reply.json()["error"]
        assert gateway.infer(asked("N1", distance=[0.0], holiday=[False])).status_code == 200
        assert gateway.client.get("/v2/health/ready").status_code == 200
        name_snapshot(workspace, "f" * 64)
        (workspace.folder / ("f" * 64)).write_bytes(b"something else")
        assert gateway.infer(asked("N1")).status_code == 503
        assert gateway.client.get("/v2/health/ready").status_code == 503
        put_snapshot(workspace, packed(NOW, [("N1", NOW, [0.0, True])]))
        assert scores(gateway.infer(asked("N1"))) == [0.5]
        assert gateway.client.get("/v2/health/ready").status_code == 200
        put_snapshot(workspace, packed(NOW, [("N1", NOW, [500.0, True])]))
        newest = scores(gateway.infer(asked("N1")))
        assert newest != [0.5]
        name_snapshot(workspace, "f" * 64)
        assert scores(gateway.infer(asked("N1"))) == newest
        assert gateway.client.get("/v2/health/ready").status_code == 200
        taken = f'mainspring_snapshot_taken_seconds{{product="late",view="planes"}} {NOW.timestamp()}'
        assert taken in gateway.client.get("/metrics").text.splitlines()
        lookups = [
            line for line in gateway.client.get("/metrics").text.splitlines() if "lookups_total{" in line
        ]
        assert lookups == ['mainspring_lookups_total{product="late",view="planes",status="PRESENT"} 3']


def test_the_metadata_says_what_may_be_left_out_and_for_what(online: tuple[Workspace, Process]) -> None:
    _, gateway = online
    inputs = gateway.client.get("/v2/models/late").json()["inputs"]
    assert {each["name"]: each.get("parameters") for each in inputs} == {
        "distance": {"optional": True, "feature_view": "planes", "entity": "tailnum"},
        "hour": None,
        "carrier": None,
        "holiday": {"optional": True, "feature_view": "planes", "entity": "tailnum"},
        "tailnum": {"optional": True, "entity_of": ["planes"]},
    }
    config = gateway.client.get("/v2/models/late/config").json()["input"]
    assert [each["name"] for each in config if each.get("optional")] == ["distance", "holiday", "tailnum"]


# --- values --------------------------------------------------------------------------------------------------------


def test_a_value_is_used_until_it_is_as_old_as_it_may_be() -> None:
    snapshot = Snapshot(packed(NOW, [("N1", NOW, [1.0, None])]))
    just_too_old = 3 * HOUR + timedelta(microseconds=1)
    for age, status in (
        (0 * HOUR, Status.PRESENT),
        (3 * HOUR, Status.PRESENT),
        (just_too_old, Status.OUTSIDE_MAX_AGE),
    ):
        found = look_up(PLANES, snapshot, ["N1"], NOW + age)
        assert found.status("distance", 0) is status
    assert look_up(PLANES, snapshot, ["N1"], NOW).status("holiday", 0) is Status.NULL_VALUE
