"""A report tells what a rollout came to, in figures that are those of the log and in sentences."""

from __future__ import annotations

import pytest
from tests.operate.rolling import begin_rollout, live, rollout_of

from mainspring.operate.report import RolloutNotFound, rollout_now, rollout_report, rollout_summaries
from mainspring.operate.steer import NotPromotable, abort, promote
from mainspring.rollouts import IllegalMove, Phase
from mainspring.workspace import Workspace

CANARY = (
    'ms.Canary(steps=(0.5, 1.0), bake="1d", minimum_units=20, '
    'guards=(ms.NoMoreErrors(), ms.NotWorse("log_loss", margin=0.01, slices=("kind",))))'
)


def test_a_promotion_is_told_with_its_arms_differences_and_events(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    for day in (31, 32, 33):
        live(workspace, day, per_day=600)
    found = rollout_report(workspace, "tiny")
    assert (found.summary.phase, found.summary.champion, found.summary.challengers) == (
        "promoted",
        "tiny@1",
        ["tiny@2"],
    )
    [step] = found.steps
    champion, challenger = step.arms
    assert (champion.role, champion.version, challenger.version) == ("champion", 1, 2)
    assert champion.units + challenger.units == 1_200
    overall = {row.metric: row for row in step.differences if not row.slice}
    assert overall.keys() == {"log_loss", "brier"}
    assert overall["log_loss"].low < overall["log_loss"].estimate < overall["log_loss"].high
    assert {row.slice for row in step.differences} >= {"", "kind=a"}
    assert [each["subject"] for each in step.evidence] == ["NoMoreErrors", "NotWorse(log_loss)"]
    assert [event.type for event in found.events] == [
        "rollout.started",
        "rollout.planned",
        "rollout.promoted",
    ]
    story = " ".join(found.sentences)
    assert (
        "version 2 began to take over from version 1 (Canary). After 1 day 12 hours it was promoted" in story
    )
    assert f"answered {challenger.units:,} of 1,200 requests in the last step, with a share of 50%" in story
    assert {row.version for row in found.days} == {1, 2}


def test_harm_is_told_by_its_guard(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    live(workspace, 31, worse_version=2)
    found = rollout_report(workspace, "tiny")
    assert found.summary.phase == "rolled_back"
    assert any("was rolled back, and the champion kept" in each for each in found.sentences)
    assert any(each.startswith("Harm was shown by NotWorse(log_loss)") for each in found.sentences)
    assert any("log loss was higher by" in each and "(worse)" in each for each in found.sentences)


def test_a_rollout_without_units_is_told_too(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    found = rollout_report(workspace, "tiny")
    assert found.steps == []
    assert any("nothing is decided yet" in each for each in found.sentences)
    assert "No units have been compared." in found.sentences


def test_a_rollout_is_found_by_its_cycle_its_id_and_the_beginning_of_that(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    rollout = rollout_of(workspace)
    for wanted in ("2", rollout.rollout_id, rollout.rollout_id[:-1], None):
        assert rollout_report(workspace, "tiny", wanted).summary.rollout_id == rollout.rollout_id
    with pytest.raises(RolloutNotFound, match="There are: 2"):
        rollout_report(workspace, "tiny", "nowhere")
    assert [each.number for each in rollout_summaries(workspace, "tiny")] == [2]


def test_before_the_first_rollout_there_is_none_to_report_on(workspace: Workspace) -> None:
    assert rollout_summaries(workspace, "tiny") == []
    with pytest.raises(RolloutNotFound, match="no rollout yet"):
        rollout_report(workspace, "tiny")
    with pytest.raises(RolloutNotFound):
        rollout_now(workspace, "tiny")


def test_a_rollout_is_seen_while_it_goes_on_and_when_it_has_ended(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    live(workspace, 31)
    now = rollout_now(workspace, "tiny")
    assert now.row is not None
    assert now.row.arms["champion"]["units"] + now.row.arms["challenger"]["units"] == 300
    abort(workspace, "tiny", actor="ada", reason="a wrong file")
    ended = rollout_now(workspace, "tiny")
    assert ended.row is None
    assert (ended.summary.phase, ended.events[-1].type, ended.events[-1].actor) == (
        "aborted",
        "rollout.aborted",
        "ada",
    )
    assert "a person ended it" in rollout_report(workspace, "tiny").sentences[0]


def test_a_person_promotes_in_one_transaction_with_the_aliases(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    promoted = promote(workspace, "tiny", actor="ada", reason="the old one is broken")
    assert promoted.phase is Phase.PROMOTED
    with workspace.database.read() as tx:
        assert tx.registry.aliases("tiny") == {"champion": 2}
        (route,) = tx.rollouts.routes()
        assert (route.champion.version, route.challengers) == (2, ())
        [last] = [entry for entry in tx.ledger.entries() if entry.type == "rollout.promoted"][1:]
        cycle = tx.loop.cycles("tiny")[-1]
    assert (last.actor, cycle.outcome) == ("ada", "promoted")
    assert "the old one is broken" in last.reason


def test_a_version_that_is_no_challenger_is_not_promoted(workspace: Workspace) -> None:
    begin_rollout(workspace, CANARY)
    with pytest.raises(NotPromotable, match="version 1"):
        promote(workspace, "tiny", actor="ada", reason="back", version=1)
    from mainspring.operate.steer import pause

    pause(workspace, "tiny", actor="ada", reason="wait")
    with pytest.raises(IllegalMove):
        promote(workspace, "tiny", actor="ada", reason="now")
    assert rollout_of(workspace).phase is Phase.PAUSED
