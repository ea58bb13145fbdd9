"""Triggers and quiet hours at fault: each says what and why, and all are told at once."""

from __future__ import annotations

import pytest

import mainspring as ms
from mainspring.errors import Invalid
from mainspring.loop import quiet_faults, trigger_faults
from mainspring.triggers import Trigger

SOUND: tuple[Trigger, ...] = (
    ms.OnDemand(),
    ms.OnSchedule("0 3 1 * *", tz="Europe/Berlin", start_within="6h", cool_down="2d"),
    ms.OnNewData(rows=10, days=1, fresh="6h", dataset="weather"),
    ms.AllOf((ms.AnyOf((ms.OnDrift(), ms.OnDegradation())), ms.OnNewData()), cool_down="1d"),
    ms.AnyOf((ms.OnDrift(cool_down="1d"), ms.AllOf((ms.OnNewData(),), cool_down="1d"))),
)
FAULTY: list[tuple[Trigger, str]] = [
    (ms.OnSchedule("monthly"), "no cron expression"),
    (ms.OnSchedule("0 0 31 2 *"), "no cron expression"),
    (ms.OnSchedule("* * */31 2 1L"), "never falls due"),
    (ms.OnSchedule("0 3 * * *", tz="Berlin"), "'Berlin' is no time zone"),
    (ms.OnSchedule("0 3 * * *", tz="/etc/passwd"), "no time zone"),
    (ms.OnSchedule("0 3 * * *", tz=""), "no time zone"),
    (ms.OnSchedule("0 3 * * *", tz=3), "no time zone"),  # type: ignore[arg-type]
    (ms.OnSchedule("0 3 * * *", start_within="soon"), "start_within: 'soon' is not a duration"),
    (ms.OnNewData(fresh="young"), "fresh: 'young' is not a duration"),
    (ms.OnNewData(dataset="whether"), "It reads: flights, weather"),
    (ms.OnDrift(cool_down="a week"), "cool_down: 'a week' is not a duration"),
    (ms.AnyOf((ms.OnDemand(),)), "waits for nothing. Declare it beside"),
    (ms.AllOf((ms.OnNewData(), ms.OnDemand())), "waits for nothing. Declare it beside"),
    (ms.AllOf((ms.OnDrift(cool_down="1d"),)), "Set that of the AllOf"),
    (ms.AllOf((ms.AnyOf((ms.OnDrift(cool_down="1d"),)),)), "Set that of the AllOf"),
]
QUIET: list[tuple[ms.QuietHours, str]] = [
    (ms.QuietHours("22", "25:00"), "'25:00' is no time of day"),
    (ms.QuietHours("22:00+01:00", "06:00"), "no time of day"),
    (ms.QuietHours("22:00", 6), "no time of day"),  # type: ignore[arg-type]
    (ms.QuietHours("22:00", "06:00", tz="Mars"), "no time zone"),
    (ms.QuietHours("22:00", "06:00", days=("monday",)), "knows no day 'monday'"),  # type: ignore[arg-type]
    (ms.QuietHours("22:00", "06:00", days=()), "is on no day"),
    (ms.QuietHours("00:00", "00:00"), "leave no moment of the week"),
]


def test_sound_triggers_and_quiet_hours_have_no_faults() -> None:
    assert not list(trigger_faults(SOUND, ["flights", "weather"]))
    assert not list(quiet_faults([ms.QuietHours("22:00", "06:00"), ms.QuietHours("05:00", "21:59")]))


@pytest.mark.parametrize(("trigger", "said"), FAULTY)
def test_a_trigger_at_fault_says_what_would_do(trigger: Trigger, said: str) -> None:
    (fault,) = trigger_faults([trigger], ["flights", "weather"])
    assert said in str(fault)


@pytest.mark.parametrize(("hours", "said"), QUIET)
def test_quiet_hours_at_fault_say_what_would_do(hours: ms.QuietHours, said: str) -> None:
    (fault,) = quiet_faults([hours])
    assert said in str(fault)


def test_hours_that_are_quiet_together_all_week_are_at_fault() -> None:
    halves = [ms.QuietHours("00:00", "12:00"), ms.QuietHours("12:00", "00:00", tz="Europe/Berlin")]
    assert not list(quiet_faults(halves))  # an hour lies between the zones
    (fault,) = quiet_faults([*halves, ms.QuietHours("22:00", "02:00")])
    assert "leave no moment" in str(fault)


def test_all_faults_are_told_at_once() -> None:
    faults = list(trigger_faults([trigger for trigger, _ in FAULTY], ["flights", "weather"]))
    assert len(faults) == len(FAULTY)
    both = ms.OnSchedule("monthly", tz="Berlin", start_within="soon", cool_down="later")
    assert len(list(trigger_faults([both], []))) == 4


def test_a_combination_of_nothing_is_refused_where_it_is_written() -> None:
    for make in (ms.AllOf, ms.AnyOf):
        for wrong in ((), ms.OnDrift()):
            with pytest.raises(Invalid) as refused:
                make(wrong)  # type: ignore[arg-type]
            assert f"ms.{make.__name__}((" in str(refused.value)
