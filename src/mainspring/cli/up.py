"""`up`, `server` and `gateway`: the processes of a workspace."""

from __future__ import annotations

__all__ = ["gateway", "server", "up"]

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mainspring.errors import Conflict, Invalid, MainspringError
from mainspring.settings import Settings

if TYPE_CHECKING:
    from io import TextIOWrapper

_READY_S = 30.0
_DRAIN_S = 12.0
_ABANDONED = timedelta(days=1)
"""After which an upload that was cut off is not gone on with."""
_INVALID = 2
"""Status of a process that its workspace's own files kept from starting."""


class AlreadyUp(Conflict):
    """A second `up` in the same folder."""

    def __init__(self, root: Path, pid: str) -> None:
        super().__init__(root, pid)
        self.root, self.pid = root, pid

    def __str__(self) -> str:
        who = f" (process {self.pid})" if self.pid else ""
        return f"This workspace is up already{who}, in {self.root}. Use that one, or end it first."


class DidNotStart(MainspringError):
    """A process of the workspace that ended, or did not answer, while it was started."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name, said)
        self.name, self.said = name, said

    def __str__(self) -> str:
        return f"The {self.name} did not start: {self.said or 'it did not answer in time'}"


class NotAsDeclared(DidNotStart, Invalid):
    """A workspace whose own files keep it from starting."""


def server(root: Path) -> None:
    """Run the control plane of a workspace: API, pages and the loop."""
    from mainspring.operate.workers import Workers

    _die_with_parent()
    settings = Settings.load(root)
    workers = Workers(settings)
    workers.begin()
    # Imported while the worker is on its way.
    from mainspring.api import serve
    from mainspring.operate.declare import declare
    from mainspring.sinks.background import Background
    from mainspring.sinks.deliver import alerting
    from mainspring.sinks.news import tell_news
    from mainspring.sinks.openlineage import lineage_telling
    from mainspring.web import pages
    from mainspring.web.alarms import picture_of
    from mainspring.workspace import open_workspace

    with open_workspace(root, settings, workers) as workspace, _alone(settings):
        declare(workspace, actor="product file")
        workspace.artifacts.sweep(datetime.now(UTC) - _ABANDONED)
        telling = Background(workspace, "webhooks", functools.partial(tell_news, workspace))
        with alerting(workspace, picture_of), telling, lineage_telling(workspace):
            serve(workspace, pages(workspace))


def gateway(root: Path, name: str = "gateway-0") -> None:
    """Run a gateway of a workspace; each has a name, and under it a prediction log of its own.

    It starts without the database too, if any gateway of the workspace has ever seen it.
    """
    from mainspring.gateway import Limits, serve
    from mainspring.operate.serving import ServingSource
    from mainspring.ref import check_name
    from mainspring.stores.online import open_online

    _die_with_parent()
    settings = Settings.load(root)
    with (
        ServingSource.open(settings) as source,
        contextlib.closing(open_online(settings.online_url)) as online,
    ):
        serve(
            source,
            log=settings.state / "log" / check_name(name),
            secret=source.secret,
            clock=source.clock,
            host=settings.host,
            port=settings.gateway_port,
            limits=Limits(
                pending=settings.gateway_pending,
                timeout_s=settings.gateway_timeout_s,
                worker_memory_mb=settings.worker_memory_mb,
            ),
            log_window_s=settings.log_window_s,
            shared=settings.gateways > 1,
            grpc_port=settings.grpc_port,
            online=online,
        )


def up(root: Path, *, json: bool = False) -> None:
    """Run control plane and gateway until interrupted; one that dies is started again."""
    with running(Settings.load(root)) as processes:
        if json:
            addresses = {"url": processes.url, "gateway_url": processes.gateway_url}
            if processes.grpc_address:
                addresses["grpc_address"] = processes.grpc_address
            print(msgspec.json.encode(addresses).decode(), flush=True)
        else:
            at = f"pages and API at {processes.url}, predictions at {processes.gateway_url}"
            if processes.grpc_address:
                at += f", over gRPC at {processes.grpc_address}"
            print(f"mainspring is up: {at}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            processes.watch()


@dataclass(slots=True)
class Processes:
    """The child processes of a workspace, and where they listen."""

    settings: Settings
    children: dict[str, subprocess.Popen[bytes]]
    said_before: dict[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """The control plane first, then every gateway."""
        return ("server", *(f"gateway-{n}" for n in range(self.settings.gateways)))

    @property
    def url(self) -> str:
        """Address of the control plane."""
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway."""
        return f"http://{self.settings.host}:{self.settings.gateway_port}"

    @property
    def grpc_address(self) -> str | None:
        """Address of the gateway for gRPC, where it speaks it."""
        port = self.settings.grpc_port
        return None if port is None else f"{self.settings.host}:{port}"

    def watch(self) -> None:
        """Start again what has died, until a signal comes; raises `DidNotStart` when it does not come up again."""
        while True:
            time.sleep(0.5)
            for name, child in list(self.children.items()):
                if child.poll() is not None:
                    print(
                        f"the {name} ended with status {child.returncode}; starting it again", file=sys.stderr
                    )
                    self.start(name)
                    self.wait_ready(name)

    def start(self, name: str) -> None:
        """Start a process by its name."""
        said = (self.settings.state / f"{name}.log").open("ab")
        environment = os.environ | {
            "MAINSPRING_PORT": str(self.settings.port),
            "MAINSPRING_GATEWAY_PORT": str(self.settings.gateway_port),
        }
        if self.settings.grpc_port is not None:
            environment["MAINSPRING_GRPC_PORT"] = str(self.settings.grpc_port)
        command = [sys.executable, "-m", "mainspring.cli.up", str(self.settings.root), name]
        with said:
            self.said_before[name] = said.tell()
            self.children[name] = subprocess.Popen(
                command, stdout=said, stderr=said, cwd=self.settings.root, env=environment
            )

    def wait_ready(self, name: str) -> None:
        """Wait until a process answers; raises `DidNotStart`."""
        # Gateways share a port, so that any of them may answer: the one that is meant says its name.
        port, path, says = (
            (self.settings.port, "/v1/health", None)
            if name == "server"
            else (self.settings.gateway_port, "/v2/health/live", name)
        )
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            if self.children[name].poll() is not None:
                at_fault = NotAsDeclared if self.children[name].returncode == _INVALID else DidNotStart
                raise at_fault(name, self._last_words(name))
            if self._answers(port, path, says):
                return
            time.sleep(0.02)
        raise DidNotStart(name, self._last_words(name))

    def _answers(self, port: int, path: str, says: str | None) -> bool:
        connection = HTTPConnection(self.settings.host, port, timeout=1.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status == 200 and answer.getheader("mainspring-gateway") == says
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End every process: first politely, so that what was asked is answered."""
        for child in self.children.values():
            child.terminate()
        until = time.monotonic() + _DRAIN_S
        for child in self.children.values():
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _last_words(self, name: str) -> str:
        with (self.settings.state / f"{name}.log").open("rb") as said:
            said.seek(self.said_before[name])
            return said.read().decode(errors="replace").strip()


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Processes]:
    """Run control plane and gateway for the length of a block.

    Raises
    ------
    AlreadyUp
        Another process runs this workspace.
    DidNotStart
        One of them does not come up; its last words are told.
    """
    if not any(file.is_file() for file in settings.product_files):
        from mainspring.workspace import NoWorkspace

        raise NoWorkspace(settings.root)
    # Both processes open the workspace, and the first makes its database: this one needs none, and starts sooner so.
    settings.state.mkdir(exist_ok=True)
    with _up_lock(settings):
        settings = replace(
            settings,
            port=settings.port or _free_port(),
            gateway_port=settings.gateway_port or _free_port(),
            grpc_port=_free_port() if settings.grpc_port == 0 else settings.grpc_port,
        )
        processes = Processes(settings, {}, {})
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        try:
            if settings.gateways > 1:
                from mainspring.gateway import need_port

                for port in (settings.gateway_port, settings.grpc_port):
                    if port is not None:
                        need_port(settings.host, port)
            for name in processes.names:
                processes.start(name)
            try:
                for name in processes.names:
                    processes.wait_ready(name)
            except DidNotStart:
                # What a database or a product folder has against being opened is an error of its own kind.
                from mainspring.workspace import open_workspace

                with open_workspace(settings.root, settings):
                    raise
            yield processes
        finally:
            processes.stop()


@contextlib.contextmanager
def _up_lock(settings: Settings) -> Iterator[None]:
    with (settings.state / "up.lock").open("a+") as lock:
        _take(lock, settings.root)
        yield


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one process turn the loop of a local workspace."""
    with (settings.state / "server.lock").open("a+") as lock:
        _take(lock, settings.root)
        yield


def _take(lock: TextIOWrapper, root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise AlreadyUp(root, lock.read().strip()) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    # A server that outlives a killed `up` would keep its port.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    try:
        if sys.argv[2] == "server":
            server(Path(sys.argv[1]))
        else:
            gateway(Path(sys.argv[1]), sys.argv[2])
    except MainspringError as error:
        print(error, file=sys.stderr)
        sys.exit(_INVALID if isinstance(error, Invalid) else 1)
