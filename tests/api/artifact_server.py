"""The artifact proxy in a process of its own, behind the web server of the control plane."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette

from mainspring.api.mlflow.artifacts import artifact_routes
from mainspring.errors import NotFound
from mainspring.operate.version_artifacts import VersionArtifacts
from mainspring.stores.artifact_path import ArtifactPath
from mainspring.stores.artifacts import FileArtifacts


def of_run(run: str) -> ArtifactPath:
    if run != "r1":
        raise NotFound(f"Run with id={run} not found")
    return ArtifactPath.parse("0/r1/artifacts")


def of_version(name: str, version: str) -> ArtifactPath:
    if (name, version) != ("tiny", "1"):
        raise NotFound(f"Model Version (name={name}, version={version}) not found")
    return ArtifactPath.parse("0/models/m-1/artifacts")


def main(root: str, port: str, largest_written: str = "") -> None:
    if largest_written:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_written), resource.RLIM_INFINITY))
    store = FileArtifacts(Path(root), largest=2**30)
    # Nobody asks for a product's version here: of those it would need the workspace.
    versions = VersionArtifacts(workspace=None)  # type: ignore[arg-type]
    routes = artifact_routes(store, versions, of_run=of_run, of_model=of_run, of_version=of_version)
    app = Starlette(routes=routes)
    server = Server(
        app,
        address="127.0.0.1",
        port=int(port),
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
    )
    asyncio.run(server.serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
