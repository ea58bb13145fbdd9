"""What an alarm says of a change is within what the detector has seen, whatever the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainspring.monitoring import Alarm, AlarmState, Budget, Stream, WindowedBetting
from mainspring.monitoring.alarm import change_of

FIRST = date(2024, 1, 1)
BUDGET = Budget(checks=30, alarms=0.25)


def errors(name: str, days: list[tuple[int, int]]) -> Stream:
    return Stream(
        name=f"{name} more often",
        column=name,
        lower=(0.0, 1.0),
        upper=(0.0, 1.0),
        reference=(900, 100),
        checks=tuple(days),
        tolerance=0.01,
    )


def test_a_sharp_change_is_found_on_its_day_and_blamed_on_its_column() -> None:
    days = [FIRST + timedelta(days=n) for n in range(12)]
    steady = errors("steady", [(90, 10)] * 12)
    broken = errors("broken", [(90, 10)] * 9 + [(10, 90)] * 3)
    evidence = WindowedBetting().weigh([steady, broken], budget=BUDGET)
    found = change_of(evidence, [steady, broken], days, budget=BUDGET, unit="share of rows", scale=1.0)
    assert (found.since, found.earliest, found.latest) == (days[9], days[9], days[9])
    assert found.between is not None
    assert (found.between.level, found.between.last) == (0.9, days[9])
    assert "between 2024-01-" in found.told_since
    assert [blame.feature for blame in found.blame] == ["broken", "steady"]
    blame = found.blame[0]
    assert (blame.before, blame.after, blame.effect) == (0.1, 0.9, 0.8)
    assert found.log_e == evidence.log_e >= found.needed


counts = st.tuples(st.integers(0, 200), st.integers(0, 200))


@settings(max_examples=60, deadline=None)
@given(st.lists(counts, min_size=1, max_size=40), st.floats(0.5, 4.0))
def test_the_change_lies_between_its_bounds_and_means_on_their_scale(
    checks: list[tuple[int, int]], scale: float
) -> None:
    checks[-1] = (checks[-1][0] + 1, checks[-1][1])
    days = [FIRST + timedelta(days=2 * n) for n in range(len(checks))]
    stream = errors("error", checks)
    evidence = WindowedBetting().weigh([stream], budget=BUDGET)
    found = change_of(evidence, [stream], days, budget=BUDGET, unit="error", scale=scale)
    assert days[0] <= found.earliest <= found.since <= found.latest <= days[-1]
    assert {found.earliest, found.since, found.latest} <= set(days)
    assert found.between is not None
    assert days[0] <= found.between.first <= found.since <= found.between.last <= days[-1]
    (blame,) = found.blame
    assert blame.before == pytest.approx(0.1 * scale, abs=1e-6)
    assert 0 <= blame.after <= scale + 1e-6
    assert change_of(evidence, [stream], days, budget=BUDGET, unit="error", scale=scale) == found


def test_no_more_than_five_columns_are_blamed() -> None:
    streams = [errors(f"c{n}", [(10, 90)]) for n in range(7)]
    evidence = WindowedBetting().weigh(streams, budget=BUDGET)
    assert (
        len(change_of(evidence, streams, [FIRST], budget=BUDGET, unit="share of rows", scale=1.0).blame) == 5
    )


@pytest.mark.parametrize("about", ["drift", "quality", "staleness"])
@pytest.mark.parametrize("state", AlarmState)
def test_every_alarm_says_what_to_do_and_its_id_tells_it_from_others(about: str, state: AlarmState) -> None:
    def alarm(product: str, monitor: str, version: int, at: datetime) -> Alarm:
        return Alarm(
            product=product,
            monitor=monitor,
            about=about,
            at=at,
            version=version,
            state=state,
            evidence="",
        )

    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert alarm("p", "m", 1, noon).advice.endswith(".")
    others = [
        alarm("p", "m", 1, noon),
        alarm("q", "m", 1, noon),
        alarm("p", "n", 1, noon),
        alarm("p", "m", 2, noon),
        alarm("p", "m", 1, noon + timedelta(microseconds=1)),
    ]
    assert len({each.alarm_id for each in others}) == len(others)
