"""A version waits for the people whom the product's policy names, and their word is kept with the policy's number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.operate.tiny import ask, begin
from tests.products.tiny.orders import orders, parquet

from mainspring.events import EventType
from mainspring.governance.approval import Answer, NotEntitled
from mainspring.loop import Cycle, CycleOutcome, CycleState
from mainspring.operate.approve import NothingToApprove, answer_version, approvals_of
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.request import request_training
from mainspring.operate.start_rollout import NotStartable, start_rollout
from mainspring.operate.status import product_status
from mainspring.operate.steer import approve, promote
from mainspring.ref import ModelRef
from mainspring.rollouts import Phase
from mainspring.workspace import Workspace, open_workspace

TWO = 'ms.ApprovalPolicy(by=("ana", "ben", "cleo"), needed=2, within="3d")'
FIRST = ModelRef("tiny", 1)


def with_policy(policy: str, rollout: str) -> Callable[[str], str]:
    def declared(text: str) -> str:
        start, end = text.index("    retrain=["), text.index('    holdout="5d"')
        text = text[:start] + f"    retrain=[ms.OnDemand()],\n    approval={policy},\n" + text[end:]
        start = text.index("    rollout=")
        return text[:start] + f"    rollout={rollout},\n" + text[text.index("    monitors=") :]

    return declared


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first version that ana has asked for, and that two of three must approve."""
    folder = tmp_path_factory.mktemp("approve") / "root"
    steps = "(ms.CanaryStep(0.5, approve=True), 1.0)"
    declared = with_policy(TWO, f"ms.Canary(steps={steps}, bake='1h', minimum_units=20)")
    with begin(folder, declared) as workspace:
        add_batch(workspace, "orders", parquet(orders(days=30)), actor="test")
        request_training(workspace, "tiny", request_id="1", actor="ana", reason="a first one")
        turn(workspace)
    return folder


@pytest.fixture
def workspace(waiting: Path, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Path(shutil.copytree(waiting, tmp_path / "root"))) as workspace:
        yield workspace


def last_cycle(workspace: Workspace) -> Cycle:
    with workspace.database.read() as tx:
        return tx.loop.cycles("tiny")[-1]


def say(workspace: Workspace, actor: str, answer: Answer = Answer.APPROVED, ref: ModelRef = FIRST) -> str:
    return answer_version(workspace, ref, answer, actor=actor, reason=f"{actor} has looked").standing


def events(workspace: Workspace, kind: EventType) -> list[dict[str, object]]:
    with workspace.database.read() as tx:
        return [json.loads(each.data) for each in tx.ledger.entries() if each.type == kind]


def test_a_version_waits_until_enough_people_have_approved_it(workspace: Workspace) -> None:
    assert last_cycle(workspace).state is CycleState.REGISTERED
    assert product_status(workspace, "tiny").approval == "tiny@1 is waiting: 0 of 2 approvals under policy 1"
    assert say(workspace, "ben") == "waiting"
    turn(workspace)
    assert last_cycle(workspace).state is CycleState.REGISTERED
    assert say(workspace, "cleo") == "approved"
    turn(workspace)
    assert last_cycle(workspace).outcome is CycleOutcome.PROMOTED


def test_who_asked_for_the_cycle_and_who_is_not_named_may_not_approve(workspace: Workspace) -> None:
    for actor in ("ana", "dora"):
        with pytest.raises(NotEntitled):
            say(workspace, actor)
    assert approvals_of(workspace, FIRST).approvals == []
    assert events(workspace, EventType.APPROVAL_GIVEN) == []


def test_a_refusal_ends_the_cycle_and_the_version_stays_registered(workspace: Workspace) -> None:
    say(workspace, "ben")
    assert say(workspace, "cleo", Answer.REFUSED) == "refused"
    turn(workspace)
    cycle = last_cycle(workspace)
    assert (cycle.outcome, cycle.version) == (CycleOutcome.REFUSED, 1)
    assert "cleo refused: cleo has looked" in cycle.reason
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny") == {}


def test_a_version_that_nobody_approves_in_time_is_not_rolled_out(workspace: Workspace) -> None:
    say(workspace, "ben")
    workspace.advance(workspace.clock.now() + timedelta(days=3))
    turn(workspace)
    cycle = last_cycle(workspace)
    assert (cycle.outcome, "1 of 2 approvals" in cycle.reason) == (CycleOutcome.EXPIRED, True)


def test_every_word_stands_in_the_ledger_with_the_policy_under_which_it_was_given(
    workspace: Workspace,
) -> None:
    say(workspace, "ben")
    (policy,) = events(workspace, EventType.APPROVAL_POLICY_DECLARED)
    assert policy["policy"] == 1
    assert policy["declared"]["needed"] == 2  # type: ignore[index]
    (asked,) = events(workspace, EventType.APPROVAL_ASKED)
    assert asked["policy"] == 1
    (given,) = events(workspace, EventType.APPROVAL_GIVEN)
    assert given == {"about": "rolling out", "answer": "approved", "policy": 1, "standing": "waiting"}


def test_another_policy_has_another_number_and_asks_everybody_again(workspace: Workspace) -> None:
    say(workspace, "ben")
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace(TWO, 'ms.ApprovalPolicy(by=("ben",))'))
    declare(workspace, actor="test")
    found = approvals_of(workspace, FIRST)
    assert (found.number, found.standing, len(found.approvals)) == (2, "waiting", 1)
    assert say(workspace, "ben") == "approved"
    with workspace.database.read() as tx:
        assert [each.number for each in tx.approvals.policies("tiny")] == [1, 2]
    declare(workspace, actor="test")  # nothing has changed
    assert approvals_of(workspace, FIRST).number == 2


def test_without_a_policy_there_is_nothing_to_approve(workspace: Workspace) -> None:
    file = workspace.settings.root / "product.py"
    file.write_text(file.read_text().replace(TWO, "None"))
    declare(workspace, actor="test")
    with pytest.raises(NothingToApprove):
        say(workspace, "ben")
    turn(workspace)
    assert last_cycle(workspace).outcome is CycleOutcome.PROMOTED


def test_a_rollout_by_hand_needs_approvals_of_others_than_its_starter(workspace: Workspace) -> None:
    say(workspace, "ben"), say(workspace, "cleo")
    turn(workspace)
    request_training(
        workspace, "tiny", request_id="2", actor="ana", reason="again", params={"train.rounds": 15}
    )
    turn(workspace)
    say(workspace, "ben", Answer.REFUSED, ModelRef("tiny", 2))
    turn(workspace)
    assert last_cycle(workspace).outcome is CycleOutcome.REFUSED

    def start(actor: str) -> None:
        start_rollout(workspace, "tiny", [2], request_id="r", actor=actor, reason="it is needed")

    with pytest.raises(NotStartable, match="version 2 is not approved: ben refused"):
        start("dora")
    say(workspace, "ben", ref=ModelRef("tiny", 2))
    say(workspace, "cleo", ref=ModelRef("tiny", 2))
    with pytest.raises(NotStartable, match="1 of 2"):
        start("cleo")
    start("dora")
    assert last_cycle(workspace).state is CycleState.ROLLING_OUT


def rolling(workspace: Workspace) -> pl.DataFrame:
    """Begin to roll version 2 out, and give its next traffic."""
    say(workspace, "ben"), say(workspace, "cleo")
    turn(workspace)
    request_training(
        workspace, "tiny", request_id="2", actor="ana", reason="again", params={"train.rounds": 15}
    )
    turn(workspace)
    say(workspace, "ben", ref=ModelRef("tiny", 2)), say(workspace, "cleo", ref=ModelRef("tiny", 2))
    turn(workspace)
    assert last_cycle(workspace).state is CycleState.ROLLING_OUT
    return orders(workspace.clock.now(), days=1, per_day=200)


def test_a_step_that_waits_for_approval_goes_on_when_the_policy_is_satisfied(workspace: Workspace) -> None:
    ask(workspace, rolling(workspace))
    workspace.advance(workspace.clock.now() + timedelta(hours=2))
    turn(workspace)
    with workspace.database.read() as tx:
        found = tx.rollouts.running("tiny")
    assert found is not None
    assert found.phase is Phase.AWAITING_APPROVAL
    with pytest.raises(NotEntitled):
        approve(workspace, "tiny", actor="ana", reason="mine")
    assert approve(workspace, "tiny", actor="ben", reason="sound").phase is Phase.AWAITING_APPROVAL
    assert approve(workspace, "tiny", actor="cleo", reason="sound").phase is Phase.RUNNING


def test_a_promotion_by_hand_needs_as_many_people_as_the_policy_asks_for(workspace: Workspace) -> None:
    rolling(workspace)
    with pytest.raises(NotEntitled):
        promote(workspace, "tiny", actor="ana", reason="mine")
    assert promote(workspace, "tiny", actor="ben", reason="the old one is broken").phase is Phase.RUNNING
    assert last_cycle(workspace).state is CycleState.ROLLING_OUT
    assert promote(workspace, "tiny", actor="cleo", reason="it is").phase is Phase.PROMOTED
    assert last_cycle(workspace).outcome is CycleOutcome.PROMOTED
