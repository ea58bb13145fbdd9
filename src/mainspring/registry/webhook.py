"""Webhooks: who outside is told of what changes in the registry."""

from __future__ import annotations

__all__ = [
    "EVENTS",
    "Delivery",
    "News",
    "Webhook",
    "WebhookNotFound",
    "WebhookStore",
    "check_webhook",
    "is_public",
    "is_unguarded",
]

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from mainspring.errors import NotFound
from mainspring.fit import Unfit, within

if TYPE_CHECKING:
    from datetime import datetime

    from mainspring.search import Found

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_MODEL, _PROMPT = "example_model", "example_prompt"
_TAGS = {"example_key": "example_value"}
_TAG, _TAGGED = {"key": "example_key"}, {"key": "example_key", "value": "example_value"}

EVENTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "registered_model.created": {
            "name": _MODEL,
            "tags": _TAGS,
            "description": "An example registered model",
        },
        "model_version.created": {
            "name": _MODEL,
            "version": "1",
            "source": "models:/123",
            "run_id": "abcd1234abcd5678",
            "tags": _TAGS,
            "description": "An example model version",
        },
        "model_version_tag.set": {"name": _MODEL, "version": "1"} | _TAGGED,
        "model_version_tag.deleted": {"name": _MODEL, "version": "1"} | _TAG,
        "model_version_alias.created": {"name": _MODEL, "alias": "example_alias", "version": "1"},
        "model_version_alias.deleted": {"name": _MODEL, "alias": "example_alias"},
        "prompt.created": {"name": _PROMPT, "tags": _TAGS, "description": "An example prompt"},
        "prompt_version.created": {
            "name": _PROMPT,
            "version": "1",
            "template": "Hello {{name}}!",
            "tags": _TAGS,
            "description": "An example prompt version",
        },
        "prompt_tag.set": {"name": _PROMPT} | _TAGGED,
        "prompt_tag.deleted": {"name": _PROMPT} | _TAG,
        "prompt_version_tag.set": {"name": _PROMPT, "version": "1"} | _TAGGED,
        "prompt_version_tag.deleted": {"name": _PROMPT, "version": "1"} | _TAG,
        "prompt_alias.created": {"name": _PROMPT, "alias": "example_alias", "version": "1"},
        "prompt_alias.deleted": {"name": _PROMPT, "alias": "example_alias"},
        "budget_policy.exceeded": {
            "budget_policy_id": "bp-abc123",
            "budget_unit": "USD",
            "budget_amount": 100.0,
        },
    }
)
"""What a webhook can be told of, as `entity.action`, each with an example of what it is told."""


class WebhookNotFound(NotFound):
    """A webhook that does not exist."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(webhook_id)
        self.webhook_id = webhook_id

    def __str__(self) -> str:
        return f"Webhook with ID {self.webhook_id} not found."


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver.

    Attributes
    ----------
    events : tuple of str
        What it is told of: some of `EVENTS`.
    secret : str
        Signs what it is told; empty where nothing is signed. It is told to nobody.
    active : bool
        Whether it is told anything.
    """

    webhook_id: str
    name: str
    url: str
    events: tuple[str, ...]
    description: str = ""
    secret: str = field(default="", repr=False)
    active: bool = True
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that has happened, before it is told.

    Attributes
    ----------
    event : str
        One of `EVENTS`.
    body : str
        What is told of it, as JSON.
    """

    event: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """News on their way to a webhook.

    Attributes
    ----------
    delivery_id : str
        The same at every attempt, so that a receiver can tell what it has had.
    attempts : int
        How often it was not taken.
    retry_at : str
        When it is to be tried again, by the machine's clock, as `time_text` prints it; empty before the first attempt.
    error : str
        Why it was not taken last.
    """

    delivery_id: str
    webhook_id: str
    event: str
    body: str
    attempts: int = 0
    retry_at: str = ""
    error: str = ""


class WebhookStore(Protocol):
    """Where webhooks are kept, and what they are still to be told."""

    def put(self, webhook: Webhook) -> None:
        """Record a webhook, or what has changed of it."""
        ...

    def get(self, webhook_id: str) -> Webhook:
        """Give one; raises `WebhookNotFound`."""
        ...

    def remove(self, webhook_id: str) -> None:
        """Remove it with what it was still to be told; raises `WebhookNotFound`."""
        ...

    def page(self, *, limit: int, token: str) -> Found[Webhook]:
        """Give webhooks, the newest first."""
        ...

    def queue(self, news: News) -> None:
        """Let every active webhook that asks for such news be told, in the order in which they come."""
        ...

    def waiting(self, now: datetime) -> tuple[Delivery, ...]:
        """Give the first delivery of every active webhook, where it is due."""
        ...

    def put_failed(self, delivery_id: str, *, attempts: int, retry_at: datetime, error: str) -> None:
        """Record that a webhook has not taken a delivery, and when to try again."""
        ...

    def done(self, delivery_id: str) -> None:
        """Forget a delivery, which was taken or given up."""
        ...


def check_webhook(webhook: Webhook, *, unguarded: str) -> None:
    """Refuse a webhook that cannot be told anything.

    Parameters
    ----------
    unguarded : str
        Hosts, with commas between them, that may be told without TLS; `*` for all.
    """
    if not _NAME.fullmatch(webhook.name):
        raise Unfit(
            f"Webhook name {webhook.name[:100]!r} is invalid",
            "it is 1 to 63 letters, digits, dots, hyphens and underscores, and begins and ends with a letter or digit",
        )
    if not webhook.events:
        raise Unfit("Webhook events", "there must be one at least")
    for event in webhook.events:
        if event not in EVENTS:
            raise Unfit(f"Webhook event {event[:100]!r}", f"there are {', '.join(EVENTS)}")
    within("Webhook description", webhook.description, 5000)
    within("Webhook secret", webhook.secret, 1000)
    within("Webhook URL", webhook.url, 2048)
    try:
        parts = urlsplit(webhook.url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or re.search(r"[\s\0-\x1f\x7f]", webhook.url):
        raise Unfit(f"Invalid webhook URL {webhook.url[:100]!r}", "it must read https://HOST/…")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_unguarded(host, unguarded)):
        raise Unfit(
            f"Invalid webhook URL scheme: {parts.scheme[:20]!r}",
            f"it must be https. To tell {host!r} over http, let the setting `webhook_hosts` name it",
        )
    if not is_unguarded(host, unguarded) and not _may_be_public(host):
        raise Unfit(
            f"Invalid webhook URL: {host!r}",
            "it is no public address. If it is to be told, let the setting `webhook_hosts` name it",
        )
    if parts.username is not None:
        raise Unfit(
            "Invalid webhook URL", "it holds a user's name, which would be told to whoever lists webhooks"
        )


def _may_be_public(host: str) -> bool:
    """Say whether a host may be at a public address; of a name that is seen when something is sent there."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return False
    try:
        return is_public(host)
    except ValueError:
        return True


def is_unguarded(host: str, unguarded: str) -> bool:
    """Say whether a host may be told without TLS, and wherever it is."""
    named = [each.strip().lower() for each in unguarded.split(",")]
    return "*" in named or host.lower() in named


def is_public(address: str) -> bool:
    """Say whether an IP address is one that anybody can reach, and not of this machine or of a network within."""
    known = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(known, ipaddress.IPv6Address):
        # Addresses of the older kind in the dress of the newer are what they are beneath.
        within = known.ipv4_mapped or known.sixtofour or (known.teredo[1] if known.teredo else None)
        if within is None and known in _NAT64:
            within = ipaddress.IPv4Address(int(known) & 0xFFFFFFFF)
        known = within or known
    return known.is_global and not known.is_multicast
