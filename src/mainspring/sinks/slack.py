"""Alerts as the text of an incoming webhook, which Slack and services like it take."""

from __future__ import annotations

__all__ = ["send_slack"]

import msgspec

from mainspring.sinks.alert import Message
from mainspring.sinks.post import post
from mainspring.sinks.route import Slack

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def send_slack(route: Slack, message: Message) -> None:
    """Send one text; raises `NotDelivered`. Names that came with data can neither mention people nor make links."""
    parts = (
        f"*{each.headline.translate(_ESCAPED)}*\n{each.reason.translate(_ESCAPED)}\n"
        f"{each.advice.translate(_ESCAPED)}\n<{each.url}|Show it with its plot>"
        for each in message.alerts
    )
    content = msgspec.json.encode({"text": "\n\n".join(parts)})
    post(route.url, content, {"Content-Type": "application/json"}, timeout_s=route.timeout_s)
