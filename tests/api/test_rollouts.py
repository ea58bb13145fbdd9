"""Rollouts over the API: seen, planned and steered, with whoever asks and why in the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Api
from tests.api.test_operations import problem
from tests.operate.rolling import begin_rollout, live

from mainspring.api import build_app
from mainspring.api.app import OPERATIONS
from mainspring.workspace import Workspace, open_workspace

CANARY = (
    'ms.Canary(steps=(ms.CanaryStep(0.5, approve=True), 1.0), bake="1d", minimum_units=20, '
    "guards=(ms.NoMoreErrors(),))"
)


@pytest.fixture(scope="module")
def begun(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a rollout on its first day."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("rolling") / "root"))
    with open_workspace(folder) as workspace:
        begin_rollout(workspace, CANARY)
        live(workspace, 31, per_day=100)
    return folder


@pytest.fixture
def rolling(begun: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(begun, tmp_path / "root"))) as workspace:
        yield workspace


@pytest.fixture
def asked(rolling: Workspace) -> Api:
    return Api(build_app(rolling))


def steer(api: Api, act: str, reason: str = "we will see", **more: Any) -> Any:
    headers = {"Mainspring-Actor": "grace"}
    return api.post(f"/v1/products/tiny/rollout/{act}", json={"reason": reason, **more}, headers=headers)


def test_a_rollout_is_seen_in_the_form_that_it_is_described_in(asked: Api) -> None:
    for path in ("rollouts", "rollouts/2", "rollout", "rollout/plan"):
        reply = asked.get(f"/v1/products/tiny/{path}")
        assert reply.status_code == 200, reply.text
        [operation] = [
            each
            for each in OPERATIONS
            if each.method == "GET"
            and each.path == f"/v1/products/{{product}}/{path.replace('/2', '/{rollout}')}"
        ]
        assert msgspec.json.decode(reply.content, type=operation.gives) is not None


def test_a_rollout_is_paused_resumed_and_aborted_by_name(asked: Api, rolling: Workspace) -> None:
    phases = [steer(asked, act).json()["phase"] for act in ("pause", "resume", "abort")]
    assert phases == ["paused", "running", "aborted"]
    with rolling.database.read() as tx:
        told = [(e.type, e.actor) for e in tx.ledger.entries() if e.type.startswith("rollout.")]
        assert all("we will see" in e.reason for e in tx.ledger.entries() if e.actor == "grace")
    assert told[-3:] == [
        ("rollout.paused", "grace"),
        ("rollout.resumed", "grace"),
        ("rollout.aborted", "grace"),
    ]
    problem(steer(asked, "pause"), 404)


def test_an_approval_is_asked_for_and_given(asked: Api, rolling: Workspace) -> None:
    problem(steer(asked, "approve"), 409)
    live(rolling, 32, per_day=100)
    assert asked.get("/v1/products/tiny/rollout").json()["summary"]["phase"] == "awaiting_approval"
    assert steer(asked, "approve").json()["phase"] == "running"
    live(rolling, 33, per_day=100)
    assert asked.get("/v1/products/tiny/rollout").json()["summary"]["phase"] == "promoted"


def test_what_a_rollout_cannot_do_in_its_phase_is_a_conflict_that_says_what_it_can(asked: Api) -> None:
    assert "running" in problem(steer(asked, "resume"), 409).detail
    steer(asked, "pause")
    assert "Resume it, or abort it" in problem(steer(asked, "promote"), 409).detail
    assert "no shadow" in problem(steer(asked, "certify"), 409).detail


def test_a_person_promotes_over_the_api(asked: Api) -> None:
    problem(steer(asked, "promote", version=7), 409)
    assert steer(asked, "promote", version=2).json()["phase"] == "promoted"
    assert asked.get("/v1/products/tiny").json()["champion"]["ref"] == "tiny@2"


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"", "body"), (b"{}", "reason"), (b'{"reason": "x", "more": 1}', "more"), (b'{"reason": 1}', "str")],
)
def test_what_is_not_as_described_is_refused(asked: Api, body: bytes, said: str) -> None:
    assert said in problem(asked.post("/v1/products/tiny/rollout/pause", content=body), 400).detail


def test_a_version_is_named_for_a_promotion_alone(asked: Api) -> None:
    assert "promotion" in problem(steer(asked, "abort", version=2), 400).detail


def test_a_plan_is_for_the_harm_that_is_asked_for(asked: Api) -> None:
    reply = asked.get("/v1/products/tiny/rollout/plan", params={"failing": "10"}).json()
    assert any("of units fail instead of" in need["about"] for need in reply["needs"])
    problem(asked.get("/v1/products/tiny/rollout/plan", params={"failing": "many"}), 400)
    assert (
        len(problem(asked.get("/v1/products/tiny/rollout/plan?failing=0&slower=nan"), 400).faults or []) == 2
    )


def test_registered_versions_are_rolled_out_once_for_each_id(asked: Api, rolling: Workspace) -> None:
    def start(**sent: Any) -> Any:
        body = {"reason": "again", "request_id": "r1", **sent}
        return asked.post("/v1/products/tiny/rollouts", json=body, headers={"Mainspring-Actor": "grace"})

    assert "rolling out" in problem(start(versions=[2]), 409).detail
    steer(asked, "abort")
    for sent, status in (
        ({"versions": []}, 400),
        ({"versions": ["2"]}, 400),
        ({"versions": [2], "strategy": {"type": "Canary", "steps": [0.5]}}, 400),
        ({"versions": [2], "shares": [1e308]}, 400),
        ({"versions": [2], "strategy": {"type": "Canary", "split_by": "nobody"}}, 400),
        ({"versions": [10**18]}, 404),
        ({"versions": [1]}, 409),
    ):
        problem(start(**sent), status)
    strategy = {"type": "ABTest", "goal": {"metric": "log_loss"}}
    reply = start(versions=[2], strategy=strategy)
    assert reply.status_code == 201
    assert (reply.json()["challengers"], reply.json()["phase"]) == ([2], "running")
    assert start(versions=[2], strategy=strategy).json() == reply.json()
    live(rolling, 32, per_day=50)
    now = asked.get("/v1/products/tiny/rollout").json()
    assert (now["summary"]["strategy"], now["summary"]["number"]) == ("ABTest", 3)


def test_before_the_first_rollout_there_is_none(api: Api) -> None:
    assert api.get("/v1/products/tiny/rollouts").json() == []
    assert "no rollout yet" in problem(api.get("/v1/products/tiny/rollout"), 404).detail
    problem(api.get("/v1/products/tiny/rollouts/1"), 404)
    problem(steer(api, "abort"), 404)
