"""A native model behind a gateway: its faults cost the requests that caused them, and the gateway goes on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.gateway import faulty
from tests.gateway.conftest import Process, Workspace, body, column, model, running, wait_until

from mainspring.formats.served import Registered
from mainspring.formats.signature import Column, Signature

SIGNATURE = Signature((Column("distance", "FP64", True),), (Column("probability", "FP32", False),))


def add_native(workspace: Workspace, number: int, *, rowwise: bool = True, allow_code: bool = True):
    variant = workspace.add_version(number, faulty.native(faulty.BY_ROW, number="distance"))
    registered = Registered(SIGNATURE, rowwise=rowwise, allow_code=allow_code)
    (workspace.folder / f"late@{number}").write_bytes(msgspec.json.encode(registered))
    return variant


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway with a native champion, its rows batched."""
    workspace = Workspace(tmp_path_factory.mktemp("native"))
    workspace.put_route(1, add_native(workspace, 1))
    with running(workspace) as process:
        wait_until(lambda: process.infer(body(distance=[100.0])).status_code == 200, at_most_s=120)
        yield process


def test_a_native_model_is_described_as_what_it_is(served: Process) -> None:
    assert served.client.get("/v2/models/late").json()["platform"] == "python_worker"
    assert served.client.get("/v2/models/late/versions/1/config").json()["backend"] == "python"


def test_doubles_reach_the_model_as_they_were_sent(served: Process) -> None:
    scores = column(served.infer(body(2, distance=[123.456, -50.0])), "probability")
    assert scores == pytest.approx([0.123456, 0.05], rel=1e-6)


@pytest.mark.parametrize("fault", [faulty.SEGFAULTS, faulty.EXITS, faulty.HANGS, faulty.RAISES, faulty.NAN])
def test_a_request_that_breaks_the_model_breaks_no_other(served: Process, fault: float) -> None:
    def ask(distance: float) -> httpx.Response:
        return served.infer(body(distance=[distance]))

    with ThreadPoolExecutor(12) as pool:
        bad = pool.submit(ask, fault)
        sound = list(pool.map(ask, [200.0 + i for i in range(11)]))
    assert bad.result().status_code >= 500
    assert "error" in bad.result().json()
    for i, answer in enumerate(sound):
        assert column(answer, "probability") == pytest.approx([(200 + i) / 1000], rel=1e-6)
    assert column(ask(300.0), "probability") == pytest.approx([0.3], rel=1e-6)


def test_code_that_is_not_allowed_is_not_loaded_and_the_route_before_stays(workspace: Workspace) -> None:
    with running(workspace) as process:
        assert process.infer(body()).status_code == 200
        workspace.put_route(2, add_native(workspace, 2, allow_code=False))
        workspace.put_route(3, workspace.add_version(3, model(bias=1.0)))
        wait_until(lambda: column(process.infer(body()), "probability")[0] > 0.7)
        assert process.end(15)[0] == 0


def test_no_process_of_a_model_is_left_when_the_gateway_is_killed(workspace: Workspace) -> None:
    workspace.put_route(1, add_native(workspace, 1))
    with running(workspace) as process:
        wait_until(lambda: process.infer(body(distance=[100.0])).status_code == 200, at_most_s=120)
        children = Path(f"/proc/{process.inner.pid}/task/{process.inner.pid}/children").read_text().split()
        assert children
        process.end(9)
        wait_until(lambda: not any(Path(f"/proc/{each}/cmdline").exists() for each in children))
