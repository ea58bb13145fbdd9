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
_NO_INCIDENT = (EventType.APPROVAL_ASKED.value, EventType.ROLLOUT_APPROVAL_ASKED.value)
_ACTIONS = {
    EventType.ALARM_ACKNOWLEDGED.value: "acknowledge",
    EventType.ALARM_OVER.value: "resolve",
    EventType.MODEL_VERSION_RESTORED.value: "resolve",
}


def send_pagerduty(route: PagerDuty, message: Message) -> None:
    """Send each alert; raises `NotDelivered`. Sent again, it falls to the incident that it has made."""
    for alert in message.alerts:
        if alert.type in _NO_INCIDENT:
            continue
        content = msgspec.json.encode(_event(route.key, alert))
        post(route.url, content, {"Content-Type": "application/json"}, timeout_s=route.timeout_s)


def _event(key: str, alert: Alert) -> dict[str, object]:
    severity = {AlarmState.CONFIRMED.value: "error", AlarmState.SUSPECTED.value: "warning", "": "error"}
    return {
        "routing_key": key,
        "event_action": _ACTIONS.get(alert.type, "trigger"),
        "dedup_key": f"mainspring-{alert.key}",
        "client": "mainspring",
        "client_url": alert.url,
        "links": [
            {"href": alert.url, "text": "The alarm with its plot" if alert.alarm_id else "The product"}
        ],
        "payload": {
            "summary": f"{alert.headline}: {alert.reason}"[:_SUMMARY],
            "source": alert.product,
            "component": alert.monitor or f"version {alert.version}",
            "severity": severity.get(alert.state, "info"),
            "timestamp": alert.at,
            "custom_details": {"what to do": alert.advice},
        },
    }
