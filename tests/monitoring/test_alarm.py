from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.monitoring import Alarm, Evidence, InvalidAlarm, MonitorId, Outcome

noon = datetime(2013, 6, 7, 12, tzinfo=UTC)
evidence = Evidence(
    log_e=12.5,
    log_threshold=7.1,
    window=3,
    streams=(("wind > 20 more often", 13.0), ("wind missing more often", -2.0)),
    outcome=Outcome.ALARM,
)


def alarm(at: datetime, since: datetime) -> Alarm:
    return Alarm(
        product="late-arrivals", monitor=MonitorId("input_drift"), at=at, since=since, evidence=evidence
    )


def test_an_alarm_says_who_speaks_since_when_and_why() -> None:
    text = alarm(noon, noon - timedelta(days=3)).summary
    for part in ("input_drift", "late-arrivals", "2013-06-04", "wind > 20 more often", "12.5", "7.1"):
        assert part in text


def test_an_alarm_in_local_time_or_from_the_future_is_refused() -> None:
    with pytest.raises(InvalidAlarm, match="UTC"):
        alarm(noon.astimezone(timezone(timedelta(hours=2))), noon)
    with pytest.raises(InvalidAlarm, match="UTC"):
        alarm(noon.replace(tzinfo=None), noon)
    with pytest.raises(InvalidAlarm, match="starts before"):
        alarm(noon, noon + timedelta(hours=1))


@given(st.from_regex(r"[a-z_]+", fullmatch=True), st.text())
def test_a_monitor_id_reads_back_as_it_was_printed(kind: str, subject: str) -> None:
    monitor = MonitorId(kind, subject)
    assert MonitorId.parse(str(monitor)) == monitor


def test_a_monitor_without_a_kind_is_refused() -> None:
    with pytest.raises(InvalidAlarm):
        MonitorId.parse(":log_loss")
