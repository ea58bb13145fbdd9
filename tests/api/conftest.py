"""The control plane's application over workspaces of a module's own, asked without a socket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.operate.tiny import begin, train_first

from mainspring.api import build_app
from mainspring.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class Api:
    """Asks an application as a client over HTTP does."""

    app: Starlette

    def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            # A fault of ours is answered too, before the server hears of it.
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://mainspring") as client:
                return await client.request(method, path, **sent)

        return asyncio.run(ask())

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self("POST", path, **sent)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_first(tmp_path_factory.mktemp("trained") / "root")


@pytest.fixture(scope="module")
def workspace(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """With 30 days of orders and a champion."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("api") / "root")
    with open_workspace(Path(folder)) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def api(workspace: Workspace) -> Api:
    return Api(build_app(workspace))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """With a declared product and no data, so that nothing that is asked for is begun."""
    with begin(tmp_path_factory.mktemp("empty") / "root") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def empty_api(empty: Workspace) -> Api:
    return Api(build_app(empty))
