"""The contents of datasets of files: each is kept once, under the SHA-256 of its bytes, many at a time.

Each is a file of its own, but small ones of which many come together are one: a pack.
"""

from __future__ import annotations

__all__ = ["FileContents", "Keeping"]

import fcntl
import hashlib
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from mainspring.digest import Digest
from mainspring.errors import Invalid
from mainspring.stores.blobs import BlobCorrupt, BlobNotFound
from mainspring.stores.durable import make_folder
from mainspring.stores.errors import disk_refused
from mainspring.stores.packs import SMALL, Packing, Packs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import BinaryIO

_PIECE = 1 << 20
_PARTS = ".parts"
_PACKS = "packs"
_MANY = 64
"""So many small contents are worth a pack; fewer are files, as they come one by one from time to time."""


@dataclass(slots=True)
class Keeping:
    """Contents that are being kept: none of them is there before all of them are."""

    contents: FileContents
    folder: Path
    _parts: dict[Digest, str] = field(default_factory=dict)
    _small: Packing = field(init=False)

    def __post_init__(self) -> None:
        self._small = Packing(self.folder)

    def add(self, source: BinaryIO) -> tuple[Digest, int]:
        """Take a file's bytes; give their digest and how many they are.

        Raises
        ------
        StoreUnavailable
            The disk is full or refuses to write.
        """
        piece = source.read(_PIECE)
        whole, size = hashlib.sha256(piece), len(piece)
        if size < _PIECE:  # most files end here: their digest is known before anything is written
            digest = Digest(whole.hexdigest())
            if digest in self._small or digest in self._parts or self.contents.has(digest):
                return digest, size
        part = f"{self.folder}/{len(self._parts)}"
        try:
            if size < SMALL:
                self._small.add(digest, piece)
                return digest, size
            if not self._parts:
                self.folder.mkdir(exist_ok=True)
            with open(part, "wb") as file:
                file.write(piece)
                while len(piece) == _PIECE:
                    piece = source.read(_PIECE)
                    whole.update(piece)
                    size += len(piece)
                    file.write(piece)
        except OSError as error:
            raise disk_refused(Path(part), error) from error
        digest = Digest(whole.hexdigest())
        if digest in self._parts or self.contents.has(digest):
            os.unlink(part)
        else:
            self._parts[digest] = part
        return digest, size

    def close(self) -> None:
        """Take no more."""
        self._small.close()

    def finish(self) -> None:
        """Put all that was taken in its place, durably; raises `StoreUnavailable`."""
        if not self._parts and not self._small:
            return
        try:
            if len(self._small) >= _MANY:
                self._small.finish(self.contents.root / _PACKS)
            elif self._small:
                for digest, content in self._small.each():
                    part = f"{self.folder}/{len(self._parts)}"
                    Path(part).write_bytes(content)
                    self._parts[Digest(digest)] = part
            if not self._parts:
                return
            # One wait for the disk, not one for each of thousands of files: the bytes first, then their names.
            os.sync()
            made: set[str] = set()
            for digest, part in self._parts.items():
                path = self.contents.path(digest)
                if digest[:2] not in made:
                    path.parent.mkdir(exist_ok=True)
                    made.add(digest[:2])
                os.rename(part, path)
            os.sync()
        except OSError as error:
            raise disk_refused(self.folder, error) from error


@dataclass(frozen=True, slots=True)
class FileContents:
    """Contents in a local folder, as `ab/abcd…`.

    Whoever keeps contents, until something that is recorded refers to them, holds the folder; `sweep` waits for that.
    """

    root: Path
    _packs: Packs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_packs", Packs(self.root / _PACKS))

    @contextmanager
    def keeping(self) -> Iterator[Keeping]:
        """Hold the folder and take contents, which are there when the block asks to `finish`."""
        folder = self.root / _PARTS / uuid4().hex
        try:
            make_folder(folder.parent)
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise disk_refused(self.root, error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            keeping = Keeping(self, folder)
            try:
                yield keeping
            finally:
                keeping.close()
                shutil.rmtree(folder, ignore_errors=True)

    def has(self, digest: str) -> bool:
        """Say whether contents are kept."""
        return digest in self._packs or os.path.exists(f"{self.root}/{digest[:2]}/{digest}")

    def path(self, digest: str) -> Path:
        """Say where contents are kept that are a file, or would be."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise Invalid(f"{digest!r} is no digest: expected 64 lower-case hexadecimal digits.")
        return self.root / digest[:2] / digest

    def copy(self, digest: Digest, to: Path) -> None:
        """Write contents to a new file, verified.

        Raises
        ------
        BlobNotFound, BlobCorrupt
            They are gone, or were changed.
        OSError
            The file cannot be written.
        """
        whole = hashlib.sha256()
        where = str(self.path(digest))
        try:
            source: BinaryIO = open(where, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError as error:
            packed = self._packs.read(digest)
            if packed is None:
                raise BlobNotFound(digest) from error
            source, where = BytesIO(packed), f"a pack in {self._packs.root}"
        with source, to.open("xb") as copy:
            while piece := source.read(_PIECE):
                whole.update(piece)
                copy.write(piece)
        if (found := Digest(whole.hexdigest())) != digest:
            to.unlink()
            raise BlobCorrupt(digest, found, where)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody keeps contents, and let nobody begin."""
        make_folder(self.root)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def sweep(self, referred: Collection[str], *, dry_run: bool) -> tuple[int, int]:
        """Remove what nothing refers to; within `alone` only.

        Returns
        -------
        (int, int)
            How many files, and how many bytes.
        """
        count, size = self._packs.sweep(referred, self.root / _PARTS, dry_run=dry_run)
        for path in self.root.glob("*/*") if self.root.is_dir() else ():
            if path.parent.name == _PACKS:
                continue
            inside = path.parent.name == _PARTS
            found = [each for each in path.rglob("*") if each.is_file()] if inside else [path]
            if not inside and path.name in referred:
                continue
            count += len(found)
            size += sum(each.stat().st_size for each in found)
            if not dry_run:
                shutil.rmtree(path) if inside else path.unlink()
        return count, size
