"""Rollouts of every kind through the loop: what is counted as a unit, what routes say, and who is asked."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.operate.tiny import PRODUCT, ask
from tests.products.tiny.orders import FIRST, orders

from mainspring.digest import digest_of
from mainspring.events import EventType
from mainspring.governance import verify
from mainspring.loop import CycleOutcome
from mainspring.monitoring.record import Failure, LabelEntry, LabelRecord, PredictionRecord
from mainspring.operate import steer
from mainspring.operate.controller import turn
from mainspring.operate.declare import declare
from mainspring.operate.ingest import ingest
from mainspring.operate.request import request_training
from mainspring.ref import ModelRef
from mainspring.rollouts import Phase, Rollout, UnitOutcome
from mainspring.stores.segments import SegmentWriter
from mainspring.strategy import ABTest, Canary, Shadow, Strategy
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
TINY = (PRODUCT / "product.py").read_text()
CANARY = 'ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20)'
assert CANARY in TINY


# --- what is counted -----------------------------------------------------------------------------------------------


def begin(workspace: Workspace, strategy: Strategy, challengers: tuple[int, ...] = (2,)) -> Rollout:
    """Put a rollout in progress, as if the loop had begun it now."""
    rollout = Rollout.start(
        rollout_id="r1",
        product="tiny",
        champion=1,
        challengers=challengers,
        strategy=strategy,
        at=workspace.clock.now(),
        slices={"kind": ("a", "b")},
    )
    with workspace.database.write() as tx:
        tx.rollouts.put(rollout)
    return rollout


def request(workspace: Workspace, units: list[str], versions: list[int], **changes: Any) -> PredictionRecord:
    return PredictionRecord(
        **{
            "at": workspace.clock.now(),
            "product": "tiny",
            "route": 2,
            "ids": [f"{digest_of(str(units).encode())[:8]}/{row}" for row in range(len(versions))],
            "units": units,
            "versions": versions,
            "scores": [0.25] * len(versions),
            "inputs": {
                "kind": ["c"] * len(units),
                "amount": [1.0] * len(units),
                "hour": [1] * len(units),
            },
            "took_s": {str(version): 0.001 * version for version in set(versions)},
            **changes,
        }
    )


def units_of(workspace: Workspace, rollout: Rollout, *records: Any) -> dict[str, UnitOutcome]:
    with SegmentWriter(workspace.logs / "gateway-0") as writer:
        writer.append(list(records))
        writer.roll()
    ingest(workspace)
    with workspace.database.read() as tx:
        return {unit.unit: unit for unit in tx.rollouts.units(rollout.step_id)}


def named(rollout: Rollout, version: int | None, count: int) -> list[str]:
    """Units that the split gives to a version."""
    names = [f"unit {number}" for number in range(2_000)]
    return [name for name, given in zip(names, rollout.assign(names), strict=True) if given == version][
        :count
    ]


def test_a_unit_is_counted_in_its_arm_with_what_came_first_for_it(workspace: Workspace) -> None:
    rollout = begin(workspace, Canary(steps=(0.5, 1.0)))
    [ours] = named(rollout, 2, 1)
    [theirs] = named(rollout, 1, 1)
    label = LabelEntry("x", True, workspace.clock.now())
    first = request(workspace, [ours], [2], ids=["x"], inputs={"kind": ["a"], "amount": [1.0], "hour": [1]})
    again = request(workspace, [ours], [2], ids=["y"], scores=[0.75], took_s={"2": 9.0})
    revenue = LabelEntry("x", 12.5, workspace.clock.now(), "revenue")
    found = units_of(
        workspace,
        rollout,
        first,
        again,
        request(workspace, [theirs], [1]),
        LabelRecord(at=workspace.clock.now(), labels=[label, revenue]),
    )
    assert found[ours].metrics == pytest.approx(
        {"log_loss": 1.3863, "brier": 0.5625, "revenue": 12.5}, abs=1e-4
    )
    assert (found[ours].version, found[ours].score, found[ours].took_s) == (2, 0.25, 0.002)
    assert found[ours].slices == {"kind": "a"}
    assert found[theirs] == UnitOutcome(
        unit=theirs, version=1, took_s=0.001, score=0.25, slices={"kind": "other"}
    )


def test_who_asks_for_a_version_by_name_is_no_unit(workspace: Workspace) -> None:
    rollout = begin(workspace, Canary(steps=(0.5, 1.0)))
    [ours] = named(rollout, 2, 1)
    pinned = request(workspace, [ours], [2], ids=["x"], pinned=True)
    label = LabelRecord(at=workspace.clock.now(), labels=[LabelEntry("x", True, workspace.clock.now())])
    assert units_of(workspace, rollout, pinned, label) == {}


def test_a_failure_counts_for_the_version_that_failed_whoever_answered(workspace: Workspace) -> None:
    rollout = begin(workspace, Canary(steps=(0.5, 1.0)))
    ours, theirs = named(rollout, 2, 2), named(rollout, 1, 2)
    stood_in = request(workspace, [ours[0], theirs[0]], [1, 1], failures=[Failure(0, 2, "broken")])
    unanswered = request(
        workspace, [theirs[1], ours[1]], [], ids=[], scores=[], failures=[Failure(0, 1, "broken")]
    )
    found = units_of(workspace, rollout, stood_in, unanswered)
    assert {name: unit.failed for name, unit in found.items()} == {
        ours[0]: True,
        theirs[0]: False,
        theirs[1]: True,
    }
    assert all(unit.took_s is None for unit in found.values()), "a request with a failure is not timed"
    assert found[ours[0]].score is None, "the champion's answer says nothing of the challenger"


def test_units_of_the_route_before_and_of_a_dropped_challenger_are_left_out(workspace: Workspace) -> None:
    test = ABTest(shares={"candidate": 0.3, "3": 0.3})
    rollout = begin(workspace, test, (2, 3)).without(2)
    with workspace.database.write() as tx:
        tx.rollouts.put(rollout)
    [dropped], [kept], [control] = (named(rollout, version, 1) for version in (None, 3, 1))
    found = units_of(
        workspace,
        rollout,
        request(workspace, [dropped], [1]),
        request(workspace, [kept], [1]),
        request(workspace, [control], [1]),
    )
    assert found.keys() == {control}
    assert units_of(workspace, rollout, request(workspace, [kept], [3], ids=["k"])).keys() == {control, kept}


def test_in_the_shadow_a_unit_is_one_that_the_challenger_was_asked_for_as_well(workspace: Workspace) -> None:
    rollout = begin(workspace, Shadow(0.5, then=Canary()))
    asked = request(workspace, ["u", "v"], [1, 1], shadow={"2": [0.5, None]})
    assert units_of(workspace, rollout, asked, request(workspace, ["w"], [1])).keys() == {"u"}


def test_a_request_of_many_units_is_timed_once_where_the_arms_would_have_had_as_much_to_do(
    workspace: Workspace,
) -> None:
    rollout = begin(workspace, Canary(steps=(0.5, 1.0)))
    ours, theirs = named(rollout, 2, 3), named(rollout, 1, 3)
    even = request(workspace, [ours[0], theirs[0]], [2, 1])
    found = units_of(workspace, rollout, even)
    assert {name: unit.took_s for name, unit in found.items()} == {ours[0]: 0.002, theirs[0]: None}
    uneven = begin_again(workspace, rollout, 0.01)
    many = named(uneven, 1, 40)
    found = units_of(workspace, uneven, request(workspace, many, [1] * 40))
    assert len(found) == 40
    assert all(unit.took_s is None for unit in found.values())


def begin_again(workspace: Workspace, rollout: Rollout, share: float) -> Rollout:
    with workspace.database.write() as tx:
        tx.rollouts.put(rollout.aborted())
        other = Rollout.start(
            rollout_id="r2",
            product="tiny",
            champion=1,
            challengers=(2,),
            strategy=Canary(steps=(share, 1.0)),
            at=workspace.clock.now(),
        )
        tx.rollouts.put(other)
    return other


# --- through the loop ----------------------------------------------------------------------------------------------


def rolled_out(workspace: Workspace, strategy: str) -> None:
    """Declare another strategy, and have a version made that passes."""
    (workspace.settings.root / "product.py").write_text(TINY.replace(CANARY, strategy))
    declare(workspace, actor="test")
    request_training(
        workspace, "tiny", request_id="1", actor="ana", reason="to see", params={"train.rounds": 22}
    )
    turn(workspace)


def day(workspace: Workspace, number: int) -> tuple[str, ...]:
    """Let a day of traffic come, and the loop turn; give its acts, without those of triggers that wait for the end."""
    workspace.advance(FIRST + (30 + number) * DAY + timedelta(hours=13))
    ask(workspace, orders(FIRST + (30 + number) * DAY, days=1))
    return tuple(act for act in turn(workspace).acts if act != "tiny: Hold")


def state(workspace: Workspace) -> tuple[Any, Any, Rollout]:
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
        return tx.registry.aliases("tiny"), route, tx.rollouts.rollouts("tiny")[-1]


def served(workspace: Workspace) -> tuple[int, Any, Any]:
    """The champion, what the endpoint answers from, and what monitors compare with; all follow from the alias."""
    with workspace.database.read() as tx:
        (route,) = tx.rollouts.routes()
        champion = tx.registry.get(ModelRef("tiny", tx.registry.aliases("tiny")["champion"]))
    assert route.champion.artifact == champion.artifact
    return route.champion.version, champion.artifact, champion.reference


def events(workspace: Workspace, kind: EventType) -> list[Any]:
    with workspace.database.read() as tx:
        assert verify(tx.ledger.entries()).sound
        return [entry for entry in tx.ledger.entries() if entry.type == kind]


def test_a_version_goes_through_shadow_and_approval_to_promotion(workspace: Workspace) -> None:
    rolled_out(
        workspace,
        'ms.Shadow(1.0, bake="1d", then=ms.Canary(steps=(ms.CanaryStep(0.5, approve=True), 1.0), bake="1d", '
        'guards=(ms.NoMoreErrors(slices=("kind",)), ms.SameOutputs(alpha=1e-9), '
        'ms.Threshold("error_rate", at_most=0.1, interval="1d"))))',
    )
    _, route, rollout = state(workspace)
    assert (route.challengers, route.shadow.version, route.shadow_share) == ((), 2, 1.0)
    assert rollout.slices == {"kind": ("a", "b", "c")}
    day(workspace, 1)
    _, route, rollout = state(workspace)
    assert rollout.certificate is not None
    assert (route.shadow, [each.share for each in route.challengers]) == (None, [0.5])
    assert day(workspace, 2) == ("tiny: Measure", "tiny: AskApproval")
    assert day(workspace, 3) == ("tiny: Measure",), "nobody has answered"
    assert state(workspace)[2].phase is Phase.AWAITING_APPROVAL
    steer.approve(workspace, "tiny", actor="ben", reason="looks well")
    assert turn(workspace).acts[0] == "tiny: Promote"  # and then the next cycle, which a schedule starts
    with workspace.database.read() as tx:
        assert tx.rollouts.rollouts("tiny")[0].phase is Phase.PROMOTED
    assert served(workspace)[0] == 2
    (approved,) = events(workspace, EventType.ROLLOUT_APPROVED)
    assert (approved.actor, approved.reason) == ("ben", "looks well")
    assert events(workspace, EventType.ROLLOUT_MEASURED)


def test_blue_and_green_are_both_loaded_and_the_switch_is_a_change_of_route(workspace: Workspace) -> None:
    rolled_out(workspace, 'ms.BlueGreen(reference="1d", bake="1d", minimum_units=20)')
    _, route, rollout = state(workspace)
    assert [(each.variant.version, each.share) for each in route.challengers] == [(2, 0.0)]
    assert day(workspace, 1) == ("tiny: Advance",)
    aliases, switched, rollout = state(workspace)
    assert rollout.step == 1
    assert aliases == {"champion": 1, "challenger": 2}
    assert switched.choose("anybody").version == 2
    assert switched.variants == route.variants, "back is a change of route as well"
    assert day(workspace, 2)[0] == "tiny: Promote"
    assert served(workspace)[0] == 2


def test_all_at_once_and_what_a_test_names_that_is_not_there(workspace: Workspace) -> None:
    before = served(workspace)
    rolled_out(workspace, 'ms.ABTest(shares={"candidate": 0.3, "1": 0.1, "9": 0.1}, bake="1d")')
    _, route, rollout = state(workspace)
    assert [(each.variant.version, each.share) for each in route.challengers] == [(2, 0.3)]
    started = json.loads(events(workspace, EventType.ROLLOUT_STARTED)[-1].data)
    assert (started["challengers"], started["left_out"]) == ([2], ["1", "9"])
    assert served(workspace) == before
    steer.abort(workspace, "tiny", actor="ana", reason="a mistake")
    assert served(workspace) == before
    aliases, route, rollout = state(workspace)
    assert (aliases, rollout.phase, route.challengers) == ({"champion": 1}, Phase.ABORTED, ())
    with workspace.database.read() as tx:
        cycle = tx.loop.cycles("tiny")[-1]
    assert (cycle.outcome, cycle.reason) == (CycleOutcome.ABORTED, "aborted by ana: a mistake")
    (workspace.settings.root / "product.py").write_text(TINY.replace(CANARY, "ms.AllAtOnce()"))
    declare(workspace, actor="test")
    request_training(
        workspace, "tiny", request_id="2", actor="ana", reason="now", params={"train.rounds": 23}
    )
    turn(workspace)
    aliases, route, rollout = state(workspace)
    assert (aliases, rollout.phase, route.champion.version) == ({"champion": 3}, Phase.PROMOTED, 3)
    now = served(workspace)
    assert now[0] == 3
    assert set(now).isdisjoint(before), "all of it has moved"
