"""A cycle: unchanged steps are found again, what fails keeps the champion, and a version takes over whole or not."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.operate.tiny import PRODUCT, ask, head
from tests.products.tiny.orders import FIRST, orders, parquet

import mainspring.loop
from mainspring.errors import Faults
from mainspring.events import EventType
from mainspring.governance import verify
from mainspring.loop import Cycle, CycleOutcome, CycleState, TriggerKind, decide
from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.declare import declare
from mainspring.operate.observe import observe
from mainspring.operate.request import request_training
from mainspring.operate.status import UnknownProduct
from mainspring.pipelines import Run, RunState
from mainspring.ref import DataAddress, ModelRef
from mainspring.rollouts import Phase
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
TINY = (PRODUCT / "product.py").read_text()


def train(workspace: Workspace, request_id: str, **asked: Any) -> Cycle:
    """Ask for a cycle and let the loop turn; give the newest cycle."""
    request_training(workspace, "tiny", request_id=request_id, actor="ana", reason="to see", **asked)
    turn(workspace)
    return last_cycle(workspace)


def last_cycle(workspace: Workspace) -> Cycle:
    with workspace.database.read() as tx:
        return tx.loop.cycles("tiny")[-1]


def run_of(workspace: Workspace, cycle: Cycle) -> Run:
    with workspace.database.read() as tx:
        return tx.runs.get(cycle.run_id)


def steps_of(workspace: Workspace, cycle: Cycle) -> dict[str, tuple[str, str]]:
    """Whether each step was reused, and why."""
    return {
        step["name"]: (step["reused"], step["why"])
        for step in run_of(workspace, cycle).steps
        if "why" in step
    }


def events(workspace: Workspace, kind: EventType) -> list[Any]:
    with workspace.database.read() as tx:
        return [entry for entry in tx.ledger.entries() if entry.type == kind]


@dataclass(frozen=True)
class Standing:
    """All that a promotion moves."""

    aliases: Any
    routes: Any
    rollout: Any
    cycles: Any
    head: Any


def standing(workspace: Workspace) -> Standing:
    with workspace.database.read() as tx:
        return Standing(
            tx.registry.aliases("tiny"),
            tx.rollouts.routes(),
            tx.rollouts.running("tiny"),
            tx.loop.cycles("tiny"),
            head(workspace),
        )


def champion_stays(workspace: Workspace) -> None:
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny") == {"champion": 1}
        assert [version.number for version in tx.registry.versions("tiny")] == [1]
        (route,) = tx.rollouts.routes()
    assert (route.number, route.champion.version, route.challengers) == (1, 1, ())


# --- reuse ---------------------------------------------------------------------------------------------------------


def test_steps_that_are_unchanged_are_found_again_and_what_has_changed_is_said(workspace: Workspace) -> None:
    first = last_cycle(workspace)
    assert steps_of(workspace, first) == {
        "examples": ("no", "it never ran before"),
        "recent": ("no", "it never ran before"),
        "train": ("no", "it never ran before"),
    }
    found = f"same key as in {first.run_id}"
    second = train(workspace, "1", params={"train.rounds": 1})
    assert steps_of(workspace, second) == {
        "examples": ("yes", found),
        "recent": ("yes", found),
        "train": ("no", "params.rounds: 20 -> 1"),
    }
    third = train(workspace, "2", params={"recent.days": 20, "train.rounds": 1, "train.learning_rate": 0.01})
    assert steps_of(workspace, third)["examples"] == ("yes", found)
    assert steps_of(workspace, third)["recent"] == ("no", "params.days: 60 -> 20")
    assert "params.learning_rate: 0.2 -> 0.01" in steps_of(workspace, third)["train"][1]
    assert "inputs.recent: " in steps_of(workspace, third)["train"][1]


def test_the_same_request_again_makes_the_same_model_without_any_work(workspace: Workspace) -> None:
    cycle = train(workspace, "1")
    assert {reused for reused, _ in steps_of(workspace, cycle).values()} == {"yes"}
    with workspace.database.read() as tx:
        first, second = tx.registry.versions("tiny")
    assert (first.artifact, first.native, first.metrics) == (second.artifact, second.native, second.metrics)
    (event,) = events(workspace, EventType.RUN_COMPLETED)[1:]
    assert event.reason == "3 steps gave a model, 3 of them reused"


def test_a_step_runs_again_when_its_code_has_changed_and_not_for_an_edit_beside_it(
    workspace: Workspace,
) -> None:
    file = workspace.settings.root / "product.py"
    file.write_text(
        TINY.replace('"""Keep the newest days."""', '"""Keep the newest days alone."""') + "\nBESIDE = 1\n"
    )
    declare(workspace, actor="test")
    cycle = train(workspace, "1", params={"train.rounds": 1})
    steps = steps_of(workspace, cycle)
    assert steps["examples"][0] == "yes"
    assert steps["recent"][0] == "no"
    assert steps["recent"][1].startswith("code: ")
    # The step gave the same rows as before, so the next one knows its input again.
    assert steps["train"] == ("no", "params.rounds: 20 -> 1")


def test_pinned_data_is_what_the_cycle_reads_though_there_is_newer(workspace: Workspace) -> None:
    workspace.advance(workspace.clock.now() + DAY)
    add_batch(workspace, "orders", parquet(orders(FIRST + 30 * DAY, days=5)), actor="test")
    pinned = train(workspace, "1", params={"train.rounds": 1}, data=[DataAddress("orders", 1)])
    assert pinned.data == {"orders": 1}
    assert run_of(workspace, pinned).data == ("orders@v1",)
    assert steps_of(workspace, pinned)["examples"][0] == "yes"
    newest = train(workspace, "2", params={"train.rounds": 1})
    assert newest.data == {"orders": 2}
    reused, why = steps_of(workspace, newest)["examples"]
    assert reused == "no"
    assert "inputs.orders: " in why
    assert "inputs.as_of: " in why


# --- what fails ----------------------------------------------------------------------------------------------------

FAULTY = TINY.replace(
    "    import lightgbm\n",
    """    import os, signal
    print("this is no answer")
    if rounds == 101:
        raise ValueError("the moon is full")
    if rounds == 102:
        return "no model"
    if rounds == 103:
        print("about to go", file=sys.stderr)
        sys.exit(3)
    if rounds == 104:
        os.kill(os.getpid(), signal.SIGKILL)
    import lightgbm
""",
)
LINE = FAULTY.splitlines().index('        raise ValueError("the moon is full")') + 1


def test_a_step_that_fails_closes_its_cycle_and_the_champion_stays(workspace: Workspace) -> None:
    (workspace.settings.root / "product.py").write_text(FAULTY)
    declare(workspace, actor="test")
    for rounds, said in {
        101: ["ValueError: the moon is full", f"(product.py, line {LINE})"],
        102: ["'train', gave a str", "ms.Fitted"],
        103: ["ended with status 3 before it had answered", "about to go"],
        104: ["ended by SIGKILL", "out of memory"],
    }.items():
        cycle = train(workspace, str(rounds), params={"train.rounds": rounds})
        assert (cycle.state, cycle.outcome) == (CycleState.CLOSED, CycleOutcome.FAILED)
        run = run_of(workspace, cycle)
        assert run.state is RunState.FAILED
        assert all(words in run.error for words in said), run.error
        assert cycle.reason == f"training failed: {run.error}"
        assert events(workspace, EventType.RUN_FAILED)[-1].reason == run.error
        champion_stays(workspace)


def test_data_without_a_row_that_was_known_before_the_hold_out_is_told(empty: Workspace) -> None:
    add_batch(empty, "orders", parquet(orders(days=4)), actor="test")
    cycle = train(empty, "1")
    assert cycle.outcome is CycleOutcome.FAILED
    assert "no rows to learn from" in cycle.reason
    assert "5d" in cycle.reason


def test_a_product_file_that_changed_since_it_was_declared_is_not_trained_under_the_code_before(
    workspace: Workspace,
) -> None:
    (workspace.settings.root / "product.py").write_text(TINY.replace('"num_leaves": 7', '"num_leaves": 3'))
    cycle = train(workspace, "1", params={"train.rounds": 22})
    assert cycle.outcome is CycleOutcome.FAILED
    assert "product.py has changed since it was declared" in cycle.reason
    assert steps_of(workspace, cycle) == {}
    champion_stays(workspace)


# --- gates ---------------------------------------------------------------------------------------------------------


def test_a_candidate_that_a_gate_refuses_never_becomes_a_version(workspace: Workspace) -> None:
    cycle = train(workspace, "1", params={"train.rounds": 1})
    assert (cycle.outcome, cycle.version) == (CycleOutcome.REFUSED, None)
    assert "log_loss not worse than champion" in cycle.verdict
    assert cycle.reason == cycle.verdict
    judged = json.loads(events(workspace, EventType.CANDIDATE_JUDGED)[-1].data)
    assert judged["verdict"]["outcome"] == "refused"
    (refused,) = [check for check in judged["verdict"]["checks"] if check["outcome"] == "refused"]
    assert refused["observed"] > refused["needed"]
    champion_stays(workspace)


@pytest.mark.parametrize("kept", ["champion", "candidate's model"])
def test_where_judging_fails_nothing_passes(workspace: Workspace, kept: str) -> None:
    """A file that was lost or damaged, of the champion or of the candidate, leaves a verdict that is no pass."""
    lost: list[str] = []

    def lose(place: str) -> None:
        if place == "before Judge":
            with workspace.database.read() as tx:
                champion = tx.registry.get(ModelRef("tiny", 1))
                run = tx.runs.get(tx.loop.cycles("tiny")[-1].run_id)
            outputs = {step["name"]: step["output"] for step in run.steps}
            digest = champion.lineage["package"] if kept == "champion" else outputs["train"]
            file = workspace.blobs.path(digest)
            file.chmod(0o600)
            file.write_bytes(b"damaged")
            lost.append(digest)

    request_training(
        workspace, "tiny", request_id="1", actor="ana", reason="to see", params={"train.rounds": 22}
    )
    turn(workspace, lose)
    assert lost
    cycle = last_cycle(workspace)
    assert (cycle.outcome, cycle.version) == (CycleOutcome.REFUSED, None)
    judged = json.loads(events(workspace, EventType.CANDIDATE_JUDGED)[-1].data)
    assert judged["verdict"]["outcome"] == "could_not_judge"
    assert {check["outcome"] for check in judged["verdict"]["checks"]} == {"could_not_judge"}
    assert lost[0][:12] in cycle.verdict
    champion_stays(workspace)


# --- taking over ---------------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


@dataclass
class Stop:
    """Stops the loop within a transaction, with all of it written and nothing committed.

    Of every act it keeps the facts that were there before it, as they would be recorded.
    """

    place: str
    facts: list[tuple[str, bytes]]
    before: Standing | None = None

    def boundary(self, workspace: Workspace) -> Callable[[str], None]:
        def told(place: str) -> None:
            when, _, act = place.partition(" ")
            if when == "before" and hasattr(mainspring.loop, act):
                self.before = standing(workspace)
                with workspace.database.read() as tx:
                    (spec,) = workspace.specs(tx).values()
                self.facts.append((act, pickle.dumps(observe(workspace, spec))))
            if place == self.place:
                raise Stopped

        return told


def roll_until(
    workspace: Workspace, place: str, facts: list[tuple[str, bytes]], *, failing: bool = False
) -> Stop:
    """Bring the challenger's traffic day by day, until the loop was stopped at a place."""
    stop = Stop(place, facts)
    for day in range(1, 9):
        workspace.advance(FIRST + (30 + day) * DAY + timedelta(hours=13))
        ask(workspace, orders(FIRST + (30 + day) * DAY, days=1), failing_version=2 if failing else None)
        try:
            turn(workspace, stop.boundary(workspace))
        except Stopped:
            return stop
    raise AssertionError(f"never came to {place!r}")


def is_decided_again(recorded: list[tuple[str, bytes]]) -> None:
    """On the facts that were recorded before it, every act is what is decided."""
    for act, facts in recorded:
        first, second = decide(pickle.loads(facts)), decide(pickle.loads(facts))
        assert type(first).__name__ == act
        assert first == second


def test_a_promotion_moves_all_or_nothing(workspace: Workspace) -> None:
    facts: list[tuple[str, bytes]] = []
    stopped = Stop("within BeginRollout", facts)
    request_training(
        workspace, "tiny", request_id="1", actor="ana", reason="to see", params={"train.rounds": 22}
    )
    with pytest.raises(Stopped):
        turn(workspace, stopped.boundary(workspace))
    assert standing(workspace) == stopped.before
    assert stopped.before.aliases == {"champion": 1}
    turn(workspace)
    began = standing(workspace)
    assert began.aliases == {"champion": 1, "challenger": 2}
    (route,) = began.routes
    assert (route.number, route.champion.version) == (2, 1)
    assert [(each.variant.version, each.share) for each in route.challengers] == [(2, 0.2)]

    for place in ("within Advance", "within Promote"):
        stopped = roll_until(workspace, place, facts)
        assert standing(workspace) == stopped.before
        assert stopped.before.aliases == {"champion": 1, "challenger": 2}
        # What was not committed is done again; the next cycle, which a schedule starts, is another story.
        with pytest.raises(Stopped):
            turn(workspace, Stop(place.replace("within", "after"), facts).boundary(workspace))

    promoted = standing(workspace)
    assert promoted.aliases == {"champion": 2}
    assert promoted.rollout is None
    (route,) = promoted.routes
    assert (route.number, route.champion.version, route.challengers) == (4, 2, ())
    cycle = promoted.cycles[1]
    assert (cycle.outcome, cycle.version) == (CycleOutcome.PROMOTED, 2)
    with workspace.database.read() as tx:
        assert [rollout.phase for rollout in tx.rollouts.rollouts("tiny")] == [Phase.PROMOTED]
        assert verify(tx.ledger.entries()).sound
    (_, event) = events(workspace, EventType.ROLLOUT_PROMOTED)
    assert (event.subject, json.loads(event.data)["before"]) == ("tiny@2", 1)
    is_decided_again(facts)
    assert {act for act, _ in facts} >= {
        "Start",
        "Train",
        "Judge",
        "Register",
        "BeginRollout",
        "Advance",
        "Promote",
    }


def test_a_rollback_moves_all_or_nothing(workspace: Workspace) -> None:
    assert train(workspace, "1", params={"train.rounds": 22}).state is CycleState.ROLLING_OUT
    facts: list[tuple[str, bytes]] = []
    stopped = roll_until(workspace, "within rolled_back", facts, failing=True)
    assert standing(workspace) == stopped.before
    assert stopped.before.aliases == {"champion": 1, "challenger": 2}
    turn(workspace)
    back = standing(workspace)
    assert back.aliases == {"champion": 1}
    assert back.rollout is None
    (route,) = back.routes
    assert (route.champion.version, route.challengers) == (1, ())
    assert (back.cycles[1].outcome, back.cycles[1].version) == (CycleOutcome.ROLLED_BACK, 2)
    (event,) = events(workspace, EventType.ROLLOUT_ROLLED_BACK)
    assert (event.subject, json.loads(event.data)["champion"]) == ("tiny@2", 1)
    assert "NoMoreErrors" in event.reason
    assert json.loads(event.data)["evidence"]
    is_decided_again(facts)
    assert facts[-1][0] == "RollBack"


# --- requests ------------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_with_a_request_is_told_and_nothing_is_recorded(workspace: Workspace) -> None:
    before = head(workspace)
    with pytest.raises(Faults) as refused:
        request_training(
            workspace,
            "tiny",
            request_id="1",
            actor="ana",
            reason="to see",
            params={
                "train.round": 3,
                "train.rounds": 3.5,
                "train.learning_rate": "fast",
                "recent.days": True,
                "train.seed": 2**63,
            },
            data=[DataAddress("orders", 2), DataAddress("odrers", 1), DataAddress("odrers", 2)],
        )
    told = {fault.where: str(fault) for fault in refused.value.faults}
    assert told.keys() == {
        *("train.round", "train.rounds", "train.learning_rate", "recent.days", "train.seed"),
        *("orders@v2", "odrers@v1", "odrers@v2", "dataset 'odrers'"),
    }
    assert "There are: recent.days, train.learning_rate, train.rounds" in told["train.round"]
    assert "its default is 20" in told["train.rounds"]
    assert "its newest is v1" in told["orders@v2"]
    assert head(workspace) == before
    with workspace.database.read() as tx:
        assert tx.loop.requests("tiny", waiting=False) == ()


def test_a_request_for_a_product_that_is_not_declared_is_told_with_those_that_are(
    workspace: Workspace,
) -> None:
    with pytest.raises(UnknownProduct, match="There are: tiny"):
        request_training(workspace, "tony", request_id="1", actor="ana", reason="to see")


def test_a_request_under_a_known_id_is_that_request(workspace: Workspace) -> None:
    asked = {"request_id": "1", "actor": "ana", "reason": "to see"}
    first = request_training(workspace, "tiny", params={"train.rounds": 1}, **asked)
    assert request_training(workspace, "tiny", params={"train.rounds": 1}, **asked) == first
    assert request_training(workspace, "tiny", params={"train.rounds": 9}, **asked) == first
    assert len(events(workspace, EventType.TRAINING_REQUESTED)) == 1
    turn(workspace)
    again = request_training(workspace, "tiny", params={"train.rounds": 1}, **asked)
    assert again.cycle_id == last_cycle(workspace).cycle_id
    assert turn(workspace).acts == ()
    assert last_cycle(workspace).trigger is TriggerKind.ON_DEMAND
    assert len(events(workspace, EventType.TRAINING_REQUESTED)) == 1
