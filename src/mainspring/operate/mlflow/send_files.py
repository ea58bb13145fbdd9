"""Sending the files of runs and logged models, and reading each back from the server."""

from __future__ import annotations

__all__ = ["FileSender"]

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from mainspring.operate.mlflow.bring_files import BroughtFiles
from mainspring.operate.mlflow.read import File, Unreadable
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.stores.artifact_path import ArtifactPath

if TYPE_CHECKING:
    from mainspring.operate.mlflow.read import MlflowReader, Owner
    from mainspring.stores.artifacts import FileArtifacts

_PROXIED = re.compile(r"mlflow-artifacts:(?://[^/]*)?/+(.+)")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSender:
    """Sends files out of the store of artifacts."""

    store: FileArtifacts
    reader: MlflowReader

    def send(self, uri: str, owner: Owner, there_id: str, their_uri: str) -> BroughtFiles:
        """Send all files of a folder into that of a run or logged model there; one that is there alike stays.

        In what is given, `there` is this workspace, where they come from.
        """
        sent, ours, theirs = BroughtFiles(), _PROXIED.fullmatch(uri), _PROXIED.fullmatch(their_uri)
        if ours is None:
            return sent  # its client keeps them, and goes on reading them there
        found = list(self._files(ArtifactPath.parse(ours[1]), ""))
        try:
            known = {
                str(file.path): file.size
                for file in self.reader.files(owner, there_id)
                if not isinstance(file, Unreadable)
            }
        except (ServerRefused, ServerConfused) as error:
            known = {}
            sent.faults.append(f"its files there cannot be listed: {error}")
        for name, path in found:
            size, digest = self._digest(path)
            sent.there[name] = (size, digest)
            file = File(owner, there_id, name, ArtifactPath.parse(name), size)
            try:
                there = self._read_back(file) if known.get(name) == size else None
                if there != (size, digest):
                    if theirs is None:
                        sent.faults.append(
                            f"file {name!r} was not sent: the server takes none for {their_uri}"
                        )
                        continue
                    self._put(path, size, f"{theirs[1]}/{name}")
                    there = self._read_back(file)
                sent.here[name] = there
            except (ServerRefused, ServerConfused) as error:
                sent.faults.append(f"file {name!r} was not sent: {error}")
        for name in known.keys() - sent.there.keys():
            sent.faults.append(f"file {name!r} is there, and not here")
        return sent

    def _files(self, folder: ArtifactPath, below: str) -> Iterator[tuple[str, ArtifactPath]]:
        for each in self.store.list(folder):
            path = folder / ArtifactPath((each.name,))
            if each.is_folder:
                yield from self._files(path, f"{below}{each.name}/")
            else:
                yield f"{below}{each.name}", path

    def _pieces(self, path: ArtifactPath) -> Iterator[bytes]:
        with self.store.open(path).file as file:
            while piece := file.read(_PIECE):
                yield piece

    def _digest(self, path: ArtifactPath) -> tuple[int, str]:
        return _told(self._pieces(path))

    def _read_back(self, file: File) -> tuple[int, str]:
        return self.reader.server.persist(lambda: _told(self.reader.content(file)))

    def _put(self, path: ArtifactPath, size: int, to: str) -> None:
        address = f"/api/2.0/mlflow-artifacts/artifacts/{quote(to)}"

        def once() -> None:
            with self.reader.server.opened("PUT", address, content=self._pieces(path), size=size):
                pass

        self.reader.server.persist(once)


def _told(pieces: Iterator[bytes]) -> tuple[int, str]:
    hashed, size = sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        size += len(piece)
    return size, hashed.hexdigest()
