"""Alerts as events of PagerDuty's Events API v2: one incident for each alarm."""

from __future__ import annotations

__all__ = ["send_pagerduty"]

import msgspec

from mainspring.events import EventType
from mainspring.monitoring import AlarmState
from mainspring.sinks.alert import Alert, Message
from mainspring.sinks.post import post
from mainspring.sinks.route import PagerDuty

_SUMMARY = 1024


def send_pagerduty(route: PagerDuty, message: Message) -> None:
    """Send each alert; raises `NotDelivered`. Sent again, it falls to the incident that it has made."""
    for alert in message.alerts:
        content = msgspec.json.encode(_event(route.key, alert))
        post(route.url, content, {"Content-Type": "application/json"}, timeout_s=route.timeout_s)


def _event(key: str, alert: Alert) -> dict[str, object]:
    actions = {EventType.ALARM_ACKNOWLEDGED.value: "acknowledge", EventType.ALARM_OVER.value: "resolve"}
    severity = {AlarmState.CONFIRMED.value: "error", AlarmState.SUSPECTED.value: "warning"}
    return {
        "routing_key": key,
        "event_action": actions.get(alert.type, "trigger"),
        "dedup_key": f"mainspring-{alert.alarm_id}",
        "client": "mainspring",
        "client_url": alert.url,
        "links": [{"href": alert.url, "text": "The alarm with its plot"}],
        "payload": {
            "summary": f"{alert.headline}: {alert.reason}"[:_SUMMARY],
            "source": alert.product,
            "component": alert.monitor,
            "severity": severity.get(alert.state, "info"),
            "timestamp": alert.at,
            "custom_details": {"what to do": alert.advice},
        },
    }
