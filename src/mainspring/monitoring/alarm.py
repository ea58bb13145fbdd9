"""The moment a monitor speaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from mainspring.errors import Invalid
from mainspring.monitoring.detector import Evidence

__all__ = ["Alarm", "InvalidAlarm", "MonitorId"]


class InvalidAlarm(Invalid):
    """An alarm, or the id of a monitor, that cannot be."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, order=True)
class MonitorId:
    """What a monitor watches, and of which part; printed as ``quality:log_loss`` or ``input_drift``.

    Examples
    --------
    >>> str(MonitorId("quality", "log_loss")), MonitorId.parse("input_drift")
    ('quality:log_loss', MonitorId(kind='input_drift', subject=''))
    """

    kind: str
    subject: str = ""

    def __post_init__(self) -> None:
        if not self.kind.isidentifier():
            raise InvalidAlarm(f"A monitor's kind is one word, such as 'quality', not {self.kind!r}.")

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` printed."""
        kind, _, subject = text.partition(":")
        return cls(kind, subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A monitor's evidence has reached its threshold.

    Parameters
    ----------
    product : str
        Name of the product.
    monitor : MonitorId
        The monitor that speaks.
    at : datetime
        Event time of the check, in UTC.
    since : datetime
        Start of the window that the evidence is from: where the change seems to have begun, in UTC.
    evidence : Evidence
        What it says.

    Raises
    ------
    InvalidAlarm
        A time is not in UTC, or the window starts after the check.
    """

    product: str
    monitor: MonitorId
    at: datetime
    since: datetime
    evidence: Evidence

    def __post_init__(self) -> None:
        if any(time.utcoffset() != timedelta(0) for time in (self.at, self.since)):
            raise InvalidAlarm(f"The times of an alarm are in UTC, not {self.at} and {self.since}.")
        if self.since > self.at:
            raise InvalidAlarm(f"An alarm's window starts before it ends, not at {self.since} for {self.at}.")

    @property
    def summary(self) -> str:
        """One sentence for people."""
        evidence = self.evidence
        most = f"; most of all {evidence.streams[0][0]}" if evidence.streams else ""
        return (
            f"{self.monitor} of {self.product}: changed since about {self.since:%Y-%m-%d %H:%M} UTC{most} "
            f"(evidence {evidence.log_e:.1f} nats, {evidence.log_threshold:.1f} needed)"
        )
