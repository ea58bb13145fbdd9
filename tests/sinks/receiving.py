"""Receivers of alerts within the test's process: an HTTP server and a mail server, each with faults on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came, and with which statuses the next requests are answered; 0 means never."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def documents(self) -> list[Any]:
        return [json.loads(content) for _, content in self.came]


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Serve until the end of the block."""
    heard = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status = heard.statuses.pop(0) if heard.statuses else 202
            if status == 0:
                heard.over.wait(30)
                return
            heard.came.append(({key.lower(): value for key, value in self.headers.items()}, content))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            heard.arrived.release()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield heard
    finally:
        heard.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Mailbox:
    """What came over SMTP, and how the server behaves: codes by command, and whether it says anything at all."""

    server: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    features: list[str] = field(default_factory=list)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Serve SMTP until the end of the block."""
    box = Mailbox()
    loop = asyncio.new_event_loop()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client, or the test, has ended
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []

        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        if box.silent:
            await reader.read()
            return
        say("220 test")
        while line := (await reader.readline()).decode(errors="replace").strip():
            command, _, rest = line.partition(" ")
            command = command.upper()
            if (code := box.codes.get(rest) or box.codes.get(command)) is not None:
                say(f"{code} as the test wants")
            elif command == "DATA":
                say("354 go on")
                content = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(content[:-3], policy=policy.default)
                assert isinstance(mail, EmailMessage)
                box.mails.append((recipients, mail))
                say("250 taken")
            else:
                if command == "EHLO":
                    for feature in ("test", *box.features):
                        say(f"250-{feature}")
                if command == "RCPT":
                    recipients.append(rest[rest.index("<") + 1 : rest.index(">")])
                say("221 bye" if command == "QUIT" else "250 fine")

    async def start() -> asyncio.Server:
        return await asyncio.start_server(session, "127.0.0.1", 0)

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    box.server = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield box
    finally:

        async def stop() -> None:
            server.close()
            pending = asyncio.all_tasks() - {asyncio.current_task()}
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
