"""The servers of the gRPC door, in the gateway's own event loop."""

from __future__ import annotations

__all__ = ["GrpcDoor"]

import asyncio
from typing import TYPE_CHECKING

import grpc

from mainspring.gateway.grpc.service import Service
from mainspring.gateway.http import BODY_LIMIT

if TYPE_CHECKING:
    from mainspring.gateway.app import Gateway

_SERVERS = 8
"""A server of grpc.aio takes one call each time that the loop turns. So many take as many, and what is taken together
can be answered by one call of the model and kept by one write. The kernel splits the connections between them."""


class GrpcDoor:
    """The Open Inference Protocol over gRPC, in front of a gateway.

    Parameters
    ----------
    gateway : Gateway
    """

    def __init__(self, gateway: Gateway) -> None:
        self._service = Service(gateway)
        options = [("grpc.max_receive_message_length", BODY_LIMIT), ("grpc.so_reuseport", 1)]
        self._servers = [grpc.aio.server(options=options) for _ in range(_SERVERS)]
        self._closing: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen."""
        for server in self._servers:
            server.add_generic_rpc_handlers(self._service.handlers())
            server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            await server.start()

    def drain(self, within_s: float) -> None:
        """Take no more calls; those that are open may go on for so long."""
        self._service.drain()
        self._closing = self._closing or asyncio.create_task(self._stop(within_s))

    async def closed(self) -> None:
        """Wait for the end of the last call; `drain` comes before."""
        if self._closing:
            await self._closing

    async def _stop(self, within_s: float) -> None:
        await asyncio.gather(*(server.stop(within_s) for server in self._servers))
