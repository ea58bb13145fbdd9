"""Sending a message on a route, whatever its kind."""

from __future__ import annotations

__all__ = ["send"]

import sys
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Invalid
from mainspring.sinks.alert import NotDelivered
from mainspring.sinks.route import Email, PagerDuty, Slack, Stdout, Webhook, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.sinks.alert import Message
    from mainspring.sinks.route import Route


def send(route: Route, message: Message, environment: Mapping[str, str]) -> str:
    """Send a message.

    Returns
    -------
    str
        What is to be known though it was delivered; mostly empty.

    Raises
    ------
    NotDelivered
        With the reason.
    """
    try:
        known = resolve(route, environment)
    except Invalid as error:
        raise NotDelivered(str(error)) from None
    match known:
        case Webhook():
            from mainspring.sinks.webhook import send_webhook

            send_webhook(known, message)
        case Slack():
            from mainspring.sinks.slack import send_slack

            send_slack(known, message)
        case PagerDuty():
            from mainspring.sinks.pagerduty import send_pagerduty

            send_pagerduty(known, message)
        case Email():
            from mainspring.sinks.mail import send_mail

            return send_mail(known, message)
        case Stdout():
            for alert in message.alerts:
                sys.stdout.write(f"{msgspec.json.encode(alert).decode()}\n")
            sys.stdout.flush()
    return ""
