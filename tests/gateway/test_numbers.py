"""A version that predicts a number is answered by that name, with any finite number, through every door."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.gateway.conftest import Process, Workspace, body, column, model, running

from mainspring.gateway.protocols import arrow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Process]]:
    workspace = Workspace(tmp_path_factory.mktemp("numbers"))
    workspace.put_route(1, workspace.add_version(1, model("number"), answer="prediction"))
    with running(workspace) as process:
        yield workspace, process


def test_a_number_is_answered_as_a_prediction_and_logged(served: tuple[Workspace, Process]) -> None:
    workspace, gateway = served
    reply = gateway.infer(body(2, distance=[100.5, -7.25]))
    assert [each["name"] for each in reply.json()["outputs"]] == [
        "prediction",
        "prediction_id",
        "model_version",
    ]
    assert column(reply, "prediction") == [100.5, -7.25]
    assert workspace.predictions[-1].scores == [100.5, -7.25]


def test_its_metadata_and_configuration_name_the_prediction(served: tuple[Workspace, Process]) -> None:
    _, gateway = served
    for path, field in (("", "outputs"), ("/config", "output")):
        told = gateway.client.get(f"/v2/models/late{path}").json()[field]
        assert [each["name"] for each in told] == ["prediction", "prediction_id", "model_version"]


def test_it_may_be_asked_for_by_its_name_and_not_as_a_probability(served: tuple[Workspace, Process]) -> None:
    _, gateway = served
    wanted = gateway.infer(body() | {"outputs": [{"name": "prediction"}]})
    assert [each["name"] for each in wanted.json()["outputs"]] == ["prediction"]
    refused = gateway.infer(body() | {"outputs": [{"name": "probability"}]})
    assert refused.status_code == 400
    assert "There are prediction, prediction_id, model_version." in refused.text


def test_the_other_forms_give_the_same_number(served: tuple[Workspace, Process]) -> None:
    _, gateway = served
    rows = {"distance": [42.0], "hour": [7], "carrier": ["UA"], "holiday": [False]}
    stream = io.BytesIO()
    pl.DataFrame(rows).write_ipc_stream(stream)
    reply = gateway.client.post(
        "/v2/models/late/infer", content=stream.getvalue(), headers={"content-type": arrow.MEDIA_TYPE}
    )
    assert pl.read_ipc_stream(reply.content)["prediction"].to_list() == [42.0]
    reply = gateway.client.post(
        "/invocations", json={"dataframe_records": [{k: v[0] for k, v in rows.items()}]}
    )
    assert reply.json()["predictions"] == [42.0]


def test_an_answer_that_is_no_finite_number_is_a_failure_of_the_model(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.put_route(1, workspace.add_version(1, model("infinite"), answer="prediction"))
    with running(workspace) as gateway:
        assert column(gateway.infer(body()), "prediction") == [100.5]
        refused = gateway.infer(body(2, distance=[1.0, 600.0]))
        assert refused.status_code == 500
        assert "inf is no prediction" in refused.text
        assert [each.error for each in workspace.predictions[-1].failures] == ["inf is no prediction"]
