"""The server of the gRPC door, in the gateway's own event loop."""

from __future__ import annotations

__all__ = ["GrpcDoor"]

from asyncio import Task, create_task
from typing import TYPE_CHECKING

import grpc

from mainspring.gateway.grpc.service import Service
from mainspring.gateway.http import BODY_LIMIT

if TYPE_CHECKING:
    from mainspring.gateway.app import Gateway


class GrpcDoor:
    """The Open Inference Protocol over gRPC, in front of a gateway.

    Parameters
    ----------
    gateway : Gateway
    """

    def __init__(self, gateway: Gateway) -> None:
        self._service = Service(gateway)
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", BODY_LIMIT)])
        self._server.add_generic_rpc_handlers(self._service.handlers())
        self._closing: Task[None] | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen."""
        self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        await self._server.start()

    def drain(self, within_s: float) -> None:
        """Take no more calls; those that are open may go on for so long."""
        self._service.drain()
        self._closing = self._closing or create_task(self._server.stop(within_s))

    async def closed(self) -> None:
        """Wait for the end of the last call; `drain` comes before."""
        if self._closing:
            await self._closing
