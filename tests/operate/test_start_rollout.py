"""Rollouts of versions that are registered: begun in one transaction, carried on by the loop, or refused with why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.operate.rolling import DAY, live, rollout_of
from tests.operate.tiny import head
from tests.products.tiny.orders import FIRST, orders, parquet

import mainspring as ms
from mainspring.errors import Faults, Invalid
from mainspring.events import EventType
from mainspring.governance import verify
from mainspring.loop import Cycle, CycleOutcome, TriggerKind
from mainspring.operate import steer
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.forecast import NothingServes
from mainspring.operate.observe import observe
from mainspring.operate.report import rollout_now, rollout_report
from mainspring.operate.request import request_training
from mainspring.operate.start_rollout import CycleInProgress, NotStartable, start_rollout
from mainspring.operate.status import UnknownProduct, explain_cycle, product_status
from mainspring.registry import ModelVersionNotFound
from mainspring.rollouts import Phase, Rollout
from mainspring.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def three(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a champion, and versions 2 and 3 whose rollouts were aborted."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("three") / "root"))
    with open_workspace(folder) as workspace:
        for rounds in (22, 23):
            request_training(
                workspace,
                "tiny",
                request_id=f"{rounds}",
                actor="ada",
                reason="more trees",
                params={"train.rounds": rounds},
            )
            turn(workspace)
            steer.abort(workspace, "tiny", actor="ada", reason="later")
    return folder


@pytest.fixture
def registered(three: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(three, tmp_path / "three"))) as workspace:
        yield workspace


def start(workspace: Workspace, *versions: int, request_id: str = "r1", **more: Any) -> Rollout:
    told = {"actor": "ana", "reason": "which is best?", "request_id": request_id}
    return start_rollout(workspace, "tiny", versions, **{**told, **more})


def last_cycle(workspace: Workspace) -> Cycle:
    with workspace.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        return tx.loop.cycles("tiny")[-1]


def test_a_registered_version_goes_through_the_declared_rollout_to_promotion(registered: Workspace) -> None:
    begun = start(registered, 2)
    assert (begun.champion, begun.challengers, begun.share) == (1, (2,), 0.2)
    root = registered.settings.root
    with open_workspace(root) as another:  # a process that comes later carries it on
        turn(another)
        for day in (31, 32):
            live(another, day)
    with registered.database.read() as tx:
        assert tx.registry.aliases("tiny")["champion"] == 2
        cycle = next(each for each in tx.loop.cycles("tiny") if each.cycle_id == begun.rollout_id)
        kinds = [entry.type for entry in tx.ledger.entries() if begun.rollout_id in entry.data]
    assert (cycle.trigger, cycle.outcome, cycle.version) == (TriggerKind.ON_DEMAND, CycleOutcome.PROMOTED, 2)
    assert kinds == [
        EventType.CYCLE_STARTED,
        EventType.ROLLOUT_STARTED,
        EventType.ROLLOUT_PLANNED,
        EventType.ROLLOUT_ADVANCED,
        EventType.ROLLOUT_PROMOTED,
        EventType.CYCLE_CLOSED,
    ]


def test_several_versions_are_tested_against_the_champion_as_control(registered: Workspace) -> None:
    goal = ms.Better("log_loss")
    begun = start(registered, 2, 3, strategy=ms.ABTest(goal=goal, bake="1d"), shares=[0.2, 0.3])
    assert begun.shares == {1: 0.5, 2: 0.2, 3: 0.3}
    with registered.database.read() as tx:
        (route,) = tx.rollouts.routes()
    assert [(each.variant.version, each.share) for each in route.challengers] == [(2, 0.2), (3, 0.3)]
    live(registered, 31, worse_version=3)
    row = product_status(registered, "tiny").rollout
    assert row is not None
    assert {"champion", "challenger", "tiny@3"} == set(row.arms)
    assert all(arm["units"] for arm in row.arms.values())
    now = rollout_now(registered, "tiny")
    assert (now.summary.strategy, now.summary.challengers) == ("ABTest", ["tiny@2", "tiny@3"])
    assert "Version 3 answered" in " ".join(rollout_report(registered, "tiny", "4").sentences)
    steer.promote(registered, "tiny", actor="ana", reason="the best", version=2)
    assert last_cycle(registered).outcome is CycleOutcome.PROMOTED


def test_who_asked_and_why_is_in_the_ledger_and_in_the_story(registered: Workspace) -> None:
    start(registered, 2, 3)
    cycle, told = explain_cycle(registered, "tiny")
    assert (cycle.actor, cycle.evidence) == ("ana", "ana asked to roll out tiny@2, tiny@3: which is best?")
    assert [(each.type, each.actor) for each in told] == [
        ("cycle.started", "ana"),
        ("rollout.started", "ana"),
    ]
    assert told[0].data["versions"] == [2, 3]
    assert msgspec.convert(told[1].data["strategy"], ms.ABTest).shares == {
        "candidate": pytest.approx(1 / 3),
        "3": pytest.approx(1 / 3),
    }


def test_asked_again_under_one_id_it_is_one_rollout(registered: Workspace) -> None:
    begun = start(registered, 2)
    before = head(registered)
    assert start(registered, 2) == begun
    assert head(registered) == before
    ended = steer.abort(registered, "tiny", actor="ana", reason="enough")
    assert start(registered, 2) == ended
    assert last_cycle(registered).cycle_id == begun.rollout_id


def test_an_old_champion_comes_back_at_once(registered: Workspace) -> None:
    for back, request_id in ((2, "there"), (1, "back")):
        start(registered, back, strategy="all-at-once", request_id=request_id)
        turn(registered)
        with registered.database.read() as tx:
            assert tx.registry.aliases("tiny") == {"champion": back}
            (route,) = tx.rollouts.routes()
        assert route.champion.version == back


def test_a_shadow_of_a_registered_version_is_asked_beside_the_champion(registered: Workspace) -> None:
    start(registered, 3, strategy="shadow")
    with registered.database.read() as tx:
        (route,) = tx.rollouts.routes()
    assert route.shadow is not None
    assert (route.shadow.version, route.shadow_share, route.challengers) == (3, 1.0, ())


def test_a_version_that_did_harm_is_tried_again_only_with_a_reason(registered: Workspace) -> None:
    start(registered, 2)
    live(registered, 31, failing_version=2)
    assert rollout_of(registered).phase is Phase.ROLLED_BACK
    with pytest.raises(NotStartable, match=r"version 2 did harm in cycle 4.*despite"):
        start(registered, 2, 3, request_id="r2")
    assert last_cycle(registered).number == 4
    start(registered, 2, request_id="r2", despite="its host was broken")
    assert last_cycle(registered).evidence.endswith(
        "version 2 did harm in cycle 4, and is tried again: its host was broken"
    )


def test_a_version_that_was_taken_out_of_a_test_did_harm(registered: Workspace) -> None:
    start(registered, 2, 3)
    live(registered, 31, failing_version=3)
    assert rollout_of(registered).dropped == (3,)
    steer.abort(registered, "tiny", actor="ana", reason="enough")
    with pytest.raises(NotStartable, match="version 3 did harm"):
        start(registered, 3, request_id="r2")
    start(registered, 2, request_id="r2")


def test_what_cannot_begin_is_refused_and_leaves_no_trace(registered: Workspace) -> None:
    before = head(registered)
    for error, versions, more in (
        (ModelVersionNotFound, (9,), {}),
        (ModelVersionNotFound, (10**30,), {}),
        (NotStartable, (1,), {}),
        (Invalid, (), {}),
        (Invalid, (2, 2), {}),
        (Invalid, (2, 3), {"shares": [0.6, 0.6]}),
        (Faults, (2,), {"strategy": ms.Canary(split_by="nobody")}),
    ):
        with pytest.raises(error):
            start(registered, *versions, **more)
    with pytest.raises(UnknownProduct):
        start_rollout(registered, "tony", [2], request_id="r1", actor="ana", reason="to see")
    assert head(registered) == before


def test_one_cycle_at_a_time(registered: Workspace) -> None:
    start(registered, 2)
    with pytest.raises(CycleInProgress, match=r"cycle 4, which is rolling out.*abort"):
        start(registered, 3, request_id="r2")


def test_without_a_champion_there_is_nothing_to_roll_out_against(empty: Workspace) -> None:
    with pytest.raises(NothingServes):
        start(empty, 1)


def test_triggers_are_answered_by_training_and_not_by_a_rollout(registered: Workspace) -> None:
    with registered.database.read() as tx:
        spec = registered.specs(tx)["tiny"]
    before = observe(registered, spec)
    registered.advance(FIRST + 31 * DAY)
    start(registered, 2)
    steer.abort(registered, "tiny", actor="ana", reason="enough")
    after = observe(registered, spec)
    assert (after.last_opened_at, after.data) == (before.last_opened_at, before.data)
    assert after.data["orders"].rows_trained > 0
    add_batch(registered, "orders", parquet(orders(FIRST + 31 * DAY, days=1)), actor="ada")
    now = observe(registered, spec).data["orders"]
    assert now.rows_trained == before.data["orders"].rows_trained < now.rows


def test_the_ledger_says_what_the_strategy_was(registered: Workspace) -> None:
    start(registered, 2, strategy="blue-green")
    with registered.database.read() as tx:
        started = [each for each in tx.ledger.entries() if each.type == EventType.ROLLOUT_STARTED][-1]
    assert json.loads(started.data)["strategy"]["type"] == "BlueGreen"
