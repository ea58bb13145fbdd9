"""Load over loopback and what it shows: some connections, each with one request at a time, every answer checked."""

from __future__ import annotations

import math
import selectors
import socket
import statistics
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import servers

CONNECTIONS = 16
WARM_UP_S = 1.0
_PATIENCE_S = 15  # longer than servers have for an answer, so that it is they who say what is wrong
_TOLERANCE = 1e-5


class Failed(Exception):
    """A server that cannot be measured; its text says why."""


class Question(NamedTuple):
    """A request as it is sent, and the score that is the right answer."""

    message: bytes
    score: float


class Answer(NamedTuple):
    question: int
    seconds: float
    body: bytes


class Round(NamedTuple):
    """What one stretch of load showed; the CPU is that of the server's processes, by request."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers at a port; `read` takes the score from the body of an answer."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    questions: Sequence[Question]
    read: Callable[[bytes], float]

    def wait(self, seconds: float) -> None:
        """Wait until it answers a second long, and rightly: it is then warm, and what stands before it has settled."""
        deadline, why = time.monotonic() + seconds, "nobody listens"
        while time.monotonic() < deadline:
            if (code := self.process.poll()) is not None:
                raise Failed(f"it ended with {code}: {last_words(self.log)}")
            try:
                answers = load(self.port, [each.message for each in self.questions], WARM_UP_S)
            except (OSError, Failed) as error:
                why = str(error)
                time.sleep(0.1)
            else:
                self._check(answers)
                return
        raise Failed(f"no answer within {seconds:.0f} s of its start ({why}): {last_words(self.log)}")

    def measure(self, seconds: float, *, rate: float | None = None) -> Round:
        """Load it; every answer must be 200 and right."""
        before = servers.cpu_s(self.process.pid)
        answers = load(self.port, [each.message for each in self.questions], seconds, rate=rate)
        cpu_s = servers.cpu_s(self.process.pid) - before
        if not answers:
            raise Failed(f"it gave no answer within {seconds:g} s")
        self._check(answers)
        return round_of([each.seconds for each in answers], seconds, cpu_s)

    def _check(self, answers: Sequence[Answer]) -> None:
        for n, _, body in answers:
            try:
                score = self.read(body)
            except (ValueError, LookupError, TypeError) as error:
                raise Failed(f"its answer cannot be read ({error!r}): {body[:300]!r}") from error
            if not math.isclose(score, self.questions[n].score, abs_tol=_TOLERANCE):
                raise Failed(f"it answered {score} where {self.questions[n].score} is right")


def last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return " | ".join(line.strip() for line in lines if line.strip())[-400:] or "it said nothing"


def load(
    port: int,
    messages: Sequence[bytes],
    seconds: float,
    *,
    rate: float | None = None,
    connections: int = CONNECTIONS,
) -> list[Answer]:
    """Send the messages again and again over some connections; give the answers that came in time.

    Without a rate every connection is always busy. With one, requests fall due evenly so many times a second, whether
    the ones before are answered or not; one that finds no connection free waits, and its time counts from when it was
    due.

    Raises
    ------
    Failed
        An answer was not 200, a connection was closed, or nothing came for 15 seconds.
    OSError
        Nobody listens.
    """
    answers: list[Answer] = []
    with ExitStack() as opened, selectors.DefaultSelector() as ready:
        idle = deque(opened.enter_context(connected(port)) for _ in range(connections))
        for each in idle:
            ready.register(each, selectors.EVENT_READ)
        asked: dict[socket.socket, tuple[int, float]] = {}
        heard = dict.fromkeys(idle, b"")
        start = now = time.perf_counter()
        sent, end = 0, start + seconds
        while asked or now < end:
            while idle and now < end and (rate is None or start + sent / rate <= now):
                connection, n = idle.popleft(), sent % len(messages)
                asked[connection] = n, now if rate is None else start + sent / rate
                sent += 1
                connection.sendall(messages[n])
            wait = _PATIENCE_S if rate is None or not idle else min(end, start + sent / rate) - now
            events = ready.select(max(0, wait))
            now = time.perf_counter()
            if not events and (late := sum(begun < now - _PATIENCE_S for _, begun in asked.values())):
                raise Failed(f"{late} of {len(asked)} requests under way had no answer for {_PATIENCE_S} s")
            for key, _ in events:
                connection = key.fileobj  # type: ignore[assignment]
                received = connection.recv(1 << 18)
                if not received:
                    raise Failed(
                        f"it closed a connection {'amid' if heard[connection] else 'before'} an answer"
                    )
                heard[connection] += received
                body = body_of(heard[connection])
                if body is None:
                    continue
                now = time.perf_counter()
                heard[connection] = b""
                idle.append(connection)
                n, begun = asked.pop(connection)
                if now <= end:  # what is still under way then is heard out, so that it is no load on the next
                    answers.append(Answer(n, now - begun, body))
    return answers


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def body_of(reply: bytes) -> bytes | None:
    """The body of an answer, or None when it is not whole."""
    head, end, body = reply.partition(b"\r\n\r\n")
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failed(f"it answered {reply[:400]!r}")
    _, named, length = head.lower().partition(b"\r\ncontent-length:")
    if named:
        return body if len(body) >= int(length.partition(b"\r\n")[0]) else None
    if not body.endswith(b"\r\n0\r\n\r\n"):
        return None
    whole = b""
    while size := int((parts := body.partition(b"\r\n"))[0], 16):
        whole, body = whole + parts[2][:size], parts[2][size + 2 :]
    return whole


def round_of(took: Sequence[float], seconds: float, cpu_s: float) -> Round:
    """What so many seconds have shown in which answers took `took`, and the server so much CPU."""
    p50, p99 = np.quantile(took, [0.5, 0.99])
    return Round(len(took) / seconds, 1000 * p50, 1000 * p99, 1e6 * cpu_s / len(took))


def median(rounds: Sequence[Round]) -> Round:
    """Each figure's median over the rounds."""
    return Round(*(statistics.median(figures) for figures in zip(*rounds, strict=True)))


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """The medians as they are told."""
    requests_per_s, p50_ms, p99_ms, cpu_us = median(rounds)
    return {
        "requests_per_s": round(requests_per_s),
        "p50_ms": round(p50_ms, 2),
        "p99_ms": round(p99_ms, 2),
        "cpu_us": round(cpu_us),
    }


def ratio(ours: Sequence[Round], theirs: Sequence[Round]) -> float:
    """Our requests a second to theirs: the median over rounds that ran one after the other."""
    return statistics.median(
        our.requests_per_s / their.requests_per_s for our, their in zip(ours, theirs, strict=True)
    )
