"""A shadow leaves on a certificate that is made from the log, is refused on harm, and waits while data is lacking."""

from __future__ import annotations

import pytest
from tests.operate.rolling import begin_rollout, live, rollout_of

from mainspring.events import EventType
from mainspring.operate.certify import NoShadow, certify_shadow, version_certificate
from mainspring.operate.controller import turn
from mainspring.operate.report import rollout_report
from mainspring.operate.status import version_row
from mainspring.operate.steer import NoRollout, NotPromotable, promote
from mainspring.ref import ModelRef
from mainspring.rollouts import Phase
from mainspring.rollouts.certificate import Verdict
from mainspring.workspace import Workspace

GUARDS = 'guards=(ms.NoMoreErrors(), ms.NotWorse("log_loss", margin=0.02, slices=("kind",)))'
SHADOW = (
    'ms.Shadow(share=1.0, bake="1d", minimum_units=50, '
    f'then=ms.Canary(steps=(0.5, 1.0), bake="1d", minimum_units=20, {GUARDS}))'
)


def told(workspace: Workspace, kind: EventType) -> list[str]:
    with workspace.database.read() as tx:
        return [entry.reason for entry in tx.ledger.entries() if entry.type == kind]


def test_a_shadow_that_answers_as_well_goes_on_by_itself(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    live(workspace, 31)
    assert told(workspace, EventType.ROLLOUT_CERTIFIED) == []
    live(workspace, 32)
    rollout = rollout_of(workspace)
    assert rollout.certificate is not None
    assert rollout.step == 1
    [reason] = told(workspace, EventType.ROLLOUT_CERTIFIED)
    assert "no harm is shown on 600 units" in reason
    with workspace.database.read() as tx:
        kept = version_certificate(workspace, tx, ModelRef("tiny", 2))
    assert kept is not None
    assert (kept.verdict, kept.rows, kept.overall.units) == (Verdict.CERTIFIED, 600, 600)
    assert {each.name for each in kept.slices} >= {"kind=a", "kind=b", "kind=c"}
    assert kept.overall.losses[0].labelled == 600
    assert rollout_report(workspace, "tiny").certificate == kept.to_dict()
    assert version_row(workspace, ModelRef("tiny", 2)).certificate == rollout.certificate
    assert version_row(workspace, ModelRef("tiny", 1)).certificate is None


def test_a_worse_shadow_is_rolled_back_and_nobody_was_answered_by_it(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    live(workspace, 31, worse_version=2)
    live(workspace, 32, worse_version=2)
    assert rollout_of(workspace).phase is Phase.ROLLED_BACK
    assert "log_loss is higher" in told(workspace, EventType.ROLLOUT_ROLLED_BACK)[0]
    assert told(workspace, EventType.ROLLOUT_NOT_CERTIFIED)[0].startswith(
        "the shadow has lasted for its bake; refused"
    )


def test_a_shadow_that_fails_is_rolled_back(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    live(workspace, 31, failing_version=2)
    live(workspace, 32, failing_version=2)
    assert rollout_of(workspace).phase is Phase.ROLLED_BACK
    assert "it failed for 600 units" in told(workspace, EventType.ROLLOUT_ROLLED_BACK)[0]


def test_without_labels_it_waits_and_tells_once(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    for day in (31, 32, 33):
        live(workspace, day, labelled=False)
    rollout = rollout_of(workspace)
    assert (rollout.phase, rollout.step, rollout.certificate) == (Phase.RUNNING, 0, None)
    [reason] = told(workspace, EventType.ROLLOUT_NOT_CERTIFIED)
    assert "0 units have a log_loss, of 100 needed" in reason


def test_units_outside_of_the_shadows_share_are_no_pairs_and_no_failures(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW.replace("share=1.0", "share=0.5"))
    live(workspace, 31)
    found = certify_shadow(workspace, "tiny", actor="ada", reason="early")
    assert 100 < found.rows < 200
    assert found.overall.failed == 0


def test_a_person_may_ask_early_and_is_told_in_the_ledger(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    found = certify_shadow(workspace, "tiny", actor="ada", reason="curious")
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    [reason] = told(workspace, EventType.ROLLOUT_NOT_CERTIFIED)
    assert reason.startswith("curious; insufficient data: 0 units were answered by both, of 50 needed")
    live(workspace, 31)
    assert certify_shadow(workspace, "tiny", actor="ada", reason="again").verdict is Verdict.CERTIFIED
    # Its bake is not over, so it stays in the shadow.
    turn(workspace)
    assert rollout_of(workspace).step == 0


def test_a_shadow_without_certificate_cannot_be_promoted_by_hand(workspace: Workspace) -> None:
    begin_rollout(workspace, SHADOW)
    with pytest.raises(NotPromotable, match="certify"):
        promote(workspace, "tiny", actor="ada", reason="in a hurry")
    assert rollout_of(workspace).phase is Phase.RUNNING


def test_what_has_no_shadow_cannot_be_certified(workspace: Workspace) -> None:
    with pytest.raises(NoRollout):
        certify_shadow(workspace, "tiny", actor="ada", reason="none")
    begin_rollout(workspace, 'ms.Canary(steps=(0.5, 1.0), bake="1d")')
    with pytest.raises(NoShadow, match="split"):
        certify_shadow(workspace, "tiny", actor="ada", reason="none")
