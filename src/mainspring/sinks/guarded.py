"""One HTTP request to an address that somebody else has chosen: it goes to public addresses alone, and has an end.

The host is looked up once, and what was found is both checked and connected to, so that no second answer of its name
server leads elsewhere. Redirects are not followed, and no proxy of the environment is used.
"""

from __future__ import annotations

__all__ = ["Answer", "NotSent", "post_guarded"]

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import monotonic
from urllib.parse import urlsplit

from mainspring.errors import MainspringError
from mainspring.registry.webhook import is_public

_BODY_LIMIT = 10_000


class NotSent(MainspringError):
    """A request that did not come to be answered."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver has answered; of the body, the beginning."""

    status: int
    body: str


def post_guarded(
    url: str, content: bytes, headers: Mapping[str, str], *, anywhere: bool, timeout_s: float
) -> Answer:
    """Post to an address.

    Parameters
    ----------
    anywhere : bool
        Whether it may be an address that is not public: of this machine, or of a network within.

    Raises
    ------
    NotSent
        It may not be asked, could not be reached, or did not answer in time.
    """
    parts = urlsplit(url)
    host, tls, until = parts.hostname or "", parts.scheme == "https", monotonic() + timeout_s
    try:
        opened = _connect(host, parts.port or (443 if tls else 80), anywhere, until)
        context = ssl.create_default_context() if tls else None
        link = (
            context.wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
            if context
            else opened
        )
        with closing(link), _Cut(link, until):
            if isinstance(link, ssl.SSLSocket):
                link.do_handshake()
            kind = HTTPSConnection if tls else HTTPConnection
            connection = kind(host, parts.port)
            connection.sock = link
            target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            connection.request("POST", target, content, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(_BODY_LIMIT).decode(errors="replace"))
    except TimeoutError:
        raise NotSent(f"It did not answer within {timeout_s:g} seconds.") from None
    except (OSError, HTTPException, ValueError) as error:
        if monotonic() >= until:
            raise NotSent(f"It did not answer within {timeout_s:g} seconds.") from None
        raise NotSent(f"It could not be reached: {type(error).__name__}.") from None


class _Cut:
    """Ends a connection at a moment, however slowly the other side goes on."""

    def __init__(self, link: socket.socket, until: float) -> None:
        self._timer = threading.Timer(max(0.0, until - monotonic()), self._end)
        self._link = link

    def _end(self) -> None:
        # Not the TLS session's: that belongs to the thread that uses it. It may have ended already.
        with suppress(OSError):
            socket.socket.shutdown(self._link, socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _connect(host: str, port: int, anywhere: bool, until: float) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotSent(f"The host {host!r} is not known.") from None
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    if not anywhere and not all(map(is_public, addresses)):
        raise NotSent(
            f"The host {host!r} is not at a public address, so that it is told nothing. "
            "If it is to be told, let the setting `webhook_hosts` name it."
        )
    failure: OSError | None = None
    for address in dict.fromkeys(addresses):
        try:
            return socket.create_connection((address, port), timeout=max(0.001, until - monotonic()))
        except OSError as error:
            failure = error
    assert failure is not None  # what is known has an address at least
    raise failure
