"""Bringing the files of runs and logged models: each whole or not at all, and proved by its digest on the disk."""

from __future__ import annotations

__all__ = ["BroughtFiles", "FileBringer"]

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from mainspring.errors import Invalid, NotFound
from mainspring.operate.mlflow.journal import ReceivedFile
from mainspring.operate.mlflow.read import Unreadable
from mainspring.operate.mlflow.server import ServerConfused, ServerRefused
from mainspring.operate.mlflow.tally import of_file
from mainspring.stores.artifact_path import ArtifactPath

if TYPE_CHECKING:
    from mainspring.operate.mlflow.journal import Journal
    from mainspring.operate.mlflow.read import File, MlflowReader, Owner
    from mainspring.operate.mlflow.tally import Compared
    from mainspring.stores.artifacts import FileArtifacts

_SPOILT = (Invalid, NotFound, ServerRefused, ServerConfused)
_PIECE = 1 << 20


@dataclass(slots=True)
class BroughtFiles:
    """The files of a run or a logged model on both sides, as bytes and SHA-256 by path."""

    there: dict[str, tuple[int, str]] = field(default_factory=dict)
    here: dict[str, tuple[int, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def tell(self, compared: Compared, what: str) -> None:
        """Add them to what is compared."""
        for tally, side in ((compared.there, self.there), (compared.here, self.here)):
            if side:
                described = {path: of_file(*each) for path, each in side.items()}
                tally.add(described, files=len(side), bytes=sum(size for size, _ in side.values()))
        compared.differences += [f"{what}: {fault}" for fault in self.faults]
        for path in sorted(self.there.keys() | self.here.keys()):
            theirs, ours = self.there.get(path), self.here.get(path)
            if theirs != ours:
                told = (
                    "is missing"
                    if ours is None
                    else "is here, and was not there"
                    if theirs is None
                    else f"is {of_file(*ours)}, and was {of_file(*theirs)}"
                )
                compared.differences.append(f"{what}: file {path!r} {told}")


@dataclass(frozen=True, slots=True)
class FileBringer:
    """Brings files from a server into the store of artifacts."""

    store: FileArtifacts
    reader: MlflowReader
    journal: Journal
    dry_run: bool

    def bring(self, owner: Owner, owner_id: str, root: str) -> BroughtFiles:
        """Bring all files of a run or logged model into its folder; one that is here already is not asked for again.

        What spoils one file is told in `faults`, and the others are brought.
        """
        brought = BroughtFiles()
        try:
            for file in self.reader.files(owner, owner_id):
                if isinstance(file, Unreadable):
                    brought.faults.append(str(file))
                elif self.dry_run:
                    brought.there[str(file.path)] = brought.here[str(file.path)] = (file.size, "")
                else:
                    self._bring(file, ArtifactPath.parse(root) / file.path, brought)
        except (ServerRefused, ServerConfused) as error:
            brought.faults.append(f"its files cannot be listed: {error}")
        if not self.dry_run:
            self._find_more(ArtifactPath.parse(root), "", brought)
        return brought

    def _bring(self, file: File, path: ArtifactPath, brought: BroughtFiles) -> None:
        name = str(file.path)
        try:
            known = self.journal.files.get(str(path))
            here = self._digest(path)
            if known is None or (known.size, known.sha256) != here or file.size not in (0, known.size):
                known = self.reader.server.persist(lambda: self._receive(file, path))
                self.journal.add(known)
                here = self._digest(path)
        except _SPOILT as error:
            brought.faults.append(f"file {name!r} was not brought: {error}")
            return
        brought.there[name] = (known.size, known.sha256)
        if here is not None:
            brought.here[name] = here

    def _receive(self, file: File, path: ArtifactPath) -> ReceivedFile:
        hashed, size = sha256(), 0
        with self.store.writing(path) as writing:
            for piece in self.reader.content(file):
                writing.write(piece)
                hashed.update(piece)
                size += len(piece)
            # An empty file is listed without a size, and so is one whose size its store does not know.
            if file.size not in (0, size):
                raise ServerConfused(
                    f"GET {file.named!r}", f"it was listed with {file.size:,} bytes, and {size:,} came"
                )
            writing.keep()
        return ReceivedFile(str(path), size, hashed.hexdigest())

    def _digest(self, path: ArtifactPath) -> tuple[int, str] | None:
        """Read a file back from the disk."""
        try:
            found = self.store.open(path)
        except NotFound:
            return None
        hashed, size = sha256(), 0
        with found.file as file:
            while piece := file.read(_PIECE):
                hashed.update(piece)
                size += len(piece)
        return size, hashed.hexdigest()

    def _find_more(self, folder: ArtifactPath, below: str, brought: BroughtFiles) -> None:
        for each in self.store.list(folder):
            path, name = folder / ArtifactPath((each.name,)), f"{below}{each.name}"
            if each.is_folder:
                self._find_more(path, f"{name}/", brought)
            elif name not in brought.here and (here := self._digest(path)) is not None:
                brought.here[name] = here
