"""Webhooks in SQL, and what they are still to be told."""

# ruff: noqa: D102 - the methods are those of mainspring.registry.webhook

from __future__ import annotations

__all__ = ["SqlWebhookStore"]

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import Row, delete, func, select, true, update

from mainspring.clock import time_text
from mainspring.digest import canonical_json
from mainspring.registry.webhook import Delivery, News, Webhook, WebhookNotFound
from mainspring.search import Found
from mainspring.stores.sql.insert import insert
from mainspring.stores.sql.registry_schema import webhook_deliveries, webhooks
from mainspring.stores.sql.search import Searched, read_page

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_WEBHOOKS = Searched(table=webhooks, owner=webhooks.c.position, attributes={}, entries={}, found_by={})


@dataclass(frozen=True, slots=True)
class SqlWebhookStore:
    """`mainspring.registry.webhook.WebhookStore` in SQL."""

    connection: Connection

    def put(self, webhook: Webhook) -> None:
        row = {
            "webhook_id": webhook.webhook_id,
            "name": webhook.name,
            "url": webhook.url,
            "events": canonical_json(webhook.events),
            "description": webhook.description,
            "secret": webhook.secret,
            "active": webhook.active,
            "created_ms": webhook.created_ms,
            "updated_ms": webhook.updated_ms,
        }
        statement = insert(self.connection, webhooks)
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["webhook_id"],
                set_={name: statement.excluded[name] for name in row if name != "webhook_id"},
            ),
            row,
        )

    def get(self, webhook_id: str) -> Webhook:
        return _webhook(self._row(webhook_id))

    def remove(self, webhook_id: str) -> None:
        position = self._row(webhook_id).position
        self.connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook == position))
        self.connection.execute(delete(webhooks).where(webhooks.c.position == position))

    def page(self, *, limit: int, token: str) -> Found[Webhook]:
        order = [(webhooks.c.position, False)]
        page = read_page(self.connection, _WEBHOOKS, true(), (), order, limit=limit, token=token)
        return Found(tuple(map(_webhook, page.rows)), page.token)

    def queue(self, news: News) -> None:
        active = self.connection.execute(
            select(webhooks).where(webhooks.c.active.is_(True)).order_by(webhooks.c.position)
        )
        rows = [
            {
                "delivery_id": str(uuid4()),
                "webhook": row.position,
                "event": news.event,
                "body": news.body,
                "attempts": 0,
                "retry_at": "",
                "error": "",
            }
            for row in active
            if news.event in json.loads(row.events)
        ]
        if rows:
            self.connection.execute(insert(self.connection, webhook_deliveries), rows)

    def waiting(self, now: datetime) -> tuple[Delivery, ...]:
        table = webhook_deliveries.c
        first = select(func.min(table.position)).group_by(table.webhook)
        rows = self.connection.execute(
            select(webhook_deliveries, webhooks.c.webhook_id)
            .join(webhooks, webhooks.c.position == table.webhook)
            .where(table.position.in_(first), webhooks.c.active.is_(True), table.retry_at <= time_text(now))
            .order_by(table.position)
        )
        return tuple(
            Delivery(
                delivery_id=row.delivery_id,
                webhook_id=row.webhook_id,
                event=row.event,
                body=row.body,
                attempts=row.attempts,
                retry_at=row.retry_at,
                error=row.error,
            )
            for row in rows
        )

    def put_failed(self, delivery_id: str, *, attempts: int, retry_at: datetime, error: str) -> None:
        self.connection.execute(
            update(webhook_deliveries)
            .where(webhook_deliveries.c.delivery_id == delivery_id)
            .values(attempts=attempts, retry_at=time_text(retry_at), error=error)
        )

    def done(self, delivery_id: str) -> None:
        self.connection.execute(
            delete(webhook_deliveries).where(webhook_deliveries.c.delivery_id == delivery_id)
        )

    def _row(self, webhook_id: str) -> Row[Any]:
        row = self.connection.execute(select(webhooks).where(webhooks.c.webhook_id == webhook_id)).first()
        if row is None:
            raise WebhookNotFound(webhook_id)
        return row


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        webhook_id=row.webhook_id,
        name=row.name,
        url=row.url,
        events=tuple(json.loads(row.events)),
        description=row.description,
        secret=row.secret,
        active=row.active,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
    )
