"""The contract of a store of webhooks and of what they are still to be told."""

# ruff: noqa: D102 - a test is named after what it shows

from __future__ import annotations

__all__ = ["WebhookStoreContract"]

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainspring.registry.webhook import News, Webhook, WebhookNotFound, WebhookStore

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_CREATED, _TAGGED = "model_version.created", "model_version_tag.set"


class WebhookStoreContract:
    """What a `WebhookStore` promises."""

    first = Webhook(
        webhook_id="first",
        name="first",
        url="https://example.org/hook",
        events=(_CREATED, _TAGGED),
        description="what for",
        secret="s",
        created_ms=1,
        updated_ms=1,
    )
    second = replace(first, webhook_id="second", events=(_TAGGED,))

    @pytest.fixture
    def store(self) -> WebhookStore:
        """Give an empty store."""
        pytest.fail("Inherit this contract, and give the store that it is to be held against.")

    def test_a_webhook_is_recorded_changed_and_removed(self, store: WebhookStore) -> None:
        store.put(self.first)
        assert store.get("first") == self.first
        changed = replace(self.first, name="other", active=False, events=(_TAGGED,), updated_ms=5)
        store.put(changed)
        assert store.get("first") == changed
        store.remove("first")
        for ask in (store.get, store.remove):
            with pytest.raises(WebhookNotFound):
                ask("first")

    def test_webhooks_are_listed_the_newest_first(self, store: WebhookStore) -> None:
        for number in range(5):
            store.put(replace(self.first, webhook_id=str(number)))
        page = store.page(limit=3, token="")
        rest = store.page(limit=3, token=page.token)
        assert [each.webhook_id for each in page.items + rest.items] == ["4", "3", "2", "1", "0"]
        assert not rest.token

    def test_news_go_to_those_who_ask_for_them(self, store: WebhookStore) -> None:
        for webhook in (self.first, self.second, replace(self.second, webhook_id="off", active=False)):
            store.put(webhook)
        store.queue(News(event=_CREATED, body="{}"))
        store.queue(News(event="registered_model.created", body="{}"))
        (delivery,) = store.waiting(_NOON)
        assert (delivery.webhook_id, delivery.event, delivery.body) == ("first", _CREATED, "{}")
        store.queue(News(event=_TAGGED, body="{}"))
        assert {each.webhook_id for each in store.waiting(_NOON)} == {"first", "second"}

    def test_one_after_the_other_is_told_and_what_fails_waits(self, store: WebhookStore) -> None:
        store.put(self.first)
        for body in ("1", "2"):
            store.queue(News(event=_CREATED, body=body))
        (delivery,) = store.waiting(_NOON)
        assert delivery.body == "1"
        store.put_failed(
            delivery.delivery_id, attempts=1, retry_at=_NOON + timedelta(seconds=9), error="away"
        )
        assert store.waiting(_NOON + timedelta(seconds=8)) == ()
        (again,) = store.waiting(_NOON + timedelta(seconds=9))
        assert (again.delivery_id, again.attempts, again.error) == (delivery.delivery_id, 1, "away")
        store.done(delivery.delivery_id)
        assert [each.body for each in store.waiting(_NOON)] == ["2"]

    def test_who_is_not_active_is_told_later(self, store: WebhookStore) -> None:
        store.put(self.first)
        store.queue(News(event=_CREATED, body="1"))
        store.put(replace(self.first, active=False))
        assert store.waiting(_NOON) == ()
        store.put(self.first)
        assert len(store.waiting(_NOON)) == 1

    def test_who_is_removed_is_told_nothing(self, store: WebhookStore) -> None:
        store.put(self.first)
        store.queue(News(event=_CREATED, body="1"))
        store.remove("first")
        store.put(self.first)
        assert store.waiting(_NOON) == ()
