"""The control plane's process: its HTTP server, and beside it the thread that turns the loop."""

from __future__ import annotations

__all__ = ["serve"]

import asyncio
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mainspring.api.app import build_app
from mainspring.operate.controller import Controller

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from mainspring.workspace import Workspace


def serve(workspace: Workspace, pages: Sequence[BaseRoute] = ()) -> None:
    """Serve until SIGTERM or SIGINT.

    Under the system's clock a thread turns the loop; a driven workspace turns when its clock is moved.
    """
    asyncio.run(_serve(workspace, pages))


async def _serve(workspace: Workspace, pages: Sequence[BaseRoute]) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    server = Server(
        build_app(workspace, pages),
        address=workspace.settings.host,
        port=workspace.settings.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, server.stop)
    if workspace.settings.driven:
        await server.serve()
        return
    with Controller(workspace):
        await server.serve()
