"""What a browser may ask in a person's name: not what the page of another site makes it ask.

A page of another site can send a form, or make a browser take its own name for this server's (DNS rebinding). Neither
needs a password here: who reaches the port may ask. So the name that is asked for must be one that no stranger can own,
and what changes anything must not come from a page of another origin.
"""

from __future__ import annotations

__all__ = ["OwnPagesOnly", "is_own_name"]

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mainspring.api.problem import Problem, respond

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_HARMLESS = {"GET", "HEAD", "OPTIONS"}
# Names under these are given out by nobody to strangers.
_PRIVATE = (".localhost", ".local", ".internal")


class OwnPagesOnly:
    """Refuses, with 403, what a page of another site makes a browser ask.

    Parameters
    ----------
    app : ASGIApp
        What answers all else.
    page_url : str
        The address at which people reach the pages, whose name is this server's own too.
    """

    def __init__(self, app: ASGIApp, page_url: str) -> None:
        self._app = app
        self._names = frozenset({socket.gethostname().lower(), urlsplit(page_url).hostname or "localhost"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "http" and (why := self._refusal(scope)):
            problem = Problem(type="about:blank", title="forbidden", status=403, detail=why)
            await respond(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _ASKED}
        host = headers.get(b"host")
        if host is None:
            return ""  # every browser says a name
        if not is_own_name(host, self._names):
            return (
                f"The name {host[:200]!r} is not known to be this server's. If people reach it under that name, set "
                "`page_url` in mainspring.toml to the address that they use."
            )
        if scope["method"] in _HARMLESS:
            return ""
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"A page of {origin[:200]!r} asks for a change here, which pages of other sites may not."
        if headers.get(b"sec-fetch-site") == "cross-site":
            return "A page of another site asks for a change here, which pages of other sites may not."
        return ""


_ASKED = {b"host", b"origin", b"sec-fetch-site"}


def is_own_name(host: str, names: frozenset[str]) -> bool:
    """Whether the name in a Host header can be nobody else's.

    Examples
    --------
    >>> [is_own_name(host, frozenset({"ml.example.com"})) for host in ("127.0.0.1:8500", "[::1]", "ml.example.com:80")]
    [True, True, True]
    >>> [is_own_name(host, frozenset()) for host in ("mainspring:8500", "ml.team.internal", "evil.example")]
    [True, True, False]
    """
    try:
        name = "" if "@" in host else (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name:
        return False
    if name in names or ("." not in name and ":" not in name) or name.endswith(_PRIVATE):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
