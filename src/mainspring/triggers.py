"""What starts a cycle of a product, and what holds it back: a part of a product file."""

from __future__ import annotations

__all__ = [
    "WEEKDAYS",
    "AllOf",
    "AnyOf",
    "CycleBudget",
    "OnDegradation",
    "OnDemand",
    "OnDrift",
    "OnNewData",
    "OnSchedule",
    "QuietHours",
    "Trigger",
]

import math
from typing import Literal, TypeAlias, get_args

import msgspec

from mainspring.clock import parse_duration
from mainspring.declared import Value, need


class _AsWritten(Value, frozen=True):
    """A declared value that prints as one writes it, without what is left at its default."""

    def __repr__(self) -> str:
        given = [(each, getattr(self, each.name)) for each in msgspec.structs.fields(self)]
        told = [
            repr(value) if each.required else f"{each.name}={value!r}"
            for each, value in given
            if value != each.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"


class OnDemand(_AsWritten, frozen=True):
    """Start a cycle when a person asks, whatever holds the other triggers back."""


class OnSchedule(_AsWritten, frozen=True):
    """Start a cycle at the moments of a cron expression.

    Moments that have passed since the last cycle started are one reason to train, named after the last of them: while
    nothing ran, or while another cycle was open, a schedule does not pile up.

    Attributes
    ----------
    cron : str
        Five fields; of a sixth the first is seconds.
    tz : str
        The time zone of the expression, by its IANA name. Where clocks change, a fixed time of day is kept as Debian's
        cron keeps it: in the hour that is left out it falls due as soon as that is over, in the hour that comes twice
        at its first time. What runs every hour or more often goes by the time that has passed.
    start_within : str, optional
        How late a cycle may still start, such as `6h`. After that the moment is missed: it is recorded as such, and the
        schedule waits for the next. By default a moment is made up for, however late.
    cool_down : str, optional
        In place of the product's, for this trigger.
    """

    cron: str
    tz: str = "UTC"
    start_within: str | None = None
    cool_down: str | None = None


class OnNewData(_AsWritten, frozen=True):
    """Start a cycle when enough has been published since the data of the last cycle; all that is asked must hold.

    Attributes
    ----------
    rows : int
        How many rows must be new.
    days : int
        By how many days of event time the newest row must have moved on: partitions, where data comes by the day.
    fresh : str, optional
        How old the newest row may be by its event time, such as `6h`.
    dataset : str, optional
        Which dataset, of those that the product reads; by default its own.
    cool_down : str, optional
        In place of the product's, for this trigger.
    grown : float
        By which share of the rows that the last cycle read there must be more, such as 0.2. So cycles come often while
        there is little data, and seldom when there is much.
    """

    rows: int = 1
    days: int = 0
    fresh: str | None = None
    dataset: str | None = None
    cool_down: str | None = None
    grown: float = 0.0

    def __post_init__(self) -> None:
        need(self.rows >= 1, "The rows of OnNewData", self.rows, "with none it would always fire")
        need(self.days >= 0, "The days of OnNewData", self.days, "event time is counted forward")
        need(0 <= self.grown < math.inf, "The growth of OnNewData", self.grown, "it is a share, such as 0.2")


class OnDegradation(_AsWritten, frozen=True):
    """Start a cycle when the monitor of quality speaks; `cool_down` stands in place of the product's."""

    cool_down: str | None = None


class OnDrift(_AsWritten, frozen=True):
    """Start a cycle when a monitor of drift speaks and labels confirm harm; with `alone`, on drift itself.

    `ConceptDrift` speaks of labels, so its alarms need nobody to confirm them.
    `cool_down` stands in place of the product's.
    """

    alone: bool = False
    cool_down: str | None = None


class AnyOf(_AsWritten, frozen=True):
    """Start a cycle when any of these triggers would, as those in `retrain` do: this is for use within `AllOf`."""

    triggers: tuple[Trigger, ...]

    def __post_init__(self) -> None:
        _need_triggers("AnyOf", self.triggers)


class AllOf(_AsWritten, frozen=True):
    """Start a cycle when all of these triggers would, such as on a schedule, but only with new data.

    The cycle's kind of trigger is `all_of`, with the kinds of those that spoke as its parts; each gives its evidence.

    Attributes
    ----------
    triggers : tuple of Trigger
        At least one. A person's request waits for nothing, so `OnDemand` stands outside.
    cool_down : str, optional
        In place of the product's, for all of them together.
    """

    triggers: tuple[Trigger, ...]
    cool_down: str | None = None

    def __post_init__(self) -> None:
        _need_triggers("AllOf", self.triggers)


def _need_triggers(of: str, triggers: object) -> None:
    rule = f"it takes a tuple of triggers: ms.{of}((ms.OnSchedule(…), ms.OnNewData()))"
    need(isinstance(triggers, tuple | list) and len(triggers) > 0, f"What {of} combines", triggers, rule)


Trigger: TypeAlias = OnDemand | OnSchedule | OnNewData | OnDegradation | OnDrift | AnyOf | AllOf

Weekday: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)


class QuietHours(_AsWritten, frozen=True):
    """Hours in which no trigger but a person's starts a cycle. One that is open goes on.

    Where clocks change, the hours are as long as either reading of `start` and `end` makes them.

    Attributes
    ----------
    start, end : str
        Times of day, such as `22:00`; an end that is not later is one of the next day.
    tz : str
        The time zone of both, by its IANA name.
    days : tuple of str
        The days on which they start, of `mon` to `sun`; by default all.
    """

    start: str
    end: str
    tz: str = "UTC"
    days: tuple[Weekday, ...] = WEEKDAYS


class CycleBudget(Value, frozen=True):
    """How many cycles a product may spend: no trigger but a person's starts one more in any span of `per`.

    It counts every cycle that trains, whoever asked for it and however it ended. Cycles are counted and not seconds,
    because measured ones would differ between two replays.
    """

    at_most: int
    per: str = "30d"

    def __post_init__(self) -> None:
        need(
            self.at_most >= 1,
            "The number of cycles",
            self.at_most,
            "with none no trigger would ever start one",
        )
        parse_duration(self.per)
