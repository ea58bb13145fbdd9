"""Webhooks: who is told, and what is put on its way in the transaction that made it true."""

from __future__ import annotations

__all__ = ["change_webhook", "create_webhook", "delete_webhook", "news_of", "tell"]

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mainspring.events import Event, EventType
from mainspring.registry.webhook import News, Webhook, check_webhook

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mainspring.operate.asking import Asking
    from mainspring.stores.sql.database import Transaction


def create_webhook(tx: Transaction, webhook: Webhook, asking: Asking, *, unguarded: str) -> None:
    """Record a webhook.

    Parameters
    ----------
    unguarded : str
        The setting `webhook_hosts`.
    """
    check_webhook(webhook, unguarded=unguarded)
    tx.webhooks.put(webhook)
    _record(tx, EventType.WEBHOOK_CREATED, webhook, asking)


def change_webhook(tx: Transaction, webhook: Webhook, asking: Asking, *, unguarded: str) -> None:
    """Record what has changed of a webhook.

    Parameters
    ----------
    unguarded : str
        The setting `webhook_hosts`.
    """
    check_webhook(webhook, unguarded=unguarded)
    tx.webhooks.put(webhook)
    _record(tx, EventType.WEBHOOK_CHANGED, webhook, asking)


def delete_webhook(tx: Transaction, webhook_id: str, asking: Asking) -> None:
    """Delete a webhook; what it was still to be told is told no more."""
    webhook = tx.webhooks.get(webhook_id)
    tx.webhooks.remove(webhook_id)
    _record(tx, EventType.WEBHOOK_DELETED, webhook, asking)


def tell(tx: Transaction, event: str, data: Mapping[str, object], at: datetime) -> None:
    """Put news on their way to every webhook that asks for them."""
    tx.webhooks.queue(news_of(event, data, at))


def news_of(event: str, data: Mapping[str, object], at: datetime) -> News:
    """Write news as MLflow's servers do."""
    entity, _, action = event.partition(".")
    body = {"entity": entity, "action": action, "timestamp": at.isoformat(), "data": data}
    return News(event=event, body=json.dumps(body))


def _record(tx: Transaction, kind: EventType, webhook: Webhook, asking: Asking) -> None:
    # Not the whole address, which with many services is a secret.
    host = urlsplit(webhook.url).hostname
    data = {"name": webhook.name, "host": host, "events": list(webhook.events), "active": webhook.active}
    state = "" if webhook.active else ", and is told nothing"
    tx.ledger.append(
        Event(
            type=kind,
            subject=f"webhook/{webhook.webhook_id}",
            at=asking.at,
            actor=asking.actor,
            reason=f"{webhook.name} is for {', '.join(webhook.events)}{state}",
            data=data,
        )
    )
