"""Which labels are asked for: a random share, more while a change is suspected, the same whoever asks."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.products.tiny.orders import FIRST

from mainspring.loop import Cycle, TriggerKind
from mainspring.monitoring import Alarm, AlarmState, is_audited
from mainspring.monitoring.store import KnownLabel, OpenPrediction
from mainspring.operate.audit import WantedLabel, wanted_labels
from mainspring.operate.status import UnknownProduct
from mainspring.workspace import Workspace

DAY = timedelta(days=1)
START = FIRST + 40 * DAY
ROWS = 2_000


def asked(workspace: Workspace, day: int, *, version: int = 1) -> None:
    """Keep predictions of a day without their labels."""
    predictions = [
        OpenPrediction(
            prediction_id=f"v{version}-{day}-{row}",
            product="tiny",
            version=version,
            at=START + day * DAY + timedelta(seconds=row),
            unit="u",
            score=0.5,
        )
        for row in range(ROWS)
    ]
    with workspace.database.write() as tx:
        tx.monitoring.add_open(predictions)


def alarm(workspace: Workspace, at: datetime, *, about: str = "drift", version: int = 1) -> None:
    with workspace.database.write() as tx:
        tx.monitoring.put_alarm(
            Alarm(
                product="tiny",
                monitor="m",
                about=about,
                at=at,
                version=version,
                state=AlarmState.SUSPECTED,
                evidence="it moved",
            )
        )


def wanted(workspace: Workspace, day: int = 2) -> list[WantedLabel]:
    workspace.advance(START + day * DAY + timedelta(hours=12))
    return wanted_labels(workspace, "tiny", limit=10_000)


def shares(found: list[WantedLabel]) -> dict[int, float]:
    """The share of each day that has a wanted label."""
    return {(each.at - START) // DAY: each.share for each in found}


def test_one_in_a_hundred_is_wanted_and_each_is_told_with_its_share(workspace: Workspace) -> None:
    asked(workspace, 0)
    found = wanted(workspace)
    assert [each.prediction_id for each in found] == [
        name for row in range(ROWS) if is_audited(name := f"v1-0-{row}", salt="tiny", share=0.01)
    ]
    assert shares(found) == {0: 0.01}
    assert wanted_labels(workspace, "tiny", limit=3) == found[:3]


def test_more_are_wanted_from_the_day_after_a_drift_alarm_about_their_version(workspace: Workspace) -> None:
    for day in (0, 1):
        asked(workspace, day)
        asked(workspace, day, version=2)
    before = wanted(workspace)
    alarm(workspace, START + timedelta(hours=1))
    after = wanted(workspace)
    of_first = [each for each in after if each.version == 1]
    assert shares(of_first) == {0: 0.01, 1: 0.1}
    assert shares([each for each in after if each.version == 2]) == {0: 0.01, 1: 0.01}
    assert {each.prediction_id for each in before} < {each.prediction_id for each in after}
    assert sum(each.share == 0.1 for each in after) == pytest.approx(200, abs=45)


def test_an_alarm_that_is_not_about_drift_asks_for_no_more(workspace: Workspace) -> None:
    asked(workspace, 1)
    alarm(workspace, START, about="staleness")
    assert shares(wanted(workspace)) == {1: 0.01}


def test_a_training_ends_the_suspicion_from_the_day_after(workspace: Workspace) -> None:
    alarm(workspace, START - timedelta(hours=1))
    with workspace.database.write() as tx:
        tx.loop.open(
            Cycle(
                cycle_id="c9",
                product="tiny",
                number=9,
                trigger=TriggerKind.ON_DEMAND,
                evidence="asked",
                actor="ada",
                data={"orders": 1},
                params={},
                opened_at=START + timedelta(hours=6),
            )
        )
    asked(workspace, 0)
    asked(workspace, 1)
    assert shares(wanted(workspace)) == {0: 0.1, 1: 0.01}


def test_what_has_a_label_or_is_older_than_a_week_is_not_wanted(workspace: Workspace) -> None:
    asked(workspace, 0)
    first, *others = wanted(workspace)
    with workspace.database.write() as tx:
        tx.monitoring.put_labels(
            [KnownLabel(prediction_id=first.prediction_id, value=True, known_at=START + DAY)]
        )
    assert wanted(workspace, 7) == others
    assert wanted(workspace, 8) == []


def test_a_product_that_is_not_declared_is_named(workspace: Workspace) -> None:
    with pytest.raises(UnknownProduct, match="There are: tiny"):
        wanted_labels(workspace, "nope")
