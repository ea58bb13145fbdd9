"""Runs a gateway over a folder of files, as the composition root does over a workspace.

python served.py FOLDER PORT [NOW | --grpc=PORT | --window=SECONDS | --timeout=SECONDS | --name=NAME]

With a name it is one of several at the port, whose logs lie beside each other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from mainspring.clock import DrivenClock, SystemClock, parse_time
from mainspring.digest import Digest
from mainspring.formats.served import Registered
from mainspring.gateway import Limits, serve
from mainspring.gateway.admission import USUAL
from mainspring.product import ProductSpec
from mainspring.rollouts.route import Route
from mainspring.stores.online import open_online


class FileSource:
    """`routes.json` holds all routes; models and signatures are files of their names, as are snapshots of features."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def route_stamp(self) -> str:
        snapshots = self.folder / "snapshots.json"
        return (self.folder / "routes.json").read_text() + (
            snapshots.read_text() if snapshots.exists() else ""
        )

    def routes(self) -> tuple[Route, ...]:
        return msgspec.json.decode((self.folder / "routes.json").read_bytes(), type=tuple[Route, ...])

    def snapshots(self) -> dict[str, Digest]:
        file = self.folder / "snapshots.json"
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Digest]) if file.exists() else {}

    def blob(self, digest: Digest) -> bytes:
        return (self.folder / digest).read_bytes()

    def registered(self, product: str, version: int) -> Registered:
        return msgspec.json.decode((self.folder / f"{product}@{version}").read_bytes(), type=Registered)

    def check(self, product: str, version: int, artifact: Digest) -> None:
        """What lies in the folder is what was registered."""

    def spec(self, product: str) -> ProductSpec:
        return ProductSpec.from_json((self.folder / f"{product}.spec").read_bytes())


if __name__ == "__main__":
    folder, port, *rest = sys.argv[1:]
    ports = [int(each[7:]) for each in rest if each.startswith("--grpc=")]
    windows = [float(each[9:]) for each in rest if each.startswith("--window=")]
    timeouts = [float(each[10:]) for each in rest if each.startswith("--timeout=")]
    names = [each[7:] for each in rest if each.startswith("--name=")]
    nows = [parse_time(each) for each in rest if not each.startswith("--")]
    clock = DrivenClock(nows[0], seed=1) if nows else SystemClock()
    serve(
        FileSource(Path(folder)),
        log=Path(folder, "log", *names),
        secret=b"of this workspace",
        clock=clock,
        port=int(port),
        shared=bool(names),
        log_window_s=windows[0] if windows else 0.0,
        grpc_port=ports[0] if ports else None,
        limits=Limits(timeout_s=timeouts[0]) if timeouts else USUAL,
        online=open_online(f"sqlite:///{folder}/online.db"),
    )
