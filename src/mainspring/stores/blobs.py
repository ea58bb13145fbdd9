"""Blobs: bytes under the SHA-256 of their content, which never change."""

from __future__ import annotations

__all__ = ["BlobCorrupt", "BlobNotFound", "BlobStore", "FileBlobs"]

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from mainspring.digest import Digest, digest_of, digest_of_file
from mainspring.errors import Invalid, MainspringError, NotFound
from mainspring.stores.durable import make_folder, sync
from mainspring.stores.errors import disk_refused

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO


class BlobNotFound(NotFound):
    """A digest under which nothing is kept."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return (
            f"No blob {self.digest[:12]} is kept here. What refers to it was made with another state folder, or the "
            "folder lost files: put back a copy that has it."
        )


class BlobCorrupt(MainspringError):
    """A blob whose bytes are not those it was kept with."""

    def __init__(self, digest: Digest, found: Digest, where: str) -> None:
        super().__init__(digest, found, where)
        self.digest, self.found, self.where = digest, found, where

    def __str__(self) -> str:
        return (
            f"The blob {self.digest[:12]} was changed or damaged: {self.where} has the digest {self.found[:12]}. "
            "Remove the file and put back a copy; it is not used as it is."
        )


class BlobStore(Protocol):
    """Where blobs are kept."""

    def put(self, content: bytes) -> Digest:
        """Keep bytes, durably; bytes that are kept already stay as they are."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Keep a file's bytes, durably."""
        ...

    def get(self, digest: Digest) -> bytes:
        """Give the bytes under a digest, verified; raises `BlobNotFound`, `BlobCorrupt`."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether a digest is kept."""
        ...


@dataclass(frozen=True, slots=True)
class FileBlobs:
    """A `BlobStore` in a local folder, as `ab/cd/abcd…`."""

    root: Path

    def put(self, content: bytes) -> Digest:  # noqa: D102 - see BlobStore
        digest = digest_of(content)
        return self._keep(digest, BytesIO(content))

    def put_file(self, path: Path) -> Digest:  # noqa: D102 - see BlobStore
        with path.open("rb") as source:
            return self._keep(digest_of_file(path), source)

    def get(self, digest: Digest) -> bytes:  # noqa: D102 - see BlobStore
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error
        found = digest_of(content)
        if found != digest:
            raise BlobCorrupt(digest, found, str(path))
        return content

    def has(self, digest: Digest) -> bool:  # noqa: D102 - see BlobStore
        return self._path(digest).exists()

    def path(self, digest: Digest) -> Path:
        """Give the file with these bytes, verified, for a reader who wants to open it; raises as `get` does."""
        path = self._path(digest)
        try:
            found = digest_of_file(path)
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error
        if found != digest:
            raise BlobCorrupt(digest, found, str(path))
        return path

    def open(self, digest: Digest) -> BinaryIO:
        """Give the file with these bytes, open and verified; raises as `get` does."""
        path = self._path(digest)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error
        found = Digest(hashlib.file_digest(file, "sha256").hexdigest())
        if found != digest:
            file.close()
            raise BlobCorrupt(digest, found, str(path))
        file.seek(0)
        return file

    def _path(self, digest: Digest) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise Invalid(f"{digest!r} is no digest: expected 64 lower-case hexadecimal digits.")
        return self.root / digest[:2] / digest[2:4] / digest

    def _keep(self, digest: Digest, source: BinaryIO) -> Digest:
        path = self._path(digest)
        if path.exists():
            return digest
        part = path.with_name(f".{uuid4().hex}.part")
        try:
            make_folder(path.parent)
            try:
                with part.open("xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                    file.flush()
                    os.fsync(file.fileno())
                # A file may have changed between the two readings; what a digest names must have it.
                found = digest_of_file(part)
                if found != digest:
                    raise BlobCorrupt(digest, found, "what was read")
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            sync(path.parent)
        except OSError as error:
            raise disk_refused(path, error) from error
        return digest
