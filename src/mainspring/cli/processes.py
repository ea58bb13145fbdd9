"""`up`, `server` and `gateway`: the processes of a workspace, until they are interrupted."""

from __future__ import annotations

__all__ = ["gateway", "server", "up"]

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from mainspring.cli.options import Options

Root: TypeAlias = Annotated[
    Path | None,
    Parameter(help="Folder of the workspace; by default the nearest one upward with product files."),
]

up = App(
    name="up",
    help_epilogue="Examples:\n  mainspring up\n  MAINSPRING_PORT=9000 mainspring up --root ~/late-orders",
)
server = App(name="server", help_epilogue="Example:\n  mainspring server")
gateway = App(name="gateway", help_epilogue="Example:\n  mainspring gateway --name gateway-1")


@up.default
def run_up(*, root: Root = None, json: bool = False) -> None:
    """Run all of a workspace until interrupted: pages, API, loop and gateway.

    Addresses come from mainspring.toml (`port = 8500`) or the environment (MAINSPRING_PORT=8500).

    Parameters
    ----------
    json : bool
        Print the addresses as one line of JSON.
    """
    from mainspring.cli import up

    up.up(Options(root=root).folder, json=json)


@server.default
def run_server(*, root: Root = None) -> None:
    """Run the control plane alone: pages, API and loop."""
    from mainspring.cli import up

    up.server(Options(root=root).folder)


@gateway.default
def run_gateway(*, root: Root = None, name: str = "gateway-0") -> None:
    """Run one gateway alone: predictions and labels.

    Parameters
    ----------
    name : str
        Names its prediction log; each gateway of a workspace needs a name of its own.
    """
    from mainspring.cli import up

    up.gateway(Options(root=root).folder, name)
