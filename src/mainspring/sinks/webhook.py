"""Alerts as CloudEvents 1.0 in JSON, structured mode, one request each."""

from __future__ import annotations

__all__ = ["send_webhook"]

import base64
import hmac
import time

import msgspec

from mainspring.sinks.alert import Alert, Message
from mainspring.sinks.post import post
from mainspring.sinks.route import Webhook


def send_webhook(route: Webhook, message: Message) -> None:
    """Send each alert; raises `NotDelivered`.

    Signatures are those of Standard Webhooks 1.0: HMAC-SHA256 over id, time and body, with dots between them.
    """
    for alert in message.alerts:
        content = msgspec.json.encode(cloud_event(alert))
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        if route.secret:
            at = str(int(time.time()))
            signed = b".".join((alert.event_id.encode(), at.encode(), content))
            signature = base64.b64encode(hmac.digest(route.key(), signed, "sha256")).decode()
            headers |= {
                "webhook-id": alert.event_id,
                "webhook-timestamp": at,
                "webhook-signature": f"v1,{signature}",
            }
        post(route.url, content, headers, timeout_s=route.timeout_s)


def cloud_event(alert: Alert) -> dict[str, object]:
    """An alert as a CloudEvent; its id is the ledger's, so that a receiver tells what it has had."""
    return {
        "specversion": "1.0",
        "id": alert.event_id,
        "source": f"/products/{alert.product}",
        "type": f"mainspring.{alert.type}",
        "subject": f"{alert.product}@{alert.version}",
        "time": alert.at,
        "datacontenttype": "application/json",
        "data": alert,
    }
