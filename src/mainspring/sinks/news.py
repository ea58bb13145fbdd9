"""News of the registry on their way to webhooks: at least once, in order, under ids that stay the same.

What was sent and not yet recorded when a process dies is sent once more by the next. A webhook that does not take a
delivery is tried again later, and keeps no other waiting.
"""

from __future__ import annotations

__all__ = ["send_news", "tell_news"]

import base64
import hmac
import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mainspring.registry.webhook import Delivery, Webhook, is_unguarded
from mainspring.sinks.guarded import Answer, NotSent, post_guarded

if TYPE_CHECKING:
    from mainspring.workspace import Workspace

_log = logging.getLogger(__name__)
_FIRST_RETRY, _LAST_RETRY = timedelta(seconds=10), timedelta(minutes=15)
_MOST_ATTEMPTS = 300  # three days
_TIMEOUT_S = 10.0
_LATER = frozenset({408, 425, 429})
"""Refusals that may be otherwise the next time; so are all of the server's own faults."""


def tell_news(workspace: Workspace, now: datetime) -> None:
    """Tell every webhook what is due.

    Parameters
    ----------
    now : datetime
        By the machine's clock.
    """
    while True:
        with workspace.database.read() as tx:
            due = [(tx.webhooks.get(each.webhook_id), each) for each in tx.webhooks.waiting(now)]
        if not due:
            return
        for webhook, delivery in due:
            _deliver(workspace, webhook, delivery, now)


def _deliver(workspace: Workspace, webhook: Webhook, delivery: Delivery, now: datetime) -> None:
    error, again = "", True
    try:
        status = send_news(webhook, delivery, unguarded=workspace.settings.webhook_hosts).status
        if not 200 <= status < 300:
            error, again = f"It answered with status {status}.", status in _LATER or status >= 500
    except NotSent as failure:
        error = str(failure)
    attempts = delivery.attempts + 1
    over = not error or not again or attempts >= _MOST_ATTEMPTS
    if error:
        told = "It is not told again." if over else "It is told again later."
        _log.warning(
            "The webhook %s has not taken %s (%s): %s %s",
            webhook.name,
            delivery.event,
            delivery.delivery_id,
            error,
            told,
        )
    with workspace.database.write() as tx:
        if over:
            tx.webhooks.done(delivery.delivery_id)
        else:
            pause = min(_FIRST_RETRY * 2 ** min(attempts - 1, 16), _LAST_RETRY)
            tx.webhooks.put_failed(delivery.delivery_id, attempts=attempts, retry_at=now + pause, error=error)


def send_news(webhook: Webhook, delivery: Delivery, *, unguarded: str) -> Answer:
    """Send a delivery, signed as MLflow's servers do: HMAC-SHA256 over id, time and body, with dots between them.

    Parameters
    ----------
    unguarded : str
        The setting `webhook_hosts`.

    Raises
    ------
    NotSent
        It may not be sent, or was not answered at all.
    """
    parts = urlsplit(webhook.url)
    anywhere = is_unguarded(parts.hostname or "", unguarded)
    if parts.scheme != "https" and not anywhere:
        raise NotSent(
            f"The host {parts.hostname!r} is told nothing over http. If it is to be told so, let the setting "
            "`webhook_hosts` name it."
        )
    at, content = str(int(time.time())), delivery.body.encode()
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery.delivery_id,
        "X-MLflow-Timestamp": at,
    }
    if webhook.secret:
        signed = b".".join((delivery.delivery_id.encode(), at.encode(), content))
        digest = hmac.digest(webhook.secret.encode(), signed, "sha256")
        headers["X-MLflow-Signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return post_guarded(webhook.url, content, headers, anywhere=anywhere, timeout_s=_TIMEOUT_S)
