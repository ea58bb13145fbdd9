"""What routes tell: an event of an alarm, and the message that groups those of one product."""

from __future__ import annotations

__all__ = ["Alert", "Message", "NotDelivered"]

from datetime import datetime

import msgspec

from mainspring.errors import MainspringError
from mainspring.events import EventType


class NotDelivered(MainspringError):
    """A message that a route did not take."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An event of an alarm.

    Attributes
    ----------
    event_id : str
        The ledger's, the same at every delivery.
    type : str
        `alarm.raised`, `alarm.confirmed`, `alarm.acknowledged` or `alarm.over`; `alert.test` for a test.
    at : datetime
        When it happened.
    actor, reason : str
        Who or what did it, and why.
    product, version, alarm_id, monitor, state : str, int, str, str, str
        Of which alarm, and how it stands now.
    advice : str
        What to do next.
    url : str
        The alarm's page.
    """

    event_id: str
    type: str
    at: datetime
    actor: str
    reason: str
    product: str
    version: int
    alarm_id: str
    monitor: str
    state: str
    advice: str
    url: str

    @property
    def headline(self) -> str:
        """What happened, in a line."""
        of = f"{self.monitor.replace('_', ' ')} of {self.product}@{self.version}"
        match self.type:
            case EventType.ALARM_RAISED:
                return f"{self.state.capitalize()}: {of}"
            case EventType.ALARM_CONFIRMED:
                return f"Now confirmed: {of}"
            case EventType.ALARM_ACKNOWLEDGED:
                return f"Acknowledged by {self.actor}: {of}"
            case EventType.ALARM_OVER:
                return f"Over: {of}"
            case _:
                return f"Test: {of}"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of one product, oldest first, with the pictures of their alarms as SVG documents by alarm id."""

    alerts: tuple[Alert, ...]
    pictures: dict[str, str] = {}

    @property
    def title(self) -> str:
        """What the message is about, in a line."""
        first, more = self.alerts[0].headline, len(self.alerts) - 1
        return f"{first}, and {more} more" if more else first

    @property
    def text(self) -> str:
        """The message for people, as plain text."""
        parts = (f"{each.headline}\n{each.reason}\n\n{each.advice}\n{each.url}\n" for each in self.alerts)
        return "\n".join(parts)
