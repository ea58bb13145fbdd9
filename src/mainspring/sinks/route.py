"""Alert routes: ways on which alarms come to people, as they stand in the settings."""

from __future__ import annotations

__all__ = ["Email", "PagerDuty", "Route", "Slack", "Stdout", "Webhook", "read_routes", "resolve"]

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, structs

from mainspring.clock import parse_duration
from mainspring.errors import Fault, Invalid
from mainspring.ref import check_name

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


class _Route(msgspec.Struct, frozen=True, kw_only=True, tag_field="to", forbid_unknown_fields=True):
    """A way for alerts.

    Any text may hold `${NAME}`, which stands for a variable of the environment of who sends: so secrets stay out of
    files. Alerts of one product go in one message, and the next message about it waits until `every` has passed. What
    is not taken within `timeout_s` seconds was not delivered.
    """

    every: str = "5m"
    timeout_s: float = 10.0

    def faults(self) -> Iterator[str]:
        """Say what is wrong with texts that hold no variable."""
        try:
            parse_duration(self.every)
        except Invalid as error:
            yield f"every: {error}"
        if not 0 < self.timeout_s <= 60:
            yield f"timeout_s: is {self.timeout_s:g}, but must be above 0 and at most 60."


class Webhook(_Route, frozen=True, tag="webhook"):
    """CloudEvents in JSON, one request each; with a `secret` signed as Standard Webhooks are."""

    url: str
    secret: str = ""

    def faults(self) -> Iterator[str]:
        """Say what is wrong with texts that hold no variable."""
        yield from super().faults()
        yield from _url_faults(self.url)
        if self.secret and not _VARIABLE.search(self.secret):
            try:
                self.key()
            except binascii.Error:
                yield "secret: is no base64; write it as the receiver gives it, `whsec_…`."

    def key(self) -> bytes:
        """The bytes that sign."""
        return base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)


class Slack(_Route, frozen=True, tag="slack"):
    """An incoming webhook of Slack, or of a service that takes the same."""

    url: str

    def faults(self) -> Iterator[str]:
        """Say what is wrong with texts that hold no variable."""
        yield from super().faults()
        yield from _url_faults(self.url)


class Email(_Route, frozen=True, tag="email"):
    """A mail over SMTP, with plots attached."""

    server: str
    sender: str
    recipients: Annotated[tuple[str, ...], Meta(min_length=1)]
    user: str = ""
    password: str = ""
    security: Literal["starttls", "tls", "none"] = "starttls"

    def faults(self) -> Iterator[str]:
        """Say what is wrong with texts that hold no variable."""
        yield from super().faults()
        if not _VARIABLE.search(self.server) and not re.fullmatch(r"[^\s:/]+:[0-9]{1,5}", self.server):
            yield f"server: is {self.server!r}, but must be HOST:PORT, such as smtp.example.org:587."
        for address in (self.sender, *self.recipients):
            if not _VARIABLE.search(address) and not _ADDRESS.fullmatch(address):
                yield f"{address!r} is no mail address."
        if self.password and self.security == "none":
            yield "security: is none, and a password would go in plain text: use starttls or tls."


class PagerDuty(_Route, frozen=True, tag="pagerduty"):
    """Events API v2 of PagerDuty, or of a service that takes the same; `key` is the integration's."""

    key: str
    url: str = "https://events.pagerduty.com/v2/enqueue"

    def faults(self) -> Iterator[str]:
        """Say what is wrong with texts that hold no variable."""
        yield from super().faults()
        yield from _url_faults(self.url)


class Stdout(_Route, frozen=True, tag="stdout"):
    """A line of JSON each on the standard output of the control plane."""


Route: TypeAlias = Webhook | Slack | Email | PagerDuty | Stdout


def read_routes(given: object) -> tuple[dict[str, Route], tuple[Fault, ...]]:
    """Read routes by their names, from a table or from JSON of one; give them, and all that is wrong.

    Examples
    --------
    >>> read_routes({"ops": {"to": "slack", "url": "${OPS_URL}"}})
    ({'ops': Slack(url='${OPS_URL}', every='5m', timeout_s=10.0)}, ())
    """
    try:
        tables = msgspec.json.decode(given, type=dict[str, Any]) if isinstance(given, str) else given
        named = msgspec.convert(tables, dict[str, dict[str, Any]])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return {}, (Fault("alerts", f"must hold a table for each route: {error}.", "Write [alerts.NAME]."),)
    routes: dict[str, Route] = {}
    faults = []
    for name, table in named.items():
        try:
            routes[check_name(name)] = route = msgspec.convert(table, Route)
        except (msgspec.ValidationError, Invalid) as error:
            faults.append(Fault(f"alerts.{name}", f"{error}."))
        else:
            faults += [Fault(f"alerts.{name}", fault) for fault in route.faults()]
    return routes, tuple(faults)


def resolve(route: Route, environment: Mapping[str, str]) -> Route:
    """Put variables of the environment in their places.

    Raises
    ------
    Invalid
        A variable is not there, or with its text the route is wrong. The text is not told: it may be a secret.
    """

    def filled(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(filled, value))
        return _VARIABLE.sub(of_environment, value) if isinstance(value, str) else value

    def of_environment(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise Invalid(f"The environment has no {match[1]}, which the route's settings name.")
        return environment[match[1]]

    known = structs.replace(route, **{name: filled(value) for name, value in structs.asdict(route).items()})
    if known != route and any(known.faults()):
        raise Invalid("With what the environment holds, an address or a secret of the route is malformed.")
    return known


def _url_faults(url: str) -> Iterator[str]:
    if _VARIABLE.search(url):
        return
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        yield f"url: {url[:100]!r} is no address of a web server: write https://…"
