"""Workspaces with something to show, and a browser that asks their pages."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from tests.operate.tiny import ask, begin
from tests.products.tiny.orders import FIRST, orders, parquet

from mainspring.operate.controller import turn
from mainspring.operate.data.publish import add_batch
from mainspring.operate.request import request_training
from mainspring.web import pages
from mainspring.workspace import Workspace, open_workspace

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of traffic, a refused batch, and a second version on its way, asked for in hostile words."""
    folder = tmp_path_factory.mktemp("lived") / "root"
    with begin(folder) as workspace:
        add_batch(workspace, "orders", parquet(orders()), actor="ada")
        add_batch(workspace, "orders", b"<b>,&\n1,2\n", actor=HOSTILE)
        turn(workspace)
        for day in (31, 32, 33):
            workspace.advance(FIRST + timedelta(days=day, hours=13))
            if day == 32:
                params = {"train.rounds": 25}
                request_training(
                    workspace, "tiny", request_id="second", actor=HOSTILE, reason=HOSTILE, params=params
                )
            ask(workspace, orders(FIRST + timedelta(days=day), days=1))
            turn(workspace)
    return folder


@pytest.fixture
def workspace(lived: Path, tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(lived, tmp_path / "root")
    with open_workspace(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace in which nothing has been declared."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "product.py").write_text("")
    with open_workspace(tmp_path / "empty") as opened:
        yield opened


@pytest.fixture
def get() -> Callable[[Workspace], Get]:
    """Ask a workspace's pages as a browser does."""

    def of(workspace: Workspace) -> Get:
        app = Starlette(routes=pages(workspace))

        def ask_for(path: str, **headers: str) -> httpx.Response:
            async def answer() -> httpx.Response:
                async with httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://mainspring"
                ) as client:
                    return await client.get(
                        path, headers={k.replace("_", "-"): v for k, v in headers.items()}
                    )

            return asyncio.run(answer())

        return ask_for

    return of
