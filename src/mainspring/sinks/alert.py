"""What routes tell: an event of an alarm or of a version, and the message that groups those of one product."""

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
    """An event of an alarm, or of a version that waits for people.

    Attributes
    ----------
    event_id : str
        The ledger's, the same at every delivery.
    type : str
        `alarm.raised`, `alarm.confirmed`, `alarm.acknowledged` or `alarm.over`; `approval.asked` and
        `rollout.approval.asked`; `model.version.damaged` and `model.version.restored`; `alert.test` for a test.
    at : datetime
        When it happened.
    actor, reason : str
        Who or what did it, and why.
    product, version, alarm_id, monitor, state : str, int, str, str, str
        Of which alarm, and how it stands now; of a version alone, the last three are empty.
    advice : str
        What to do next.
    url : str
        The page of the alarm, or of the product.
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
    def key(self) -> str:
        """What is one matter to a receiver: the alarm, or the version."""
        return self.alarm_id or f"{self.product}@{self.version}"

    @property
    def headline(self) -> str:
        """What happened, in a line."""
        version = f"{self.product}@{self.version}"
        of = f"{self.monitor.replace('_', ' ')} of {version}"
        match self.type:
            case EventType.APPROVAL_ASKED | EventType.ROLLOUT_APPROVAL_ASKED:
                return f"Waits for approval: {version}"
            case EventType.MODEL_VERSION_DAMAGED:
                return f"No longer what was registered: {version}"
            case EventType.MODEL_VERSION_RESTORED:
                return f"Again what was registered: {version}"
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
