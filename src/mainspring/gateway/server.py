"""The gateway's process: one, with the server's threads in it, so that nothing outlives it and keeps the port."""

from __future__ import annotations

__all__ = ["GrpcMissing", "PortInUse", "need_port", "serve"]

import asyncio
import atexit
import gc
import os
import resource
import signal
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import uvloop

from mainspring.errors import Conflict, Invalid
from mainspring.gateway.admission import USUAL, Limits
from mainspring.gateway.app import Gateway
from mainspring.gateway.ids import PredictionIds
from mainspring.gateway.log import PredictionLog
from mainspring.gateway.siblings import Siblings
from mainspring.stores.segments import SegmentWriter

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.clock import Clock
    from mainspring.features.store import OnlineStore
    from mainspring.gateway.source import GatewaySource

_DRAIN_S = 10
_OBJECTS = 20_000
_FILES, _FILES_OTHERWISE = 65_536, 256


class GrpcMissing(Invalid):
    """A port for gRPC in an environment without it."""

    def __str__(self) -> str:
        return (
            "There is a grpc_port, but no gRPC: run `pip install 'mainspring[grpc]'`, or take the port out."
        )


class PortInUse(Conflict):
    """An address at which another process listens."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(host, port, reason)
        self.host, self.port, self.reason = host, port, reason

    def __str__(self) -> str:
        at = f"{self.host}:{self.port}"
        return f"The gateway cannot listen at {at} ({self.reason}): stop what does, or take another port."


def serve(
    source: GatewaySource,
    *,
    log: Path,
    secret: bytes,
    clock: Clock,
    host: str = "127.0.0.1",
    port: int,
    limits: Limits = USUAL,
    shared: bool = False,
    log_window_s: float = 0.0,
    grpc_port: int | None = None,
    online: OnlineStore | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what has been asked, and return.

    Parameters
    ----------
    source : GatewaySource
        Routes and models.
    log : Path
        The folder of this gateway's prediction log, and of no other's; its name is the gateway's.
    secret : bytes
        The workspace's, under which prediction ids are made.
    clock : Clock
    host, port : str, int
        Where to listen.
    limits : Limits
        How much may be in progress.
    shared : bool
        Whether other gateways listen there as well; the kernel then splits the connections between them. Their logs
        lie beside this one's.
    log_window_s : float
        0 has every answer on disk before it is sent; otherwise it is sent at once, and sets out for the disk within so
        many seconds.
    grpc_port : int, optional
        Where to listen for gRPC; without it there is none.
    online : OnlineStore, optional
        Where features are looked up of views that say so.

    Raises
    ------
    GrpcMissing
        A port for gRPC, which is not installed.
    LogInUse
        Another process writes the log.
    PortInUse
        Another process listens there.
    """
    if grpc_port is not None and not find_spec("grpc"):
        raise GrpcMissing
    for each in (port, grpc_port):
        if each is not None and not shared:
            need_port(host, each)
    uvloop.run(
        _serve(source, log, secret, clock, host, port, limits, shared, log_window_s, grpc_port, online)
    )
    atexit.register(_leave)


def _leave() -> None:
    """End the process without taking the interpreter apart, as granian's own workers do.

    The server's native threads may still be letting go of Python objects, and abort the process when they find no
    interpreter.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _serve(
    source: GatewaySource,
    log: Path,
    secret: bytes,
    clock: Clock,
    host: str,
    port: int,
    limits: Limits,
    shared: bool,
    log_window_s: float,
    grpc_port: int | None,
    online: OnlineStore | None,
) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    written = PredictionLog(SegmentWriter(log), window_s=log_window_s)
    siblings = Siblings(log) if shared else None
    ids = PredictionIds(secret)
    gateway = Gateway(
        source, written, ids, clock, name=log.name, limits=limits, siblings=siblings, online=online
    )
    await gateway.start()
    grpc_door = None
    if grpc_port is not None:
        from mainspring.gateway.grpc import GrpcDoor

        grpc_door = GrpcDoor(gateway)
        await grpc_door.open(host, grpc_port)
    server = Server(
        gateway,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1024,
        backpressure=_connections(),
        log_level=LogLevels.error,
    )
    server.workers_kill_timeout = _DRAIN_S

    def drain() -> None:
        server.stop()  # type: ignore[no-untyped-call]
        if grpc_door:
            grpc_door.drain(_DRAIN_S)

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, drain)
    # What has been loaded stays: to look at it again with every full collection would cost answers milliseconds.
    gc.collect()
    gc.freeze()
    # Requests in progress are more objects than the usual 700, and no garbage.
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    try:
        await server.serve()
    finally:
        if grpc_door:
            await grpc_door.closed()
        await gateway.stop()


def _connections() -> int:
    """How many clients may be connected: as many as there can be files open, less those that are needed otherwise.

    What they ask at a time is bounded elsewhere. One that is idle costs little, but the server would let nobody else
    in while it waits for them.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(most, _FILES) if most > 0 else _FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return max(most - _FILES_OTHERWISE, most // 2)


def need_port(host: str, port: int) -> None:
    """Refuse an address that is taken: the server shares ports, and the kernel would split the callers between both.

    Raises
    ------
    PortInUse
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(host, port, error.strerror or str(error)) from error
