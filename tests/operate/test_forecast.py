"""Plans and simulations read the log: the pace and the losses of late, and what each version answers."""

from __future__ import annotations

import pytest
from tests.operate.rolling import begin_rollout, live

from mainspring.operate.forecast import NothingServes, NoTraffic, plan_begun, plan_rollout, simulate_rollout
from mainspring.operate.status import UnknownProduct
from mainspring.product import ProductSpec
from mainspring.registry import ModelVersionNotFound
from mainspring.rollouts.simulate import Effect
from mainspring.workspace import Workspace

CANARY = 'ms.Canary(steps=(0.5, 1.0), bake="1d", minimum_units=20, guards=({}))'
LOSS = CANARY.format('ms.NotWorse("log_loss", margin=0.01, slices=("kind",)),')


def test_a_plan_rests_on_the_traffic_of_late(workspace: Workspace) -> None:
    begin_rollout(workspace, LOSS)
    for day in (31, 32):
        live(workspace, day)
    found = plan_rollout(workspace, "tiny")
    assert found.pace.units == 600
    assert found.strategy == "Canary"
    [harm] = [each for each in found.needs if each.question == "harm"]
    assert harm.units is not None
    assert "log_loss is higher by" in harm.about
    assert any("none of" in each for each in found.assumed)


def test_what_was_expected_of_a_rollout_is_in_the_ledger_once(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY.format("ms.NoMoreErrors(),"))
    live(workspace, 31)
    with workspace.database.read() as tx:
        [planned] = [entry for entry in tx.ledger.entries() if entry.type == "rollout.planned"]
    assert "no promotion is to be expected" in planned.reason
    assert '"needs"' in planned.data
    assert plan_begun(workspace, next(iter(workspace_specs(workspace).values()))) is None


def workspace_specs(workspace: Workspace) -> dict[str, ProductSpec]:
    with workspace.database.read() as tx:
        return workspace.specs(tx)


def test_without_traffic_a_plan_says_what_it_assumes(workspace: Workspace) -> None:
    found = plan_rollout(workspace, "tiny")
    assert found.pace.units == 0
    assert (found.hours, found.fits) == (None, False)
    assert len(found.assumed) == 2


def test_a_version_against_itself_is_promoted_and_an_effect_is_found(workspace: Workspace) -> None:
    begin_rollout(workspace, LOSS)
    for day in (31, 32, 33, 34):
        live(workspace, day)
    alike = simulate_rollout(workspace, "tiny", Effect(), runs=5)
    assert {run.outcome for run in alike.runs} == {"promoted"}
    worse = simulate_rollout(workspace, "tiny", Effect(worse_by=1.0), runs=5)
    assert {run.outcome for run in worse.runs} == {"rolled_back"}
    # Version 2 was promoted on the way: both have answered some rows, and are asked for the others.
    both = simulate_rollout(workspace, "tiny", Effect(), versions=(1, 2), runs=5)
    assert len(both.runs) == 5


def test_what_cannot_be_simulated_is_refused(workspace: Workspace) -> None:
    with pytest.raises(NoTraffic):
        simulate_rollout(workspace, "tiny", Effect(), runs=1)
    with pytest.raises(ModelVersionNotFound):
        simulate_rollout(workspace, "tiny", Effect(), versions=(1, 7), runs=1)
    with pytest.raises(UnknownProduct):
        simulate_rollout(workspace, "tony", Effect(), runs=1)


def test_without_a_champion_there_is_nothing_to_plan(empty: Workspace) -> None:
    with pytest.raises(NothingServes):
        plan_rollout(empty, "tiny")
