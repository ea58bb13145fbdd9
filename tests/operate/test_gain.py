"""Did it help? What a promotion was worth is measured by later labels, on rows that both versions are asked for."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.operate.tiny import PRODUCT, ask
from tests.products.tiny.orders import FIRST, orders

from mainspring.events import EventType
from mainspring.operate.controller import turn
from mainspring.operate.declare import declare
from mainspring.operate.gain import Finding, Gain, gains, unhelpful
from mainspring.operate.request import request_training
from mainspring.operate.status import explain_cycle, product_status
from mainspring.ref import ModelRef
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
TRAINED = 30
LAX = (
    (PRODUCT / "product.py")
    .read_text()
    .replace('        ms.NotWorseThan("champion", "log_loss", margin=0.02),\n', "")
    .replace('ms.AtLeast("roc_auc", 0.6)', 'ms.AtLeast("roc_auc", 0.1)')
    .replace('ms.Canary(steps=(0.2, 0.5, 1.0), bake="1d", minimum_units=20)', "ms.AllAtOnce()")
)


def promote(workspace: Workspace, rounds: int) -> None:
    """Have a version of so many trees made, and promoted at once."""
    asked = {"train.rounds": rounds}
    request_training(workspace, "tiny", request_id=f"{rounds}", actor="ana", reason="to see", params=asked)
    turn(workspace)


def days(workspace: Workspace, first: int, last: int, *, labelled: bool = True) -> None:
    """Let days of traffic come, each with a turn of the loop."""
    for number in range(first, last):
        workspace.advance(FIRST + (TRAINED + number) * DAY + timedelta(hours=13))
        rows = orders(FIRST + (TRAINED + number) * DAY, days=1)
        ask(workspace, rows, labelled=labelled)
        turn(workspace)


def found(workspace: Workspace) -> tuple[Gain, ...]:
    with workspace.database.read() as tx:
        return gains(tx, "tiny")


@pytest.fixture
def lax(workspace: Workspace) -> Workspace:
    """A workspace whose product lets every version pass, retrains when asked, and promotes at once."""
    start, end = LAX.index("    retrain=["), LAX.index('    holdout="5d"')
    text = LAX[:start] + "    retrain=[ms.OnDemand()],\n" + LAX[end:]
    (workspace.settings.root / "product.py").write_text(text)
    declare(workspace, actor="test")
    return workspace


def test_harm_and_help_are_found_on_the_same_rows(lax: Workspace) -> None:
    promote(lax, 1)
    days(lax, 1, 12)
    (harmful,) = found(lax)
    assert (harmful.version, harmful.before, harmful.finding) == (2, 1, Finding.HARMED)
    assert harmful.high is not None
    assert harmful.high < 0
    promote(lax, 30)
    days(lax, 13, 24)
    last, helpful = found(lax)
    assert (helpful.version, helpful.before, helpful.finding) == (3, 2, Finding.HELPED)
    assert helpful.low is not None
    assert helpful.low > 0
    # A week after its successor has taken over, what the first was worth is measured for the last time.
    assert (last.finding, last.final, last.until) == (Finding.HARMED, True, helpful.since)
    assert (last.look, helpful.look, helpful.final) == (2, 1, False)

    # It is told where people look, and recorded once for each look.
    status = product_status(lax, "tiny")
    assert status.gain == f"cycle 3: {helpful.reason}"
    assert status.unhelpful == []
    _, events = explain_cycle(lax, "tiny", 3)
    (event,) = [each for each in events if each.type == EventType.CYCLE_MEASURED]
    assert (event.reason, event.data["finding"]) == (helpful.reason, "helped")
    with lax.database.read() as tx:
        looks = [
            json.loads(each.data) for each in tx.ledger.entries() if each.type == EventType.CYCLE_MEASURED
        ]
    assert [(each["version"], each["final"]) for each in looks] == [(2, False), (2, True), (3, False)]


def test_the_same_model_again_is_not_said_to_have_helped(lax: Workspace) -> None:
    promote(lax, 20)
    days(lax, 1, 10)
    (same,) = found(lax)
    assert (same.finding, same.estimate) == (Finding.NOT_SHOWN, 0.0)
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    assert "not shown to have helped" in same.reason


def test_without_labels_nothing_is_said_and_it_is_asked_again_later(lax: Workspace) -> None:
    promote(lax, 1)
    days(lax, 1, 9, labelled=False)
    (unknown,) = found(lax)
    assert (unknown.finding, unknown.units, unknown.estimate) == (Finding.NO_LABELS, 0, None)
    days(lax, 9, 17)
    (known,) = found(lax)
    assert known.estimate is not None


def test_a_version_before_that_is_lost_is_a_finding_and_not_the_end_of_the_loop(lax: Workspace) -> None:
    with lax.database.read() as tx:
        artifact = lax.blobs.path(tx.registry.get(ModelRef("tiny", 1)).artifact)
    promote(lax, 1)
    days(lax, 1, 3)
    artifact.chmod(0o600)
    artifact.write_bytes(b"damaged")
    days(lax, 3, 9)
    (lost,) = found(lax)
    assert (lost.finding, lost.estimate) == (Finding.COULD_NOT_MEASURE, None)
    assert "tiny@1 cannot be asked again" in lost.reason


def test_a_trigger_of_which_no_promotion_helped_is_named() -> None:
    def gain(trigger: str, finding: Finding) -> Gain:
        figure = None if finding in (Finding.NO_LABELS, Finding.COULD_NOT_MEASURE) else 0.0
        return Gain(
            cycle=1, trigger=trigger, version=2, before=1, look=1, metric="log_loss", since=FIRST, until=FIRST + DAY,
            units=9, estimate=figure, low=figure, high=figure, finding=finding, reason="so", final=True,
        )  # fmt: skip

    told = unhelpful(
        [
            gain("on_schedule", Finding.NOT_SHOWN),
            gain("on_schedule", Finding.HARMED),
            gain("on_schedule", Finding.NO_LABELS),
            gain("on_new_data", Finding.NOT_SHOWN),
            gain("on_new_data", Finding.HELPED),
            gain("on_drift", Finding.NOT_SHOWN),
            gain("on_drift", Finding.COULD_NOT_MEASURE),
        ]
    )
    assert told == ("on_schedule: none of 2 promotions is shown to have helped",)
    apart = [gain("on_schedule", Finding.NOT_SHOWN), gain("on_drift", Finding.HARMED)]
    assert unhelpful(apart) == ("the policy as a whole: none of 2 promotions is shown to have helped",)
    assert unhelpful(apart[:1]) == ()
