"""MLflow's methods on webhooks; to test one is to send it an example at once."""

from __future__ import annotations

__all__ = ["webhook_methods", "webhook_test"]

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from mainspring.api.mlflow.artifacts import body_of
from mainspring.api.mlflow.experiments import page_size
from mainspring.api.mlflow.messages import Message
from mainspring.api.mlflow.model_messages import Asked
from mainspring.api.mlflow.wire import Method, encode, failure_of
from mainspring.errors import Invalid, MainspringError
from mainspring.operate.webhooks import change_webhook, create_webhook, delete_webhook, news_of
from mainspring.registry.webhook import EVENTS, Delivery, Webhook
from mainspring.sinks.guarded import NotSent
from mainspring.sinks.news import send_news

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace

_MOST = 1000
"""Webhooks of one page, at most."""


class Status(StrEnum):
    """Whether a webhook is told anything."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class EventMessage(Message, frozen=True, kw_only=True):
    """What a webhook is told of."""

    entity: str
    action: str

    @classmethod
    def of(cls, event: str) -> EventMessage:
        """Write an event."""
        entity, _, action = event.upper().partition(".")
        return cls(entity=entity, action=action)

    def read(self) -> str:
        """Read an event; whether there is such a one is seen later."""
        return f"{self.entity}.{self.action}".lower()


class WebhookMessage(Message, frozen=True, kw_only=True):
    """A webhook; its secret is told to nobody."""

    webhook_id: str
    name: str
    description: str = ""
    url: str
    events: tuple[EventMessage, ...] = ()
    status: Status
    creation_timestamp: int
    last_updated_timestamp: int

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookMessage:
        """Write a webhook."""
        return cls(
            webhook_id=webhook.webhook_id,
            name=webhook.name,
            description=webhook.description,
            url=webhook.url,
            events=tuple(map(EventMessage.of, webhook.events)),
            status=Status.ACTIVE if webhook.active else Status.DISABLED,
            creation_timestamp=webhook.created_ms,
            last_updated_timestamp=webhook.updated_ms,
        )


class CreateWebhook(Asked, frozen=True, kw_only=True):
    """A new webhook."""

    name: str
    url: str
    events: tuple[EventMessage, ...]
    description: str = ""
    secret: str = ""
    status: Status = Status.ACTIVE


class OneWebhook(Asked, frozen=True, kw_only=True):
    """A webhook by its id."""

    webhook_id: str


class ListWebhooks(Message, frozen=True, kw_only=True):
    """Which page of the webhooks."""

    max_results: int = 100
    page_token: str = ""


class UpdateWebhook(OneWebhook, frozen=True, kw_only=True):
    """What changes of a webhook: what is given."""

    name: str = ""
    url: str = ""
    events: tuple[EventMessage, ...] = ()
    description: str | None = None
    secret: str | None = None
    status: Status | None = None


class TestWebhook(Message, frozen=True, kw_only=True):
    """Which event to send an example of; the first that the webhook is told of, where none is named."""

    webhook_id: str
    event: EventMessage | None = None


class WebhookAnswer(Message, frozen=True, kw_only=True):
    """One webhook."""

    webhook: WebhookMessage


class WebhooksAnswer(Message, frozen=True, kw_only=True):
    """A page of webhooks."""

    webhooks: tuple[WebhookMessage, ...] = ()
    next_page_token: str = ""


class TestResult(Message, frozen=True, kw_only=True):
    """What came of a test."""

    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str = ""


class TestAnswer(Message, frozen=True, kw_only=True):
    """What came of a test."""

    result: TestResult


def webhook_methods(unguarded: str) -> tuple[Method, ...]:
    """Give the methods on webhooks.

    Parameters
    ----------
    unguarded : str
        The setting `webhook_hosts`.
    """

    def create(tx: Transaction, asked: CreateWebhook, now_ms: int) -> WebhookAnswer:
        webhook = Webhook(
            webhook_id=str(uuid4()),
            name=asked.name,
            url=asked.url,
            events=_events(asked.events),
            description=asked.description,
            secret=asked.secret,
            active=asked.status is Status.ACTIVE,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        create_webhook(tx, webhook, asked.asking(now_ms), unguarded=unguarded)
        return WebhookAnswer(webhook=WebhookMessage.of(webhook))

    def update(tx: Transaction, asked: UpdateWebhook, now_ms: int) -> WebhookAnswer:
        before = tx.webhooks.get(asked.webhook_id)
        webhook = replace(
            before,
            name=asked.name or before.name,
            url=asked.url or before.url,
            events=_events(asked.events) or before.events,
            description=before.description if asked.description is None else asked.description,
            secret=before.secret if asked.secret is None else asked.secret,
            active=before.active if asked.status is None else asked.status is Status.ACTIVE,
            updated_ms=now_ms,
        )
        change_webhook(tx, webhook, asked.asking(now_ms), unguarded=unguarded)
        return WebhookAnswer(webhook=WebhookMessage.of(webhook))

    return (
        Method("POST", "/webhooks", CreateWebhook, create),
        Method("GET", "/webhooks", ListWebhooks, _list, writes=False),
        Method("GET", "/webhooks/{webhook_id}", OneWebhook, _get, writes=False),
        Method("PATCH", "/webhooks/{webhook_id}", UpdateWebhook, update),
        Method("DELETE", "/webhooks/{webhook_id}", OneWebhook, _delete),
    )


def webhook_test(workspace: Workspace) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Give the answer to who has a webhook tested, which is asked beside the other methods: it waits for others."""

    def test(asked: TestWebhook) -> TestAnswer:
        with workspace.database.read() as tx:
            webhook = tx.webhooks.get(asked.webhook_id)
        event = asked.event.read() if asked.event else webhook.events[0]
        if event not in EVENTS:
            raise Invalid(f"There is no event {event[:100]!r}. There are {', '.join(EVENTS)}.")
        news = news_of(event, EVENTS[event], datetime.now(UTC))
        delivery = Delivery(
            delivery_id=str(uuid4()), webhook_id=webhook.webhook_id, event=event, body=news.body
        )
        try:
            answer = send_news(webhook, delivery, unguarded=workspace.settings.webhook_hosts)
        except NotSent as error:
            return TestAnswer(result=TestResult(success=False, error_message=str(error)))
        return TestAnswer(
            result=TestResult(
                success=200 <= answer.status < 300, response_status=answer.status, response_body=answer.body
            )
        )

    async def answer(request: Request) -> Response:
        try:
            asked = await body_of(request, TestWebhook)
            return encode(await run_in_threadpool(test, asked))
        except MainspringError as error:
            return failure_of(error)

    return answer


def _list(tx: Transaction, asked: ListWebhooks, now_ms: int) -> WebhooksAnswer:
    found = tx.webhooks.page(limit=page_size(asked.max_results, _MOST), token=asked.page_token)
    return WebhooksAnswer(webhooks=tuple(map(WebhookMessage.of, found.items)), next_page_token=found.token)


def _get(tx: Transaction, asked: OneWebhook, now_ms: int) -> WebhookAnswer:
    return WebhookAnswer(webhook=WebhookMessage.of(tx.webhooks.get(asked.webhook_id)))


def _delete(tx: Transaction, asked: OneWebhook, now_ms: int) -> None:
    delete_webhook(tx, asked.webhook_id, asked.asking(now_ms))


def _events(given: tuple[EventMessage, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event.read() for event in given))
