"""A tracking server that speaks MLflow's REST interface, asked with patience and believed in nothing."""

from __future__ import annotations

__all__ = ["MlflowServer", "NoServer", "ServerConfused", "ServerRefused", "ServerUnreachable"]

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec

from mainspring.errors import Invalid, MainspringError

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_TIMEOUT_S = 60.0
_WAITS_S = (0.2, 1.0, 3.0)
_BODY_LIMIT = 512 * 2**20
"""Bytes of an answer that is read into memory: old servers give a whole history at once."""
_PIECE = 1 << 20


class NoServer(Invalid):
    """An address that no server is asked at."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        told = f"{self.uri!r} is no address of a tracking server: it begins with http:// or https://."
        if re.match(r"https?:", self.uri):
            return told
        store = self.uri if re.match(r"[\w+]+:", self.uri) else f"./{self.uri.removeprefix('./')}"
        return (
            f"{told} To move what lies in a database or a folder, start MLflow's own server over it and name that: "
            f"`mlflow server --backend-store-uri {store} --port 5000`, then http://127.0.0.1:5000."
        )


class ServerUnreachable(MainspringError):
    """A server that does not answer."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(url, why)
        self.url, self.why = url, why

    def __str__(self) -> str:
        return (
            f"The server at {self.url} does not answer: {self.why}. See that it runs, then give the same command "
            "again: it goes on where it was."
        )


class ServerRefused(MainspringError):
    """A request that a server did not answer with what was asked for."""

    def __init__(self, asked: str, status: int, said: str) -> None:
        super().__init__(asked, status, said)
        self.asked, self.status, self.said = asked, status, said

    def __str__(self) -> str:
        mend = (
            " Name who asks with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
            if self.status in (401, 403)
            else ""
        )
        return f"{self.asked} was answered with {self.status}: {self.said or 'no reason given'}.{mend}"


class ServerConfused(MainspringError):
    """An answer that is not what MLflow's servers say."""

    def __init__(self, asked: str, why: str) -> None:
        super().__init__(asked, why)
        self.asked, self.why = asked, why

    def __str__(self) -> str:
        return f"The answer to {self.asked} cannot be read: {self.why}. Is it an MLflow tracking server?"


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server, and the connection to it; many threads may use it.

    Attributes
    ----------
    url : str
        Its address, without a password.
    client : httpx.Client
        The connection.
    waits_s : tuple of float
        Seconds between the attempts at what may pass: a server that fails, is busy, or cannot be reached.
    """

    url: str
    client: httpx.Client
    waits_s: tuple[float, ...] = _WAITS_S

    @classmethod
    def at(cls, uri: str) -> Self:
        """Name a server, which is not asked yet; who asks is read from the environment, as MLflow's clients do.

        Raises
        ------
        NoServer
            The address is that of a store, or none.
        """
        try:
            parsed = httpx.URL(uri)
        except (httpx.InvalidURL, TypeError):
            raise NoServer(uri) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise NoServer(uri)
        headers, auth = {}, None
        if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        if parsed.userinfo:
            auth = (parsed.username, parsed.password)
        elif user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
            auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        url = str(parsed.copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")
        client = httpx.Client(
            base_url=url, headers=headers, auth=auth, timeout=_TIMEOUT_S, follow_redirects=False
        )
        return cls(url, client)

    def ask(
        self, verb: str, path: str, takes: type[T], *, query: Mapping[str, Any] = {}, body: object = None
    ) -> T:
        """Ask a method and read its answer.

        Raises
        ------
        ServerUnreachable, ServerRefused, ServerConfused
            After several attempts, where another might succeed.
        """

        def once() -> T:
            with self.opened(verb, path, query=query, body=body) as answer:
                pieces, size = [], 0
                for piece in answer.iter_bytes(_PIECE):
                    size += len(piece)
                    if size > _BODY_LIMIT:
                        raise ServerConfused(f"{verb} {path}", f"it has more than {_BODY_LIMIT:,} bytes")
                    pieces.append(piece)
            try:
                return msgspec.convert(msgspec.json.decode(b"".join(pieces) or b"{}"), takes, strict=False)
            except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
                raise ServerConfused(f"{verb} {path}", str(error)[:200]) from None

        return self.persist(once)

    @contextmanager
    def opened(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, Any] = {},
        body: object = None,
        content: Iterator[bytes] | None = None,
        size: int = 0,
    ) -> Iterator[httpx.Response]:
        """Ask once, with a message or `size` bytes, and give the answer to be read in pieces; raises as `ask` does."""
        asked = f"{verb} {self.url}{path}"
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if content is not None:
            headers = {"Content-Length": str(size)}
        sent = content if body is None else msgspec.json.encode(body)
        try:
            with self.client.stream(verb, path, params=dict(query), content=sent, headers=headers) as answer:
                if answer.status_code != 200:
                    raise ServerRefused(asked, answer.status_code, _reason(answer))
                yield answer
        except httpx.HTTPError as error:
            raise ServerUnreachable(self.url, str(error).rstrip(".") or type(error).__name__) from error

    def persist(self, call: Callable[[], T]) -> T:
        """Call, and again after a while where that may help."""
        for wait_s in self.waits_s:
            try:
                return call()
            except ServerUnreachable:
                pass
            except ServerRefused as error:
                if error.status < 500 and error.status != 429:
                    raise
            time.sleep(wait_s)
        return call()

    def pages(self, verb: str, path: str, takes: type[T], asked: Mapping[str, Any]) -> Iterator[T]:
        """Ask a method that answers in pages, each of which has `next_page_token`."""
        token, seen = "", set[str]()
        while True:
            given = dict(asked) | ({"page_token": token} if token else {})
            page = self.ask(
                verb, path, takes, query=given if verb == "GET" else {}, body=None if verb == "GET" else given
            )
            yield page
            token = getattr(page, "next_page_token", "")
            if not token:
                return
            if token in seen:
                raise ServerConfused(f"{verb} {path}", "its pages go round in a circle")
            seen.add(token)

    def version(self) -> str:
        """Give the release that it says to be."""
        with self.opened("GET", "/version") as answer:
            return answer.read()[:100].decode(errors="replace").strip()

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()


def _reason(answer: httpx.Response) -> str:
    said = b""
    for piece in answer.iter_bytes(4096):
        said += piece
        if len(said) >= 4096:
            break
    try:
        told = msgspec.json.decode(said)
        text = str(told.get("message", "")) if isinstance(told, dict) else ""
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = ""
    return " ".join((text or said.decode(errors="replace")).split())[:300].rstrip(".")
