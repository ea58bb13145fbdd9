"""What is wrong with declared triggers and quiet hours, all of it at once."""

from __future__ import annotations

__all__ = ["quiet_faults", "trigger_faults"]

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSimError

from mainspring.clock import parse_duration
from mainspring.errors import Fault, Invalid
from mainspring.loop.schedule import next_due, quiet_until, zone
from mainspring.triggers import (
    WEEKDAYS,
    AllOf,
    AnyOf,
    OnDegradation,
    OnDemand,
    OnDrift,
    OnNewData,
    OnSchedule,
    QuietHours,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mainspring.triggers import Trigger

_A_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


def trigger_faults(triggers: Sequence[Trigger], datasets: Sequence[str]) -> Iterator[Fault]:
    """Say what is wrong with triggers, those in combinations included.

    Parameters
    ----------
    triggers : sequence of Trigger
        As declared.
    datasets : sequence of str
        What the product reads.
    """
    for trigger in triggers:
        yield from _faults(trigger, datasets, within=None)


def _faults(trigger: Trigger, datasets: Sequence[str], within: AnyOf | AllOf | None) -> Iterator[Fault]:
    where = f"trigger {trigger!r}"
    if within is not None and isinstance(trigger, OnDemand):
        what = f"stands within {type(within).__name__}, and a person's request waits for nothing."
        yield Fault(where, what, "Declare it beside.")
    if isinstance(trigger, OnSchedule | OnNewData | OnDegradation | OnDrift | AllOf):
        if isinstance(within, AllOf) and trigger.cool_down is not None:
            yield Fault(where, "has a cool-down within AllOf.", "Set that of the AllOf.")
        yield from _duration_faults(where, "cool_down", trigger.cool_down)
    match trigger:
        case OnSchedule(start_within=start_within):
            yield from _duration_faults(where, "start_within", start_within)
            yield from _schedule_faults(where, trigger)
        case OnNewData(fresh=fresh, dataset=dataset):
            yield from _duration_faults(where, "fresh", fresh)
            if dataset is not None and dataset not in datasets:
                mend = f"It reads: {', '.join(sorted(set(datasets)))}."
                yield Fault(where, f"waits for dataset {dataset!r}, which the product does not read.", mend)
        case AnyOf(triggers=parts) | AllOf(triggers=parts):
            # Only what stands in an AllOf is a part of it, also by way of an AnyOf.
            combined = within if isinstance(within, AllOf) else trigger
            for part in parts:
                yield from _faults(part, datasets, within=combined)


def _schedule_faults(where: str, schedule: OnSchedule) -> Iterator[Fault]:
    yield from _zone_faults(where, schedule.tz)
    try:
        if next_due(OnSchedule(schedule.cron), _A_MOMENT) is None:
            yield Fault(where, f"{schedule.cron!r} never falls due.")
    except CronSimError as error:
        yield Fault(where, f"{schedule.cron!r} is no cron expression: {error}.")


def quiet_faults(hours: Sequence[QuietHours]) -> Iterator[Fault]:
    """Say what is wrong with quiet hours, each by itself and all together."""
    faults = [fault for each in hours for fault in _quiet_faults(each)]
    yield from faults
    if not faults and (until := quiet_until(hours, _A_MOMENT)) and until - _A_MOMENT > timedelta(days=8):
        yield Fault("quiet_hours", "leave no moment of the week in which a trigger could start a cycle.")


def _quiet_faults(hours: QuietHours) -> Iterator[Fault]:
    where = repr(hours)
    for name in ("start", "end"):
        text = getattr(hours, name)
        try:
            plain = time.fromisoformat(text).tzinfo is None
        except (TypeError, ValueError):
            plain = False
        if not plain:
            yield Fault(where, f"{text!r} is no time of day.", "Write it as '22:00'.")
    unknown = [day for day in hours.days if day not in WEEKDAYS]
    if unknown or not hours.days:
        what = f"knows no day {unknown[0]!r}." if unknown else "is on no day."
        yield Fault(where, what, f"Use some of {', '.join(WEEKDAYS)}.")
    yield from _zone_faults(where, hours.tz)


def _zone_faults(where: str, tz: str) -> Iterator[Fault]:
    try:
        zone(tz)
    except (
        TypeError,
        ValueError,
        OSError,
        LookupError,
    ):  # what zoneinfo raises of names, by what is wrong with them
        mend = "Use an IANA name such as 'Europe/Berlin'; if it is one, install the package tzdata."
        yield Fault(where, f"{tz!r} is no time zone known here.", mend)


def _duration_faults(where: str, name: str, text: str | None) -> Iterator[Fault]:
    try:
        if text is not None:
            parse_duration(str(text))
    except Invalid as error:
        yield Fault(where, f"{name}: {error}")
